// SPDX-License-Identifier: Apache-2.0
// sources: vmx/vmx_controls.c vmx/vmx_registers.c vmx/vmx_msr.c services/root/lacks.c lib/print.c
/* VT-x: what is asked of the CPU, and the arithmetic of CR0, CR4, the timer, the qualifications and the MSR bitmap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "mullion/boot.h"
#include "mullion/regs.h"
#include "vmx/vmx.h"

#define MSR_DEBUGCTL 0x1d9
#define MSR_XSS      0xda0

#define ALL_MAY 0xffffffff00000000ull

static void resolves(void **state)
{
    (void)state;
    uint32_t value = 0;
    assert_int_equal(vmx_resolve(&vmx_control_sets[SET_PROC], ALL_MAY | 0x04006172, &value), 0);
    assert_true(value & BIT(PROC_MWAIT));
    assert_true(value & BIT(PROC_TPR_SHADOW)); /* wanted */
    assert_true(value & 0x100);                /* insisted on, not known here */
    assert_false(value & (BIT(PROC_HLT) | BIT(PROC_INTERRUPT_WINDOW) | BIT(PROC_NMI_WINDOW) | BIT(PROC_CR3_LOAD)));

    /* a wish may go unfulfilled */
    uint64_t without = ALL_MAY & ~((uint64_t)BIT(PROC2_INVPCID) << 32);
    assert_int_equal(vmx_resolve(&vmx_control_sets[SET_PROC2], without, &value), 0);
    assert_false(value & BIT(PROC2_INVPCID));
    assert_true(value & BIT(PROC2_RDTSCP));
}

static void refuses_with_the_bit(void **state)
{
    (void)state;
    uint32_t value = 0;
    uint64_t without = ALL_MAY & ~((uint64_t)BIT(PROC2_UNRESTRICTED) << 32);
    assert_int_equal(vmx_resolve(&vmx_control_sets[SET_PROC2], without, &value), BIT(PROC2_UNRESTRICTED));
    /* forbidden, but insisted on */
    assert_int_equal(vmx_resolve(&vmx_control_sets[SET_PROC], ALL_MAY | BIT(PROC_CR3_LOAD), &value),
                     BIT(PROC_CR3_LOAD));
    /* must be switchable: stuck at 1, stuck at 0 */
    assert_int_equal(vmx_resolve(&vmx_control_sets[SET_PROC], ALL_MAY | BIT(PROC_INTERRUPT_WINDOW), &value),
                     BIT(PROC_INTERRUPT_WINDOW));
    without = ALL_MAY & ~((uint64_t)BIT(ENTRYC_GUEST_64) << 32);
    assert_int_equal(vmx_resolve(&vmx_control_sets[SET_ENTRY], without, &value), BIT(ENTRYC_GUEST_64));
    for (unsigned i = 0; i < SET_COUNT; i++) { /* a CPU that may nothing, one that insists on everything */
        const struct control_set *set = &vmx_control_sets[i];
        assert_int_equal(vmx_resolve(set, 0, &value), set->required | set->switched);
        assert_int_equal(vmx_resolve(set, ~0ull, &value), set->switched | set->forbidden);
        assert_int_equal(set->required & (set->wanted | set->switched | set->forbidden), 0);
        assert_int_equal(set->forbidden & (set->wanted | set->switched), 0);
    }
}

static void basic_and_ept(void **state)
{
    (void)state;
    uint64_t basic = 1ull << 55 | 6ull << 50 | 1024ull << 32 | 1;
    assert_int_equal(vmx_basic_lacking(basic), 0);
    assert_int_equal(vmx_basic_lacking(basic & ~(1ull << 55)), 55);
    assert_int_equal(vmx_basic_lacking(basic & ~(6ull << 50)), 50);
    assert_int_equal(vmx_basic_lacking(basic | 1ull << 48), 48);
    assert_int_equal(vmx_basic_lacking(basic | 0x1fffull << 32), 32);
    assert_int_equal(EPT_VPID_NEEDED & ~0xf0106334141ull, 0);
    assert_int_equal(EPT_VPID_NEEDED & ~(0xf0106334141ull & ~(1ull << 32)), 1ull << 32);
}

/* services/root/lacks.c */
void lack_text(const struct lack lacks[2], char *out, size_t size);

static const char *words(unsigned what, unsigned bit)
{
    static char text[160];
    struct lack lacks[2] = {{(uint8_t)what, (uint8_t)bit}, {LACK_SVM, 0}};
    lack_text(lacks, text, sizeof text);
    assert_in_range(strlen(text), 20, sizeof text - 2); /* no reader of the shell misses the end of a sentence */
    assert_null(strstr(text, "something new"));
    return text;
}

/* Root has words for whatever can be missing. */
static void has_words(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SET_COUNT; i++) {
        const struct control_set *set = &vmx_control_sets[i];
        for (unsigned bit = 0; bit < 32; bit++)
            if ((set->required | set->switched | set->forbidden) >> bit & 1)
                assert_non_null(strstr(words(LACK_VMX_PIN + i, bit), "VT-x: this CPU lacks '"));
    }
    for (unsigned bit = 0; bit < 64; bit++)
        if (EPT_VPID_NEEDED >> bit & 1)
            assert_non_null(strstr(words(LACK_VMX_EPT, bit), "VT-x: this CPU lacks "));
    const unsigned basic[] = {32, 48, 50, 55};
    for (unsigned i = 0; i < ARRAY_SIZE(basic); i++)
        assert_non_null(strstr(words(LACK_VMX_BASIC, basic[i]), "VT-x: this CPU lacks "));
    assert_string_equal(words(LACK_VMX_PROC2, PROC2_UNRESTRICTED),
                        "VT-x: this CPU lacks 'unrestricted guest' (secondary processor-based control 7)");
    assert_string_equal(words(LACK_VMX_PROC, PROC_CR3_LOAD),
                        "VT-x: this CPU lacks 'CR3-load exiting off' (processor-based control 15)");
    assert_string_equal(words(LACK_VMX_EPT, 32), "VT-x: this CPU lacks INVVPID");
    assert_non_null(strstr(words(LACK_VTX_UNLOCKED, 0), "firmware"));
    /* Without VT-x it is AMD-V's lack that counts. */
    const struct {
        unsigned what;
        const char *part;
    } amd[] = {{LACK_SVM, "no AMD-V"},
               {LACK_SVM_UNLOCKED, "firmware"},
               {LACK_SVM_NPT, "nested paging"},
               {LACK_SVM_ASIDS, "identifier"}};
    for (unsigned i = 0; i < ARRAY_SIZE(amd); i++) {
        char text[160];
        struct lack lacks[2] = {{LACK_VTX, 0}, {(uint8_t)amd[i].what, 0}};
        lack_text(lacks, text, sizeof text);
        assert_non_null(strstr(text, amd[i].part));
        assert_in_range(strlen(text), 20, sizeof text - 2);
    }
}

static int fixed_bits(void **state)
{
    (void)state;
    vmx.cr0_fixed0 = 0x80000021;
    vmx.cr0_fixed1 = 0xffffffff;
    vmx.cr4_fixed0 = CR4_VMXE;
    vmx.cr4_fixed1 = 0x3767ff;
    return 0;
}

static void control_registers(void **state)
{
    (void)state;
    uint64_t mask = vmx_cr0_mask();
    assert_int_equal(mask & 0xffffffff, CR0_NE | CR0_CD | CR0_NW);
    assert_int_equal(mask >> 32, 0xffffffff);
    assert_int_equal(vmx_cr0_real(CR0_CD | CR0_NW | CR0_ET), CR0_ET | CR0_NE);
    assert_int_equal(vmx_cr0_real(CR0_PG | CR0_PE), CR0_PG | CR0_PE | CR0_NE);
    assert_true(vmx_cr4_offered(CR4_PAE | CR4_SMEP | CR4_OSXSAVE));
    assert_false(vmx_cr4_offered(CR4_VMXE));
    assert_false(vmx_cr4_offered(CR4_PKE));
    assert_false(vmx_cr4_offered(CR4_UMIP)); /* not in fixed1 */
    assert_int_equal(vmx_cr4_real(CR4_PAE), CR4_PAE | CR4_VMXE | CR4_MCE);
    assert_true(vmx_cr4_mask() & CR4_MCE);
    assert_false(vmx_cr4_mask() & CR4_PAE);
}

static void shadow_writes(void **state)
{
    (void)state;
    uint64_t out = 0;
    /* a 32-bit kernel turns paging, WP and NE on in one write */
    assert_true(vmx_cr_fastpath(0, 0x80050033, 0x60000010, &out));
    assert_int_equal(out & vmx_cr0_mask(), CR0_NE);
    assert_true(vmx_cr_fastpath(0, 0xc0050033, 0x80050033, &out));
    assert_false(vmx_cr_fastpath(0, 0xa0050033, 0x80050033, &out));  /* NW without CD faults */
    assert_false(vmx_cr_fastpath(0, 0x180050033, 0x80050033, &out)); /* upper half faults */
    assert_false(vmx_cr_fastpath(0, 0x80050033, 0x80050033, &out));  /* nothing to settle: must not loop */
    assert_true(vmx_cr_fastpath(4, CR4_MCE | CR4_PAE, CR4_PAE, &out));
    assert_false(vmx_cr_fastpath(4, CR4_VMXE | CR4_PAE, CR4_PAE, &out));
    assert_false(vmx_cr_fastpath(4, CR4_MCE | CR4_PKE, 0, &out));
}

static void timer(void **state)
{
    (void)state;
    assert_int_equal(vmx_timer_value(1000, 1000, 5000, 0), 1);
    assert_int_equal(vmx_timer_value(1000, 900, 5000, 0), 1); /* passed */
    assert_int_equal(vmx_timer_value(1000, 1100, 5000, 0), 101);
    assert_int_equal(vmx_timer_value(1000, ~0ull, 5000, 0), 5001);
    assert_int_equal(vmx_timer_value(1000, 1033, 5000, 5), 3);
    for (unsigned shift = 0; shift < 32; shift++) /* the longest turn */
        assert_int_equal(vmx_timer_value(1000, ~0ull, VMX_TIMER_STEPS << shift, shift), 0xffffffff);
    /* never early: the first count may come at once */
    for (unsigned shift = 0; shift < 8; shift++)
        for (uint64_t now = 0; now < 300; now += 7)
            for (uint64_t wait = 0; wait < 700; wait += 13) {
                uint64_t steps = vmx_timer_value(now, now + wait, 100000, shift);
                uint64_t fires = ((now >> shift) + steps) << shift;
                assert_true(fires >= now + wait);
                assert_true(fires <= now + wait + (2ull << shift));
            }
}

static void qualifications(void **state)
{
    (void)state;
    struct cr_access a = vmx_cr_access(0x1234ull << 16 | 0xb << 8 | 3 << 4 | 0);
    assert_true(a.lmsw && a.write && !a.clts);
    assert_int_equal(a.source, 0x1234);
    a = vmx_cr_access(4 << 8 | 1 << 4 | 8);
    assert_true(!a.write && a.number == 8 && a.gpr == GPR_RSP);

    struct vcpu_exit e = {0};
    vmx_port_access(0x3f8ull << 16 | 1 << 3, &e);
    assert_int_equal(e.port.port, 0x3f8);
    assert_int_equal(e.port.size, 1);
    assert_int_equal(e.port.in, 1);
    assert_int_equal(e.port.string | e.port.rep, 0);
    vmx_port_access(0xcf8ull << 16 | 3 | 1 << 4 | 1 << 5, &e);
    assert_int_equal(e.port.size, 4);
    assert_int_equal(e.port.string & e.port.rep & !e.port.in, 1);

    e = (struct vcpu_exit){0};
    vmx_memory_access(0x182, &e); /* a write, linear address known, final access */
    assert_true(e.memory.write && !e.memory.read && e.memory.gva_valid && !e.memory.in_walk);
    vmx_memory_access(0x81, &e);
    assert_true(e.memory.read && e.memory.in_walk);
    vmx_memory_access(0x01, &e); /* no linear address: nothing is said about a walk */
    assert_false(e.memory.in_walk || e.memory.gva_valid);

    assert_true(vmx_canonical(0x00007fffffffffff) && vmx_canonical(0xffff800000000000));
    assert_false(vmx_canonical(0x0000800000000000) || vmx_canonical(0xfffe800000000000));
}

static bool exits(const uint8_t *page, uint32_t msr, bool write)
{
    const uint8_t *half = page + (msr >= 0xc0000000 ? 1024 : 0) + (write ? 2048 : 0);
    return half[(msr & 0x1fff) / 8] >> (msr & 7) & 1;
}

uint32_t speculation_msrs;
static void msr_bitmap(void **state)
{
    (void)state;
    static uint8_t page[4096], by_cpu[4096];
    vmx_msr_bitmap(page, APIC_BY_MONITOR);
    unsigned open = 0;
    for (unsigned i = 0; i < sizeof page; i++)
        open += 8 - (unsigned)__builtin_popcount(page[i]);
    assert_int_equal(open, 1 + 1 + 4 + 2 * (3 + 1 + 1 + 2 + 1));
    assert_false(exits(page, MSR_TSC, false));
    assert_true(exits(page, MSR_TSC, true) && exits(page, MSR_LSTAR, true) && exits(page, MSR_TSC_AUX, true) &&
                !exits(page, MSR_TSC_AUX, false));
    assert_false(exits(page, MSR_EFER, true) || exits(page, MSR_LSTAR, false) ||
                 exits(page, MSR_KERNEL_GS_BASE, false));
    assert_true(exits(page, MSR_APIC_BASE, false) && exits(page, MSR_FEATURE_CONTROL, true) &&
                exits(page, MSR_X2APIC_BASE + 8, true));
    assert_true(exits(page, MSR_SPEC_CTRL, true) && exits(page, MSR_DEBUGCTL, true) && exits(page, MSR_XSS, true));

    static uint8_t more[4096];
    vmx_msr_bitmap(more, APIC_BY_MONITOR | BITMAP_SPEC_CTRL);
    assert_false(exits(more, MSR_SPEC_CTRL, false) || exits(more, MSR_SPEC_CTRL, true));
    more[MSR_SPEC_CTRL / 8] |= 1;
    more[2048 + MSR_SPEC_CTRL / 8] |= 1;
    assert_memory_equal(more, page, sizeof page);
    speculation_msrs = GUEST_PRED_CMD;
    vmx_msr_bitmap(more, APIC_BY_MONITOR);
    assert_true(exits(more, MSR_PRED_CMD, false) && !exits(more, MSR_PRED_CMD, true));
    more[2048 + MSR_PRED_CMD / 8] |= 2;
    assert_memory_equal(more, page, sizeof page);
    speculation_msrs = 0;

    /* the x2APIC's registers: open in the one of the two only, and no more than the CPU keeps in the page */
    vmx_msr_bitmap(by_cpu, APIC_BY_CPU);
    for (uint32_t msr = 0; msr < 0x2000; msr++) {
        bool read = msr == 0x802 || msr == 0x803 || msr == 0x808 || msr == 0x80a || msr == 0x80d || msr == 0x80f ||
                    (msr >= 0x810 && msr <= 0x828) || (msr >= 0x832 && msr <= 0x838) || msr == 0x83e;
        bool write = msr == 0x808 || msr == 0x80b || msr == 0x83f;
        assert_int_equal(exits(by_cpu, msr, false), read ? false : exits(page, msr, false));
        assert_int_equal(exits(by_cpu, msr, true), write ? false : exits(page, msr, true));
        assert_true(exits(page, msr, false) || msr < 0x800 || msr > 0x8ff);
        assert_int_equal(exits(by_cpu, 0xc0000000 + msr, false), exits(page, 0xc0000000 + msr, false));
        assert_int_equal(exits(by_cpu, 0xc0000000 + msr, true), exits(page, 0xc0000000 + msr, true));
    }
}

static void apic_all_or_nothing(void **state)
{
    (void)state;
    const uint32_t all = BIT(PROC2_VIRTUAL_X2APIC) | BIT(PROC2_APIC_REGISTERS) | BIT(PROC2_VIRTUAL_INTERRUPTS);
    uint32_t proc2 = 0;
    assert_int_equal(vmx_resolve(&vmx_control_sets[SET_PROC2], ALL_MAY, &proc2), 0);
    assert_int_equal(proc2 & all, all);
    uint32_t others = proc2 & ~all;
    assert_int_equal(vmx_apic_controls(BIT(PROC_TPR_SHADOW), &proc2), all);
    assert_int_equal(proc2, others); /* off until a monitor asks for it */
    proc2 |= all;
    assert_int_equal(vmx_apic_controls(0, &proc2), 0); /* none of them works without the TPR shadow */
    assert_int_equal(proc2, others);
    for (unsigned i = 0; i < 32; i++) {
        if (!(all >> i & 1))
            continue;
        proc2 = others | (all & ~BIT(i));
        assert_int_equal(vmx_apic_controls(BIT(PROC_TPR_SHADOW), &proc2), 0);
        assert_int_equal(proc2, others);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resolves),
        cmocka_unit_test(refuses_with_the_bit),
        cmocka_unit_test(basic_and_ept),
        cmocka_unit_test(has_words),
        cmocka_unit_test(control_registers),
        cmocka_unit_test(shadow_writes),
        cmocka_unit_test(timer),
        cmocka_unit_test(qualifications),
        cmocka_unit_test(msr_bitmap),
        cmocka_unit_test(apic_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, fixed_bits, NULL);
}
