// SPDX-License-Identifier: Apache-2.0
/*
 * Tries everything that could reach out of its machine and survives it. One line for each attack; at the end
 * `adversary done: nothing outside itself was reached`, or how many times something was. Words on the command line:
 * `forever` repeats the attacks without end, `full` tries every page below 4 GiB and every port in every width,
 * `seed=N` the chances.
 */
#include "adversary.h"

#define WINDOW (511ull << 30) /* the last GiB that the first top-level entry can show: one 2 MiB page of it is used */

int adversary_try(void (*f)(uint64_t), uint64_t argument);
void adversary_call(const void *code, const uint64_t registers[6]);
extern uint8_t adversary_out[];
extern uint64_t adversary_sp;
extern uint8_t guest_stubs[], guest_start[], guest_end[];

uint64_t fault_count, interrupt_count, nmi_count, ram_end;
unsigned escapes, physical_bits = 36;
bool thorough;
uint64_t adversary_stack, adversary_user = WINDOW + (2ull << 20);
static volatile bool trying, letting;
static uint64_t state = 88172645463325252ull;

uint8_t adversary_code[8192] __attribute__((aligned(4096)));
static uint64_t window_directory[512] __attribute__((aligned(4096)));

/* Descriptors of its own: every exception has a stack of its own, so that even a broken rsp is survived. */
struct gate {
    uint16_t low, selector;
    uint8_t ist, type;
    uint16_t middle;
    uint32_t high, reserved;
};
static struct {
    uint32_t r;
    uint64_t sp[3];
    uint64_t r1, ist[7], r2;
    uint16_t r3, iomap;
} __attribute__((packed)) tss;
uint64_t adversary_gdt[16] = {0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00affa000000ffff, 0x00cff2000000ffff};
struct gate adversary_idt[256];
static uint8_t stacks[4][8192] __attribute__((aligned(16)));
struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));
void load_tables(void);

uint64_t chance(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1dull;
}

void escaped(const char *how, uint64_t where, uint64_t value)
{
    if (escapes++ < 16)
        print("adversary: ESCAPE: %s at 0x%llx: 0x%llx\n", how, (unsigned long long)where, (unsigned long long)value);
}

static void end_of_interrupt(void)
{
    *(volatile uint32_t *)0xfee000b0ull = 0;
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

/* Also for interrupts whose vector is an exception's, which garbage in the interrupt controllers brings: those come
 * without an error code, so the frame may begin a word too early. It is written whole, and there is room above it. */
static void on_exception(struct frame *f)
{
    fault_count++;
    if (letting)
        end_of_interrupt();
    if (f->vector == 1) {
        __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull));
        __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
    }
    if (!trying) {
        print("adversary: exception %u, error 0x%x, at 0x%llx outside of an attack\n", (unsigned)f->vector,
              (unsigned)f->error, (unsigned long long)f->ip);
        guest_exit(0x7f);
    }
    f->ip = (uintptr_t)adversary_out;
    f->cs = 8;
    f->ss = 0x10;
    f->sp = adversary_sp;
    f->flags = 2;
}

static void on_nmi(struct frame *f)
{
    (void)f;
    nmi_count++;
}

static void on_interrupt(struct frame *f)
{
    interrupt_count++;
    end_of_interrupt();
    f->flags &= ~0x200ull; /* one at a time */
    if ((f->cs & 3) == 3) {
        f->ip = (uintptr_t)adversary_out;
        f->cs = 8;
        f->ss = 0x10;
        f->sp = adversary_sp;
        f->flags = 2;
    }
}

void load_tables(void)
{
    uintptr_t t = (uintptr_t)&tss;
    for (unsigned i = 5; i < 16; i++)
        adversary_gdt[i] = 0;
    adversary_gdt[5] = (sizeof tss - 1) | (uint64_t)(t & 0xffffff) << 16 | 0x89ull << 40 |
                       (uint64_t)(t >> 24 & 0xff) << 56;
    for (unsigned i = 0; i < 4; i++)
        tss.ist[i] = (uintptr_t)stacks[i] + sizeof stacks[i] - 64;
    tss.sp[0] = adversary_stack = tss.ist[3];
    tss.iomap = sizeof tss;
    for (unsigned i = 0; i < 256; i++) {
        uintptr_t a = (uintptr_t)guest_stubs + 16 * i;
        uint8_t ist = i == 8 ? 2 : i == 2 ? 3 : i < 32 ? 1 : 4;
        adversary_idt[i] = (struct gate){(uint16_t)a, 8, ist, 0x8e, (uint16_t)(a >> 16), 0, 0};
    }
    struct pointer g = {sizeof adversary_gdt - 1, (uintptr_t)adversary_gdt};
    struct pointer d = {sizeof adversary_idt - 1, (uintptr_t)adversary_idt};
    __asm__ volatile("lgdt %0; lidt %1; push $8; lea 1f(%%rip), %%rax; push %%rax; lretq;"
                     "1: mov %2, %%ds; mov %2, %%es; mov %2, %%ss; mov %2, %%fs; mov %2, %%gs; ltr %w3"
                     :
                     : "m"(g), "m"(d), "r"(0x10), "r"(0x28)
                     : "rax", "memory");
}

bool attempt(void (*f)(uint64_t), uint64_t argument)
{
    trying = true;
    bool ended = adversary_try(f, argument) == 0;
    trying = false;
    return ended;
}

static void run_code(uint64_t registers)
{
    adversary_call(adversary_code, (const uint64_t *)registers);
}

bool execute_with(const void *code, unsigned size, const uint64_t registers[6])
{
    for (unsigned i = 0; i < size; i++)
        ((volatile uint8_t *)adversary_code)[i] = ((const uint8_t *)code)[i];
    ((volatile uint8_t *)adversary_code)[size] = 0xc3;
    return attempt(run_code, (uintptr_t)registers);
}

bool execute(const void *code, unsigned size)
{
    static const uint64_t none[6];
    return execute_with(code, size, none);
}

static void open_window(uint64_t unused)
{
    (void)unused;
    __asm__ volatile("sti; nop; nop; nop; cli" : : : "memory");
}

void let_in(unsigned times)
{
    letting = true;
    while (times-- > 0)
        attempt(open_window, 0);
    letting = false;
}

void quiet(void)
{
    volatile uint32_t *ioapic = (volatile uint32_t *)0xfec00000ull;
    for (uint32_t pin = 0; pin < 24; pin++) {
        ioapic[0] = 0x10 + 2 * pin;
        ioapic[4] = 0x10000;
        ioapic[0] = 0x11 + 2 * pin;
        ioapic[4] = 0;
    }
    *(volatile uint32_t *)0xfee00350ull = 0x700; /* the PIC's line, and NMI, as firmware leaves them */
    *(volatile uint32_t *)0xfee00360ull = 0x400;
    pic_init();
    serial_init();
}

volatile uint8_t *physical(uint64_t gpa)
{
    *(volatile uint64_t *)&window_directory[0] = (gpa & ~0x1fffffull) | 0x83;
    __asm__ volatile("invlpg (%0)" : : "r"(WINDOW) : "memory");
    return (volatile uint8_t *)(WINDOW + (gpa & 0x1fffff));
}

static void make_window(void)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    volatile uint64_t *pml4 = (volatile uint64_t *)(cr3 & ~0xfffull);
    volatile uint64_t *pdpt = (volatile uint64_t *)(pml4[0] & 0xfffffffffff000ull);
    pdpt[511] = (uintptr_t)window_directory | 7;
    pml4[0] |= 4;               /* ring 3 may use what its own pages allow */
    window_directory[1] = 0x87; /* the guest's first 2 MiB, itself, once more: as its ring 3 sees it */
    __asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
}

static const char *word(const char *text, const char *w)
{
    for (; *text; text++) {
        const char *a = text, *b = w;
        while (*b && *a == *b) {
            a++;
            b++;
        }
        if (!*b)
            return a;
    }
    return NULL;
}

static void find_memory(const struct multiboot *info)
{
    ram_end = 0x100000 + (uint64_t)info->mem_upper * 1024;
    for (uint32_t a = info->mmap_addr; (info->flags & 64) && a < info->mmap_addr + info->mmap_length;) {
        const struct multiboot_mmap *e = (const void *)(uintptr_t)a;
        if (e->base < 0x100000000ull && e->base + e->length > ram_end && e->base + e->length <= 0xc0000000ull)
            ram_end = e->base + e->length; /* reserved parts too: the ACPI tables lie in RAM */
        a += e->size + 4;
    }
    uint32_t r[4];
    cpuid(0x80000008u, r);
    if ((r[0] & 0xff) >= 32 && (r[0] & 0xff) <= 52)
        physical_bits = r[0] & 0xff;
}

static const struct {
    const char *name;
    void (*run)(void);
} attacks[] = {
    {"memory", attack_memory},
    {"ports", attack_ports},
    {"msrs", attack_msrs},
    {"cpuid", attack_cpuid},
    {"hypercalls", attack_hypercalls},
    {"pci", attack_pci},
    {"apic", attack_apic},
    {"devices", attack_devices},
    {"code", attack_code},
    {"tables", attack_tables},
    {"vm instructions", attack_vm_instructions},
    {"registers", attack_registers},
    {"delivery", attack_delivery},
    {"exits", attack_exits},
};

int guest_main(uint32_t magic, const struct multiboot *info)
{
    const char *text = info->flags & 4 ? (const char *)(uintptr_t)info->cmdline : "", *number = word(text, "seed=");
    (void)magic;
    interrupts_off();
    serial_init();
    for (; number && *number >= '0' && *number <= '9'; number++)
        state = state * 10 + (uint64_t)(*number - '0');
    thorough = word(text, "full") != NULL;
    const char *only = word(text, "only=");
    find_memory(info);
    make_window();
    load_tables();
    for (unsigned v = 0; v < 256; v++)
        handle((uint8_t)v, v == 2 ? on_nmi : v < 32 ? on_exception : on_interrupt);
    quiet();
    print("adversary ready: memory to 0x%llx, %u bits of address\n", (unsigned long long)ram_end, physical_bits);
    for (unsigned round = 1;; round++) {
        for (unsigned i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
            if (only && !word(only, attacks[i].name))
                continue;
            uint64_t faults = fault_count, interrupts = interrupt_count;
            attacks[i].run();
            load_tables();
            quiet();
            if (round == 1)
                print("attack %s: done, %llu faults, %llu interrupts\n", attacks[i].name,
                      (unsigned long long)(fault_count - faults), (unsigned long long)(interrupt_count - interrupts));
        }
        if (escapes)
            print("adversary FAILED: %u times something outside itself was reached\n", escapes);
        else if (round == 1)
            print("adversary done: nothing outside itself was reached\n");
        else
            print("adversary round %u: nothing outside itself was reached\n", round);
        if (!word(text, "forever"))
            break;
    }
    guest_exit(escapes ? 1 : 0);
}
