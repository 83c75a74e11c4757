/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's end, in its order: the guests get their power buttons and some time, the console puts its last lines on
 * the wire, and then power_do. The first two can be called off.
 */
#ifndef ROOT_ENDING_H
#define ROOT_ENDING_H

#include "services/root/root.h"

/* Begins it; `seconds`: for the guests, 0: they are not asked. True: it has begun. `answer` is filled if guests have
 * to go first; otherwise there is no answer yet, and power_do comes next. False: `answer` says why not. */
bool ending_begin(enum power_action action, uint8_t code, uint64_t seconds, struct note_record *answer);
/* Calls it off. False: there is nothing to call off. */
bool ending_cancel(struct note_record *answer);
/* True, once: the console is to be asked to say when all is on the wire. ending_drained: it has said so. */
bool ending_asks_drain(void);
void ending_drained(void);
/* A step, if one is due. True: power_do was called and the machine cannot do it; `why` is filled. */
bool ending_work(struct note_record *why);
/* When it wants to be called again: a TSC value, NEVER. */
uint64_t ending_due(void);

#endif
