// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/firmware/bios.h. Offsets and bits: IBM Personal System/2 and Personal Computer BIOS Interface Technical
 * Reference, section 3 (data areas); the reset entry is where the 8086 begins, and AT firmware has its own there.
 *
 * Kernels without a memory map trust the two words of base memory and EBDA. Where they are 0, a kernel that puts
 * something just below them puts it just below 4 GiB.
 */
#include "vmm/firmware/bios.h"
#include "vmm/devices/layout.h"

struct data_area {
    uint16_t com[4], lpt[3];
    uint16_t ebda_segment;
    uint16_t equipment;
    uint8_t test;
    uint16_t base_kib;
    uint8_t reserved[5];
    uint16_t key_head, key_tail; /* offsets in this area: the two are equal, no key waits */
    uint8_t keys[32];
    uint8_t others[0x42];
    uint16_t key_start, key_end;
    uint8_t rest[0x7c];
} __attribute__((packed));
_Static_assert(sizeof(struct data_area) == 0x100 && offsetof(struct data_area, ebda_segment) == 0x0e &&
                   offsetof(struct data_area, equipment) == 0x10 && offsetof(struct data_area, base_kib) == 0x13 &&
                   offsetof(struct data_area, key_head) == 0x1a && offsetof(struct data_area, key_start) == 0x80,
               "as every BIOS has it");
#define AREA_AT         0x400u
#define EQUIPMENT_FPU   (1u << 1)
#define EQUIPMENT_PORTS 9u /* how many serial ports, from this bit on. No display and no floppy: their bits are 0 */
#define KEYS_AT         0x1e

/* F000:FFF0, as an AT has it: a jump, the date, the model (AT). */
#define RESET_AT 0xffff0u
#define CODE_AT  0xfe05bu
static const uint8_t reset_entry[16] = {0xea, 0x5b, 0xe0, 0x00, 0xf0, '0', '1', '/', '0', '1', '/', '2', '6', 0, 0xfc};
/* A jump to the reset entry is a reset of the machine: cli; mov dx, LAYOUT_RESET_PORT; mov al, LAYOUT_RESET_VALUE; out
 * dx, al; hlt; jmp to the hlt. */
static const uint8_t reset_code[] = {
    0xfa, 0xba, LAYOUT_RESET_PORT & 0xff, LAYOUT_RESET_PORT >> 8, 0xb0, LAYOUT_RESET_VALUE, 0xee, 0xf4, 0xeb, 0xfd};

enum error bios_install(const struct guest_memory *m)
{
    static const struct data_area area = {
        .com = {LAYOUT_PORT_COM1},
        .ebda_segment = GUEST_HOLE_START >> 4,
        .equipment = EQUIPMENT_FPU | 1u << EQUIPMENT_PORTS,
        .base_kib = GUEST_HOLE_START / 1024,
        .key_head = KEYS_AT,
        .key_tail = KEYS_AT,
        .key_start = KEYS_AT,
        .key_end = KEYS_AT + sizeof area.keys,
    };
    const uint8_t ebda_kib = (GUEST_EBDA_END - GUEST_HOLE_START) / 1024; /* its own first byte */
    enum error e = guest_write(m, AREA_AT, &area, sizeof area);
    if (e == OK)
        e = guest_write(m, GUEST_HOLE_START, &ebda_kib, 1);
    if (e == OK)
        e = guest_write(m, RESET_AT, reset_entry, sizeof reset_entry);
    return e == OK ? guest_write(m, CODE_AT, reset_code, sizeof reset_code) : e;
}
