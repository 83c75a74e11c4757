// SPDX-License-Identifier: Apache-2.0
// sources: svm/svm_bitmaps.c svm/svm_exit.c
/*
 * Every bit of the VMCB's three intercept words (AMD APM vol. 2, table B-1), each with the reason why it is set or not.
 * A bit that is set in the kernel and not here, or the other way round, fails; so does a bit without a row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "mullion/regs.h"
#include "svm/svm.h"

uint32_t speculation_msrs;

enum decision {
    EXITS,   /* to the host, the backend or the monitor */
    NO_SUCH, /* exits, and the monitor answers #UD: the guest's CPU does not have it */
    OWN,     /* clear: it reaches the guest's own state alone, or nothing */
    UNUSED,  /* clear: reserved, or of a feature that is not used */
};

static const struct row {
    uint8_t word, first, last;
    enum decision decision;
    const char *what, *why;
} rows[] = {
    {0, 0, 0, EXITS, "INTR", "the host's"},
    {0, 1, 1, EXITS, "NMI", "the host's"},
    {0, 2, 2, OWN, "SMI",
     "firmware's: taken at once, and its memory is no guest's; HWCR.SMMLOCK ignores the bit anyway"},
    {0, 3, 3, EXITS, "INIT", "the host's"},
    {0, 4, 4, EXITS, "VINTR", "the interrupt window"},
    {0, 5, 5, EXITS, "CR0 write, but of TS and MP", "CD and NW: the caches are everybody's"},
    {0, 6, 13, OWN, "IDTR, GDTR, LDTR, TR", "in the VMCB"},
    {0, 14, 14, OWN, "RDTSC", "the CPU adds the guest's offset"},
    {0, 15, 15, NO_SUCH, "RDPMC", "the counters are the host's"},
    {0, 16, 17, OWN, "PUSHF, POPF", "in the VMCB"},
    {0, 18, 18, EXITS, "CPUID", "the guest's machine"},
    {0, 19, 19, OWN, "RSM", "no guest is in SMM: #UD"},
    {0, 20, 20, OWN, "IRET", "set while an NMI is blocked: svm_hold"},
    {0, 21, 21, OWN, "INT n", "by the guest's own table"},
    {0, 22, 22, EXITS, "INVD", "would lose others' data"},
    {0, 23, 23, OWN, "PAUSE", "a guest has its CPU or its share, and may spin there"},
    {0, 24, 24, EXITS, "HLT", "the host's other threads"},
    {0, 25, 25, OWN, "INVLPG", "of its own ASID"},
    {0, 26, 26, NO_SUCH, "INVLPGA", "of any ASID"},
    {0, 27, 27, EXITS, "IOIO", "the guest's machine"},
    {0, 28, 28, EXITS, "MSR", "the guest's machine"},
    {0, 29, 29, EXITS, "task switch", "does not work as the manual says in a guest; rare"},
    {0, 30, 30, EXITS, "FERR freeze", "would stop the CPU"},
    {0, 31, 31, EXITS, "shutdown", "would stop the CPU"},
    {1, 0, 0, NO_SUCH, "VMRUN", "mandatory (15.5.1)"},
    {1, 1, 1, EXITS, "VMMCALL", "the hypercall"},
    {1, 2, 3, NO_SUCH, "VMLOAD, VMSAVE", "the host's registers, by physical address"},
    {1, 4, 5, NO_SUCH, "STGI, CLGI", "would hold back the host's interrupts"},
    {1, 6, 6, NO_SUCH, "SKINIT", "would start the machine anew"},
    {1, 7, 7, OWN, "RDTSCP", "TSC and TSC_AUX are the guest's"},
    {1, 8, 8, OWN, "ICEBP", "#DB exits"},
    {1, 9, 9, EXITS, "WBINVD", "would empty the caches of all guests"},
    {1, 10, 10, NO_SUCH, "MONITOR, MONITORX", "with MWAIT"},
    {1, 11, 12, NO_SUCH, "MWAIT, MWAITX", "would keep the CPU from the host's other threads"},
    {1, 13, 13, EXITS, "XSETBV", "XCR0 is not in the VMCB"},
    {1, 14, 14, NO_SUCH, "RDPRU", "MPERF and APERF are the host's"},
    {1, 15, 15, UNUSED, "EFER write trap", "for encrypted guests; the MSR bitmap comes first"},
    {1, 16, 31, UNUSED, "CR write traps", "for encrypted guests; the intercepts of CR0, CR4 and CR8 come first"},
    {2, 0, 0, NO_SUCH, "INVLPGB", "of any ASID, on every CPU"},
    {2, 1, 1, UNUSED, "INVLPGB with a wrong operand", "all of them exit"},
    {2, 2, 2, OWN, "INVPCID", "of its own ASID"},
    {2, 3, 3, NO_SUCH, "MCOMMIT", "waits for all memory of the machine"},
    {2, 4, 4, NO_SUCH, "TLBSYNC", "with INVLPGB"},
    {2, 5, 5, UNUSED, "bus lock", "is not held back: docs/limits.md"},
    {2, 6, 6, UNUSED, "idle HLT", "HLT exits"},
    {2, 7, 31, UNUSED, "reserved", "must be 0"},
};

static void every_bit_is_decided(void **state)
{
    (void)state;
    uint32_t decided[3] = {0}, set[3] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        for (unsigned bit = r->first; bit <= r->last; bit++) {
            assert_false(decided[r->word] >> bit & 1);
            decided[r->word] |= 1u << bit;
            set[r->word] |= (r->decision <= NO_SUCH ? 1u : 0u) << bit;
        }
    }
    for (unsigned word = 0; word < 3; word++) {
        assert_int_equal(decided[word], 0xffffffff);
        if (svm_intercepts[word] != set[word])
            fail_msg("word %u is 0x%08x, and its rows say 0x%08x", word, svm_intercepts[word], set[word]);
    }
}

/* What comes of each: no bit may be set whose exit nothing understands, but those that no guest can cause. */
static void every_exit_is_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        for (unsigned bit = r->first; bit <= r->last; bit++) {
            struct vmcb b = {.control.exit_code = SVM_EXIT_INTR + 32u * r->word + bit};
            struct vcpu_exit out = {0};
            uint32_t reason = svm_translate(&b, 0, 0, &out);
            assert_int_equal(reason == EXIT_INVALID_OPCODE_WANTED, r->decision == NO_SUCH);
            if (r->decision == EXITS && strcmp(r->what, "FERR freeze") != 0)
                assert_int_not_equal(reason, EXIT_UNKNOWN);
            if (r->decision == UNUSED)
                assert_int_equal(reason, EXIT_UNKNOWN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_bit_is_decided),
                                       cmocka_unit_test(every_exit_is_understood)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
