/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test that the shell's `fault NAME reload` starts: a running guest is saved, all of it but its memory is forgotten,
 * and it goes on from what was saved.
 */
#ifndef VMM_RELOAD_H
#define VMM_RELOAD_H

#include "vmm/machine.h"

/* Thread 0. The log tells how long the stream was, or what went wrong; a guest that cannot be loaded back is ended. */
void reload(struct vm *vm);

#endif
