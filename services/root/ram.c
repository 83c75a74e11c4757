// SPDX-License-Identifier: Apache-2.0
/*
 * The machine's RAM: what is free, and memory objects cut out of it. See root.h.
 */
#include "lib/string.h"
#include "lib/syscall.h"
#include "services/root/root.h"

static struct free_map map;

static void take(uint64_t base, uint64_t size)
{
    if (!free_map_take(&map, base, size))
        root_log(LOG_WARN, "0x%llx+0x%llx cannot be taken out of the map of RAM: memory around it will not be used",
                 (unsigned long long)base, (unsigned long long)size);
}

void ram_init(void)
{
    const struct root_boot *b = ROOT_BOOT;
    for (unsigned i = 0; i < b->ram_count && i < BOOT_RAM_MAX; i++) {
        uint64_t base = page_up(b->ram[i].base), end = page_down(b->ram[i].base + b->ram[i].size);
        if (base < end && !free_map_add(&map, base, end - base))
            root_log(LOG_WARN, "the map of RAM is too ragged: some memory will not be used");
    }
    for (unsigned i = 0; i < b->module_count && i < BOOT_MODULES_MAX; i++) {
        const struct boot_module *m = &b->module[i];
        if (m->size != 0)
            take(page_down(m->base), page_up(m->base + m->size) - page_down(m->base));
    }
}

uint64_t ram_free_bytes(void)
{
    return free_map_total(&map);
}

bool ram_place_guest(uint64_t bytes, struct guest_memory *out)
{
    return place_guest(&map, bytes, out);
}

uint64_t ram_place_private(uint64_t bytes)
{
    return place_private(&map, bytes);
}

uint64_t ram_place_region(uint64_t bytes)
{
    return place_region(&map, bytes);
}

void ram_give(uint64_t hpa, uint64_t bytes)
{
    const struct root_boot *b = ROOT_BOOT;
    bytes = page_up(bytes);
    for (unsigned i = 0; i < b->ram_count && i < BOOT_RAM_MAX; i++) {
        uint64_t low = b->ram[i].base, high = low + b->ram[i].size;
        if (hpa >= low && hpa + bytes <= high && !free_map_give(&map, hpa, bytes, low, high))
            root_log(LOG_WARN, "the map of RAM is too ragged: memory at 0x%llx stays unused", (unsigned long long)hpa);
    }
}

uint64_t ram_carve(uint64_t hpa, uint64_t size, uint32_t tag)
{
    const struct root_boot *b = ROOT_BOOT;
    for (unsigned i = 0; i < b->ram_count && i < BOOT_RAM_MAX; i++) {
        if (hpa < b->ram[i].base || hpa + size > b->ram[i].base + b->ram[i].size)
            continue;
        struct syscall_result r = sys_memory_carve(b->ram[i].slot, hpa - b->ram[i].base, size, tag);
        if (r.error == OK)
            return r.value;
        root_log(LOG_ERROR, "memory 0x%llx+0x%llx cannot be taken: %s", (unsigned long long)hpa,
                 (unsigned long long)size, error_text(r.error));
        return 0;
    }
    root_log(LOG_ERROR, "memory 0x%llx+0x%llx is not RAM", (unsigned long long)hpa, (unsigned long long)size);
    return 0;
}

uint64_t ram_shared(uint64_t va, uint64_t size, uint32_t tag)
{
    size = page_up(size);
    uint64_t hpa = ram_place_private(size);
    if (hpa == 0) {
        root_log(LOG_ERROR, "no free memory for %llu KiB of shared pages", (unsigned long long)(size >> 10));
        return 0;
    }
    uint64_t memory = ram_carve(hpa, size, tag);
    if (memory == 0)
        return 0;
    enum error e = sys_map(ROOT_SLOT_SELF, va, memory, 0, size, RIGHT_READ | RIGHT_WRITE);
    if (e != OK) {
        root_log(LOG_ERROR, "shared pages cannot be mapped: %s", error_text(e));
        return 0;
    }
    memset((void *)va, 0, size);
    return memory;
}
