// SPDX-License-Identifier: Apache-2.0
/*
 * Linux bzImage (Linux Documentation/arch/x86/boot.rst and zero-page.rst; offsets are theirs): by its 64-bit entry, or,
 * if it has none, by its 32-bit entry. What the setup header does not have yet in its protocol version has the value
 * that boot.rst, or GRUB 2's loader/i386/linux.c where boot.rst says nothing, gives it.
 */
#include "lib/string.h"
#include "vmm/loader/internal.h"

#define OFF_SETUP_SECTS  0x1f1u
#define OFF_BOOT_FLAG    0x1feu
#define OFF_JUMP_LENGTH  0x201u
#define OFF_MAGIC        0x202u
#define OFF_VERSION      0x206u
#define OFF_LOADER_TYPE  0x210u
#define OFF_LOADFLAGS    0x211u
#define OFF_CODE32       0x214u
#define OFF_RAMDISK      0x218u
#define OFF_RAMDISK_SIZE 0x21cu
#define OFF_CMDLINE      0x228u
#define OFF_INITRD_MAX   0x22cu
#define OFF_ALIGNMENT    0x230u
#define OFF_RELOCATABLE  0x234u
#define OFF_XLOADFLAGS   0x236u
#define OFF_CMDLINE_SIZE 0x238u
#define OFF_PREF_ADDRESS 0x258u
#define OFF_INIT_SIZE    0x260u
#define OFF_HEADER_LEAST 0x22cu /* end of what protocol 2.02 has */

/* From which protocol version on the header has them. */
#define VERSION_LEAST       0x202u /* the command line by its address, the kernel above 1 MiB */
#define VERSION_INITRD_MAX  0x203u
#define VERSION_RELOCATABLE 0x205u /* and the alignment */
#define VERSION_CMDLINE_MAX 0x206u
#define VERSION_INIT_SIZE   0x20au /* and the preferred address */
#define VERSION_XLOADFLAGS  0x20cu
#define OLD_INITRD_MAX      0x37ffffffull
#define OLD_CMDLINE_MAX     255u

#define ZP_EXT_MEM_K  0x002u /* KiB from 1 MiB on, up to 64 MiB */
#define ZP_RSDP       0x070u
#define ZP_ALT_MEM_K  0x1e0u /* KiB from 1 MiB on */
#define ZP_E820_COUNT 0x1e8u
#define ZP_HEADER_END 0x290u
#define ZP_E820       0x2d0u
#define ZP_E820_MAX   128u

#define MAGIC_HDRS       0x53726448u
#define LOADED_HIGH      0x01u
#define XLF_KERNEL_64    0x01u
#define LOADER_UNDEFINED 0xffu
#define ENTRY_64         0x200u
#define ENTRY_32         0u

bool linux_looks(const struct image *i)
{
    return i->size >= OFF_MAGIC + 4 && image_le16(i, OFF_BOOT_FLAG) == 0xaa55 && image_le32(i, OFF_MAGIC) == MAGIC_HDRS;
}

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
}

struct plan {
    uint64_t offset, size, init_size, base, align, preferred, cmdline_max, initrd_max;
    bool relocatable, entry64;
};

/* What the header says of memory. Protocol versions before 2.10 do not tell how much the kernel needs until it reads
 * the memory map: it unpacks itself behind itself. */
static void read_plan(const struct image *k, struct plan *p)
{
    uint32_t version = image_le16(k, OFF_VERSION);
    p->initrd_max = version >= VERSION_INITRD_MAX ? image_le32(k, OFF_INITRD_MAX) : OLD_INITRD_MAX;
    p->cmdline_max = version >= VERSION_CMDLINE_MAX ? image_le32(k, OFF_CMDLINE_SIZE) : OLD_CMDLINE_MAX;
    p->relocatable = version >= VERSION_RELOCATABLE && k->bytes[OFF_RELOCATABLE] != 0;
    p->align = p->relocatable ? image_le32(k, OFF_ALIGNMENT) : PAGE;
    p->preferred = MIB;
    p->init_size = 3 * p->size;
    if (version >= VERSION_INIT_SIZE) {
        p->preferred = image_le64(k, OFF_PREF_ADDRESS);
        p->init_size = image_le32(k, OFF_INIT_SIZE);
    }
    if (p->init_size < p->size)
        p->init_size = p->size;
    p->entry64 = version >= VERSION_XLOADFLAGS && (image_le16(k, OFF_XLOADFLAGS) & XLF_KERNEL_64) != 0;
}

/* Everything the header says that must hold before anything is loaded. */
static enum error check(struct loading *l, struct plan *p)
{
    const struct image *k = &l->kernel;
    if (!image_has(k, 0, OFF_HEADER_LEAST))
        return refuse(l, E_ARG, "the Linux image is cut short: it has %llu bytes, its header alone needs %u",
                      (unsigned long long)k->size, OFF_HEADER_LEAST);
    uint32_t version = image_le16(k, OFF_VERSION);
    if (version < VERSION_LEAST)
        return refuse(l, E_UNSUPPORTED,
                      "the Linux image speaks boot protocol %u.%02u; 2.02 (Linux 2.4.0) or later is needed",
                      version >> 8, version & 0xff);
    if ((k->bytes[OFF_LOADFLAGS] & LOADED_HIGH) == 0)
        return refuse(l, E_UNSUPPORTED, "the Linux image is a zImage; a bzImage is needed");
    uint32_t sectors = k->bytes[OFF_SETUP_SECTS];
    p->offset = ((uint64_t)(sectors == 0 ? 4 : sectors) + 1) * 512;
    if (k->size <= p->offset)
        return refuse(l, E_ARG, "the Linux image is cut short: its setup part alone is %llu bytes, the file has %llu",
                      (unsigned long long)p->offset, (unsigned long long)k->size);
    p->size = k->size - p->offset;
    read_plan(k, p);
    if (p->entry64 && p->size <= ENTRY_64)
        return refuse(l, E_ARG, "the Linux image is cut short: its 64-bit entry lies behind its end");
    uint64_t length = l->r->cmdline != NULL ? strlen(l->r->cmdline) : 0;
    if (length > p->cmdline_max)
        return refuse(l, E_ARG, "the command line has %llu characters; this Linux takes at most %llu",
                      (unsigned long long)length, (unsigned long long)p->cmdline_max);
    return OK;
}

/* Where the kernel wants to be. Loaded lower, a relocatable one moves itself up there all the same (pref_address in
 * boot.rst), so its memory must be there in any case. Only one that names no place above 1 MiB is put at the lowest. */
static enum error place(struct loading *l, struct plan *p)
{
    if (p->align < PAGE || (p->align & (p->align - 1)) != 0)
        return refuse(l, E_ARG,
                      "the Linux image asks for alignment 0x%llx; a power of two of at least 0x1000 is allowed",
                      (unsigned long long)p->align);
    if (p->preferred >= MIB || !p->relocatable) {
        p->base = p->preferred;
        return take(l, p->preferred, p->init_size, "the Linux kernel");
    }
    return take_low(l, p->init_size, p->align, MIB, "the Linux kernel", &p->base);
}

/* The RAM from 1 MiB on, in KiB. */
static uint64_t above_kib(const struct e820_map *map)
{
    for (uint32_t i = 0; i < map->count; i++)
        if (map->entry[i].type == E820_RAM && map->entry[i].base == MIB)
            return map->entry[i].size / KIB;
    return 0;
}

static enum error zero_page(struct loading *l, const struct plan *p, uint64_t cmdline, uint64_t initrd, uint64_t *base)
{
    static uint8_t page[4096]; /* one guest is loaded at a time */
    const struct image *k = &l->kernel;
    const struct e820_map *map = l->r->e820;
    memset(page, 0, sizeof(page));
    /* The setup header ends where its first jump goes to; never beyond the next field of the zero page or the file. */
    uint64_t end = OFF_MAGIC + (uint64_t)k->bytes[OFF_JUMP_LENGTH];
    if (end > ZP_HEADER_END)
        end = ZP_HEADER_END;
    if (end > k->size)
        end = k->size;
    if (end > OFF_SETUP_SECTS)
        memcpy(page + OFF_SETUP_SECTS, k->bytes + OFF_SETUP_SECTS, end - OFF_SETUP_SECTS);
    page[OFF_LOADER_TYPE] = LOADER_UNDEFINED;
    put32(page + OFF_CODE32, (uint32_t)p->base);
    put32(page + OFF_CMDLINE, (uint32_t)cmdline);
    put32(page + OFF_RAMDISK, (uint32_t)initrd);
    put32(page + OFF_RAMDISK_SIZE, initrd != 0 ? (uint32_t)l->r->module[0].size : 0);
    put64(page + ZP_RSDP, l->r->rsdp);
    uint32_t count = map->count < ZP_E820_MAX ? map->count : ZP_E820_MAX;
    if (count > E820_MAX)
        return refuse(l, E_ARG, "the memory map has %u entries; at most %u are allowed", count, E820_MAX);
    uint64_t above = above_kib(map);
    put32(page + ZP_ALT_MEM_K, (uint32_t)above);
    const uint16_t above_16 = (uint16_t)min_u64(above, 63 * 1024);
    memcpy(page + ZP_EXT_MEM_K, &above_16, sizeof(above_16));
    page[ZP_E820_COUNT] = (uint8_t)count;
    memcpy(page + ZP_E820, map->entry, count * sizeof(map->entry[0]));
    return put_bytes(l, page, sizeof(page), PAGE, "the Linux boot parameters", base);
}

static enum error put_initrd(struct loading *l, const struct plan *p, uint64_t *base)
{
    *base = 0;
    if (l->r->module_count == 0 || l->r->module[0].size == 0)
        return OK;
    if (l->r->module_count > 1)
        return refuse(l, E_ARG, "a Linux guest takes one module, its initrd; %u were given", l->r->module_count);
    uint64_t size = l->r->module[0].size;
    enum error e = take_high(l, size, PAGE, p->initrd_max + 1, "the initrd", base);
    return e != OK ? e : guest_write(l->m, *base, l->r->module[0].bytes, size);
}

enum error linux_load(struct loading *l)
{
    struct plan p = {0};
    uint64_t cmdline = 0, initrd = 0, parameters = 0;
    enum error e = check(l, &p);
    if (e == OK)
        e = place(l, &p);
    if (e == OK)
        e = put_initrd(l, &p, &initrd);
    if (e == OK)
        e = guest_write(l->m, p.base, l->kernel.bytes + p.offset, p.size);
    if (e == OK)
        e = put_string(l, NULL, l->r->cmdline, "the command line", &cmdline);
    if (e == OK)
        e = zero_page(l, &p, cmdline, initrd, &parameters);
    if (e == OK) /* the other registers are 0, as the 32-bit entry wants them */
        e = p.entry64 ? start_long(l, p.base + ENTRY_64) : start_protected(l, p.base + ENTRY_32);
    l->out->gpr[GPR_RSI] = parameters;
    return e;
}
