// SPDX-License-Identifier: Apache-2.0
/*
 * What a guest is given: memory, a monitor in a domain of its own, and exactly the handles and mappings that
 * lib/proto/vmm_boot.h promises.
 */
#include <stdatomic.h>
#include <stddef.h>
#include "lib/print.h"
#include "lib/proto/console_boot.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/clock.h"
#include "services/root/guest.h"
#include "services/root/regions.h"
#include "services/root/service.h"

static struct vmm_boot *boot_page(unsigned n)
{
    return (struct vmm_boot *)(ROOT_SHARED_VA + n * ROOT_SHARED_STRIDE + GUEST_SHARED_BOOT);
}

static struct guest_channel *channel_of(unsigned n)
{
    return (struct guest_channel *)(ROOT_SHARED_VA + n * ROOT_SHARED_STRIDE + GUEST_SHARED_CHANNEL);
}

/* Nothing of the guest that had this number before is left in the pages; the console may be reading there. */
static void clean_shared(unsigned n)
{
    struct channel *c = &channel_of(n)->terminal;
    struct channel_ring *words = &channel_of(n)->words;
    memset(boot_page(n), 0, sizeof *boot_page(n));
    memset(guest_control(n), 0, sizeof *guest_control(n));
    atomic_store(&c->from_guest.head, atomic_load(&c->from_guest.tail));
    atomic_store(&c->to_guest.tail, atomic_load(&c->to_guest.head));
    atomic_store(&words->head, atomic_load(&words->tail));
    memset(c->from_guest.data, 0, sizeof c->from_guest.data);
    memset(c->to_guest.data, 0, sizeof c->to_guest.data);
    memset(words->data, 0, sizeof words->data);
    memset(guest_crash_text(n), 0, VMM_REPORT_BYTES);
}

bool guest_place(unsigned n)
{
    struct guest *g = &guests[n];
    struct program vmm;
    if (!program_find("vmm", &vmm))
        return false;
    if (g->shared != 0)
        clean_shared(n);
    else
        g->shared = ram_shared(ROOT_SHARED_VA + n * ROOT_SHARED_STRIDE, GUEST_SHARED_BYTES, TAG_SHARED(TAG_MONITOR(n)));
    struct syscall_result event = sys_event_create();
    g->event = event.error == OK ? event.value : 0;
    if (g->shared == 0 || g->event == 0 || !regions_join(n))
        return false;
    g->private_bytes = vmm.private_bytes + (1ull + g->config->cpu_count) * VMM_STACK_BYTES;
    g->private_hpa = ram_place_private(g->private_bytes);
    g->placed = g->private_hpa != 0 && ram_place_guest(g->config->memory, &g->ram);
    if (!g->placed)
        root_log(LOG_ERROR, "guest %s: its memory (%lluM, and %lluK for its monitor) finds no place: %lluM are free",
                 g->config->name, (unsigned long long)(g->config->memory >> 20),
                 (unsigned long long)(g->private_bytes >> 10), (unsigned long long)(ram_free_bytes() >> 20));
    return g->placed;
}

void guest_unplace(unsigned n)
{
    struct guest *g = &guests[n];
    regions_leave(n);
    for (unsigned i = 0; i < g->ram.count; i++)
        ram_give(g->ram.piece[i].hpa, g->ram.piece[i].size);
    if (g->private_hpa != 0)
        ram_give(g->private_hpa, g->private_bytes);
    if (g->event != 0) {
        (void)sys_destroy(g->event); /* others' handles to it go inert: a peer must not ring the next guest */
        (void)sys_handle_close(g->event);
    }
    *g = (struct guest){.shared = g->shared};
}

uint64_t guest_ticks(const struct guest *g)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i <= g->config->cpu_count; i++) {
        struct syscall_result r = g->thread[i] != 0 ? sys_query(g->thread[i], QUERY_THREAD_TICKS, 0)
                                                    : (struct syscall_result){OK, 0};
        if (r.error == OK)
            sum += r.value;
    }
    return sum;
}

/* Where module i of this guest is mapped: low bits as in physical memory, so that large pages are possible. */
static uint64_t module_va(const struct config_guest *c, unsigned i)
{
    uint64_t va = VMM_MODULES_VA;
    for (unsigned k = 0;; k++) {
        const struct boot_module *m = &ROOT_BOOT->module[c->module[k]];
        va += (m->base - va) & (SIZE_2M - 1);
        if (k == i)
            return va;
        va = page_up(va + m->size);
    }
}

static uint64_t quota_pages(const struct guest *g, const struct program *vmm)
{
    const struct config_guest *c = g->config;
    uint64_t pages = 64 + 16ull * c->cpu_count + vmm->tables + regions_table_pages(c);
    for (unsigned i = 0; i < g->ram.count; i++) /* twice: in the monitor, and in the guest's own tables */
        pages += 2 * table_pages(VMM_GUEST_VA + g->ram.piece[i].gpa, g->ram.piece[i].hpa, g->ram.piece[i].size);
    for (unsigned i = 0; i < c->module_count; i++) {
        const struct boot_module *m = &ROOT_BOOT->module[c->module[i]];
        pages += table_pages(page_down(module_va(c, i)), page_down(m->base), page_up((m->base & PAGE_MASK) + m->size));
    }
    return pages;
}

static void mend(struct channel_ring *r)
{
    if (atomic_load(&r->head) - atomic_load(&r->tail) > CHANNEL_RING_BYTES)
        atomic_store(&r->head, atomic_load(&r->tail));
}

static void fill_boot(unsigned n)
{
    const struct guest *g = &guests[n];
    const struct config_guest *c = g->config;
    struct vmm_boot *b = boot_page(n);
    memset(b, 0, sizeof *b);
    b->magic = VMM_BOOT_MAGIC;
    string_copy(b->name, c->name, sizeof b->name);
    b->index = n;
    b->vcpus = c->cpu_count;
    b->dedicated = !c->has_share;
    b->memory_bytes = c->memory;
    b->tsc_khz = ROOT_BOOT->tsc_khz;
    b->arch_capabilities = ROOT_BOOT->arch_capabilities;
    b->root_bits = ROOT_EVENT_GUEST(n);
    b->console_bits = CONSOLE_EVENT_GUEST(n);
    memcpy(b->vendor, ROOT_BOOT->backend, sizeof b->vendor - 1);
    b->piece_count = g->ram.count;
    for (unsigned i = 0; i < g->ram.count; i++)
        b->piece[i] = (struct vmm_piece){g->ram.piece[i].gpa, g->ram.piece[i].size};
    b->module_count = c->module_count;
    for (unsigned i = 0; i < c->module_count; i++) {
        b->module[i].va = module_va(c, i);
        b->module[i].size = ROOT_BOOT->module[c->module[i]].size;
        string_copy(b->module[i].cmdline, c->module_args[i], sizeof b->module[i].cmdline);
    }
    string_copy(b->kernel_name, module_name(c->module[0]), sizeof b->kernel_name);
    string_copy(b->cmdline, c->cmdline, sizeof b->cmdline);
    b->options = c->options;
    b->restart_count = g->restarts;
    b->unix_seconds = clock_seconds();
    regions_describe(n, b);

    memset(guest_control(n), 0, sizeof *guest_control(n));
    struct guest_channel *ch = channel_of(n);
    /* No monitor lives: what the last one left in the indices must not stop the next. Output that the console has not
     * read stays. */
    atomic_store(&ch->terminal.to_guest.tail, atomic_load(&ch->terminal.to_guest.head));
    mend(&ch->terminal.from_guest);
    mend(&ch->words);
    (void)sys_event_wait(g->event, ~0ull, 0);
}

static bool step(enum error e, const char *what, char *why, size_t why_size)
{
    if (e == OK)
        return true;
    format(why, why_size, "%s: %s", what, error_text(e));
    return false;
}

static bool grant(struct guest *g, uint64_t handle, uint64_t rights, uint64_t slot, char *why, size_t why_size)
{
    return step(sys_handle_grant(g->domain, handle, rights, slot).error, "its handles cannot be given", why, why_size);
}

static bool make_threads(struct guest *g, const struct program *vmm, char *why, size_t why_size)
{
    const struct config_guest *c = g->config;
    uint64_t stacks = vmm->private_bytes;
    for (unsigned i = 0; i <= c->cpu_count; i++) {
        uint64_t top = VMM_STACKS_VA + (i + 1ull) * VMM_STACK_STRIDE;
        if (!step(sys_map(g->domain, top - VMM_STACK_BYTES, g->private_memory, stacks + i * VMM_STACK_BYTES,
                          VMM_STACK_BYTES, RIGHT_READ | RIGHT_WRITE),
                  "its stacks cannot be mapped", why, why_size))
            return false;
    }
    /* vCPUs first: a monitor whose thread 0 runs finds them all there. */
    for (unsigned k = 0; k <= c->cpu_count; k++) {
        unsigned i = k == c->cpu_count ? 0 : k + 1;
        unsigned cpu = i == 0 ? c->cpu[0] : c->cpu[i - 1];
        uint64_t top = VMM_STACKS_VA + (i + 1ull) * VMM_STACK_STRIDE;
        struct thread_start s = {.entry = vmm->entry, .stack = top, .arg = i, .cpu = cpu, .priority = PRIORITY_GUEST};
        if (c->has_share && i == 0) { /* on the vCPU's budget, and before it: a busy guest's console answers too */
            s.beside = g->thread[1];
        } else if (c->has_share) {
            s.budget_us = (uint32_t)((uint64_t)c->period_us * c->percent / 100);
            s.period_us = c->period_us;
            s.flags = c->borrow ? SCHED_BORROW : 0;
        } else if (i == 0) {
            s.priority = PRIORITY_MONITOR;
        }
        struct syscall_result t = thread_start(g->domain, &s);
        if (!step(t.error, "its threads cannot be made", why, why_size))
            return false;
        g->thread[i] = t.value;
    }
    return true;
}

static bool map_memory(unsigned n, const struct program *vmm, char *why, size_t why_size)
{
    struct guest *g = &guests[n];
    const struct config_guest *c = g->config;
    static const char what[] = "its memory cannot be mapped";
    for (unsigned i = 0; i < g->ram.count; i++)
        if (!step(sys_map(g->domain, VMM_GUEST_VA + g->ram.piece[i].gpa, g->memory[i], 0, g->ram.piece[i].size,
                          RIGHT_READ | RIGHT_WRITE),
                  what, why, why_size) ||
            !grant(g, g->memory[i], RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC, VMM_SLOT_MEMORY + i, why, why_size))
            return false;
    for (unsigned i = 0; i < c->module_count; i++) {
        const struct boot_module *m = &ROOT_BOOT->module[c->module[i]];
        if (!step(sys_map(g->domain, page_down(module_va(c, i)), m->slot, 0, page_up((m->base & PAGE_MASK) + m->size),
                          RIGHT_READ),
                  "its modules cannot be mapped", why, why_size))
            return false;
    }
    return step(program_load(vmm, g->domain, g->private_memory, 0), "its monitor cannot be loaded", why, why_size) &&
           step(sys_map(g->domain, VMM_BOOT_VA, g->shared, GUEST_SHARED_BOOT, page_up(sizeof(struct vmm_boot)),
                        RIGHT_READ),
                what, why, why_size) &&
           step(sys_map(g->domain, VMM_CONTROL_VA, g->shared, GUEST_SHARED_CONTROL, VMM_CONTROL_BYTES,
                        RIGHT_READ | RIGHT_WRITE),
                what, why, why_size) &&
           step(sys_map(g->domain, VMM_CHANNEL_VA, g->shared, GUEST_SHARED_CHANNEL, GUEST_CHANNEL_BYTES,
                        RIGHT_READ | RIGHT_WRITE),
                what, why, why_size);
}

bool guest_make(unsigned n, char *why, size_t why_size)
{
    struct guest *g = &guests[n];
    struct program vmm;
    if (!g->placed || !program_find("vmm", &vmm)) {
        format(why, why_size, "there is no memory for it");
        return false;
    }
    fill_boot(n);
    g->seen_state = GUEST_OFF;
    g->seen_resets = 0;
    g->ran = false;
    for (unsigned i = 0; i < g->ram.count; i++)
        if ((g->memory[i] = ram_carve(g->ram.piece[i].hpa, g->ram.piece[i].size, TAG_GUEST(n))) == 0) {
            format(why, why_size, "its memory cannot be taken");
            return false;
        }
    if ((g->private_memory = ram_carve(g->private_hpa, g->private_bytes, TAG_MONITOR(n))) == 0) {
        format(why, why_size, "its monitor's memory cannot be taken");
        return false;
    }
    uint64_t quota = quota_pages(g, &vmm);
    struct syscall_result domain = sys_domain_create(quota, root_event, ROOT_EVENT_GUEST(n), TAG_MONITOR(n));
    if (domain.error != OK) {
        format(why, why_size, "its monitor's domain cannot be made (%llu pages of kernel memory): %s",
               (unsigned long long)quota, error_text(domain.error));
        return false;
    }
    g->domain = domain.value;
    for (unsigned i = 0; i < g->config->cpu_count; i++)
        if (!step(sys_domain_cpu(g->domain, g->config->cpu[i]), "its CPUs cannot be given", why, why_size))
            return false;
    return grant(g, g->domain, RIGHT_MAP, VMM_SLOT_SELF, why, why_size) &&
           grant(g, g->event, RIGHT_WAIT | RIGHT_SIGNAL, VMM_SLOT_EVENT, why, why_size) &&
           grant(g, console_service.event, RIGHT_SIGNAL, VMM_SLOT_CONSOLE_EVENT, why, why_size) &&
           grant(g, root_event, RIGHT_SIGNAL, VMM_SLOT_ROOT_EVENT, why, why_size) &&
           map_memory(n, &vmm, why, why_size) &&
           step(regions_give(n), "its shared regions cannot be given", why, why_size) &&
           make_threads(g, &vmm, why, why_size);
}
