/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest loaders: put an operating system's image into guest memory and say in which state its first CPU starts. The
 * format is found by looking at the file. An image is never trusted: every offset, length and sum in it is checked
 * before use, and what is wrong is told in a sentence.
 *
 * The images are read only while load_guest runs and are not needed afterwards.
 */
#ifndef VMM_LOADER_LOADER_H
#define VMM_LOADER_LOADER_H

#include <stddef.h>
#include <stdint.h>
#include "mullion/abi.h"
#include "mullion/types.h"
#include "mullion/vcpu.h"
#include "vmm/firmware/e820.h"
#include "vmm/memory.h"

enum guest_format {
    FORMAT_UNKNOWN = 0,
    FORMAT_LINUX,     /* bzImage: Linux Documentation/arch/x86/boot.rst, protocol 2.02 or later */
    FORMAT_MULTIBOOT, /* Multiboot 1, ELF of either class or address fields in the header */
    FORMAT_PVH,       /* ELF with XEN_ELFNOTE_PHYS32_ENTRY */
    FORMAT_SECTOR,    /* flat real-mode code with 0x55 0xaa at 510; starts at 0000:7c00 */
};

struct load_module {
    const void *bytes;
    uint64_t size;
    const char *cmdline; /* NULL: none. Linux: not used. Module 0 is Linux's initrd */
};

struct load_request {
    const void *kernel;
    uint64_t kernel_size;
    const char *cmdline;     /* NULL: empty */
    const char *kernel_name; /* put before the command line for Multiboot; NULL: none */
    uint32_t module_count;   /* at most VMM_MODULES_MAX - 1 */
    struct load_module module[VMM_MODULES_MAX];
    const struct e820_map *e820;
    uint64_t rsdp; /* guest-physical address of the RSDP; 0: no ACPI */
};

struct load_result {
    enum guest_format format;
    uint64_t gpr[GPR_COUNT]; /* rsp in its place */
    uint64_t rip, rflags;
    uint64_t cr0, cr3, cr4, efer;
    struct segment seg[SEG_COUNT];
    struct table_register gdtr, idtr;
};

/* E_ARG: the image or the request is bad; E_UNSUPPORTED: a kind that is known but cannot be started; E_QUOTA: it does
 * not fit in the memory. `why` (why_size > 0) then holds one sentence. */
enum error load_guest(struct guest_memory *m, const struct load_request *r, struct load_result *out, char *why,
                      size_t why_size) must_check;

/* What the file looks like; FORMAT_UNKNOWN if like nothing that load_guest starts. */
enum guest_format load_format(const void *kernel, uint64_t size);
const char *load_format_name(enum guest_format format);

/* Put a first CPU's state, or that of an application processor after INIT and a start-up IPI with `vector`, into the
 * page: all groups but GROUP_TSC, marked dirty; activity runs; nothing pending for injection. */
void apply_initial_state(struct vcpu_state *s, const struct load_result *r);
void apply_sipi_state(struct vcpu_state *s, uint8_t vector);

#endif
