// SPDX-License-Identifier: Apache-2.0
// sources: services/root/pci.c
/*
 * PCI functions as root finds them: a made-up bus whose registers behave as the specification says, among them some
 * that lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "services/root/pci.h"
#include "services/root/root.h"

#define FUNCTIONS 70
#define WORDS     64

static struct made_up {
    uint16_t place;
    uint32_t word[WORDS], writable[WORDS];
} functions[FUNCTIONS];
static unsigned count, warnings;

void root_log(enum log_level level, const char *text, ...)
{
    (void)text;
    warnings += level == LOG_WARN;
}

static struct made_up *at(uint16_t place)
{
    for (unsigned i = 0; i < count; i++)
        if (functions[i].place == place)
            return &functions[i];
    return NULL;
}

uint32_t pci_read(uint16_t place, unsigned reg)
{
    assert_true(reg < 4 * WORDS && reg % 4 == 0);
    return at(place) ? at(place)->word[reg / 4] : ~0u;
}

void pci_write(uint16_t place, unsigned reg, uint32_t value)
{
    struct made_up *f = at(place);
    assert_non_null(f);
    uint32_t *word = &f->word[reg / 4], may = f->writable[reg / 4];
    if (reg / 4 >= 4 && reg / 4 < 10) /* no BAR is sized while the function decodes */
        assert_int_equal(f->word[1] & 3, 0);
    *word = (*word & ~may) | (value & may);
}

static struct made_up *add(uint16_t place, uint32_t id, uint32_t class)
{
    assert_true(count < FUNCTIONS);
    struct made_up *f = &functions[count++];
    *f = (struct made_up){.place = place};
    f->word[0] = id;
    f->word[1] = 7; /* ports, memory, master */
    f->writable[1] = 0x0407;
    f->word[2] = class << 8;
    f->writable[15] = 0xff;
    return f;
}

static struct made_up *bar(struct made_up *f, unsigned n, uint32_t value, uint32_t writable)
{
    f->word[4 + n] = value;
    f->writable[4 + n] = writable;
    return f;
}

static int setup(void **state)
{
    (void)state;
    count = warnings = 0;
    return 0;
}

static struct made_up *with_everything(void)
{
    struct made_up *f = add(5 << 3, 0x56781234, 0x020000);
    f->word[1] |= 1u << 20;
    bar(f, 0, 0xfe000000, 0xffffc000); /* 16 KiB */
    bar(f, 1, 0xc001, 0xffc0);         /* 64 ports */
    bar(f, 2, 0x0000000c, 0xfff00000); /* 1 MiB, 64 bits wide, prefetchable */
    bar(f, 3, 0x00000008, ~0u);        /* at 32 GiB */
    bar(f, 4, 0, 0xfffff000);          /* firmware gave it no address */
    f->word[13] = 0x40;
    f->word[15] = 0x020b;     /* INTB, at 11 */
    f->word[16] = 0x00875005; /* MSI, 64 bits, 8 messages asked for, enabled by firmware with one */
    f->word[16] |= 1u << 16 | 3u << 20;
    f->writable[16] = 0x00710000;
    f->writable[17] = f->writable[18] = ~0u;
    f->word[19] = 0xabcd0000;
    f->writable[19] = 0xffff;
    f->word[20] = 0x80006011 | 4u << 16; /* MSI-X, 5 entries, enabled */
    f->writable[20] = 0xc0000000;
    f->word[21] = 0x2000; /* BAR 0, at 8 KiB */
    f->word[24] = 0x00020010;
    f->word[25] = 1u << 28; /* it can be reset */
    f->word[26] = 0xf0002810;
    f->writable[26] = 0xffff;
    return f;
}

static void test_one_with_everything(void **state)
{
    (void)state;
    struct made_up *m = with_everything();
    pci_init();
    assert_int_equal(pci_count(), 1);
    struct pci_function *f = pci_find(0x1234, 0x5678, 0);
    assert_ptr_equal(f, pci_function(0));
    assert_null(pci_function(1));
    assert_null(pci_find(0x1234, 0x5678, 1));
    assert_int_equal(f->class, 0x020000);
    assert_true(f->pin == 2 && f->line == 11 && f->msi == 0x40 && f->msix == 0x50 && f->express == 0x60 &&
                f->has_reset);
    assert_true(f->table_bar == 0 && f->table_at == 0x2000 && f->table_bytes == 80);
    static const struct pci_bar expected[PCI_BARS] = {
        {0xfe000000, 0x4000, false, false}, {0xc000, 0x40, true, false}, {8ull << 32, 1 << 20, false, true}};
    for (unsigned i = 0; i < PCI_BARS; i++) {
        assert_int_equal(f->bar[i].size, expected[i].size);
        if (expected[i].size == 0)
            continue;
        assert_int_equal(f->bar[i].base, expected[i].base);
        assert_int_equal(f->bar[i].ports, expected[i].ports);
        assert_int_equal(f->bar[i].combining, expected[i].combining);
    }
    /* What firmware left on is off; its decoding and its addresses are as they were. */
    assert_int_equal(m->word[1] & 0xffff, 0x0403);
    assert_int_equal(m->word[16] >> 16 & 1, 0);
    assert_int_equal(m->word[20] >> 31, 0);
    assert_int_equal(m->word[4], 0xfe000000);
    assert_int_equal(m->word[7], 8);

    assert_false(pci_is_master(f) || pci_uses_message(f));
    pci_master(f, true);
    assert_true(pci_is_master(f));
    assert_int_equal(m->word[1] & 0xffff, 0x0407);
    assert_true(pci_use_message(f, 0xfee0100000000031ull));
    assert_int_equal(m->word[1] & 0xffff, 0x0407); /* no line */
    assert_int_equal(m->word[16] >> 16 & 0x71, 1); /* on, one message */
    assert_int_equal(m->word[17], 0xfee01000);
    assert_int_equal(m->word[18], 0);
    assert_int_equal(m->word[19], 0xabcd0031);
    assert_true(pci_uses_message(f));
    pci_use_line(f);
    assert_int_equal(m->word[1] & 0xffff, 0x0007);
    assert_int_equal(m->word[16] >> 16 & 1, 0);
    assert_false(pci_uses_message(f));
    pci_silence(f);
    assert_int_equal(m->word[1] & 0xffff, 0x0403);

    pci_master(f, true);
    assert_true(pci_reset(f));
    assert_int_equal(m->word[26] & 0xffff, 0xa810);
    assert_int_equal(m->word[1] & 0xffff, 0x0403);
    m->word[1] = 1u << 20; /* what the reset does */
    m->word[4] = m->word[6] = m->word[7] = m->word[15] = 0;
    m->word[5] = 1;
    pci_restore(f);
    assert_int_equal(m->word[4], 0xfe000000);
    assert_int_equal(m->word[7], 8);
    assert_int_equal(m->word[5] & 0xffc0, 0xc000);
    assert_int_equal(m->word[15], 11);
    assert_int_equal(m->word[1] & 0xffff, 0x0403);
}

/* What firmware let a function decode it decodes afterwards, and no more: ports, memory, both or neither. */
static void test_decoding_stays(void **state)
{
    (void)state;
    for (unsigned decodes = 0; decodes < 4; decodes++)
        bar(add((uint16_t)((8 + decodes) << 3), 0x00011234, 0xff0000), 0, 0xfe000000, 0xfffff000)->word[1] = decodes;
    pci_init();
    for (unsigned decodes = 0; decodes < 4; decodes++) {
        assert_int_equal(functions[decodes].word[1] & 7, decodes);
        assert_int_equal(functions[decodes].word[4], 0xfe000000);
        assert_int_equal(pci_function(decodes)->bar[0].size, 0x1000);
    }
}

/* An MSI of 32 bits has its data where the upper half of a wide one's address is (PCI 3.0, 6.8.1). */
static void test_a_narrow_message(void **state)
{
    (void)state;
    struct made_up *m = add(9 << 3, 0x00011234, 0xff0000);
    m->word[1] |= 1u << 20;
    m->word[13] = 0x40;
    m->word[16] = 5;
    m->writable[16] = 0x00710000;
    m->writable[17] = m->writable[19] = ~0u;
    m->writable[18] = 0xffff;
    m->word[18] = 0x5a5a0000;
    pci_init();
    struct pci_function *f = pci_function(0);
    assert_true(pci_use_message(f, 0xfee0200000000042ull));
    assert_int_equal(m->word[17], 0xfee02000);
    assert_int_equal(m->word[18], 0x5a5a0042);
    assert_int_equal(m->word[19], 0);
    assert_true(pci_uses_message(f));
}

/* Bridges are followed, and stay as they are; a bus is looked at once. */
static void test_bridges(void **state)
{
    (void)state;
    add(0, 0x11118086, 0x060000);
    struct made_up *bridge = add(1 << 3, 0x22228086, 0x060400), *loop = add(2 << 3, 0x33338086, 0x060400);
    bridge->word[6] = 0x030300;
    loop->word[6] = 0; /* not numbered: bus 0 again */
    struct made_up *first = add(3 << 8, 0x00011af4, 0x010000);
    first->word[3] = 1u << 23; /* several functions */
    add(3 << 8 | 5, 0x00021af4, 0x010000);
    add(4 << 3 | 1, 0x00031af4, 0x010000); /* without a function 0 there is no device */
    pci_init();
    assert_int_equal(pci_count(), 5);
    assert_int_equal(bridge->word[1], 7);
    assert_int_equal(first->word[1], 0x0403);
    assert_non_null(pci_find(0x1af4, 2, 0));
    assert_null(pci_find(0x1af4, 3, 0));
}

static void test_what_it_has_not(void **state)
{
    (void)state;
    add(6 << 3, 0x11e81234, 0x00ff00);
    pci_init();
    struct pci_function *f = pci_function(0);
    assert_false(pci_use_message(f, 0xfee0000000000030ull) || pci_uses_message(f));
    assert_false(pci_reset(f));
    f->owner = "a test";
    assert_null(pci_find(0x1234, 0x11e8, 0));
}

/* A list of capabilities that goes round, and more functions than there is room for. */
static void test_liars(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 32; i++)
        for (unsigned n = 0; n < 8 && count < FUNCTIONS; n++) {
            struct made_up *f = add((uint16_t)(i << 3 | n), 0x00011234, 0xff0000);
            f->word[1] |= 1u << 20;
            f->word[3] = 1u << 23;
            f->word[13] = 0x40;
            f->word[16] = 0x4009;
        }
    pci_init();
    assert_int_equal(pci_count(), PCI_FUNCTIONS_MAX);
    assert_int_equal(warnings, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_with_everything, setup), cmocka_unit_test_setup(test_bridges, setup),
        cmocka_unit_test_setup(test_decoding_stays, setup),      cmocka_unit_test_setup(test_a_narrow_message, setup),
        cmocka_unit_test_setup(test_what_it_has_not, setup),     cmocka_unit_test_setup(test_liars, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
