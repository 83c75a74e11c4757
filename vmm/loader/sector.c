// SPDX-License-Identifier: Apache-2.0
/*
 * A flat real-mode image, as a BIOS would start a boot sector: loaded at 0x7c00, entered at 0000:7c00 with the first
 * disk's number in DL. There is no BIOS behind it: the interrupt vectors are zero. Meant for small tests of real mode.
 */
#include "vmm/loader/internal.h"

#define SECTOR_BASE 0x7c00u
#define SECTOR_MAX  (0x90000u - SECTOR_BASE) /* leaves room for a stack and the extended BIOS data below the hole */

bool sector_looks(const struct image *i)
{
    return i->size >= 512 && image_le16(i, 510) == 0xaa55;
}

enum error sector_load(struct loading *l)
{
    if (l->kernel.size > SECTOR_MAX)
        return refuse(l, E_QUOTA, "the real-mode image has %llu bytes; at most %u are allowed",
                      (unsigned long long)l->kernel.size, SECTOR_MAX);
    enum error e = take(l, SECTOR_BASE, l->kernel.size, "the real-mode image");
    if (e == OK)
        e = guest_write(l->m, SECTOR_BASE, l->kernel.bytes, l->kernel.size);
    if (e != OK)
        return e;
    start_real(l->out, 0, SECTOR_BASE);
    l->out->gpr[GPR_RSP] = SECTOR_BASE;
    l->out->gpr[GPR_RDX] = 0x80;
    return OK;
}
