/*
 * The ledger's tree: an AVL tree of disjoint ranges, ordered by base. The nodes are the owners' own; nothing is allocated
 * here, nothing recurses, and every call is bounded by the tree's height. Never lets two ranges share a frame.
 */
#include "mm/ledger.h"
#include "kernel/log.h"

#define HEIGHT_MAX 64 /* an AVL tree of height h has more than 1.6^h nodes: memory ends long before */

static int32_t height(const struct ledger_range *n)
{
    return n ? n->height : 0;
}

static void measure(struct ledger_range *n)
{
    int32_t l = height(n->left), r = height(n->right);
    n->height = (l > r ? l : r) + 1;
}

/* Each rotation lifts one child of *link into its place. */
static void lift_left(struct ledger_range **link)
{
    struct ledger_range *n = *link, *up = n->left;
    n->left = up->right;
    up->right = n;
    measure(n);
    measure(up);
    *link = up;
}

static void lift_right(struct ledger_range **link)
{
    struct ledger_range *n = *link, *up = n->right;
    n->right = up->left;
    up->left = n;
    measure(n);
    measure(up);
    *link = up;
}

/* path: the links from the root down to the place of the change. */
static void rebalance(struct ledger_range **path[], unsigned depth)
{
    while (depth-- > 0) {
        struct ledger_range **link = path[depth], *n = *link;
        if (!n)
            continue;
        int32_t lean = height(n->left) - height(n->right);
        if (lean > 1) {
            if (height(n->left->left) < height(n->left->right))
                lift_right(&n->left);
            lift_left(link);
        } else if (lean < -1) {
            if (height(n->right->right) < height(n->right->left))
                lift_left(&n->right);
            lift_right(link);
        } else {
            measure(n);
        }
    }
}

enum error ledger_insert(struct ledger *l, struct ledger_range *r)
{
    if (((r->base.v | r->size) & PAGE_MASK) || r->size == 0 || r->base.v + r->size <= r->base.v)
        return E_ARG;
    struct ledger_range **path[HEIGHT_MAX], **link = &l->root;
    unsigned depth = 0;
    while (*link) {
        struct ledger_range *n = *link;
        kassert(depth < HEIGHT_MAX);
        path[depth++] = link;
        if (r->base.v + r->size <= n->base.v)
            link = &n->left;
        else if (n->base.v + n->size <= r->base.v)
            link = &n->right;
        else
            return E_OVERLAP;
    }
    r->left = r->right = NULL;
    r->height = 1;
    *link = r;
    l->count++;
    rebalance(path, depth);
    return OK;
}

void ledger_remove(struct ledger *l, struct ledger_range *r)
{
    struct ledger_range **path[HEIGHT_MAX], **link = &l->root;
    unsigned depth = 0;
    while (*link != r) {
        kassert(*link && depth < HEIGHT_MAX - 1); /* it must be in */
        path[depth++] = link;
        link = r->base.v < (*link)->base.v ? &(*link)->left : &(*link)->right;
    }
    if (r->left && r->right) { /* the next range in order takes its place */
        struct ledger_range **place = link, *next;
        unsigned place_depth = depth;
        path[depth++] = link;
        for (link = &r->right; (*link)->left; link = &(*link)->left) {
            kassert(depth < HEIGHT_MAX - 1);
            path[depth++] = link;
        }
        next = *link;
        *link = next->right;
        next->left = r->left;
        next->right = r->right;
        *place = next;
        if (depth > place_depth + 1)
            path[place_depth + 1] = &next->right; /* was &r->right */
    } else {
        *link = r->left ? r->left : r->right;
    }
    l->count--;
    r->left = r->right = NULL;
    r->height = 0;
    rebalance(path, depth);
}

struct ledger_range *ledger_find(const struct ledger *l, hpa_t a)
{
    struct ledger_range *n = l->root;
    while (n && a.v - n->base.v >= n->size)
        n = a.v < n->base.v ? n->left : n->right;
    return n;
}

struct ledger_range *ledger_next(const struct ledger *l, hpa_t a)
{
    struct ledger_range *best = NULL;
    for (struct ledger_range *n = l->root; n; n = n->base.v >= a.v ? n->left : n->right) {
        if (n->base.v >= a.v)
            best = n;
    }
    return best;
}
