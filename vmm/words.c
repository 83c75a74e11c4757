// SPDX-License-Identifier: Apache-2.0
/*
 * What the monitor itself has to say. The console shows it behind a name that no other program has, so that a hostile
 * monitor speaks for itself only. A line goes whole or not at all.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "vmm/machine.h"

static struct vm_lock lock; /* of the ring, and of what is lost. Under it nothing else is taken */
static unsigned lost;       /* lines that found no room */

static bool put(struct channel_ring *words, const char *line, int size)
{
    if (channel_space(words) < (size_t)size)
        return false;
    channel_write(words, line, (size_t)size);
    return true;
}

void vm_say(const struct vm *vm, const char *text, ...)
{
    char line[400], loss[40];
    if (vm->words == NULL)
        return;
    va_list arguments;
    va_start(arguments, text);
    format_list(line, sizeof line - 1, text, arguments);
    va_end(arguments);
    size_t size = strlen(line);
    line[size++] = '\n';
    lock.events = &vm->lock;
    lock_take(&lock);
    if (lost != 0 && put(vm->words, loss, format(loss, sizeof loss, "(%u lines are lost)\n", lost)))
        lost = 0;
    if (!put(vm->words, line, (int)size))
        lost++;
    lock_release(&lock);
    (void)sys_event_signal(VMM_SLOT_CONSOLE_EVENT, vm->boot->console_bits);
}
