// SPDX-License-Identifier: Apache-2.0
/*
 * Finds what there is: the ledger's ranges in order; all domains, from root down; spaces and vCPUs through domains'
 * handles and threads. Every pointer is checked, every list has an end here.
 */
#include "services/audit/check_private.h"

#include "kernel/space.h"
#include "kernel/thread.h"
#include "lib/string.h"

#define DEPTH_MAX 64   /* of the ledger's tree, which is balanced */
#define LIST_MAX  4096 /* threads of a domain, children of a domain */

/* What stands behind a pointer of ring 0's. A bad one is told of. */
static const void *object(struct check *c, const volatile void *ring0, size_t size)
{
    const void *p = view_object(c->view, ring0, size);
    if (p == NULL)
        violation(c, (struct audit_violation){.kind = AUDIT_OBJECT, .where = (uint64_t)(uintptr_t)ring0, .size = size});
    return p;
}

static void take_range(struct check *c, const struct ledger_range *r)
{
    uint64_t base = LOOK(r->base.v), size = LOOK(r->size);
    uint64_t before = c->owned_count != 0 ? c->owned[c->owned_count - 1].end : 0;
    if (base < before || size == 0 || base + size <= base)
        violation(c,
                  (struct audit_violation){.kind = AUDIT_TWO_OWNERS, .who = LOOK(r->tag), .where = base, .size = size});
    else if (c->owned_count == OWNED_MAX)
        c->too_much = true;
    else
        c->owned[c->owned_count++] = (struct owned){base, base + size, LOOK(r->tag)};
}

static void collect_ledger(struct check *c)
{
    const struct ledger_range *up[DEPTH_MAX];
    unsigned depth = 0;
    const struct ledger_range *next = LOOK(c->view->shown->ledger.root);
    for (unsigned n = 0; n < 2 * OWNED_MAX && (next != NULL || depth != 0) && !c->too_much; n++) {
        while (next != NULL && depth < DEPTH_MAX) {
            const struct ledger_range *r = object(c, next, sizeof *r);
            if (r == NULL)
                return;
            up[depth++] = r;
            next = LOOK(r->child[0]);
        }
        if (depth == 0)
            return;
        const struct ledger_range *r = up[--depth];
        take_range(c, r);
        next = LOOK(r->child[1]);
    }
}

/* A child of root's is what root has made it as. */
static uint32_t who_is(const struct check *c, const struct domain *d, const struct found_domain *parent)
{
    if (parent->who != TAG_ROOT)
        return parent->who; /* what a monitor makes counts as itself */
    uint32_t owner = LOOK(d->owner);
    bool monitor = owner >= TAG_MONITOR(0) && owner < TAG_MONITOR(AUDIT_GUESTS_MAX);
    return monitor || service_of(c->boot, owner) != NULL ? owner : 0;
}

static void collect_domains(struct check *c)
{
    const struct domain *first = LOOK(c->view->shown->root);
    const struct domain *d = object(c, first, sizeof *d);
    if (d == NULL)
        return;
    c->domain[c->domain_count++] = (struct found_domain){first, d, TAG_ROOT, false};
    for (unsigned i = 0; i < c->domain_count; i++) {
        const struct domain *child = LOOK(c->domain[i].d->children);
        for (unsigned n = 0; child != NULL && n < LIST_MAX; n++) {
            if ((d = object(c, child, sizeof *d)) == NULL)
                break;
            if (c->domain_count == DOMAINS_MAX) {
                c->too_much = true;
                return;
            }
            bool dead = *(const volatile uint8_t *)&d->object.dead != 0; /* a byte: what stands there may be no bool */
            bool gone = dead && LOOK(d->threads) == NULL;
            c->domain[c->domain_count++] = (struct found_domain){child, d, who_is(c, d, &c->domain[i]), gone};
            child = LOOK(d->sibling);
        }
    }
}

/* What guest's space is it? Its payer's, which must be a monitor. */
static uint32_t guest_of(const struct check *c, const struct domain *payer)
{
    for (unsigned i = 0; i < c->domain_count; i++)
        if (c->domain[i].ring0 == payer)
            return c->domain[i].who >= TAG_MONITOR(0) && c->domain[i].who < TAG_MONITOR(AUDIT_GUESTS_MAX)
                       ? c->domain[i].who - TAG_MONITOR(0) + TAG_GUEST(0)
                       : 0;
    return 0;
}

static const struct found_space *take_space(struct check *c, const struct space *ring0)
{
    for (unsigned i = 0; i < c->space_count; i++)
        if (c->space[i].ring0 == ring0)
            return &c->space[i];
    const struct space *s = object(c, ring0, sizeof *s);
    if (s == NULL)
        return NULL;
    if (c->space_count == SPACES_MAX) {
        c->too_much = true;
        return NULL;
    }
    c->space[c->space_count] = (struct found_space){ring0, s, guest_of(c, LOOK(s->payer))};
    return &c->space[c->space_count++];
}

static uint64_t physical(const struct check *c, const volatile void *ring0)
{
    return (uint64_t)(uintptr_t)ring0 - c->view->pool_va + c->view->pool_hpa;
}

static void take_vcpu(struct check *c, const struct vcpu *ring0, const struct domain *domain)
{
    const struct vcpu *v = object(c, ring0, sizeof *v);
    const struct found_space *s = v != NULL ? take_space(c, LOOK(v->space)) : NULL;
    if (s == NULL)
        return;
    if (c->vcpu_count == VCPUS_MAX) {
        c->too_much = true;
        return;
    }
    c->vcpu[c->vcpu_count++] = (struct found_vcpu){v,
                                                   domain,
                                                   physical(c, LOOK(v->state)),
                                                   physical(c, LOOK(v->fpu_shown)),
                                                   physical(c, LOOK(s->s->tables.root)),
                                                   s->who};
}

static void collect_of(struct check *c, const struct found_domain *f)
{
    const struct thread *thread = LOOK(f->d->threads);
    for (unsigned n = 0; thread != NULL && n < LIST_MAX; n++) {
        const struct thread *t = object(c, thread, sizeof *t);
        if (t == NULL)
            break;
        if (LOOK(t->vcpu) != NULL)
            take_vcpu(c, LOOK(t->vcpu), f->ring0);
        thread = LOOK(t->next);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(f->d->handles); i++) {
        const handle_t *page = LOOK(f->d->handles[i]);
        if (page == NULL || (page = object(c, page, PAGE_SIZE)) == NULL)
            continue;
        for (unsigned k = 0; k < HANDLES_PER_PAGE; k++) {
            const struct object *o = handle_object(LOOK(page[k])),
                                *here = o != NULL ? view_object(c->view, o, sizeof *o) : NULL;
            if (here != NULL && LOOK(here->type) == OBJ_SPACE) /* ports, interrupts and the log are not in the pool */
                take_space(c, container_of(o, struct space, object));
        }
    }
}

void collect(struct check *c)
{
    c->owned_count = c->domain_count = c->space_count = c->vcpu_count = 0;
    collect_ledger(c);
    collect_domains(c);
    for (unsigned i = 0; i < c->domain_count; i++)
        collect_of(c, &c->domain[i]);
}
