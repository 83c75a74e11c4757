// SPDX-License-Identifier: Apache-2.0
/* The shell's `fault`, in the monitor; see vmm/test.h. */
#include <stddef.h>
#include "vmm/test.h"
#include "vmm/test/fuzz.h"
#include "vmm/test/reload.h"

static void crash_here(void)
{
    volatile uintptr_t nowhere = 8; /* volatile: the compiler must not reason about it */
    *(volatile int *)nowhere = 0;
}

static noreturn void turn_hostile(struct vm *vm)
{
    atomic_store(&vm->hostile, true);
    atomic_store(&vm->ending, VM_ENDS); /* the vCPUs' threads come out of their loops */
    for (unsigned i = 0; i < vm->vcpus; i++)
        vm_kick(vm, i);
    fuzz_for_ever(vm, 0, NULL);
}

void test_command(struct vm *vm, uint32_t command)
{
    if (command == COMMAND_RELOAD) {
        reload(vm);
        return;
    }
    if (command == COMMAND_FUZZ)
        turn_hostile(vm);
    while (command == COMMAND_SPIN)
        __builtin_ia32_pause();
    crash_here(); /* this process dies of it, and no other */
}

void test_thread_ends(struct vm *vm, unsigned thread, struct vcpu_state *state)
{
    if (atomic_load(&vm->hostile))
        fuzz_for_ever(vm, thread, state);
}
