/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `top`: where each CPU's time went between two readings of the accounts, in percent. Pure: cpu_records and
 * account_records in, a table out.
 */
#ifndef CONSOLE_TOP_H
#define CONSOLE_TOP_H

#include "services/console/show.h"

/* Forgets all readings. */
void top_reset(void);
/* A reading begins; an unfinished one is dropped. */
void top_again(void);
/* A record of the reading that is being made; of other kinds it takes no notice. */
void top_take(const union record *r);
/* There is a whole reading: the next one makes a table. */
bool top_ready(void);
/* The reading is whole: shows what has changed since the one before, if there was one. True: it has. */
bool top_table(struct show *s);

#endif
