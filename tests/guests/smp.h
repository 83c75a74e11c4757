/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the guest with many CPUs (smp.c) share.
 */
#ifndef TESTS_GUESTS_SMP_H
#define TESTS_GUESTS_SMP_H

#include "guest.h"

#define APIC     0xfee00000u
#define CPUS_MAX 64
#define PATIENCE 4000 /* ms: many CPUs may share few */

enum { V_NONE = 0, V_FIXED = 0x51, V_LOWEST, V_MANY, V_TIMER, V_FLUSH, V_WAKE, V_ONCE, V_SPURIOUS = 0xff };
/* ICR: Intel SDM vol. 3, 11.6.1 */
enum { LOGICAL = 1 << 11, LOWEST = 1 << 8, NMI = 4 << 8, INIT = 5 << 8, SIPI = 6 << 8, ASSERT = 1 << 14 };
enum { SELF = 1 << 18, ALL = 2 << 18, OTHERS = 3 << 18 };

typedef void (*job_t)(unsigned me);
struct smp_cpu {
    unsigned count[256], nmis, starts; /* interrupts taken, by vector */
    job_t job;                         /* done when it wakes; NULL: over */
    uint64_t value;
};
extern volatile struct smp_cpu cpu[CPUS_MAX];
extern unsigned cpus;
extern volatile bool x2;     /* x2APIC mode */
extern volatile bool enough; /* jobs that go on end */

/* One line of the report, with two numbers that explain a failure. */
void check(const char *what, bool good, unsigned a, unsigned b);

/* The local APIC through the face in use: a register at its xAPIC offset; a message. */
uint32_t apic_read(uint32_t offset);
void apic_write(uint32_t offset, uint32_t v);
void send(uint32_t what, uint32_t to);

void sleep_ms(unsigned ms);
/* Until the condition holds; interrupts come in between. */
#define WAIT(condition)                                                  \
    do {                                                                 \
        interrupts_on();                                                 \
        for (unsigned spin_ = 0; spin_ < 20000 && !(condition); spin_++) \
            __asm__ volatile("pause");                                   \
        for (unsigned ms_ = 0; ms_ < PATIENCE && !(condition); ms_++)    \
            sleep_ms(1);                                                 \
        interrupts_off();                                                \
    } while (0)
/* Time for what must not come. */
void settle(void);
/* All counts are 0 again. */
void forget(void);
unsigned total(uint8_t vector);
bool all_done(void);

/* Counts an interrupt, and ends it. */
void on_vector(struct frame *f);

/* smp_alone.c: what one CPU's interrupts do. */
void priority_checks(void);
void once_check(void);

#endif
