// SPDX-License-Identifier: Apache-2.0
/*
 * ELF files into new domains. See root.h. The files come from the kernel's own image, but they are checked all the
 * same: a bad one is refused in words instead of crashing root, and with it the machine.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/root.h"

static const struct program_entry *table; /* NULL: it cannot be read */
static uint64_t bytes;

bool programs_init(void)
{
    bytes = sys_query(ROOT_SLOT_PROGRAMS, QUERY_MEMORY_SIZE, 0).value;
    enum error e = sys_map(ROOT_SLOT_SELF, ROOT_PROGRAMS_VA, ROOT_SLOT_PROGRAMS, 0, bytes, RIGHT_READ);
    if (e == OK)
        table = (const struct program_entry *)ROOT_PROGRAMS_VA;
    else
        root_log(LOG_ERROR, "the programs in the kernel's image cannot be read: %s", error_text(e));
    return e == OK;
}

/* Whole pages of the file can be mapped as they are. */
static bool is_shared(const struct elf_segment *s)
{
    return (s->flags & ELF_WRITE) == 0 && ((s->offset ^ s->vaddr) & PAGE_MASK) == 0 && s->file_size == s->mem_size;
}

static uint64_t span_of(const struct elf_segment *s)
{
    return page_up(s->vaddr + s->mem_size) - page_down(s->vaddr);
}

static bool take_segment(struct program *p, const struct elf_segment *s, char *why, size_t why_size)
{
    const char *bad = NULL;
    if (p->count == PROGRAM_SEGMENTS_MAX)
        bad = "it has too many segments";
    else if (s->vaddr < USER_VA_MIN || s->mem_size > SIZE_1G || s->vaddr > USER_VA_MAX - SIZE_1G)
        bad = "a segment's address is out of bounds";
    else if ((s->flags & (ELF_WRITE | ELF_EXECUTE)) == (ELF_WRITE | ELF_EXECUTE))
        bad = "a segment is both writable and executable";
    if (bad != NULL) {
        format(why, why_size, "%s", bad);
        return false;
    }
    p->segment[p->count++] = *s;
    p->tables += table_pages(page_down(s->vaddr), page_down(s->vaddr) + PAGE_SIZE, span_of(s)); /* never large pages */
    if (!is_shared(s))
        p->private_bytes += span_of(s);
    return true;
}

static bool read_program(struct program *p, uint64_t size, char *why, size_t why_size)
{
    struct elf elf;
    if (elf_read(&elf, p->file, size, why, why_size) != OK)
        return false;
    if (!elf.class64 || elf.machine != ELF_MACHINE_X86_64) {
        format(why, why_size, "it is not a 64-bit x86 ELF file");
        return false;
    }
    p->entry = elf.entry;
    for (uint32_t i = 0; i < elf.ph_count; i++) {
        struct elf_segment s = elf_segment(&elf, i);
        if (s.type != ELF_LOAD || s.mem_size == 0)
            continue;
        if (elf_check(&elf, &s, i, why, why_size) != OK || !take_segment(p, &s, why, why_size))
            return false;
    }
    format(why, why_size, "it has nothing to load");
    return p->count != 0;
}

bool program_find(const char *name, struct program *out)
{
    char why[128];
    for (uint64_t i = 0; table != NULL && (i + 1) * sizeof *table <= bytes && table[i].size != 0; i++) {
        uint64_t offset = table[i].offset, size = table[i].size;
        if (strncmp(table[i].name, name, PROGRAM_NAME_MAX) != 0)
            continue;
        *out = (struct program){.file = (const uint8_t *)table + offset, .offset = offset};
        format(why, sizeof why, "it lies outside the image");
        if ((offset & PAGE_MASK) == 0 && offset <= bytes && size <= bytes - offset &&
            read_program(out, size, why, sizeof why))
            return true;
        root_log(LOG_ERROR, "the program '%s' in the kernel's image is bad: %s", name, why);
        return false;
    }
    root_log(LOG_ERROR, "the kernel's image holds no program '%s'", name);
    return false;
}

static enum error load_private(const struct program *p, const struct elf_segment *s, uint64_t domain, uint64_t memory,
                               uint64_t offset)
{
    uint64_t size = span_of(s);
    enum error e = sys_map(ROOT_SLOT_SELF, ROOT_SCRATCH_VA, memory, offset, size, RIGHT_READ | RIGHT_WRITE);
    if (e != OK)
        return e;
    memset((void *)ROOT_SCRATCH_VA, 0, size);
    memcpy((uint8_t *)ROOT_SCRATCH_VA + (s->vaddr & PAGE_MASK), p->file + s->offset, s->file_size);
    e = sys_unmap(ROOT_SLOT_SELF, ROOT_SCRATCH_VA);
    if (e != OK)
        return e;
    uint64_t rights = RIGHT_READ | ((s->flags & ELF_WRITE) != 0 ? RIGHT_WRITE : 0) |
                      ((s->flags & ELF_EXECUTE) != 0 ? RIGHT_EXEC : 0);
    return sys_map(domain, page_down(s->vaddr), memory, offset, size, rights);
}

enum error program_load(const struct program *p, uint64_t domain, uint64_t memory, uint64_t offset)
{
    for (unsigned i = 0; i < p->count; i++) {
        const struct elf_segment *s = &p->segment[i];
        enum error e;
        if (is_shared(s)) {
            e = sys_map(domain, page_down(s->vaddr), ROOT_SLOT_PROGRAMS, p->offset + page_down(s->offset), span_of(s),
                        RIGHT_READ | ((s->flags & ELF_EXECUTE) != 0 ? RIGHT_EXEC : 0));
        } else {
            e = load_private(p, s, domain, memory, offset);
            offset += span_of(s);
        }
        if (e != OK)
            return e;
    }
    return OK;
}
