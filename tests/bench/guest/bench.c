// SPDX-License-Identifier: Apache-2.0
/* The benchmark guest's single-CPU rows. See bench.h. */
#include "tests/bench/guest/bench.h"

volatile uint64_t stamp;
volatile uint32_t eoi_ticks, stamps;
uint32_t samples[SAMPLES];
static uint32_t eoi_samples[SAMPLES];
static bool intel, mullion;

/*
 * Ticks from before `setup` to after `op`. Both may use rax, rbx, rcx, rdx; rdi is `address`. The counter's low half is
 * enough.
 */
#define TICKS(setup, op, address)                                                                        \
    ({                                                                                                   \
        uint32_t ticks_;                                                                                 \
        __asm__ volatile("rdtsc\n\tmov %%eax, %%r8d\n\t" setup "\n\t" op "\n\trdtsc\n\tsub %%r8d, %%eax" \
                         : "=a"(ticks_)                                                                  \
                         : "D"(address)                                                                  \
                         : "rbx", "rcx", "rdx", "r8", "memory", "cc");                                   \
        ticks_;                                                                                          \
    })

/* One row: `setup` alone is the loop's own cost. */
#define ROW(key, setup, op, address)                 \
    do {                                             \
        uint32_t base_;                              \
        for (unsigned i_ = 0; i_ < SAMPLES; i_++)    \
            samples[i_] = TICKS(setup, "", address); \
        base_ = median(samples, SAMPLES);            \
        for (unsigned i_ = 0; i_ < SAMPLES; i_++)    \
            samples[i_] = TICKS(setup, op, address); \
        report(key, samples, SAMPLES, base_);        \
    } while (0)

uint32_t median(uint32_t *s, unsigned count)
{
    for (unsigned i = 1; i < count; i++) /* insertion: they are nearly all the same */
        for (unsigned k = i; k > 0 && s[k] < s[k - 1]; k--) {
            uint32_t t = s[k];
            s[k] = s[k - 1];
            s[k - 1] = t;
        }
    return s[count / 2];
}

static unsigned less(uint32_t v, uint32_t base)
{
    return v > base ? (unsigned)(v - base) : 0;
}

void report(const char *key, uint32_t *s, unsigned count, uint32_t base)
{
    uint32_t m = median(s, count);
    print("bench %s %u %u %u\n", key, less(m, base), less(s[0], base), less(s[count * 9 / 10], base));
}

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));
struct gate {
    uint16_t low, selector;
    uint8_t ist, type;
    uint16_t middle;
    uint32_t high, reserved;
};

void gate_set(uint8_t vector, const void *code)
{
    struct pointer idt;
    __asm__ volatile("sidt %0" : "=m"(idt));
    struct gate *g = (struct gate *)idt.base + vector;
    uint64_t a = (uint64_t)code;
    g->low = (uint16_t)a;
    g->middle = (uint16_t)(a >> 16);
    g->high = (uint32_t)(a >> 32);
}

bool has_x2apic(void)
{
    uint32_t r[4];
    cpuid(1, r);
    return r[2] >> 21 & 1;
}

void apic_on(void)
{
    wrmsr(0x1b, rdmsr(0x1b) | 0xc00); /* global and x2APIC enable */
    wrmsr(0x80f, 0x1ff);
    wrmsr(0x808, 0);
}

/* From before `op` to the handler's first instructions; the handler's stamp is what ends the wait. */
#define TO_HANDLER(setup, op)                                                                                       \
    ({                                                                                                              \
        uint64_t from_;                                                                                             \
        stamps = 0;                                                                                                 \
        __asm__ volatile("sti\n\trdtsc\n\tshl $32, %%rdx\n\tor %%rdx, %%rax\n\tmov %%rax, %%r8\n\t" setup "\n\t" op \
                         "\n1:\tcmpl $0, stamps\n\tje 1b\n\tcli\n\tmov %%r8, %%rax"                                 \
                         : "=a"(from_)                                                                              \
                         :                                                                                          \
                         : "rcx", "rdx", "r8", "memory", "cc");                                                     \
        (uint32_t)(stamp - from_);                                                                                  \
    })

#define SELF_IPI "mov $0x83f, %%ecx\n\tmov $0x41, %%eax\n\txor %%edx, %%edx"

static void interrupts(void)
{
    uint32_t r[4], base;
    gate_set(VECTOR_STAMP, isr_stamp);
    apic_on();
    for (unsigned i = 0; i < SAMPLES; i++) /* the same way, but by an instruction that leaves no guest */
        samples[i] = TO_HANDLER(SELF_IPI, "int $0x41");
    base = median(samples, SAMPLES);
    for (unsigned i = 0; i < SAMPLES; i++) {
        samples[i] = TO_HANDLER(SELF_IPI, "wrmsr");
        eoi_samples[i] = eoi_ticks;
    }
    report("self_ipi", samples, SAMPLES, base);
    report("eoi", eoi_samples, SAMPLES, 5);

    if (mullion) { /* asked of a service, answered by an interrupt: the question by a doorbell, or by the monitor */
        for (unsigned i = 0; i < SAMPLES; i++)
            samples[i] = TO_HANDLER("mov $0x5dc, %%edx", "out %%eax, %%dx");
        report("io_doorbell", samples, SAMPLES, base);
        for (unsigned i = 0; i < SAMPLES; i++)
            samples[i] = TO_HANDLER("mov $0x5e0, %%edx", "out %%eax, %%dx");
        report("io_trip", samples, SAMPLES, base);
    }
    cpuid(1, r);
    if (!(r[2] >> 24 & 1))
        return;
    wrmsr(0x832, 0x40000 | VECTOR_STAMP);  /* LVT timer: TSC deadline */
    for (unsigned i = 0; i < SAMPLES; i++) /* due as it is armed */
        samples[i] = TO_HANDLER("mov $0x6e0, %%ecx\n\tinc %%eax\n\tshr $32, %%rdx", "wrmsr");
    report("tsc_deadline", samples, SAMPLES, base);
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t due = rdtsc() + 1000000; /* longer than KVM polls before it lets a CPU sleep */
        wrmsr(0x6e0, due);
        wait_interrupt();
        samples[i] = (uint32_t)(stamp - due);
    }
    report("hlt_wake", samples, SAMPLES, 0);
}

/* The first touch of memory that was never used before, 2 MiB apart; then the second, which costs the walk only. */
static void fault_fill(const struct multiboot *info)
{
    uint64_t from = 256ull << 20, end = (uint64_t)info->mem_upper << 10;
    unsigned count = end > from ? (unsigned)((end - from) >> 21) : 0;
    uint32_t base = 0;
    if (count > SAMPLES)
        count = SAMPLES;
    if (count < 8)
        return;
    for (unsigned i = 0; i < count; i++)
        samples[i] = TICKS("", "", from);
    base = median(samples, count);
    for (unsigned i = 0; i < count; i++)
        samples[i] = TICKS("", "movl $1, (%%rdi)", from + ((uint64_t)i << 21));
    report("guest_fault_fill", samples, count, base);
}

/*
 * QEMU's pci-testdev (docs/specs/pci-testdev.txt) in place of Mullion's device: BAR 0 memory, BAR 1 ports. A byte
 * written to its start chooses a test; then the header's bytes 4..7 hold the offset whose writes are an ioeventfd; test
 * 1: of any value.
 */
static uint32_t pci(unsigned device, unsigned offset)
{
    outl(0xcf8, 0x80000000u | device << 11 | offset);
    return inl(0xcfc);
}

static void qemu_device(void)
{
    unsigned d = 0;
    while (d < 32 && pci(d, 0) != 0x00051b36)
        d++;
    if (d == 32)
        return;
    uint64_t memory = pci(d, 0x10) & ~15u, port = pci(d, 0x14) & ~3u;
    ROW("pio_monitor", "mov %%edi, %%edx", "in %%dx, %%al", port);
    ROW("mmio_monitor", "", "mov (%%rdi), %%eax", memory);
    outb((uint16_t)port, 1);
    uint32_t at = inl((uint16_t)(port + 4));
    ROW("doorbell_pio", "mov %%edi, %%edx", "out %%al, %%dx", port + at);
    *(volatile uint8_t *)memory = 1;
    at = *(volatile uint32_t *)(memory + 4);
    ROW("doorbell_mmio", "", "mov %%al, (%%rdi)", memory + at);
}

static bool speaks_kvm(void)
{
    uint32_t r[4];
    cpuid(1, r);
    if (!(r[2] >> 31))
        return false;
    cpuid(0x40000000, r);
    return r[1] == 0x4b4d564b;
}

static void cpuid_row(void)
{
    ROW("cpuid", "xor %%eax, %%eax\n\txor %%ecx, %%ecx", "cpuid", 0);
}

static void operations(const struct multiboot *info)
{
    cpuid_row();
    ROW("cpuid_far", "mov $0x80000008, %%eax\n\txor %%ecx, %%ecx", "cpuid", 0);
    if (speaks_kvm()) { /* KVM_HC_VAPIC_POLL_IRQ: nothing to do, and 0 comes back */
        if (intel)
            ROW("hypercall", "mov $1, %%eax", "vmcall", 0);
        else
            ROW("hypercall", "mov $1, %%eax", "vmmcall", 0);
    }
    ROW("wrmsr_passthrough", "mov $0xc0000102, %%ecx\n\txor %%eax, %%eax\n\txor %%edx, %%edx", "wrmsr", 0);
    ROW("rdmsr_exit", "mov $0x1b, %%ecx", "rdmsr", 0);
    ROW("cr8_read", "", "mov %%cr8, %%rax", 0);
    ROW("cr8_write", "xor %%eax, %%eax", "mov %%rax, %%cr8", 0);
    if (mullion) {
        ROW("pio_monitor", "mov $0x5d0, %%edx", "in %%dx, %%al", 0);
        ROW("pio_kernel", "mov $0x5d4, %%edx", "out %%al, %%dx", 0);
        ROW("doorbell_pio", "mov $0x5d4, %%edx", "out %%eax, %%dx", 0);
        ROW("doorbell_wake", "mov $0x5d8, %%edx", "out %%eax, %%dx", 0);
        ROW("doorbell_mmio", "", "mov %%eax, (%%rdi)", BENCH_PAGE);
        ROW("mmio_monitor", "", "mov (%%rdi), %%eax", BENCH_PAGE + 0x800);
    } else {
        ROW("pio_kernel", "mov $0x21, %%edx", "in %%dx, %%al", 0); /* the 8259, which KVM has in its kernel */
        qemu_device();
    }
    fault_fill(info);
    if (has_x2apic())
        interrupts();
}

static bool starts(const char *s, const char *with)
{
    while (*with)
        if (*s++ != *with++)
            return false;
    return true;
}

#define LOOP(name, setup, op, address)       \
    if (starts(what, name)) {                \
        loop_begin();                        \
        for (;;) {                           \
            loop_mark();                     \
            (void)TICKS(setup, op, address); \
        }                                    \
    }

/* One operation for ever, for a profile. */
static void loop(const char *what)
{
    if (has_x2apic()) {
        gate_set(VECTOR_STAMP, isr_stamp);
        apic_on();
        wrmsr(0x832, 0x40000 | VECTOR_STAMP);
    }
    LOOP("cpuid", "xor %%eax, %%eax", "cpuid", 0)
    if (intel)
        LOOP("hypercall", "mov $1, %%eax", "vmcall", 0)
    LOOP("hypercall", "mov $1, %%eax", "vmmcall", 0)
    LOOP("rdmsr", "mov $0x1b, %%ecx", "rdmsr", 0)
    LOOP("pio", "mov $0x5d0, %%edx", "in %%dx, %%al", 0)
    LOOP("mmio", "", "mov (%%rdi), %%eax", BENCH_PAGE + 0x800)
    LOOP("doorbell_pio", "mov $0x5d4, %%edx", "out %%al, %%dx", 0)
    LOOP("doorbell_mmio", "", "mov %%eax, (%%rdi)", BENCH_PAGE)
    LOOP("doorbell_wake", "mov $0x5d8, %%edx", "out %%eax, %%dx", 0)
    LOOP("eoi", "mov $0x80b, %%ecx\n\txor %%eax, %%eax\n\txor %%edx, %%edx", "wrmsr", 0)
    if (starts(what, "self_ipi")) {
        loop_begin();
        for (;;) {
            loop_mark();
            (void)TO_HANDLER(SELF_IPI, "wrmsr");
        }
    }
    if (starts(what, "io_doorbell")) {
        loop_begin();
        for (;;) {
            loop_mark();
            (void)TO_HANDLER("mov $0x5dc, %%edx", "out %%eax, %%dx");
        }
    }
    if (starts(what, "tsc_deadline")) {
        loop_begin();
        for (;;) {
            loop_mark();
            (void)TO_HANDLER("mov $0x6e0, %%ecx\n\tinc %%eax\n\tshr $32, %%rdx", "wrmsr");
        }
    }
    if (starts(what, "hlt_wake")) {
        loop_begin();
        for (;;) {
            loop_mark();
            wrmsr(0x6e0, rdtsc() + 200000);
            wait_interrupt();
        }
    }
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    uint32_t r[4];
    const char *cmdline = magic == MULTIBOOT_MAGIC && info->flags & 4 ? (const char *)(uintptr_t)info->cmdline : "";
    serial_init();
    tables_init();
    pic_init();
    cpuid(0, r);
    intel = r[1] == 0x756e6547;
    mullion = inl(BENCH_PORT) == BENCH_MAGIC;
    while (*cmdline && !starts(cmdline, "mode="))
        cmdline++;
    print("bench start %s\n", cmdline);
    if (starts(cmdline, "mode=linux"))
        bench_linux(info, cmdline);
    else if (starts(cmdline, "mode=ipi"))
        bench_ipi();
    else if (starts(cmdline, "mode=loop="))
        loop(cmdline + 10);
    else if (starts(cmdline, "mode=cpuid"))
        cpuid_row();
    else if (starts(cmdline, "mode=switch"))
        bench_switch();
    else
        operations(info);
    print("bench end\n");
    if (!mullion) /* other hypervisors have no use for it after this */
        guest_poweroff();
    for (;;)
        __asm__ volatile("cli; hlt");
}
