// SPDX-License-Identifier: Apache-2.0
/*
 * See gate.h.
 */
#include "services/console/gate.h"

void gate_shut(struct gate *g, uint64_t now)
{
    g->shut = true;
    g->entered = false;
    g->last = now;
}

bool gate_key(struct gate *g, uint8_t key, uint64_t now)
{
    bool enter = key == '\r' || key == '\n';
    bool second_half = key == '\n' && g->entered; /* of one Enter */
    g->entered = second_half || (enter && now - g->last >= GATE_BEFORE * g->khz);
    g->last = now;
    if (key == GATE_KEY)
        g->shut = false;
    return !g->shut;
}

bool gate_work(struct gate *g, uint64_t now)
{
    if (!g->shut || !g->entered || now - g->last < GATE_BEHIND * g->khz)
        return false;
    g->shut = false;
    return true;
}

uint64_t gate_due(const struct gate *g)
{
    return g->shut && g->entered ? g->last + GATE_BEHIND * g->khz : NEVER;
}
