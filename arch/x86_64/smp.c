// SPDX-License-Identifier: Apache-2.0
/* Source: Intel SDM vol. 3, 9.4 (MP initialization: INIT, 10 ms, two STARTUPs 200 us apart). */
#include "arch/x86_64/smp.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/time.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "mm/hostmap.h"

#define SECOND_US 400u /* from the first STARTUP to the second */
#define ANSWER_MS 500u

struct trampoline_data {
    uint64_t cr3, stack, entry;
    uint32_t long_mode;
    uint16_t gdt_limit;
    uint32_t gdt_base;
} __attribute__((packed));

extern char trampoline_start[], trampoline_end[], trampoline_data[];

static void (*continue_with)(void);

static void ap_entry(void)
{
    write_cr3(pool_hpa(kernel_tables.root).v);
    cpu_init();
    apic_init();
    continue_with();
}

void smp_online(void)
{
    __atomic_store_n(&this_cpu()->online, 1u, __ATOMIC_SEQ_CST);
}

static bool start_one(struct cpu *c, uint64_t page, struct trampoline_data *data)
{
    data->stack = (uint64_t)c + CPU_AREA_SIZE;
    __atomic_store_n(&c->online, 0u, __ATOMIC_SEQ_CST);
    barrier();
    for (unsigned us = 0; us < ANSWER_MS * 1000 && !__atomic_load_n(&c->online, __ATOMIC_SEQ_CST); us += 100) {
        if (us == 0 || us == SECOND_US)
            apic_startup_ipi(c->apic_id, (uint8_t)(page >> 12));
        delay_us(100);
    }
    return __atomic_load_n(&c->online, __ATOMIC_SEQ_CST);
}

void smp_start(const struct acpi_facts *facts, uint64_t page, void (*entry)(void))
{
    uint32_t self = apic_id();
    unsigned areas = cpu_count; /* that are there: one made for a CPU that did not answer serves the next */
    continue_with = entry;

    /* Tables for the way in: the kernel's half, and the first 2 MiB one to one. */
    struct pagetable way_in;
    if (pt_create(&way_in, &pt_host, &kernel_quota) != OK ||
        pt_map(&way_in, 0, hpa(0), SIZE_2M, RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC) != OK)
        panic("no kernel memory to start the other CPUs");
    way_in.root[KERNEL_SLOT] = kernel_tables.root[KERNEL_SLOT];

    char *copy = window_open(hpa(page));
    memcpy(copy, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    struct trampoline_data *data = (struct trampoline_data *)(copy + (trampoline_data - trampoline_start));
    data->cr3 = pool_hpa(way_in.root).v;
    data->entry = (uint64_t)ap_entry;
    data->long_mode += (uint32_t)page;
    data->gdt_base += (uint32_t)page;

    /* Also to those that are left out below: what they ran may lie in memory that is given away. */
    for (unsigned i = 0; i < facts->cpu_count; i++)
        if (facts->cpu_apic_id[i] != self && apic_reaches(facts->cpu_apic_id[i]))
            apic_init_ipi(facts->cpu_apic_id[i]);
    if (facts->cpu_count > 1)
        delay_us(10000);
    for (unsigned i = 0; i < facts->cpu_count; i++) {
        if (facts->cpu_apic_id[i] == self)
            continue;
        uint32_t id = facts->cpu_apic_id[i];
        if (cpu_count == MAX_CPUS || !apic_reaches(id) || (areas == cpu_count && cpu_area_create(cpu_count) != OK)) {
            klog(LOG_WARN, "CPU with APIC id %u left out: %s", id,
                 apic_reaches(id) ? "no kernel memory for it" : "it needs x2APIC");
            continue;
        }
        areas = cpu_count + 1;
        struct cpu *c = cpu_by_number(cpu_count);
        c->apic_id = id;
        if (start_one(c, page, data)) {
            cpu_count++;
        } else {
            apic_init_ipi(id); /* back to where it was: it must not come late, onto the stack of the next */
            klog(LOG_WARN, "CPU with APIC id %u left out: it does not answer, or cannot run guests as the boot CPU can",
                 id);
        }
    }
    window_close();
    while (!pt_free_step(&way_in, 256, 64)) {
    }
}
