/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check itself: is memory partitioned as configured? It reads the kernel's objects where they lie (struct layouts
 * are the kernel's headers'), and shares no code with what makes them. What it proves when it passes stands in
 * docs/guarantees.md.
 *
 * Tables and objects may change meanwhile. The kernel counts that (shown->generation); a look during which the count
 * moved proves nothing and says so. Nothing that is read can lead outside the view, loop for ever or crash the checker.
 * One check at a time.
 */
#ifndef AUDIT_CHECK_H
#define AUDIT_CHECK_H

#include "lib/proto/audit_boot.h"
#include "services/audit/view.h"

/* One look. Fills *out but for `answered` and `tries`. */
void check(const struct view *view, const struct audit_boot *boot, struct audit_answer *out);

#endif
