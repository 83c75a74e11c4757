// SPDX-License-Identifier: Apache-2.0
/* See ivshmem.h. */
#include "vmm/devices/ivshmem.h"

#include "lib/string.h"

#define VENDOR    0x1af4u
#define DEVICE    0x1110u
#define CLASS     0x050000u /* RAM */
#define REVISION  1u
#define SUBSYSTEM 0x1100u
enum { BAR_REGISTERS = 0, BAR_MSIX = 1, BAR_MEMORY = 2 };
#define CONFIG_COMMAND 0x04u
#define COMMAND_MEMORY 0x02u
#define STATUS_RUNG    1u

static void rung(struct ivshmem *s, unsigned vector)
{
    if (vector >= VMM_REGION_VECTORS)
        return;
    if (s->stopped)
        s->waiting |= 1u << vector;
    else if (msix_on(&s->msix))
        msix_raise(&s->msix, vector);
    else
        s->status |= STATUS_RUNG;
}

void ivshmem_rung(struct ivshmem *s, unsigned vector)
{
    device_take(&s->lock);
    rung(s, vector);
    device_release(&s->lock);
}

void ivshmem_quiet(struct ivshmem *s)
{
    device_take(&s->lock);
    s->stopped = true;
    device_release(&s->lock);
}

void ivshmem_resume(struct ivshmem *s)
{
    device_take(&s->lock);
    uint32_t waiting = s->waiting;
    s->stopped = false;
    s->waiting = 0;
    for (unsigned vector = 0; vector < VMM_REGION_VECTORS; vector++)
        if (waiting >> vector & 1)
            rung(s, vector);
    device_release(&s->lock);
}

/* In a handler. Which peer is rung follows from the region alone, which does not change. */
static void doorbell(struct ivshmem *s, uint32_t value)
{
    const struct vmm_region *r = s->region;
    uint32_t peer = value >> 16, vector = value & 0xffff;
    if (peer >= r->peer_count || peer >= VMM_PEERS_MAX || vector >= VMM_REGION_VECTORS)
        return;
    device_leave_vm(&s->lock);
    if (peer == r->number)
        ivshmem_rung(s, vector);
    else if (r->peer[peer].slot != 0)
        s->hooks->ring(s->context, &r->peer[peer], vector);
    device_enter_vm(&s->lock);
}

/* 32-bit registers; accesses of another kind read as zero and do nothing. */
static void register_access(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    struct ivshmem *s = device;
    uint32_t v = (uint32_t)*value;
    if (!is_write)
        *value = 0;
    if (size != 4)
        return;
    if (offset == IVSHMEM_DOORBELL && is_write)
        doorbell(s, v);
    device_take(&s->lock);
    switch (offset) {
    case IVSHMEM_MASK:
        if (is_write)
            s->mask = v;
        else
            *value = s->mask;
        break;
    case IVSHMEM_STATUS:
        if (is_write) {
            s->status = v;
        } else {
            *value = s->status;
            s->status = 0;
        }
        break;
    case IVSHMEM_NUMBER:
        if (!is_write)
            *value = s->region->number;
        break;
    default: break;
    }
    device_release(&s->lock);
}

/* One access, not several: peers look at the same memory. */
static uint64_t get(const uint8_t *at, unsigned size)
{
    uint64_t v = 0;
    if (((uintptr_t)at & (size - 1)) != 0)
        memcpy(&v, at, size);
    else if (size == 1)
        v = *(const volatile uint8_t *)at;
    else if (size == 2)
        v = *(const volatile uint16_t *)(const void *)at;
    else if (size == 4)
        v = *(const volatile uint32_t *)(const void *)at;
    else
        v = *(const volatile uint64_t *)(const void *)at;
    return v;
}

static void set(uint8_t *at, unsigned size, uint64_t v)
{
    if (((uintptr_t)at & (size - 1)) != 0)
        memcpy(at, &v, size);
    else if (size == 1)
        *(volatile uint8_t *)at = (uint8_t)v;
    else if (size == 2)
        *(volatile uint16_t *)(void *)at = (uint16_t)v;
    else if (size == 4)
        *(volatile uint32_t *)(void *)at = (uint32_t)v;
    else
        *(volatile uint64_t *)(void *)at = v;
}

/* What comes here although the memory is mapped: a write to what may only be read; or the BAR has moved meanwhile. */
static void memory_access(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    struct ivshmem *s = device;
    if (size > s->region->size || offset > s->region->size - size)
        return;
    if (!is_write) {
        *value = get(s->memory + offset, size);
    } else if (s->region->writable) {
        set(s->memory + offset, size, *value);
    } else if (!s->told) {
        s->told = true;
        s->hooks->wrote(s->context, s, offset);
    }
}

static enum error appear(void *device, uint64_t base)
{
    struct ivshmem *s = device;
    return s->hooks->map(s->context, s, base);
}

static void disappear(void *device, uint64_t base)
{
    struct ivshmem *s = device;
    s->hooks->unmap(s->context, s, base);
}

static void config_written(void *context, unsigned offset, unsigned size)
{
    struct ivshmem *s = context;
    msix_config_written(&s->msix, offset, size);
}

bool ivshmem_at(const struct ivshmem *s, uint64_t gpa)
{
    const struct pci_bar *bar = &s->function.bar[BAR_MEMORY];
    return bar->mapped && gpa - bar->base < bar->size;
}

enum error ivshmem_init(struct ivshmem *s, struct pci *pci, unsigned index, const struct ivshmem_parts *parts)
{
    memset(s, 0, sizeof *s);
    s->region = parts->region;
    s->index = index;
    s->memory = parts->memory;
    s->hooks = parts->hooks;
    s->context = parts->context;
    struct pci_function *f = &s->function;
    pci_function_init(f, &(struct pci_identity){.vendor = VENDOR,
                                                .device = DEVICE,
                                                .class_code = CLASS,
                                                .revision = REVISION,
                                                .subsystem_vendor = VENDOR,
                                                .subsystem = SUBSYSTEM});
    f->written = config_written;
    f->context = s;
    enum error e = pci_bar_init(
        f, BAR_REGISTERS, PCI_ALLOCATE,
        &(struct pci_bar){
            .kind = PCI_BAR_MEM32, .size = IVSHMEM_REGISTERS_BYTES, .memory = register_access, .device = s});
    if (e == OK)
        e = msix_init(&s->msix, f, BAR_MSIX, VMM_REGION_VECTORS, parts->deliver, parts->context);
    if (e == OK)
        e = pci_bar_init(f, BAR_MEMORY, PCI_ALLOCATE,
                         &(struct pci_bar){.kind = PCI_BAR_MEM64,
                                           .prefetchable = true,
                                           .size = parts->region->size,
                                           .memory = memory_access,
                                           .device = s,
                                           .appear = appear,
                                           .disappear = disappear});
    if (e != OK)
        return e;
    f->config[CONFIG_COMMAND] |= COMMAND_MEMORY; /* as firmware leaves it: the region is there without a driver */
    uint8_t devfn;
    e = pci_place(PCI_KIND_SHARED, index, &devfn);
    return e == OK ? pci_add(pci, f, devfn, 0) : e;
}

void ivshmem_own_lock(struct ivshmem *s, const struct platform *platform)
{
    device_lock_init(&s->lock, platform);
    s->msix.lock = &s->lock;
}

void ivshmem_reset(struct ivshmem *s)
{
    msix_reset(&s->msix);
    s->mask = s->status = s->waiting = 0;
    s->told = false;
}

void ivshmem_fields(struct ivshmem *s, struct stream *stream)
{
    pci_function_fields(&s->function, stream);
    msix_fields(&s->msix, stream);
    STREAM_FIELD(stream, s->mask);
    STREAM_FIELD(stream, s->status);
    STREAM_FIELD(stream, s->waiting);
}

void ivshmem_loaded(struct ivshmem *s)
{
    pci_function_loaded(&s->function);
    msix_loaded(&s->msix);
}
