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
#include "kernel/klog_ring.h"
#include "kernel/options.h"
#include "kernel/root.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"
#include "mm/hostmap.h"

#define IMAGE_BASE     0x100000ull
#define LOW_MEMORY     0x100000ull /* left to firmware: real-mode tables, the other CPUs' way in */
#define DEFAULT_SERIAL 0x3f8
#define SLICE_US       10000u
#define VGA_TEXT       0xb8000ull
#define BOOT_MAP_END   0x100000000ull

extern char kernel_end[];

static struct boot_facts facts;
static struct acpi_facts acpi;
static struct root_setup setup;
static uint64_t trampoline_page;
static char why_no_backend[128];

void boot_main(uint32_t magic, uint64_t info);

static void options_early(void)
{
    char value[32];
    uint16_t port = DEFAULT_SERIAL;
    if (option(facts.cmdline, "serial", value, sizeof value))
        port = !strcmp(value, "none") ? 0 : !strcmp(value, "0x2f8") ? 0x2f8 : DEFAULT_SERIAL;
    serial_init(port);
    vmx_without_apicv = option(facts.cmdline, "apicv", value, sizeof value) && !strcmp(value, "off");
    if (option(facts.cmdline, "log", value, sizeof value))
        log_level = !strcmp(value, "debug")   ? LOG_DEBUG
                    : !strcmp(value, "warn")  ? LOG_WARN
                    : !strcmp(value, "error") ? LOG_ERROR
                                              : LOG_INFO;
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
    if (facts.screen.type == SCREEN_NONE && facts.rsdp == 0)
        facts.screen = (struct screen_facts){
            .address = VGA_TEXT, .pitch = 160, .width = 80, .height = 25, .type = SCREEN_TEXT};
    setup.screen_bytes = screen_plan(&facts.screen);
    uint64_t from = facts.screen.address;
    for (unsigned i = 0; i < facts.ram_count; i++)
        if (from < facts.ram[i].base + facts.ram[i].size && facts.ram[i].base < from + setup.screen_bytes)
            setup.screen_bytes = 0; /* not over anybody's memory */
    if (setup.screen_bytes && from + setup.screen_bytes <= BOOT_MAP_END)
        screen_show(&facts.screen, (void *)from);
}

static void screen_keep(void)
{
    void *where = setup.screen_bytes ? hostmap_video(hpa(facts.screen.address), setup.screen_bytes) : NULL;
    if (where)
        screen_show(&facts.screen, where);
    else
        setup.screen_bytes = screen_plan(&(struct screen_facts){.type = SCREEN_NONE});
    if (where && facts.screen.type == SCREEN_TEXT) /* no cursor: CRT controller register 10, bit 5 */
        out8(0x3d4, 10), out8(0x3d5, 0x20);
    if (!where && facts.screen.type != SCREEN_NONE)
        klog(LOG_WARN, "no screen: type %u, %ux%u, %u bits, pitch %u at 0x%lx cannot be used", facts.screen.type,
             facts.screen.width, facts.screen.height, facts.screen.bits, facts.screen.pitch, facts.screen.address);
}

static void plan_memory(void)
{
    enum { FREE_MAX = BOOT_RAM_MAX + BOOT_MODULES_MAX + 2 }; /* a range taken out leaves one piece more at most */
    static struct boot_range free[FREE_MAX];
    const struct boot_range low = {0, LOW_MEMORY},
                            image = {IMAGE_BASE, page_up((uint64_t)kernel_end - KERNEL_BASE) - IMAGE_BASE};
    unsigned n = facts.ram_count;
    memcpy(free, facts.ram, sizeof facts.ram);
    enum error e = OK;
    for (unsigned i = 0; i < facts.module_count && e == OK; i++) {
        struct boot_range r = facts.module[i].range;
        e = ranges_remove(free, &n, FREE_MAX, (struct boot_range){page_down(r.base), page_up(r.size + PAGE_MASK)});
    }
    trampoline_page = find_low_page(free, n);
    e = e == OK ? ranges_remove(free, &n, FREE_MAX, low) : e;
    e = e == OK ? ranges_remove(free, &n, FREE_MAX, image) : e;
    kassert(e == OK);
    hostmap_init(free, n, facts.ram_total, acpi.cpu_count, &setup.pool);
    screen_keep(); /* at once: the next line of the log goes there */

    memcpy(setup.ram, facts.ram, sizeof setup.ram);
    setup.ram_count = facts.ram_count;
    e = ranges_remove(setup.ram, &setup.ram_count, BOOT_RAM_MAX, low);
    e = e == OK ? ranges_remove(setup.ram, &setup.ram_count, BOOT_RAM_MAX, image) : e;
    e = e == OK ? ranges_remove(setup.ram, &setup.ram_count, BOOT_RAM_MAX, setup.pool) : e;
    if (e != OK)
        klog(LOG_WARN, "the firmware's memory map is in too many pieces; some memory stays unused");
    klog(LOG_INFO, "memory: %lu MiB usable in %u pieces, kernel pool %lu MiB at 0x%lx, %u modules",
         facts.ram_total >> 20, facts.ram_count, setup.pool.size >> 20, setup.pool.base, facts.module_count);
}

/* Each CPU but the boot CPU, once it is set up. */
static void cpu_begin(void)
{
    struct cpu *c = this_cpu();
    sched_init(&c->sched, us_to_ticks(SLICE_US));
    speculation_cpu();
    if (backend && backend->cpu_start(c->number) != OK)
        panic("CPU %u cannot turn on %s although the boot CPU could", c->number, backend->name);
    smp_online(); /* only now: the boot CPU waits, so no other CPU uses the pool meanwhile */
    cpu_run();
}

/* Bochs' CPUs are named as real ones are, but its firmware signs its tables; QEMU's sign so too, and its CPUs tell that
 * they are no hardware. */
static void recognise_emulator(void)
{
    char value[32];
    bool hypervisor = cpuid(1, 0).ecx >> 31;
    if (hypervisor && cpuid(0x40000000, 0).ebx == 0x54474354) /* "TCGTCGTCGTCG" */
        emulator = EMULATOR_QEMU;
    if (!hypervisor && acpi.by_bochs)
        emulator = EMULATOR_BOCHS;
    if (option(facts.cmdline, "quirks", value, sizeof value) && !strcmp(value, "none"))
        emulator = EMULATOR_NONE;
    vmx_reach_by_timer = emulator == EMULATOR_BOCHS;
    if (option(facts.cmdline, "reach", value, sizeof value))
        vmx_reach_by_timer = !strcmp(value, "timer");
    if (emulator != EMULATOR_NONE)
        klog(LOG_INFO, "work-arounds for %s are on", emulator == EMULATOR_QEMU ? "QEMU" : "Bochs");
}

static void choose_backend(void)
{
    static const struct backend *const all[] = {&vmx_backend, &svm_backend};
    char why[2][sizeof why_no_backend];
    for (unsigned i = 0; i < 2; i++)
        if (all[i]->probe(why[i], sizeof why[i]) == OK) {
            backend = all[i];
            klog(LOG_INFO, "guests run by %s", backend->name);
            return;
        }
    /* Intel's reason on Intel, AMD's on AMD. */
    bool amd = cpuid(0, 0).ebx == 0x68747541 || cpuid(0, 0).ebx == 0x6f677948;
    copy_string(why_no_backend, sizeof why_no_backend, why[amd]);
    klog(LOG_ERROR, "this machine cannot run guests: %s", why_no_backend);
}

/* On the boot CPU's own stack. */
static noreturn void boot_continue(void)
{
    cpu_init();
    apic_setup(hpa(acpi.apic_base));
    apic_init();
    this_cpu()->apic_id = apic_id();
    smp_online();
    time_init();
    for (unsigned i = 0; i < acpi.ioapic_count; i++)
        ioapic_add(hpa(acpi.ioapic[i].base), acpi.ioapic[i].first_gsi);
    char how[8] = "";
    option(facts.cmdline, "mitigations", how, sizeof how);
    speculation_init(how);
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
    klog(LOG_INFO, "%u CPUs at %lu.%03lu MHz", cpu_count, tsc_khz / 1000, tsc_khz % 1000);
    setup.boot = &facts;
    setup.acpi = &acpi;
    setup.backend_error = why_no_backend;
    root_create(&setup);
    cpu_run();
}

void boot_main(uint32_t magic, uint64_t info)
{
    setup.entry_tsc = rdtsc();
    enum error e = multiboot_read(magic, info, &facts);
    options_early();
    screen_early();
    klog(LOG_INFO, "Mullion, a hypervisor of many panes");
    if (e != OK)
        panic(
            "not started by a Multiboot loader (magic 0x%x): boot Mullion by GRUB's `multiboot2` or `multiboot`, or by `qemu -kernel`",
            magic);
    if (facts.ranges_left_out || facts.modules_left_out)
        klog(LOG_WARN, "left out: %u pieces of memory and %u modules beyond what Mullion keeps", facts.ranges_left_out,
             facts.modules_left_out);
    acpi_read(facts.rsdp, &acpi);
    if (acpi.cpu_count == 0)
        acpi.cpu_count = 1;
    plan_memory();
    traps_init();
    if (cpu_area_create(0, 0) != OK)
        panic("no kernel memory for the boot CPU");
    cpu_count = 1;
    __asm__ volatile("mov %0, %%rsp; xor %%ebp, %%ebp; call *%1"
                     :
                     : "r"((uint64_t)cpu_by_number(0) + CPU_AREA_SIZE), "r"(boot_continue)
                     : "memory");
    __builtin_unreachable();
}
