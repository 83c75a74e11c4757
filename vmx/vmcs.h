/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMCS: field encodings and the bits in the fields. Source: Intel SDM vol. 3, appendix B (encodings), chapter 25
 * (fields).
 *
 * Encodings are one-member structs, one type per width: an encoding passed where a value was meant, or the other way
 * round, does not compile. They fold to immediates.
 */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include <stdint.h>

typedef struct {
    uint32_t code;
} vmcs16_t;
typedef struct {
    uint32_t code;
} vmcs32_t;
typedef struct {
    uint32_t code;
} vmcs64_t;
typedef struct {
    uint32_t code;
} vmcsn_t; /* natural width: 64 bits here */

#define F16(c) ((vmcs16_t){c})
#define F32(c) ((vmcs32_t){c})
#define F64(c) ((vmcs64_t){c})
#define FN(c)  ((vmcsn_t){c})

/* Segment registers: index SEG_*, whose order is the encodings' order. */
#define GUEST_SELECTOR(i) F16(0x0800 + 2 * (uint32_t)(i))
#define GUEST_LIMIT(i)    F32(0x4800 + 2 * (uint32_t)(i))
#define GUEST_ATTR(i)     F32(0x4814 + 2 * (uint32_t)(i))
#define GUEST_BASE(i)     FN(0x6806 + 2 * (uint32_t)(i))

#define CONTROL_VPID           F16(0x0000)
#define GUEST_INTERRUPT_STATUS F16(0x0810)
#define HOST_ES                F16(0x0c00)
#define HOST_CS                F16(0x0c02)
#define HOST_SS                F16(0x0c04)
#define HOST_DS                F16(0x0c06)
#define HOST_FS                F16(0x0c08)
#define HOST_GS                F16(0x0c0a)
#define HOST_TR                F16(0x0c0c)

#define CONTROL_MSR_BITMAP   F64(0x2004)
#define CONTROL_TSC_OFFSET   F64(0x2010)
#define CONTROL_VIRTUAL_APIC F64(0x2012)
#define CONTROL_EPTP         F64(0x201a)
#define CONTROL_EOI_EXIT(i)  F64(0x201c + 2 * (uint32_t)(i))
#define EXIT_GUEST_PHYSICAL  F64(0x2400)
#define GUEST_LINK_POINTER   F64(0x2800)
#define GUEST_DEBUGCTL       F64(0x2802)
#define GUEST_PAT            F64(0x2804)
#define GUEST_EFER           F64(0x2806)
#define HOST_PAT             F64(0x2c00)
#define HOST_EFER            F64(0x2c02)

#define CONTROL_PIN             F32(0x4000)
#define CONTROL_PROC            F32(0x4002)
#define CONTROL_EXCEPTIONS      F32(0x4004)
#define CONTROL_PF_MASK         F32(0x4006)
#define CONTROL_PF_MATCH        F32(0x4008)
#define CONTROL_CR3_TARGETS     F32(0x400a)
#define CONTROL_EXIT            F32(0x400c)
#define CONTROL_EXIT_MSR_STORES F32(0x400e)
#define CONTROL_EXIT_MSR_LOADS  F32(0x4010)
#define CONTROL_ENTRY           F32(0x4012)
#define CONTROL_ENTRY_MSR_LOADS F32(0x4014)
#define ENTRY_EVENT             F32(0x4016)
#define ENTRY_EVENT_ERROR       F32(0x4018)
#define ENTRY_EVENT_LENGTH      F32(0x401a)
#define CONTROL_TPR_THRESHOLD   F32(0x401c)
#define CONTROL_PROC2           F32(0x401e)
#define INSTRUCTION_ERROR       F32(0x4400)
#define EXIT_REASON             F32(0x4402)
#define EXIT_EVENT              F32(0x4404)
#define EXIT_EVENT_ERROR        F32(0x4406)
#define IDT_VECTORING           F32(0x4408)
#define IDT_VECTORING_ERROR     F32(0x440a)
#define EXIT_INSTRUCTION_LENGTH F32(0x440c)
#define GUEST_GDTR_LIMIT        F32(0x4810)
#define GUEST_IDTR_LIMIT        F32(0x4812)
#define GUEST_INTERRUPTIBILITY  F32(0x4824)
#define GUEST_ACTIVITY          F32(0x4826)
#define GUEST_SYSENTER_CS       F32(0x482a)
#define GUEST_PREEMPTION_TIMER  F32(0x482e)
#define HOST_SYSENTER_CS        F32(0x4c00)

#define CONTROL_CR0_MASK    FN(0x6000)
#define CONTROL_CR4_MASK    FN(0x6002)
#define CONTROL_CR0_SHADOW  FN(0x6004)
#define CONTROL_CR4_SHADOW  FN(0x6006)
#define EXIT_QUALIFICATION  FN(0x6400)
#define EXIT_GUEST_LINEAR   FN(0x640a)
#define GUEST_CR0           FN(0x6800)
#define GUEST_CR3           FN(0x6802)
#define GUEST_CR4           FN(0x6804)
#define GUEST_GDTR_BASE     FN(0x6816)
#define GUEST_IDTR_BASE     FN(0x6818)
#define GUEST_DR7           FN(0x681a)
#define GUEST_RSP           FN(0x681c)
#define GUEST_RIP           FN(0x681e)
#define GUEST_RFLAGS        FN(0x6820)
#define GUEST_PENDING_DEBUG FN(0x6822)
#define GUEST_SYSENTER_ESP  FN(0x6824)
#define GUEST_SYSENTER_EIP  FN(0x6826)
#define HOST_CR0            FN(0x6c00)
#define HOST_CR3            FN(0x6c02)
#define HOST_CR4            FN(0x6c04)
#define HOST_FS_BASE        FN(0x6c06)
#define HOST_GS_BASE        FN(0x6c08)
#define HOST_TR_BASE        FN(0x6c0a)
#define HOST_GDTR_BASE      FN(0x6c0c)
#define HOST_IDTR_BASE      FN(0x6c0e)
#define HOST_SYSENTER_ESP   FN(0x6c10)
#define HOST_SYSENTER_EIP   FN(0x6c12)
#define HOST_RIP            FN(0x6c16)
#define HOST_RSP            FN(0x6c14)

/* Controls by bit number (SDM vol. 3, 25.6.1, 25.6.2, 25.7.1, 25.8.1); the tables in vmx_controls.c say what is wanted
 * of each. */
enum { PIN_EXTERNAL_INTERRUPT = 0, PIN_NMI = 3, PIN_VIRTUAL_NMIS = 5, PIN_PREEMPTION_TIMER = 6 };
enum {
    PROC_INTERRUPT_WINDOW = 2,
    PROC_TSC_OFFSETTING = 3,
    PROC_HLT = 7,
    PROC_INVLPG = 9,
    PROC_MWAIT = 10,
    PROC_RDPMC = 11,
    PROC_RDTSC = 12,
    PROC_CR3_LOAD = 15,
    PROC_CR3_STORE = 16,
    PROC_CR8_LOAD = 19,
    PROC_CR8_STORE = 20,
    PROC_TPR_SHADOW = 21,
    PROC_NMI_WINDOW = 22,
    PROC_MOV_DR = 23,
    PROC_IO = 24,
    PROC_IO_BITMAPS = 25,
    PROC_MONITOR_TRAP = 27,
    PROC_MSR_BITMAPS = 28,
    PROC_MONITOR = 29,
    PROC_PAUSE = 30,
    PROC_SECONDARY = 31
};
enum {
    PROC2_EPT = 1,
    PROC2_DESCRIPTOR_TABLES = 2,
    PROC2_RDTSCP = 3,
    PROC2_VIRTUAL_X2APIC = 4,
    PROC2_VPID = 5,
    PROC2_WBINVD = 6,
    PROC2_UNRESTRICTED = 7,
    PROC2_APIC_REGISTERS = 8,
    PROC2_VIRTUAL_INTERRUPTS = 9,
    PROC2_INVPCID = 12
};
enum {
    EXITC_SAVE_DEBUG = 2,
    EXITC_HOST_64 = 9,
    EXITC_ACK_INTERRUPT = 15,
    EXITC_SAVE_PAT = 18,
    EXITC_LOAD_PAT = 19,
    EXITC_SAVE_EFER = 20,
    EXITC_LOAD_EFER = 21,
    EXITC_SAVE_TIMER = 22
};
enum { ENTRYC_LOAD_DEBUG = 2, ENTRYC_GUEST_64 = 9, ENTRYC_SMM = 10, ENTRYC_LOAD_PAT = 14, ENTRYC_LOAD_EFER = 15 };
#define BIT(n) (1u << (n))

/* Event information (25.8.3, 25.9.2, 25.9.3): vector 7:0, type 10:8, error code 11, NMI unblocking 12, valid 31. */
#define EVENT_VALID      0x80000000u
#define EVENT_ERROR      0x00000800u
#define EVENT_TYPE(info) ((info) >> 8 & 7u)
#define EVENT_KEEP       0x80000fffu /* what may be written back for a new try */
enum {
    EVENT_INTERRUPT = 0,
    EVENT_NMI = 2,
    EVENT_EXCEPTION = 3,
    EVENT_SOFT_INTERRUPT = 4,
    EVENT_ICEBP = 5,
    EVENT_SOFT_EXCEPTION = 6
};

/* Interruptibility (25.4.2): the SHADOW_* bits of mullion/vcpu.h have the same places. */
#define BLOCKED_BY_STI    0x1u
#define BLOCKED_BY_MOV_SS 0x2u
#define BLOCKED_BY_NMI    0x8u

/* Basic exit reasons (appendix C). */
#define REASON_ENTRY_FAILED 0x80000000u
enum {
    REASON_EXCEPTION = 0,
    REASON_INTERRUPT = 1,
    REASON_TRIPLE_FAULT = 2,
    REASON_INIT = 3,
    REASON_INTERRUPT_WINDOW = 7,
    REASON_NMI_WINDOW = 8,
    REASON_TASK_SWITCH = 9,
    REASON_CPUID = 10,
    REASON_GETSEC = 11,
    REASON_HLT = 12,
    REASON_INVD = 13,
    REASON_RDPMC = 15,
    REASON_VMCALL = 18,
    REASON_VMCLEAR = 19,
    REASON_VMXON = 27,
    REASON_CR = 28,
    REASON_DR = 29,
    REASON_IO = 30,
    REASON_RDMSR = 31,
    REASON_WRMSR = 32,
    REASON_BAD_GUEST = 33,
    REASON_BAD_MSR = 34,
    REASON_MWAIT = 36,
    REASON_MONITOR = 39,
    REASON_BAD_MC = 41,
    REASON_TPR_THRESHOLD = 43,
    REASON_EOI = 45,
    REASON_EPT_VIOLATION = 48,
    REASON_EPT_MISCONFIG = 49,
    REASON_INVEPT = 50,
    REASON_RDTSCP = 51,
    REASON_TIMER = 52,
    REASON_INVVPID = 53,
    REASON_WBINVD = 54,
    REASON_XSETBV = 55,
    REASON_APIC_WRITE = 56,
    REASON_INVPCID = 58,
    REASON_VMFUNC = 59,
    REASON_XSAVES = 63
};

/* Capability MSRs (appendix A). */
#define MSR_VMX_BASIC      0x480
#define MSR_VMX_MISC       0x485
#define MSR_VMX_CR0_FIXED0 0x486
#define MSR_VMX_CR0_FIXED1 0x487
#define MSR_VMX_CR4_FIXED0 0x488
#define MSR_VMX_CR4_FIXED1 0x489
#define MSR_VMX_PROC2      0x48b
#define MSR_VMX_EPT_VPID   0x48c
#define MSR_VMX_TRUE_PIN   0x48d
#define MSR_VMX_TRUE_PROC  0x48e
#define MSR_VMX_TRUE_EXIT  0x48f
#define MSR_VMX_TRUE_ENTRY 0x490

#define FEATURE_LOCKED     1ull
#define FEATURE_VMX_NO_SMX 4ull

#define EPTP_WRITE_BACK 6ull
#define EPTP_WALK_4     (3ull << 3)

#endif
