/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's NMI button (and what else the firmware's NMI line is wired to), for a machine that hangs: the CPU that
 * gets it asks the others, by NMIs of its own, where they are, and writes a line about each on serial and screen. It
 * takes no lock and waits for no CPU for long. Then all go on.
 */
#ifndef KERNEL_NMI_H
#define KERNEL_NMI_H

#include "arch/x86_64/traps.h"

/* From the handler. An NMI that ended a guest's turn comes to it too, with an address in ring 0. */
void nmi_arrived(const struct frame *f);
extern uint32_t nmis; /* that were no question of a CPU's, so far */

#endif
