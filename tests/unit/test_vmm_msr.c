// SPDX-License-Identifier: Apache-2.0
// sources: vmm/cpu/msr.c vmm/cpu/msr_table.c vmm/stream.c
/* The monitor's MSRs: what is stored, what is refused and changes nothing, what reaches the APIC, the clock and the
 * TSC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/cpu/msr.h"

static struct vcpu_state page;
static struct msr_cpu cpu;
static uint64_t now, apic_value, clock_gpa, wall_gpa;
static int apic_calls, tsc_changes, logs, clock_calls;
static bool clock_on, accept = true;

static uint64_t host_tsc(void *context)
{
    assert_ptr_equal(context, &now);
    return now;
}

static bool apic_read(void *context, uint32_t vcpu, uint32_t index, uint64_t *value)
{
    (void)context;
    assert_int_equal(vcpu, 3);
    *value = apic_value + index;
    apic_calls++;
    return accept;
}

static bool apic_write(void *context, uint32_t vcpu, uint32_t index, uint64_t value)
{
    (void)context;
    (void)vcpu;
    (void)index;
    apic_value = value;
    apic_calls++;
    return accept;
}

static void tsc_changed(void *context, uint32_t vcpu)
{
    (void)context;
    (void)vcpu;
    tsc_changes++;
}

static bool clock_set(void *context, uint32_t vcpu, uint64_t gpa, bool enabled)
{
    (void)context;
    (void)vcpu;
    clock_gpa = gpa;
    clock_on = enabled;
    clock_calls++;
    return accept;
}

static bool wall_clock(void *context, uint64_t gpa)
{
    (void)context;
    wall_gpa = gpa;
    return accept;
}

static void log_unknown(void *context, uint32_t vcpu, uint32_t index, bool write, uint64_t value)
{
    (void)context;
    (void)vcpu;
    (void)index;
    (void)write;
    (void)value;
    logs++;
}

static const struct msr_ops ops = {host_tsc, apic_read, apic_write, tsc_changed, clock_set, wall_clock, log_unknown};

static void start(bool intel)
{
    memset(&page, 0, sizeof(page));
    now = 1000000;
    apic_calls = tsc_changes = logs = clock_calls = 0;
    accept = true;
    msr_init(&cpu, &ops, &now, &page, 3,
             (struct msr_kind){.intel = intel,
                               .physical_bits = 40,
                               .vcpus = 3,
                               .tsc_khz = 2600123,
                               .features = 0x1122334455667788,
                               .extended = 0x99aabbccddeeff00});
}

static uint64_t rd(uint32_t index)
{
    uint64_t v;
    assert_true(msr_read(&cpu, index, &v));
    return v;
}

static bool gp_read(uint32_t index)
{
    uint64_t v;
    return !msr_read(&cpu, index, &v);
}

static void timestamp(void **state)
{
    (void)state;
    start(true);
    page.tsc_offset = (uint64_t)-400000;
    assert_int_equal(rd(0x10), 600000);
    assert_true(msr_write(&cpu, 0x10, 0));
    assert_int_equal(page.tsc_offset, (uint64_t)-1000000);
    assert_int_equal(page.dirty, GROUP_TSC);
    assert_int_equal(rd(0x3b), (uint64_t)-600000);
    now += 50;
    assert_int_equal(rd(0x10), 50);
    assert_true(msr_write(&cpu, 0x3b, 0));
    assert_int_equal(rd(0x10), 600050);
    assert_int_equal(tsc_changes, 2);
}

static void efer(void **state)
{
    (void)state;
    start(false);
    assert_int_equal(msr_groups(0xc0000080), GROUP_CR);
    assert_true(msr_write(&cpu, 0xc0000080, 0xd01));
    assert_int_equal(page.efer, 0x901); /* LMA is not software's */
    assert_int_equal(page.dirty, GROUP_CR);
    page.efer |= 0x400;
    page.cr0 = 0x80000001;
    assert_false(msr_write(&cpu, 0xc0000080, 0x801)); /* LME with paging on */
    assert_true(msr_write(&cpu, 0xc0000080, 0x900));
    assert_int_equal(page.efer, 0xd00);
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t value = 0x100 | 1ull << bit;
        bool allowed = bit == 0 || bit == 8 || bit == 10 || bit == 11;
        assert_int_equal(msr_write(&cpu, 0xc0000080, value), allowed);
    }
    cpu.nx = false;
    assert_false(msr_write(&cpu, 0xc0000080, 0x900));
}

static void backed_by_the_page(void **state)
{
    (void)state;
    start(true);
    const uint32_t index[] = {0x174,      0x175,      0x176,      0x277,      0xc0000081,
                              0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103};
    for (unsigned i = 0; i < sizeof(index) / sizeof(index[0]); i++) {
        uint64_t value = index[i] == 0x277 ? 0x0007010600070106ull : 0x12345670 + i;
        page.dirty = 0;
        assert_int_equal(msr_groups(index[i]), GROUP_MSR);
        assert_true(msr_write(&cpu, index[i], value));
        assert_int_equal(page.dirty, GROUP_MSR);
        assert_int_equal(rd(index[i]), value);
    }
    assert_int_equal(page.lstar, 0x12345675);
    assert_true(msr_write(&cpu, 0xc0000100, 0xffff800000000000ull));
    assert_int_equal(page.seg[SEG_FS].base, 0xffff800000000000ull);
    assert_false(msr_write(&cpu, 0xc0000100, 0x0000800000000000ull));
    assert_false(msr_write(&cpu, 0xc0000082, 0x8000000000000000ull));
    assert_false(msr_write(&cpu, 0x176, 0xffff7fffffffffffull));
    assert_false(msr_write(&cpu, 0xc0000084, 1ull << 32));
    for (unsigned type = 0; type < 256; type++)
        assert_int_equal(msr_write(&cpu, 0x277, (uint64_t)type << 24),
                         type == 0 || type == 1 || (type >= 4 && type <= 7));
}

static void speculation(void **state)
{
    (void)state;
    start(true);
    assert_true(gp_read(0x48) && gp_read(0x49) && gp_read(0x10a));
    assert_false(msr_write(&cpu, 0x48, 0) || msr_write(&cpu, 0x49, 1) || msr_write(&cpu, 0x10a, 0));
    cpu.kind.tells_capabilities = true;
    assert_int_equal(rd(0x10a), 0);
    cpu.kind.capabilities = 0x123;
    assert_int_equal(rd(0x10a), 0x123);
    assert_false(msr_write(&cpu, 0x10a, 0x123));
    cpu.kind.spec_ctrl = 5;
    assert_int_equal(msr_groups(0x48), GROUP_MSR);
    page.dirty = 0;
    for (unsigned bit = 0; bit < 64; bit++)
        assert_int_equal(msr_write(&cpu, 0x48, 1ull << bit), bit == 0 || bit == 2);
    assert_int_equal(page.dirty, GROUP_MSR);
    assert_int_equal(page.spec_ctrl, 4);
    assert_int_equal(rd(0x48), 4);
}

static void mtrrs(void **state)
{
    (void)state;
    start(true);
    assert_int_equal(rd(0xfe), 0x508);
    assert_int_equal(rd(0x2ff), 0xc06);
    assert_int_equal(rd(0x200), 0xc0000000);
    assert_int_equal(rd(0x201), 0xffc0000800ull);
    assert_int_equal(rd(0x259), 0);
    assert_false(msr_write(&cpu, 0xfe, 0x508));
    assert_true(msr_write(&cpu, 0x20e, 0xff00000006ull));
    assert_int_equal(rd(0x20e), 0xff00000006ull);
    assert_false(msr_write(&cpu, 0x20e, 0x10000000000ull)); /* above the CPU's 40 bits */
    assert_false(msr_write(&cpu, 0x20e, 0x100));
    assert_false(msr_write(&cpu, 0x20e, 2));
    assert_false(msr_write(&cpu, 0x20f, 1));
    assert_true(msr_write(&cpu, 0x20f, 0xfffffff800ull));
    assert_true(gp_read(0x210));
    assert_false(msr_write(&cpu, 0x2ff, 0x100));
    assert_false(msr_write(&cpu, 0x2ff, 7));
    assert_true(msr_write(&cpu, 0x2ff, 0));
    const uint32_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x26f};
    for (unsigned i = 0; i < 5; i++) {
        assert_true(msr_write(&cpu, fixed[i], 0x0600010405060001ull));
        assert_int_equal(rd(fixed[i]), 0x0600010405060001ull);
        assert_false(msr_write(&cpu, fixed[i], 0x0700000000000000ull));
    }
    assert_true(gp_read(0x251));
    assert_true(gp_read(0x270));
}

static void apic_and_deadline(void **state)
{
    (void)state;
    start(true);
    apic_value = 0x1000;
    const uint32_t index[] = {0x1b, 0x6e0, 0x800, 0x802, 0x8ff};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(rd(index[i]), 0x1000 + index[i]);
    assert_true(msr_write(&cpu, 0x80b, 7));
    assert_int_equal(apic_value, 7);
    assert_int_equal(apic_calls, 6);
    accept = false;
    assert_true(gp_read(0x802));
    assert_false(msr_write(&cpu, 0x830, 1));
}

static void kvm_clock(void **state)
{
    (void)state;
    const uint32_t time[] = {0x4b564d01, 0x12}, wall[] = {0x4b564d00, 0x11};
    for (unsigned i = 0; i < 2; i++) {
        start(true);
        assert_true(msr_write(&cpu, time[i], 0x12340001));
        assert_int_equal(clock_gpa, 0x12340000);
        assert_true(clock_on);
        assert_int_equal(rd(time[i]), 0x12340001);
        assert_true(msr_write(&cpu, time[i], 0));
        assert_false(clock_on);
        assert_int_equal(clock_calls, 2);
        assert_false(msr_write(&cpu, time[i], 0x12340003));
        accept = false;
        assert_false(msr_write(&cpu, time[i], 0x50001));
        assert_int_equal(rd(time[i]), 0);
        assert_false(msr_write(&cpu, wall[i], 0x6000));
        accept = true;
        assert_true(msr_write(&cpu, wall[i], 0x6000));
        assert_int_equal(wall_gpa, 0x6000);
        assert_false(msr_write(&cpu, wall[i], 0x6001));
    }
    assert_int_equal(rd(0x4b564d05), 1);
    assert_true(msr_write(&cpu, 0x4b564d05, 0));
    assert_int_equal(rd(0x4b564d05), 0);
    assert_false(msr_write(&cpu, 0x4b564d05, 2));
    assert_true(gp_read(0x4b564d02));
    assert_false(msr_write(&cpu, 0x4b564d04, 1));
}

static void intel_only(void **state)
{
    (void)state;
    start(true);
    assert_int_equal(rd(0x17), 0);
    assert_int_equal(rd(0x3a), 1);
    assert_false(msr_write(&cpu, 0x3a, 5));
    assert_int_equal(rd(0x1a0), 0x1801);
    assert_true(msr_write(&cpu, 0x1a0, 0x51800));
    assert_int_equal(rd(0x1a0), 0x1800);
    assert_false(msr_write(&cpu, 0x1a0, 0x400000));            /* CPUID limit */
    assert_false(msr_write(&cpu, 0x1a0, 1ull << 34 | 0x1801)); /* no NX */
    assert_true(rd(0x8b) >> 32 != 0);
    assert_true(msr_write(&cpu, 0x8b, 0));
    assert_true(rd(0x8b) >> 32 != 0);
    assert_int_equal(rd(0x179), 0);
    assert_int_equal(rd(0x17a), 0);
    assert_true(gp_read(0x400));
    assert_int_equal(rd(0x1d9), 0);
    assert_true(msr_write(&cpu, 0x1d9, 0));
    assert_true(msr_write(&cpu, 0x1d9, 3)); /* LBR and BTF: nothing comes of them */
    assert_int_equal(rd(0x1d9), 0);
    assert_false(msr_write(&cpu, 0x1d9, 0x40)); /* TR */
    const uint32_t none[] = {0x48,  0x49,  0x10a, 0x10b,      0x186,      0x38f,
                             0x480, 0x570, 0xda0, 0xc0010015, 0xc0010114, 0xc0011029};
    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_true(gp_read(none[i]));
}

static void amd_only(void **state)
{
    (void)state;
    start(false);
    assert_int_equal(rd(0xc0010015), 1u << 24);
    assert_true(msr_write(&cpu, 0xc0010015, 1u << 24 | 1u << 3));
    assert_false(msr_write(&cpu, 0xc0010015, 1));
    assert_int_equal(rd(0xc0010010), 0);
    assert_true(msr_write(&cpu, 0xc0010010, 0x40000));
    assert_int_equal(rd(0xc0010010), 0x40000);
    assert_false(msr_write(&cpu, 0xc0010010, 1u << 23)); /* memory encryption */
    assert_int_equal(rd(0xc0011029), 2);
    assert_true(msr_write(&cpu, 0xc0011029, 2));
    assert_true(msr_write(&cpu, 0xc001001f, 1ull << 46)); /* Linux on family 17h */
    assert_int_equal(rd(0xc001001f), 0);
    assert_int_equal(rd(0xc0010114), 0x18);
    assert_false(msr_write(&cpu, 0xc0010114, 0));
    assert_true(rd(0x8b) != 0);
    for (uint32_t i = 0xc0010000; i <= 0xc0010007; i++) {
        assert_true(msr_write(&cpu, i, 0x530076));
        assert_int_equal(rd(i), 0);
    }
    assert_true(gp_read(0x1a0));
    assert_true(gp_read(0xc0010200));
    assert_true(gp_read(0xc0000104));
}

enum { FAULTS, IGNORED, SAME };
struct expected {
    uint32_t index;
    int write;
    uint64_t value;
};

static void check_rows(const struct expected *row, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int before = logs;
        uint64_t other = row[i].value ^ 0x10;
        assert_int_equal(rd(row[i].index), row[i].value);
        assert_int_equal(logs, before);
        assert_int_equal(msr_write(&cpu, row[i].index, other), row[i].write == IGNORED);
        assert_int_equal(msr_write(&cpu, row[i].index, row[i].value), row[i].write != FAULTS);
        assert_int_equal(rd(row[i].index), row[i].value);
    }
}

/* What systems read unasked: no #GP, nothing in the log, and a value that makes sense. */
static void read_unasked(void **state)
{
    (void)state;
    static const struct expected intel[] = {
        {0x0, IGNORED, 0},         {0x1, IGNORED, 0},   {0x17, FAULTS, 0},       {0x2a, FAULTS, 0},
        {0x2c, FAULTS, 1u << 24},  {0x34, FAULTS, 0},   {0x35, FAULTS, 0x30003}, {0x3a, FAULTS, 1},
        {0x79, IGNORED, 0},        {0xcd, FAULTS, 3},   {0xce, FAULTS, 0},       {0x11e, IGNORED, 0xbe702111},
        {0x140, SAME, 0},          {0x179, FAULTS, 0},  {0x17a, SAME, 0},        {0x198, FAULTS, 26 << 8},
        {0x199, IGNORED, 26 << 8}, {0x19a, IGNORED, 0}, {0x19b, IGNORED, 0},     {0x19c, IGNORED, 0},
        {0x1db, FAULTS, 0},        {0x1dc, FAULTS, 0},  {0x1dd, FAULTS, 0},      {0x1de, FAULTS, 0},
        {0x1fc, IGNORED, 0},       {0x606, FAULTS, 0},  {0x611, FAULTS, 0},      {0x619, FAULTS, 0},
        {0x639, FAULTS, 0},        {0x641, FAULTS, 0},
    };
    static const struct expected amd[] = {
        {0x0, IGNORED, 0},
        {0x1, IGNORED, 0},
        {0x179, FAULTS, 0},
        {0x17a, SAME, 0},
        {0x1db, FAULTS, 0},
        {0x1de, FAULTS, 0},
        {0xc0010016, FAULTS, 0},
        {0xc001001a, FAULTS, 0},
        {0xc001001d, FAULTS, 0},
        {0xc001001f, IGNORED, 0},
        {0xc0010055, IGNORED, 0},
        {0xc0010058, IGNORED, 0},
        {0xc0010061, FAULTS, 0},
        {0xc001006b, FAULTS, 0},
        {0xc0010111, FAULTS, 0x30000},
        {0xc0010112, FAULTS, 0},
        {0xc0010113, FAULTS, 0},
        {0xc0010114, FAULTS, 0x18},
        {0xc0010117, IGNORED, 0},
        {0xc0010140, IGNORED, 0},
        {0xc0010141, IGNORED, 0},
        {0xc0011004, IGNORED, 0x1122334455667788},
        {0xc0011005, IGNORED, 0x99aabbccddeeff00},
        {0xc001100c, FAULTS, 0},
        {0xc0011020, IGNORED, 0},
        {0xc0011023, IGNORED, 0},
        {0xc0011029, IGNORED, 2},
        {0xc001102a, IGNORED, 0},
    };
    static const uint32_t intel_alone[] = {0x2a, 0x34, 0x35, 0xcd, 0x198, 0x1fc, 0x606};
    start(true);
    check_rows(intel, sizeof(intel) / sizeof(intel[0]));
    for (size_t i = 0; i < sizeof(amd) / sizeof(amd[0]); i++)
        if (amd[i].index > 0xc0000000)
            assert_true(gp_read(amd[i].index));
    start(false);
    check_rows(amd, sizeof(amd) / sizeof(amd[0]));
    for (size_t i = 0; i < sizeof(intel_alone) / sizeof(intel_alone[0]); i++)
        assert_true(gp_read(intel_alone[i]));
}

/* Harmless bits stay as written; those that would change what CPUID or a page table means do not go through. */
static void misc_enable(void **state)
{
    (void)state;
    start(true);
    static const unsigned kept[] = {0, 3, 9, 10, 13, 19, 20, 23, 24, 37, 38, 39};
    for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        assert_true(msr_write(&cpu, 0x1a0, 0x1800 | 1ull << kept[i]));
        assert_int_equal(rd(0x1a0), 0x1800 | 1ull << kept[i]);
    }
    assert_true(msr_write(&cpu, 0x1a0, 0x1801));
    for (unsigned bit = 0; bit < 64; bit++) {
        bool known = bit == 16 || bit == 18;
        for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
            known |= kept[i] == bit;
        if (!known)
            assert_false(msr_write(&cpu, 0x1a0, 0x1801 ^ 1ull << bit));
        assert_int_equal(rd(0x1a0), 0x1801);
        if (bit == 16 || bit == 18) {
            assert_true(msr_write(&cpu, 0x1a0, 0x1801 | 1ull << bit));
            assert_int_equal(rd(0x1a0), 0x1801);
        }
    }
}

static void unknown_is_logged_a_little(void **state)
{
    (void)state;
    start(true);
    for (uint32_t i = 0; i < 100; i++) {
        assert_true(gp_read(0xdead0000 + i));
        assert_false(msr_write(&cpu, 0xdead0000 + i, i));
    }
    assert_int_equal(logs, MSR_LOG_MAX);
}

struct range {
    uint32_t first, last;
};

static bool within(const struct range *range, uint32_t index)
{
    for (; range->last != 0; range++)
        if (index >= range->first && index <= range->last)
            return true;
    return false;
}

/* Which registers there are; all others give #GP and are logged. */
static void no_other_register(void **state)
{
    (void)state;
    static const struct range spaces[] = {
        {0, 0x1fff}, {0x4b564cf0, 0x4b564d1f}, {0xc0000000, 0xc0001fff}, {0xc0010000, 0xc0011fff}};
    static const struct range both[] = {{0x0, 0x1},
                                        {0x10, 0x12},
                                        {0x1b, 0x1b},
                                        {0x3b, 0x3b},
                                        {0x8b, 0x8b},
                                        {0xfe, 0xfe},
                                        {0x174, 0x176},
                                        {0x179, 0x17a},
                                        {0x1d9, 0x1d9},
                                        {0x1db, 0x1de},
                                        {0x200, 0x20f},
                                        {0x250, 0x250},
                                        {0x258, 0x259},
                                        {0x268, 0x26f},
                                        {0x277, 0x277},
                                        {0x2ff, 0x2ff},
                                        {0x6e0, 0x6e0},
                                        {0x800, 0x8ff},
                                        {0x4b564d00, 0x4b564d01},
                                        {0x4b564d05, 0x4b564d05},
                                        {0xc0000080, 0xc0000084},
                                        {0xc0000100, 0xc0000103},
                                        {0, 0}};
    static const struct range intel[] = {{0x17, 0x17},   {0x2a, 0x2a},   {0x2c, 0x2c},   {0x34, 0x35},   {0x3a, 0x3a},
                                         {0x79, 0x79},   {0xcd, 0xce},   {0x11e, 0x11e}, {0x140, 0x140}, {0x198, 0x19c},
                                         {0x1a0, 0x1a0}, {0x1fc, 0x1fc}, {0x606, 0x606}, {0x611, 0x611}, {0x619, 0x619},
                                         {0x639, 0x639}, {0x641, 0x641}, {0, 0}};
    static const struct range amd[] = {
        {0xc0010000, 0xc0010007}, {0xc0010010, 0xc0010010}, {0xc0010015, 0xc001001a}, {0xc001001d, 0xc001001d},
        {0xc001001f, 0xc0010020}, {0xc0010055, 0xc0010055}, {0xc0010058, 0xc0010058}, {0xc0010061, 0xc001006b},
        {0xc0010111, 0xc0010114}, {0xc0010117, 0xc0010117}, {0xc0010140, 0xc0010141}, {0xc0011004, 0xc0011005},
        {0xc001100c, 0xc001100c}, {0xc0011020, 0xc0011023}, {0xc0011029, 0xc001102a}, {0, 0}};
    for (unsigned vendor = 0; vendor < 2; vendor++) {
        start(vendor == 0);
        for (unsigned i = 0; i < sizeof spaces / sizeof spaces[0]; i++) {
            for (uint32_t index = spaces[i].first; index <= spaces[i].last; index++) {
                cpu.logged = 0;
                int before = logs;
                bool there = within(both, index) || within(vendor == 0 ? intel : amd, index);
                assert_int_equal(!gp_read(index), there);
                assert_int_equal(logs - before, !there);
                if (!there) {
                    assert_false(msr_write(&cpu, index, 0));
                    assert_int_equal(logs - before, 2);
                }
            }
        }
    }
}

/* Bit by bit, what a write may set where nothing is set: what stays, or 0 for what gives #GP. */
static void writable_bits(uint32_t index, uint64_t base, uint64_t taken, uint64_t stays)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_true(msr_write(&cpu, index, base));
        uint64_t value = base | 1ull << bit, was = rd(index);
        if ((taken >> bit & 1) == 0 && value != base) {
            assert_false(msr_write(&cpu, index, value));
            assert_int_equal(rd(index), was);
        } else {
            assert_true(msr_write(&cpu, index, value));
            assert_int_equal(rd(index), stays >> bit & 1 ? value : was);
        }
    }
}

static void bits_of_registers(void **state)
{
    (void)state;
    const uint64_t lower = 0xffffffff, frame = 0xfffffff000ull; /* of 40 bits */
    start(false);
    writable_bits(0xc0010010, 0, 0x7c0000, 0x7c0000); /* SYSCFG: APM vol. 2, 7.9.1; no memory encryption */
    writable_bits(0xc0010015, 0, 0x1000158, 0);       /* HWCR: TscFreqSel stays on */
    writable_bits(0x1d9, 0, 3, 0);                    /* DEBUGCTL: LBR and BTF */
    writable_bits(0x2ff, 0, 0xc05, 0xc05);            /* MTRR_DEF_TYPE: enabled, fixed ranges; types 1 and 4 */
    start(true);
    writable_bits(0xc0000084, 0, lower, lower);    /* FMASK */
    writable_bits(0xc0000103, 0, lower, lower);    /* TSC_AUX */
    writable_bits(0xc0000081, 0, ~0ull, ~0ull);    /* STAR */
    writable_bits(0x174, 0, ~0ull, ~0ull);         /* SYSENTER_CS */
    writable_bits(0x200, 6, frame | 6, frame | 6); /* a variable range's base: write-back, its type */
    writable_bits(0x201, 0, frame | 0x800, frame | 0x800);
    static const uint32_t addresses[] = {0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102};
    for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        writable_bits(addresses[i], 0, 0x7fffffffffff, 0x7fffffffffff);
        assert_true(msr_write(&cpu, addresses[i], 0xffff800000000000));
        assert_false(msr_write(&cpu, addresses[i], 0xfffe800000000000));
        assert_false(msr_write(&cpu, addresses[i], 0x0001000000000000));
    }
    for (unsigned type = 0; type < 256; type++) {
        bool good = type == 0 || type == 1 || (type >= 4 && type <= 6);
        assert_int_equal(msr_write(&cpu, 0x2ff, 0xc00 | type), good);
        assert_int_equal(msr_write(&cpu, 0x20a, type), good);
        for (unsigned byte = 0; byte < 64; byte += 8)
            assert_int_equal(msr_write(&cpu, 0x26c, (uint64_t)type << byte), good);
    }
    assert_true(msr_write(&cpu, 0x4b564d00, 0xfffffffc));
    assert_int_equal(rd(0x4b564d00), 0xfffffffc);
    assert_false(msr_write(&cpu, 0x4b564d00, 2));
    assert_true(msr_write(&cpu, 0x4b564d01, 2)); /* off: the rest does not count */
}

/* The machine's state after a reset, and how wide its addresses may be. */
static void after_reset(void **state)
{
    (void)state;
    static const struct {
        uint8_t bits;
        uint64_t mask;
    } row[] = {{0, 0xfc0000800},      {35, 0xfc0000800},     {36, 0xfc0000800},     {37, 0x1fc0000800},
               {52, 0xfffffc0000800}, {53, 0xfffffc0000800}, {255, 0xfffffc0000800}};
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        msr_init(&cpu, &ops, &now, &page, 3, (struct msr_kind){.intel = true, .physical_bits = row[i].bits});
        assert_int_equal(rd(0x201), row[i].mask);
    }
    start(true);
    assert_int_equal(rd(0x250), 0x0606060606060606); /* below 512 KiB */
    assert_int_equal(rd(0x258), 0x0606060606060606); /* to 640 KiB */
    assert_int_equal(rd(0x259), 0);                  /* the screen's window: uncached */
    for (uint32_t index = 0x268; index <= 0x26f; index++)
        assert_int_equal(rd(index), 0x0505050505050505); /* ROMs: write-protected */
    for (uint32_t index = 0x202; index <= 0x20f; index++)
        assert_int_equal(rd(index), 0);
    assert_int_equal(rd(0x8b), 1ull << 32);
    start(false);
    assert_int_equal(rd(0x8b), 0x1000065);
    assert_false(msr_write(&cpu, 0x8b, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timestamp),
        cmocka_unit_test(efer),
        cmocka_unit_test(backed_by_the_page),
        cmocka_unit_test(speculation),
        cmocka_unit_test(mtrrs),
        cmocka_unit_test(apic_and_deadline),
        cmocka_unit_test(kvm_clock),
        cmocka_unit_test(intel_only),
        cmocka_unit_test(amd_only),
        cmocka_unit_test(read_unasked),
        cmocka_unit_test(misc_enable),
        cmocka_unit_test(no_other_register),
        cmocka_unit_test(bits_of_registers),
        cmocka_unit_test(after_reset),
        cmocka_unit_test(unknown_is_logged_a_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
