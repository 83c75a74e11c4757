/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test that the shell's `fault NAME fuzz` starts: the monitor turned hostile.
 */
#ifndef VMM_FUZZ_H
#define VMM_FUZZ_H

#include "mullion/types.h"
#include "vmm/machine.h"

/* Every thread of the monitor ends here, at the latest after a kick: random system calls, and garbage in all that
 * others read, until root destroys the domain. `state`: the page of the vCPU that the thread runs; NULL: it has none.
 */
noreturn void fuzz_for_ever(struct vm *vm, unsigned thread, struct vcpu_state *state);

#endif
