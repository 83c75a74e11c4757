// SPDX-License-Identifier: Apache-2.0
/*
 * The ledger's tree: an AVL tree of disjoint ranges, ordered by base. The nodes are the owners' own; nothing is
 * allocated here. Calls nest as deep as the tree is high: less than 30 levels for all the objects that the pool can
 * hold. Never lets two ranges share a frame.
 */
#include "mm/ledger.h"
#include "kernel/log.h"

static int32_t height(const struct ledger_range *n)
{
    return n ? n->height : 0;
}

static void measure(struct ledger_range *n)
{
    int32_t low = height(n->child[0]), high = height(n->child[1]);
    n->height = (low > high ? low : high) + 1;
}

/* Lifts a child of *link into its place. */
static void lift(struct ledger_range **link, unsigned side)
{
    struct ledger_range *n = *link, *up = n->child[side];
    n->child[side] = up->child[!side];
    up->child[!side] = n;
    measure(n);
    measure(up);
    *link = up;
}

/* *link's children are in balance, and one may be two higher than the other. */
static void balance(struct ledger_range **link)
{
    struct ledger_range *n = *link;
    int32_t lean = height(n->child[1]) - height(n->child[0]);
    if (lean >= -1 && lean <= 1) {
        measure(n);
        return;
    }
    unsigned side = lean > 0;
    struct ledger_range *up = n->child[side];
    if (height(up->child[!side]) > height(up->child[side]))
        lift(&n->child[side], !side);
    lift(link, side);
}

static enum error insert(struct ledger_range **link, struct ledger_range *r)
{
    struct ledger_range *n = *link;
    if (!n) {
        *link = r;
        return OK;
    }
    bool above = r->base.v >= n->base.v + n->size;
    if (!above && r->base.v + r->size > n->base.v)
        return E_OVERLAP;
    enum error e = insert(&n->child[above], r);
    if (e == OK)
        balance(link);
    return e;
}

enum error ledger_insert(struct ledger *l, struct ledger_range *r)
{
    if (((r->base.v | r->size) & PAGE_MASK) || r->size == 0 || r->base.v + r->size <= r->base.v)
        return E_ARG;
    r->child[0] = r->child[1] = NULL;
    r->height = 1;
    return insert(&l->root, r);
}

static void take_out(struct ledger_range **link, struct ledger_range *r)
{
    struct ledger_range *n = *link;
    kassert(n); /* it must be in */
    if (n != r) {
        take_out(&n->child[r->base.v > n->base.v], r);
    } else if (!n->child[0] || !n->child[1]) {
        *link = n->child[0] ? n->child[0] : n->child[1];
        return;
    } else { /* the next range in order takes its place */
        struct ledger_range *next = n->child[1];
        while (next->child[0])
            next = next->child[0];
        take_out(&n->child[1], next);
        next->child[0] = n->child[0];
        next->child[1] = n->child[1];
        *link = next;
    }
    balance(link);
}

void ledger_remove(struct ledger *l, struct ledger_range *r)
{
    take_out(&l->root, r);
}
