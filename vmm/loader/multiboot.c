// SPDX-License-Identifier: Apache-2.0
/*
 * Multiboot 1 (Multiboot Specification 0.6.96, sections 3.1-3.3): ELF of either class, or the address fields of the
 * header.
 */
#include "lib/string.h"
#include "vmm/loader/internal.h"

#define SEARCH       8192u
#define HEADER_MAGIC 0x1badb002u
#define BOOT_MAGIC   0x2badb002u

/* Header flags. Page-aligned modules and memory information are always given; a wish for a video mode (bit 2) is heard
 * and not granted, which the information's flags then say. */
#define KNOWN_REQUIRED 0x0007u
#define REQUIRED       0xffffu
#define HAS_ADDRESSES  0x10000u

/* Information structure, section 3.3. */
#define INFO_MEMORY  0x001u
#define INFO_CMDLINE 0x004u
#define INFO_MODULES 0x008u
#define INFO_MMAP    0x040u
#define INFO_LOADER  0x200u
struct info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr, config_table, boot_loader_name, apm_table, vbe[4], framebuffer[7];
};
_Static_assert(sizeof(struct info) == 116, "ABI");
struct info_module {
    uint32_t start, end, string, reserved;
};
struct info_map {
    uint32_t size;
    struct e820_entry entry;
} __attribute__((packed));

bool multiboot_looks(const struct image *i, uint32_t *offset)
{
    for (uint32_t at = 0; at + 12 <= SEARCH && image_has(i, at, 12); at += 4) {
        if (image_le32(i, at) != HEADER_MAGIC)
            continue;
        uint32_t flags = image_le32(i, at + 4);
        if (HEADER_MAGIC + flags + image_le32(i, at + 8) != 0)
            continue;
        /* Without ELF only the address fields say where to load. */
        if (!elf_magic(i->bytes, i->size) && (flags & HAS_ADDRESSES) == 0)
            continue;
        *offset = at;
        return true;
    }
    return false;
}

/* Section 3.1.3. */
static enum error load_by_addresses(struct loading *l, uint32_t at, uint64_t *entry, uint64_t *end)
{
    const struct image *k = &l->kernel;
    if (!image_has(k, at, 32) || at + 32 > SEARCH)
        return refuse(l, E_ARG, "the Multiboot header at 0x%x is cut short", at);
    uint64_t header = image_le32(k, at + 12), load = image_le32(k, at + 16), load_end = image_le32(k, at + 20);
    uint64_t bss_end = image_le32(k, at + 24);
    *entry = image_le32(k, at + 28);
    if (load > header || header - load > at)
        return refuse(l, E_ARG,
                      "Multiboot header: load_addr 0x%llx does not fit header_addr 0x%llx at file offset 0x%x",
                      (unsigned long long)load, (unsigned long long)header, at);
    uint64_t offset = at - (header - load), size = load_end == 0 ? k->size - offset : load_end - load;
    if ((load_end != 0 && load_end < load) || !image_has(k, offset, size))
        return refuse(l, E_ARG,
                      "Multiboot header: load_end_addr 0x%llx reaches beyond the file's %llu bytes or before load_addr",
                      (unsigned long long)load_end, (unsigned long long)k->size);
    *end = load + size;
    uint64_t total = size;
    if (bss_end != 0) {
        if (bss_end < *end)
            return refuse(l, E_ARG, "Multiboot header: bss_end_addr 0x%llx lies before the end of the data, 0x%llx",
                          (unsigned long long)bss_end, (unsigned long long)*end);
        *end = bss_end;
        total = bss_end - load;
    }
    if (*entry < load || *entry >= load + size)
        return refuse(l, E_ARG, "Multiboot header: entry_addr 0x%llx is outside what is loaded, 0x%llx-0x%llx",
                      (unsigned long long)*entry, (unsigned long long)load, (unsigned long long)(load + size));
    enum error e = take(l, load, total, "the Multiboot image");
    if (e == OK)
        e = guest_write(l->m, load, k->bytes + offset, size);
    if (e == OK)
        e = guest_fill(l->m, load + size, 0, total - size);
    return e;
}

static enum error load_by_elf(struct loading *l, uint64_t *entry, uint64_t *end)
{
    struct elf elf;
    enum error e = elf_open(l, &elf);
    if (e == OK)
        e = elf_load(l, &elf, end);
    if (e != OK)
        return e;
    /* The entry is a virtual address; paging is off at the start. One that lies in no segment by its virtual address
     * may do so by its physical one: kernels linked high often give it like that. */
    for (int physical = 0; physical < 2; physical++) {
        for (uint32_t i = 0; i < elf.ph_count; i++) {
            struct elf_segment s = elf_segment(&elf, i);
            uint64_t base = physical ? s.paddr : s.vaddr;
            if (s.type == ELF_LOAD && elf.entry >= base && elf.entry - base < s.mem_size) {
                *entry = s.paddr + (elf.entry - base);
                return OK;
            }
        }
    }
    return refuse(l, E_ARG, "the ELF entry 0x%llx lies in no loaded segment", (unsigned long long)elf.entry);
}

static enum error put_module_list(struct loading *l, uint64_t end, struct info *info)
{
    uint64_t base[VMM_MODULES_MAX] = {0}, list;
    struct info_module modules[VMM_MODULES_MAX];
    enum error e = put_modules(l, end > MIB ? end : MIB, base);
    memset(modules, 0, sizeof(modules));
    for (uint32_t i = 0; e == OK && i < l->r->module_count; i++) {
        uint64_t string;
        e = put_string(l, NULL, l->r->module[i].cmdline, "a module's command line", &string);
        modules[i].start = (uint32_t)base[i];
        modules[i].end = (uint32_t)(base[i] + l->r->module[i].size);
        modules[i].string = e == OK ? (uint32_t)string : 0;
    }
    if (e == OK)
        e = put_bytes(l, modules, sizeof(modules), 16, "the Multiboot module list", &list);
    if (e != OK)
        return e;
    info->mods_count = l->r->module_count;
    info->mods_addr = (uint32_t)list;
    return OK;
}

static enum error put_map(struct loading *l, struct info *info)
{
    const struct e820_map *map = l->r->e820;
    struct info_map out[E820_MAX];
    uint32_t count = map->count < E820_MAX ? map->count : E820_MAX;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = (struct info_map){.size = sizeof(struct e820_entry), .entry = map->entry[i]};
        uint64_t base = map->entry[i].base, size = map->entry[i].size;
        if (map->entry[i].type == E820_RAM && base == 0)
            info->mem_lower = (uint32_t)(size / KIB);
        if (map->entry[i].type == E820_RAM && base == MIB)
            info->mem_upper = (uint32_t)(size / KIB);
    }
    uint64_t base;
    enum error e = put_bytes(l, out, count * sizeof(out[0]), 16, "the Multiboot memory map", &base);
    info->mmap_addr = e == OK ? (uint32_t)base : 0;
    info->mmap_length = (uint32_t)(count * sizeof(out[0]));
    return e;
}

enum error multiboot_load(struct loading *l)
{
    uint32_t at = 0;
    uint64_t entry = 0, end = 0, cmdline = 0, name = 0, where = 0;
    if (!multiboot_looks(&l->kernel, &at))
        return refuse(l, E_ARG, "there is no Multiboot header");
    uint32_t flags = image_le32(&l->kernel, at + 4);
    if ((flags & REQUIRED & ~KNOWN_REQUIRED) != 0)
        return refuse(l, E_UNSUPPORTED,
                      "the Multiboot header requires features 0x%x that are not known; known are 0x%x",
                      flags & REQUIRED & ~KNOWN_REQUIRED, KNOWN_REQUIRED);
    enum error e = (flags & HAS_ADDRESSES) != 0 ? load_by_addresses(l, at, &entry, &end) : load_by_elf(l, &entry, &end);
    struct info info;
    memset(&info, 0, sizeof(info));
    info.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MMAP | INFO_LOADER;
    if (e == OK)
        e = put_module_list(l, end, &info);
    if (e == OK)
        e = put_map(l, &info);
    if (e == OK)
        e = put_string(l, l->r->kernel_name, l->r->cmdline, "the command line", &cmdline);
    if (e == OK)
        e = put_string(l, "Mullion", NULL, "the boot loader's name", &name);
    info.cmdline = (uint32_t)cmdline;
    info.boot_loader_name = (uint32_t)name;
    if (e == OK)
        e = put_bytes(l, &info, sizeof(info), 16, "the Multiboot information", &where);
    if (e == OK)
        e = start_protected(l, entry);
    l->out->gpr[GPR_RAX] = BOOT_MAGIC;
    l->out->gpr[GPR_RBX] = where;
    return e;
}
