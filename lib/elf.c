// SPDX-License-Identifier: Apache-2.0
/*
 * See lib/elf.h.
 */
#include "lib/elf.h"
#include "lib/print.h"
#include "lib/string.h"

#define HEADER_BYTES_32  52u
#define HEADER_BYTES_64  64u
#define SEGMENT_BYTES_32 32u
#define SEGMENT_BYTES_64 56u

typedef unsigned long long ull;

static bool has(const struct elf *e, uint64_t offset, uint64_t length)
{
    return offset <= e->size && length <= e->size - offset;
}

/* `length` bytes, at most 8, little-endian; 0 where the file ends before them. */
static uint64_t number(const struct elf *e, uint64_t offset, unsigned length)
{
    uint64_t value = 0;
    if (has(e, offset, length))
        memcpy(&value, e->bytes + offset, length);
    return value;
}

bool elf_magic(const void *bytes, uint64_t size)
{
    return size >= 4 && memcmp(bytes, "\177ELF", 4) == 0;
}

static void refuse(char *why, size_t why_size, const char *text, ...) print_like(3, 4);
static void refuse(char *why, size_t why_size, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    format_list(why, why_size, text, arguments);
    va_end(arguments);
}

static enum error read_kind(struct elf *e, char *why, size_t why_size)
{
    if (!elf_magic(e->bytes, e->size) || e->size < HEADER_BYTES_32) {
        refuse(why, why_size, "the ELF header is cut short: the file has %llu bytes", (ull)e->size);
        return E_ARG;
    }
    uint8_t class = e->bytes[4], order = e->bytes[5];
    if ((class != 1 && class != 2) || order != 1) {
        refuse(why, why_size, "ELF class %u, byte order %u; allowed: class 1 or 2 (32, 64 bits), order 1 (little)",
               class, order);
        return E_UNSUPPORTED;
    }
    e->class64 = class == 2;
    if (e->class64 && e->size < HEADER_BYTES_64) {
        refuse(why, why_size, "the ELF header is cut short: the file has %llu bytes", (ull)e->size);
        return E_ARG;
    }
    e->machine = (uint32_t)number(e, 18, 2);
    if (e->machine != ELF_MACHINE_386 && e->machine != ELF_MACHINE_X86_64) {
        refuse(why, why_size, "the ELF file is for machine %u; allowed are 3 (80386) and 62 (x86-64)", e->machine);
        return E_UNSUPPORTED;
    }
    unsigned type = (unsigned)number(e, 16, 2);
    if (type != 2 && type != 3) {
        refuse(why, why_size, "the ELF file has type %u; allowed are 2 (executable) and 3 (shared)", type);
        return E_UNSUPPORTED;
    }
    return OK;
}

enum error elf_read(struct elf *e, const void *bytes, uint64_t size, char *why, size_t why_size)
{
    *e = (struct elf){.bytes = bytes, .size = size};
    enum error error = read_kind(e, why, why_size);
    if (error != OK)
        return error;
    uint32_t least = e->class64 ? SEGMENT_BYTES_64 : SEGMENT_BYTES_32;
    e->entry = e->class64 ? number(e, 24, 8) : number(e, 24, 4);
    e->ph_offset = e->class64 ? number(e, 32, 8) : number(e, 28, 4);
    e->ph_size = (uint32_t)number(e, e->class64 ? 54 : 42, 2);
    e->ph_count = (uint32_t)number(e, e->class64 ? 56 : 44, 2);
    if (e->ph_count == 0)
        refuse(why, why_size, "the ELF file has no program headers, so nothing to load");
    else if (e->ph_size < least)
        refuse(why, why_size, "the ELF program headers have %u bytes each; at least %u are needed", e->ph_size, least);
    else if (!has(e, e->ph_offset, (uint64_t)e->ph_size * e->ph_count))
        refuse(why, why_size, "the ELF program headers (%u at 0x%llx) reach beyond the file's %llu bytes", e->ph_count,
               (ull)e->ph_offset, (ull)size);
    else
        return OK;
    return E_ARG;
}

/* Where a program header has its fields. */
struct header_layout {
    unsigned width; /* bytes of all but type and flags */
    unsigned flags, offset, vaddr, paddr, file_size, mem_size, align;
};
static const struct header_layout layout32 = {
    .width = 4, .flags = 24, .offset = 4, .vaddr = 8, .paddr = 12, .file_size = 16, .mem_size = 20, .align = 28};
static const struct header_layout layout64 = {
    .width = 8, .flags = 4, .offset = 8, .vaddr = 16, .paddr = 24, .file_size = 32, .mem_size = 40, .align = 48};

struct elf_segment elf_segment(const struct elf *e, uint32_t index)
{
    uint64_t at = e->ph_offset + (uint64_t)index * e->ph_size;
    const struct header_layout *l = e->class64 ? &layout64 : &layout32;
    return (struct elf_segment){.type = (uint32_t)number(e, at, 4),
                                .flags = (uint32_t)number(e, at + l->flags, 4),
                                .offset = number(e, at + l->offset, l->width),
                                .vaddr = number(e, at + l->vaddr, l->width),
                                .paddr = number(e, at + l->paddr, l->width),
                                .file_size = number(e, at + l->file_size, l->width),
                                .mem_size = number(e, at + l->mem_size, l->width),
                                .align = number(e, at + l->align, l->width)};
}

enum error elf_check(const struct elf *e, const struct elf_segment *s, uint32_t index, char *why, size_t why_size)
{
    if (s->file_size > s->mem_size)
        refuse(why, why_size, "ELF segment %u has more bytes in the file (0x%llx) than in memory (0x%llx)", index,
               (ull)s->file_size, (ull)s->mem_size);
    else if (!has(e, s->offset, s->file_size))
        refuse(why, why_size, "ELF segment %u (0x%llx bytes at 0x%llx) reaches beyond the file's %llu bytes", index,
               (ull)s->file_size, (ull)s->offset, (ull)e->size);
    else
        return OK;
    return E_ARG;
}
