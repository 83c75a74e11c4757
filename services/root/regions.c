// SPDX-License-Identifier: Apache-2.0
/*
 * See regions.h. A region that was carved and destroyed once is zero, whatever was there: the kernel zeroes memory that
 * had an owner (mullion/abi.h, memory_carve). It does so in bounded steps, so nothing waits for it.
 */
#include "services/root/regions.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/answers.h"

#define MOVE_PAGES 12 /* tables that a guest may leave behind when it moves a region about: three for each place */

#define NO_USER 0xffffu
_Static_assert(CONFIG_GUESTS_MAX < NO_USER && CONFIG_REGIONS_MAX <= AUDIT_REGIONS_MAX, "all have a number");
_Static_assert(VMM_PEERS_MAX <= AUDIT_USERS_MAX, "the checker knows all users");

/* A guest's number in a region is its place among the region's users. It keeps it as long as it is there. */
static struct {
    uint64_t hpa, memory;         /* handle; 0: none */
    uint16_t user[VMM_PEERS_MAX]; /* guests; NO_USER */
} place[CONFIG_REGIONS_MAX];

static uint64_t zeroed(uint64_t hpa, uint64_t size, uint32_t tag)
{
    uint64_t memory = ram_carve(hpa, size, tag);
    if (memory == 0)
        return 0;
    enum error e = sys_destroy(memory);
    (void)sys_handle_close(memory);
    if (e == OK)
        return ram_carve(hpa, size, tag);
    root_log(LOG_ERROR, "memory 0x%llx+0x%llx cannot be zeroed: %s", (unsigned long long)hpa, (unsigned long long)size,
             error_text(e));
    return 0;
}

void regions_init(void)
{
    for (unsigned r = 0; r < root_config.region_count; r++) {
        const struct config_region *c = &root_config.region[r];
        char size[24];
        memset(place[r].user, 0xff, sizeof place[r].user);
        place[r].hpa = ram_place_region(c->size);
        if (place[r].hpa != 0)
            place[r].memory = zeroed(place[r].hpa, c->size, TAG_SHARED_REGION(r));
        if (place[r].memory == 0)
            root_log(LOG_ERROR, "shared region %s: its memory (%s in one piece) finds no place", c->name,
                     config_size_text(size, sizeof size, c->size));
    }
}

/* Guest `n` for NO_USER: a free number. VMM_PEERS_MAX: it has none. */
static unsigned number_of(unsigned r, unsigned n)
{
    unsigned k = 0;
    while (k < VMM_PEERS_MAX && place[r].user[k] != n)
        k++;
    return k;
}

bool regions_join(unsigned n)
{
    const struct config_guest *c = guests[n].config;
    bool all = true;
    for (unsigned i = 0; i < c->region_count; i++) {
        unsigned r = c->region[i].region, k = number_of(r, NO_USER);
        if (k < VMM_PEERS_MAX)
            place[r].user[k] = (uint16_t)n;
        else
            root_log(LOG_ERROR, "guest %s: shared region %s has %u guests already", c->name, c->region[i].name, k);
        all = all && k < VMM_PEERS_MAX && place[r].memory != 0;
    }
    return all;
}

void regions_leave(unsigned n)
{
    for (unsigned r = 0; r < root_config.region_count; r++) {
        unsigned k = number_of(r, n);
        if (k < VMM_PEERS_MAX)
            place[r].user[k] = NO_USER;
    }
}

/* Which of guest n's regions is region r; region_count: none. */
static unsigned number_in(unsigned n, unsigned r)
{
    const struct config_guest *c = guests[n].config;
    unsigned i = 0;
    while (i < c->region_count && c->region[i].region != r)
        i++;
    return i;
}

void regions_describe(unsigned n, struct vmm_boot *b)
{
    const struct config_guest *c = guests[n].config;
    b->region_count = c->region_count;
    for (unsigned i = 0; i < c->region_count; i++) {
        struct vmm_region *to = &b->region[i];
        unsigned r = c->region[i].region;
        string_copy(to->name, c->region[i].name, sizeof to->name);
        to->size = c->region[i].size;
        to->writable = c->region[i].writable;
        to->number = number_of(r, n);
        for (unsigned k = 0; k < VMM_PEERS_MAX; k++) {
            unsigned other = place[r].user[k];
            if (other == NO_USER)
                continue;
            to->peer_count = k + 1;
            if (other != n && guests[other].event != 0)
                to->peer[k] = (struct vmm_peer){(uint16_t)VMM_SLOT_PEER_OF(i, k), (uint16_t)number_in(other, r)};
        }
    }
}

static uint64_t rights_of(const struct config_region_use *s)
{
    return RIGHT_READ | (s->writable ? RIGHT_WRITE : 0);
}

/* The events of all others in guest n's region i. */
static enum error give_peers(unsigned n, unsigned i)
{
    unsigned r = guests[n].config->region[i].region;
    enum error e = OK;
    for (unsigned k = 0; k < VMM_PEERS_MAX && e == OK; k++) {
        unsigned other = place[r].user[k];
        if (other != NO_USER && other != n && guests[other].event != 0)
            e = sys_handle_grant(guests[n].domain, guests[other].event, RIGHT_SIGNAL, VMM_SLOT_PEER_OF(i, k)).error;
    }
    return e;
}

enum error regions_give(unsigned n)
{
    const struct guest *g = &guests[n];
    const struct config_guest *c = g->config;
    enum error e = OK;
    for (unsigned i = 0; i < c->region_count && e == OK; i++) {
        const struct config_region_use *s = &c->region[i];
        uint64_t memory = place[s->region].memory;
        e = sys_handle_grant(g->domain, memory, rights_of(s), VMM_SLOT_REGION + i).error;
        if (e == OK)
            e = sys_map(g->domain, VMM_REGIONS_VA + i * VMM_REGION_STRIDE, memory, 0, s->size, rights_of(s));
    }
    for (unsigned i = 0; i < c->region_count && e == OK; i++)
        e = give_peers(n, i);
    return e;
}

uint64_t regions_table_pages(const struct config_guest *c)
{
    uint64_t pages = 0;
    for (unsigned i = 0; i < c->region_count; i++)
        pages += 2 * table_pages(0, place[c->region[i].region].hpa, c->region[i].size) + MOVE_PAGES;
    return pages;
}

void regions_for_audit(struct audit_boot *a)
{
    a->region_count = root_config.region_count;
    for (unsigned r = 0; r < root_config.region_count; r++) {
        a->region[r].user_count = 0;
        for (unsigned k = 0; k < VMM_PEERS_MAX; k++) {
            unsigned n = place[r].user[k];
            struct audit_region *to = &a->region[r];
            if (n == NO_USER)
                continue;
            to->user[to->user_count].guest = (uint16_t)n;
            to->user[to->user_count++].writable = guests[n].config->region[number_in(n, r)].writable;
        }
    }
}

/* at->inner 0: the region itself; 1 + n: guest n */
bool region_next(struct cursor *at, union record *out)
{
    for (; at->index < root_config.region_count; at->index++, at->inner = 0) {
        const struct config_region *c = &root_config.region[at->index];
        if (place[at->index].memory == 0)
            continue;
        if (at->inner == 0) {
            struct range_record *r = &out->range;
            record_begin(out, RECORD_RANGE);
            r->what = RANGE_REGION;
            r->base = place[at->index].hpa;
            r->bytes = c->size;
            string_copy(r->name, c->name, sizeof r->name);
            at->inner = 1;
            return true;
        }
        while (at->inner <= guests_end) {
            unsigned n = at->inner++ - 1;
            const struct config_guest *g = guests[n].config;
            unsigned i = g != NULL ? number_in(n, at->index) : 0;
            if (g == NULL || i == g->region_count)
                continue;
            record_begin(out, RECORD_ACCESS);
            out->access.writable = g->region[i].writable;
            string_copy(out->access.region, c->name, sizeof out->access.region);
            string_copy(out->access.guest, g->name, sizeof out->access.guest);
            return true;
        }
    }
    return false;
}
