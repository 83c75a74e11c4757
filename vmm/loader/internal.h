/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loaders share: checked reading of an image, the list of guest memory already spoken for, and CPU start
 * states.
 */
#ifndef VMM_LOADER_INTERNAL_H
#define VMM_LOADER_INTERNAL_H

#include <stdarg.h>
#include <stdbool.h>
#include "lib/elf.h"
#include "mullion/types.h"
#include "vmm/loader/loader.h"

#define KIB  1024ull
#define MIB  (1024ull * 1024)
#define GIB  (1024ull * 1024 * 1024)
#define PAGE 4096ull

struct image {
    const uint8_t *bytes;
    uint64_t size;
};

static inline bool image_has(const struct image *i, uint64_t offset, uint64_t length)
{
    return offset <= i->size && length <= i->size - offset;
}

/* Little-endian fields; 0 where the image ends before them (callers check image_has for the whole structure first). */
uint16_t image_le16(const struct image *i, uint64_t offset);
uint32_t image_le32(const struct image *i, uint64_t offset);
uint64_t image_le64(const struct image *i, uint64_t offset);

#define LOAD_USED_MAX 128
struct loading {
    struct guest_memory *m;
    const struct load_request *r;
    struct load_result *out;
    struct image kernel;
    char *why;
    size_t why_size;
    struct {
        uint64_t base, end;
    } used[LOAD_USED_MAX]; /* guest memory below 4 GiB that is taken */
    uint32_t used_count;
};

/* Writes the sentence and returns `e`. */
enum error refuse(struct loading *l, enum error e, const char *text, ...) print_like(3, 4);

/* Takes [base, base + size) of guest RAM below 4 GiB; refuses, naming `what`, if it is not RAM, is firmware's, or is
 * taken. */
enum error take(struct loading *l, uint64_t base, uint64_t size, const char *what) must_check;
/* The lowest free place from `min` on, and below 4 GiB, aligned to `align` (a power of two), taken. */
enum error take_low(struct loading *l, uint64_t size, uint64_t align, uint64_t min, const char *what,
                    uint64_t *base) must_check;
/* The highest from 1 MiB on and below `max`. */
enum error take_high(struct loading *l, uint64_t size, uint64_t align, uint64_t max, const char *what,
                     uint64_t *base) must_check;

/* Takes a low place for the bytes and writes them. */
enum error put_bytes(struct loading *l, const void *bytes, uint64_t size, uint64_t align, const char *what,
                     uint64_t *base) must_check;
/* The same for "first second" as one string; either may be NULL. */
enum error put_string(struct loading *l, const char *first, const char *second, const char *what,
                      uint64_t *base) must_check;

/* Every module at a free page above `min`; their places. */
enum error put_modules(struct loading *l, uint64_t min, uint64_t base[VMM_MODULES_MAX]) must_check;

/* ELF files, read by lib/elf.h; either class, x86. */
#define ELF_NOTE 4u
/* Reads and checks the header and that all program headers lie in the file. */
enum error elf_open(struct loading *l, struct elf *e) must_check;
/* Copies every PT_LOAD to its physical address; *end: the highest address used. */
enum error elf_load(struct loading *l, const struct elf *e, uint64_t *end) must_check;

/* The formats. */
bool linux_looks(const struct image *i);
enum error linux_load(struct loading *l) must_check;
/* *offset: of the header in the file. */
bool multiboot_looks(const struct image *i, uint32_t *offset);
enum error multiboot_load(struct loading *l) must_check;
/* Looks for the note in an ELF without trusting it. */
bool pvh_looks(const struct image *i, uint64_t *entry);
enum error pvh_load(struct loading *l) must_check;
bool sector_looks(const struct image *i);
enum error sector_load(struct loading *l) must_check;

/* Start states. The flat ones put a descriptor table with code at GDT_CODE and data at GDT_DATA into guest memory. */
#define GDT_CODE 0x10
#define GDT_DATA 0x18
#define GDT_TASK 0x20
enum error start_protected(struct loading *l, uint64_t entry) must_check;
/* Also identity page tables of the first 4 GiB. */
enum error start_long(struct loading *l, uint64_t entry) must_check;
void start_real(struct load_result *out, uint16_t cs, uint16_t ip);

#endif
