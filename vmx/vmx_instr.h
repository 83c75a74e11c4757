/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMX instructions, one line each, with their results looked at: a refused VMREAD or VMWRITE is a mistake in this
 * kernel and stops it with the field's number. In unit tests others take their place (tests/unit/fake_vmx.h). Source:
 * Intel SDM vol. 3, chapter 31.
 */
#ifndef VMX_INSTR_H
#define VMX_INSTR_H

#include "mullion/regs.h"
#include "mullion/types.h"
#include "vmx/vmcs.h"

noreturn void vmx_field_refused(const char *what, uint32_t field);

struct invalidation {
    uint64_t context, address;
}; /* EPTP or VPID; linear address */
#define INVALIDATE_SINGLE 1ull
#define INVALIDATE_ALL    2ull

#ifndef UNIT_TEST
static inline uint64_t vmread_raw(uint32_t field)
{
    uint64_t value;
    __asm__ goto("vmread %1, %0; jbe %l[refused]" : "=r"(value) : "r"((uint64_t)field) : "cc" : refused);
    return value;
refused:
    vmx_field_refused("VMREAD", field);
}

static inline void vmwrite_raw(uint32_t field, uint64_t value)
{
    __asm__ goto("vmwrite %1, %0; jbe %l[refused]" : : "r"((uint64_t)field), "rm"(value) : "cc" : refused);
    return;
refused:
    vmx_field_refused("VMWRITE", field);
}

static inline void invept(uint64_t type, uint64_t eptp)
{
    struct invalidation d = {eptp, 0};
    __asm__ goto("invept %0, %1; jbe %l[refused]" : : "m"(d), "r"(type) : "cc", "memory" : refused);
    return;
refused:
    vmx_field_refused("INVEPT", (uint32_t)type);
}

static inline void invvpid(uint64_t type, uint64_t vpid)
{
    struct invalidation d = {vpid, 0};
    __asm__ goto("invvpid %0, %1; jbe %l[refused]" : : "m"(d), "r"(type) : "cc", "memory" : refused);
    return;
refused:
    vmx_field_refused("INVVPID", (uint32_t)type);
}

#define DEFINE_VMX_POINTER(name)                                                      \
    static inline bool name(const hpa_t *region)                                      \
    {                                                                                 \
        bool failed;                                                                  \
        __asm__ volatile(#name " %1" : "=@ccbe"(failed) : "m"(region->v) : "memory"); \
        return !failed;                                                               \
    }
DEFINE_VMX_POINTER(vmxon)
DEFINE_VMX_POINTER(vmclear)
DEFINE_VMX_POINTER(vmptrld)
#endif

static inline uint16_t vmread16(vmcs16_t f)
{
    return (uint16_t)vmread_raw(f.code);
}
static inline uint32_t vmread32(vmcs32_t f)
{
    return (uint32_t)vmread_raw(f.code);
}
static inline uint64_t vmread64(vmcs64_t f)
{
    return vmread_raw(f.code);
}
static inline uint64_t vmreadn(vmcsn_t f)
{
    return vmread_raw(f.code);
}
static inline void vmwrite16(vmcs16_t f, uint16_t v)
{
    vmwrite_raw(f.code, v);
}
static inline void vmwrite32(vmcs32_t f, uint32_t v)
{
    vmwrite_raw(f.code, v);
}
static inline void vmwrite64(vmcs64_t f, uint64_t v)
{
    vmwrite_raw(f.code, v);
}
static inline void vmwriten(vmcsn_t f, uint64_t v)
{
    vmwrite_raw(f.code, v);
}

/* The end of an instruction that stood in a shadow, or had RF or TF set: a single step is due, and waits (vmx_state.c).
 */
void vmx_end_instruction(uint64_t flags);

/* The guest's instruction is done: behind it, with all that its end brings. Every instruction that the CPU has not done
 * ends here or, in the monitor, in emulate_skip. */
static inline void vmx_step_over(uint32_t length)
{
    vmwriten(GUEST_RIP, vmreadn(GUEST_RIP) + length);
    uint64_t flags = vmreadn(GUEST_RFLAGS);
    if (unlikely((flags & (RFLAGS_TF | RFLAGS_RF)) ||
                 (vmread32(GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS))))
        vmx_end_instruction(flags);
}

#endif
