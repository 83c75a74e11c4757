// SPDX-License-Identifier: Apache-2.0
#include "kernel/hardware.h"

#include "kernel/domain.h"
#include "kernel/log.h"
#include "mm/hostmap.h"
#include "mullion/boot.h"

#define KEPT_MAX (BOOT_RAM_MAX + 16)

struct object hardware_object = {.type = OBJ_HARDWARE, .references = 1};

static struct boot_range kept[KEPT_MAX];
static unsigned kept_count;

/* Both 8259s: they give the CPU any vector that they are told. */
static struct ports pic2 = {.first = 0xa0, .last = 0xa1}, pic1 = {.first = 0x20, .last = 0x21, .next = &pic2};
struct ports *ports_list = &pic1;

void hardware_keep(uint64_t base, uint64_t size)
{
    enum error e = ranges_add(kept, &kept_count, KEPT_MAX, (struct boot_range){base, size});
    if (e != OK)
        panic("the firmware's memory map is in too many pieces (error %u)", e);
}

enum error hardware_is_device(uint64_t base, uint64_t size)
{
    if (size == 0 || base + size < base || !hostmap_reaches(base + size - 1))
        return E_ARG;
    for (unsigned i = 0; i < kept_count; i++)
        if (base < kept[i].base + kept[i].size && kept[i].base < base + size)
            return E_RIGHTS;
    return OK;
}

struct ports *ports_new(struct domain *payer, uint64_t first, uint64_t last, enum error *e)
{
    *e = E_ARG;
    if (last < first || last > 0xffff)
        return NULL;
    *e = E_OVERLAP;
    for (struct ports *p = ports_list; p; p = p->next)
        if (first <= p->last && p->first <= last)
            return NULL;
    *e = E_QUOTA;
    struct ports *p = object_new(payer, sizeof *p);
    if (!p)
        return NULL;
    object_init(&p->object, OBJ_PORTS);
    p->payer = payer;
    p->first = (uint16_t)first;
    p->last = (uint16_t)last;
    p->next = ports_list;
    ports_list = p;
    *e = OK;
    return p;
}

void ports_free(struct ports *p)
{
    struct ports **at = &ports_list;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    object_free(p->payer, p, sizeof *p);
}
