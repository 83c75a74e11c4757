/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads ELF files of either class: header and program headers. Pure, and it trusts no number in the file: nothing
 * outside the file's bytes is read. System V ABI, generic part, chapters 4 and 5.
 */
#ifndef LIB_ELF_H
#define LIB_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "mullion/abi.h"
#include "mullion/types.h"

#define ELF_LOAD           1u /* elf_segment.type: PT_LOAD */
#define ELF_EXECUTE        1u /* elf_segment.flags */
#define ELF_WRITE          2u
#define ELF_MACHINE_386    3u
#define ELF_MACHINE_X86_64 62u

struct elf {
    const uint8_t *bytes;
    uint64_t size;
    bool class64;
    uint32_t machine; /* ELF_MACHINE_* */
    uint64_t entry;
    uint64_t ph_offset; /* of the program headers, which lie inside the file */
    uint32_t ph_size, ph_count;
};

struct elf_segment {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, file_size, mem_size, align;
};

bool elf_magic(const void *bytes, uint64_t size);
/* E_ARG: the file is damaged; E_UNSUPPORTED: it is of another kind. Then `why` says it in words; `e` is filled in as
 * far as it was read. */
enum error elf_read(struct elf *e, const void *bytes, uint64_t size, char *why, size_t why_size) must_check;
/* Program header `index` (below ph_count), as it stands in the file. */
struct elf_segment elf_segment(const struct elf *e, uint32_t index);
/* A segment to load: its bytes lie in the file, and are no more than it has in memory. `why` as above. */
enum error elf_check(const struct elf *e, const struct elf_segment *s, uint32_t index, char *why,
                     size_t why_size) must_check;

#endif
