// SPDX-License-Identifier: Apache-2.0
/*
 * Builds and runs the guest's platform: wires the devices, keeps their timers, moves console bytes. See vmm/machine.h.
 *
 * Platform timers (PIT, RTC, ACPI PM) are served by vCPU 0's own thread, whose vcpu_run takes the next due time as its
 * deadline. The alternative, thread 0 waiting with a timeout, would cost a wake-up of another thread and a kick for
 * each tick; this way a tick is one exit of the CPU that takes the interrupt anyway, and it is accounted to the guest.
 */
#include "vmm/machine.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "vmm/cpu/cr.h"
#include "vmm/cpu/kvmclock.h"
#include "vmm/cpu/speculation.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/uart.h"
#include "vmm/firmware/acpi.h"
#include "vmm/firmware/bios.h"
#include "vmm/firmware/mptable.h"
#include "vmm/firmware/smbios.h"
#include "vmm/loader/loader.h"
#include "vmm/test.h"

void vm_unlock_timers(struct vm *vm)
{
    uint64_t next = device_set_next_event(&vm->devices);
    uint64_t before = atomic_exchange(&vm->next_event, next);
    lock_release(&vm->lock);
    if (next < before)
        vm_kick(vm, 0);
}

void vm_kick(void *context, unsigned index)
{
    struct vm *vm = context;
    if (index >= vm->vcpus)
        return;
    if (thread_self() == index + 1)
        vm->vcpu[index].recheck = true;
    else
        (void)sys_vcpu_kick(vm->vcpu[index].handle); /* fails only while the vCPU is not made yet, or is gone */
}

void vm_end(struct vm *vm, enum guest_state state, uint32_t exit_code, const char *reason, ...)
{
    uint32_t why = state == GUEST_RESET ? VM_RESETS : VM_ENDS, going = VM_GOES_ON, paused = VM_PAUSES;
    if (atomic_compare_exchange_strong(&vm->ending, &going, why) ||
        atomic_compare_exchange_strong(&vm->ending, &paused, why)) {
        va_list arguments;
        va_start(arguments, reason);
        if (reason != NULL)
            format_list(vm->control->reason, sizeof vm->control->reason, reason, arguments);
        else
            vm->control->reason[0] = 0;
        va_end(arguments);
        vm->control->exit_code = exit_code;
        if (state == GUEST_RESET)
            atomic_fetch_add(&vm->control->resets, 1);
        atomic_store(&vm->control->state, (uint32_t)state);
        (void)sys_event_signal(VMM_SLOT_ROOT_EVENT, vm->boot->root_bits);
    }
    for (unsigned i = 0; i < vm->vcpus; i++)
        vm_kick(vm, i);
    (void)sys_event_signal(VMM_SLOT_EVENT, VMM_EVENT_END);
}

/* --- hooks of the devices; all run under the lock --- */

static void on_gsi(void *context, unsigned gsi, bool level)
{
    irq_router_gsi(context, gsi, level);
}

static enum irq_fate on_fate(void *context, unsigned gsi)
{
    return irq_router_fate(context, gsi);
}

static void on_extint(void *context, bool level)
{
    struct vm *vm = context;
    atomic_store_explicit(&vm->extint, level, memory_order_release);
    if (level)
        vm_kick(vm, 0);
}

static void on_message(void *context, const struct interrupt_message *message)
{
    struct vm *vm = context;
    apic_set_deliver(&vm->apics, message);
}

static void on_eoi(void *context, uint8_t vector) /* not under the lock */
{
    struct vm *vm = context;
    vm_lock(vm);
    ioapic_eoi(vm->ioapic, vector);
    vm_unlock(vm);
}

static void leave_vm(void *context)
{
    struct vm *vm = context;
    vm_unlock(vm);
}

static void enter_vm(void *context)
{
    struct vm *vm = context;
    vm_lock(vm);
}

static void on_poweroff(void *context)
{
    vm_end(context, GUEST_POWEROFF, 0, NULL);
}

static void on_reset(void *context)
{
    vm_end(context, GUEST_RESET, 0, NULL);
}

static void on_debug_exit(void *context, uint32_t code)
{
    vm_end(context, GUEST_POWEROFF, code, NULL);
}

/* The console is woken when it may be asleep: when it had taken everything before these bytes, or when it must make
 * room. */
static size_t on_output(void *context, const uint8_t *bytes, size_t count)
{
    struct vm *vm = context;
    struct channel_ring *ring = &vm->channel->from_guest;
    uint32_t before = atomic_load(&ring->head);
    size_t n = channel_write(ring, bytes, count);
    if (n < count || atomic_load(&ring->tail) == before || channel_space(ring) < CHANNEL_RING_BYTES / 2)
        (void)sys_event_signal(VMM_SLOT_CONSOLE_EVENT, vm->boot->console_bits);
    return n;
}

static size_t on_input(void *context, uint8_t *bytes, size_t count)
{
    struct vm *vm = context;
    size_t n = channel_read(&vm->channel->to_guest, bytes, count);
    if (n > 0) /* there is room in the channel again */
        (void)sys_event_signal(VMM_SLOT_CONSOLE_EVENT, vm->boot->console_bits);
    return n;
}

static uint64_t vcpu_event(void *context, unsigned vcpu)
{
    struct vm *vm = context;
    return vcpu < vm->vcpus ? vm->vcpu[vcpu].event : 0;
}

static uint64_t completion(void *context, const struct device *device, unsigned number)
{
    struct vm *vm = context;
    return device_set_completion(&vm->devices, device, number);
}

void machine_timers(struct vm *vm)
{
    vm_lock(vm);
    device_set_advance(&vm->devices);
    vm_unlock_timers(vm);
}

void machine_polled(struct vm *vm, uint64_t bits)
{
    if (bits & vm->devices.wakes[true])
        device_set_polled(&vm->devices, bits, true);
    if ((bits & vm->devices.wakes[false]) == 0)
        return;
    vm_lock(vm);
    device_set_polled(&vm->devices, bits, false);
    vm_unlock(vm);
}

void machine_power_button(struct vm *vm)
{
    vm_lock(vm);
    pm_power_button(vm->pm);
    vm_unlock(vm);
}

void machine_nmi(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpus; i++) {
        lapic_nmi_line(&vm->vcpu[i].lapic);
        vm_kick(vm, i);
    }
}

void machine_break(struct vm *vm, uint8_t behind)
{
    struct uart *u = device_set_find(&vm->devices, &uart_device, 0);
    vm_lock(vm);
    uart_break(u);
    if (behind != 0)
        (void)uart_receive(u, &behind, 1);
    vm_unlock(vm);
}

/* --- MSR hooks --- */

static uint64_t msr_host_tsc(void *context)
{
    (void)context;
    return tsc_now();
}

static bool msr_apic_read(void *context, uint32_t vcpu, uint32_t index, uint64_t *value)
{
    struct vm *vm = context;
    return lapic_rdmsr(&vm->vcpu[vcpu].lapic, tsc_now(), index, value);
}

static bool msr_apic_write(void *context, uint32_t vcpu, uint32_t index, uint64_t value)
{
    struct vm *vm = context;
    return lapic_wrmsr(&vm->vcpu[vcpu].lapic, tsc_now(), index, value);
}

/* The clock page shows 0 ns at the guest TSC that this vCPU had when the machine started. */
static bool fill_clock(struct vm *vm, const struct vm_vcpu *v)
{
    return v->clock_gpa == 0 ||
           kvmclock_fill(&vm->memory, v->clock_gpa, vm->boot->tsc_khz, vm->boot_tsc + v->state->tsc_offset, 0) == OK;
}

static void msr_tsc_changed(void *context, uint32_t vcpu)
{
    struct vm *vm = context;
    struct vm_vcpu *v = &vm->vcpu[vcpu];
    lapic_set_tsc_offset(&v->lapic, v->state->tsc_offset);
    (void)fill_clock(vm, v); /* the page was good when it was set */
}

void machine_tsc_changed(struct vm *vm, unsigned index)
{
    msr_tsc_changed(vm, index);
}

static bool msr_clock_set(void *context, uint32_t vcpu, uint64_t gpa, bool enabled)
{
    struct vm *vm = context;
    vm->vcpu[vcpu].clock_gpa = enabled ? gpa : 0;
    return fill_clock(vm, &vm->vcpu[vcpu]);
}

/* The time of day at which the guest's clocks begin. Root is trusted, but a monitor is easily held to numbers that make
 * sense. */
static uint64_t start_of_day(const struct vm *vm)
{
    return vm->boot->unix_seconds && vm->boot->unix_seconds < 1ull << 33 ? vm->boot->unix_seconds : GUEST_EPOCH;
}

static bool msr_wall_clock(void *context, uint64_t gpa)
{
    struct vm *vm = context;
    return kvmclock_wall(&vm->memory, gpa, vm->boot_ns) == OK;
}

static void msr_log(void *context, uint32_t vcpu, uint32_t index, bool write, uint64_t value)
{
    const struct vm *vm = context;
    if (write)
        vm_say(vm, "vCPU %u: write of unknown MSR 0x%x = 0x%lx: #GP", vcpu, index, value);
    else
        vm_say(vm, "vCPU %u: read of unknown MSR 0x%x: #GP", vcpu, index);
}

const struct msr_ops machine_msr_ops = {msr_host_tsc,  msr_apic_read,  msr_apic_write, msr_tsc_changed,
                                        msr_clock_set, msr_wall_clock, msr_log};

/* --- construction --- */

static void execute_cpuid(void *context, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    (void)context;
    __asm__ volatile("cpuid"
                     : "=a"(out->eax), "=b"(out->ebx), "=c"(out->ecx), "=d"(out->edx)
                     : "a"(leaf), "c"(subleaf));
}

static enum error build_cpuid(struct vm *vm)
{
    const struct cpuid_request request = {.vcpus = vm->vcpus,
                                          .tsc_khz = vm->boot->tsc_khz,
                                          .apic_khz = LAYOUT_LAPIC_TIMER_HZ / 1000,
                                          .tsc_deadline = true,
                                          .x2apic = true,
                                          .dedicated = vm->boot->dedicated};
    enum error error = cpuid_build(&vm->cpuid, execute_cpuid, NULL, &request);
    if (error != OK)
        return error;
    struct cpuid_regs one, seven, sizes;
    one = cpuid_lookup(&vm->cpuid, 0, 1, 0, 0, 0);
    seven = cpuid_lookup(&vm->cpuid, 0, 7, 0, 0, 0);
    sizes = cpuid_lookup(&vm->cpuid, 0, 0x80000008u, 0, 0, 0);
    /* OSXSAVE (leaf 1, ecx 27) mirrors CR4, XSAVE (26) is the offer. */
    vm->cr4_allowed = cr4_allowed(one.ecx, one.edx, seven.ebx, seven.ecx);
    vm->physical_bits = (sizes.eax & 0xff) >= 32 && (sizes.eax & 0xff) <= 52 ? sizes.eax & 0xff : 36;
    return OK;
}

/* What other parts of the monitor know by name. */
static void find_devices(struct vm *vm)
{
    vm->pic = device_set_find(&vm->devices, &pic_device, 0);
    vm->ioapic = device_set_find(&vm->devices, &ioapic_device, 0);
    vm->pm = device_set_find(&vm->devices, &pm_device, 0);
    vm->router = (struct irq_router){vm->pic, vm->ioapic, &vm->apics};
    vm->platform = (struct platform){
        .boot = vm->boot,
        .memory = &vm->memory,
        .clock = &vm->clock,
        .bus = &vm->bus,
        .pci = device_set_find(&vm->devices, &pci_device, 0),
        .doorbells = &vm->doorbells,
        .irq = {on_gsi, &vm->router, on_fate},
        .power = {vm, on_poweroff, on_reset, on_debug_exit},
        .space = vm->space,
        .boot_tsc = &vm->boot_tsc,
        .unix_seconds = (int64_t)start_of_day(vm),
        .context = vm,
        .message = on_message,
        .extint = on_extint,
        .output = on_output,
        .input = on_input,
        .vcpu_event = vcpu_event,
        .completion = completion,
        .leave_vm = leave_vm,
        .enter_vm = enter_vm,
        .take = lock_take,
        .release = lock_release,
        .events = &vm->lock,
    };
    shared_window(vm, &vm->platform.window, &vm->platform.window_bytes);
}

enum error machine_init(struct vm *vm, char *why, size_t why_size)
{
    const char *failed = "";
    enum error error = build_cpuid(vm);
    if (error != OK) {
        format(why, why_size, "this CPU's CPUID cannot be offered to a guest (error %d)", (int)error);
        return error;
    }
    for (unsigned i = 0; i < vm->vcpus; i++) {
        struct syscall_result event = sys_event_create();
        if (event.error != OK) {
            format(why, why_size, "no event for vCPU %u (error %d)", i, (int)event.error);
            return event.error;
        }
        vm->vcpu[i].event = event.value;
    }
    vm->apics.context = vm;
    vm->apics.physical_bits = (uint8_t)vm->physical_bits;
    vm->apics.kick = vm_kick;
    vm->apics.eoi = on_eoi;
    vm->clock = (struct clock){tsc_now(), vm->boot->tsc_khz};
    vm->boot_ns = start_of_day(vm) * 1000000000u;
    bus_init(&vm->bus);
    error = device_set_place(&vm->devices, device_table, device_table_count, vm->boot, &failed);
    if (error == OK)
        error = device_set_place(&vm->devices, test_device_table, test_device_count, vm->boot, &failed);
    if (test_device_count == 0 && (vm->boot->options.debug_exit_port != 0 || vm->boot->options.bench_device))
        vm_say(vm, "debug-exit and bench-device do nothing: this image has no test code");
    if (error == OK) {
        find_devices(vm);
        error = device_set_init(&vm->devices, &vm->platform, &failed);
    }
    if (error != OK)
        format(why, why_size, "the machine's %s cannot be made (error %d)", failed, (int)error);
    return error;
}

void machine_settle_cpuid(struct vm *vm)
{
    for (uint32_t i = 0; i < vm->cpuid.count && i < CPUID_MAX; i++) {
        const struct cpuid_entry *e = &vm->cpuid.entry[i];
        struct cpuid_regs r = e->regs;
        if (!cpuid_fastpath_able(e->leaf, vm->vcpus))
            continue;
        if (!lapic_on(&vm->vcpu[0].lapic))
            cpuid_hide_apic(e->leaf, &r);
        if (sys_fastpath_cpuid(vm->space, e->leaf | (uint64_t)e->subleaf << 32, r.eax | (uint64_t)r.ebx << 32,
                               r.ecx | (uint64_t)r.edx << 32, e->live) != OK)
            return;
    }
}

void machine_vcpu_init(struct vm *vm, unsigned index)
{
    struct vm_vcpu *v = &vm->vcpu[index];
    struct cpuid_regs one, extended, seven;
    one = cpuid_lookup(&vm->cpuid, index, 1, 0, 0, 0);
    extended = cpuid_lookup(&vm->cpuid, index, 0x80000001u, 0, 0, 0);
    seven = cpuid_lookup(&vm->cpuid, index, 7, 0, 0, 0);
    const struct msr_kind kind = {.intel = vm->cpuid.intel,
                                  .physical_bits = (uint8_t)vm->physical_bits,
                                  .vcpus = (uint8_t)vm->vcpus,
                                  .tsc_khz = vm->boot->tsc_khz,
                                  .features = (uint64_t)one.ecx << 32 | one.edx,
                                  .extended = (uint64_t)extended.ecx << 32 | extended.edx,
                                  .spec_ctrl = speculation_controls(&vm->cpuid),
                                  .tells_capabilities = (seven.edx & CAPABILITIES_7) != 0,
                                  .capabilities = speculation_capabilities(vm->boot->arch_capabilities)};
    lapic_init(&v->lapic, &vm->apics, index, v->state, vm->boot->tsc_khz);
    lapic_firmware_state(&v->lapic);
    msr_init(&v->msr, &machine_msr_ops, vm, v->state, index, kind);
    v->msr.nx = (extended.edx >> 20 & 1) != 0;
    v->pending = index != 0 ? PENDING_WAIT_SIPI : 0;
    v->state->tsc_offset = 0 - vm->boot_tsc; /* the guest's TSC starts near 0, the same on every vCPU */
    v->state->dirty |= GROUP_TSC;
    lapic_set_tsc_offset(&v->lapic, v->state->tsc_offset);
    if (index == 0)
        machine_settle_cpuid(vm);
}

static const struct acpi_machine *describe(const struct vm *vm)
{
    static struct acpi_machine a;
    acpi_standard(&a, vm->vcpus);
    a.gpe0 = 0; /* nothing here raises general-purpose events */
    a.gpe0_bytes = 0;
    shared_window(vm, &a.mmio64_base, &a.mmio64_size);
    return &a;
}

static enum error install_smbios(struct vm *vm, const struct cpuid_regs *one)
{
    static struct smbios_machine s;
    struct cpuid_regs zero;
    zero = cpuid_lookup(&vm->cpuid, 0, 0, 0, 0, 0);
    s = (struct smbios_machine){.name = vm->boot->name,
                                .vcpus = vm->vcpus,
                                .signature = one->eax,
                                .features = one->edx,
                                .mhz = (uint32_t)(vm->boot->tsc_khz / 1000)};
    memcpy(s.cpu_vendor, &zero.ebx, 4);
    memcpy(s.cpu_vendor + 4, &zero.edx, 4);
    memcpy(s.cpu_vendor + 8, &zero.ecx, 4);
    static const uint8_t none[16];
    if (memcmp(vm->boot->options.uuid, none, sizeof none) != 0)
        memcpy(s.uuid, vm->boot->options.uuid, sizeof s.uuid);
    else
        smbios_uuid_of(vm->boot->name, s.uuid);
    return smbios_install(&vm->memory, &s);
}

/* What a PC's firmware leaves in memory. */
static enum error install_firmware(struct vm *vm, uint64_t *rsdp)
{
    struct cpuid_regs one;
    one = cpuid_lookup(&vm->cpuid, 0, 1, 0, 0, 0);
    const struct mptable_machine mp = {vm->vcpus, one.eax, one.edx, LAPIC_VERSION & 0xff};
    enum error error = bios_install(&vm->memory);
    if (error == OK)
        error = acpi_install(&vm->memory, describe(vm), rsdp);
    if (error == OK)
        error = mptable_install(&vm->memory, &mp);
    return error == OK ? install_smbios(vm, &one) : error;
}

enum error machine_load(struct vm *vm, char *why, size_t why_size)
{
    static const struct e820_range reserved[] = {
        {LAYOUT_ECAM_BASE, LAYOUT_ECAM_BYTES}, {LAYOUT_IOAPIC_BASE, 4096}, {LAYOUT_LAPIC_BASE, 4096}};
    static struct e820_map e820;
    static struct load_request request;
    static struct load_result result;
    const struct vmm_boot *b = vm->boot;
    uint64_t rsdp = 0;

    enum error error = install_firmware(vm, &rsdp);
    if (error != OK) {
        format(why, why_size, "the firmware's tables do not fit into the guest's memory (error %d)", (int)error);
        return error;
    }
    error = e820_build(&e820, &vm->memory, reserved, sizeof reserved / sizeof reserved[0]);
    if (error != OK) {
        format(why, why_size, "the guest's memory map cannot be made (error %d)", (int)error);
        return error;
    }
    if (b->module_count < 1 || b->module_count > VMM_MODULES_MAX) {
        format(why, why_size, "the guest has no kernel image");
        return E_ARG;
    }
    request = (struct load_request){
        .kernel = (const void *)b->module[0].va,
        .kernel_size = b->module[0].size,
        .cmdline = b->cmdline,
        .kernel_name = b->kernel_name,
        .module_count = b->module_count - 1,
        .e820 = &e820,
        .rsdp = rsdp,
    };
    for (uint32_t i = 1; i < b->module_count; i++)
        request.module[i - 1] = (struct load_module){(const void *)b->module[i].va, b->module[i].size,
                                                     b->module[i].cmdline};
    error = load_guest(&vm->memory, &request, &result, why, why_size);
    if (error != OK)
        return error;
    vm_say(vm, "image is %s, entry 0x%lx, %lu MiB, %u vCPU%s", load_format_name(result.format), result.rip,
           guest_total(&vm->memory) >> 20, vm->vcpus, vm->vcpus == 1 ? "" : "s");
    apply_initial_state(vm->vcpu[0].state, &result);
    return OK;
}

void machine_fpu(struct vm_vcpu *v)
{
    uint64_t page = VMM_FPU_VA + v->index * sizeof(struct fpu_image);
    if (v->fpu == NULL && sys_vcpu_fpu(page) == OK)
        v->fpu = (struct fpu_image *)page;
}

/* As FNINIT and power-on leave it (Intel SDM vol. 1, 10.2.3; vol. 3, table 9-1). */
static void reset_fpu(struct vm_vcpu *v)
{
    static const uint16_t control = 0x37f;
    static const uint32_t mxcsr = 0x1f80;
    if (v->fpu == NULL)
        return;
    memset(v->fpu, 0, sizeof *v->fpu);
    memcpy(v->fpu->legacy, &control, sizeof control);
    memcpy(v->fpu->legacy + 24, &mxcsr, sizeof mxcsr);
    v->state->dirty |= GROUP_FPU;
}

/* A vCPU as it was made: nothing is left of what its guest did. */
static void reset_vcpu(struct vm *vm, unsigned index)
{
    struct vm_vcpu *v = &vm->vcpu[index];
    struct vcpu_state *s = v->state;
    uint32_t apic_offer = s->apic_offer, nmi_offer = s->nmi_offer;
    memset(s, 0, sizeof *s);
    s->apic_offer = apic_offer;
    s->nmi_offer = nmi_offer;
    apply_sipi_state(s, 0); /* all groups; the boot CPU's are set once more when its image is loaded */
    reset_fpu(v);
    v->recheck = v->halted_if = v->irq_from_pic = false;
    v->step.on = false;
    v->clock_gpa = v->retry_gpa = 0;
    v->retries = 0;
    memset(v->move, 0, sizeof v->move);
    machine_vcpu_init(vm, index);
}

/* The time of day at which the guest's clocks start anew. */
static void restart_clocks(struct vm *vm)
{
    struct pvclock_scale scale;
    uint64_t now = tsc_now();
    if (pvclock_scale(vm->boot->tsc_khz, &scale) == OK)
        vm->boot_ns += pvclock_ns(&scale, now - vm->boot_tsc);
    vm->boot_tsc = now;
}

void machine_forget(struct vm *vm)
{
    restart_clocks(vm);
    vm_lock(vm);
    device_set_reset(&vm->devices);
    doorbell_forget(&vm->doorbells);
    vm->unclaimed = 0;
    vm_unlock_timers(vm);
    for (unsigned i = 0; i < vm->vcpus; i++)
        reset_vcpu(vm, i);
}

enum error machine_reset(struct vm *vm, char *why, size_t why_size)
{
    guest_clear(&vm->memory);
    machine_forget(vm);
    return machine_load(vm, why, why_size);
}
