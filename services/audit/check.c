// SPDX-License-Identifier: Apache-2.0
/*
 * See check.h. In order: what there is, every table, the rules that need them all together, and what it adds up to.
 */
#include "services/audit/check_private.h"

#include "kernel/space.h"
#include "lib/string.h"

void violation(struct check *c, struct audit_violation v)
{
    struct audit_answer *out = c->out;
    if (out->listed < AUDIT_VIOLATIONS_MAX)
        out->violation[out->listed++] = v;
    out->violation_count++;
}

static void found_reach(void *context, const struct walk_run *run)
{
    rule_reach(context, run);
}
static void found_ring0(void *context, const struct walk_run *run)
{
    rule_ring0(context, run);
}

static void strange(void *context, uint64_t table, uint64_t entry)
{
    struct check *c = context;
    violation(c, (struct audit_violation){
                     .kind = entry == 0 ? AUDIT_TABLE : AUDIT_ENTRY, .who = c->who, .where = table, .at = entry});
}

static uint64_t physical(const struct check *c, const volatile void *ring0)
{
    return (uint64_t)(uintptr_t)ring0 - c->view->pool_va + c->view->pool_hpa;
}

/* One table, into the digest too: their order is chance, so they are added. */
static void walk_of(struct check *c, uint32_t who, const struct domain *program, enum walk_format format,
                    const volatile void *root, unsigned end)
{
    c->who = who;
    c->walking = program;
    c->hash = mix(1, who);
    walk_table(&c->walk, format, physical(c, root), 0, end);
    c->out->digest += mix(c->hash, 0);
}

static void check_tables(struct check *c)
{
    const uint64_t *kernel = LOOK(c->view->shown->kernel_table);
    const uint64_t *kernel_top = view_object(c->view, kernel, PAGE_SIZE);
    c->walk.view = c->view;
    c->walk.context = c;
    c->walk.strange = strange;
    c->walk.found = found_ring0;
    walk_begin(&c->walk);
    c->who = TAG_KERNEL;
    c->walking = NULL;
    walk_table(&c->walk, WALK_HOST, physical(c, kernel), 0, 512);
    c->walk.found = found_reach;
    for (unsigned i = 0; i < c->domain_count; i++) {
        const struct found_domain *f = &c->domain[i];
        if (f->gone)
            continue;
        const uint64_t *root = LOOK(f->d->tables.root), *top = view_object(c->view, root, PAGE_SIZE);
        for (unsigned k = 256; top != NULL && kernel_top != NULL && k < 512; k++)
            if (LOOK(top[k]) != LOOK(kernel_top[k])) {
                violation(c, (struct audit_violation){
                                 .kind = AUDIT_HALF, .who = f->who, .where = physical(c, root), .at = k});
                break;
            }
        walk_of(c, f->who, f->ring0, WALK_HOST, root, 256);
    }
    for (unsigned i = 0; i < c->space_count; i++)
        walk_of(c, c->space[i].who, NULL, c->boot->amd ? WALK_NPT : WALK_EPT, LOOK(c->space[i].s->tables.root), 512);
}

static bool in_ram(const struct check *c, uint64_t hpa)
{
    for (uint32_t i = 0; i < c->boot->ram_count && i < BOOT_RAM_MAX; i++)
        if (hpa - c->boot->ram[i].base < c->boot->ram[i].size)
            return true;
    return false;
}

static void add_up(struct check *c)
{
    struct audit_answer *out = c->out;
    uint64_t ram = 0;
    for (uint32_t i = 0; i < c->boot->ram_count && i < BOOT_RAM_MAX; i++)
        ram += c->boot->ram[i].size;
    out->kernel_bytes = c->boot->ram_total - min_u64(ram, c->boot->ram_total);
    out->free_bytes = ram;
    for (unsigned i = 0; i < c->owned_count; i++) {
        const struct owned *o = &c->owned[i];
        uint64_t size = o->end - o->base;
        out->digest += mix(mix(mix(2, o->base), size), o->tag);
        if (!in_ram(c, o->base))
            continue; /* part of the kernel's image, or the pool: counted */
        out->free_bytes -= min_u64(size, out->free_bytes);
        if (o->tag >= TAG_GUEST(0) && o->tag < TAG_GUEST(AUDIT_GUESTS_MAX))
            out->guest_bytes[o->tag - TAG_GUEST(0)] += size;
        else if (o->tag >= TAG_MONITOR(0) && o->tag < TAG_MONITOR(AUDIT_GUESTS_MAX))
            out->monitor_bytes += size;
        else if (o->tag >= TAG_SHARED_REGION(0) && o->tag < TAG_SHARED_REGION(AUDIT_REGIONS_MAX))
            out->region_bytes[o->tag - TAG_SHARED_REGION(0)] += size;
        else if (o->tag >= TAG_SHARED(0))
            out->shared_bytes += size;
        else if (o->tag == TAG_ROOT)
            out->root_bytes += size;
        else if (o->tag == TAG_MODULE)
            out->module_bytes += size;
        else
            out->service_bytes += size;
    }
    out->tables = c->walk.tables;
    out->leaves = c->walk.leaves;
    out->ranges = c->owned_count;
    out->domains = c->domain_count;
    out->spaces = c->space_count;
    out->vcpus = c->vcpu_count;
}

void check(const struct view *view, const struct audit_boot *boot, struct audit_answer *out)
{
    static struct check c; /* large, and there is one at a time */
    memset(out, 0, sizeof *out);
    c.view = view;
    c.boot = boot;
    c.out = out;
    c.too_much = false;
    c.reached_count = 0;
    uint64_t generation = __atomic_load_n(&view->shown->generation, __ATOMIC_ACQUIRE);
    collect(&c);
    check_tables(&c);
    rule_two_guests(&c);
    rule_device_memory(&c);
    check_bitmaps(&c);
    add_up(&c);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    bool moved = (generation & 1) || __atomic_load_n(&view->shown->generation, __ATOMIC_ACQUIRE) != generation;
    if (moved)
        out->verdict = AUDIT_RESTLESS;
    else if (c.too_much)
        out->verdict = AUDIT_TOO_MUCH;
    else
        out->verdict = out->violation_count != 0 ? AUDIT_FAILED : AUDIT_PASSED;
}
