// SPDX-License-Identifier: Apache-2.0
/*
 * Root's domain: its image is mapped where it lies in the kernel image, its first page tells it what there is
 * (mullion/boot.h), its handles give it all memory, all modules, all ports and interrupts that ring 3 may have. Root
 * divides them; the kernel hands out nothing else.
 */
#include "kernel/root.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/time.h"
#include "drivers/serial.h"
#include "kernel/audit_view.h"
#include "kernel/domain.h"
#include "kernel/hardware.h"
#include "kernel/irq.h"
#include "kernel/klog_ring.h"
#include "kernel/memory.h"
#include "kernel/string.h"
#include "kernel/syscall.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"
#include "mm/hostmap.h"

#define ROOT_PRIORITY    6
#define MSI_WINDOW       0xfee00000ull /* writes there are interrupts (Intel SDM vol. 3, 11.11.1) */
#define MSI_WINDOW_BYTES 0x100000ull
#define HPET             0xfed00000ull /* it can send such messages */

extern char programs_start[], programs_end[], shown_start[], shown_end[];
extern char root_data[], root_data_end[]; /* behind the kernel, mapped in root alone: linker.ld */

struct root_boot root_boot __attribute__((section(".bss.page")));

static void grant(struct domain *root, struct object *o, uint32_t rights, uint32_t slot)
{
    uint32_t got = slot;
    if (handle_put(root, o, rights, &got) != OK)
        panic("no room for root's handle %u", slot);
}

/* The kernel keeps a reference of its own. */
static void grant_lasting(struct domain *root, struct object *o, uint32_t slot)
{
    object_get(o);
    grant(root, o, RIGHTS_ALL, slot);
}

static struct memory *object_over(struct domain *root, uint64_t base, uint64_t size, uint32_t tag, bool is_ram)
{
    enum error e;
    struct memory *m = memory_new(root, hpa(base), size, tag, is_ram, &e);
    if (!m)
        panic("cannot make root's memory object 0x%lx+0x%lx (error %u)", base, size, e);
    return m;
}

/* Never destroyed. */
static void grant_permanent(struct domain *root, uint64_t base, uint64_t size, uint32_t tag, uint32_t rights,
                            uint32_t slot)
{
    struct memory *m = object_over(root, base, size, tag, false);
    m->keep = true;
    grant(root, &m->object, rights | RIGHT_READ | RIGHT_GRANT | RIGHT_MANAGE, slot);
}

static void map_root(struct domain *root, uint64_t from, uint64_t to, const void *at, uint32_t rights)
{
    enum error e = pt_map(&root->tables, from, image_hpa(at), to - from, rights | PT_USER);
    if (e != OK)
        panic("cannot map root's image at 0x%lx (error %u)", from, e);
}

/* What root writes has its place behind the kernel: the rest of the file, a page at most, then zeros. */
static uint64_t load_root(struct domain *root)
{
    const struct program_entry *entry = (const struct program_entry *)programs_start;
    const char *file = programs_start + entry->offset;
    const struct root_image *x = (const struct root_image *)file;
    const char *rodata = file + (x->rodata - ROOT_IMAGE_VA), *data = file + (x->data - ROOT_IMAGE_VA);
    map_root(root, ROOT_IMAGE_VA, x->rodata, file, RIGHT_READ | RIGHT_EXEC);
    map_root(root, x->rodata, x->data, rodata, RIGHT_READ);
    size_t bytes = data < file + entry->size ? (size_t)(file + entry->size - data) : 0;
    kassert(x->end - x->data == (uint64_t)(root_data_end - root_data) && bytes <= PAGE_SIZE);
    memcpy(window_open(image_hpa(root_data)), data, bytes);
    window_close();
    map_root(root, x->data, x->end, root_data, RIGHT_READ | RIGHT_WRITE);
    map_root(root, ROOT_BOOT_VA, ROOT_BOOT_VA + sizeof root_boot, &root_boot, RIGHT_READ);
    return x->entry;
}

static void fill_root_boot(const struct acpi_facts *acpi)
{
    root_boot.magic = ROOT_BOOT_MAGIC;
    root_boot.abi_version = MULLION_ABI_VERSION;
    root_boot.cpu_count = cpu_count;
    root_boot.tsc_khz = tsc_khz;
    copy_string(root_boot.backend, sizeof root_boot.backend, backend ? backend->name : "");
    root_boot.serial_port = serial_port;
    root_boot.acpi_list = acpi->list;
}

static void grant_fixed(struct domain *root, struct boot_range pool)
{
    grant_lasting(root, &root->object, ROOT_SLOT_SELF);
    grant_lasting(root, &hardware_object, ROOT_SLOT_HARDWARE);
    grant_lasting(root, &log_object, ROOT_SLOT_LOG);
    object_init(&log_bell.object, OBJ_IRQ);
    grant_lasting(root, &log_bell.object, ROOT_SLOT_LOG_BELL);
    grant_permanent(root, image_hpa(&klog_ring).v, page_up(sizeof klog_ring), TAG_LOG, 0, ROOT_SLOT_LOG_RING);
    grant_permanent(root, pool.base, pool.size, TAG_KERNEL, 0, ROOT_SLOT_POOL);
    grant_permanent(root, image_hpa(shown_start).v, (uint64_t)(shown_end - shown_start), TAG_KERNEL, 0,
                    ROOT_SLOT_SHOWN);
}

/* What root can have no device memory of, beside RAM: what could raise any vector on any CPU. */
static void keep_memory(const struct acpi_facts *acpi)
{
    for (unsigned i = 0; i < acpi->ioapic_count; i++)
        hardware_keep(page_down(acpi->ioapic[i].base), PAGE_SIZE);
    hardware_keep(apic_base().v, PAGE_SIZE);
    hardware_keep(MSI_WINDOW, MSI_WINDOW_BYTES);
    hardware_keep(HPET, PAGE_SIZE);
}

void root_create(const struct boot_facts *boot, const struct acpi_facts *acpi, struct boot_range pool)
{
    kernel_lock();
    uint64_t quota = min_u64(pool_pages_free() * PAGE_SIZE, pool_pages_total() * PAGE_SIZE - kernel_quota.limit_bytes);
    kernel_quota.limit_bytes += quota;
    struct domain *root = domain_new(NULL, quota);
    kassert(root != NULL); /* the pool is empty but for what this makes */
    root->owner = TAG_ROOT;
    for (unsigned i = 0; i < cpu_count; i++)
        cpuset_set(&root->cpus, i);
    grant_fixed(root, pool);
    keep_memory(acpi);

    uint32_t slot = ROOT_SLOT_FIRST_FREE;
    for (unsigned i = 0; i < boot->ram_count; i++, slot++) {
        struct memory *m = object_over(root, boot->ram[i].base, boot->ram[i].size, 0, true);
        grant(root, &m->object, RIGHT_MAP | RIGHT_MANAGE, slot);
        root_boot.ram[root_boot.ram_count++] = (struct boot_ram){boot->ram[i].base, boot->ram[i].size, slot, 0};
    }
    for (unsigned i = 0; i < root_boot.module_count; i++, slot++) {
        struct boot_module *x = &root_boot.module[i];
        if (x->size == 0)
            continue;
        uint64_t base = page_down(x->base);
        struct memory *m = object_over(root, base, page_up(x->base + x->size) - base, TAG_MODULE, false);
        grant(root, &m->object, RIGHTS_ALL, slot);
        x->slot = slot;
    }
    grant_permanent(root, image_hpa(programs_start).v, (uint64_t)(programs_end - programs_start), TAG_MODULE,
                    RIGHT_EXEC, ROOT_SLOT_PROGRAMS);
    grant_permanent(root, image_hpa(&root_boot).v, sizeof root_boot, TAG_ROOT, 0, slot);
    grant_permanent(root, image_hpa(root_data).v, (uint64_t)(root_data_end - root_data), TAG_ROOT, 0, slot + 1);
    if (boot->ram_count == 0)
        panic("the firmware's map leaves no memory for guests");
    fill_root_boot(acpi);
    shown.root = root;
    shown.kernel_table = kernel_tables.root;
    for (unsigned i = 0; i < ARRAY_SIZE(shown.msr_bitmap); i++)
        shown.msr_bitmap[i] = backend && backend->msr_bitmap ? backend->msr_bitmap[i] : NULL;
    struct thread *t;
    struct new_thread first = {.entry = load_root(root), .place = SCHED_PLACE(0, ROOT_PRIORITY)};
    enum error e = thread_create(root, &first, &t);
    if (e != OK)
        panic("cannot start root (error %u)", e);
    kernel_unlock();
}
