// SPDX-License-Identifier: Apache-2.0
/*
 * The PVH direct boot ABI (Xen docs/misc/pvh.pandoc; structures of xen/include/public/arch-x86/hvm/start_info.h): an
 * ELF file with a note that gives a 32-bit physical entry, entered in protected mode with EBX at a start_info
 * structure.
 */
#include "lib/string.h"
#include "vmm/loader/internal.h"

#define NOTE_PHYS32_ENTRY 18u
#define START_MAGIC       0x336ec578u

struct start_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    uint32_t memmap_entries, reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "ABI");
struct modlist_entry {
    uint64_t paddr, size, cmdline_paddr, reserved;
};
struct memmap_entry {
    uint64_t addr, size;
    uint32_t type, reserved;
};

/* One PT_NOTE segment: name size, descriptor size, type, then both padded to 4 bytes (8 where the segment says so). */
static bool find_in_notes(const struct image *k, const struct elf_segment *s, uint64_t *entry)
{
    uint64_t align = s->align == 8 ? 8 : 4, at = s->offset;
    if (!image_has(k, s->offset, s->file_size))
        return false;
    uint64_t end = s->offset + s->file_size;
    while (end - at >= 12) {
        uint64_t name_size = image_le32(k, at), size = image_le32(k, at + 4), type = image_le32(k, at + 8);
        uint64_t name = at + 12, body = name + ((name_size + align - 1) & ~(align - 1));
        if (align == 8)
            body = at + ((12 + name_size + 7) & ~7ull);
        if (body > end || size > end - body)
            return false;
        if (type == NOTE_PHYS32_ENTRY && name_size == 4 && memcmp(k->bytes + name, "Xen", 4) == 0 &&
            (size == 4 || size == 8)) {
            *entry = size == 8 ? image_le64(k, body) : image_le32(k, body);
            return true;
        }
        at = body + ((size + align - 1) & ~(align - 1));
        if (at > end)
            return false;
    }
    return false;
}

bool pvh_looks(const struct image *i, uint64_t *entry)
{
    char nothing[1];
    struct loading l = {.kernel = *i, .why = nothing, .why_size = sizeof(nothing)};
    struct elf elf;
    if (!elf_magic(i->bytes, i->size) || elf_open(&l, &elf) != OK)
        return false;
    for (uint32_t n = 0; n < elf.ph_count; n++) {
        struct elf_segment s = elf_segment(&elf, n);
        if (s.type == ELF_NOTE && find_in_notes(i, &s, entry))
            return true;
    }
    return false;
}

/* Does the entry lie in a segment, and in what the file has of it? Between two of them nothing is loaded. */
static bool entry_is_loaded(const struct elf *e, uint64_t entry)
{
    for (uint32_t n = 0; n < e->ph_count; n++) {
        struct elf_segment s = elf_segment(e, n);
        if (s.type == ELF_LOAD && entry >= s.paddr && entry - s.paddr < s.file_size)
            return true;
    }
    return false;
}

static enum error put_lists(struct loading *l, uint64_t end, struct start_info *info)
{
    uint64_t base[VMM_MODULES_MAX] = {0}, where;
    struct modlist_entry modules[VMM_MODULES_MAX];
    struct memmap_entry out[E820_MAX];
    const struct e820_map *map = l->r->e820;
    uint32_t count = map->count < E820_MAX ? map->count : E820_MAX;
    memset(modules, 0, sizeof(modules));
    enum error e = put_modules(l, end > MIB ? end : MIB, base);
    for (uint32_t i = 0; e == OK && i < l->r->module_count; i++) {
        modules[i].paddr = base[i];
        modules[i].size = l->r->module[i].size;
        if (l->r->module[i].cmdline != NULL)
            e = put_string(l, NULL, l->r->module[i].cmdline, "a module's command line", &modules[i].cmdline_paddr);
    }
    if (e == OK && l->r->module_count > 0)
        e = put_bytes(l, modules, l->r->module_count * sizeof(modules[0]), 16, "the PVH module list",
                      &info->modlist_paddr);
    for (uint32_t i = 0; i < count; i++)
        out[i] = (struct memmap_entry){
            .addr = map->entry[i].base, .size = map->entry[i].size, .type = map->entry[i].type};
    if (e == OK)
        e = put_bytes(l, out, count * sizeof(out[0]), 16, "the PVH memory map", &where);
    if (e != OK)
        return e;
    info->nr_modules = l->r->module_count;
    info->memmap_paddr = where;
    info->memmap_entries = count;
    return OK;
}

enum error pvh_load(struct loading *l)
{
    uint64_t entry = 0, end = 0, where = 0, cmdline = 0;
    struct elf elf;
    if (!pvh_looks(&l->kernel, &entry))
        return refuse(l, E_ARG, "there is no PVH entry note");
    enum error e = elf_open(l, &elf);
    if (e == OK)
        e = elf_load(l, &elf, &end);
    if (e != OK)
        return e;
    if (!entry_is_loaded(&elf, entry))
        return refuse(l, E_ARG, "the PVH entry 0x%llx lies in no loaded segment", (unsigned long long)entry);
    struct start_info info;
    memset(&info, 0, sizeof(info));
    info.magic = START_MAGIC;
    info.version = 1;
    info.rsdp_paddr = l->r->rsdp;
    e = put_lists(l, end, &info);
    if (e == OK)
        e = put_string(l, NULL, l->r->cmdline, "the command line", &cmdline);
    info.cmdline_paddr = cmdline;
    if (e == OK)
        e = put_bytes(l, &info, sizeof(info), 16, "the PVH start information", &where);
    if (e == OK)
        e = start_protected(l, entry);
    l->out->gpr[GPR_RBX] = where;
    return e;
}
