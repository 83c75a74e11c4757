/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that the hardware finds in itself: machine checks (#MC), and the banks of MSRs that describe each error until
 * it is read. Ring 0 decides one thing only: does the error harm no more than what the CPU was doing outside ring 0?
 * Then that ends, a guest or a program; else the machine does. What the numbers mean: docs/debugging.md. Sources: Intel
 * SDM vol. 3, 16.3 (MSRs), 16.6 (errors from which software recovers), 16.9.3 (how those look); AMD APM vol. 2, 9.3.
 *
 * Where Intel's #MC goes to all CPUs, the others may see the error of the one that met it, in banks that they share:
 * those with RIPV and without EIPV. It is that one's to read and to clear.
 */
#ifndef ARCH_MCE_H
#define ARCH_MCE_H

#include "mullion/types.h"

enum mce_when {
    MCE_AT_BOOT,   /* once a CPU, before it sets CR4.MCE: from now on all banks report */
    MCE_NOW,       /* errors that were corrected make no #MC */
    MCE_IN_RING_0, /* #MC; also in root, without which there is no machine */
    MCE_OUTSIDE    /* #MC that came in another program of ring 3, or that has ended a guest's turn */
};
/*
 * Looks into the calling CPU's banks. What stands there is logged and cleared; but in ring 0, where what was
 * interrupted may hold the log's lock, it waits for the next look. True, of an #MC: what ran must not go on. False: the
 * error is another CPU's, or harms no program. Where more may be damaged it does not return but panics, with the bank's
 * contents.
 */
bool mce_look(enum mce_when when);

enum mce_verdict {
    MCE_NOTED,     /* all may go on */
    MCE_CONTAINED, /* what the CPU was doing must end */
    MCE_FATAL
};
/* Of the error in a bank, by its status and MCG_STATUS. tells: the CPU says whether an action is required (MCG_SER_P).
 * Pure. */
enum mce_verdict mce_judge(uint64_t status, uint64_t global, bool tells);

#endif
