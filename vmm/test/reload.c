// SPDX-License-Identifier: Apache-2.0
/* See reload.h. */
#include "vmm/test/reload.h"

#include "vmm/save.h"

#define BYTES_MAX (48u << 10) /* eight vCPUs */

void reload(struct vm *vm)
{
    static uint8_t bytes[BYTES_MAX];
    if (!vm_pause(vm))
        return;
    size_t size = machine_save(vm, bytes, sizeof bytes);
    if (size == 0) {
        vm_say(vm, "more than %u bytes, not saved", BYTES_MAX);
    } else {
        machine_forget(vm);
        enum error error = machine_restore(vm, bytes, size);
        if (error != OK)
            vm_end(vm, GUEST_CRASHED, 0, "what was saved cannot be loaded (error %d)", (int)error);
        else
            vm_say(vm, "saved in %lu bytes, and loaded back", size);
    }
    vm_go_on(vm);
}
