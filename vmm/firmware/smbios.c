// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/firmware/smbios.h. Section numbers are those of the specification. The structures are those that it requires
 * (6.2) of a machine without slots and caches that it could name.
 */
#include "vmm/firmware/smbios.h"
#include "lib/print.h"
#include "lib/string.h"
#include "vmm/devices/layout.h"

#define MIB (1024ull * 1024)

/* 5.2.1 */
struct entry_point {
    char anchor[4];
    uint8_t checksum, length, major, minor;
    uint16_t largest;
    uint8_t revision, formatted[5];
    char dmi[5];
    uint8_t dmi_checksum;
    uint16_t table_bytes;
    uint32_t table;
    uint16_t count;
    uint8_t bcd_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct entry_point) == 31, "ABI");
#define DMI_PART 16u /* where the part with the second checksum begins */

/* Every structure (6.1.2). Behind it its strings, each with its NUL, and one NUL more; a field holds a string's number,
 * 0: none. */
struct header {
    uint8_t type, length;
    uint16_t handle;
} __attribute__((packed));

struct bios_information { /* 7.1 */
    struct header h;
    uint8_t vendor, version;
    uint16_t segment;
    uint8_t date, rom_64k;
    uint64_t characteristics;
    uint8_t extension[2], major, minor, ec_major, ec_minor;
} __attribute__((packed));
_Static_assert(sizeof(struct bios_information) == 0x18, "ABI");
#define BIOS_UNSUPPORTED (1ull << 3) /* the characteristics are not told */
#define BIOS_EXT_ACPI    0x01u
#define BIOS_EXT2_VM     0x10u /* the table describes a virtual machine */

struct system_information { /* 7.2 */
    struct header h;
    uint8_t maker, product, version, serial, uuid[16], wake_up, sku, family;
} __attribute__((packed));
_Static_assert(sizeof(struct system_information) == 0x1b, "ABI");
#define WAKE_UP_POWER 6u

struct chassis { /* 7.4 */
    struct header h;
    uint8_t maker, type, version, serial, tag, boot_state, power_state, thermal_state, security;
    uint32_t oem;
    uint8_t height, cords, elements, element_bytes, sku;
} __attribute__((packed));
_Static_assert(sizeof(struct chassis) == 0x16, "ABI");
#define CHASSIS_OTHER 1u
#define STATE_SAFE    3u
#define SECURITY_NONE 3u

struct processor { /* 7.5 */
    struct header h;
    uint8_t socket, type, family, maker;
    uint32_t signature, features;
    uint8_t version, voltage;
    uint16_t clock, speed_most, speed_now;
    uint8_t status, upgrade;
    uint16_t cache[3];
    uint8_t serial, tag, part, cores, cores_enabled, threads;
    uint16_t characteristics, family2;
} __attribute__((packed));
_Static_assert(sizeof(struct processor) == 0x2a, "ABI");
#define PROCESSOR_CENTRAL 3u
#define FAMILY_OTHER      1u
#define STATUS_ENABLED    0x41u /* socket populated, enabled */
#define UPGRADE_NONE      6u
#define NO_CACHE          0xffffu
#define CHARACTER_64      (1u << 2)
#define CHARACTER_CORES   (1u << 3)

struct memory_array { /* 7.17 */
    struct header h;
    uint8_t location, use, correction;
    uint32_t most_kib;
    uint16_t error_handle, devices;
    uint64_t most_bytes;
} __attribute__((packed));
_Static_assert(sizeof(struct memory_array) == 0x17, "ABI");
#define LOCATION_BOARD  3u
#define USE_SYSTEM      3u
#define CORRECTION_NONE 3u
#define NO_ERROR_HANDLE 0xfffeu
#define SEE_EXTENDED    0x80000000u

struct memory_device { /* 7.18 */
    struct header h;
    uint16_t array, error_handle, total_width, data_width, mib;
    uint8_t form, set, locator, bank, type;
    uint16_t detail, speed;
    uint8_t maker, serial, tag, part, attributes;
    uint32_t mib_extended;
    uint16_t speed_now, volts_least, volts_most, volts_now;
} __attribute__((packed));
_Static_assert(sizeof(struct memory_device) == 0x28, "ABI");
#define WIDTH_UNKNOWN 0xffffu
#define MIB_EXTENDED  0x7fffu
#define FORM_OTHER    1u
#define TYPE_RAM      7u
#define DETAIL_OTHER  2u

struct memory_mapped { /* 7.20 */
    struct header h;
    uint32_t start_kib, end_kib;
    uint16_t array;
    uint8_t width;
    uint64_t start, end;
} __attribute__((packed));
_Static_assert(sizeof(struct memory_mapped) == 0x1f, "ABI");
#define KIB_EXTENDED 0xffffffffu

struct boot_information { /* 7.33 */
    struct header h;
    uint8_t reserved[6], status;
} __attribute__((packed));
#define BOOT_GOOD 0u

enum {
    TYPE_BIOS,
    TYPE_SYSTEM,
    TYPE_CHASSIS = 3,
    TYPE_PROCESSOR,
    TYPE_ARRAY = 16,
    TYPE_DEVICE,
    TYPE_MAPPED = 19,
    TYPE_BOOT = 32,
    TYPE_END = 127
};
#define HANDLE_ARRAY 0x1000u

struct writer {
    uint8_t bytes[SMBIOS_AREA_SIZE];
    uint32_t used, largest;
    uint16_t count;
    bool overflow;
};

/* A structure, whose header's type is set, and its strings: in the order of the fields' numbers, up to a NULL. */
static void add(struct writer *w, void *structure, uint8_t length, uint16_t handle, const char *const *strings)
{
    struct header *h = structure;
    uint32_t bytes = length + (strings[0] == NULL ? 2u : 1u);
    for (unsigned i = 0; strings[i] != NULL; i++)
        bytes += (uint32_t)strlen(strings[i]) + 1;
    if (bytes > sizeof w->bytes - w->used) {
        w->overflow = true;
        return;
    }
    h->length = length;
    h->handle = handle;
    uint8_t *at = w->bytes + w->used;
    memset(at, 0, bytes);
    memcpy(at, structure, length);
    at += length;
    for (unsigned i = 0; strings[i] != NULL; i++) {
        size_t n = strlen(strings[i]) + 1;
        memcpy(at, strings[i], n);
        at += n;
    }
    w->used += bytes;
    w->count++;
    if (bytes > w->largest)
        w->largest = bytes;
}

#define ADD(w, s, handle, ...) add(w, &(s), sizeof(s), handle, (const char *const[]){__VA_ARGS__})

static void add_machine(struct writer *w, const struct smbios_machine *machine)
{
    struct bios_information bios = {.h.type = TYPE_BIOS,
                                    .vendor = 1,
                                    .version = 2,
                                    .segment = 0xf000,
                                    .date = 3,
                                    .characteristics = BIOS_UNSUPPORTED,
                                    .extension = {BIOS_EXT_ACPI, BIOS_EXT2_VM},
                                    .ec_major = 0xff,
                                    .ec_minor = 0xff};
    ADD(w, bios, 0, "Mullion", "1", "01/01/2026", NULL);
    struct system_information system = {.h.type = TYPE_SYSTEM,
                                        .maker = 1,
                                        .product = 2,
                                        .version = 3,
                                        .serial = 4,
                                        .wake_up = WAKE_UP_POWER,
                                        .family = 5};
    /* From 2.6 on the first three fields of a UUID are little-endian (7.2.1). */
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (unsigned i = 0; i < 16; i++)
        system.uuid[i] = machine->uuid[order[i]];
    ADD(w, system, 0x100, "Mullion", "Mullion guest", "1", machine->name, "Virtual Machine", NULL);
    struct chassis chassis = {.h.type = TYPE_CHASSIS,
                              .maker = 1,
                              .type = CHASSIS_OTHER,
                              .serial = 2,
                              .boot_state = STATE_SAFE,
                              .power_state = STATE_SAFE,
                              .thermal_state = STATE_SAFE,
                              .security = SECURITY_NONE};
    ADD(w, chassis, 0x300, "Mullion", machine->name, NULL);
}

static uint16_t most16(uint32_t v)
{
    return v > UINT16_MAX ? UINT16_MAX : (uint16_t)v;
}

static void add_processor(struct writer *w, const struct smbios_machine *machine)
{
    struct processor p = {.h.type = TYPE_PROCESSOR,
                          .socket = 1,
                          .type = PROCESSOR_CENTRAL,
                          .family = FAMILY_OTHER,
                          .maker = 2,
                          .signature = machine->signature,
                          .features = machine->features,
                          .version = 3,
                          .speed_most = most16(machine->mhz),
                          .speed_now = most16(machine->mhz),
                          .status = STATUS_ENABLED,
                          .upgrade = UPGRADE_NONE,
                          .cache = {NO_CACHE, NO_CACHE, NO_CACHE},
                          .cores = (uint8_t)machine->vcpus,
                          .cores_enabled = (uint8_t)machine->vcpus,
                          .threads = (uint8_t)machine->vcpus,
                          .characteristics = CHARACTER_64 | (machine->vcpus > 1 ? CHARACTER_CORES : 0),
                          .family2 = FAMILY_OTHER};
    ADD(w, p, 0x400, "CPU 0", machine->cpu_vendor, "1", NULL);
}

static void add_memory(struct writer *w, const struct guest_memory *m)
{
    uint64_t total = guest_total(m);
    struct memory_array array = {.h.type = TYPE_ARRAY,
                                 .location = LOCATION_BOARD,
                                 .use = USE_SYSTEM,
                                 .correction = CORRECTION_NONE,
                                 .most_kib = total / 1024 < SEE_EXTENDED ? (uint32_t)(total / 1024) : SEE_EXTENDED,
                                 .error_handle = NO_ERROR_HANDLE,
                                 .devices = 1,
                                 .most_bytes = total};
    ADD(w, array, HANDLE_ARRAY, NULL);
    struct memory_device device = {.h.type = TYPE_DEVICE,
                                   .array = HANDLE_ARRAY,
                                   .error_handle = NO_ERROR_HANDLE,
                                   .total_width = WIDTH_UNKNOWN,
                                   .data_width = WIDTH_UNKNOWN,
                                   .mib = total / MIB < MIB_EXTENDED ? (uint16_t)(total / MIB) : MIB_EXTENDED,
                                   .form = FORM_OTHER,
                                   .locator = 1,
                                   .type = TYPE_RAM,
                                   .detail = DETAIL_OTHER,
                                   .mib_extended = total / MIB < MIB_EXTENDED ? 0 : (uint32_t)(total / MIB)};
    ADD(w, device, 0x1100, "RAM 0", NULL);
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t first = m->piece[i].gpa, last = first + m->piece[i].size - 1;
        bool wide = last / 1024 >= KIB_EXTENDED;
        struct memory_mapped mapped = {.h.type = TYPE_MAPPED,
                                       .start_kib = wide ? KIB_EXTENDED : (uint32_t)(first / 1024),
                                       .end_kib = wide ? KIB_EXTENDED : (uint32_t)(last / 1024),
                                       .array = HANDLE_ARRAY,
                                       .width = 1,
                                       .start = wide ? first : 0,
                                       .end = wide ? last : 0};
        ADD(w, mapped, (uint16_t)(0x1300 + i), NULL);
    }
}

static uint8_t checksum(const void *from, uint32_t count)
{
    const uint8_t *bytes = from;
    uint8_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)(0 - sum);
}

enum error smbios_install(const struct guest_memory *m, const struct smbios_machine *machine)
{
    static struct writer w; /* one machine is made at a time */
    struct entry_point p = {.anchor = "_SM_", .length = sizeof p, .major = 2, .minor = 8, .bcd_revision = 0x28};
    memset(&w, 0, sizeof w);
    w.used = 32; /* the entry point, in whole 16 bytes */
    add_machine(&w, machine);
    add_processor(&w, machine);
    add_memory(&w, m);
    struct boot_information boot = {.h.type = TYPE_BOOT, .status = BOOT_GOOD};
    ADD(&w, boot, 0x2000, NULL);
    struct header end = {.type = TYPE_END};
    ADD(&w, end, 0x7f00, NULL);
    if (w.overflow)
        return E_QUOTA;
    p.largest = (uint16_t)w.largest;
    memcpy(p.dmi, "_DMI_", sizeof p.dmi);
    p.table_bytes = (uint16_t)(w.used - 32);
    p.table = SMBIOS_AREA + 32;
    p.count = w.count;
    p.dmi_checksum = checksum((const uint8_t *)&p + DMI_PART, sizeof p - DMI_PART);
    p.checksum = checksum(&p, sizeof p);
    memcpy(w.bytes, &p, sizeof p);
    return guest_write(m, SMBIOS_AREA, w.bytes, w.used);
}

/* Two rounds of 64-bit FNV-1a (Fowler, Noll, Vo), the second begun by the first. It is no secret and need be none. */
void smbios_uuid_of(const char *name, uint8_t uuid[16])
{
    uint64_t hash = 0xcbf29ce484222325ull;
    for (unsigned half = 0; half < 2; half++) {
        for (const char *c = name; *c != 0; c++)
            hash = (hash ^ (uint8_t)*c) * 0x100000001b3ull;
        hash = (hash ^ half) * 0x100000001b3ull;
        memcpy(uuid + 8 * half, &hash, 8);
    }
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80); /* version 8 */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80); /* variant */
}
