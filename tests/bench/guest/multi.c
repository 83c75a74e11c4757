// SPDX-License-Identifier: Apache-2.0
/* The rows that need two vCPUs, or two guests on one CPU. See bench.h. */
#include "tests/bench/guest/bench.h"

#define AP_AT 0x8000ul

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));
extern uint8_t ap_cr3[], ap_gdtr[], ap_idtr[];

static void pause_ticks(uint64_t ticks)
{
    uint64_t end = rdtsc() + ticks;
    while (rdtsc() < end)
        ;
}

static bool start_other(void)
{
    for (uint8_t *from = ap_code, *to = (uint8_t *)AP_AT; from < ap_code_end;)
        *(volatile uint8_t *)to++ = *from++;
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    *(volatile uint64_t *)(AP_AT + (uint64_t)(ap_cr3 - ap_code)) = cr3;
    uint64_t gdtr = AP_AT + (uint64_t)(ap_gdtr - ap_code), idtr = AP_AT + (uint64_t)(ap_idtr - ap_code);
    __asm__ volatile("sgdt (%0); sidt (%1)" : : "r"(gdtr), "r"(idtr) : "memory");
    wrmsr(0x830, 1ull << 32 | 0x4500); /* INIT to APIC ID 1 */
    pause_ticks(1000000);
    wrmsr(0x830, 1ull << 32 | 0x4600 | AP_AT >> 12);
    for (unsigned i = 0; i < 1000 && !ap_here; i++)
        pause_ticks(100000);
    return ap_here != 0;
}

/*
 * From the ICR's write to the first instructions of the handler on the other vCPU, which runs a loop meanwhile. Both
 * TSCs are one clock.
 */
void bench_ipi(void)
{
    if (!has_x2apic()) {
        print("bench: no x2APIC\n");
        return;
    }
    gate_set(VECTOR_STAMP, isr_stamp);
    apic_on();
    if (!start_other()) {
        print("bench: the other CPU does not start\n");
        return;
    }
    for (unsigned i = 0; i < SAMPLES; i++) {
        stamps = 0;
        uint64_t from = rdtsc();
        wrmsr(0x830, 1ull << 32 | VECTOR_STAMP);
        while (!stamps)
            ;
        samples[i] = (uint32_t)(stamp - from);
        pause_ticks(2000);
    }
    report("ipi_vcpu", samples, SAMPLES, 8); /* two rdtsc with what combines their halves, two pushes */
}

#define GAPS 160
static uint64_t gap[GAPS][2];

/*
 * When this guest did not run, on the host's clock: "bench gap FROM TO". Of two such guests on one CPU, one's FROM and
 * the other's TO have a switch between them and nothing else. Spins until the guest's clock shows 200 million ticks.
 */
void bench_switch(void)
{
    uint64_t boot = *(volatile uint64_t *)(BENCH_PAGE + 0x808), last = rdtsc(), now;
    unsigned count = 0;
    do {
        now = rdtsc();
        if (now - last > 2000 && count < GAPS) {
            gap[count][0] = last;
            gap[count++][1] = now;
            now = rdtsc(); /* the bookkeeping is no gap */
        }
        last = now;
    } while (now < 200000000);
    for (unsigned i = 0; i < count; i++)
        print("bench gap %llu %llu\n", (unsigned long long)(gap[i][0] + boot), (unsigned long long)(gap[i][1] + boot));
}
