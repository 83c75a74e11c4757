/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel tells root, at its address, for a test to fill in. */
#ifndef ROOT_BOOT_HERE_H
#define ROOT_BOOT_HERE_H

#include <sys/mman.h>

#include "services/root/root.h"

/* True: it was mapped now, all zeroes; else an earlier call has done so. */
static inline bool map_root_boot(void)
{
    static bool mapped;
    void *at = (void *)ROOT_BOOT_VA;
    if (mapped)
        return false;
    mapped = true;
    assert_ptr_equal(mmap(at, page_up(sizeof(struct root_boot)), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                     at);
    return true;
}

#endif
