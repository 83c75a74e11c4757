// SPDX-License-Identifier: Apache-2.0
/*
 * The machine off, or started anew. See root.h.
 *
 * ACPI Specification 6.4, 4.8.3.2.1 (PM1 control: SLP_TYPx in bits 12:10, SLP_EN bit 13) and 4.8.3.6 (reset register);
 * Bochs: the text "Shutdown" to port 0x8900; QEMU: isa-debug-exit, exit status value * 2 + 1.
 */
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/acpi.h"
#include "services/root/hardware.h"
#include "services/root/pci.h"
#include "services/root/root.h"

#define PM1_SLP_EN      (1u << 13)
#define PORT_BOCHS_EXIT 0x8900
#define PORT_QEMU_EXIT  0xf4
#define PORT_RESET      0xcf9

static struct acpi_power power;
static bool can_power, can_reset, can_qemu, can_bochs;

static bool has_word(const char *line, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = line; *p; p++)
        if ((p == line || p[-1] == ' ') && strncmp(p, word, n) == 0 && (p[n] == 0 || p[n] == ' '))
            return true;
    return false;
}

void power_init(void)
{
    const struct root_boot *b = ROOT_BOOT;
    bool exits = has_word(b->cmdline, "debug-exit");
    can_power = acpi_find_power(b->acpi_list, &power) && hardware_open(power.port, (uint16_t)(power.port + 1));
    can_reset = pci_ports_open(); /* PORT_RESET is among them */
    can_qemu = exits && hardware_open(PORT_QEMU_EXIT, PORT_QEMU_EXIT);
    can_bochs = exits && hardware_open(PORT_BOCHS_EXIT, PORT_BOCHS_EXIT);
}

static void bochs_exit(void)
{
    for (const char *s = "Shutdown"; can_bochs && *s; s++)
        port_out8(PORT_BOCHS_EXIT, (uint8_t)*s);
}

static void acpi_off(void)
{
    if (can_power) {
        port_out16(power.port, (uint16_t)((unsigned)power.type << 10 | PM1_SLP_EN));
        root_rest(ticks_of_ms(500));
    }
}

bool power_can_exit(void)
{
    return can_qemu || can_bochs;
}

static void off(struct note_record *why)
{
    bochs_exit();
    acpi_off();
    if (can_qemu)
        port_out8(PORT_QEMU_EXIT, 0);
    record_note(why, NOTE_ERROR, "This machine cannot be switched off by software. All guests run on.");
}

static void leave(uint8_t code, struct note_record *why)
{
    if (can_qemu)
        port_out8(PORT_QEMU_EXIT, code);
    bochs_exit();
    record_note(why, NOTE_ERROR, "The emulator did not end.");
}

static void reset(struct note_record *why)
{
    if (can_reset) {
        port_out8(PORT_RESET, 0x02);
        port_out8(PORT_RESET, 0x06);
        root_rest(ticks_of_ms(100));
    }
    record_note(why, NOTE_ERROR, "This machine cannot be reset by software. All guests run on.");
}

void power_do(enum power_action action, uint8_t code, struct note_record *why)
{
    switch (action) {
    case POWER_OFF: off(why); break;
    case POWER_RESET: reset(why); break;
    case POWER_EXIT: leave(code, why); break;
    case POWER_NOTHING: break;
    }
}
