// SPDX-License-Identifier: Apache-2.0
/* See hardware.h. */
#include "services/root/hardware.h"

#include "lib/syscall.h"
#include "services/root/root.h"

typedef unsigned long long ull;

#define SERIAL_PORTS   8
#define SERIAL_ISA_IRQ 4 /* COM1 */
#define SECOND_SERIAL  0x2f8
#define SECOND_ISA_IRQ 3

/* VGA's CRT controller */
#define CRTC_INDEX      0x3d4
#define CRTC_DATA       0x3d5
#define CRTC_CURSOR     10
#define CRTC_CURSOR_OFF 0x20

struct isa_line isa_lines[ISA_LINES];

static uint64_t made(struct syscall_result r, const char *what, uint64_t which)
{
    if (r.error == OK)
        return r.value;
    root_log(LOG_WARN, "%s 0x%llx cannot be had: %s", what, (ull)which, error_text(r.error));
    return 0;
}

uint64_t hardware_ports(uint16_t first, uint16_t last)
{
    return made(sys_hardware(ROOT_SLOT_HARDWARE, HARDWARE_PORTS, first, last, 0), "I/O port", first);
}

uint64_t hardware_memory(uint64_t base, uint64_t size, uint32_t tag)
{
    return made(sys_hardware(ROOT_SLOT_HARDWARE, HARDWARE_MEMORY, base, size, tag), "device memory at", base);
}

uint64_t hardware_line(uint32_t gsi, uint32_t how, unsigned cpu)
{
    return made(sys_hardware(ROOT_SLOT_HARDWARE, HARDWARE_LINE, gsi, cpu, how), "interrupt line", gsi);
}

uint64_t hardware_message(unsigned cpu)
{
    return made(sys_hardware(ROOT_SLOT_HARDWARE, HARDWARE_MESSAGE, 0, cpu, 0), "an interrupt by message at CPU", cpu);
}

bool hardware_open(uint16_t first, uint16_t last)
{
    uint64_t ports = hardware_ports(first, last);
    enum error e = ports != 0 ? sys_ports_open(ROOT_SLOT_SELF, ports) : E_HANDLE;
    if (ports != 0 && e != OK)
        root_log(LOG_WARN, "I/O port 0x%x cannot be opened: %s", first, error_text(e));
    return e == OK;
}

/* Moves a handle of root's to a place of root's own choice. */
static void keep_at(uint32_t slot, uint64_t handle)
{
    if (handle == 0)
        return;
    enum error e = sys_handle_grant(ROOT_SLOT_SELF, handle, RIGHTS_ALL, slot).error;
    if (e != OK)
        root_log(LOG_WARN, "handle %u cannot be placed: %s", slot, error_text(e));
    (void)sys_handle_close(handle);
}

void hardware_init(void)
{
    const struct root_boot *b = ROOT_BOOT;
    acpi_find_isa(b->acpi_list, isa_lines);
    if (b->serial_port != 0) {
        unsigned irq = b->serial_port == SECOND_SERIAL ? SECOND_ISA_IRQ : SERIAL_ISA_IRQ;
        keep_at(ROOT_SLOT_SERIAL_PORTS, hardware_ports(b->serial_port, (uint16_t)(b->serial_port + SERIAL_PORTS - 1)));
        keep_at(ROOT_SLOT_SERIAL_IRQ, hardware_line(isa_lines[irq].gsi, isa_lines[irq].how, 0));
    }
    if (b->screen_bytes != 0) {
        uint64_t from = page_down(b->screen.address), end = page_up(b->screen.address + b->screen_bytes);
        keep_at(ROOT_SLOT_SCREEN, hardware_memory(from, end - from, TAG_SCREEN));
        if (b->screen.type == SCREEN_TEXT && hardware_open(CRTC_INDEX, CRTC_DATA)) {
            port_out8(CRTC_INDEX, CRTC_CURSOR);
            port_out8(CRTC_DATA, CRTC_CURSOR_OFF);
        }
    } else if (b->screen.type != SCREEN_NONE) {
        root_log(LOG_WARN, "no screen: type %u, %ux%u, %u bits, pitch %u at 0x%llx cannot be used", b->screen.type,
                 b->screen.width, b->screen.height, b->screen.bits, b->screen.pitch, (ull)b->screen.address);
    }
}
