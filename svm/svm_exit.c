// SPDX-License-Identifier: Apache-2.0
/*
 * From the VMCB's exit fields to the common form. Pure: reads the VMCB, writes the record, changes nothing. An exit
 * code that was not asked for is EXIT_UNKNOWN, never an assertion: guests choose what exits they cause.
 */
#include "mullion/regs.h"
#include "svm/svm.h"

#define ATTR_LONG (1u << 9) /* packed as the VMCB has it: AMD APM vol. 2, 15.5.1 */

/* The instruction's length without prefixes, for CPUs that do not report the next RIP; 0: the monitor must decode. */
static uint32_t length_of(uint64_t code)
{
    switch (code) {
    case SVM_EXIT_HLT: return 1;
    case SVM_EXIT_CPUID:
    case SVM_EXIT_MSR:
    case SVM_EXIT_WBINVD:
    case SVM_EXIT_INVD: return 2;
    case SVM_EXIT_VMMCALL:
    case SVM_EXIT_XSETBV: return 3;
    default: return 0;
    }
}

/* The record's port, size and direction in one word: the hot half of what guests do. */
static uint32_t port(const struct vmcb_control *c, uint64_t rip, struct vcpu_exit *out)
{
    uint32_t info = (uint32_t)c->exit_info1;
    uint64_t length = c->exit_info2 - rip; /* 15.10.2: the CPU always gives the next RIP here */
    out->raw[0] = info >> 16 | (info & IO_SIZES) << 12 | (info & IO_IN) << 24;
    out->insn_len = unlikely(length > INSTRUCTION_MAX) ? 0 : (uint32_t)length;
    if (unlikely(info & IO_STRING)) {
        out->port.string = 1;
        out->port.rep = (info & IO_REP) != 0;
        return EXIT_PORT | RUN_DECODE;
    }
    return EXIT_PORT;
}
_Static_assert(offsetof(struct vcpu_exit, port.size) == offsetof(struct vcpu_exit, raw) + 2 &&
                   offsetof(struct vcpu_exit, port.in) == offsetof(struct vcpu_exit, raw) + 3 && IO_SIZES == 0x70 &&
                   IO_IN == 1,
               "port() relies on it");

static bool code64(const struct vmcb *b)
{
    return (b->save.efer & EFER_LMA) && (b->save.cs.attributes & ATTR_LONG);
}

static uint32_t memory(const struct vmcb *b, struct vcpu_exit *out)
{
    const struct vmcb_control *c = &b->control;
    uint64_t info = c->exit_info1;
    out->raw[2] = 0;
    out->memory.gpa = c->exit_info2;
    out->memory.gva = 0;
    out->memory.write = (info & NPF_WRITE) != 0;
    out->memory.fetch = (info & NPF_FETCH) != 0;
    out->memory.read = !(info & (NPF_WRITE | NPF_FETCH));
    out->memory.in_walk = (info & NPF_IN_WALK) != 0;
    out->memory.code64 = code64(b);
    out->insn_len = 0; /* the next-RIP field is not valid for faults */
    return EXIT_MEMORY;
}

/* task.info. AMD APM vol. 2, 15.14.1 */
static uint32_t task(const struct vmcb_control *c)
{
    uint32_t selector = (uint16_t)c->exit_info1;
    if (c->exit_info2 & TASK_IRET)
        return selector | TASK_BY_IRET << 30;
    if (c->exit_info2 & TASK_JUMP)
        return selector | TASK_BY_JUMP << 30;
    return selector | (c->exit_event & EVENT_VALID ? TASK_BY_GATE : TASK_BY_CALL) << 30;
}

/* Instructions that the guest's CPU does not have: by intercept word. */
static const uint32_t not_offered[ARRAY_SIZE(svm_intercepts)] = {
    INTERCEPT(SVM_EXIT_RDPMC) | INTERCEPT(SVM_EXIT_INVLPGA),
    INTERCEPT(SVM_EXIT_VMRUN) | INTERCEPT(SVM_EXIT_VMLOAD) | INTERCEPT(SVM_EXIT_VMSAVE) | INTERCEPT(SVM_EXIT_STGI) |
        INTERCEPT(SVM_EXIT_CLGI) | INTERCEPT(SVM_EXIT_SKINIT) | INTERCEPT(SVM_EXIT_MONITOR) |
        INTERCEPT(SVM_EXIT_MWAIT) | INTERCEPT(SVM_EXIT_MWAIT_ARMED) | INTERCEPT(SVM_EXIT_RDPRU),
    INTERCEPT(SVM_EXIT_INVLPGB) | INTERCEPT(SVM_EXIT_MCOMMIT) | INTERCEPT(SVM_EXIT_TLBSYNC),
};

static uint32_t reason_of(uint64_t code)
{
    if (code >= SVM_EXIT_READ_DR0 && code < SVM_EXIT_INTR)
        return EXIT_NONE;
    switch (code) {
    case SVM_EXIT_NMI:
    case SVM_EXIT_SMI:
    case SVM_EXIT_VINTR: return EXIT_WAITING; /* the window is open: the next entry delivers */
    case SVM_EXIT_INVD:
    case SVM_EXIT_WBINVD: return EXIT_NONE;
    case SVM_EXIT_IRET: return EXIT_IRET;
    case SVM_EXIT_XSETBV: return EXIT_XSETBV;
    case SVM_EXIT_READ_CR0:
    case SVM_EXIT_READ_CR0 + 4: return EXIT_CR_READ;
    case SVM_EXIT_CR0_SELECTIVE:
    case SVM_EXIT_WRITE_CR0:
    case SVM_EXIT_WRITE_CR0 + 4:
    case SVM_EXIT_WRITE_CR0 + 8: return EXIT_CR_WRITE;
    case SVM_EXIT_CPUID: return EXIT_CPUID;
    case SVM_EXIT_HLT: return EXIT_HLT;
    case SVM_EXIT_VMMCALL: return EXIT_HYPERCALL;
    case SVM_EXIT_INIT: return EXIT_SHUTDOWN;
    case SVM_EXIT_SHUTDOWN: return EXIT_TRIPLE_FAULT;
    case SVM_EXIT_TASK_SWITCH: return EXIT_TASK_SWITCH;
    default:
        return (code - SVM_EXIT_INTR) / 32 < ARRAY_SIZE(not_offered) &&
                       not_offered[(code - SVM_EXIT_INTR) / 32] & INTERCEPT(code)
                   ? EXIT_INVALID_OPCODE_WANTED
                   : EXIT_UNKNOWN;
    }
}

uint32_t svm_length(const struct vmcb *b, uint32_t helps)
{
    uint64_t length = (helps & SVM_FEATURE_NRIPS) && b->control.next_rip ? b->control.next_rip - b->save.rip
                                                                         : length_of(b->control.exit_code);
    return length <= INSTRUCTION_MAX ? (uint32_t)length : 0;
}

#define CR_BY(number, gpr) ((number) | (gpr) << 8 | 1ull << 16)
_Static_assert(offsetof(struct vcpu_exit, cr.gpr) == offsetof(struct vcpu_exit, raw) + 1 &&
                   offsetof(struct vcpu_exit, cr.known) == offsetof(struct vcpu_exit, raw) + 2,
               "svm_translate() relies on it");

inline __attribute__((always_inline)) uint32_t svm_translate(const struct vmcb *b, uint32_t helps, uint64_t rcx,
                                                             struct vcpu_exit *out)
{
    const struct vmcb_control *c = &b->control;
    uint64_t code = c->exit_code;
    out->detail = code;
    if (code == SVM_EXIT_IOIO)
        return port(c, b->save.rip, out);
    if (code == SVM_EXIT_MSR) {
        out->insn_len = helps & SVM_FEATURE_NRIPS ? svm_length(b, helps) : 2;
        out->raw[0] = (uint32_t)rcx;
        if (c->exit_info1 & 1)
            return EXIT_WRMSR;
        return EXIT_RDMSR;
    }
    if (code == SVM_EXIT_INTR)
        return EXIT_WAITING;
    if (code == SVM_EXIT_NPF)
        return memory(b, out);
    /* CR4 and writes of CR8. CR0, which CLTS, LMSW and SMSW reach too, the monitor must decode: cr.known is 0. */
    bool known = helps & SVM_FEATURE_DECODES && c->exit_info1 & CR_DECODED && code < SVM_EXIT_READ_DR0 && code & 0xf;
    out->raw[0] = known ? CR_BY(code & 0xf, c->exit_info1 & CR_GPR) : 0;
    out->insn_len = 0;
    if ((uint32_t)code == SVM_EXIT_INVALID)
        return EXIT_BAD_STATE;
    out->insn_len = svm_length(b, helps);
    if (code == SVM_EXIT_VMMCALL) {
        out->hypercall.cpl = b->save.cpl;
        out->hypercall.code64 = code64(b);
    }
    if (code == SVM_EXIT_TASK_SWITCH)
        out->raw[0] = task(c);
    return reason_of(code);
}

uint64_t svm_interrupted_event(uint64_t exit_event)
{
    uint64_t vector = exit_event & EVENT_VECTOR, type = exit_event & EVENT_TYPE;
    if (!(exit_event & EVENT_VALID))
        return 0; /* the rest is stale then */
    /* INT n, INT3 and INTO: RIP is still at the instruction, the guest simply does it again. */
    if (type == EVENT_SOFTWARE || (type == EVENT_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF)))
        return 0;
    /* Without an error code its field is stale. */
    return exit_event & (EVENT_VALID | EVENT_TYPE | EVENT_VECTOR | EVENT_ERROR_CODE |
                         (exit_event & EVENT_ERROR_CODE ? ~0ull << EVENT_ERROR_SHIFT : 0));
}
