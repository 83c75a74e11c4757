// SPDX-License-Identifier: Apache-2.0
/*
 * ELF files into new domains. See root.h. The files come from the kernel's own image, but they are checked all the
 * same: a bad one is refused in words instead of crashing root, and with it the machine.
 *
 * ELF-64 Object File Format, version 1.5: header, program headers.
 */
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/root.h"

#define SEGMENTS_MAX       8
#define PROGRAMS_MAX       4
#define PT_LOAD            1u
#define PF_X               1u
#define PF_W               2u
#define ELF_CLASS_64       2
#define ELF_MACHINE_X86_64 62

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_segment {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

struct program {
    const struct boot_module *module;
    const uint8_t *file;
    uint64_t entry, private_bytes, tables;
    unsigned count;
    struct elf_segment segment[SEGMENTS_MAX];
};

static struct program programs[PROGRAMS_MAX];

/* Whole pages of the file can be mapped as they are. */
static bool is_shared(const struct program *p, const struct elf_segment *s)
{
    return (s->flags & PF_W) == 0 && (p->module->base & PAGE_MASK) == 0 && ((s->offset ^ s->vaddr) & PAGE_MASK) == 0 &&
           s->filesz == s->memsz;
}

static uint64_t span_of(const struct elf_segment *s)
{
    return page_up(s->vaddr + s->memsz) - page_down(s->vaddr);
}

static const char *read_elf(struct program *p)
{
    uint64_t size = p->module->size;
    struct elf_header h;
    if (size < sizeof h)
        return "it is shorter than an ELF header";
    memcpy(&h, p->file, sizeof h);
    if (memcmp(h.ident,
               "\x7f"
               "ELF",
               4) != 0 ||
        h.ident[4] != ELF_CLASS_64 || h.machine != ELF_MACHINE_X86_64)
        return "it is not a 64-bit x86 ELF file";
    if (h.phentsize != sizeof(struct elf_segment) || h.phoff > size ||
        (uint64_t)h.phnum * sizeof(struct elf_segment) > size - h.phoff)
        return "its program headers lie outside the file";
    p->entry = h.entry;
    for (unsigned i = 0; i < h.phnum; i++) {
        struct elf_segment s;
        memcpy(&s, p->file + h.phoff + i * sizeof s, sizeof s);
        if (s.type != PT_LOAD || s.memsz == 0)
            continue;
        if (p->count == SEGMENTS_MAX)
            return "it has too many segments";
        if (s.offset > size || s.filesz > size - s.offset || s.filesz > s.memsz)
            return "a segment lies outside the file";
        if (s.vaddr < USER_VA_MIN || s.memsz > SIZE_1G || s.vaddr > USER_VA_MAX - SIZE_1G)
            return "a segment's address is out of bounds";
        if ((s.flags & (PF_W | PF_X)) == (PF_W | PF_X))
            return "a segment is both writable and executable";
        p->segment[p->count++] = s;
        p->tables += table_pages(page_down(s.vaddr), page_down(s.vaddr) + PAGE_SIZE,
                                 span_of(&s)); /* never large pages */
        if (!is_shared(p, &s))
            p->private_bytes += span_of(&s);
    }
    return p->count == 0 ? "it has nothing to load" : NULL;
}

const struct program *program_find(const char *name)
{
    const struct root_boot *b = ROOT_BOOT;
    for (unsigned i = 0; i < b->program_count && i < PROGRAMS_MAX; i++) {
        const struct boot_module *m = &b->program[i];
        struct program *p = &programs[i];
        if (strncmp(m->name, name, BOOT_NAME_MAX) != 0)
            continue;
        if (p->module != NULL)
            return p->count != 0 ? p : NULL;
        p->module = m;
        uint64_t va = ROOT_PROGRAMS_VA + i * ROOT_PROGRAM_STRIDE, skew = m->base & PAGE_MASK;
        enum error e = m->size > ROOT_PROGRAM_STRIDE / 2
                           ? E_ARG
                           : sys_map(ROOT_SLOT_SELF, va, m->slot, 0, page_up(skew + m->size), RIGHT_READ);
        if (e != OK) {
            root_log(LOG_ERROR, "the program '%s' cannot be read: %s", name, error_text(e));
            return NULL;
        }
        p->file = (const uint8_t *)va + skew;
        const char *why = read_elf(p);
        if (why != NULL) {
            root_log(LOG_ERROR, "the program '%s' in the kernel's image is bad: %s", name, why);
            p->count = 0;
            return NULL;
        }
        return p;
    }
    root_log(LOG_ERROR, "the kernel's image holds no program '%s'", name);
    return NULL;
}

uint64_t program_entry(const struct program *p)
{
    return p->entry;
}
uint64_t program_private_bytes(const struct program *p)
{
    return p->private_bytes;
}
uint64_t program_table_pages(const struct program *p)
{
    return p->tables;
}

static enum error load_private(const struct program *p, const struct elf_segment *s, uint64_t domain, uint64_t memory,
                               uint64_t offset)
{
    uint64_t size = span_of(s);
    enum error e = sys_map(ROOT_SLOT_SELF, ROOT_SCRATCH_VA, memory, offset, size, RIGHT_READ | RIGHT_WRITE);
    if (e != OK)
        return e;
    memset((void *)ROOT_SCRATCH_VA, 0, size);
    memcpy((uint8_t *)ROOT_SCRATCH_VA + (s->vaddr & PAGE_MASK), p->file + s->offset, s->filesz);
    e = sys_unmap(ROOT_SLOT_SELF, ROOT_SCRATCH_VA);
    if (e != OK)
        return e;
    uint64_t rights = RIGHT_READ | ((s->flags & PF_W) != 0 ? RIGHT_WRITE : 0) |
                      ((s->flags & PF_X) != 0 ? RIGHT_EXEC : 0);
    return sys_map(domain, page_down(s->vaddr), memory, offset, size, rights);
}

enum error program_load(const struct program *p, uint64_t domain, uint64_t memory, uint64_t offset)
{
    for (unsigned i = 0; i < p->count; i++) {
        const struct elf_segment *s = &p->segment[i];
        enum error e;
        if (is_shared(p, s)) {
            e = sys_map(domain, page_down(s->vaddr), p->module->slot, page_down(s->offset), span_of(s),
                        RIGHT_READ | ((s->flags & PF_X) != 0 ? RIGHT_EXEC : 0));
        } else {
            e = load_private(p, s, domain, memory, offset);
            offset += span_of(s);
        }
        if (e != OK)
            return e;
    }
    return OK;
}

static void destroy(uint64_t *handle)
{
    if (*handle != 0) {
        (void)sys_destroy(*handle);
        (void)sys_handle_close(*handle);
    }
    *handle = 0;
}

void program_unload(uint64_t *domain, uint64_t *memory)
{
    destroy(domain);
    destroy(memory);
}
