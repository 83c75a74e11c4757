// SPDX-License-Identifier: Apache-2.0
/*
 * What may reach what. A frame is known by its owner in the ledger; a program by the number that root has given it; a
 * guest by the monitor that pays for its space. Memory that guests share has a tag of its own for each region,
 * and root has said which guests the configuration lets read and write it: no other guest or program may reach it.
 */
#include "services/audit/check_private.h"

#define RW (RIGHT_READ | RIGHT_WRITE)
#define RX (RIGHT_READ | RIGHT_EXEC)

static bool is_monitor(uint32_t tag)
{
    return tag >= TAG_MONITOR(0) && tag < TAG_MONITOR(AUDIT_GUESTS_MAX);
}
static bool is_shared(uint32_t tag)
{
    return tag >= TAG_SHARED(0) && tag - TAG_SHARED(0) < TAG_SHARED(0);
}
static bool is_guest(uint32_t tag)
{
    return tag >= TAG_GUEST(0) && tag < TAG_GUEST(AUDIT_GUESTS_MAX);
}

static bool is_region(uint32_t tag)
{
    return tag >= TAG_SHARED_REGION(0) && tag < TAG_SHARED_REGION(AUDIT_REGIONS_MAX);
}

static bool is_device(uint32_t tag)
{
    return tag == TAG_SCREEN || (tag >= TAG_DEVICE(0) && tag < TAG_SHARED(0));
}

/* Guest n, or its monitor: what the configuration says, and never executable. */
static uint32_t allowed_in_region(const struct audit_boot *boot, unsigned n, uint32_t region)
{
    if (region >= boot->region_count)
        return 0;
    const struct audit_region *r = &boot->region[region];
    for (unsigned i = 0; i < r->user_count && i < AUDIT_USERS_MAX; i++)
        if (r->user[i].guest == n)
            return r->user[i].writable ? RW : RIGHT_READ;
    return 0;
}

static uint32_t allowed_to_service(const struct audit_boot *boot, uint32_t who, uint32_t owner)
{
    const struct audit_service *s = service_of(boot, who);
    if (is_shared(owner) && is_monitor(owner - TAG_SHARED(0)))
        owner = AUDIT_CHANNELS;
    for (unsigned i = 0; s != NULL && i < AUDIT_REACH_MAX; i++)
        if (s->reach[i].owner == owner)
            return s->reach[i].rights;
    return 0;
}

/* With which rights may `who` reach memory whose owner is `owner`? 0: not at all. */
static uint32_t allowed(const struct audit_boot *boot, uint32_t who, uint32_t owner)
{
    if (who == 0)
        return 0;
    if (is_region(owner) && (is_guest(who) || is_monitor(who)))
        return allowed_in_region(boot, who - (is_guest(who) ? TAG_GUEST(0) : TAG_MONITOR(0)),
                                 owner - TAG_SHARED_REGION(0));
    if (is_guest(who))
        return owner == who ? RW | RX : 0; /* a guest: its own memory and nothing else */
    if (owner == TAG_MODULE)
        return RX; /* boot modules and programs' images: never written */
    if (owner == who || owner == TAG_SHARED(who))
        return RW;
    if (is_monitor(who)) /* RX: it may hand its guest's memory to a program of its own making; W and X at once is a
                            violation by itself */
        return owner == who - TAG_MONITOR(0) + TAG_GUEST(0) ? RW | RX : 0;
    if (who == TAG_ROOT && owner == TAG_LOG)
        return RIGHT_READ;
    if (who == TAG_ROOT)
        return is_shared(owner) ? RW : 0;
    return allowed_to_service(boot, who, owner);
}

static bool is_ram(const struct check *c, uint64_t hpa)
{
    for (uint32_t i = 0; i < c->boot->ram_count && i < BOOT_RAM_MAX; i++)
        if (hpa - c->boot->ram[i].base < c->boot->ram[i].size)
            return true;
    return false;
}

/* The first range that ends behind `hpa`: its index. */
static unsigned first_behind(const struct check *c, uint64_t hpa)
{
    unsigned low = 0, high = c->owned_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (c->owned[middle].end <= hpa)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A page that a vCPU shares with its monitor, in the program that has this vCPU. */
static bool is_state_page(const struct check *c, const struct walk_run *run)
{
    for (unsigned i = 0; i < c->vcpu_count; i++)
        if ((c->vcpu[i].state == run->frame || c->vcpu[i].fpu == run->frame) && c->vcpu[i].domain == c->walking)
            return run->size == PAGE_SIZE && (run->rights & RIGHT_EXEC) == 0;
    return false;
}

static void remember(struct check *c, uint64_t base, uint64_t end)
{
    if (c->reached_count == REACHED_MAX)
        c->too_much = true;
    else
        c->reached[c->reached_count++] = (struct reached){base, end, c->who};
}

void rule_reach(struct check *c, const struct walk_run *run)
{
    uint64_t end = run->frame + run->size, at = run->frame;
    bool pool = view_in_pool(c->view, run->frame);
    if (c->walking != NULL) {
        if ((run->rights & WALK_USER) == 0)
            violation(
                c, (struct audit_violation){
                       .kind = AUDIT_PRIVILEGE, .who = c->who, .where = run->frame, .size = run->size, .at = run->at});
        if ((run->rights & (RIGHT_WRITE | RIGHT_EXEC)) == (RIGHT_WRITE | RIGHT_EXEC))
            violation(c, (struct audit_violation){
                             .kind = AUDIT_WX, .who = c->who, .where = run->frame, .size = run->size, .at = run->at});
    }
    /* Where the pool's pages lie is chance, and no part of the state that is compared. */
    c->hash = mix(mix(mix(mix(c->hash, run->at), pool ? 0 : run->frame), run->size), run->rights);
    if (pool && c->walking != NULL && is_state_page(c, run))
        return;
    for (unsigned i = first_behind(c, at); at < end; i++) {
        const struct owned *o = i < c->owned_count && c->owned[i].base < end ? &c->owned[i] : NULL;
        uint64_t gap = o != NULL ? max_u64(o->base, at) : end, part = o != NULL ? min_u64(o->end, end) : end;
        /* What two guests reach is told of, but for regions: there each must have the right of its own. */
        if (c->walking == NULL && (gap > at || (part > gap && !is_region(o->tag))))
            remember(c, at, part > gap && is_region(o->tag) ? gap : part);
        if (gap > at)
            violation(c, (struct audit_violation){.kind = AUDIT_OWNER,
                                                  .who = c->who,
                                                  .other = is_ram(c, at) ? 0 : TAG_KERNEL,
                                                  .where = at,
                                                  .size = gap - at,
                                                  .at = run->at + (at - run->frame)});
        if (part > gap) {
            uint32_t may = allowed(c->boot, c->who, o->tag);
            if (may == 0 || (run->rights & (RW | RX) & ~may) != 0)
                violation(c, (struct audit_violation){.kind = may == 0 ? AUDIT_OWNER : AUDIT_RIGHTS,
                                                      .who = c->who,
                                                      .other = o->tag,
                                                      .where = gap,
                                                      .size = part - gap,
                                                      .at = run->at + (gap - run->frame)});
            if (is_device(o->tag) != ((run->rights & WALK_DEVICE) != 0))
                violation(c, (struct audit_violation){.kind = AUDIT_MEMORY_TYPE,
                                                      .who = c->who,
                                                      .other = o->tag,
                                                      .where = gap,
                                                      .size = part - gap,
                                                      .at = run->at + (gap - run->frame)});
        }
        at = part;
    }
}

void rule_device_memory(struct check *c)
{
    for (unsigned i = 0; i < c->owned_count; i++) {
        const struct owned *o = &c->owned[i];
        for (uint32_t k = 0; is_device(o->tag) && k < c->boot->ram_count && k < BOOT_RAM_MAX; k++) {
            uint64_t low = max_u64(o->base, c->boot->ram[k].base);
            uint64_t high = min_u64(o->end, c->boot->ram[k].base + c->boot->ram[k].size);
            if (low < high)
                violation(c, (struct audit_violation){
                                 .kind = AUDIT_DEVICE_RAM, .other = o->tag, .where = low, .size = high - low});
        }
    }
}

void rule_ring0(struct check *c, const struct walk_run *run)
{
    if (run->rights & WALK_USER)
        violation(
            c, (struct audit_violation){
                   .kind = AUDIT_PRIVILEGE, .who = TAG_KERNEL, .where = run->frame, .size = run->size, .at = run->at});
    if ((run->rights & (RIGHT_WRITE | RIGHT_EXEC)) == (RIGHT_WRITE | RIGHT_EXEC))
        violation(c, (struct audit_violation){
                         .kind = AUDIT_WX, .who = TAG_KERNEL, .where = run->frame, .size = run->size, .at = run->at});
    for (uint32_t i = 0; i < c->boot->ram_count && i < BOOT_RAM_MAX; i++) {
        uint64_t low = max_u64(run->frame, c->boot->ram[i].base);
        uint64_t high = min_u64(run->frame + run->size, c->boot->ram[i].base + c->boot->ram[i].size);
        if (low >= high)
            continue;
        unsigned k = first_behind(c, low);
        uint32_t owner = k < c->owned_count && c->owned[k].base <= low ? c->owned[k].tag : 0;
        violation(c, (struct audit_violation){.kind = AUDIT_RING0_REACHES,
                                              .who = TAG_KERNEL,
                                              .other = owner,
                                              .where = low,
                                              .size = high - low,
                                              .at = run->at + (low - run->frame)});
    }
}

/* By rising address; heap sort, for nothing here recurses or grows. */
static void sift(struct reached *r, unsigned i, unsigned count)
{
    for (unsigned child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && r[child + 1].base > r[child].base)
            child++;
        if (r[i].base >= r[child].base)
            return;
        struct reached swap = r[i];
        r[i] = r[child];
        r[child] = swap;
    }
}

static void sort(struct reached *r, unsigned count)
{
    for (unsigned i = count / 2; i-- > 0;)
        sift(r, i, count);
    for (unsigned n = count; n-- > 1;) {
        struct reached swap = r[0];
        r[0] = r[n];
        r[n] = swap;
        sift(r, 0, n);
    }
}

void rule_two_guests(struct check *c)
{
    struct reached *r = c->reached;
    sort(r, c->reached_count);
    for (unsigned i = 0, furthest = 0; i < c->reached_count; i++) {
        if (i != furthest && r[i].base < r[furthest].end && r[i].who != r[furthest].who)
            violation(c, (struct audit_violation){.kind = AUDIT_TWO_GUESTS,
                                                  .who = r[i].who,
                                                  .other = r[furthest].who,
                                                  .where = r[i].base,
                                                  .size = min_u64(r[i].end, r[furthest].end) - r[i].base});
        if (r[i].end > r[furthest].end)
            furthest = i;
    }
}
