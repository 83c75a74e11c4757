/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the small test guests share: ports, COM1, formatting, descriptor tables, interrupts, ACPI power off. They run as
 * guests of Mullion and, to check the tests themselves, on a plain emulated PC.
 */
#ifndef TESTS_GUESTS_GUEST_H
#define TESTS_GUESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MULTIBOOT_MAGIC 0x2badb002u

/* Multiboot Specification 0.6.96, 3.3 */
struct multiboot {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
};
struct multiboot_module {
    uint32_t start, end, string, reserved;
};
struct multiboot_mmap {
    uint32_t size;
    uint64_t base, length;
    uint32_t type;
} __attribute__((packed));

/* What the interrupt stubs have pushed. */
#ifdef __x86_64__
struct frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error, ip, cs, flags, sp, ss;
};
#else
struct frame {
    uint32_t ds, es, edi, esi, ebp, esp, ebx, edx, ecx, eax;
    uint32_t vector, error, ip, cs, flags, sp, ss; /* sp, ss only when the ring changed */
};
#endif

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}
static inline void cpuid(uint32_t leaf, uint32_t r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}
static inline uint64_t rdmsr(uint32_t index)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index));
    return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t index, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline void interrupts_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}
static inline void interrupts_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}
/* Sleeps until one interrupt; interrupts are off before and after. */
static inline void wait_interrupt(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* Ends the guest through the debug-exit port (0xf4), then by ACPI power off, then halts. */
#define DEBUG_EXIT_PORT 0xf4
__attribute__((noreturn)) void guest_exit(uint8_t code);
__attribute__((noreturn)) void guest_poweroff(void);
__attribute__((noreturn)) void guest_reboot(void);

/* COM1, 115200 8N1, polled output. */
void serial_init(void);
void put(char c);
void print(const char *format, ...) __attribute__((format(printf, 1, 2))); /* %s %c %d %u %x %lx %llx %llu, width, 0 */

/* Flat descriptors (code 0x08, data 0x10, ring 3: 0x1b, 0x23, TSS 0x28) and an IDT full of stubs; an unexpected
 * exception is printed and ends the guest with code 0x7f. */
typedef void (*handler_t)(struct frame *);
void tables_init(void);
void handle(uint8_t vector, handler_t h);

/* The two PICs at 0x20 and 0x28, everything masked; IRQs get their end-of-interrupt after the handler. */
void pic_init(void);
void pic_unmask(unsigned irq);
/* PIT channel 0, mode 2. */
void pit_init(unsigned hz);

/* Lines typed on COM1, by its interrupt: each goes to `run`, behind it comes the prompt. Tables and PICs are there. */
__attribute__((noreturn)) void serial_shell(const char *prompt, void (*run)(const char *line));

/* ACPI: a table by its signature, checksum verified, or NULL. */
void *acpi_table(const char signature[4]);

int guest_main(uint32_t magic, const struct multiboot *info);

#endif
