/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the adversary share: faults that it survives, chance, and the score. */
#ifndef TESTS_GUESTS_ADVERSARY_H
#define TESTS_GUESTS_ADVERSARY_H

#include "guest.h"

/* Runs f(argument); a fault or interrupt in it ends it there. True: it came to its end. */
bool attempt(void (*f)(uint64_t), uint64_t argument);
/* Executes a few bytes of machine code (a return is put behind them). */
bool execute(const void *code, unsigned size);
bool execute_with(const void *code, unsigned size, const uint64_t registers[6]); /* rax, rbx, rcx, rdx, rsi, rdi */
/* Lets interrupts in, a few at a time. */
void let_in(unsigned times);
void quiet(void); /* PICs, I/O APIC, local APIC and UART as they were */

uint64_t chance(void);
static inline uint64_t below(uint64_t n)
{
    return (chance() >> 20) % n;
}
extern uint64_t fault_count, interrupt_count, nmi_count;
extern uint8_t adversary_code[];

/* Something outside of this machine could be reached: says so. */
void escaped(const char *how, uint64_t where, uint64_t value);
extern unsigned escapes;
extern bool thorough; /* everything, not samples of it */

/* The page at physical address `gpa` (2 MiB aligned part of it), wherever that is. */
volatile uint8_t *physical(uint64_t gpa);
extern uint64_t ram_end; /* below 4 GiB */
extern unsigned physical_bits;

void attack_memory(void);
void attack_ports(void);
void attack_msrs(void);
void attack_cpuid(void);
void attack_hypercalls(void);
void attack_pci(void);
void attack_apic(void);
void attack_devices(void);
void attack_code(void);
void attack_tables(void);
void attack_vm_instructions(void);
void attack_registers(void);
void attack_delivery(void);
void attack_exits(void);

#endif
