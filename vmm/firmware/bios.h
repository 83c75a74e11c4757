/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left of a BIOS when it has started an operating system: its data area at 0x400, its extended data area just
 * below the hole, and its reset entry. No interrupt service is there: the vectors are zero.
 */
#ifndef VMM_BIOS_H
#define VMM_BIOS_H

#include "mullion/types.h"
#include "vmm/memory.h"

/* Before the guest's image is loaded, which may lie there. E_ARG: no RAM there. */
enum error bios_install(const struct guest_memory *m) must_check;

#endif
