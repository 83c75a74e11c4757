// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/cpu/exits.h. One function per exit reason; each ends in one of: the instruction has retired, the guest
 * re-executes it, the guest gets a fault, the guest is ended with a reason. Accesses to devices are in
 * vmm/cpu/exits_device.c.
 */
#include "vmm/cpu/exits_internal.h"

#include "lib/print.h"
#include "lib/syscall.h"
#include "mullion/regs.h"
#include "vmm/cpu/cr.h"
#include "vmm/cpu/nmi.h"
#include "vmm/insn/task.h"

bool exits_fetch(struct vm_vcpu *v, uint32_t groups)
{
    enum error error = sys_vcpu_fetch(groups);
    if (error != OK)
        vm_end(v->vm, GUEST_CRASHED, 0, "vCPU %u: state groups 0x%x cannot be had (error %d)", v->index, groups,
               (int)error);
    return error == OK;
}

static void exits_end(struct vm_vcpu *v, enum guest_state how, const char *what)
{
    struct vcpu_state *s = v->state;
    if (!exits_need(v, GROUP_RIP | GROUP_SEG | GROUP_CR))
        return;
    exits_report(v, what);
    vm_end(v->vm, how, 0, "vCPU %u: %s at rip 0x%lx (cs 0x%x, cr0 0x%lx, cr3 0x%lx, cr4 0x%lx, exit detail 0x%lx)",
           v->index, what, s->rip, s->seg[SEG_CS].selector, s->cr0, s->cr3, s->cr4, s->exit.detail);
}

void exits_crash(struct vm_vcpu *v, const char *what)
{
    exits_end(v, GUEST_CRASHED, what);
}

/* Traps, aborts, and #DB, by vector: SDM vol. 3, table 6-1. */
#define NO_FAULTS (1u << VECTOR_DB | 1u << 3 | 1u << 4 | 1u << 8 | 1u << VECTOR_MC)

void exits_inject(struct vm_vcpu *v, const struct guest_fault *f)
{
    struct vcpu_state *s = v->state;
    if (!exits_need(v, GROUP_RIP | (f->is_page_fault ? GROUP_CR : 0)))
        return;
    nmi_withdraw(v);
    /* A fault's handler comes back to the instruction, whose breakpoint has been served then (SDM vol. 3, 17.3.1.1). */
    if (!(NO_FAULTS >> f->vector & 1)) {
        s->rflags |= RFLAGS_RF;
        s->dirty |= GROUP_RIP;
    }
    if (f->is_page_fault) {
        s->cr2 = f->address;
        s->dirty |= GROUP_CR;
    }
    s->inject_error = f->code;
    s->inject = INJECT_VALID | INJECT_TYPE_EXCEPTION | f->vector | (f->has_code ? INJECT_ERROR_CODE : 0);
}

static void inject_gp(struct vm_vcpu *v)
{
    exits_inject(v, &(struct guest_fault){.vector = VECTOR_GP, .has_code = true});
}

void exits_finish(struct vm_vcpu *v, enum verdict verdict, const struct guest_fault *fault,
                  const struct instruction_bytes *seen, const char *what)
{
    if (verdict == VERDICT_FAULT) {
        exits_inject(v, fault);
    } else if (verdict == VERDICT_UNSUPPORTED && access_cpl(v->state) == 3) {
        exits_inject(v, &(struct guest_fault){.vector = VECTOR_UD});
    } else if (verdict == VERDICT_UNSUPPORTED) {
        char text[128];
        size_t at = (size_t)format(text, sizeof text, "%s: cannot execute %s", what,
                                   seen->name != NULL ? seen->name : "the instruction");
        if (at >= sizeof text)
            at = sizeof text - 1;
        for (unsigned i = 0; i < seen->count && at + 4 < sizeof text; i++)
            at += (size_t)format(text + at, sizeof text - at, " %02x", seen->bytes[i]);
        if (seen->count == 0)
            format(text, sizeof text, "%s: the instruction cannot be fetched", what);
        exits_crash(v, text);
    }
}

static __attribute__((noinline)) unsigned find_length(struct vm_vcpu *v)
{
    struct instruction_bytes seen = {.count = 0};
    struct guest_cpu c = exits_cpu(v);
    if (!exits_need(v, GROUP_RIP | GROUP_SEG | GROUP_CR))
        return 0;
    unsigned length = decode_length(&c, &seen);
    if (length == 0)
        exits_finish(v, VERDICT_UNSUPPORTED, NULL, &seen, "instruction of unknown length");
    return length;
}

bool exits_skip_here(struct vm_vcpu *v, unsigned length)
{
    if (!exits_need(v, GROUP_RIP) || (length == 0 && (length = find_length(v)) == 0))
        return false;
    /* Only the width of the code decides whether rip is cut to 32 bits, and a rip above 4 GiB is a 64-bit one. */
    emulate_end(v->state, v->state->rip + length);
    return true;
}

/* --- one function per reason --- */

static void rdmsr_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    uint32_t index = (uint32_t)s->gpr[GPR_RCX];
    uint64_t value = 0;
    bool ok;
    if (lapic_owns_msr(index)) { /* the most frequent; they need no state */
        uint64_t now = tsc_now();
        v->recheck |= now >= lapic_next_deadline(&v->lapic); /* then the timer fires here */
        ok = lapic_rdmsr(&v->lapic, now, index, &value);
    } else {
        if (!exits_need(v, msr_groups(index)))
            return;
        ok = msr_read(&v->msr, index, &value);
    }
    if (!ok) {
        inject_gp(v);
    } else if (exits_skip(v, s)) {
        s->gpr[GPR_RAX] = value & 0xffffffffu;
        s->gpr[GPR_RDX] = value >> 32;
    }
}

static __attribute__((noinline)) bool write_msr(struct vm_vcpu *v, uint32_t index, uint64_t value)
{
    return exits_need(v, msr_groups(index)) && msr_write(&v->msr, index, value);
}

static __attribute__((noinline)) void any_wrmsr(struct vm_vcpu *v, struct vcpu_state *s, uint32_t index, uint64_t value)
{
    bool ok = true;
    if (index == MSR_X2APIC_EOI && value == 0 && lapic_x2apic(&v->lapic)) {
        lapic_end_of_interrupt(&v->lapic);
    } else {
        v->recheck = true; /* of priorities, timers or the TSC */
        ok = lapic_owns_msr(index) ? lapic_wrmsr(&v->lapic, tsc_now(), index, value) : write_msr(v, index, value);
        if (index == MSR_APIC_BASE && v->vm->vcpus == 1)
            machine_settle_cpuid(v->vm);
    }
    if (likely(ok))
        (void)exits_skip(v, s);
    else
        inject_gp(v);
}

/* SDM vol. 1, 13.3, and vol. 2, XSETBV: which values there are, and from which ring they are written. */
static bool xcr0_takes(uint64_t value, uint64_t allowed)
{
    uint64_t wide = value & XCR0_AVX512;
    return (value & XCR0_X87) && !(value & ~allowed) && (!(value & XCR0_AVX) || (value & XCR0_SSE)) &&
           (!wide || (wide == XCR0_AVX512 && (value & XCR0_AVX)));
}

static void xsetbv_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    uint64_t value = (s->gpr[GPR_RAX] & 0xffffffffu) | s->gpr[GPR_RDX] << 32;
    if (!exits_need(v, GROUP_CR | GROUP_SEG | GROUP_RIP))
        return;
    if ((uint32_t)s->gpr[GPR_RCX] != 0 || access_cpl(s) != 0 || !(s->cr4 & CR4_OSXSAVE) ||
        !xcr0_takes(value, v->vm->cpuid.xcr0_allowed)) {
        inject_gp(v);
        return;
    }
    s->xcr0 = value;
    s->dirty |= GROUP_CR;
    (void)exits_skip(v, s);
}

/* The next timer: nothing else can have changed. */
static void deadline_wrmsr(struct vm_vcpu *v, struct vcpu_state *s, uint64_t value)
{
    v->recheck |= !lapic_deadline(&v->lapic, tsc_now(), value);
    s->deadline = exits_next_deadline(v);
    (void)exits_skip(v, s);
}

static __attribute__((noinline)) void other_wrmsr(struct vm_vcpu *v, struct vcpu_state *s)
{
    uint32_t index = (uint32_t)s->gpr[GPR_RCX];
    uint64_t value = (s->gpr[GPR_RAX] & 0xffffffffu) | s->gpr[GPR_RDX] << 32;
    if (index == MSR_TSC_DEADLINE)
        deadline_wrmsr(v, s, value);
    else if (index == MSR_X2APIC_ICR && lapic_x2apic(&v->lapic) && lapic_send_x2apic(&v->lapic, value))
        (void)exits_skip(v, s);
    else
        any_wrmsr(v, s, index, value);
}

static void wrmsr_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    bool end = (uint32_t)s->gpr[GPR_RCX] == MSR_X2APIC_EOI && (uint32_t)(s->gpr[GPR_RAX] | s->gpr[GPR_RDX]) == 0;
    if (end && exits_skips_there(s) && lapic_x2apic(&v->lapic) &&
        lapic_end_only(&v->lapic)) /* by far the most frequent */
        s->advance = s->exit.insn_len;
    else
        other_wrmsr(v, s);
}

static void cpuid_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    uint32_t leaf = (uint32_t)s->gpr[GPR_RAX];
    bool state = cpuid_needs_state(leaf);
    if (state && !exits_need(v, GROUP_CR))
        return;
    struct cpuid_regs r;
    r = cpuid_lookup(&v->vm->cpuid, v->index, leaf, (uint32_t)s->gpr[GPR_RCX], state ? s->cr4 : 0, state ? s->xcr0 : 0);
    if (!lapic_on(&v->lapic))
        cpuid_hide_apic(leaf, &r);
    if (!exits_skip(v, s))
        return;
    s->gpr[GPR_RAX] = r.eax;
    s->gpr[GPR_RBX] = r.ebx;
    s->gpr[GPR_RCX] = r.ecx;
    s->gpr[GPR_RDX] = r.edx;
}

static void hlt_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    if (!exits_skip(v, s) || s->pending_debug) /* a single step's exception wakes it at once */
        return;
    v->pending |= PENDING_HALTED;
    v->recheck = true;
    v->halted_if = (s->rflags & (1ull << 9)) != 0;
}

/* KVM's paravirtual calls (Linux Documentation/virt/kvm/x86/hypercalls.rst): number in RAX, the result too. CPUID
 * announces none of them: a guest with several CPUs has them for itself, so waking one from a spin lock would gain
 * nothing; and an x2APIC reaches 16 CPUs by one write. What is not there is ENOSYS, as KVM answers. */
#define KVM_HC_VAPIC_POLL_IRQ 1u /* "have a look": the way back does */
#define KVM_EPERM             1u
#define KVM_ENOSYS            1000u

static void hypercall_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    bool code64 = s->exit.hypercall.code64;
    uint64_t result = 0;
    if (s->exit.hypercall.cpl != 0)
        result = 0 - (uint64_t)KVM_EPERM;
    else if (s->gpr[GPR_RAX] != KVM_HC_VAPIC_POLL_IRQ)
        result = 0 - (uint64_t)KVM_ENOSYS;
    if (exits_skip(v, s))
        s->gpr[GPR_RAX] = code64 ? result : result & 0xffffffffu;
}

static void cr_exit(struct vm_vcpu *v, bool write)
{
    struct vcpu_state *s = v->state;
    struct cr_access a = {.number = s->exit.cr.number,
                          .write = write,
                          .gpr = s->exit.cr.gpr,
                          .value = s->exit.cr.value,
                          .length = s->exit.insn_len};
    if (!exits_need(v, GROUP_RIP | GROUP_SEG | GROUP_CR))
        return;
    if (!s->exit.cr.known || a.length == 0) {
        struct guest_cpu c = exits_cpu(v);
        struct guest_fault fault = {0};
        struct instruction_bytes seen = {.count = 0};
        enum verdict verdict = decode_cr(&c, &a, &seen, &fault);
        if (verdict == VERDICT_UNSUPPORTED && !write) { /* SMSW is not like the moves */
            verdict = emulate_memory(&c, &seen, &fault);
            if (verdict == VERDICT_DONE)
                return;
        }
        if (verdict != VERDICT_DONE) {
            exits_finish(v, verdict, &fault, &seen, "control register access");
            return;
        }
    } else if (write && a.number != 0) { /* CR0 is also written by CLTS and LMSW: VT-x tells the value */
        a.value = gpr_get(s, a.gpr) & (s->seg[SEG_CS].attr & SEG_ATTR_L ? ~0ull : 0xffffffff);
    }
    bool ok = true;
    if (a.write && a.number == 8) {
        ok = a.value <= 15;
        if (ok)
            lapic_set_cr8(&v->lapic, (uint8_t)a.value);
        v->recheck = true;
    } else if (a.write) {
        ok = cr_write(s, a.number, a.value, v->vm->cr4_allowed, v->vm->physical_bits);
    } else {
        const uint64_t values[9] = {[0] = s->cr0, [2] = s->cr2, [3] = s->cr3, [4] = s->cr4, [8] = lapic_cr8(&v->lapic)};
        ok = a.number < 9 && (0x11du >> a.number & 1);
        if (ok)
            gpr_set(s, a.gpr, values[a.number]);
    }
    if (!ok)
        inject_gp(v);
    else
        emulate_skip(s, a.length);
}

static void exception_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    uint32_t vector = s->exit.exception.vector;
    if (vector == VECTOR_MC) { /* an error of the machine's, and what this guest was doing is lost */
        exits_crash(v, "machine check, of which Mullion's log has more,");
        return;
    }
    if (vector > 31) {
        exits_crash(v, "exception with an impossible vector");
        return;
    }
    /* Exceptions with an error code: SDM vol. 3, table 6-1. */
    bool has_code = (0x60227d00u >> vector & 1) != 0;
    struct guest_fault f = {.vector = (uint8_t)vector,
                            .has_code = has_code,
                            .code = s->exit.exception.error_code,
                            .is_page_fault = vector == VECTOR_PF,
                            .address = s->exit.exception.address};
    if (!v->step.on || nmi_stepped(v))
        exits_inject(v, &f);
}

/* Another thread has posted something, or what a device had asked for is done. */
static void kick_exit(struct vm_vcpu *v)
{
    uint64_t events = v->state->exit.kick.events;
    if (events != 0)
        device_set_completed(&v->vm->devices, v->index, events);
    v->recheck = true;
}

/* Time has come. */
static void look_exit(struct vm_vcpu *v)
{
    v->recheck = true;
}

/* The guest has written to a register that the CPU virtualizes in part. */
static void apic_exit(struct vm_vcpu *v)
{
    lapic_written(&v->lapic, v->state->exit.apic.offset, (uint8_t)v->state->exit.apic.vector);
    v->recheck = true;
}

static void no_exit(struct vm_vcpu *v)
{
    (void)v;
}

static void cr_write_exit(struct vm_vcpu *v)
{
    cr_exit(v, true);
}

static void cr_read_exit(struct vm_vcpu *v)
{
    cr_exit(v, false);
}

static void invalid_opcode_exit(struct vm_vcpu *v)
{
    exits_inject(v, &(struct guest_fault){.vector = VECTOR_UD});
}

/* A PC's chip set answers the CPU's shutdown cycle with a reset. */
static void triple_fault_exit(struct vm_vcpu *v)
{
    bool crash = v->vm->boot->options.on_triple_fault == TRIPLE_FAULT_CRASHES;
    exits_end(v, crash ? GUEST_CRASHED : GUEST_RESET, "triple fault");
}

static void shutdown_exit(struct vm_vcpu *v)
{
    exits_crash(v, "shutdown");
}

/* The double fault's own task faults: nothing is left to try (SDM vol. 3, 6.15). */
static bool is_third(uint64_t event, enum verdict verdict)
{
    return verdict == VERDICT_FAULT && (event & INJECT_VALID) && (event & INJECT_VECTOR_MASK) == VECTOR_DF;
}

static void task_switch_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    struct guest_cpu c = exits_cpu(v);
    struct guest_fault fault;
    if (!exits_need(v, GROUP_DR))
        return;
    uint64_t event = s->event;
    uint32_t type = (uint32_t)event & INJECT_TYPE_MASK, vector = (uint32_t)event & INJECT_VECTOR_MASK;
    bool hardware = (event & INJECT_VALID) && type <= INJECT_TYPE_EXCEPTION, exception = type == INJECT_TYPE_EXCEPTION;
    unsigned length = hardware ? 0 : s->exit.insn_len;
    if (!hardware && length == 0 && (length = find_length(v)) == 0)
        return;
    struct task_switch t = {.selector = (uint16_t)s->exit.task.info,
                            .by = (uint8_t)(s->exit.task.info >> 30),
                            .next = s->rip + length,
                            .by_fault = hardware && exception && !(NO_FAULTS >> (vector & 31) & 1),
                            .has_code = hardware && (event & INJECT_ERROR_CODE),
                            .code = (uint32_t)(event >> 32)};
    s->event = 0; /* the switch delivers it */
    s->dirty |= GROUP_DR;
    if (hardware && type == INJECT_TYPE_NMI)
        s->shadow |= SHADOW_NMI;
    else if (t.by == TASK_BY_IRET)
        s->shadow &= ~SHADOW_NMI;
    s->dirty |= GROUP_RIP;
    enum verdict verdict = task_switch(&c, &t, &fault);
    if (is_third(event, verdict))
        triple_fault_exit(v);
    else if (verdict == VERDICT_UNSUPPORTED)
        exits_crash(v, "hardware task switch whose tables are not in RAM");
    else if (verdict == VERDICT_FAULT)
        exits_inject(v, &fault);
}

static void bad_state_exit(struct vm_vcpu *v)
{
    /* 8: VT-x' error of an entry with a bad host state (SDM vol. 3, 31.4); other details are no such errors. */
    if (v->state->exit.detail == 0x80000029) { /* VT-x: a failed entry, reason 41 */
        exits_crash(v, "machine check at the guest's entry, of which Mullion's log has more,");
        return;
    }
    exits_crash(v, v->state->exit.detail == 8 ? "the CPU refused Mullion's own state, a mistake of the kernel's,"
                                              : "the CPU refused the guest's state");
}

static void unknown_exit(struct vm_vcpu *v)
{
    exits_crash(v, "exit of an unknown kind");
}

void (*const exit_handler[EXIT_COUNT])(struct vm_vcpu *v) = {
    [EXIT_NONE] = no_exit,
    [EXIT_KICK] = kick_exit,
    [EXIT_DEADLINE] = look_exit,
    [EXIT_PORT] = exits_port,
    [EXIT_MEMORY] = exits_memory,
    [EXIT_RDMSR] = rdmsr_exit,
    [EXIT_WRMSR] = wrmsr_exit,
    [EXIT_CPUID] = cpuid_exit,
    [EXIT_APIC] = apic_exit,
    [EXIT_HLT] = hlt_exit,
    [EXIT_HYPERCALL] = hypercall_exit,
    [EXIT_CR_WRITE] = cr_write_exit,
    [EXIT_CR_READ] = cr_read_exit,
    [EXIT_XSETBV] = xsetbv_exit,
    [EXIT_EXCEPTION] = exception_exit,
    [EXIT_TRIPLE_FAULT] = triple_fault_exit,
    [EXIT_TASK_SWITCH] = task_switch_exit,
    [EXIT_INVALID_OPCODE_WANTED] = invalid_opcode_exit,
    [EXIT_SHUTDOWN] = shutdown_exit,
    [EXIT_BAD_STATE] = bad_state_exit,
    [EXIT_UNKNOWN] = unknown_exit,
    [EXIT_IRET] = nmi_iret_exit,
    [EXIT_WAITING] = no_exit,
};
