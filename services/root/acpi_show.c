// SPDX-License-Identifier: Apache-2.0
/* Firmware's tables lie in memory that is not RAM to anybody: as device memory it can be mapped. See acpi.h. */
#include "lib/syscall.h"
#include "services/root/acpi.h"
#include "services/root/hardware.h"
#include "services/root/root.h"

const uint8_t *acpi_show(uint64_t at, uint64_t size)
{
    static uint64_t memory; /* handle */
    if (memory != 0) {
        (void)sys_unmap(ROOT_SLOT_SELF, ROOT_ACPI_VA);
        (void)sys_handle_close(memory);
    }
    memory = 0;
    if (size == 0 || at + size < at)
        return NULL;
    uint64_t from = page_down(at), bytes = page_up(at + size) - from;
    memory = hardware_memory(from, bytes, TAG_ROOT);
    if (memory == 0 || sys_map(ROOT_SLOT_SELF, ROOT_ACPI_VA, memory, 0, bytes, RIGHT_READ | MAP_UNCACHED) != OK)
        return NULL;
    return (const uint8_t *)(ROOT_ACPI_VA + (at - from));
}
