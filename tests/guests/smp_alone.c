// SPDX-License-Identifier: Apache-2.0
/*
 * What the boot CPU of tests/guests/smp.c checks of its own interrupts: CR8 and TPR are one register and hold back what
 * they should (Intel SDM vol. 3, 11.8.3 and 11.8.6), and an interrupt comes once, whatever the other CPUs do meanwhile.
 */
#include "smp.h"

static uint64_t cr8_read(void)
{
    uint64_t v;
    __asm__ volatile("mov %%cr8, %0" : "=r"(v) : : "memory");
    return v;
}

static void cr8_write(uint64_t v)
{
    __asm__ volatile("mov %0, %%cr8" : : "r"(v) : "memory");
}

static unsigned ppr_inside, cr8_inside;
static void on_inside(struct frame *f)
{
    ppr_inside = apic_read(0xa0);
    cr8_inside = (unsigned)cr8_read();
    on_vector(f);
}

/* Sent with interrupts off, so that it waits. */
static unsigned send_self(void)
{
    forget();
    send(ASSERT | SELF | V_FIXED, 0);
    return cpu[0].count[V_FIXED];
}

static unsigned settled(void)
{
    settle();
    return cpu[0].count[V_FIXED];
}

void priority_checks(void)
{
    const unsigned class = V_FIXED >> 4;
    cr8_write(5);
    unsigned tpr = apic_read(0x80), ppr = apic_read(0xa0);
    check("CR8 is seen in TPR and PPR", tpr == 0x50 && ppr == 0x50, tpr, ppr);
    apic_write(0x80, 0x3a);
    tpr = apic_read(0x80);
    check("TPR is seen in CR8, its low half is not", cr8_read() == 3 && tpr == 0x3a, (unsigned)cr8_read(), tpr);

    cr8_write(class);
    (void)send_self();
    unsigned held = settled();
    cr8_write(class - 1);
    check("CR8 holds its class back until it is lowered", held == 0 && settled() == 1, held, settled());
    cr8_write(9);
    (void)send_self();
    held = settled();
    apic_write(0x80, 0);
    check("or TPR is", held == 0 && settled() == 1, held, settled());

    /* It waits for interrupts to be on already, when CR8 is raised. */
    (void)send_self();
    cr8_write(15);
    held = settled();
    cr8_write(class);
    held += settled();
    cr8_write(0);
    check("CR8 holds back what waits already", held == 0 && settled() == 1, held, settled());

    handle(V_FIXED, on_inside);
    cr8_write(2);
    (void)send_self();
    (void)settled();
    check("PPR is the class in service", ppr_inside == class << 4 && cr8_inside == 2, ppr_inside, cr8_inside);
    handle(V_FIXED, on_vector);
    cr8_write(0);
}

#define ONCE_ROUNDS 300
#define ONCE_WORK   20000
static volatile bool in_handler;
static volatile unsigned again;

/* Long, and without an exit until its end: a second delivery would find it at work, with interrupts off. */
static void on_once(struct frame *f)
{
    again += in_handler;
    in_handler = true;
    for (unsigned i = 0; i < ONCE_WORK; i++)
        __asm__ volatile("");
    in_handler = false;
    on_vector(f);
}

/* For each of these QEMU makes all its CPUs leave their translated code. */
static void lock_unaligned(unsigned me)
{
    static uint8_t line[CPUS_MAX][64] __attribute__((aligned(64)));
    while (!enough)
        __asm__ volatile("lock incl 1(%0)" : : "r"(line[me]) : "memory", "cc");
}

void once_check(void)
{
    forget();
    handle(V_ONCE, on_once);
    again = 0;
    enough = false;
    cpu[1].job = lock_unaligned;
    send(ASSERT | OTHERS | V_WAKE, 0);
    for (unsigned i = 1; i <= ONCE_ROUNDS; i++) {
        send(ASSERT | SELF | V_ONCE, 0);
        WAIT(cpu[0].count[V_ONCE] >= i);
    }
    enough = true;
    bool done = all_done();
    check("each interrupt comes once while another CPU locks what is not aligned",
          done && again == 0 && cpu[0].count[V_ONCE] == ONCE_ROUNDS, again, cpu[0].count[V_ONCE]);
}
