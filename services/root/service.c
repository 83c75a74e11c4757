// SPDX-License-Identifier: Apache-2.0
/*
 * See service.h.
 */
#include "services/root/service.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"

#define STARTS_WINDOW_MS 60000 /* no more starts than service.start_at holds within this time */

static struct service *first;
static unsigned count;

static uint64_t handle_of(const struct service *s, uint32_t from)
{
    switch (from) {
    case SERVICE_SELF: return s->domain;
    case SERVICE_EVENT: return s->event;
    case SERVICE_ROOT_EVENT: return root_event;
    case SERVICE_SHARED: return s->shared;
    default: return from;
    }
}

void service_step(struct service *s, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    format_list(s->step, sizeof s->step, text, arguments);
    va_end(arguments);
}

/* The next CPU for services, in turn. */
static unsigned next_cpu(void)
{
    static unsigned from;
    const struct cpuset *cpus = &root_config.service_cpus;
    unsigned cpu = cpuset_next(cpus, from, MAX_CPUS);
    if (cpu == MAX_CPUS)
        cpu = cpuset_next(cpus, 0, MAX_CPUS);
    from = cpu + 1;
    return cpu;
}

void service_add(struct service *s, const struct service_row *row)
{
    struct program p;
    s->row = row;
    s->cpu = next_cpu();
    struct service **at = &first;
    while (*at != NULL)
        at = &(*at)->next;
    *at = s;
    s->page = (unsigned char *)(ROOT_SERVICES_VA + count++ * ROOT_SHARED_STRIDE);
    struct syscall_result event = sys_event_create();
    if (event.error != OK) {
        root_log(LOG_ERROR, "%s cannot have an event: %s", row->title, error_text(event.error));
        return;
    }
    s->event = event.value;
    if (!program_find(row->name, &p))
        return;
    s->shared = ram_shared((uint64_t)s->page, row->shared_bytes, TAG_SHARED(row->tag));
    s->private_bytes = p.private_bytes + row->stack_bytes;
    s->private_hpa = ram_place_private(s->private_bytes);
    if (s->private_hpa == 0)
        root_log(LOG_ERROR, "no memory for %s (%lluK)", row->title, (unsigned long long)(s->private_bytes >> 10));
}

struct service *service_first(void)
{
    return first;
}

/* "root, console, audit": what runs on that CPU; empty: nothing. */
static void names_on(unsigned cpu, char *out, size_t size)
{
    size_t used = (size_t)format(out, size, "%s", cpu == 0 ? "root" : "");
    for (const struct service *s = first; s != NULL && used < size; s = s->next)
        if (s->cpu == cpu)
            used += (size_t)format(out + used, size - used, "%s%s", used != 0 ? ", " : "", s->row->name);
}

void services_log_sharing(const struct config_guest *guest)
{
    for (unsigned cpu = cpuset_next(&guest->cpus, 0, MAX_CPUS); cpu < MAX_CPUS;
         cpu = cpuset_next(&guest->cpus, cpu + 1, MAX_CPUS)) {
        char names[160];
        names_on(cpu, names, sizeof names);
        if (names[0] != 0)
            root_log(LOG_INFO, "guest %s shares CPU %u with services, which come first there: %s", guest->name, cpu,
                     names);
    }
}

enum error service_grant(struct service *s, uint64_t handle, uint64_t rights, uint64_t slot)
{
    return sys_handle_grant(s->domain, handle, rights, slot).error;
}

enum error service_map(struct service *s, uint64_t address, uint64_t memory, uint64_t offset, uint64_t size,
                       uint64_t rights)
{
    return sys_map(s->domain, address, memory, offset, size, rights);
}

static enum error give_handles(struct service *s)
{
    for (unsigned i = 0; i < s->row->grant_count; i++) {
        const struct service_grant *g = &s->row->grants[i];
        if (g->wanted != NULL && !g->wanted())
            continue;
        service_step(s, "its handle %u cannot be given", g->slot);
        enum error e = service_grant(s, handle_of(s, g->from), g->rights, g->slot);
        if (e != OK && g->if_missing == NULL)
            return e;
        if (e != OK)
            root_log(LOG_WARN, "%s", g->if_missing);
    }
    return OK;
}

static enum error give_mappings(struct service *s)
{
    for (unsigned i = 0; i < s->row->mapping_count; i++) {
        const struct service_mapping *m = &s->row->mappings[i];
        uint64_t memory = handle_of(s, m->from), size = m->size;
        service_step(s, "what belongs at 0x%llx cannot be mapped", (unsigned long long)m->address);
        if (size == 0) {
            struct syscall_result r = sys_query(memory, QUERY_MEMORY_SIZE, 0);
            if (r.error != OK)
                return r.error;
            size = r.value - m->offset;
        }
        enum error e = service_map(s, m->address, memory, m->offset, size, m->rights);
        if (e != OK)
            return e;
    }
    return OK;
}

static enum error make_thread(struct service *s, const struct program *p)
{
    const struct service_row *row = s->row;
    service_step(s, "its stack cannot be mapped");
    enum error e = service_map(s, row->stack_top - row->stack_bytes, s->memory, p->private_bytes, row->stack_bytes,
                               RIGHT_READ | RIGHT_WRITE);
    if (e != OK)
        return e;
    service_step(s, "its thread cannot be made");
    struct syscall_result r = thread_start(s->domain, &(struct thread_start){.entry = p->entry,
                                                                             .stack = row->stack_top,
                                                                             .cpu = s->cpu,
                                                                             .priority = row->priority,
                                                                             .budget_us = row->budget_us,
                                                                             .period_us = row->period_us});
    s->thread = r.error == OK ? r.value : 0;
    return r.error;
}

static enum error make(struct service *s, const struct program *p)
{
    const struct service_row *row = s->row;
    service_step(s, "its memory cannot be taken");
    if ((s->memory = ram_carve(s->private_hpa, s->private_bytes, row->tag)) == 0)
        return E_QUOTA;
    uint64_t pages = row->quota_pages + p->tables + (row->more_pages != NULL ? row->more_pages() : 0);
    service_step(s, "its domain cannot be made (%llu pages of kernel memory)", (unsigned long long)pages);
    struct syscall_result r = sys_domain_create(pages, root_event, ROOT_EVENT_SERVICES, row->tag | DOMAIN_OWN_CODE);
    if (r.error != OK)
        return r.error;
    s->domain = r.value;
    enum error e = sys_domain_cpu(s->domain, s->cpu);
    if (e != OK)
        return e;
    service_step(s, "its program cannot be loaded");
    e = program_load(p, s->domain, s->memory, 0);
    if (e == OK)
        e = give_handles(s);
    if (e == OK)
        e = give_mappings(s);
    if (e == OK && row->give != NULL)
        e = row->give(s);
    return e == OK ? make_thread(s, p) : e;
}

static void destroy(uint64_t *handle)
{
    if (*handle != 0) {
        (void)sys_destroy(*handle);
        (void)sys_handle_close(*handle);
    }
    *handle = 0;
}

/* Whatever of it was made. A service has few pages: destroying it is not worth steps. */
static void unmake(struct service *s)
{
    s->alive = false;
    destroy(&s->domain);
    destroy(&s->memory);
    if (s->thread != 0)
        (void)sys_handle_close(s->thread);
    s->thread = 0;
}

static bool may_start(const struct service *s)
{
    uint64_t oldest = s->start_at[s->starts % ARRAY_SIZE(s->start_at)];
    return oldest == 0 || tsc_now() - oldest >= ticks_of_ms(STARTS_WINDOW_MS);
}

bool service_start(struct service *s)
{
    struct program p;
    if (s->alive)
        return true;
    if (s->private_hpa == 0 || s->shared == 0 || !may_start(s) || !program_find(s->row->name, &p))
        return false;
    s->start_at[s->starts++ % ARRAY_SIZE(s->start_at)] = tsc_now();
    memset(s->page, 0, s->row->shared_bytes); /* no other program has it now */
    s->row->fill(s);
    enum error e = make(s, &p);
    if (e != OK) {
        root_log(LOG_ERROR, "%s cannot be started: %s: %s", s->row->title, s->step, error_text(e));
        unmake(s);
        return false;
    }
    s->alive = true;
    return true;
}

void service_failed(struct service *s, const char *how)
{
    const struct service_row *row = s->row;
    bool again = may_start(s);
    unmake(s);
    if (row->died != NULL)
        row->died(s);
    const char *then = row->start == SERVICE_AT_BOOT ? "; it is started again" : "";
    root_log(LOG_ERROR, "%s %s%s", row->title, how, again ? then : " too often; it stays away, and the guests run on");
    if (again && row->start == SERVICE_AT_BOOT && service_start(s) && row->began != NULL)
        row->began(s);
}

void services_watch(void)
{
    for (struct service *s = first; s != NULL; s = s->next) {
        char how[112];
        uint64_t fault[3];
        if (!s->alive || sys_query(s->domain, QUERY_DOMAIN_STATE, 0).value == DOMAIN_RUNNING)
            continue;
        for (unsigned i = 0; i < ARRAY_SIZE(fault); i++)
            fault[i] = sys_query(s->domain, QUERY_DOMAIN_FAULT, i).value;
        format(how, sizeof how, "has crashed (exception %u, error 0x%x) at 0x%llx, address 0x%llx",
               (unsigned)(fault[0] & 0xff), (unsigned)(fault[0] >> 32), (unsigned long long)fault[1],
               (unsigned long long)fault[2]);
        service_failed(s, how);
    }
}
