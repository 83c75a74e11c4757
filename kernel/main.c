// SPDX-License-Identifier: Apache-2.0
/*
 * From the boot loader's hand-over to the CPU loop: read what there is, take the machine over, start the other CPUs,
 * start root.
 */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/smp.h"
#include "arch/x86_64/speculation.h"
#include "arch/x86_64/time.h"
#include "arch/x86_64/traps.h"
#include "boot/multiboot.h"
#include "drivers/screen.h"
#include "drivers/serial.h"
#include "kernel/hardware.h"
#include "kernel/klog_ring.h"
#include "kernel/lock.h"
#include "kernel/options.h"
#include "kernel/root.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"
#include "mm/hostmap.h"
#include "mullion/version.h"

#define IMAGE_BASE    0x100000ull
#define LOW_MEMORY    0x100000ull /* left to firmware: real-mode tables, the other CPUs' way in */
#define FIRST_SERIAL  0x3f8
#define SECOND_SERIAL 0x2f8
#define SLICE_US      10000u
#define VGA_TEXT      0xb8000ull
#define BOOT_MAP_END  0x100000000ull

extern char root_data_end[]; /* of all that the loader has placed: linker.ld */

static struct boot_facts facts;
static struct acpi_facts acpi;
static struct boot_range pool;
static uint64_t trampoline_page;
uint32_t lock_patience;

void boot_main(uint32_t magic, uint64_t info);

static void options_early(void)
{
    if (!option(root_boot.cmdline, "serial=none"))
        serial_init(option(root_boot.cmdline, "serial=0x2f8") ? SECOND_SERIAL : FIRST_SERIAL);
    vmx_without_apicv = option(root_boot.cmdline, "apicv=off");
}

/* A page below 640 KiB for the other CPUs' first steps, not among the lowest, which firmware may still use; 0: none is
 * free. */
static uint64_t find_low_page(const struct boot_range *free, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t page = max_u64(free[i].base, 0x8000);
        if (page + PAGE_SIZE <= min_u64(free[i].base + free[i].size, 0xa0000))
            return page;
    }
    return 0;
}

/* The screen that the loader tells of; VGA text where a BIOS loader tells of none. Through the boot's one-to-one map,
 * so that an early panic is seen; screen_keep maps it for good. */
static void screen_early(void)
{
    if (root_boot.screen.type == SCREEN_NONE && facts.rsdp == 0)
        root_boot.screen = (struct screen_facts){
            .address = VGA_TEXT, .pitch = 160, .width = 80, .height = 25, .type = SCREEN_TEXT};
    root_boot.screen_bytes = screen_plan(&root_boot.screen);
    uint64_t from = root_boot.screen.address;
    for (unsigned i = 0; i < facts.ram_count; i++)
        if (from < facts.ram[i].base + facts.ram[i].size && facts.ram[i].base < from + root_boot.screen_bytes)
            root_boot.screen_bytes = 0; /* not over anybody's memory */
    if (root_boot.screen_bytes && from + root_boot.screen_bytes <= BOOT_MAP_END)
        screen_show((void *)from);
}

static void screen_keep(void)
{
    void *where = root_boot.screen_bytes ? hostmap_video(hpa(root_boot.screen.address), root_boot.screen_bytes) : NULL;
    screen_show(where);
    log_redraw();
    if (!where)
        root_boot.screen_bytes = 0;
}

/* `facts.ram` becomes what root may have. */
static void plan_memory(void)
{
    enum { FREE_MAX = BOOT_RAM_MAX + BOOT_MODULES_MAX + 1 }; /* a range taken out leaves one piece more at most */
    static struct boot_range free[FREE_MAX];
    const struct boot_range low = {0, LOW_MEMORY},
                            image = {IMAGE_BASE, page_up((uint64_t)root_data_end - KERNEL_BASE) - IMAGE_BASE};
    unsigned pieces = facts.ram_count, n = pieces;
    for (unsigned i = 0; i < pieces; i++)
        hardware_keep(facts.ram[i].base, facts.ram[i].size);
    memcpy(free, facts.ram, sizeof facts.ram);
    enum error e = OK;
    for (unsigned i = 0; i < root_boot.module_count && e == OK; i++) {
        const struct boot_module *m = &root_boot.module[i];
        e = ranges_remove(free, &n, FREE_MAX, (struct boot_range){page_down(m->base), page_up(m->size + PAGE_MASK)});
    }
    trampoline_page = find_low_page(free, n);
    e = e == OK ? ranges_remove(free, &n, FREE_MAX, image) : e;
    kassert(e == OK);
    hostmap_init(free, n, root_boot.ram_total, acpi.cpu_count ? acpi.cpu_count : 1,
                 &pool); /* a pool is too large for low memory */
    screen_keep();       /* at once: the next line of the log goes there */

    e = ranges_remove(facts.ram, &facts.ram_count, BOOT_RAM_MAX, low);
    e = e == OK ? ranges_remove(facts.ram, &facts.ram_count, BOOT_RAM_MAX, image) : e;
    e = e == OK ? ranges_remove(facts.ram, &facts.ram_count, BOOT_RAM_MAX, pool) : e;
    if (e != OK)
        root_boot.ranges_left_out++;
    klog(LOG_INFO, "memory: %lu MiB usable in %u pieces, kernel pool %lu MiB at 0x%lx, %u modules",
         root_boot.ram_total >> 20, pieces, pool.size >> 20, pool.base, root_boot.module_count);
}

/* Each CPU but the boot CPU, once it is set up. */
static void cpu_begin(void)
{
    struct cpu *c = this_cpu();
    sched_init(&c->sched, us_to_ticks(SLICE_US));
    speculation_cpu();
    if (backend && backend->cpu_start(c->number) != OK)
        cpu_halt(); /* the boot CPU says so, and goes on without it */
    smp_online();   /* only now: the boot CPU waits, so no other CPU uses the pool meanwhile */
    cpu_run();
}

/* Bochs' CPUs are named as real ones are, but its firmware signs its tables; QEMU's sign so too, and its CPUs tell that
 * they are no hardware. */
static void recognise_emulator(void)
{
    bool hypervisor = cpuid(1, 0).ecx >> 31;
    if (hypervisor && cpuid(0x40000000, 0).ebx == 0x54474354) /* "TCGTCGTCGTCG" */
        emulator = EMULATOR_QEMU;
    if (!hypervisor && acpi.by_bochs)
        emulator = EMULATOR_BOCHS;
    lock_patience = hypervisor ? LOCK_PATIENCE : 0; /* Bochs lets all its CPUs run in turn */
    if (option(root_boot.cmdline, "quirks=none"))
        emulator = EMULATOR_NONE;
    vmx_reach_by_timer = (emulator == EMULATOR_BOCHS || option(root_boot.cmdline, "reach=timer")) &&
                         !option(root_boot.cmdline, "reach=interrupt");
    if (emulator != EMULATOR_NONE)
        klog(LOG_INFO, "work-arounds for %s are on", emulator == EMULATOR_QEMU ? "QEMU" : "Bochs");
}

static void choose_backend(void)
{
    static const struct backend *const all[] = {&vmx_backend, &svm_backend};
    for (unsigned i = 0; i < 2; i++) {
        root_boot.lacks[i] = all[i]->probe();
        if (root_boot.lacks[i].what == LACK_NOTHING) {
            backend = all[i];
            klog(LOG_INFO, "guests run by %s", backend->name);
            return;
        }
    }
}

/* On the boot CPU's own stack. */
static noreturn void boot_continue(void)
{
    cpu_init();
    apic_setup();
    apic_init();
    this_cpu()->apic_id = apic_id();
    smp_online();
    time_init(acpi.pm_port);
    for (unsigned i = 0; i < acpi.ioapic_count; i++)
        if (hardware_is_device(acpi.ioapic[i].base, PAGE_SIZE) == OK)
            ioapic_add(hpa(acpi.ioapic[i].base), acpi.ioapic[i].first_gsi);
        else
            klog(LOG_WARN, "the firmware places an I/O APIC in RAM, at 0x%lx: it is not used", acpi.ioapic[i].base);
    root_boot.barriers = speculation_init(option(root_boot.cmdline, "mitigations=off"),
                                          option(root_boot.cmdline, "mitigations=force"), &root_boot.arch_capabilities);
    speculation_cpu();
    recognise_emulator();
    choose_backend();
    sched_init(&this_cpu()->sched, us_to_ticks(SLICE_US));
    if (backend && backend->cpu_start(0) != OK)
        panic("the boot CPU cannot turn on %s", backend->name);
    if (trampoline_page)
        smp_start(&acpi, trampoline_page, cpu_begin);
    else
        klog(LOG_WARN, "no free page below 640 KiB: the other CPUs cannot be started");
    klog(LOG_INFO, "%u CPUs at %lu.%lu%lu%lu MHz", cpu_count, tsc_khz / 1000, tsc_khz / 100 % 10, tsc_khz / 10 % 10,
         tsc_khz % 10);
    apic_nmi_button(acpi.nmi_lint0);
    root_create(&facts, &acpi, pool);
    cpu_run();
}

void boot_main(uint32_t magic, uint64_t info)
{
    root_boot.entry_tsc = rdtsc();
    enum error e = multiboot_read(magic, info, &facts, &root_boot);
    options_early();
    screen_early();
    klog(LOG_INFO, "Mullion " MULLION_VERSION ", a hypervisor of many panes");
    if (e != OK)
        panic(
            "not started by a Multiboot loader (magic 0x%x): boot Mullion by GRUB's `multiboot2` or `multiboot`, or by `qemu -kernel`",
            magic);
    acpi_read(facts.rsdp, &acpi);
    plan_memory();
    traps_init();
    if (cpu_area_create(0) != OK)
        panic("no kernel memory for the boot CPU");
    cpu_count = 1;
    __asm__ volatile("mov %0, %%rsp; xor %%ebp, %%ebp; call *%1"
                     :
                     : "r"((uint64_t)cpu_by_number(0) + CPU_AREA_SIZE), "r"(boot_continue)
                     : "memory");
    __builtin_unreachable();
}
