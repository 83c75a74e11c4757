// SPDX-License-Identifier: Apache-2.0
/*
 * Reading ELF files of either class and copying their segments to physical addresses (System V ABI, generic part,
 * chapters 4 and 5).
 */
#include "lib/print.h"
#include "lib/string.h"
#include "vmm/loader/internal.h"

#define EM_386    3u
#define EM_X86_64 62u

bool elf_magic(const struct image *i)
{
    return i->size >= 4 && memcmp(i->bytes, "\177ELF", 4) == 0;
}

enum error elf_open(struct loading *l, struct elf *e)
{
    const struct image *k = &l->kernel;
    if (!elf_magic(k) || k->size < 52)
        return refuse(l, E_ARG, "the ELF header is cut short: the file has %llu bytes", (unsigned long long)k->size);
    uint8_t class = k->bytes[4];
    if ((class != 1 && class != 2) || k->bytes[5] != 1)
        return refuse(l, E_UNSUPPORTED,
                      "ELF class %u, byte order %u; allowed: class 1 or 2 (32, 64 bits), order 1 (little)", class,
                      k->bytes[5]);
    e->class64 = class == 2;
    if (e->class64 && k->size < 64)
        return refuse(l, E_ARG, "the ELF header is cut short: the file has %llu bytes", (unsigned long long)k->size);
    uint32_t machine = image_le16(k, 18), type = image_le16(k, 16);
    if (machine != EM_386 && machine != EM_X86_64)
        return refuse(l, E_UNSUPPORTED, "the ELF file is for machine %u; allowed are 3 (80386) and 62 (x86-64)",
                      machine);
    if (type != 2 && type != 3)
        return refuse(l, E_UNSUPPORTED, "the ELF file has type %u; allowed are 2 (executable) and 3 (shared)", type);
    e->entry = e->class64 ? image_le64(k, 24) : image_le32(k, 24);
    e->ph_offset = e->class64 ? image_le64(k, 32) : image_le32(k, 28);
    e->ph_size = image_le16(k, e->class64 ? 54 : 42);
    e->ph_count = image_le16(k, e->class64 ? 56 : 44);
    if (e->ph_count == 0)
        return refuse(l, E_ARG, "the ELF file has no program headers, so nothing to load");
    if (e->ph_size < (e->class64 ? 56u : 32u))
        return refuse(l, E_ARG, "the ELF program headers have %u bytes each; at least %u are needed", e->ph_size,
                      e->class64 ? 56u : 32u);
    if (!image_has(k, e->ph_offset, (uint64_t)e->ph_size * e->ph_count))
        return refuse(l, E_ARG, "the ELF program headers (%u at 0x%llx) reach beyond the file's %llu bytes",
                      e->ph_count, (unsigned long long)e->ph_offset, (unsigned long long)k->size);
    return OK;
}

struct elf_segment elf_segment(const struct loading *l, const struct elf *e, uint32_t index)
{
    const struct image *k = &l->kernel;
    uint64_t at = e->ph_offset + (uint64_t)index * e->ph_size;
    if (e->class64)
        return (struct elf_segment){.type = image_le32(k, at),
                                    .offset = image_le64(k, at + 8),
                                    .vaddr = image_le64(k, at + 16),
                                    .paddr = image_le64(k, at + 24),
                                    .file_size = image_le64(k, at + 32),
                                    .mem_size = image_le64(k, at + 40),
                                    .align = image_le64(k, at + 48)};
    return (struct elf_segment){.type = image_le32(k, at),
                                .offset = image_le32(k, at + 4),
                                .vaddr = image_le32(k, at + 8),
                                .paddr = image_le32(k, at + 12),
                                .file_size = image_le32(k, at + 16),
                                .mem_size = image_le32(k, at + 20),
                                .align = image_le32(k, at + 28)};
}

enum error elf_load(struct loading *l, const struct elf *e, uint64_t *end)
{
    *end = 0;
    for (uint32_t i = 0; i < e->ph_count; i++) {
        struct elf_segment s = elf_segment(l, e, i);
        if (s.type != ELF_LOAD || s.mem_size == 0)
            continue;
        char what[32];
        format(what, sizeof(what), "ELF segment %u", i);
        if (s.file_size > s.mem_size)
            return refuse(l, E_ARG, "%s has more bytes in the file (0x%llx) than in memory (0x%llx)", what,
                          (unsigned long long)s.file_size, (unsigned long long)s.mem_size);
        if (!image_has(&l->kernel, s.offset, s.file_size))
            return refuse(l, E_ARG, "%s (0x%llx bytes at 0x%llx) reaches beyond the file's %llu bytes", what,
                          (unsigned long long)s.file_size, (unsigned long long)s.offset,
                          (unsigned long long)l->kernel.size);
        enum error err = take(l, s.paddr, s.mem_size, what);
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
