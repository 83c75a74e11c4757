// SPDX-License-Identifier: Apache-2.0
/* See driver.h. Root never believes what a driver writes: it copies, then looks. */
#include "services/root/driver.h"

#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/hardware.h"

typedef unsigned long long ull;

#define LINES_MAX 8

const struct service_grant driver_grants[DRIVER_GRANTS] = {
    {ROOT_SLOT_LOG, RIGHT_SIGNAL, DRIVER_SLOT_LOG, NULL, NULL},
    {SERVICE_EVENT, RIGHT_WAIT | RIGHT_SIGNAL, DRIVER_SLOT_EVENT, NULL, NULL},
    {SERVICE_ROOT_EVENT, RIGHT_SIGNAL, DRIVER_SLOT_ROOT_EVENT, NULL, NULL},
};
const struct service_mapping driver_mappings[DRIVER_MAPPINGS] = {
    {DRIVER_BOOT_VA, SERVICE_SHARED, RIGHT_READ, 0, PAGE_SIZE},
    {DRIVER_CONTROL_VA, SERVICE_SHARED, RIGHT_READ | RIGHT_WRITE, PAGE_SIZE, PAGE_SIZE},
};

static struct driver *first;

/* The interrupt lines that drivers use. */
static struct line {
    uint32_t gsi;
    uint64_t irq;   /* handle */
    uint64_t until; /* TSC by which all must have answered; 0: nothing is asked */
} lines[LINES_MAX];
static unsigned line_count;

static struct driver_boot *boot_of(const struct driver *d)
{
    return (struct driver_boot *)(void *)d->service.page;
}
static struct driver_control *control_of(const struct driver *d)
{
    return (struct driver_control *)(void *)(d->service.page + PAGE_SIZE);
}

static void close_handle(uint64_t *handle)
{
    if (*handle != 0)
        (void)sys_handle_close(*handle);
    *handle = 0;
}

/* Whole pages of a BAR that hold the MSI-X table: written there, it would raise any vector on any CPU. */
static void leave_table_out(const struct driver *d, unsigned n, struct driver_bar *b)
{
    const struct pci_function *f = d->function;
    if (f->msix == 0 || f->table_bar != n)
        return;
    uint64_t skew = b->base & PAGE_MASK;
    uint64_t from = page_down(skew + f->table_at), to = page_up(skew + f->table_at + f->table_bytes);
    uint64_t end = page_up(skew + b->size);
    if (from >= end)
        return; /* a table outside of its BAR is nowhere */
    to = min_u64(to, end);
    b->hole_at = (uint32_t)from;
    b->hole_bytes = (uint32_t)(to - from);
    if (from < skew + f->table_at || to > skew + f->table_at + f->table_bytes)
        root_log(LOG_WARN, "%s: registers on the pages of the MSI-X table (BAR %u, 0x%llx) are out of its reach",
                 d->row->service.title, n, (ull)from);
}

/* Another function's MSI-X table on the pages [from, end): small BARs may share a page. */
static bool foreign_table(const struct driver *d, uint64_t from, uint64_t end)
{
    for (unsigned i = 0; i < pci_count(); i++) {
        const struct pci_function *f = pci_function(i);
        if (f == d->function || f->msix == 0 || f->table_bar >= PCI_BARS || f->bar[f->table_bar].size == 0)
            continue;
        uint64_t table = f->bar[f->table_bar].base + f->table_at;
        if (table < end && table + f->table_bytes > from)
            return true;
    }
    return false;
}

static void claim_memory(struct driver *d, unsigned n, struct driver_bar *b)
{
    uint64_t from = page_down(b->base), end = page_up(b->base + b->size);
    if (foreign_table(d, from, end)) {
        root_log(LOG_WARN, "%s: BAR %u shares a page with another function's MSI-X table and is out of its reach",
                 d->row->service.title, n);
        return;
    }
    leave_table_out(d, n, b);
    uint64_t hole = from + b->hole_at, behind = hole + b->hole_bytes;
    if (b->hole_bytes == 0)
        hole = behind = end;
    if (hole > from)
        d->bar[n][0] = hardware_memory(from, hole - from, d->row->device_tag);
    if (behind < end)
        d->bar[n][1] = hardware_memory(behind, end - behind, d->row->device_tag);
}

static void claim(struct driver *d)
{
    for (unsigned n = 0; n < DRIVER_BARS; n++) {
        const struct pci_bar *p = &d->function->bar[n];
        struct driver_bar b = {.base = p->base, .size = p->size, .ports = p->ports};
        if (p->size != 0 && p->ports)
            d->bar[n][0] = hardware_ports((uint16_t)p->base, (uint16_t)(p->base + p->size - 1));
        else if (p->size != 0)
            claim_memory(d, n, &b);
    }
    d->message = d->function->msi != 0 ? hardware_message(d->service.cpu) : 0;
}

bool driver_add(struct driver *d, const struct driver_row *row)
{
    d->row = row;
    d->function = pci_find(row->vendor, row->device, 0);
    if (d->function == NULL)
        return false;
    d->function->owner = row->service.title;
    d->dma_hpa = row->dma_bytes != 0 ? ram_place_private(row->dma_bytes) : 0;
    struct driver **at = &first;
    while (*at != NULL)
        at = &(*at)->next;
    *at = d;
    service_add(&d->service, &row->service);
    claim(d); /* its message goes to the CPU that it has been given */
    return true;
}

void driver_fill(struct service *s)
{
    struct driver *d = (struct driver *)(void *)s;
    struct driver_boot *b = boot_of(d);
    *b = (struct driver_boot){.magic = DRIVER_BOOT_MAGIC,
                              .tsc_khz = ROOT_BOOT->tsc_khz,
                              .root_bits = ROOT_EVENT_SERVICES,
                              .vendor = d->function->vendor,
                              .device = d->function->device,
                              .role = d->row->role,
                              .message = d->message != 0,
                              .line = d->function->pin != 0,
                              .dma_hpa = d->dma_hpa,
                              .dma_bytes = d->dma_hpa != 0 ? d->row->dma_bytes : 0};
    for (unsigned n = 0; n < DRIVER_BARS; n++) {
        const struct pci_bar *p = &d->function->bar[n];
        b->bar[n] = (struct driver_bar){.base = p->base, .size = p->size, .ports = p->ports};
        if (p->size != 0 && !p->ports)
            leave_table_out(d, n, &b->bar[n]);
        if (d->bar[n][0] == 0 && d->bar[n][1] == 0)
            b->bar[n].size = 0;
    }
    d->answered = d->line_asked = 0;
    d->line = 0;
    d->reset_until = 0;
}

static enum error map_bar(struct driver *d, unsigned n)
{
    const struct driver_bar *b = &boot_of(d)->bar[n];
    uint64_t rights = RIGHT_READ | RIGHT_WRITE, at = DRIVER_BAR_VA(n);
    rights |= d->function->bar[n].combining ? MAP_COMBINING : MAP_UNCACHED;
    uint64_t end = page_up((b->base & PAGE_MASK) + b->size), behind = b->hole_at + b->hole_bytes;
    uint64_t below = b->hole_bytes != 0 ? b->hole_at : end;
    service_step(&d->service, "its BAR %u cannot be mapped", n);
    enum error e = d->bar[n][0] != 0 ? service_map(&d->service, at, d->bar[n][0], 0, below, rights) : OK;
    if (e == OK && d->bar[n][1] != 0)
        e = service_map(&d->service, at + behind, d->bar[n][1], 0, end - behind, rights);
    return e;
}

static enum error give_memory(struct driver *d)
{
    service_step(&d->service, "its memory for DMA cannot be had");
    d->dma = ram_carve(d->dma_hpa, d->row->dma_bytes, d->row->service.tag);
    if (d->dma == 0)
        return E_QUOTA;
    return service_map(&d->service, DRIVER_DMA_VA, d->dma, 0, d->row->dma_bytes, RIGHT_READ | RIGHT_WRITE);
}

enum error driver_give(struct service *s)
{
    struct driver *d = (struct driver *)(void *)s;
    enum error e = d->dma_hpa != 0 ? give_memory(d) : OK;
    for (unsigned n = 0; n < DRIVER_BARS && e == OK; n++) {
        if (d->bar[n][0] == 0 && d->bar[n][1] == 0)
            continue;
        service_step(s, "its BAR %u cannot be given", n);
        e = d->function->bar[n].ports ? sys_ports_open(s->domain, d->bar[n][0]) : map_bar(d, n);
    }
    service_step(s, "its interrupt cannot be given");
    if (e == OK && d->message != 0)
        e = service_grant(s, d->message, RIGHT_SIGNAL, DRIVER_SLOT_MESSAGE);
    return e;
}

/* The domain is gone, but the device may be at work: it is stopped before its memory is used for anything else. */
void driver_died(struct service *s)
{
    struct driver *d = (struct driver *)(void *)s;
    pci_silence(d->function);
    if (pci_reset(d->function)) {
        root_rest(ticks_of_ms(PCI_RESET_MS));
        pci_restore(d->function);
    }
    d->line = 0;
    if (d->dma != 0)
        (void)sys_destroy(d->dma);
    close_handle(&d->dma);
}

/* The line of the function's pin: 1 + its index; 0: it cannot be had. Where firmware has routed it among the ISA
 * interrupts is all that is known without running ACPI's code. */
static unsigned line_of(const struct pci_function *f)
{
    if (f->pin == 0 || f->line >= ISA_LINES)
        return 0;
    uint32_t gsi = isa_lines[f->line].gsi, how = isa_lines[f->line].how;
    for (unsigned i = 0; i < line_count; i++)
        if (lines[i].gsi == gsi)
            return i + 1;
    if (how == 0) /* PCI's lines, unless firmware says otherwise of that interrupt */
        how = LINE_LEVEL | LINE_LOW;
    uint64_t irq = line_count < LINES_MAX ? hardware_line(gsi, how, 0) : 0;
    if (irq == 0 || sys_irq_bind(irq, root_event, ROOT_EVENT_LINE(line_count)) != OK)
        return 0;
    lines[line_count++] = (struct line){.gsi = gsi, .irq = irq};
    return line_count;
}

static void answer(struct driver *d, enum error result)
{
    struct driver_control *c = control_of(d);
    __atomic_store_n(&c->result, result, __ATOMIC_RELAXED);
    __atomic_store_n(&c->answered, ++d->answered, __ATOMIC_RELEASE);
    (void)sys_event_signal(d->service.event, DRIVER_EVENT_ANSWER);
}

static enum error use_line(struct driver *d)
{
    d->line = line_of(d->function);
    if (d->line == 0)
        return E_UNSUPPORTED;
    pci_use_line(d->function);
    return OK;
}

static enum error use_message(struct driver *d)
{
    if (d->message == 0)
        return E_UNSUPPORTED;
    struct syscall_result r = sys_query(d->message, QUERY_IRQ_MESSAGE, 0);
    if (r.error != OK)
        return r.error;
    d->line = 0;
    return pci_use_message(d->function, r.value) ? OK : E_UNSUPPORTED;
}

static void carry_out(struct driver *d)
{
    const struct driver_control *c = control_of(d);
    if (d->reset_until != 0 || __atomic_load_n(&c->asked, __ATOMIC_ACQUIRE) == d->answered)
        return;
    uint32_t request = __atomic_load_n(&c->request, __ATOMIC_RELAXED);
    uint32_t value = __atomic_load_n(&c->value, __ATOMIC_RELAXED);
    enum error e = OK;
    switch (request) {
    case DRIVER_MASTER: pci_master(d->function, value != 0); break;
    case DRIVER_USE_LINE: e = use_line(d); break;
    case DRIVER_USE_MESSAGE: e = use_message(d); break;
    case DRIVER_RESET:
        if (pci_reset(d->function)) {
            d->line = 0;
            d->reset_until = tsc_now() + ticks_of_ms(PCI_RESET_MS);
            return; /* answered when it is over */
        }
        e = E_UNSUPPORTED;
        break;
    default: e = E_ARG; break;
    }
    answer(d, e);
}

static void end_reset(struct driver *d)
{
    if (d->reset_until == 0 || tsc_now() < d->reset_until)
        return;
    pci_restore(d->function);
    d->reset_until = 0;
    answer(d, OK);
}

static bool owes_answer(const struct driver *d, unsigned line)
{
    return d->service.alive && d->line == line + 1 &&
           __atomic_load_n(&control_of(d)->line_answered, __ATOMIC_ACQUIRE) != d->line_asked;
}

static void tell_users(unsigned line)
{
    for (struct driver *d = first; d != NULL; d = d->next)
        if (d->service.alive && d->line == line + 1) {
            __atomic_store_n(&control_of(d)->line_asked, ++d->line_asked, __ATOMIC_RELEASE);
            (void)sys_event_signal(d->service.event, DRIVER_EVENT_LINE);
        }
    lines[line].until = tsc_now() + ticks_of_ms(DRIVER_LINE_MS);
}

/* Unmasks the line when all have answered, or when those that have not are gone. */
static void line_work(unsigned line)
{
    struct line *l = &lines[line];
    bool late = tsc_now() >= l->until, owed = false;
    for (struct driver *d = first; d != NULL; d = d->next) {
        if (!owes_answer(d, line))
            continue;
        if (late)
            service_failed(&d->service, "has not answered its interrupt; its device is silenced");
        else
            owed = true;
    }
    if (owed)
        return;
    l->until = 0;
    (void)sys_irq_ack(l->irq);
}

uint64_t drivers_work(uint64_t bits)
{
    uint64_t again = NEVER;
    for (unsigned i = 0; i < line_count; i++) {
        if ((bits & ROOT_EVENT_LINE(i)) != 0 && lines[i].until == 0)
            tell_users(i);
        if (lines[i].until != 0)
            line_work(i);
        if (lines[i].until != 0)
            again = min_u64(again, lines[i].until);
    }
    for (struct driver *d = first; d != NULL; d = d->next) {
        if (!d->service.alive)
            continue;
        end_reset(d);
        carry_out(d);
        if (d->reset_until != 0)
            again = min_u64(again, d->reset_until);
    }
    return again;
}

void driver_report(const struct pci_function *f, struct device_record *out)
{
    const struct driver *d = first;
    while (d != NULL && d->function != f)
        d = d->next;
    if (d == NULL)
        return;
    out->driven = d->service.alive;
    if (d->line != 0) {
        out->interrupt = DEVICE_BY_LINE;
        out->number = lines[d->line - 1].gsi;
    } else if (d->message != 0 && pci_uses_message(f)) {
        out->interrupt = DEVICE_BY_MESSAGE;
        out->cpu = d->service.cpu;
        out->number = sys_query(d->message, QUERY_IRQ_MESSAGE, 0).value & 0xff;
    }
}
