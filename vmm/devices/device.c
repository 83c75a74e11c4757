// SPDX-License-Identifier: Apache-2.0
/* The devices of a machine, all alike; see device.h. */
#include "vmm/devices/device.h"

#include "lib/string.h"

static enum error place_one(struct device_set *set, const struct device *d, unsigned number)
{
    size_t bytes = (d->bytes + 63) & ~(size_t)63;
    if (set->count == DEVICES_MAX || bytes > DEVICE_LARGEST || bytes > sizeof set->state - set->used)
        return E_QUOTA;
    struct device_at at = {d, set->state + set->used, number};
    if (d->next_event != NULL && set->timers == DEVICE_TIMERS_MAX)
        return E_QUOTA;
    if (d->next_event != NULL)
        set->timer[set->timers++] = at;
    if (d->wakes != 0)
        set->waker[set->wakers++] = at;
    if (d->completed != NULL)
        set->completer[set->completers++] = at;
    set->at[set->count++] = at;
    set->wakes[d->own_lock] |= d->wakes;
    set->used += bytes;
    return OK;
}

enum error device_set_place(struct device_set *set, const struct device *const *table, uint32_t count,
                            const struct vmm_boot *boot, const char **failed)
{
    for (uint32_t i = 0; i < count; i++) {
        unsigned instances = table[i]->count != NULL ? table[i]->count(boot) : 1;
        for (unsigned n = 0; n < instances; n++) {
            enum error error = place_one(set, table[i], n);
            *failed = table[i]->name;
            if (error != OK)
                return error;
        }
    }
    return OK;
}

enum error device_set_init(struct device_set *set, const struct platform *platform, const char **failed)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct device_at *at = &set->at[i];
        enum error error = at->device->init(at->state, platform, at->number);
        *failed = at->device->name;
        if (error != OK)
            return error;
    }
    return OK;
}

void *device_set_find(struct device_set *set, const struct device *device, unsigned number)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->at[i].device == device && set->at[i].number == number)
            return set->at[i].state;
    return NULL;
}

uint64_t device_set_next_event(const struct device_set *set)
{
    uint64_t next = CLOCK_NEVER;
    for (uint32_t i = 0; i < set->timers; i++) {
        uint64_t own = set->timer[i].device->next_event(set->timer[i].state);
        next = own < next ? own : next;
    }
    return next;
}

void device_set_advance(struct device_set *set)
{
    for (uint32_t i = 0; i < set->timers; i++)
        set->timer[i].device->advance(set->timer[i].state);
}

void device_set_polled(struct device_set *set, uint64_t bits, bool own_lock)
{
    for (uint32_t i = 0; i < set->wakers; i++) {
        const struct device *d = set->waker[i].device;
        if ((d->wakes & bits) && d->own_lock == own_lock)
            d->polled(set->waker[i].state, bits);
    }
}

uint64_t device_set_completion(const struct device_set *set, const struct device *device, unsigned number)
{
    for (uint32_t i = 0; i < set->completers; i++)
        if (set->completer[i].device == device && set->completer[i].number == number)
            return 1ull << i;
    return 0;
}

void device_set_completed(struct device_set *set, unsigned vcpu, uint64_t bits)
{
    for (uint32_t i = 0; i < set->completers; i++)
        if (bits >> i & 1)
            set->completer[i].device->completed(set->completer[i].state, vcpu);
}

void device_set_reset(struct device_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->at[i].device->reset != NULL)
            set->at[i].device->reset(set->at[i].state);
}

bool device_set_quiet(struct device_set *set)
{
    bool all = true;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->at[i].device->quiet != NULL && !set->at[i].device->quiet(set->at[i].state))
            all = false;
    return all;
}

void device_set_resume(struct device_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->at[i].device->resume != NULL)
            set->at[i].device->resume(set->at[i].state);
}

void device_set_save(struct device_set *set, struct stream *s)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct device_at *at = &set->at[i];
        stream_begin(s, at->device->name, (uint16_t)at->number, at->device->version);
        if (at->device->fields != NULL)
            at->device->fields(at->state, s);
        stream_end(s);
    }
}

static const struct device_at *named(const struct device_set *set, const struct stream_section *section)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (strcmp(set->at[i].device->name, section->name) == 0 && set->at[i].number == section->number)
            return &set->at[i];
    return NULL;
}

enum error device_set_load(struct device_set *set, struct stream *s, const struct stream_section *section, bool commit)
{
    const struct device_at *at = named(set, section);
    if (at == NULL || at->device->version != section->version)
        return E_UNSUPPORTED;
    const struct device *d = at->device;
    memcpy(set->copy, at->state, d->bytes);
    if (d->fields != NULL)
        d->fields(set->copy, s);
    if (!stream_read_whole(s) || (d->valid != NULL && !d->valid(set->copy)))
        return E_ARG;
    if (!commit)
        return OK;
    memcpy(at->state, set->copy, d->bytes);
    if (d->loaded != NULL)
        d->loaded(at->state);
    return OK;
}
