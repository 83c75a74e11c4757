/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that guests share: one run for each region of the configuration, root's for as long as the machine runs. Root
 * itself never maps it. What a guest may do with it is in the configuration; here it becomes handles, mappings, words
 * for the checker.
 */
#ifndef ROOT_REGIONS_H
#define ROOT_REGIONS_H

#include "lib/proto/audit_boot.h"
#include "mullion/types.h"
#include "services/root/guest.h"

/* Finds a place for each region, and zeroes it: memory without an earlier owner may hold what firmware or an earlier
 * system left. Before any guest is placed. What fails is logged. */
void regions_init(void);
/* Guest n becomes a user of its regions, and gets a number in each. False (and logged): one is not there or has no
 * number left. */
bool regions_join(unsigned n);
/* It is no user any more. */
void regions_leave(unsigned n);
/* Fills in what its monitor must know. Events of all guests must be there. */
void regions_describe(unsigned n, struct vmm_boot *b);
/* Handles and mappings for a monitor that is being made: its regions, and its peers' events to signal. */
enum error regions_give(unsigned n) must_check;
/* Pages of tables that they need, in the monitor and in the guest, and for some moves there. */
uint64_t regions_table_pages(const struct config_guest *c);
/* For the checker: which guest may reach which region. */
void regions_for_audit(struct audit_boot *a);

#endif
