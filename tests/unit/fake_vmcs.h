/* SPDX-License-Identifier: Apache-2.0 */
/* A made-up VMCS behind the wrappers of vmx/vmx_instr.h: every field is a number under its encoding. */
#ifndef TESTS_UNIT_FAKE_VMCS_H
#define TESTS_UNIT_FAKE_VMCS_H

#include <stdint.h>
#include <string.h>

static uint64_t fake_field[0x8000];
static unsigned fake_writes[0x8000], fake_reads; /* reads: of all fields */
static unsigned fake_flushes[2];                 /* INVEPT, INVVPID */

uint64_t fake_vmread(uint32_t field)
{
    fake_reads++;
    return fake_field[field & 0x7fff];
}
void fake_vmwrite(uint32_t field, uint64_t value)
{
    fake_field[field & 0x7fff] = value;
    fake_writes[field & 0x7fff]++;
}
void fake_flush(char what, uint64_t type, uint64_t context)
{
    (void)type;
    (void)context;
    fake_flushes[what == 'v']++;
}
static void fake_clear(void)
{
    memset(fake_field, 0, sizeof fake_field);
    memset(fake_writes, 0, sizeof fake_writes);
    fake_reads = 0;
    memset(fake_flushes, 0, sizeof fake_flushes);
}
#define FIELD(f) fake_field[(f).code]

#endif
