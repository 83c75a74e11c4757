/*
 * See vmm/exits.h. One function per exit reason; each ends in one of: the instruction has retired, the guest re-executes it,
 * the guest gets a fault, the guest is ended with a reason.
 */
#include "vmm/exits.h"
#include "lib/log.h"
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "vmm/cr.h"
#include "vmm/devices/layout.h"
#include "vmm/emulate.h"

#define STUCK_MAX      100000u /* faults in a row on one page that is there */
#define UNCLAIMED_LOGS 8u

bool exits_need(struct vm_vcpu *v, uint32_t groups)
{
    uint32_t missing = groups & ~(v->have | v->state->dirty);
    if (missing == 0)
        return true;
    enum error error = sys_vcpu_fetch(missing);
    if (error != OK) {
        vm_end(v->vm, GUEST_CRASHED, 0, "vCPU %u: state groups 0x%x cannot be had (error %d)", v->index, missing, (int)error);
        return false;
    }
    v->have |= missing;
    return true;
}

static inline bool need(struct vm_vcpu *v, uint32_t groups)
{
    return (groups & ~v->have) == 0 || exits_need(v, groups);
}

static void crash(struct vm_vcpu *v, const char *what)
{
    struct vcpu_state *s = v->state;
    if (exits_need(v, GROUP_RIP | GROUP_SEG | GROUP_CR))
        vm_end(v->vm, GUEST_CRASHED, 0, "vCPU %u: %s at rip 0x%lx (cs 0x%x, cr0 0x%lx, cr3 0x%lx, cr4 0x%lx, exit detail 0x%lx)",
               v->index, what, s->rip, s->seg[SEG_CS].selector, s->cr0, s->cr3, s->cr4, s->exit.detail);
}

static void inject(struct vm_vcpu *v, const struct guest_fault *f)
{
    struct vcpu_state *s = v->state;
    if (f->is_page_fault) {
        if (!exits_need(v, GROUP_CR))
            return;
        s->cr2 = f->address;
        s->dirty |= GROUP_CR;
    }
    s->inject_error = f->code;
    s->inject = INJECT_VALID | INJECT_TYPE_EXCEPTION | f->vector | (f->has_code ? INJECT_ERROR_CODE : 0);
}

static void inject_gp(struct vm_vcpu *v)
{
    inject(v, &(struct guest_fault){.vector = VECTOR_GP, .has_code = true});
}

/* --- instructions --- */

static void device_access(void *context, uint64_t gpa, unsigned size, bool write, uint64_t *value)
{
    struct vm_vcpu *v = context;
    struct vm *vm = v->vm;
    if (lapic_decodes(&v->lapic, gpa)) { /* each vCPU sees its own there; needs no lock */
        lapic_mmio(&v->lapic, tsc_now(), (uint32_t)(gpa & 0xfff), size, write, value);
        return;
    }
    vm_lock(vm);
    bool claimed = bus_memory(&vm->bus, gpa, size, write, value);
    if (!claimed && vm->unclaimed++ < UNCLAIMED_LOGS)
        log_printf(VMM_SLOT_LOG, "guest %s: %s of %u bytes at 0x%lx: nothing is there\n", vm->boot->name, write ? "write" : "read", size,
                   gpa);
    vm_unlock(vm);
}

/* PIT, its gate, RTC; ACPI timer. What such an access changes may be due before anything else. */
static bool touches_timers(uint16_t port)
{
    return (port >= 0x40 && port < 0x80) || (port >= LAYOUT_PM_BASE && port < LAYOUT_GPE0);
}

static void port_access(void *context, uint16_t port, unsigned size, bool write, uint32_t *value)
{
    struct vm_vcpu *v = context;
    struct vm *vm = v->vm;
    vm_lock(vm);
    /* Unclaimed ports float high and swallow writes, as on a PC: guests probe. */
    (void)bus_port(&vm->bus, port, size, write, value);
    if (port == vm->uart.base && channel_used(&vm->channel->to_guest) > 0)
        machine_console_input(vm); /* the FIFO may have room now */
    if (touches_timers(port))
        vm_unlock_timers(vm);
    else
        vm_unlock(vm);
}

static struct guest_cpu cpu_of(struct vm_vcpu *v)
{
    return (struct guest_cpu){.state = v->state, .memory = &v->vm->memory, .device = device_access, .context = v};
}

/* What the emulator could not do ends the guest, with everything that is needed to add it. */
static void settle(struct vm_vcpu *v, enum verdict verdict, const struct guest_fault *fault, const struct instruction_bytes *seen,
                   const char *what)
{
    if (verdict == VERDICT_FAULT) {
        inject(v, fault);
    } else if (verdict == VERDICT_UNSUPPORTED) {
        char text[128];
        size_t at = (size_t)format(text, sizeof text, "%s: cannot execute", what);
        if (at >= sizeof text)
            at = sizeof text - 1;
        for (unsigned i = 0; i < seen->count && at + 4 < sizeof text; i++)
            at += (size_t)format(text + at, sizeof text - at, " %02x", seen->bytes[i]);
        if (seen->count == 0)
            format(text, sizeof text, "%s: the instruction cannot be fetched", what);
        crash(v, text);
    }
}

static unsigned find_length(struct vm_vcpu *v)
{
    struct instruction_bytes seen = {.count = 0};
    struct guest_cpu c = cpu_of(v);
    if (!exits_need(v, GROUP_RIP | GROUP_SEG | GROUP_CR))
        return 0;
    unsigned length = decode_length(&c, &seen);
    if (length == 0)
        settle(v, VERDICT_UNSUPPORTED, NULL, &seen, "instruction of unknown length");
    return length;
}

/* Past the instruction that made this exit. False: not possible, the guest has been ended. */
static inline bool skip(struct vm_vcpu *v)
{
    unsigned length = v->state->exit.insn_len;
    if (length != 0 && !((v->have | v->state->dirty) & GROUP_RIP)) { /* the kernel does it by itself */
        v->state->advance = length;
        return true;
    }
    if (!need(v, GROUP_RIP) || (length == 0 && (length = find_length(v)) == 0))
        return false;
    /* Only the width of the code decides whether rip is cut to 32 bits, and a rip above 4 GiB is a 64-bit one. */
    struct vcpu_state *s = v->state;
    s->rip = s->rip + length;
    s->shadow &= ~(SHADOW_STI | SHADOW_MOV_SS);
    s->dirty |= GROUP_RIP;
    return true;
}

/* --- one function per reason --- */

static void port_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    uint16_t port = s->exit.port.port;
    unsigned size = s->exit.port.size;
    if (size != 1 && size != 2 && size != 4) {
        crash(v, "port access of an impossible size");
        return;
    }
    if (s->exit.port.string) {
        struct guest_cpu c = cpu_of(v);
        struct guest_fault fault = {0};
        struct instruction_bytes seen = {.count = 0};
        if (exits_need(v, GROUP_RIP | GROUP_SEG | GROUP_CR))
            settle(v, emulate_string_io(&c, port, size, port_access, &seen, &fault), &fault, &seen, "string port access");
        return;
    }
    bool write = !s->exit.port.in;
    uint64_t mask = size == 4 ? 0xffffffffu : (1u << (8 * size)) - 1;
    uint32_t value = write ? (uint32_t)(s->gpr[GPR_RAX] & mask) : (uint32_t)mask;
    port_access(v, port, size, write, &value);
    if (!write) /* a 32-bit result clears the upper half of rax */
        s->gpr[GPR_RAX] = size == 4 ? value : (s->gpr[GPR_RAX] & ~mask) | (value & mask);
    (void)skip(v);
}

static void memory_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    uint64_t at = s->exit.memory.gpa;
    if (guest_ptr(&v->vm->memory, at, 1) != NULL) { /* mapped meanwhile, or by design never: it must not go on for ever */
        v->stuck = v->stuck_gpa == at ? v->stuck + 1 : 0;
        v->stuck_gpa = at;
        if (v->stuck > STUCK_MAX)
            crash(v, "memory that is there keeps faulting");
        return;
    }
    if (s->exit.memory.in_walk) {
        crash(v, "page tables outside of memory");
        return;
    }
    if (s->exit.memory.fetch) { /* the bus gives all ones there, and FF FF is no instruction: what a PC does */
        inject(v, &(struct guest_fault){.vector = VECTOR_UD});
        return;
    }
    struct guest_cpu c = cpu_of(v);
    bool long_code = s->exit.memory.code64;
    if (!need(v, GROUP_RIP | GROUP_CR | (long_code ? 0 : GROUP_SEG)))
        return;
    c.quick = quick_slot(v->quick, s->rip);
    if (quick_execute(c.quick, &c, long_code ? 64 : access_code_width(s), at) || !need(v, GROUP_SEG))
        return;
    struct guest_fault fault = {0};
    struct instruction_bytes seen = {.count = 0};
    enum verdict verdict = emulate_memory(&c, &seen, &fault);
    if (verdict != VERDICT_DONE) {
        char what[64];
        format(what, sizeof what, "access to device memory 0x%lx", at);
        settle(v, verdict, &fault, &seen, what);
    }
}

static void msr_exit(struct vm_vcpu *v, bool write)
{
    struct vcpu_state *s = v->state;
    uint32_t index = (uint32_t)s->gpr[GPR_RCX];
    uint64_t value = (s->gpr[GPR_RAX] & 0xffffffffu) | s->gpr[GPR_RDX] << 32;
    bool ok;
    if (lapic_owns_msr(index)) { /* by far the most frequent; they need no state */
        ok = write ? lapic_wrmsr(&v->lapic, tsc_now(), index, value) : lapic_rdmsr(&v->lapic, tsc_now(), index, &value);
    } else {
        if (!exits_need(v, msr_groups(index)))
            return;
        ok = write ? msr_write(&v->msr, index, value) : msr_read(&v->msr, index, &value);
    }
    if (!ok) {
        inject_gp(v);
    } else if (skip(v) && !write) {
        s->gpr[GPR_RAX] = value & 0xffffffffu;
        s->gpr[GPR_RDX] = value >> 32;
    }
}

static void cpuid_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    uint32_t leaf = (uint32_t)s->gpr[GPR_RAX];
    bool state = cpuid_needs_state(leaf);
    if (state && !exits_need(v, GROUP_CR))
        return;
    struct cpuid_regs r;
    cpuid_lookup(&v->vm->cpuid, v->index, leaf, (uint32_t)s->gpr[GPR_RCX], state ? s->cr4 : 0, state ? s->xcr0 : 0, &r);
    if (!skip(v))
        return;
    s->gpr[GPR_RAX] = r.eax;
    s->gpr[GPR_RBX] = r.ebx;
    s->gpr[GPR_RCX] = r.ecx;
    s->gpr[GPR_RDX] = r.edx;
}

static void hlt_exit(struct vm_vcpu *v)
{
    if (!skip(v))
        return;
    v->special |= SPECIAL_HALTED;
    v->halted_if = (v->state->rflags & (1ull << 9)) != 0;
}

static void hypercall_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    if (!exits_need(v, GROUP_RIP | GROUP_SEG | GROUP_CR))
        return;
    const uint64_t argument[4] = {s->gpr[GPR_RBX], s->gpr[GPR_RCX], s->gpr[GPR_RDX], s->gpr[GPR_RSI]};
    uint64_t result = access_cpl(s) != 0 ? 0 - (uint64_t)1 /* EPERM */ : hypercall(v, s->gpr[GPR_RAX], argument);
    if (skip(v))
        s->gpr[GPR_RAX] = access_code_width(s) == 64 ? result : result & 0xffffffffu;
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
        struct guest_cpu c = cpu_of(v);
        struct guest_fault fault = {0};
        struct instruction_bytes seen = {.count = 0};
        enum verdict verdict = decode_cr(&c, &a, &seen, &fault);
        if (verdict != VERDICT_DONE) {
            settle(v, verdict, &fault, &seen, "control register access");
            return;
        }
    }
    bool ok = true;
    if (a.write && a.number == 8) {
        ok = a.value <= 15;
        if (ok)
            lapic_set_cr8(&v->lapic, (uint8_t)a.value);
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
    if (vector == 18) { /* machine check: the host's, and not to be passed on blindly */
        crash(v, "machine check");
        return;
    }
    if (vector > 31) {
        crash(v, "exception with an impossible vector");
        return;
    }
    /* Exceptions with an error code: SDM vol. 3, table 6-1. */
    bool has_code = (0x60227d00u >> vector & 1) != 0;
    struct guest_fault f = {.vector = (uint8_t)vector, .has_code = has_code, .code = s->exit.exception.error_code};
    inject(v, &f);
}

void exits_handle(struct vm_vcpu *v)
{
    uint32_t reason = v->state->exit.reason;
    v->exits[reason < EXIT_COUNT ? reason : EXIT_UNKNOWN]++;
    switch (v->state->exit.reason) {
    case EXIT_NONE:
    case EXIT_KICK:
    case EXIT_DEADLINE:
    case EXIT_WAITING:
        break;
    case EXIT_PORT:
        port_exit(v);
        break;
    case EXIT_MEMORY:
        memory_exit(v);
        break;
    case EXIT_RDMSR:
        msr_exit(v, false);
        break;
    case EXIT_WRMSR:
        msr_exit(v, true);
        break;
    case EXIT_APIC:
        lapic_written(&v->lapic, v->state->exit.apic.offset, (uint8_t)v->state->exit.apic.vector);
        break;
    case EXIT_CPUID:
        cpuid_exit(v);
        break;
    case EXIT_HLT:
        hlt_exit(v);
        break;
    case EXIT_HYPERCALL:
        hypercall_exit(v);
        break;
    case EXIT_CR_WRITE:
        cr_exit(v, true);
        break;
    case EXIT_CR_READ:
        cr_exit(v, false);
        break;
    case EXIT_XSETBV:
        inject_gp(v);
        break;
    case EXIT_INVALID_OPCODE_WANTED:
        inject(v, &(struct guest_fault){.vector = VECTOR_UD});
        break;
    case EXIT_EXCEPTION:
        exception_exit(v);
        break;
    case EXIT_TRIPLE_FAULT:
        crash(v, "triple fault");
        break;
    case EXIT_SHUTDOWN:
        crash(v, "shutdown");
        break;
    case EXIT_TASK_SWITCH:
        crash(v, "hardware task switch, which this machine does not offer,");
        break;
    case EXIT_BAD_STATE:
        crash(v, "the CPU refused the guest's state");
        break;
    default:
        crash(v, "exit of an unknown kind");
        break;
    }
}
