/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root's dispatcher: takes requests (lib/proto/records.h), calls the file that can serve them, and sends what that file
 * reports. It stands above all other files of root; none of them calls it or knows of a channel.
 *
 * A request that makes no sense is answered as such, and harms its sender alone. An asking side that does not read
 * keeps only its own answer waiting.
 */
#ifndef ROOT_REQUESTS_H
#define ROOT_REQUESTS_H

#include "mullion/types.h"

/* Takes what has been asked, and does it or begins to. */
void requests_take(void);
/* Sends what is ready, as far as there is room; ends the machine when that was asked for. Answers when it wants to be
 * called again: a TSC value (0: at once after others had a chance), NEVER. */
uint64_t requests_answer(void);

#endif
