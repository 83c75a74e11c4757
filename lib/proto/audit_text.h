/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the checker found, in words: for the shell, and for the log when the shell has not asked.
 */
#ifndef LIB_AUDIT_TEXT_H
#define LIB_AUDIT_TEXT_H

#include "lib/proto/records.h"

#define AUDIT_TEXT_BYTES 256 /* enough for either */

/* One violation as a sentence without its full stop. */
void audit_violation_text(const struct violation_record *v, char *out, size_t size);
/* How much was looked at. */
void audit_counts_text(const struct audit_record *a, char *out, size_t size);
/* The verdict: "passed", or what else. */
void audit_verdict_text(const struct audit_record *a, char *out, size_t size);

#endif
