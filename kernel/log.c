// SPDX-License-Identifier: Apache-2.0
#include "kernel/log.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "drivers/screen.h"
#include "drivers/serial.h"
#include "kernel/irq.h"
#include "kernel/klog_ring.h"
#include "kernel/lock.h"
#include "kernel/root.h"

#define LINE_MAX 1024
#define REDRAWN  1000 /* bytes */

struct klog_ring klog_ring __attribute__((section(".bss.page"), aligned(4096)));

static struct lock ring_lock;
bool log_taken;
static uint32_t panicking;

static void put(char c)
{
    if (c == '\n')
        serial_write('\r');
    serial_write(c);
    screen_write(c);
}

void log_redraw(void)
{
    screen_clear();
    for (uint64_t n = min_u64(klog_ring.head, REDRAWN); n; n--)
        screen_write(klog_ring.text[(klog_ring.head - n) % KLOG_TEXT_BYTES]);
}

void log_append(const char *text, size_t count)
{
    lock(&ring_lock);
    uint64_t head = klog_ring.head;
    for (size_t i = 0; i < count; i++) {
        klog_ring.text[(head + i) % KLOG_TEXT_BYTES] = text[i];
        if (!log_taken)
            put(text[i]);
    }
    if (!log_taken)
        klog_ring.shown = head + count;
    __atomic_store_n(&klog_ring.head, head + count, __ATOMIC_RELEASE);
    unlock(&ring_lock);
    if (read_once(log_bell.event)) /* the writer may hold the kernel's lock, or not: CPU 0 takes it later */
        cpu_post(cpu_by_number(0), WORK_LOG);
}

void klog(enum log_level level, const char *format, ...)
{
    static const char *const before[] = {[LOG_ERROR] = "error: ", [LOG_WARN] = "warning: ", [LOG_INFO] = ""};
    char line[LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    size_t length = kformat(line, sizeof line, "%s", before[level]);
    length += kvformat(line + length, sizeof line - 1 - length, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    log_append(line, length);
}

void log_at_once(const char *s)
{
    while (*s)
        put(*s++);
}

void panic(const char *format, ...)
{
    irq_disable();
    if (__atomic_fetch_add(&panicking, 1, __ATOMIC_SEQ_CST) == 0) {
        for (unsigned i = 0; i < cpu_count; i++)
            __atomic_fetch_or(&cpu_by_number(i)->work, WORK_STOP, __ATOMIC_SEQ_CST);
        if (cpu_count > 1)
            apic_nmi_others();
        char text[LINE_MAX];
        va_list arguments;
        va_start(arguments, format);
        kvformat(text, sizeof text, format, arguments);
        va_end(arguments);
        log_redraw(); /* ring 3 may have drawn what stands there */
        log_at_once("\n\nmullion: PANIC: ");
        log_at_once(text);
        if (cpu_count > 0) {
            kformat(text, sizeof text, "\n  on CPU %u, called from 0x%lx", this_cpu()->number,
                    (uint64_t)__builtin_return_address(0));
            log_at_once(text);
        }
        log_at_once(
            "\nThe machine is stopped; no guest runs any more. Please note the lines above and switch it off and on.\n"
            "The kernel's command line: ");
        log_at_once(root_boot.cmdline); /* by a word in it, `mullion run` knows this text from a guest's */
    }
    cpu_halt();
}

__attribute__((used)) uintptr_t __stack_chk_guard = 0x5bd1e995a3c47f00;
__attribute__((used)) noreturn void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
    panic("a kernel stack frame was overrun, near 0x%lx", (uint64_t)__builtin_return_address(0));
}
