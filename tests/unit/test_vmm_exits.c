// SPDX-License-Identifier: Apache-2.0
/* The vCPU loop and every exit, with a whole machine behind it and the test in the kernel's place. */
// sources: vmm/cpu/*.c vmm/firmware/*.c vmm/machine.c vmm/lock.c vmm/words.c vmm/doorbell.c vmm/save.c vmm/stream.c
// sources: vmm/shared.c @insn
// sources: vmm/devices/*.c vmm/test/table.c vmm/test/bench.c vmm/test/debugexit.c vmm/test/pciserial.c vmm/loader/*.c lib/elf.c lib/print.c lib/string.c lib/proto/channel.c lib/log.c
// libs: -lZydis
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/syscall.h"
#include "mullion/regs.h"
#include "vmm/cpu/exits.h"
#include "vmm/devices/layout.h"
#include "vmm/firmware/mptable.h"
#include "vmm/firmware/smbios.h"
#include "vmm/insn/access.h"
#include "vmm/save.h"
#include "vmm/test/look.h"

#define RAM  (4u << 20)
#define CODE 0x8000u

/* Its own test's affair. */
struct look look_around(uint64_t ticks)
{
    return (struct look){.turns = (uint32_t)ticks};
}

static struct vm *vm;
static struct vm_vcpu *v;
static struct vcpu_state *s, pages[2];
static struct vmm_boot boot;
static struct vmm_control control;
static struct channel channel;
static uint8_t *ram;
static struct fpu_image fpu[2];
static unsigned kicks[2], root_signals, console_signals, fetches, pauses, peer_signals;
static uint32_t leaf1_edx; /* as ring 0 answers it */
static uint64_t peer_bits, mapped_at, mapped_rights;
static struct {
    unsigned count;
    uint64_t at, rip, bits;
} settled; /* doorbells in memory */

/* What the next vcpu_run gives: a step looks at the entry and leaves an exit record. */
typedef void step_fn(void);
static step_fn *script[16];
static unsigned steps, at;
static uint32_t last_dirty; /* what the kernel was told with the last entry */

struct syscall_result syscall6(enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                               uint64_t f)
{
    (void)c, (void)d, (void)e, (void)f;
    switch (number) {
    case SYS_VCPU_RUN:
        assert_true(at < steps);
        if (s->advance != 0 && !(s->dirty & GROUP_RIP)) /* as the kernel does */
            s->rip += s->advance;
        s->advance = 0;
        last_dirty = s->dirty;
        s->dirty = 0;
        s->valid = 0;
        memset(&s->exit, 0, sizeof s->exit);
        script[at++]();
        return (struct syscall_result){OK, 0};
    case SYS_VCPU_FETCH:
        if (s->advance != 0 && !(s->dirty & GROUP_RIP))
            s->rip += s->advance;
        s->advance = 0;
        fetches++;
        s->valid |= (uint32_t)a;
        return (struct syscall_result){OK, 0};
    case SYS_VCPU_KICK: kicks[a - 1]++; return (struct syscall_result){OK, 0};
    case SYS_EVENT_SIGNAL:
        root_signals += a == VMM_SLOT_ROOT_EVENT && b == boot.root_bits;
        console_signals += a == VMM_SLOT_CONSOLE_EVENT;
        if (a == VMM_SLOT_PEER + 1) {
            peer_signals++;
            peer_bits = b;
        }
        return (struct syscall_result){OK, 0};
    case SYS_EVENT_WAIT: pauses++; return (struct syscall_result){E_TIMEOUT, 0};
    case SYS_MAP:
        assert_int_equal(c, VMM_SLOT_REGION);
        assert_int_equal(e, boot.region[0].size);
        mapped_at = b;
        mapped_rights = f;
        return (struct syscall_result){OK, 0};
    case SYS_UNMAP:
        assert_int_equal(b, mapped_at);
        mapped_at = 0;
        return (struct syscall_result){OK, 0};
    case SYS_FASTPATH_CPUID:
        if ((uint32_t)b == 1)
            leaf1_edx = (uint32_t)(d >> 32);
        return (struct syscall_result){OK, 0};
    case SYS_FASTPATH_DOORBELL:
        if (b == FASTPATH_DOORBELL_STORE) {
            settled.count++;
            settled.at = c;
            settled.rip = d;
            settled.bits = f;
        }
        return (struct syscall_result){OK, 0};
    default: return (struct syscall_result){OK, 0};
    }
}

static void finish(void) /* the script's end: the guest was ended */
{
    atomic_store(&vm->ending, true);
    s->exit.reason = EXIT_KICK;
}

#define RUN(...)                                       \
    do {                                               \
        step_fn *const list[] = {__VA_ARGS__, finish}; \
        memcpy(script, list, sizeof list);             \
        steps = sizeof list / sizeof list[0];          \
        at = 0;                                        \
        vcpu_loop(v);                                  \
    } while (0)

static bool with_bench;
static int setup_with(const struct vmm_region *region)
{
    char why[200];
    vm = calloc(1, sizeof *vm);
    ram = aligned_alloc(4096, RAM);
    memset(ram, 0, RAM);
    memset(pages, 0, sizeof pages);
    memset(&boot, 0, sizeof boot);
    memset(&control, 0, sizeof control);
    memset(&channel, 0, sizeof channel);
    kicks[0] = kicks[1] = root_signals = console_signals = fetches = pauses = peer_signals = 0;
    mapped_at = 0;
    boot.tsc_khz = 1000000;
    boot.vcpus = 2;
    boot.root_bits = 4;
    boot.options.debug_exit_port = 0x501;
    boot.options.bench_device = with_bench;
    boot.region_count = region != NULL;
    if (region != NULL)
        boot.region[0] = *region;
    vm->boot = &boot;
    vm->control = &control;
    vm->channel = &channel;
    vm->vcpus = 2;
    assert_int_equal(guest_memory_add(&vm->memory, 0, RAM, ram), OK);
    assert_int_equal(machine_init(vm, why, sizeof why), OK);
    vm->boot_tsc = tsc_now();
    for (unsigned i = 0; i < 2; i++) {
        vm->vcpu[i].vm = vm;
        vm->vcpu[i].index = i;
        vm->vcpu[i].handle = i + 1;
        vm->vcpu[i].state = &pages[i];
        machine_vcpu_init(vm, i);
    }
    v = &vm->vcpu[0];
    s = &pages[0];
    /* 32-bit protected mode without paging, flat */
    s->cr0 = 1;
    for (unsigned i = 0; i < SEG_LDTR; i++)
        s->seg[i] = (struct segment){.attr = i == SEG_CS ? 0xc09b : 0xc093, .limit = 0xffffffff};
    s->rip = CODE;
    s->rflags = 0x202;
    return 0;
}

static int setup(void **unused)
{
    (void)unused;
    return setup_with(NULL);
}

static int setup_bench(void **unused)
{
    (void)unused;
    memset(&settled, 0, sizeof settled);
    with_bench = true;
    int result = setup_with(NULL);
    with_bench = false;
    return result;
}

/* A region that this guest may only read, and one other guest, whose second region it is. */
static const struct vmm_region news = {
    .name = "news", .size = 0x10000, .peer_count = 2, .peer = {{0, 0}, {VMM_SLOT_PEER + 1, 2}}};
static int setup_reader(void **unused)
{
    (void)unused;
    return setup_with(&news);
}

/* 128 MiB that it may write. */
static int setup_writer(void **unused)
{
    (void)unused;
    struct vmm_region big = news;
    big.writable = 1;
    big.size = 128u << 20;
    return setup_with(&big);
}

static int teardown(void **unused)
{
    (void)unused;
    free(ram);
    free(vm);
    return 0;
}

static void port(uint16_t number, unsigned size, bool in, unsigned length)
{
    s->exit.reason = EXIT_PORT;
    s->exit.port.port = number;
    s->exit.port.size = (uint8_t)size;
    s->exit.port.in = in;
    s->exit.insn_len = length;
}

/* --- XSETBV --- */

static struct {
    uint32_t index;
    uint64_t value;
    bool osxsave;
    unsigned dpl;
    bool good;
} xsetbv_rows[] = {
    {0, 1, true, 0, true},     {0, 7, true, 0, true},     {0, 3, true, 0, true},
    {0, 7, true, 3, false},    {0, 7, false, 0, false},   {1, 7, true, 0, false},
    {0, 6, true, 0, false},    {0, 5, true, 0, false},    {0, 0x10000000000001ull, true, 0, false},
    {0, 0x27, true, 0, false}, {0, 0xe3, true, 0, false}, {0, 0xe7, true, 0, true},
};
static unsigned xsetbv_row;

static void xsetbv(void)
{
    s->exit = (struct vcpu_exit){.reason = EXIT_XSETBV, .insn_len = 3};
    s->gpr[GPR_RCX] = xsetbv_rows[xsetbv_row].index;
    s->gpr[GPR_RAX] = (uint32_t)xsetbv_rows[xsetbv_row].value | 0xabcull << 32; /* the upper halves do not count */
    s->gpr[GPR_RDX] = xsetbv_rows[xsetbv_row].value >> 32 | 0xdefull << 32;
    s->cr4 = xsetbv_rows[xsetbv_row].osxsave ? CR4_OSXSAVE : 0;
    s->seg[SEG_SS].attr = 0xc093 | xsetbv_rows[xsetbv_row].dpl << 5;
    s->rip = CODE;
    s->xcr0 = 1;
    s->inject = 0;
    s->dirty = 0;
}

static void xsetbv_takes_what_the_cpu_would(void **unused)
{
    (void)unused;
    vm->cpuid.xcr0_allowed = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;
    for (xsetbv_row = 0; xsetbv_row < sizeof xsetbv_rows / sizeof xsetbv_rows[0]; xsetbv_row++) {
        atomic_store(&vm->ending, false);
        RUN(xsetbv);
        assert_int_equal(s->rip + s->advance, xsetbv_rows[xsetbv_row].good ? CODE + 3 : CODE);
        assert_int_equal(s->xcr0, xsetbv_rows[xsetbv_row].good ? xsetbv_rows[xsetbv_row].value : 1);
        assert_int_equal(s->inject & INJECT_VECTOR_MASK, xsetbv_rows[xsetbv_row].good ? 0 : 13);
        assert_true(!xsetbv_rows[xsetbv_row].good || (last_dirty & GROUP_CR));
        s->advance = 0;
    }
}

/* --- ports --- */

static void out_a(void)
{
    s->gpr[GPR_RAX] = 'A';
    port(0x3f8, 1, false, 1);
}
static void in_status(void)
{
    s->gpr[GPR_RAX] = 0x1122334455667788;
    port(0x3fd, 1, true, 2);
}
static void in_nobody(void)
{
    assert_int_equal(s->gpr[GPR_RAX], 0x1122334455667760); /* idle transmitter; the rest of rax stays */
    assert_int_equal(s->rip, CODE + 3);
    port(0x2f8, 4, true, 1);
}
static void look_nobody(void)
{
    assert_int_equal(s->gpr[GPR_RAX], 0xffffffff);
    s->exit.reason = EXIT_KICK;
}

static void ports(void **unused)
{
    (void)unused;
    RUN(out_a, in_status, in_nobody, look_nobody);
    char byte = 0;
    assert_int_equal(channel_read(&channel.from_guest, &byte, 1), 1);
    assert_int_equal(byte, 'A');
    assert_int_equal(console_signals, 1);
    assert_int_equal(s->rip, CODE + 4);
    assert_int_equal(fetches, 0); /* nothing of the guest's state was needed */
}

/* The length is not told: it is decoded. */
static void out_unknown_length(void)
{
    memcpy(ram + CODE, "\xe6\x80", 2);
    port(0x80, 1, false, 0);
}
static void unknown_length(void **unused)
{
    (void)unused;
    RUN(out_unknown_length);
    assert_int_equal(s->rip, CODE + 2);
}

static void rep_outsb(void)
{
    memcpy(ram + CODE, "\xf3\x6e", 2);
    memcpy(ram + 0x9000, "hello", 5);
    s->gpr[GPR_RSI] = 0x9000;
    s->gpr[GPR_RCX] = 5;
    port(0x3f8, 1, false, 2);
    s->exit.port.string = s->exit.port.rep = 1;
}
static void string_ports(void **unused)
{
    (void)unused;
    RUN(rep_outsb);
    char text[8] = "";
    assert_int_equal(channel_read(&channel.from_guest, text, 8), 5);
    assert_string_equal(text, "hello");
    assert_true(s->gpr[GPR_RCX] == 0 && s->rip == CODE + 2);
}

static void console_byte(void)
{
    channel_write(&channel.to_guest, "xyz", 3);
    port(0x3f8, 1, true, 1);
}
static void console_next(void)
{
    port(0x3f8, 1, true, 1);
}
static void console_input(void **unused)
{
    (void)unused;
    RUN(console_byte, console_next);
    assert_int_equal(s->gpr[GPR_RAX] & 0xff, 'x'); /* the first access found the FIFO empty and filled it */
}

/* --- doorbells in memory --- */

#define BELL 0xfeb00000u
static void bell_write_at(uint32_t rip, uint32_t gpa)
{
    const uint8_t store[] = {
        0xc7, 0x05, (uint8_t)gpa, (uint8_t)(gpa >> 8), (uint8_t)(gpa >> 16), (uint8_t)(gpa >> 24), 1, 0,
        0,    0}; /* MOV [gpa], 1 */
    memcpy(ram + rip, store, sizeof store);
    s->rip = rip;
    s->exit.reason = EXIT_MEMORY;
    s->exit.memory.gpa = gpa;
    s->exit.memory.write = 1;
}
static void bell_here(void)
{
    bell_write_at(CODE, BELL);
}
static void bell_there(void)
{
    bell_write_at(CODE + 0x100, BELL);
}
static void bell_elsewhere(void)
{
    bell_write_at(CODE, BELL + 4);
}
static void bell_read(void)
{
    memcpy(ram + CODE, "\xa1\x00\x00\xb0\xfe", 5); /* MOV EAX, [BELL] */
    s->rip = CODE;
    s->exit.reason = EXIT_MEMORY;
    s->exit.memory.gpa = BELL;
}

static void doorbell_is_told(void **unused)
{
    (void)unused;
    RUN(bell_read, bell_read, bell_read, bell_read, bell_elsewhere, bell_elsewhere, bell_elsewhere, bell_elsewhere);
    assert_int_equal(settled.count, 0); /* a read is none, and another address is not that doorbell */
    atomic_store(&vm->ending, false);
    RUN(bell_here, bell_there, bell_here, bell_there, bell_here, bell_there);
    assert_int_equal(settled.count, 0);
    atomic_store(&vm->ending, false);
    RUN(bell_there, bell_there);
    assert_int_equal(settled.count, 1);
    assert_int_equal(settled.at, BELL | 10ull << 56);
    assert_int_equal(settled.rip, CODE + 0x100);
    assert_int_equal(settled.bits, 1);
    assert_int_equal(s->rip + s->advance, CODE + 0x100 + 10);
}

/* --- interrupts --- */

static void to_x2apic(void)
{
    s->exit.reason = EXIT_WRMSR;
    s->exit.insn_len = 2;
    s->gpr[GPR_RCX] = 0x1b;
    s->gpr[GPR_RAX] = 0xfee00d00;
    s->gpr[GPR_RDX] = 0;
}
static void wrmsr_at(uint32_t index, uint64_t value)
{
    s->exit.reason = EXIT_WRMSR;
    s->exit.insn_len = 2;
    s->gpr[GPR_RCX] = index;
    s->gpr[GPR_RAX] = value & 0xffffffff;
    s->gpr[GPR_RDX] = value >> 32;
}
static void self_ipi(void)
{
    assert_int_equal(s->irq, 0);
    wrmsr_at(0x83f, 0x41);
}
static void is_offered(void)
{
    assert_int_equal(s->irq, IRQ_VALID | 0x41);
    s->exit.reason = EXIT_KICK;
}
static void deliver(void)
{
    assert_int_equal(s->irq, IRQ_VALID | 0x41); /* not taken: offered anew */
    s->irq = IRQ_DELIVERED | 0x41;
    s->exit.reason = EXIT_KICK;
}
static void second_waits(void)
{
    assert_int_equal(s->irq, 0);
    wrmsr_at(0x83f, 0x42);
}
static void end_first(void)
{
    assert_int_equal(s->irq, 0);
    wrmsr_at(0x80b, 0);
}
static void second_comes(void)
{
    assert_int_equal(s->irq, IRQ_VALID | 0x42);
    s->exit.reason = EXIT_KICK;
}

static void interrupts(void **unused)
{
    (void)unused;
    RUN(to_x2apic, self_ipi, is_offered, deliver, second_waits, end_first, second_comes);
    assert_int_equal(s->rip, CODE + 8);
}

/* An offer stands until it is taken or something better comes: exits in between do not withdraw it. */
static void stays_offered(void)
{
    assert_int_equal(s->irq, IRQ_VALID | 0x41);
    port(0x80, 1, false, 1);
}
static void higher_one(void)
{
    assert_int_equal(s->irq, IRQ_VALID | 0x41);
    wrmsr_at(0x83f, 0x52);
}
static void take_higher(void)
{
    assert_int_equal(s->irq, IRQ_VALID | 0x52);
    s->irq = IRQ_DELIVERED | 0x52;
    port(0x80, 1, false, 1);
}
static void end_higher(void)
{
    assert_int_equal(s->irq, 0);
    wrmsr_at(0x80b, 0);
}
static void take_lower(void)
{
    assert_int_equal(s->irq, IRQ_VALID | 0x41);
    s->irq = IRQ_DELIVERED | 0x41;
    wrmsr_at(0x80b, 0);
}
static void nothing_offered(void)
{
    assert_int_equal(s->irq, 0);
    port(0x80, 1, false, 1);
}
static void offers(void **unused)
{
    (void)unused;
    RUN(to_x2apic, self_ipi, stays_offered, stays_offered, higher_one, take_higher, end_higher, take_lower,
        nothing_offered, nothing_offered);
}

/* CR8 moves without an exit of its own. */
static void raise_cr8(void)
{
    s->tpr = 5;
    stays_offered();
}
static void withdrawn(void)
{
    assert_int_equal(s->irq, IRQ_HELD); /* so a lower TPR must be told */
    port(0x80, 1, false, 1);
}
static void lower_cr8(void)
{
    withdrawn();
    s->tpr = 3;
}
static void tpr_by_register(void)
{
    stays_offered();
    wrmsr_at(0x808, 0x40);
}
static void shown_in_cr8(void)
{
    withdrawn();
    assert_int_equal(s->tpr, 4);
}
static void task_priority(void **unused)
{
    (void)unused;
    RUN(to_x2apic, self_ipi, raise_cr8, withdrawn, lower_cr8, stays_offered, tpr_by_register, shown_in_cr8);
}

/* A device's line rises in another thread, which kicks; the 8259's vector is offered until it is taken, or the line
 * falls. */
static void line(bool level)
{
    unsigned before = kicks[0];
    vm_lock(vm);
    pic_set(vm->pic, 4, level);
    vm_unlock(vm);
    if (level)
        assert_int_equal(kicks[0], before + 1);
    s->exit.reason = level ? EXIT_KICK : EXIT_NONE;
}
static void icw(uint16_t at, uint8_t value)
{
    s->gpr[GPR_RAX] = value;
    port(at, 1, false, 1);
}
static void icw1(void)
{
    icw(0x20, 0x11);
}
static void icw2(void)
{
    icw(0x21, 0x30);
}
static void icw3(void)
{
    icw(0x21, 0x04);
}
static void icw4(void)
{
    icw(0x21, 0x01);
}
static void all_open(void)
{
    icw(0x21, 0x00);
}
static void level_4(void)
{
    icw(0x4d0, 0x10);
}
static void line_up(void)
{
    assert_int_equal(s->irq, 0);
    line(true);
}
static void line_down(void)
{
    assert_int_equal(s->irq, IRQ_VALID | 0x34);
    line(false);
}
static void take_4(void)
{
    assert_int_equal(s->irq, IRQ_VALID | 0x34);
    s->irq = IRQ_DELIVERED | 0x34;
    line(false);
}
static void pic_line(void **unused)
{
    (void)unused;
    RUN(icw1, icw2, icw3, icw4, all_open, level_4, line_up, line_down, nothing_offered, line_up, take_4,
        nothing_offered);
}

/* The kernel says that the deadline has come. */
static void timer_soon(void)
{
    wrmsr_at(0x6e0, tsc_now() + s->tsc_offset + 100000);
}
static void time_comes(void)
{
    assert_int_equal(s->irq, 0);
    while (tsc_now() < s->deadline)
        ;
    s->exit.reason = EXIT_DEADLINE;
}
static void timer_in_time(void)
{
    assert_true(s->irq == (IRQ_VALID | 0x61) && s->deadline > tsc_now());
    s->exit.reason = EXIT_NONE;
}
static void late_read(void) /* it is past, and the guest reads a register of its APIC before the kernel says so */
{
    time_comes();
    s->gpr[GPR_RCX] = 0x808;
    s->exit.reason = EXIT_RDMSR;
    s->exit.insn_len = 2;
}
static void timer_lvt(void);
static void deadline(void **unused)
{
    (void)unused;
    RUN(to_x2apic, timer_lvt, timer_soon, time_comes, timer_in_time);
    teardown(NULL), setup(NULL);
    RUN(to_x2apic, timer_lvt, timer_soon, late_read, timer_in_time);
}

static void halt(void)
{
    s->exit.reason = EXIT_HLT;
    s->exit.insn_len = 1;
    s->valid = GROUP_RIP;
}
static void asleep(void)
{
    assert_int_equal(s->activity, ACTIVITY_HALT);
    assert_int_equal(s->irq, 0);
    lapic_post_fixed(&v->lapic, 0x51, false); /* as another vCPU would, then a kick */
    s->exit.reason = EXIT_KICK;
}
static void awake(void)
{
    assert_int_equal(s->activity, ACTIVITY_RUN);
    assert_int_equal(s->irq, IRQ_VALID | 0x51);
    s->exit.reason = EXIT_KICK;
}
static void halts(void **unused)
{
    (void)unused;
    RUN(to_x2apic, halt, asleep, awake);
}

static void halt_deaf(void)
{
    s->rflags = 2;
    halt();
}
static void still_asleep(void)
{
    assert_int_equal(s->activity, ACTIVITY_HALT);
    assert_int_equal(s->irq, 0);
    s->exit.reason = EXIT_KICK;
}
static void nmi_for_me(void)
{
    still_asleep();
    lapic_post_mail(&v->lapic, LAPIC_MAIL_NMI, 0);
}
static void nmi_wakes(void)
{
    assert_int_equal(s->activity, ACTIVITY_RUN);
    assert_int_equal(s->inject, INJECT_VALID | INJECT_TYPE_NMI | 2);
    s->inject = 0;
    s->exit.reason = EXIT_KICK;
}
/* HLT with interrupts off: an interrupt does not wake it, an NMI does. */
static void halts_for_good(void **unused)
{
    (void)unused;
    RUN(to_x2apic, halt_deaf, asleep, still_asleep, nmi_for_me, nmi_wakes);
}

/* --- NMIs: what a CPU serves, latches and loses --- */

#define NMI_INJECTED (INJECT_VALID | INJECT_TYPE_NMI | 2u)

static void send_nmi(void)
{
    lapic_post_mail(&v->lapic, LAPIC_MAIL_NMI, 0);
    v->recheck = true; /* as a kick does */
    s->exit.reason = EXIT_KICK;
}
static void send_three(void)
{
    send_nmi();
    send_nmi();
    send_nmi();
}
/* The kernel delivers what is there: from then on NMIs are blocked. */
static void takes_first(void)
{
    assert_int_equal(s->inject, NMI_INJECTED);
    s->inject = 0;
    s->shadow |= SHADOW_NMI;
    assert_true(s->deadline <= tsc_now()); /* the second must be there before its IRET */
    s->exit.reason = EXIT_DEADLINE;
}
static void latched(void)
{
    assert_int_equal(s->inject, NMI_INJECTED);
    assert_true(s->deadline > tsc_now());
    send_nmi(); /* in vain */
}
static void takes_latched(void)
{
    assert_int_equal(s->inject, NMI_INJECTED);
    s->inject = 0;
    s->exit.reason = EXIT_KICK;
}
static void no_third(void)
{
    assert_int_equal(s->inject, 0);
    assert_int_equal(v->pending, 0);
    s->exit.reason = EXIT_KICK;
}
static void two_nmis_of_three(void **unused)
{
    (void)unused;
    RUN(send_three, takes_first, latched, takes_latched, no_third, no_third);
}

static void faults_meanwhile(void)
{
    s->exit.reason = EXIT_INVALID_OPCODE_WANTED;
}
static void fault_goes_first(void)
{
    assert_int_equal(s->inject, INJECT_VALID | INJECT_TYPE_EXCEPTION | 6);
    assert_true(s->deadline <= tsc_now()); /* and the NMI before its handler's first instruction */
    s->inject = 0;
    s->exit.reason = EXIT_DEADLINE;
}
static void blocked_by_one(void)
{
    s->shadow = SHADOW_NMI;
    send_nmi();
}
static void halts_in_handler(void)
{
    assert_int_equal(s->inject, NMI_INJECTED);
    halt();
}
static void woken_by_nothing(void)
{
    assert_int_equal(s->activity, ACTIVITY_HALT);
    assert_int_equal(s->inject, 0);
    lapic_post_fixed(&v->lapic, 0x61, false);
    s->exit.reason = EXIT_KICK;
}
/* Another event takes the place of one that waits; and it does not wake a handler that halts. */
static void an_nmi_gives_way(void **unused)
{
    (void)unused;
    RUN(send_nmi, faults_meanwhile, fault_goes_first, takes_latched);
    teardown(NULL), setup(NULL);
    RUN(blocked_by_one, halts_in_handler, woken_by_nothing, takes_latched);
}

static void in_a_shadow(void)
{
    s->shadow = SHADOW_STI;
    send_nmi();
}
static void not_in_it(void)
{
    assert_int_equal(s->inject, 0);
    assert_true(s->deadline <= tsc_now());
    s->shadow = 0;
    s->exit.reason = EXIT_DEADLINE;
}
static void an_nmi_behind_a_shadow(void **unused)
{
    (void)unused;
    RUN(in_a_shadow, takes_latched); /* the kernel has a window for it */
    teardown(NULL), setup(NULL);
    s->nmi_offer = NMI_BY_STEP;
    RUN(in_a_shadow, not_in_it, takes_latched);
}

/* An IRET on a CPU that has no window, by what the guest had set and what comes of the step. */
static struct {
    uint64_t rflags, popped;
    uint32_t vector;
    uint64_t dr6; /* what the CPU says then */
    uint64_t rflags_after, dr6_after;
    uint32_t inject;
} iret_rows[] = {
    {0x202, 0x246, 1, 0xffff4ff0, 0x246, 0xffff0ff8, 0},
    {0x202, 0x346, 1, 0xffff4ff0, 0x346, 0xffff0ff8, 0}, /* it has loaded TF: that counts behind the next */
    {0x302, 0x246, 1, 0xffff4ff0, 0x246, 0xffff4ff8, INJECT_VALID | INJECT_TYPE_EXCEPTION | 1},
    {0x202, 0x246, 1, 0xffff4ff1, 0x246, 0xffff0ff9,
     INJECT_VALID | INJECT_TYPE_EXCEPTION | 1}, /* it read DR0's place */
    {0x202, 0x302, 14, 0xffff0ff0, 0x10202, 0xffff0ff8, INJECT_VALID | INJECT_TYPE_EXCEPTION | INJECT_ERROR_CODE | 14},
    {0x302, 0x302, 13, 0xffff0ff0, 0x10302, 0xffff0ff8, INJECT_VALID | INJECT_TYPE_EXCEPTION | INJECT_ERROR_CODE | 13},
};
static unsigned iret_row;

static void another_vector(void)
{
    s->irq = IRQ_VALID | 0x41;
    blocked_by_one();
}
static void at_iret(void)
{
    assert_int_equal(s->inject, NMI_INJECTED);
    lapic_post_fixed(&v->lapic, 0x41, false);
    s->rflags = iret_rows[iret_row].rflags;
    s->dr6 = 0xffff0ff8;
    s->exit.reason = EXIT_IRET;
}
static void over_iret(void)
{
    assert_int_equal(s->shadow, SHADOW_NMI | SHADOW_STEP);
    assert_int_equal(s->rflags, iret_rows[iret_row].rflags | 0x100);
    assert_int_equal(s->dr6, 0xffff0ff0);
    assert_int_equal(s->irq, 0); /* its frame would show TF */
    s->rflags = iret_rows[iret_row].popped;
    s->dr6 = iret_rows[iret_row].dr6;
    s->exit.reason = EXIT_EXCEPTION;
    s->exit.exception.vector = iret_rows[iret_row].vector;
    s->exit.exception.address = 0x1234000;
}
static void behind_iret(void)
{
    assert_int_equal(s->shadow, 0);
    assert_int_equal(s->rflags, iret_rows[iret_row].rflags_after);
    assert_int_equal(s->dr6, iret_rows[iret_row].dr6_after);
    assert_int_equal(s->inject, iret_rows[iret_row].inject ? iret_rows[iret_row].inject : NMI_INJECTED);
    assert_int_equal(s->irq, IRQ_VALID | 0x41);
    assert_true(iret_rows[iret_row].vector != 14 || s->cr2 == 0x1234000);
    s->inject = 0;
    s->exit.reason = EXIT_KICK;
}
static void steps_over_iret(void **unused)
{
    (void)unused;
    for (iret_row = 0; iret_row < sizeof iret_rows / sizeof iret_rows[0]; iret_row++) {
        s->nmi_offer = NMI_BY_STEP;
        RUN(to_x2apic, another_vector, at_iret, over_iret, behind_iret);
        teardown(NULL), setup(NULL);
    }
}

/* CPUID tells of no local APIC while it is off: ring 0's answer, with one vCPU, and the monitor's own. */
static uint32_t seen_edx;
static void apic_off(void)
{
    wrmsr_at(0x1b, LAYOUT_LAPIC_BASE | 0x100);
}
static void apic_on(void)
{
    seen_edx = leaf1_edx;
    wrmsr_at(0x1b, LAYOUT_LAPIC_BASE | 0x900);
}
static void ask_leaf_1(void)
{
    s->exit.reason = EXIT_CPUID;
    s->exit.insn_len = 2;
    s->gpr[GPR_RAX] = 1;
}
static void look_leaf_1(void)
{
    seen_edx = (uint32_t)s->gpr[GPR_RDX];
    s->exit.reason = EXIT_KICK;
}
static void cpuid_follows_the_apic(void **unused)
{
    (void)unused;
    vm->vcpus = 1;
    RUN(apic_off, apic_on);
    assert_false(seen_edx & 1u << 9);
    assert_true(leaf1_edx & 1u << 9);
    vm->vcpus = 2;
    atomic_store(&vm->ending, false);
    RUN(ask_leaf_1, look_leaf_1);
    assert_true(seen_edx & 1u << 9);
    atomic_store(&vm->ending, false);
    RUN(apic_off, ask_leaf_1, look_leaf_1);
    assert_false(seen_edx & 1u << 9);
}

static void timer_lvt(void)
{
    wrmsr_at(0x832, 0x40061);
} /* TSC-deadline mode, vector 0x61 */
static void timer_arm(void)
{
    wrmsr_at(0x6e0, tsc_now() + s->tsc_offset + 1000000000000ull);
}
static void timer_far(void)
{
    assert_true(s->deadline != NEVER && s->deadline > tsc_now());
    wrmsr_at(0x6e0, 1);
}
static void timer_fired(void)
{
    assert_int_equal(s->irq, IRQ_VALID | 0x61);
    s->exit.reason = EXIT_KICK;
}
static void timer(void **unused)
{
    (void)unused;
    RUN(to_x2apic, timer_lvt, timer_arm, timer_far, timer_fired);
}

/* The other vCPU is started as a PC's is. */
static void init_other(void)
{
    wrmsr_at(0x830, 1ull << 32 | 0xc500);
}
static void sipi_other(void)
{
    assert_int_equal(kicks[1], 1);
    wrmsr_at(0x830, 1ull << 32 | 0x469f);
}
static void waits(void)
{
    assert_int_equal(s->activity, ACTIVITY_HALT);
    s->exit.reason = EXIT_KICK;
}
static void starts(void)
{
    assert_int_equal(s->activity, ACTIVITY_RUN);
    assert_int_equal(s->seg[SEG_CS].base, 0x9f000);
    assert_int_equal(s->rip, 0);
    s->exit.reason = EXIT_KICK;
}
static void second_cpu(void **unused)
{
    (void)unused;
    v = &vm->vcpu[1];
    s = &pages[1];
    RUN(waits);
    atomic_store(&vm->ending, false);
    v = &vm->vcpu[0];
    s = &pages[0];
    RUN(to_x2apic, init_other, sipi_other);
    assert_int_equal(kicks[1], 2);
    atomic_store(&vm->ending, false);
    v = &vm->vcpu[1];
    s = &pages[1];
    RUN(starts);
}

/* --- memory and instructions --- */

static void memory(uint64_t gpa, bool write)
{
    s->exit.reason = EXIT_MEMORY;
    s->exit.memory.gpa = gpa;
    s->exit.memory.write = write;
    s->exit.memory.read = !write;
    s->valid = GROUP_RIP | GROUP_SEG | GROUP_CR;
}
static void select_version(void)
{
    memcpy(ram + CODE, "\xc6\x03\x01\x8b\x43\x10", 6); /* mov byte [ebx], 1; mov eax, [ebx+10h] */
    s->gpr[GPR_RBX] = LAYOUT_IOAPIC_BASE;
    memory(LAYOUT_IOAPIC_BASE, true);
}
static void read_version(void)
{
    assert_int_equal(s->rip, CODE + 3);
    memory(LAYOUT_IOAPIC_BASE + 0x10, false);
}
static void device_memory(void **unused)
{
    (void)unused;
    RUN(select_version, read_version);
    assert_int_equal(s->gpr[GPR_RAX], 0x00170020);
    assert_int_equal(s->rip, CODE + 6);
}

static void vector_add(void)
{
    memcpy(ram + CODE, "\x0f\x58\x03", 3); /* addps xmm0, [ebx] */
    s->gpr[GPR_RBX] = 0xd0000000;
    memory(0xd0000000, false);
}
static void vector_store(void)
{
    memcpy(ram + CODE, "\x66\x0f\x3a\x16\x03\x01", 6); /* pextrd [ebx], xmm0, 1 */
    s->gpr[GPR_RBX] = 0xd0000000;
    memory(0xd0000000, true);
}
static void vector_store_done(void)
{
    assert_int_equal(s->rip, CODE + 6);
    vector_store();
    s->rip = CODE;
    s->gpr[GPR_RBX] = LAYOUT_IOAPIC_BASE;
    memory(LAYOUT_IOAPIC_BASE, true);
}
static void vector_copy(void)
{
    memcpy(ram + CODE, "\x0f\x10\x03\x0f\x11\x04\x24", 7); /* movups xmm0, [ebx]; movups [esp], xmm0 */
    s->cr4 |= CR4_OSFXSR;
    s->gpr[GPR_RBX] = s->rsp = 0xd0000000;
    memory(0xd0000000, false);
}
static void vector_copied(void)
{
    assert_int_equal(s->rip, CODE + 3);
    assert_int_equal(last_dirty & GROUP_FPU, GROUP_FPU);
    memory(0xd0000000, true);
}

/* Where nothing is there are ones. */
static void vector_moves(void **unused)
{
    (void)unused;
    v->fpu = &fpu[0];
    memset(&fpu[0], 0, sizeof fpu[0]);
    RUN(vector_copy, vector_copied);
    assert_int_equal(s->rip, CODE + 7);
    assert_int_equal(control.state, GUEST_RUNNING);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(fpu[0].legacy[160 + i], i < 16 ? 0xff : 0);
}

static void gets_invalid_opcode(void)
{
    assert_int_equal(s->inject, INJECT_VALID | INJECT_TYPE_EXCEPTION | VECTOR_UD);
    assert_int_equal(s->rip, CODE);
    s->inject = 0;
    s->exit.reason = EXIT_KICK;
}

/* A program of the guest must not end the guest. */
static void unsupported_in_ring_3(void **unused)
{
    (void)unused;
    s->seg[SEG_SS].attr |= 3 << 5;
    RUN(vector_add, gets_invalid_opcode);
    assert_int_equal(control.state, GUEST_RUNNING);
}

/* What goes nowhere need not be known; a device might want it. */
static void unknown_store(void **unused)
{
    (void)unused;
    RUN(vector_store, vector_store_done);
    assert_int_equal(control.state, GUEST_CRASHED);
    assert_non_null(strstr(control.reason, "cannot execute pextrd 66 0f 3a 16 03 01"));
}

static void unsupported(void **unused)
{
    (void)unused;
    RUN(vector_add);
    assert_int_equal(control.state, GUEST_CRASHED);
    assert_non_null(strstr(control.reason, "cannot execute addps 0f 58 03"));
    /* What is written down: registers, the code around rip, the stack. */
    assert_non_null(strstr(control.report, "vCPU 0: "));
    assert_non_null(strstr(control.report, "cannot execute addps 0f 58 03 "));
    assert_non_null(strstr(control.report, "\nrip 0000000000008000  rflags "));
    assert_non_null(strstr(control.report, "\nrax "));
    assert_non_null(strstr(control.report, "  r15 "));
    assert_non_null(strstr(control.report, "\ncr0 "));
    assert_non_null(strstr(control.report, " <0f 58 03 "));
    assert_non_null(strstr(control.report, "\nstack at rsp:\n "));
    assert_non_null(strstr(control.reason, "0x8000"));
    assert_non_null(strstr(control.reason, "0xd0000000"));
    assert_int_equal(root_signals, 2); /* running, crashed */
}

static void fetch_nowhere(void)
{
    memory(0xd0000000, false);
    s->exit.memory.fetch = 1;
}
static void walk_nowhere(void)
{
    memory(0xd0000000, false);
    s->exit.memory.in_walk = 1;
}
static void triple(void)
{
    s->exit.reason = EXIT_TRIPLE_FAULT;
}
static void odd(void)
{
    s->exit.reason = 999;
    s->exit.detail = 0xabc;
}
static void machine_check(void)
{
    s->exit.reason = EXIT_EXCEPTION;
    s->exit.exception.vector = 18;
}
static void machine_check_at_entry(void)
{
    s->exit.reason = EXIT_BAD_STATE;
    s->exit.detail = 0x80000029;
}
static void bad_state(void)
{
    s->exit.reason = EXIT_BAD_STATE;
}

static void ends(void **unused)
{
    (void)unused;
    step_fn *const bad[] = {walk_nowhere, triple, odd, bad_state, machine_check, machine_check_at_entry};
    const char *const words[] = {"page tables outside", "triple fault",        "unknown kind", "refused",
                                 "machine check, of",   "at the guest's entry"};
    RUN(triple); /* a PC resets */
    assert_int_equal(control.state, GUEST_RESET);
    assert_non_null(strstr(control.reason, "vCPU 0: triple fault at rip 0x"));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        teardown(NULL), setup(NULL);
        boot.options.on_triple_fault = TRIPLE_FAULT_CRASHES;
        RUN(bad[i]);
        assert_int_equal(control.state, GUEST_CRASHED);
        assert_non_null(strstr(control.reason, words[i]));
        assert_int_equal(kicks[0] + kicks[1], 2); /* all vCPUs look (on the host, no vCPU is "itself") */
    }
}

static void off_by_acpi(void)
{
    s->gpr[GPR_RAX] = LAYOUT_SLP_TYP_S5 << 10 | 1 << 13;
    port(LAYOUT_PM1A_CNT, 2, false, 1);
}
static void outb_to(uint16_t at, uint32_t value)
{
    (void)bus_port(&vm->bus, at, 1, true, &value);
}
static uint32_t in_from(uint16_t at)
{
    uint32_t value = 0;
    (void)bus_port(&vm->bus, at, 1, false, &value);
    return value;
}
static void reset_by_port(void)
{
    s->gpr[GPR_RAX] = LAYOUT_RESET_VALUE;
    port(LAYOUT_RESET_PORT, 1, false, 1);
}
static void reset_by_keyboard(void)
{
    s->gpr[GPR_RAX] = 0xfe;
    port(0x64, 1, false, 1);
}
static void debug_exit_7(void)
{
    s->gpr[GPR_RAX] = 7;
    port(0x501, 1, false, 1);
}
static void wanted_ends(void **unused)
{
    (void)unused;
    RUN(off_by_acpi);
    assert_int_equal(control.state, GUEST_POWEROFF);
    assert_string_equal(control.reason, "");
    teardown(NULL), setup(NULL);
    RUN(reset_by_port);
    assert_int_equal(control.state, GUEST_RESET);
    teardown(NULL), setup(NULL);
    RUN(reset_by_keyboard);
    assert_int_equal(control.state, GUEST_RESET);
    teardown(NULL), setup(NULL);
    RUN(debug_exit_7);
    assert_true(control.state == GUEST_POWEROFF && control.exit_code == 7);
}

/* --- faults and control registers --- */

static void bad_msr(void)
{
    wrmsr_at(0x12345678, 1);
}
static void got_gp(void)
{
    assert_int_equal(s->inject, INJECT_VALID | INJECT_TYPE_EXCEPTION | INJECT_ERROR_CODE | 13);
    assert_int_equal(s->inject_error, 0);
    assert_int_equal(s->rip, CODE);
    s->inject = 0;
    s->exit.reason = EXIT_INVALID_OPCODE_WANTED;
}
static void got_ud(void)
{
    assert_int_equal(s->inject, INJECT_VALID | INJECT_TYPE_EXCEPTION | 6);
    s->inject = 0;
    s->exit.reason = EXIT_KICK;
}
static void faults(void **unused)
{
    (void)unused;
    RUN(bad_msr, got_gp, got_ud);
    atomic_store(&vm->ending, false);
    RUN(fetch_nowhere, got_ud);
}

/* Hardware task switches: which instruction the old task goes on at, and what the new one finds, by what the exit and
 * the interrupted delivery say. Protected mode, GDT at 0x3000, the TSSs at 0x4000 and 0x5000. */
static void to_a_task(uint32_t by, uint64_t event)
{
    const uint64_t gdt[] = {0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00008b0040000067, 0x0000890050000067};
    const uint32_t cs = 8, data = 0x10, esp = 0x6000, ip = 0x1234;
    memcpy(ram + 0x3000, gdt, sizeof gdt);
    memset(ram + 0x4000, 0, 0x2000);
    memcpy(ram + 0x5000 + 0x20, &ip, 4);
    memcpy(ram + 0x5000 + 0x38, &esp, 4);
    memcpy(ram + 0x5000 + 0x4c, &cs, 4);
    memcpy(ram + 0x5000 + 0x50, &data, 4);
    s->cr0 = CR0_PE;
    s->efer = 0;
    s->rip = CODE;
    s->rflags = 2;
    s->shadow = by == TASK_BY_IRET ? SHADOW_NMI : 0;
    s->gdtr = (struct table_register){.base = 0x3000, .limit = sizeof gdt - 1};
    s->seg[SEG_CS] = (struct segment){.selector = 8, .attr = 0xc09b, .limit = 0xffffffff};
    s->seg[SEG_SS] = (struct segment){.selector = 16, .attr = 0xc093, .limit = 0xffffffff};
    s->seg[SEG_TR] = (struct segment){.selector = 0x18, .attr = 0x8b, .base = 0x4000, .limit = 0x67};
    s->event = event;
    s->inject = 0;
    s->exit.reason = EXIT_TASK_SWITCH;
    s->exit.insn_len = 7;
    s->exit.task.info = 0x20 | by << 30;
    s->valid = GROUPS_REGISTERS;
}
static uint32_t word_at(uint32_t at)
{
    uint32_t value;
    memcpy(&value, ram + at, 4);
    return value;
}
static void a_call(void)
{
    to_a_task(TASK_BY_CALL, 0);
}
static void behind_the_call(void)
{
    assert_int_equal(s->rip, 0x1234);
    assert_int_equal(s->rsp, 0x6000);
    assert_int_equal(word_at(0x4020), CODE + 7);
    assert_int_equal(s->inject, 0);
    assert_int_equal(last_dirty & (GROUP_RIP | GROUP_SEG | GROUP_CR | GROUP_DR),
                     GROUP_RIP | GROUP_SEG | GROUP_CR | GROUP_DR);
    to_a_task(TASK_BY_GATE, 0xabcull << 32 | INJECT_VALID | INJECT_TYPE_EXCEPTION | INJECT_ERROR_CODE | 13);
}
static void at_the_fault(void)
{
    assert_int_equal(word_at(0x4020), CODE);
    assert_int_equal(word_at(0x4024), 2 | RFLAGS_RF);
    assert_int_equal(s->rsp, 0x5ffc);
    assert_int_equal(word_at(0x5ffc), 0xabc);
    assert_int_equal(s->event, 0); /* it is delivered */
    assert_int_equal(s->inject, 0);
    to_a_task(TASK_BY_GATE, INJECT_VALID | INJECT_TYPE_NMI | 2);
}
static void behind_an_nmi(void)
{
    assert_int_equal(word_at(0x4020), CODE);
    assert_int_equal(word_at(0x4024), 2);
    assert_int_equal(s->rsp, 0x6000);
    assert_int_equal(s->shadow, SHADOW_NMI);
    to_a_task(TASK_BY_GATE, INJECT_VALID | 4u << 8 | 0x40); /* INT 0x40 */
}
static void behind_the_int(void)
{
    assert_int_equal(word_at(0x4020), CODE + 7);
    assert_int_equal(s->shadow, 0);
    to_a_task(TASK_BY_GATE, INJECT_VALID | 0x40); /* an interrupt */
}
static void at_the_interrupt(void)
{
    assert_int_equal(word_at(0x4020), CODE);
    to_a_task(TASK_BY_IRET, 0);
    ram[0x3000 + 0x25] |= 2; /* that task is busy */
}
static void behind_the_iret(void)
{
    assert_int_equal(word_at(0x4020), CODE + 7);
    assert_int_equal(s->shadow, 0); /* NMIs may come again */
    to_a_task(TASK_BY_JUMP, 0);
    ram[0x3000 + 0x25] |= 2;
}
static void gets_the_fault(void)
{
    assert_int_equal(s->rip, CODE);
    assert_int_equal(s->inject, INJECT_VALID | INJECT_TYPE_EXCEPTION | INJECT_ERROR_CODE | 13);
    assert_int_equal(s->inject_error, 0x20);
    to_a_task(TASK_BY_GATE, INJECT_VALID | INJECT_TYPE_EXCEPTION | INJECT_ERROR_CODE | 8);
    ram[0x3000 + 0x25] |= 2; /* the double fault's own task cannot run */
}
static void task_switches(void **unused)
{
    (void)unused;
    RUN(a_call, behind_the_call, at_the_fault, behind_an_nmi, behind_the_int, at_the_interrupt, behind_the_iret,
        gets_the_fault);
    assert_int_equal(control.state, GUEST_RESET);
    assert_non_null(strstr(control.reason, "triple fault"));
}

/* RF goes with a fault, so that its handler does not meet the instruction's breakpoint again; it ends with what is done
 * here, and then a single step is due. A step over HLT wakes it. */
static void gp_while_rf_is_clear(void)
{
    s->rflags = 0x102;
    bad_msr();
}
static void rf_and_gp(void)
{
    assert_int_equal(s->inject & INJECT_VECTOR_MASK, 13);
    assert_int_equal(s->rflags, 0x10102);
    assert_true(last_dirty & GROUP_RIP);
    assert_int_equal(s->pending_debug, 0);
    s->inject = 0;
    s->valid = GROUP_RIP; /* its length is not known: rip moves in the page */
    memcpy(ram + CODE, "\xf4", 1);
    s->exit.reason = EXIT_HLT;
}
static void stepped_over_hlt(void)
{
    assert_int_equal(s->rip, CODE + 1);
    assert_int_equal(s->rflags, 0x102);
    assert_int_equal(s->pending_debug, DR6_BS);
    assert_int_equal(s->activity, ACTIVITY_RUN);
    s->exit.reason = EXIT_KICK;
}
static void ends_of_instructions(void **unused)
{
    (void)unused;
    RUN(gp_while_rf_is_clear, rf_and_gp, stepped_over_hlt);
}

static void paging_on(void)
{
    s->efer = 1u << 8;
    s->cr4 = 1u << 5;
    s->exit.reason = EXIT_CR_WRITE;
    s->exit.insn_len = 3;
    s->exit.cr.known = 1;
    s->exit.cr.number = 0;
    s->exit.cr.value = 0x80000011;
}
static void in_long_mode(void)
{
    assert_int_equal(s->cr0, 0x80000011);
    assert_int_equal(s->efer, 1u << 8 | 1u << 10);
    assert_int_equal(s->rip, CODE + 3);
    s->exit.reason = EXIT_CR_WRITE; /* PAE may not go now */
    s->exit.insn_len = 3;
    s->exit.cr.known = 1;
    s->exit.cr.number = 4;
    s->exit.cr.value = 0;
}
static void refused(void)
{
    assert_int_equal(s->inject & 0xff, 13);
    assert_int_equal(s->cr4, 1u << 5);
    s->inject = 0;
    s->exit.reason = EXIT_KICK;
}
static void write_cr8(uint64_t value)
{
    assert_int_equal(s->inject, 0);
    s->exit.reason = EXIT_CR_WRITE;
    s->exit.insn_len = 4;
    s->exit.cr.known = 1;
    s->exit.cr.number = 8;
    s->exit.cr.gpr = GPR_R9;
    s->gpr[GPR_R9] = value;
}
static void cr8_by_register(void)
{
    s->inject = 0;
    s->seg[SEG_CS].attr |= SEG_ATTR_L;
    write_cr8(9);
}
static void cr8_too_much(void)
{
    assert_int_equal(lapic_cr8(&vm->vcpu[0].lapic), 9);
    assert_int_equal(s->tpr, 9);
    write_cr8(0x100000009);
}
static void cr8_in_32_bits(void)
{
    assert_int_equal(s->inject & 0xff, 13);
    assert_int_equal(lapic_cr8(&vm->vcpu[0].lapic), 9);
    s->inject = 0;
    s->seg[SEG_CS].attr &= ~SEG_ATTR_L;
    write_cr8(0x100000003); /* the high half is no part of the register there */
}
static void cr8_is_three(void)
{
    assert_int_equal(s->inject, 0);
    assert_int_equal(lapic_cr8(&vm->vcpu[0].lapic), 3);
    s->exit.reason = EXIT_KICK;
}
static void control_registers(void **unused)
{
    (void)unused;
    RUN(paging_on, in_long_mode, refused, cr8_by_register, cr8_too_much, cr8_in_32_bits, cr8_is_three);
}

static void call_unknown(void)
{
    s->exit.reason = EXIT_HYPERCALL;
    s->exit.insn_len = 3;
    s->gpr[GPR_RAX] = 77;
}
static void call_from_user(void)
{
    assert_int_equal((uint32_t)s->gpr[GPR_RAX], (uint32_t)-1000);
    s->exit.hypercall.cpl = 3;
    s->exit.reason = EXIT_HYPERCALL;
    s->exit.insn_len = 3;
}
static void call_in_long_mode(void)
{
    assert_int_equal(s->gpr[GPR_RAX], (uint32_t)-1); /* 32-bit code has 32-bit registers */
    s->exit.hypercall.cpl = 0;
    s->exit.hypercall.code64 = 1;
    call_unknown();
}
static void hypercalls(void **unused)
{
    (void)unused;
    RUN(call_unknown, call_from_user, call_in_long_mode);
    assert_int_equal(s->gpr[GPR_RAX], 0 - (uint64_t)1000);
    assert_int_equal(fetches, 0); /* none of them needs more of the guest's state */
}

/* --- shared memory: vmm/shared.c behind the exits --- */

static void access_memory(const char *code, unsigned length, uint64_t gpa)
{
    memcpy(ram + CODE, code, length);
    s->rip = CODE;
    s->gpr[GPR_RBX] = gpa;
    s->exit.reason = EXIT_MEMORY;
    s->exit.memory.gpa = gpa;
    s->exit.memory.write = 1;
    s->inject = 0;
}

static void store_to_reader(void)
{
    access_memory("\x89\x03", 2, 0xc4000008);
} /* mov [ebx], eax */
static void fxsave_to_reader(void)
{
    assert_int_equal(s->rip, CODE + 2);
    access_memory("\x0f\xae\x03", 3, 0xc4000010);
} /* fxsave */
static void look_at_fault(void)
{
    assert_int_equal(s->inject, INJECT_VALID | INJECT_TYPE_EXCEPTION | INJECT_ERROR_CODE | 13);
    assert_int_equal(s->rip, CODE);
    s->exit.reason = EXIT_KICK;
}
static void ring_peer(void)
{
    s->gpr[GPR_RAX] = 1u << 16 | 5;
    access_memory("\x89\x03", 2, LAYOUT_PCI_MMIO_BASE + LAYOUT_PCI_SLOT_BYTES + IVSHMEM_DOORBELL);
}
static void shared_reading(void **unused)
{
    (void)unused;
    assert_int_equal(mapped_at, 0xc4000000);
    assert_int_equal(mapped_rights, RIGHT_READ);
    RUN(store_to_reader, fxsave_to_reader, look_at_fault, ring_peer);
    assert_int_equal(control.state, GUEST_RUNNING);
    assert_int_equal(peer_signals, 1);
    assert_int_equal(peer_bits, VMM_EVENT_RING(2, 5));
}

/* The BARs themselves are tested in test_dev_ivshmem.c; here what this machine refuses: the local APIC's page. */
static void shared_moving(void **unused)
{
    (void)unused;
    static const struct {
        uint32_t to;
        bool good;
    } rows[] = {{0xc8000000, true}, {0xfee00000, false}, {0xfee10000, true}, {0xc4000000, true}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t address = 0x80000818, to = rows[i].to;
        (void)bus_port(&vm->bus, 0xcf8, 4, true, &address);
        (void)bus_port(&vm->bus, 0xcfc, 4, true, &to);
        assert_int_equal(mapped_at, rows[i].good ? rows[i].to : 0);
    }
}

static void fxsave_to_writer(void)
{
    access_memory("\x0f\xae\x03", 3, 0x100000010);
}
static void look_at_rip(void)
{
    assert_int_equal(s->rip, CODE);
    s->exit.reason = EXIT_KICK;
}
static void shared_writing(void **unused)
{
    (void)unused;
    assert_int_equal(mapped_at, 0x100000000); /* too large for below 4 GiB */
    assert_int_equal(mapped_rights, RIGHT_READ | RIGHT_WRITE);
    RUN(fxsave_to_writer, look_at_rip); /* it is there: the guest tries again */
    assert_int_equal(control.state, GUEST_RUNNING);
    assert_int_equal(s->inject, 0);
    uint64_t base, size;
    shared_window(vm, &base, &size);
    assert_int_equal(base, 0x100000000);
    assert_true(size >= boot.region[0].size);
}

static void shared_bells(void **unused)
{
    (void)unused;
    struct ivshmem *d = vm->shared[0];
    machine_polled(vm, VMM_EVENT_RING(1, 0) | VMM_EVENT_RING(3, 7) | VMM_EVENT_INPUT); /* no such region here */
    assert_int_equal(d->status, 0);
    machine_polled(vm, VMM_EVENT_RING(0, 7) | VMM_EVENT_RING(0, 0));
    assert_int_equal(d->status, 1);
    /* A vCPU that is woken too often waits. (A clock so fast that no time passes.) */
    boot.tsc_khz = 1ull << 40;
    for (unsigned i = 0; i < 60; i++)
        shared_pay_wake(vm);
    assert_int_equal(pauses, 0);
    for (unsigned i = 0; i < 1000; i++)
        shared_pay_wake(vm);
    assert_int_equal(pauses, 60 + 1000 - 64);
    boot.region_count = 0;
    unsigned before = pauses;
    for (unsigned i = 0; i < 1000; i++)
        shared_pay_wake(vm);
    assert_int_equal(pauses, before);
}

/* --- anything --- */

static void random_exit(void)
{
    static const uint16_t ports_of_interest[] = {0x20, 0x21, 0x40,  0x43,  0x60,  0x61,  0x64,  0x70,  0x71,
                                                 0x80, 0x92, 0xcf8, 0xcfc, 0x3f8, 0x3f9, 0x3fb, 0x600, 0x604};
    static const uint32_t msrs[] = {0x10,  0x1b,  0x3b,  0x277,      0x6e0,      0x800,      0x80b,
                                    0x830, 0x832, 0x83f, 0xc0000080, 0x4b564d00, 0x4b564d01, 0x200};
    for (unsigned i = 0; i < GPR_COUNT; i++)
        s->gpr[i] = (rand() & 1) ? (unsigned)rand() : (uint64_t)rand() << 33 | (unsigned)rand();
    memset(&s->exit, rand() & 1 ? 0 : 0xff, sizeof s->exit);
    s->valid = GROUP_RIP | GROUP_SEG | GROUP_CR;
    s->inject = 0;
    s->exit.reason = (unsigned)rand() % (EXIT_COUNT + 2);
    s->exit.insn_len = (unsigned)rand() % 16;
    s->rip = CODE;
    s->cr0 = 1;
    s->efer = 0;
    for (unsigned i = 0; i < 15; i++)
        ram[CODE + i] = (uint8_t)rand();
    switch (s->exit.reason) {
    case EXIT_PORT:
        s->exit.port.port = rand() & 1 ? (uint16_t)rand() : ports_of_interest[(unsigned)rand() % 18];
        s->exit.port.size = (uint8_t)(1u << (unsigned)rand() % 4);
        s->exit.port.in = rand() & 1;
        s->exit.port.string = (rand() & 7) == 0;
        break;
    case EXIT_MEMORY:
        s->exit.memory.gpa = (rand() & 1)   ? 0xfec00000u + (unsigned)rand() % 64
                             : (rand() & 1) ? 0xe0000000u + (unsigned)rand() % 0x100000
                                            : (unsigned)rand();
        s->exit.memory.fetch = s->exit.memory.in_walk = 0;
        break;
    case EXIT_RDMSR:
    case EXIT_WRMSR: s->gpr[GPR_RCX] = rand() & 1 ? (unsigned)rand() : msrs[(unsigned)rand() % 14]; break;
    default: break;
    }
}

static void anything(void **unused)
{
    (void)unused;
    srand(11);
    v->fpu = &fpu[0];
    memset(&fpu[0], 0, sizeof fpu[0]);
    unsigned crashes = 0;
    for (int round = 0; round < 20000; round++) {
        atomic_store(&vm->ending, false);
        s->irq = 0;
        v->pending = 0;
        RUN(random_exit);
        if (control.state != GUEST_RUNNING) {
            crashes++;
            assert_in_range(control.state, GUEST_POWEROFF, GUEST_CRASHED);
            assert_true(memchr(control.reason, 0, sizeof control.reason) != NULL);
        }
        uint8_t sink[4096];
        (void)channel_read(&channel.from_guest, sink, sizeof sink);
    }
    assert_in_range(crashes, 1, 19999);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
/* --- reset in place --- */

static void spoil(void)
{
    memset(ram, 0x5a, RAM);
    outb_to(0x21, 0x11);
    outb_to(0x70, 0x0b);
    outb_to(0x71, 0x42);
    v->clock_gpa = 0x5000;
    v->pending |= PENDING_NMI;
    v->retries = 7;
    s->xcr0 = 7;
    s->lstar = 0x1234;
    s->exit.reason = EXIT_NONE;
}

/* The guest resets its machine: vCPUs leave it, root hears of it, and then everything is as new; but the time of day
 * goes on, and a second reset is counted as another. */
static void reset_in_place(void **unused)
{
    (void)unused;
    static uint8_t image[1024] = {[0] = 0xf4, [510] = 0x55, [511] = 0xaa, [900] = 0x77};
    static struct vcpu_state fresh[2];
    char why[200];
    boot.module_count = 1;
    boot.module[0] = (struct vmm_module){.va = (uintptr_t)image, .size = sizeof image};
    boot.unix_seconds = 1800000000;
    vm->boot_ns = 1800000000000000000ull;
    assert_int_equal(machine_load(vm, why, sizeof why), OK);
    memcpy(fresh, pages, sizeof fresh);
    for (unsigned round = 1; round <= 2; round++) {
        uint64_t before = vm->boot_ns;
        RUN(spoil, reset_by_port);
        v->fpu = &fpu[0];
        memset(&fpu[0], 0x77, sizeof fpu[0]);
        assert_int_equal(control.state, GUEST_RESET);
        assert_int_equal(control.resets, round);
        assert_true(vm->ending != VM_GOES_ON);
        assert_int_equal(machine_reset(vm, why, sizeof why), OK);
        assert_true(vm->boot_ns > before && vm->boot_ns < before + 1000000000000ull);
        assert_memory_equal(ram + 0x7c00, image, sizeof image);
        assert_int_equal(ram[0x200000], 0);
        assert_int_equal(ram[RAM - 1], 0);
        assert_int_equal(vm->pic->chip[0].imr, 0xff);
        outb_to(0x70, 0x0b);
        assert_int_equal(in_from(0x71), 0x02); /* RTC register B */
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(pages[i].dirty & GROUPS_REGISTERS, GROUPS_REGISTERS);
            assert_true((pages[i].dirty & GROUP_TSC) != 0 && !(pages[i].dirty & GROUP_FPU) == (i == 1));
            pages[i].tsc_offset = fresh[i].tsc_offset;
            pages[i].dirty = fresh[i].dirty;
        }
        assert_memory_equal(&pages[0], &fresh[0], sizeof pages[0]);
        assert_memory_equal(pages[1].apic, fresh[1].apic, sizeof pages[1].apic);
        assert_int_equal(vm->vcpu[1].pending, PENDING_WAIT_SIPI);
        assert_true(fpu[0].legacy[0] == 0x7f && fpu[0].legacy[1] == 0x03 && fpu[0].legacy[25] == 0x1f);
        assert_true(fpu[0].xstate_bv == 0 && fpu[0].extended[3519] == 0);
        assert_true(v->pending == 0 && v->clock_gpa == 0 && v->retries == 0 && v->move[0].width == 0);
        atomic_store(&vm->ending, VM_GOES_ON);
    }
}

/* --- saved and restored --- */

static void touch_devices(unsigned seed)
{
    for (unsigned i = 0; i < 4000; i++) {
        static const uint16_t near[] = {0x20, 0xa0, 0x40, 0x70, 0x3f8, 0xcf8, 0xcfc, 0x600, 0x60, 0x80, 0x4d0};
        seed = seed * 1103515245u + 12345u;
        uint32_t value = seed >> 8;
        (void)bus_port(&vm->bus, (uint16_t)(near[seed >> 16 & 7] + (seed >> 20 & 3)), 1, true, &value);
        uint64_t wide = value;
        (void)bus_memory(&vm->bus, LAYOUT_IOAPIC_BASE + (seed >> 24 & 1) * 16, 4, true, &wide);
    }
}

static bool same_section(const char *name, const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    struct stream s[2];
    struct stream_section section[2];
    assert_int_equal(stream_open(&s[0], a, a_size), OK);
    assert_int_equal(stream_open(&s[1], b, b_size), OK);
    while (stream_next(&s[0], &section[0]) && stream_next(&s[1], &section[1]))
        if (strcmp(section[0].name, name) == 0)
            return section[0].length == section[1].length &&
                   memcmp(s[0].bytes + s[0].at, s[1].bytes + s[1].at, section[0].length) == 0;
    return false;
}

static void saved_and_restored(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        vm->vcpu[i].fpu = &fpu[i];
        memset(&fpu[i], (int)(0x11 * (i + 1)), sizeof fpu[i]);
    }
    static uint8_t saved[65536], again[65536], bad[65536];
    static struct vcpu_state was[2];
    const uint64_t ipi = 0x4fb00000000ull; /* of the second CPU to no CPU */
    assert_true(vcpu_fetch_all(v));
    touch_devices(7);
    for (unsigned i = 0; i < 2; i++) {
        struct vm_vcpu *c = &vm->vcpu[i];
        for (unsigned g = 0; g < GPR_COUNT; g++)
            c->state->gpr[g] = 0x1000 * i + g;
        c->state->lstar = 0xffffffff81000000ull + i;
        c->state->spec_ctrl = 4 + i;
        c->state->xcr0 = 7;
        c->state->dr[3] = 5;
        c->state->pending_debug = 0x5001;
        c->state->event = 6ull << 32 | INJECT_VALID | INJECT_TYPE_EXCEPTION | INJECT_ERROR_CODE | 14;
        c->step = (struct nmi_step){.on = i == 1, .tf = true, .dr6 = 0xffff4ff1};
        c->msr.misc_enable = 9;
        c->pending = i == 1 ? PENDING_HALTED : 0;
        assert_true(lapic_wrmsr(&c->lapic, tsc_now(), MSR_APIC_BASE, LAYOUT_LAPIC_BASE | 0xc00 | (i == 0 ? 0x100 : 0)));
        assert_true(lapic_wrmsr(&c->lapic, tsc_now(), 0x80f, 0x1ff));
        assert_true(lapic_wrmsr(&c->lapic, tsc_now(), 0x832, 0x400e0 + i)); /* TSC deadline */
        assert_true(lapic_wrmsr(&c->lapic, tsc_now(), MSR_TSC_DEADLINE, 1ull << 60));
        lapic_post_fixed(&c->lapic, (uint8_t)(0x61 + i), true);
    }
    (void)lapic_wrmsr(&vm->vcpu[1].lapic, tsc_now(), MSR_X2APIC_ICR, ipi);
    memcpy(was, pages, sizeof was);
    uint64_t guest_tsc = tsc_now() + pages[1].tsc_offset, boot_ns = vm->boot_ns;
    uint64_t left = vm->vcpu[1].lapic.timer_due - tsc_now();
    size_t size = machine_save(vm, saved, sizeof saved);
    assert_true(size > 1000);
    assert_int_equal(machine_save(vm, again, 2000), 0); /* too small */

    teardown(NULL), setup(NULL); /* another, and in another state */
    touch_devices(99);
    memset(fpu, 0, sizeof fpu);
    assert_int_equal(machine_restore(vm, saved, size), E_ARG); /* nowhere to put the FPU's state */
    for (unsigned i = 0; i < 2; i++)
        vm->vcpu[i].fpu = &fpu[i];
    assert_int_equal(machine_restore(vm, saved, size), OK);
    assert_int_equal(vm->boot_ns, boot_ns);
    for (unsigned i = 0; i < 2; i++) {
        const struct vm_vcpu *c = &vm->vcpu[i];
        assert_memory_equal(c->state->gpr, was[i].gpr, sizeof was[i].gpr);
        assert_memory_equal(&c->state->rip, &was[i].rip, 4 * 8);
        assert_memory_equal(&c->state->cr0, &was[i].cr0, 7 * 8);
        assert_memory_equal(c->state->seg, was[i].seg, sizeof was[i].seg);
        assert_memory_equal(&c->state->star, &was[i].star, 11 * 8);
        assert_memory_equal(c->state->dr, was[i].dr, 7 * 8); /* DR6, DR7, the event too */
        assert_int_equal(c->state->pending_debug, 0x5001);
        assert_true(c->step.on == (i == 1) && c->step.tf && c->step.dr6 == 0xffff4ff1);
        assert_int_equal(c->state->dirty & (GROUPS_REGISTERS | GROUP_TSC), GROUPS_REGISTERS | GROUP_TSC);
        assert_true((c->state->dirty & GROUP_FPU) != 0 && fpu[i].extended[3000] == 0x11 * (i + 1));
        assert_int_equal(c->msr.misc_enable, 9);
        assert_int_equal(c->pending, i == 1 ? PENDING_HALTED : 0);
        assert_int_equal(lapic_highest_pending(&c->lapic), 0x61 + i);
        assert_true(lapic_is_level(&c->lapic, 0x61 + i));
    }
    uint64_t now = tsc_now() + pages[1].tsc_offset;
    assert_true(now >= guest_tsc && now - guest_tsc < 10000000000ull);
    assert_true(left - (vm->vcpu[1].lapic.timer_due - tsc_now()) < 10000000000ull);
    size_t size2 = machine_save(vm, again, sizeof again);
    assert_int_equal(size2, size);
    static const char *const timeless[] = {"8259",         "I/O APIC",        "serial port",    "keyboard",
                                           "legacy ports", "PCI host bridge", "debug-exit port"};
    for (unsigned i = 0; i < sizeof timeless / sizeof timeless[0]; i++)
        assert_true(same_section(timeless[i], saved, size, again, size2));

    for (unsigned i = 0; i < 3000; i++) { /* damaged: refused, and nothing has changed */
        memcpy(bad, saved, size);
        bad[(i * 7919u) % size] ^= (uint8_t)(1 + i % 255);
        assert_int_equal(machine_restore(vm, bad, i % 5 ? size : size - 1 - i % 100), E_ARG);
    }
    vm->vcpus = 1;
    assert_int_equal(machine_restore(vm, saved, size), E_UNSUPPORTED);
    vm->vcpus = 2;
    struct stream from, to; /* all sections, the last of them twice; then without it */
    struct stream_section section;
    for (unsigned round = 0; round < 2; round++) {
        stream_save(&to, bad, sizeof bad);
        assert_int_equal(stream_open(&from, saved, size), OK);
        while (stream_next(&from, &section)) {
            bool last = from.sections == 0;
            for (unsigned n = last ? 2 * (1 - round) : 1; n > 0; n--) {
                stream_begin(&to, section.name, section.number, section.version);
                stream_bytes(&to, from.bytes + from.at, section.length);
                stream_end(&to);
            }
        }
        assert_int_equal(machine_restore(vm, bad, stream_saved(&to)), E_UNSUPPORTED);
    }
    assert_int_equal(lapic_highest_pending(&vm->vcpu[1].lapic), 0x62);
}

/* What a stream is made of. A section of another length is another format: it gets a new version, and a row here. */
static void formats_of_streams(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        uint16_t version;
        uint32_t length;
    } row[] = {
        {"machine", 2, 41},        {"8259", 1, 32},
        {"I/O APIC", 1, 204},      {"PIT", 2, 133},
        {"RTC", 2, 178},           {"serial port", 1, 48},
        {"ACPI hardware", 1, 29},  {"keyboard", 1, 5},
        {"legacy ports", 1, 16},   {"PCI host bridge", 1, 520},
        {"shared memory", 1, 406}, {"debug-exit port", 1, 0},
        {"vCPU", 3, 5382},         {"vCPU", 3, 5382},
    };
    static uint8_t saved[65536];
    struct stream stream;
    struct stream_section section;
    for (unsigned i = 0; i < 2; i++)
        vm->vcpu[i].fpu = &fpu[i];
    assert_true(vcpu_fetch_all(v));
    size_t size = machine_save(vm, saved, sizeof saved);
    assert_memory_equal(saved, "MULLSAVE\1\0\0", 12);
    assert_int_equal(stream_open(&stream, saved, size), OK);
    unsigned n = 0;
    for (; stream_next(&stream, &section); n++) {
        assert_true(n < sizeof row / sizeof row[0]);
        assert_string_equal(section.name, row[n].name);
        assert_int_equal(section.number, n == sizeof row / sizeof row[0] - 1); /* the second vCPU */
        assert_int_equal(section.version, row[n].version);
        assert_int_equal(section.length, row[n].length);
    }
    assert_int_equal(n, sizeof row / sizeof row[0]);
}

static bool in_firmware(uint64_t area, const void *what, size_t size)
{
    return memmem(ram + area, 0x2000, what, size) != NULL;
}

/* What the firmware's tables say of the machine: its CPUs, and its name; what the monitor says of the image. */
static void loaded_machine(void **unused)
{
    (void)unused;
    static uint8_t image[512] = {[0] = 0xf4, [510] = 0x55, [511] = 0xaa};
    static const uint8_t uuid[16] = {0xa1, 0xb2, 0xc3, 0xd4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                         shown[16] = {0xd4, 0xc3, 0xb2, 0xa1, 2, 1,  4,  3,
                                      5,    6,    7,    8,    9, 10, 11, 12}; /* 7.2.1: three numbers come first */
    struct cpuid_regs zero = cpuid_lookup(&vm->cpuid, 0, 0, 0, 0, 0);
    char why[200], vendor[13] = "";
    memcpy(vendor, &zero.ebx, 4);
    memcpy(vendor + 4, &zero.edx, 4);
    memcpy(vendor + 8, &zero.ecx, 4);
    strcpy(boot.name, "a-guest");
    assert_int_equal(machine_load(vm, why, sizeof why), E_ARG);
    assert_string_equal(why, "the guest has no kernel image");
    boot.module_count = VMM_MODULES_MAX + 1;
    assert_int_equal(machine_load(vm, why, sizeof why), E_ARG);
    boot.module_count = 1;
    boot.module[0] = (struct vmm_module){.va = (uintptr_t)image, .size = sizeof image};
    assert_int_equal(machine_load(vm, why, sizeof why), OK);
    assert_true(in_firmware(SMBIOS_AREA, vendor, sizeof vendor) && in_firmware(SMBIOS_AREA, "a-guest", 8));
    uint32_t frequency = 1000; /* MHz, as 1,000,000 kHz are */
    assert_true(in_firmware(SMBIOS_AREA, &frequency, 2));
    assert_false(in_firmware(SMBIOS_AREA, shown, sizeof shown));
    uint64_t entries = 44; /* of the MP table: two CPUs */
    assert_true(ram[MPTABLE_AREA + 16 + entries] == 0 && ram[MPTABLE_AREA + 16 + entries + 20] == 0);
    assert_int_equal(ram[MPTABLE_AREA + 16 + entries + 40], 1);
    assert_int_equal(ram[MPTABLE_AREA + 16 + entries + 2], 0x14); /* the version that the local APIC tells */
    uint64_t version = 0;
    lapic_mmio(&v->lapic, tsc_now(), 0x30, 4, false, &version);
    assert_int_equal(version & 0xff, 0x14);
    assert_int_equal(s->rip, 0x7c00);
    memcpy(boot.options.uuid, uuid, sizeof uuid);
    assert_int_equal(machine_load(vm, why, sizeof why), OK);
    assert_true(in_firmware(SMBIOS_AREA, shown, sizeof shown));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shared_reading, setup_reader, teardown),
        cmocka_unit_test_setup_teardown(shared_moving, setup_reader, teardown),
        cmocka_unit_test_setup_teardown(shared_writing, setup_writer, teardown),
        cmocka_unit_test_setup_teardown(shared_bells, setup_reader, teardown),
        cmocka_unit_test_setup_teardown(doorbell_is_told, setup_bench, teardown),
        TEST(reset_in_place),
        TEST(loaded_machine),
        cmocka_unit_test_setup_teardown(formats_of_streams, setup_reader, teardown),
        TEST(saved_and_restored),
        TEST(xsetbv_takes_what_the_cpu_would),
        TEST(ports),
        TEST(unknown_length),
        TEST(string_ports),
        TEST(console_input),
        TEST(interrupts),
        TEST(halts),
        TEST(offers),
        TEST(task_priority),
        TEST(pic_line),
        TEST(deadline),
        TEST(halts_for_good),
        TEST(cpuid_follows_the_apic),
        TEST(two_nmis_of_three),
        TEST(an_nmi_gives_way),
        TEST(an_nmi_behind_a_shadow),
        TEST(steps_over_iret),
        TEST(ends_of_instructions),
        TEST(timer),
        TEST(second_cpu),
        TEST(device_memory),
        TEST(unsupported),
        TEST(unsupported_in_ring_3),
        TEST(vector_moves),
        TEST(unknown_store),
        TEST(ends),
        TEST(wanted_ends),
        TEST(faults),
        TEST(task_switches),
        TEST(control_registers),
        TEST(hypercalls),
        TEST(anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
