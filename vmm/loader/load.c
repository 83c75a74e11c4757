// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/loader/loader.h: finding the format, and the memory that a loader speaks for.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "vmm/loader/internal.h"

/* Below here nothing is put of the loaders' own choice: real-mode vectors, and trampolines that small kernels like to
 * have there. */
#define PLACE_MIN 0x10000ull

uint16_t image_le16(const struct image *i, uint64_t offset)
{
    uint16_t v = 0;
    if (image_has(i, offset, sizeof(v)))
        memcpy(&v, i->bytes + offset, sizeof(v));
    return v;
}

uint32_t image_le32(const struct image *i, uint64_t offset)
{
    uint32_t v = 0;
    if (image_has(i, offset, sizeof(v)))
        memcpy(&v, i->bytes + offset, sizeof(v));
    return v;
}

uint64_t image_le64(const struct image *i, uint64_t offset)
{
    uint64_t v = 0;
    if (image_has(i, offset, sizeof(v)))
        memcpy(&v, i->bytes + offset, sizeof(v));
    return v;
}

enum error refuse(struct loading *l, enum error e, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    format_list(l->why, l->why_size, text, arguments);
    va_end(arguments);
    return e;
}

/* End of the taken range that meets [base, base + size), or 0; *start: its beginning. Only called with sums that cannot
 * wrap. */
static uint64_t conflict(const struct loading *l, uint64_t base, uint64_t size, uint64_t *start)
{
    for (uint32_t i = 0; i < l->used_count; i++) {
        if (base < l->used[i].end && base + size > l->used[i].base) {
            *start = l->used[i].base;
            return l->used[i].end;
        }
    }
    return 0;
}

static enum error note_used(struct loading *l, uint64_t base, uint64_t size)
{
    if (l->used_count == LOAD_USED_MAX)
        return refuse(l, E_QUOTA, "the image has more pieces than the %u that can be placed", LOAD_USED_MAX);
    l->used[l->used_count].base = base;
    l->used[l->used_count].end = base + size;
    l->used_count++;
    return OK;
}

enum error take(struct loading *l, uint64_t base, uint64_t size, const char *what)
{
    uint64_t low = guest_low_end(l->m), start;
    if (size == 0)
        return OK;
    if (base >= low || size > low - base)
        return refuse(l, E_QUOTA, "%s needs memory at 0x%llx, %llu KiB; the guest's memory below 4 GiB ends at 0x%llx",
                      what, (unsigned long long)base, (unsigned long long)((size + KIB - 1) / KIB),
                      (unsigned long long)low);
    if (base < GUEST_HOLE_END && base + size > GUEST_HOLE_START)
        return refuse(l, E_ARG, "%s lies at 0x%llx-0x%llx; 0x9fc00-0xfffff belongs to the firmware", what,
                      (unsigned long long)base, (unsigned long long)(base + size - 1));
    if (conflict(l, base, size, &start) != 0)
        return refuse(l, E_ARG, "%s at 0x%llx-0x%llx overlaps another part of the image", what,
                      (unsigned long long)base, (unsigned long long)(base + size - 1));
    return note_used(l, base, size);
}

static enum error no_room(struct loading *l, uint64_t size, const char *what)
{
    return refuse(l, E_QUOTA, "%s (%llu KiB) does not fit into the guest's memory (%llu MiB)", what,
                  (unsigned long long)((size + KIB - 1) / KIB), (unsigned long long)(guest_total(l->m) / MIB));
}

enum error take_low(struct loading *l, uint64_t size, uint64_t align, uint64_t min, const char *what, uint64_t *base)
{
    uint64_t max = min_u64(guest_low_end(l->m), GUEST_LOW_RAM_MAX);
    if (size == 0)
        size = 1;
    /* Every step goes past one taken range, so there are at most used_count + 1 steps. Addresses stay below 4 GiB. */
    uint64_t at = (min + align - 1) & ~(align - 1);
    while (at <= max && size <= max - at) {
        uint64_t start, end = conflict(l, at, size, &start);
        if (end == 0) {
            *base = at;
            return note_used(l, at, size);
        }
        at = (end + align - 1) & ~(align - 1);
    }
    return no_room(l, size, what);
}

enum error take_high(struct loading *l, uint64_t size, uint64_t align, uint64_t max, const char *what, uint64_t *base)
{
    max = min_u64(max, guest_low_end(l->m));
    if (size == 0)
        size = 1;
    while (max >= size) {
        uint64_t at = (max - size) & ~(align - 1), start;
        if (at < MIB)
            break;
        if (conflict(l, at, size, &start) == 0) {
            *base = at;
            return note_used(l, at, size);
        }
        max = start;
    }
    return no_room(l, size, what);
}

enum error put_bytes(struct loading *l, const void *bytes, uint64_t size, uint64_t align, const char *what,
                     uint64_t *base)
{
    enum error e = take_low(l, size, align, PLACE_MIN, what, base);
    return e != OK ? e : guest_write(l->m, *base, bytes, size);
}

enum error put_string(struct loading *l, const char *first, const char *second, const char *what, uint64_t *base)
{
    uint64_t a = first != NULL ? strlen(first) : 0, b = second != NULL ? strlen(second) : 0, gap = a != 0 && b != 0;
    enum error e = take_low(l, a + gap + b + 1, 16, PLACE_MIN, what, base);
    if (e == OK)
        e = guest_fill(l->m, *base, 0, a + gap + b + 1);
    if (e == OK && a != 0)
        e = guest_write(l->m, *base, first, a);
    if (e == OK && gap != 0)
        e = guest_write(l->m, *base + a, " ", 1);
    if (e == OK && b != 0)
        e = guest_write(l->m, *base + a + gap, second, b);
    return e;
}

enum error put_modules(struct loading *l, uint64_t min, uint64_t base[VMM_MODULES_MAX])
{
    for (uint32_t i = 0; i < l->r->module_count; i++) {
        const struct load_module *module = &l->r->module[i];
        char what[32];
        format(what, sizeof(what), "module %u", i + 1);
        /* Whole pages, so that a kernel which reclaims memory by pages does not free a neighbour. */
        enum error e = take_low(l, (module->size + PAGE - 1) & ~(PAGE - 1), PAGE, min, what, &base[i]);
        if (e == OK)
            e = guest_write(l->m, base[i], module->bytes, module->size);
        if (e != OK)
            return e;
    }
    return OK;
}

enum guest_format load_format(const void *kernel, uint64_t size)
{
    struct image i = {.bytes = kernel, .size = size};
    uint32_t offset;
    uint64_t entry;
    if (linux_looks(&i))
        return FORMAT_LINUX;
    if (multiboot_looks(&i, &offset))
        return FORMAT_MULTIBOOT;
    if (pvh_looks(&i, &entry))
        return FORMAT_PVH;
    if (!elf_magic(i.bytes, i.size) && sector_looks(&i))
        return FORMAT_SECTOR;
    return FORMAT_UNKNOWN;
}

const char *load_format_name(enum guest_format format)
{
    static const char *const name[] = {"unknown", "Linux bzImage", "Multiboot", "PVH", "real-mode sector"};
    return (uint32_t)format < sizeof(name) / sizeof(name[0]) ? name[format] : "unknown";
}

/* The commonest mistakes get a name. */
static enum error not_known(struct loading *l)
{
    const struct image *k = &l->kernel;
    if (k->size == 0)
        return refuse(l, E_ARG, "the kernel image is empty");
    if (image_le16(k, 0) == 0x8b1f)
        return refuse(l, E_UNSUPPORTED,
                      "the kernel image is a gzip file; ./mullion unpacks it, and so does GRUB after insmod gzio");
    if (elf_magic(k->bytes, k->size))
        return refuse(l, E_UNSUPPORTED,
                      "the kernel image is an ELF file with neither a Multiboot 1 header in its first 8192 "
                      "bytes nor a PVH entry note");
    return refuse(l, E_UNSUPPORTED,
                  "the kernel image is none of: Linux bzImage, ELF with Multiboot 1 or PVH, boot sector");
}

enum error load_guest(struct guest_memory *m, const struct load_request *r, struct load_result *out, char *why,
                      size_t why_size)
{
    struct loading l = {.m = m, .r = r, .out = out, .why = why, .why_size = why_size};
    l.kernel = (struct image){.bytes = r->kernel, .size = r->kernel_size};
    if (why_size > 0)
        why[0] = 0;
    memset(out, 0, sizeof(*out));
    if (r->module_count > VMM_MODULES_MAX || r->e820 == NULL || (r->kernel == NULL && r->kernel_size != 0))
        return refuse(&l, E_ARG, "the request to load a guest is malformed");
    for (uint32_t i = 0; i < r->module_count; i++) {
        if (r->module[i].bytes == NULL && r->module[i].size != 0)
            return refuse(&l, E_ARG, "module %u has no contents", i + 1);
        if (r->module[i].size > GUEST_LOW_RAM_MAX)
            return refuse(&l, E_QUOTA, "module %u is larger than the 3 GiB that a guest has below 4 GiB", i + 1);
    }
    if (guest_low_end(m) < 2 * MIB)
        return refuse(&l, E_QUOTA, "the guest has %llu KiB of memory; the least is 2 MiB",
                      (unsigned long long)(guest_low_end(m) / KIB));
    enum error e = note_used(&l, GUEST_HOLE_START, GUEST_HOLE_END - GUEST_HOLE_START);
    if (e != OK)
        return e;
    out->format = load_format(r->kernel, r->kernel_size);
    switch (out->format) {
    case FORMAT_LINUX: return linux_load(&l);
    case FORMAT_MULTIBOOT: return multiboot_load(&l);
    case FORMAT_PVH: return pvh_load(&l);
    case FORMAT_SECTOR: return sector_load(&l);
    case FORMAT_UNKNOWN: break;
    }
    return not_known(&l);
}
