/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What firmware may have left on in a CPU, and no guest may find or suffer from. Each is off from here on and belongs
 * to no guest.
 */
#ifndef ARCH_LEFTOVERS_H
#define ARCH_LEFTOVERS_H

/* Each CPU, once. */
void leftovers_clear(void);

#endif
