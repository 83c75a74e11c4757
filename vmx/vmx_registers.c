// SPDX-License-Identifier: Apache-2.0
/*
 * Pure arithmetic: what really stands in a guest's CR0 and CR4, and how an exit qualification reads.
 *
 * CR0 and CR4 belong to the guest but for a few bits, the masked ones. Those have a fixed value in the register; what
 * the guest thinks they are stands in the read shadow. A guest's write that would change a masked bit exits, every
 * other one does not.
 */
#include "vmx/vmx.h"

#include "mullion/regs.h"

struct vmx_machine vmx;

/* An unrestricted guest may clear PE and PG whatever the fixed-bits MSR says (SDM vol. 3, A.7). */
static uint64_t cr0_always(void)
{
    return CR0_NE | (vmx.cr0_fixed0 & ~(CR0_PE | CR0_PG));
}

/* CD and NW stay clear in the register: a guest must not be able to switch off the caches that it shares with others.
 */
uint64_t vmx_cr0_mask(void)
{
    return cr0_always() | CR0_CD | CR0_NW | ~vmx.cr0_fixed1;
}
uint64_t vmx_cr0_real(uint64_t value)
{
    return (value | cr0_always()) & ~(CR0_CD | CR0_NW);
}

static uint64_t cr4_always(void)
{
    return CR4_VMXE | CR4_MCE | vmx.cr4_fixed0;
}
bool vmx_cr4_offered(uint64_t value)
{
    return !(value & ~(CR4_OFFERED & vmx.cr4_fixed1));
}
uint64_t vmx_cr4_mask(void)
{
    return ~(CR4_OFFERED & vmx.cr4_fixed1) | cr4_always();
}
uint64_t vmx_cr4_real(uint64_t value)
{
    return (value & ~vmx_cr4_mask()) | cr4_always();
}

/*
 * The way to settle a write: give the shadow the masked bits the guest wants and let it execute the instruction again.
 * It then does not exit, and the CPU itself does everything that hangs on it: the checks, entering long mode, loading
 * PDPTEs from guest memory (which ring 0 cannot see). Should the instruction fault for another reason, the guest has
 * seen CD, NE or MCE change too early; nothing depends on them.
 */
bool vmx_cr_fastpath(unsigned number, uint64_t value, uint64_t shadow, uint64_t *new_shadow)
{
    uint64_t mask = number == 0 ? vmx_cr0_mask() : vmx_cr4_mask();
    uint64_t harmless = number == 0 ? CR0_NE | CR0_CD | CR0_NW : CR4_MCE;
    uint64_t change = (value ^ shadow) & mask;
    if (!change || (change & ~harmless))
        return false;
    if (number == 0 && (value & CR0_NW) && !(value & CR0_CD)) /* #GP on hardware */
        return false;
    *new_shadow = shadow ^ change;
    return true;
}

bool vmx_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* SDM vol. 3, table 28-3. */
struct cr_access vmx_cr_access(uint64_t q)
{
    unsigned type = q >> 4 & 3;
    return (struct cr_access){.number = q & 0xf,
                              .write = type != 1,
                              .clts = type == 2,
                              .lmsw = type == 3,
                              .gpr = q >> 8 & 0xf,
                              .source = (uint16_t)(q >> 16)};
}

/* SDM vol. 3, table 28-5. */
bool vmx_port_access(uint64_t q, struct vcpu_exit *e)
{
    e->raw[0] = (q >> 16 & 0xffff) | ((q & 7) + 1) << 16 | (q >> 3 & 1) << 24; /* port, size, in */
    if (!(q & QUALIFICATION_IO_STRING))
        return false;
    e->port.string = 1;
    e->port.rep = q >> 5 & 1;
    return true;
}

/* SDM vol. 3, table 28-7. */
void vmx_memory_access(uint64_t q, struct vcpu_exit *e)
{
    e->raw[2] = 0;
    e->memory.read = q & 1;
    e->memory.write = q >> 1 & 1;
    e->memory.fetch = q >> 2 & 1;
    e->memory.gva_valid = (q & QUALIFICATION_LINEAR) != 0;
    e->memory.in_walk = (q >> 7 & 3) == 1;
}
