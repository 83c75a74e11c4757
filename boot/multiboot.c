// SPDX-License-Identifier: Apache-2.0
/*
 * Multiboot information, versions 1 and 2. Sources: Multiboot Specification 0.6.96, 3.3; Multiboot2
 * Specification 2.0, 3.6.
 */
#include "boot/multiboot.h"

#include "kernel/string.h"

#define MAGIC1  0x2badb002u
#define MAGIC2  0x36d76289u
#define REACH   0x100000000ull
#define RAM_END (1ull << 52) /* no CPU has more physical address bits */

static uint64_t get(uint64_t at, unsigned bytes)
{
    return read_le((const void *)at, bytes);
}

/* A string that ends before `end` at the latest. */
static void copy_text(char *out, size_t size, uint64_t at, uint64_t end)
{
    copy_string(out, at && at < end ? min_u64(size, end - at + 1) : 1, (const char *)at);
}

static void add_module(struct root_boot *root, uint64_t start, uint64_t end, uint64_t text, uint64_t text_end)
{
    if (root->module_count == BOOT_MODULES_MAX) {
        root->modules_left_out++;
        return;
    }
    struct boot_module *m = &root->module[root->module_count++];
    m->base = start;
    m->size = start < end && end <= REACH ? end - start : 0;
    copy_text(m->name, BOOT_NAME_MAX, text, text_end);
}

/* Firmware maps may be in any order and overlap; what anybody calls unusable is unusable. Two passes: add, then remove.
 */
static void memory_entry(struct boot_facts *f, struct root_boot *root, uint64_t base, uint64_t size, uint64_t type,
                         bool removing)
{
    if (size == 0 || base >= RAM_END)
        return;
    enum error e = OK;
    if (!removing && type == 1) {
        if (size > RAM_END - base) /* nonsense: better none of it than too much */
            return;
        root->ram_total += size;
        uint64_t start = page_up(base), end = page_down(base + size);
        if (start < end)
            e = ranges_add(f->ram, &f->ram_count, BOOT_RAM_MAX, (struct boot_range){start, end - start});
    } else if (removing && type != 1) {
        uint64_t start = page_down(base), end = size > RAM_END - base ? RAM_END : page_up(base + size);
        e = ranges_remove(f->ram, &f->ram_count, BOOT_RAM_MAX, (struct boot_range){start, end - start});
    }
    if (e != OK)
        root->ranges_left_out++;
}

static void read1(uint64_t info, struct boot_facts *f, struct root_boot *root)
{
    uint64_t flags = get(info, 4);
    if (flags & 1u << 2)
        copy_text(root->cmdline, sizeof root->cmdline, get(info + 16, 4), REACH);
    if (flags & 1u << 3) {
        uint64_t count = min_u64(get(info + 20, 4), 4096), at = get(info + 24, 4);
        for (uint64_t i = 0; i < count && at + 16 <= REACH; i++, at += 16)
            add_module(root, get(at, 4), get(at + 4, 4), get(at + 8, 4), REACH);
    }
    if (flags & 1u << 6) {
        uint64_t start = get(info + 48, 4), end = start + get(info + 44, 4);
        for (int removing = 0; removing < 2; removing++)
            for (uint64_t at = start, step; at + 24 <= end && end <= REACH; at += step) {
                step = get(at, 4) + 4;
                if (step < 24)
                    break;
                memory_entry(f, root, get(at + 4, 8), get(at + 12, 8), get(at + 20, 4), removing);
            }
    }
}

static void read2(uint64_t info, struct boot_facts *f, struct root_boot *root)
{
    uint64_t end = info + get(info, 4);
    for (int pass = 0; pass < 2; pass++)
        for (uint64_t at = info + 8, size; at + 8 <= end && end <= REACH; at += (size + 7) & ~7ull) {
            uint64_t type = get(at, 4);
            size = get(at + 4, 4);
            if (type == 0 || size < 8 || at + size > end)
                break;
            if (type == 6 && size >= 16) {
                uint64_t entry = get(at + 8, 4);
                for (uint64_t e = at + 16; entry >= 24 && e + entry <= at + size; e += entry)
                    memory_entry(f, root, get(e, 8), get(e + 8, 8), get(e + 16, 4), pass == 1);
            }
            if (pass == 1)
                continue;
            if (type == 1)
                copy_text(root->cmdline, sizeof root->cmdline, at + 8, at + size);
            else if (type == 3 && size >= 17)
                add_module(root, get(at + 8, 4), get(at + 12, 4), at + 16, at + size);
            else if (type == 15 || (type == 14 && f->rsdp == 0)) /* ACPI 2.0's pointer wins */
                f->rsdp = at + 8;
            else if (type == 8)
                memcpy(&root->screen, (const void *)(at + 8), min_u64(size - 8, sizeof root->screen));
        }
}

enum error multiboot_read(uint32_t magic, uint64_t info, struct boot_facts *f, struct root_boot *root)
{
    memset(f, 0, sizeof *f);
    root->screen.type = SCREEN_NONE;
    if (info == 0 || info >= REACH - 128)
        return E_ARG;
    if (magic == MAGIC1)
        read1(info, f, root);
    else if (magic == MAGIC2)
        read2(info, f, root);
    else
        return E_ARG;
    return OK;
}
