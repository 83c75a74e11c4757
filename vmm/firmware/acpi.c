// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/firmware/acpi.h. Section numbers are those of ACPI 6.4.
 */
#include "vmm/firmware/acpi.h"
#include "lib/string.h"
#include "vmm/devices/layout.h"

#include "dsdt.h" /* made by the build */

#define TABLES_MAX 0x4000u /* of ACPI_AREA_SIZE */
#define AML_NAME   0x08u
#define AML_QWORD  0x0eu

/* Table header (5.2.6). */
struct header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));

/* Generic address (5.2.3.2). */
struct address {
    uint8_t space, bits, offset, access;
    uint64_t value;
} __attribute__((packed));
#define SPACE_PORT 1u

/* 5.2.5.3 */
struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == 36, "ABI");

/* 5.2.9 */
struct fadt {
    struct header h;
    uint32_t facs, dsdt;
    uint8_t reserved0, profile;
    uint16_t sci;
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
    uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length, gpe0_length, gpe1_length,
        gpe1_base, cst;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_flags;
    uint8_t reserved1;
    uint32_t flags;
    struct address reset;
    uint8_t reset_value;
    uint16_t arm_flags;
    uint8_t minor_revision;
    uint64_t x_facs, x_dsdt;
    struct address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control, x_pm_timer, x_gpe0,
        x_gpe1;
    struct address sleep_control, sleep_status;
    uint64_t hypervisor;
} __attribute__((packed));
_Static_assert(sizeof(struct fadt) == 276, "ABI");
#define FADT_WBINVD          (1u << 0)
#define FADT_PROC_C1         (1u << 2)
#define FADT_NO_POWER_BUTTON (1u << 4) /* not as fixed hardware */
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_NO_FIXED_RTC    (1u << 6)
#define FADT_TIMER_32        (1u << 8)
#define FADT_RESET           (1u << 10)
#define BOOT_LEGACY          (1u << 0)
#define BOOT_NO_VGA          (1u << 2)

/* 5.2.10 */
struct facs {
    char signature[4];
    uint32_t length, hardware, waking_vector, lock, flags;
    uint64_t x_waking_vector;
    uint8_t version, reserved[31];
} __attribute__((packed));
_Static_assert(sizeof(struct facs) == 64, "ABI");

/* Where the next table goes. */
struct writer {
    uint8_t *area;
    size_t size, used;
    uint64_t gpa;
};

static void *reserve(struct writer *w, size_t bytes, size_t align)
{
    size_t at = (w->used + align - 1) & ~(align - 1);
    if (at > w->size || bytes > w->size - at)
        return NULL;
    w->used = at + bytes;
    memset(w->area + at, 0, bytes);
    return w->area + at;
}

static uint64_t address_of(const struct writer *w, const void *table)
{
    return w->gpa + (uint64_t)((const uint8_t *)table - w->area);
}

static uint8_t checksum(const void *bytes, size_t count)
{
    const uint8_t *b = bytes;
    uint8_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum = (uint8_t)(sum + b[i]);
    return (uint8_t)(0 - sum);
}

static void finish(struct header *h, const char *signature, uint8_t revision, size_t length)
{
    memcpy(h->signature, signature, 4);
    h->length = (uint32_t)length;
    h->revision = revision;
    memcpy(h->oem_id, "MULLIO", 6);
    memcpy(h->oem_table_id, "MULLION ", 8);
    h->oem_revision = 1;
    memcpy(h->creator_id, "MULN", 4);
    h->creator_revision = 1;
    h->checksum = 0;
    h->checksum = checksum(h, length);
}

/* Sets the number that the table in ASL calls `name`: a Name of a QWord constant (20.2.5.1, 20.2.3). */
static bool set_number(uint8_t *aml, size_t size, const char *name, uint64_t value)
{
    for (size_t i = 0; i + 14 <= size; i++) {
        if (aml[i] != AML_NAME || memcmp(aml + i + 1, name, 4) != 0 || aml[i + 5] != AML_QWORD)
            continue;
        memcpy(aml + i + 6, &value, 8);
        return true;
    }
    return false;
}

/* vmm/firmware/dsdt.asl as the build has compiled it. */
static struct header *dsdt(struct writer *w, const struct acpi_machine *m)
{
    struct header *h = reserve(w, sizeof dsdt_aml, 16);
    uint8_t *aml = (uint8_t *)h;
    if (h == NULL)
        return NULL;
    memcpy(aml, dsdt_aml, sizeof dsdt_aml);
    if (!set_number(aml, sizeof dsdt_aml, "MULB", m->mmio64_base) ||
        !set_number(aml, sizeof dsdt_aml, "MULS", m->mmio64_size) ||
        !set_number(aml, sizeof dsdt_aml, "MULC", m->vcpus))
        return NULL;
    finish(h, "DSDT", 2, sizeof dsdt_aml); /* revision 2: 64-bit integers */
    return h;
}

static struct address port(uint16_t base, uint8_t bytes, uint8_t access)
{
    if (base == 0)
        return (struct address){0};
    return (struct address){.space = SPACE_PORT, .bits = (uint8_t)(bytes * 8), .access = access, .value = base};
}

static struct fadt *fadt(struct writer *w, const struct acpi_machine *m, const struct header *dsdt_table,
                         const struct facs *facs)
{
    struct fadt *f = reserve(w, sizeof(*f), 16);
    if (f == NULL)
        return NULL;
    f->x_dsdt = address_of(w, dsdt_table);
    f->dsdt = (uint32_t)f->x_dsdt;
    f->facs = (uint32_t)address_of(w, facs); /* only one of the two may be given (5.2.9, X_FIRMWARE_CTRL) */
    f->sci = m->sci_irq;
    f->pm1a_event = m->pm1a_event;
    f->pm1a_control = m->pm1a_control;
    f->pm_timer = m->pm_timer;
    f->gpe0 = m->gpe0;
    f->pm1_event_length = 4;
    f->pm1_control_length = 2;
    f->pm_timer_length = m->pm_timer != 0 ? 4 : 0;
    f->gpe0_length = m->gpe0 != 0 ? m->gpe0_bytes : 0;
    f->c2_latency = 101; /* above 100 and 1000: no C2, no C3 */
    f->c3_latency = 1001;
    f->century = m->rtc_century;
    f->boot_flags = BOOT_LEGACY | BOOT_NO_VGA;
    f->flags = FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_FIXED_RTC;
    if (!m->power_button)
        f->flags |= FADT_NO_POWER_BUTTON;
    if (m->pm_timer != 0)
        f->flags |= FADT_TIMER_32;
    if (m->reset_port != 0) {
        f->flags |= FADT_RESET;
        f->reset = port(m->reset_port, 1, 1);
        f->reset_value = m->reset_value;
    }
    f->minor_revision = 3;
    f->x_pm1a_event = port(m->pm1a_event, 4, 2);
    f->x_pm1a_control = port(m->pm1a_control, 2, 2);
    f->x_pm_timer = port(m->pm_timer, 4, 3);
    f->x_gpe0 = port(m->gpe0, m->gpe0_bytes, 1);
    finish(&f->h, "FACP", 6, sizeof(*f));
    return f;
}

static void madt_override(uint8_t *at, uint8_t source, uint32_t gsi, uint8_t flags)
{
    const uint8_t entry[10] = {2, 10, 0, source, (uint8_t)gsi, (uint8_t)(gsi >> 8), 0, 0, flags, 0};
    memcpy(at, entry, sizeof(entry));
}

/* 5.2.12. CPU numbers stay below 255, so the plain local APIC entry serves both faces of the APIC. */
static struct header *madt(struct writer *w, const struct acpi_machine *m)
{
    size_t length = sizeof(struct header) + 8 + 8 * (size_t)m->vcpus + 12 + 10 + 10 + 6;
    struct header *h = reserve(w, length, 16);
    if (h == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)(h + 1);
    const uint32_t flags = 1; /* the two 8259s are there too */
    memcpy(at, &m->lapic_base, 4);
    memcpy(at + 4, &flags, 4);
    at += 8;
    for (uint32_t i = 0; i < m->vcpus; i++, at += 8) {
        const uint8_t entry[8] = {0, 8, (uint8_t)i, (uint8_t)i, 1};
        memcpy(at, entry, sizeof(entry));
    }
    const uint8_t ioapic[4] = {1, 12, m->ioapic_id};
    memcpy(at, ioapic, sizeof(ioapic));
    memcpy(at + 4, &m->ioapic_base, 4); /* its first GSI is 0 */
    at += 12;
    madt_override(at, 0, 2, 0);
    madt_override(at + 10, m->sci_irq, m->sci_irq, 0x0d); /* level, active high */
    const uint8_t nmi[6] = {4, 6, 0xff, 0, 0, 1};         /* every CPU's LINT1 */
    memcpy(at + 20, nmi, sizeof(nmi));
    finish(h, "APIC", 5, length); /* as in ACPI 6.3, which FADT names */
    return h;
}

/* PCI Firmware 3.2, 4.1.2. */
static struct header *mcfg(struct writer *w, const struct acpi_machine *m)
{
    size_t length = sizeof(struct header) + 8 + 16;
    struct header *h = reserve(w, length, 16);
    if (h == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)(h + 1) + 8;
    memcpy(at, &m->ecam_base, 8);
    at[11] = m->ecam_bus_last;
    finish(h, "MCFG", 1, length);
    return h;
}

/* RSDT and XSDT: the same list with 4 and 8 bytes an entry. */
static struct header *list(struct writer *w, const char *signature, size_t entry, const void *const *tables,
                           size_t count)
{
    struct header *h = reserve(w, sizeof(*h) + entry * count, 16);
    if (h == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        uint64_t address = address_of(w, tables[i]);
        memcpy((uint8_t *)(h + 1) + entry * i, &address, entry);
    }
    finish(h, signature, 1, sizeof(*h) + entry * count);
    return h;
}

static bool describable(const struct acpi_machine *m, uint64_t gpa, size_t size)
{
    return m->vcpus >= 1 && m->vcpus <= VMM_VCPUS_MAX && m->ecam_base <= UINT32_MAX &&
           m->mmio64_base <= UINT64_MAX - m->mmio64_size && gpa % 64 == 0 && gpa <= UINT32_MAX &&
           size <= UINT32_MAX - gpa;
}

size_t acpi_write(uint8_t *area, size_t size, uint64_t gpa, const struct acpi_machine *m, uint64_t *rsdp_address)
{
    if (!describable(m, gpa, size))
        return 0;
    struct writer w = {.area = area, .size = size, .gpa = gpa};
    struct rsdp *rsdp = reserve(&w, sizeof(*rsdp), 16);
    struct facs *facs = rsdp != NULL ? reserve(&w, sizeof(*facs), 64) : NULL;
    if (facs == NULL)
        return 0;
    memcpy(facs->signature, "FACS", 4);
    facs->length = sizeof(*facs);
    facs->version = 2;
    struct header *dsdt_table = dsdt(&w, m);
    struct fadt *fadt_table = dsdt_table != NULL ? fadt(&w, m, dsdt_table, facs) : NULL;
    struct header *madt_table = fadt_table != NULL ? madt(&w, m) : NULL;
    struct header *mcfg_table = madt_table != NULL && m->ecam_base != 0 ? mcfg(&w, m) : NULL;
    if (madt_table == NULL || (m->ecam_base != 0 && mcfg_table == NULL))
        return 0;
    const void *tables[] = {fadt_table, madt_table, mcfg_table};
    size_t count = mcfg_table != NULL ? 3 : 2;
    struct header *rsdt = list(&w, "RSDT", 4, tables, count);
    struct header *xsdt = rsdt != NULL ? list(&w, "XSDT", 8, tables, count) : NULL;
    if (xsdt == NULL)
        return 0;
    memcpy(rsdp->signature, "RSD PTR ", 8);
    memcpy(rsdp->oem_id, "MULLIO", 6);
    rsdp->revision = 2;
    rsdp->rsdt = (uint32_t)address_of(&w, rsdt);
    rsdp->length = sizeof(*rsdp);
    rsdp->xsdt = address_of(&w, xsdt);
    rsdp->checksum = checksum(rsdp, 20);
    rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
    *rsdp_address = address_of(&w, rsdp);
    return w.used;
}

enum error acpi_install(const struct guest_memory *m, const struct acpi_machine *machine, uint64_t *rsdp)
{
    static uint8_t area[TABLES_MAX]; /* one machine is made at a time */
    size_t used = acpi_write(area, sizeof area, ACPI_AREA, machine, rsdp);
    return used == 0 ? E_QUOTA : guest_write(m, ACPI_AREA, area, used);
}

void acpi_standard(struct acpi_machine *m, uint32_t vcpus)
{
    *m = (struct acpi_machine){
        .vcpus = vcpus,
        .lapic_base = LAYOUT_LAPIC_BASE,
        .ioapic_base = LAYOUT_IOAPIC_BASE,
        .ioapic_id = LAYOUT_IOAPIC_ID,
        .sci_irq = LAYOUT_IRQ_SCI,
        .pm1a_event = LAYOUT_PM1A_EVT,
        .pm1a_control = LAYOUT_PM1A_CNT,
        .pm_timer = LAYOUT_PM_TMR,
        .gpe0 = LAYOUT_GPE0,
        .gpe0_bytes = LAYOUT_GPE0_BYTES,
        .reset_port = LAYOUT_RESET_PORT,
        .reset_value = LAYOUT_RESET_VALUE,
        .rtc_century = 0x32,
        .ecam_base = LAYOUT_ECAM_BASE,
        .ecam_bus_last = (uint8_t)((LAYOUT_ECAM_BYTES >> 20) - 1),
        .power_button = 1,
    };
}
