/*
 * Root's domain: its image is mapped where it lies in the kernel image, its first page tells it what there is (mullion/boot.h), its handles give
 * it all memory, all modules, all ports and interrupts that ring 3 may have. Root divides them; the kernel hands out nothing else.
 */
#include "kernel/root.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/time.h"
#include "drivers/serial.h"
#include "kernel/domain.h"
#include "kernel/irq.h"
#include "kernel/klog_ring.h"
#include "kernel/memory.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "kernel/syscall.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"
#include "mm/hostmap.h"

#define SERIAL_ISA_IRQ 4
#define ROOT_PRIORITY  6

extern char program_root[], program_root_end[], program_vmm[], program_vmm_end[], program_console[], program_console_end[];

static union { struct root_boot boot; char pages[(sizeof(struct root_boot) + PAGE_MASK) & ~PAGE_MASK]; }
    told __attribute__((section(".bss.page"), aligned(4096)));
static struct ports serial_ports, reset_ports, clock_ports, power_ports, qemu_exit_ports, bochs_exit_ports;

static void hand(struct domain *root, struct object *o, uint32_t rights, uint32_t slot)
{
    uint32_t got = slot;
    if (handle_put(root, o, rights, &got) != OK)
        panic("no room for root's handle %u", slot);
}

static struct memory *object_over(struct domain *root, uint64_t base, uint64_t size, uint32_t tag, bool is_ram)
{
    enum error e;
    struct memory *m = memory_new(root, hpa(base), size, tag, is_ram, &e);
    if (!m)
        panic("cannot make root's memory object 0x%lx+0x%lx (error %d)", base, size, e);
    return m;
}

static void hand_ports(struct domain *root, struct ports *p, uint16_t first, uint16_t last, uint32_t slot)
{
    object_init(&p->object, OBJ_PORTS);
    object_get(&p->object); /* the kernel's own: it lives for ever, whoever closes what */
    p->first = first;
    p->last = last;
    hand(root, &p->object, RIGHTS_ALL, slot);
}

static uint32_t hand_program(struct domain *root, const char *start, const char *end, const char *name, uint32_t slot)
{
    struct memory *m = object_over(root, image_hpa(start).v, page_up((uint64_t)(end - start)), TAG_MODULE, false);
    m->keep = true;
    hand(root, &m->object, RIGHTS_ALL & ~(uint32_t)(RIGHT_WRITE | RIGHT_DESTROY), slot);
    struct boot_module *x = &told.boot.program[told.boot.program_count++];
    x->base = m->range.base.v;
    x->size = (uint64_t)(end - start);
    x->slot = slot;
    copy_string(x->name, sizeof x->name, name);
    return slot + 1;
}

/* ELF-64 (System V ABI, chapter 4 and 5), from our own build: asserted rather than explained. */
struct elf { uint8_t ident[16]; uint16_t type, machine; uint32_t version; uint64_t entry, phoff, shoff; uint32_t flags; uint16_t ehsize, phentsize, phnum; };
struct segment_header { uint32_t type, flags; uint64_t offset, vaddr, paddr, filesz, memsz, align; };

/* Read-only parts are mapped where they lie; what is written gets memory of its own, carved from `ram`, as large as the segment in memory. */
static uint64_t load_root(struct domain *root, struct memory *ram)
{
    const struct elf *elf = (const struct elf *)program_root;
    kassert(!memcmp(elf->ident, "\x7f" "ELF", 4) && elf->phentsize == sizeof(struct segment_header));
    const struct segment_header *segment = (const struct segment_header *)(program_root + elf->phoff);
    enum error e = OK;
    uint64_t from_end = 0;
    for (unsigned i = 0; i < elf->phnum && e == OK; i++, segment++) {
        if (segment->type != 1 || segment->memsz == 0)
            continue;
        uint64_t start = page_down(segment->vaddr), end = page_up(segment->vaddr + segment->memsz), size = end - start;
        const char *file = program_root + segment->offset - (segment->vaddr - start);
        if (!(segment->flags & 2)) {
            uint32_t rights = RIGHT_READ | (segment->flags & 1 ? RIGHT_EXEC : 0);
            e = pt_map(&root->tables, start, image_hpa(file), size, rights | PT_USER);
            continue;
        }
        struct memory *m = NULL;
        e = E_QUOTA;
        for (from_end += size; from_end <= ram->range.size; from_end += PAGE_SIZE) { /* a module may lie at the top */
            m = memory_new(root, hpa(ram->range.base.v + ram->range.size - from_end), size, TAG_ROOT, false, &e);
            if (e != E_OVERLAP)
                break;
        }
        if (e != OK)
            panic("no memory for root's data (error %d)", e);
        uint64_t head = segment->vaddr - start;
        for (uint64_t at = 0; at < size; at += PAGE_SIZE) {
            char *page = window_open(hpa(m->range.base.v + at));
            memset(page, 0, PAGE_SIZE);
            for (uint64_t k = 0; k < PAGE_SIZE; k++)
                if (at + k >= head && at + k - head < segment->filesz)
                    page[k] = file[at + k];
            window_close();
        }
        e = mapping_make(root, &root->tables, &root->mappings, m, start, 0, size, RIGHT_READ | RIGHT_WRITE | PT_USER);
    }
    if (e == OK)
        e = pt_map(&root->tables, ROOT_BOOT_VA, image_hpa(&told), sizeof told, RIGHT_READ | PT_USER);
    if (e != OK)
        panic("cannot map root's image (error %d)", e);
    return elf->entry;
}

static void tell(const struct root_setup *s, struct domain *root)
{
    struct root_boot *b = &told.boot;
    b->magic = ROOT_BOOT_MAGIC;
    b->abi_version = MULLION_ABI_VERSION;
    b->cpu_count = cpu_count;
    for (unsigned i = 0; i < cpu_count; i++)
        b->cpu_apic_id[i] = cpu_by_number(i)->apic_id;
    b->tsc_khz = tsc_khz;
    b->kmem_pages = root->quota.limit_bytes / PAGE_SIZE;
    b->entry_tsc = s->entry_tsc;
    b->ram_total = s->boot->ram_total;
    copy_string(b->backend, sizeof b->backend, backend ? backend->name : "");
    copy_string(b->backend_error, sizeof b->backend_error, s->backend_error);
    copy_string(b->cmdline, sizeof b->cmdline, s->boot->cmdline);
    b->serial_port = serial_port();
    b->serial_irq = SERIAL_ISA_IRQ;
    b->pm1a_port = s->acpi->pm1a_control;
    b->pm1a_sleep_type = s->acpi->s5_type;
}

static void hand_devices(const struct root_setup *s, struct domain *root)
{
    object_get(&log_object);
    hand(root, &log_object, RIGHTS_ALL, ROOT_SLOT_LOG);
    struct memory *ring = object_over(root, image_hpa(&klog_ring).v, page_up(sizeof klog_ring), TAG_ROOT, false);
    ring->keep = true;
    hand(root, &ring->object, RIGHT_READ | RIGHT_GRANT | RIGHT_MANAGE, ROOT_SLOT_LOG_RING);
    uint16_t serial = serial_port();
    if (serial) {
        hand_ports(root, &serial_ports, serial, (uint16_t)(serial + 7), ROOT_SLOT_SERIAL_PORTS);
        struct irq *i = irq_new(s->acpi->isa[SERIAL_ISA_IRQ].gsi, s->acpi->isa[SERIAL_ISA_IRQ].level, s->acpi->isa[SERIAL_ISA_IRQ].low);
        if (i) {
            object_get(&i->object);
            hand(root, &i->object, RIGHTS_ALL, ROOT_SLOT_SERIAL_IRQ);
        } else {
            klog(LOG_WARN, "the serial port's interrupt cannot be routed: no I/O APIC serves it");
        }
    }
    hand_ports(root, &reset_ports, 0xcf9, 0xcf9, ROOT_SLOT_RESET_PORTS);
    hand_ports(root, &clock_ports, 0x70, 0x71, ROOT_SLOT_CLOCK_PORTS);
    if (s->acpi->pm1a_control)
        hand_ports(root, &power_ports, s->acpi->pm1a_control, (uint16_t)(s->acpi->pm1a_control + 1), ROOT_SLOT_POWER_PORTS);
}

void root_create(const struct root_setup *s)
{
    kernel_lock();
    enum error e;
    uint64_t quota = min_u64(pool_pages_free() * PAGE_SIZE, pool_pages_total() * PAGE_SIZE - kernel_quota.limit_bytes);
    kernel_quota.limit_bytes += quota;
    struct domain *root = domain_new(NULL, quota, &e);
    if (!root)
        panic("no kernel memory for root (error %d)", e);
    root->cpu_mask = cpu_count == 64 ? ~0ull : (1ull << cpu_count) - 1;
    object_get(&root->object);
    hand(root, &root->object, RIGHTS_ALL, ROOT_SLOT_SELF);
    hand_devices(s, root);

    uint32_t slot = ROOT_SLOT_FIRST_FREE;
    struct memory *largest = NULL;
    for (unsigned i = 0; i < s->ram_count; i++, slot++) {
        struct memory *m = object_over(root, s->ram[i].base, s->ram[i].size, 0, true);
        hand(root, &m->object, RIGHT_MAP | RIGHT_MANAGE, slot);
        told.boot.ram[told.boot.ram_count++] = (struct boot_ram){s->ram[i].base, s->ram[i].size, slot, 0};
        if (!largest || m->range.size > largest->range.size)
            largest = m;
    }
    for (unsigned i = 0; i < s->boot->module_count; i++, slot++) {
        struct boot_range r = s->boot->module[i].range;
        struct memory *m = object_over(root, page_down(r.base), page_up(r.base + r.size) - page_down(r.base), TAG_MODULE, false);
        hand(root, &m->object, RIGHTS_ALL, slot);
        struct boot_module *x = &told.boot.module[told.boot.module_count++];
        *x = (struct boot_module){.base = r.base, .size = r.size, .slot = slot};
        copy_string(x->name, sizeof x->name, s->boot->module[i].name);
    }
    slot = hand_program(root, program_vmm, program_vmm_end, "vmm", slot);
    hand_program(root, program_console, program_console_end, "console", slot);
    if (option(s->boot->cmdline, "debug-exit", NULL, 0)) {
        hand_ports(root, &qemu_exit_ports, 0xf4, 0xf4, ROOT_SLOT_QEMU_EXIT_PORTS);
        hand_ports(root, &bochs_exit_ports, 0x8900, 0x8900, ROOT_SLOT_BOCHS_EXIT_PORTS);
    }
    if (!largest)
        panic("the firmware's map leaves no memory for guests");
    tell(s, root);
    struct thread *t;
    e = thread_create(root, load_root(root, largest), 0, 0, 0, ROOT_PRIORITY, 0, 0, &t);
    if (e != OK)
        panic("cannot start root (error %d)", e);
    kernel_unlock();
}
