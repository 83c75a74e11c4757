/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put before every source of a test that runs the VT-x backend on the host (`// libs: -include tests/unit/fake_vmx.h`):
 * the VMX instructions, and what only a CPU can do around an entry. Behind them stands a made-up VMCS (fake_vmcs.h).
 */
#ifndef FAKE_VMX_H
#define FAKE_VMX_H

#include "tests/unit/fake_cpu.h"
#include "vmx/vmx.h"

uint64_t fake_vmread(uint32_t field);
void fake_vmwrite(uint32_t field, uint64_t value);
void fake_flush(char what, uint64_t type, uint64_t context);
static inline uint64_t vmread_raw(uint32_t field)
{
    return fake_vmread(field);
}
static inline void vmwrite_raw(uint32_t field, uint64_t value)
{
    fake_vmwrite(field, value);
}
static inline void invept(uint64_t type, uint64_t eptp)
{
    fake_flush('e', type, eptp);
}
static inline void invvpid(uint64_t type, uint64_t vpid)
{
    fake_flush('v', type, vpid);
}
static inline bool enter(struct vmx_vcpu *hw, uint64_t *gpr)
{
    return vmx_enter(hw, gpr);
}
static inline void set_host_rsp(struct vmx_vcpu *hw)
{
    (void)hw;
}

#endif
