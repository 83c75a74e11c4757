// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/cpu/msr.h. Numbers and layouts: Intel SDM vol. 4, chapter 2; AMD APM vol. 2, appendix A; Linux
 * Documentation/virt/kvm/x86/msr.rst for the clock. What is not named here is unknown, and gives #GP as hardware does.
 */
#include "vmm/cpu/msr.h"
#include "lib/string.h"

enum {
    IA32_TSC = 0x10,
    IA32_APIC_BASE = 0x1b,
    IA32_TSC_ADJUST = 0x3b,
    IA32_SPEC_CTRL = 0x48,
    IA32_BIOS_SIGN_ID = 0x8b,
    IA32_MTRRCAP = 0xfe,
    IA32_ARCH_CAPABILITIES = 0x10a,
    IA32_SYSENTER_CS = 0x174,
    IA32_SYSENTER_ESP,
    IA32_SYSENTER_EIP,
    IA32_MISC_ENABLE = 0x1a0,
    IA32_DEBUGCTL = 0x1d9,
    MTRR_PHYS_FIRST = 0x200,
    MTRR_PHYS_LAST = MTRR_PHYS_FIRST + 2 * MTRR_VARIABLE - 1,
    MTRR_FIX64K = 0x250,
    MTRR_FIX16K_FIRST = 0x258,
    MTRR_FIX16K_LAST = 0x259,
    MTRR_FIX4K_FIRST = 0x268,
    MTRR_FIX4K_LAST = 0x26f,
    IA32_PAT = 0x277,
    MTRR_DEF_TYPE = 0x2ff,
    IA32_TSC_DEADLINE = 0x6e0,
    X2APIC_FIRST = 0x800,
    X2APIC_LAST = 0x8ff,
    KVM_WALL_CLOCK_OLD = 0x11,
    KVM_SYSTEM_TIME_OLD = 0x12,
    KVM_WALL_CLOCK = 0x4b564d00,
    KVM_SYSTEM_TIME = 0x4b564d01,
    KVM_POLL_CONTROL = 0x4b564d05,
};

#define IA32_EFER      0xc0000080u
#define IA32_STAR      0xc0000081u
#define IA32_LSTAR     0xc0000082u
#define IA32_CSTAR     0xc0000083u
#define IA32_FMASK     0xc0000084u
#define IA32_FS_BASE   0xc0000100u
#define IA32_GS_BASE   0xc0000101u
#define IA32_KERNEL_GS 0xc0000102u
#define IA32_TSC_AUX   0xc0000103u

#define AMD_SYSCFG 0xc0010010u
#define AMD_HWCR   0xc0010015u

#define EFER_SCE 0x001ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define EFER_NX  0x800ull
#define CR0_PG   0x80000000ull

#define MTRR_CAP          (MTRR_VARIABLE | 0x500ull) /* fixed ranges, write combining */
#define MTRR_DEF_BITS     0xcffull
#define MTRR_VALID        0x800ull
#define MISC_FAST_STRINGS 0x1ull
#define MISC_NO_TRACING   0x1800ull /* no branch trace store, no PEBS */
/* IA32_MISC_ENABLE (table 2-2, and 2-3 for the older ones): what is kept as written, since it changes nothing that a
 * guest can see: fast strings 0, prefetchers 9, 19, 37 and 39, FERR# 10, thermal monitor 3 and 13, SpeedStep's lock 20,
 * xTPR 23, L1 mode 24, turbo 38. What is taken and not kept, since CPUID tells of neither: SpeedStep 16, MONITOR 18.
 * The limit of CPUID 22 and NX 34 would change what the guest sees: #GP, as all others. */
#define MISC_KEPT    0xe001982609ull
#define MISC_IGNORED 0x50000ull
/* Last-branch records and the step by branches, in place of which TF steps by instructions: taken, and read as 0. */
#define DEBUGCTL_IGNORED 3ull
#define HWCR_TSC_FREQ    (1ull << 24) /* the TSC counts at the P0 rate, always */
#define HWCR_IGNORED     0x1000158ull /* cache flush filter and INVD to WBINVD, MONITOR, ignore errors */
#define SYSCFG_WRITABLE  0x7c0000ull  /* fixed-range and TOM2 bits */
#define TIME_ENABLE      1ull

static bool canonical(uint64_t address)
{
    uint64_t upper = address >> 47;
    return upper == 0 || upper == 0x1ffff;
}

static bool memory_type(uint64_t type, bool with_uc_minus)
{
    return type == 0 || type == 1 || type == 4 || type == 5 || type == 6 || (with_uc_minus && type == 7);
}

static bool eight_types(uint64_t value, bool with_uc_minus)
{
    for (int i = 0; i < 64; i += 8)
        if (!memory_type(value >> i & 0xff, with_uc_minus))
            return false;
    return true;
}

void msr_init(struct msr_cpu *c, const struct msr_ops *ops, void *context, struct vcpu_state *state, uint32_t vcpu,
              struct msr_kind kind)
{
    memset(c, 0, sizeof(*c));
    c->ops = ops;
    c->context = context;
    c->state = state;
    c->vcpu = vcpu;
    c->kind = kind;
    c->nx = true;
    c->kind.physical_bits = (uint8_t)min_u64(max_u64(kind.physical_bits, 36), 52);
    c->misc_enable = MISC_FAST_STRINGS | MISC_NO_TRACING;
    c->poll_control = 1;
    c->hwcr = HWCR_TSC_FREQ;
    c->bios_sign = kind.intel ? 0x100000000ull : 0x01000065ull; /* a microcode revision: Intel's is in the upper half */
    /* As firmware leaves them: all memory write-back but the last GiB below 4 GiB (devices) and the hole below 1 MiB.
     * An operating system that finds the MTRRs off gives up the PAT with them. */
    c->mtrr_def = 0xc06;
    for (int i = 0; i < 11; i++)
        c->mtrr_fixed[i] = i < 2 ? 0x0606060606060606ull : 0x0505050505050505ull;
    c->mtrr_fixed[2] = 0;
    c->mtrr_base[0] = 0xc0000000ull;
    c->mtrr_mask[0] = (((1ull << c->kind.physical_bits) - 1) & ~0x3fffffffull) | MTRR_VALID;
}

void msr_fields(struct msr_cpu *c, struct stream *s)
{
    STREAM_FIELD(s, c->tsc_adjust);
    STREAM_FIELD(s, c->misc_enable);
    STREAM_FIELD(s, c->mtrr_def);
    STREAM_FIELD(s, c->mtrr_fixed);
    STREAM_FIELD(s, c->mtrr_base);
    STREAM_FIELD(s, c->mtrr_mask);
    STREAM_FIELD(s, c->system_time);
    STREAM_FIELD(s, c->poll_control);
    STREAM_FIELD(s, c->wall_clock_gpa);
    STREAM_FIELD(s, c->hwcr);
    STREAM_FIELD(s, c->syscfg);
    STREAM_FIELD(s, c->bios_sign);
}

uint32_t msr_groups(uint32_t index)
{
    switch (index) {
    case IA32_EFER: return GROUP_CR;
    case IA32_SPEC_CTRL:
    case IA32_SYSENTER_CS:
    case IA32_SYSENTER_ESP:
    case IA32_SYSENTER_EIP:
    case IA32_PAT:
    case IA32_STAR:
    case IA32_LSTAR:
    case IA32_CSTAR:
    case IA32_FMASK:
    case IA32_KERNEL_GS:
    case IA32_TSC_AUX: return GROUP_MSR;
    case IA32_FS_BASE:
    case IA32_GS_BASE: return GROUP_SEG;
    default: return 0;
    }
}

/* The field of the state page that backs this register, or NULL. */
static uint64_t *backed(struct msr_cpu *c, uint32_t index)
{
    struct vcpu_state *s = c->state;
    switch (index) {
    case IA32_SPEC_CTRL: return c->kind.spec_ctrl != 0 ? &s->spec_ctrl : NULL;
    case IA32_SYSENTER_CS: return &s->sysenter_cs;
    case IA32_SYSENTER_ESP: return &s->sysenter_esp;
    case IA32_SYSENTER_EIP: return &s->sysenter_eip;
    case IA32_PAT: return &s->pat;
    case IA32_STAR: return &s->star;
    case IA32_LSTAR: return &s->lstar;
    case IA32_CSTAR: return &s->cstar;
    case IA32_FMASK: return &s->fmask;
    case IA32_KERNEL_GS: return &s->kernel_gs_base;
    case IA32_TSC_AUX: return &s->tsc_aux;
    case IA32_FS_BASE: return &s->seg[SEG_FS].base;
    case IA32_GS_BASE: return &s->seg[SEG_GS].base;
    default: return NULL;
    }
}

static bool backed_value_allowed(const struct msr_cpu *c, uint32_t index, uint64_t value)
{
    switch (index) {
    case IA32_SPEC_CTRL: return (value & ~c->kind.spec_ctrl) == 0;
    case IA32_PAT: return eight_types(value, true);
    case IA32_FMASK:
    case IA32_TSC_AUX: return value >> 32 == 0;
    case IA32_STAR:
    case IA32_SYSENTER_CS: return true;
    default: return canonical(value);
    }
}

/* The fixed-range register's place, or -1. */
static int fixed_index(uint32_t index)
{
    if (index == MTRR_FIX64K)
        return 0;
    if (index >= MTRR_FIX16K_FIRST && index <= MTRR_FIX16K_LAST)
        return 1 + (int)(index - MTRR_FIX16K_FIRST);
    if (index >= MTRR_FIX4K_FIRST && index <= MTRR_FIX4K_LAST)
        return 3 + (int)(index - MTRR_FIX4K_FIRST);
    return -1;
}

static bool apic_owns(uint32_t index)
{
    return index == IA32_APIC_BASE || index == IA32_TSC_DEADLINE || (index >= X2APIC_FIRST && index <= X2APIC_LAST);
}

static bool unknown(struct msr_cpu *c, uint32_t index, bool write, uint64_t value)
{
    if (c->logged < MSR_LOG_MAX && c->ops->log != NULL) {
        c->logged++;
        c->ops->log(c->context, c->vcpu, index, write, value);
    }
    return false;
}

bool msr_read(struct msr_cpu *c, uint32_t index, uint64_t *value)
{
    *value = 0;
    if (apic_owns(index))
        return c->ops->apic_read(c->context, c->vcpu, index, value);
    const uint64_t *field = backed(c, index);
    if (field != NULL) {
        *value = *field;
        return true;
    }
    int fixed = fixed_index(index);
    if (fixed >= 0) {
        *value = c->mtrr_fixed[fixed];
        return true;
    }
    if (index >= MTRR_PHYS_FIRST && index <= MTRR_PHYS_LAST) {
        uint32_t i = (index - MTRR_PHYS_FIRST) / 2;
        *value = (index & 1) != 0 ? c->mtrr_mask[i] : c->mtrr_base[i];
        return true;
    }
    switch (index) {
    case IA32_TSC: *value = c->ops->host_tsc(c->context) + c->state->tsc_offset; return true;
    case IA32_TSC_ADJUST: *value = c->tsc_adjust; return true;
    case IA32_BIOS_SIGN_ID: /* AMD: PATCH_LEVEL */ *value = c->bios_sign; return true;
    case IA32_MTRRCAP: *value = MTRR_CAP; return true;
    case MTRR_DEF_TYPE: *value = c->mtrr_def; return true;
    case IA32_EFER: *value = c->state->efer; return true;
    case IA32_DEBUGCTL: return true;
    case KVM_SYSTEM_TIME:
    case KVM_SYSTEM_TIME_OLD: *value = c->system_time; return true;
    case KVM_WALL_CLOCK:
    case KVM_WALL_CLOCK_OLD: *value = c->wall_clock_gpa; return true;
    case KVM_POLL_CONTROL: *value = c->poll_control; return true;
    default: break;
    }
    enum msr_write write;
    if (c->kind.intel && index == IA32_MISC_ENABLE)
        *value = c->misc_enable;
    else if (!c->kind.intel && index == AMD_SYSCFG)
        *value = c->syscfg;
    else if (!c->kind.intel && index == AMD_HWCR)
        *value = c->hwcr;
    else if (c->kind.tells_capabilities && index == IA32_ARCH_CAPABILITIES)
        *value = c->kind.capabilities;
    else if (!msr_row(&c->kind, index, value, &write))
        return unknown(c, index, false, 0);
    return true;
}

static bool write_efer(struct msr_cpu *c, uint64_t value)
{
    struct vcpu_state *s = c->state;
    uint64_t allowed = EFER_SCE | EFER_LME | EFER_LMA | (c->nx ? EFER_NX : 0);
    if ((value & ~allowed) != 0)
        return false;
    if ((s->cr0 & CR0_PG) != 0 && ((value ^ s->efer) & EFER_LME) != 0)
        return false;
    /* LMA follows LME and paging; what is written to it is ignored on AMD and, where it would change, refused on
     * Intel's paper but not by its CPUs. */
    s->efer = (value & ~EFER_LMA) | (s->efer & EFER_LMA);
    s->dirty |= GROUP_CR;
    return true;
}

static void move_tsc(struct msr_cpu *c, uint64_t by)
{
    c->state->tsc_offset += by;
    c->state->dirty |= GROUP_TSC;
    c->ops->tsc_changed(c->context, c->vcpu);
}

static bool write_mtrr_variable(struct msr_cpu *c, uint32_t index, uint64_t value)
{
    uint64_t frame = ((1ull << c->kind.physical_bits) - 1) & ~0xfffull;
    uint32_t i = (index - MTRR_PHYS_FIRST) / 2;
    if ((index & 1) != 0) {
        if ((value & ~(frame | MTRR_VALID)) != 0)
            return false;
        c->mtrr_mask[i] = value;
        return true;
    }
    if ((value & ~(frame | 0xffull)) != 0 || !memory_type(value & 0xff, false))
        return false;
    c->mtrr_base[i] = value;
    return true;
}

static bool write_misc_enable(struct msr_cpu *c, uint64_t value)
{
    if (((value ^ c->misc_enable) & ~(MISC_KEPT | MISC_IGNORED)) != 0)
        return false;
    c->misc_enable = (c->misc_enable & ~MISC_KEPT) | (value & MISC_KEPT);
    return true;
}

static bool write_syscfg(struct msr_cpu *c, uint64_t value)
{
    if ((value & ~SYSCFG_WRITABLE) != 0)
        return false;
    c->syscfg = value;
    return true;
}

/* Those that have a value and no life. */
static bool write_row(struct msr_cpu *c, uint32_t index, uint64_t value)
{
    uint64_t reads;
    enum msr_write write;
    if (!msr_row(&c->kind, index, &reads, &write))
        return unknown(c, index, true, value);
    return write == WRITE_IGNORED || (write == WRITE_SAME && value == reads);
}

static bool write_clock(struct msr_cpu *c, uint32_t index, uint64_t value)
{
    if (index == KVM_WALL_CLOCK || index == KVM_WALL_CLOCK_OLD) {
        if ((value & 3) != 0 || !c->ops->wall_clock(c->context, value))
            return false;
        c->wall_clock_gpa = value;
        return true;
    }
    bool enabled = (value & TIME_ENABLE) != 0;
    if (enabled && (value & 2) != 0)
        return false;
    if (!c->ops->clock_set(c->context, c->vcpu, value & ~3ull, enabled))
        return false;
    c->system_time = value;
    return true;
}

bool msr_write(struct msr_cpu *c, uint32_t index, uint64_t value)
{
    if (apic_owns(index))
        return c->ops->apic_write(c->context, c->vcpu, index, value);
    uint64_t *field = backed(c, index);
    if (field != NULL) {
        if (!backed_value_allowed(c, index, value))
            return false;
        *field = value;
        c->state->dirty |= msr_groups(index);
        return true;
    }
    int fixed = fixed_index(index);
    if (fixed >= 0) {
        if (!eight_types(value, false))
            return false;
        c->mtrr_fixed[fixed] = value;
        return true;
    }
    if (index >= MTRR_PHYS_FIRST && index <= MTRR_PHYS_LAST)
        return write_mtrr_variable(c, index, value);
    switch (index) {
    case IA32_TSC: {
        uint64_t by = value - (c->ops->host_tsc(c->context) + c->state->tsc_offset);
        c->tsc_adjust += by;
        move_tsc(c, by);
        return true;
    }
    case IA32_TSC_ADJUST: {
        uint64_t by = value - c->tsc_adjust;
        c->tsc_adjust = value;
        move_tsc(c, by);
        return true;
    }
    case IA32_BIOS_SIGN_ID: /* 0 is written before CPUID loads the revision */ return c->kind.intel;
    case MTRR_DEF_TYPE:
        if ((value & ~MTRR_DEF_BITS) != 0 || !memory_type(value & 0xff, false))
            return false;
        c->mtrr_def = value;
        return true;
    case IA32_EFER: return write_efer(c, value);
    case IA32_DEBUGCTL: return (value & ~DEBUGCTL_IGNORED) == 0 || unknown(c, index, true, value);
    case KVM_SYSTEM_TIME:
    case KVM_SYSTEM_TIME_OLD:
    case KVM_WALL_CLOCK:
    case KVM_WALL_CLOCK_OLD: return write_clock(c, index, value);
    case KVM_POLL_CONTROL: /* may the host poll before a vCPU sleeps? We never do. */
        if (value > 1)
            return false;
        c->poll_control = value;
        return true;
    default: break;
    }
    if (c->kind.intel && index == IA32_MISC_ENABLE)
        return write_misc_enable(c, value);
    if (!c->kind.intel && index == AMD_SYSCFG)
        return write_syscfg(c, value);
    if (!c->kind.intel && index == AMD_HWCR)
        return (value & ~HWCR_IGNORED) == 0;
    return write_row(c, index, value);
}
