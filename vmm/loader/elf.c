// SPDX-License-Identifier: Apache-2.0
/*
 * Copies the segments of an ELF file (lib/elf.h) to their physical addresses.
 */
#include "lib/print.h"
#include "vmm/loader/internal.h"

enum error elf_open(struct loading *l, struct elf *e)
{
    return elf_read(e, l->kernel.bytes, l->kernel.size, l->why, l->why_size);
}

enum error elf_load(struct loading *l, const struct elf *e, uint64_t *end)
{
    *end = 0;
    for (uint32_t i = 0; i < e->ph_count; i++) {
        struct elf_segment s = elf_segment(e, i);
        if (s.type != ELF_LOAD || s.mem_size == 0)
            continue;
        char what[32];
        format(what, sizeof(what), "ELF segment %u", i);
        enum error err = elf_check(e, &s, i, l->why, l->why_size);
        if (err == OK)
            err = take(l, s.paddr, s.mem_size, what);
        if (err == OK)
            err = guest_write(l->m, s.paddr, l->kernel.bytes + s.offset, s.file_size);
        if (err == OK)
            err = guest_fill(l->m, s.paddr + s.file_size, 0, s.mem_size - s.file_size);
        if (err != OK)
            return err;
        if (s.paddr + s.mem_size > *end)
            *end = s.paddr + s.mem_size;
    }
    return *end != 0 ? OK : refuse(l, E_ARG, "the ELF file has no loadable segment");
}
