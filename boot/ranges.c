// SPDX-License-Identifier: Apache-2.0
#include "boot/ranges.h"

static void close_gap(struct boot_range *list, unsigned *count, unsigned at)
{
    for (unsigned i = at + 1; i < *count; i++)
        list[i - 1] = list[i];
    --*count;
}

enum error ranges_remove(struct boot_range *list, unsigned *count, unsigned max, struct boot_range gone)
{
    uint64_t from = gone.base, to = gone.base + gone.size;
    for (unsigned i = 0; i < *count;) {
        uint64_t start = list[i].base, end = start + list[i].size;
        if (to <= start || from >= end) {
            i++;
        } else if (from <= start && to >= end) {
            close_gap(list, count, i);
        } else if (from <= start) {
            list[i++] = (struct boot_range){to, end - to};
        } else if (to >= end) {
            list[i++].size = from - start;
        } else {
            list[i].size = from - start;
            if (*count == max)
                return E_QUOTA;
            for (unsigned j = (*count)++; j > i + 1; j--)
                list[j] = list[j - 1];
            list[i + 1] = (struct boot_range){to, end - to};
            return OK;
        }
    }
    return OK;
}

enum error ranges_add(struct boot_range *list, unsigned *count, unsigned max, struct boot_range more)
{
    uint64_t from = more.base, to = more.base + more.size;
    unsigned touching = 0;
    for (unsigned i = 0; i < *count; i++)
        touching += from <= list[i].base + list[i].size && to >= list[i].base;
    if (touching == 0 && *count == max)
        return E_QUOTA;
    for (unsigned i = 0; i < *count;) {
        uint64_t start = list[i].base, end = start + list[i].size;
        if (from <= end && to >= start) {
            from = start < from ? start : from;
            to = end > to ? end : to;
            close_gap(list, count, i);
        } else {
            i++;
        }
    }
    unsigned at = 0;
    while (at < *count && list[at].base < from)
        at++;
    for (unsigned j = (*count)++; j > at; j--)
        list[j] = list[j - 1];
    list[at] = (struct boot_range){from, to - from};
    return OK;
}
