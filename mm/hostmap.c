// SPDX-License-Identifier: Apache-2.0
#include "mm/hostmap.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "mullion/pool.h"
#include "mullion/regs.h"

#define KERNEL_PAGES  96u /* of the pool for the kernel's own tables, besides PAGES_PER_CPU */
#define PAGES_PER_CPU 20u /* area, its tables, the backend's */
#define ENTRY_PRESENT 0x1ull
#define ENTRY_WRITE   0x2ull
#define ENTRY_USED    0x60ull /* accessed, dirty: the CPU need not write them */
#define ENTRY_LARGE   0x80ull
#define ENTRY_NX      (1ull << 63)
#define ENTRY_ADDRESS 0x000ffffffffff000ull

extern char text_start[], text_end[], rodata_end[], programs_end[], data_start[], kernel_end[];
extern uint64_t boot_pdpt_high_va[]; /* the boot tables, by their address in the kernel's half: linker.ld */

struct pagetable kernel_tables;
struct quota kernel_quota;

static uint64_t early_pool_directory[512] __attribute__((aligned(4096)));
static uint64_t next_device_va = DEVICES_VA;

hpa_t image_hpa(const void *p)
{
    return hpa((uint64_t)p - KERNEL_BASE);
}

/* The pool's base; 0, where no PC has a place for it: none. From the top down: low memory is dear to firmware and to
 * old devices. */
static uint64_t choose_pool(const struct boot_range *free, unsigned count, uint64_t size)
{
    for (unsigned i = count; i-- > 0;) {
        uint64_t end = min_u64(free[i].base + free[i].size, 0x100000000ull) & ~(SIZE_2M - 1);
        if (end >= size && end - size >= free[i].base)
            return end - size;
    }
    return 0;
}

static void map_kernel(uint64_t va, hpa_t frame, uint64_t size, uint32_t rights)
{
    enum error e = pt_map(&kernel_tables, va, frame, size, rights | PT_GLOBAL);
    if (e != OK)
        panic("cannot map the kernel's own memory at 0x%lx (error %u)", va, e);
}

static void map_image(const char *from, const char *to, uint32_t rights)
{
    map_kernel((uint64_t)from, image_hpa(from), (uint64_t)(to - from), rights);
}

/* The entry of the last 512 GiB that leads to the windows of this CPU and 511 others. */
static uint64_t *window_directory(unsigned cpu)
{
    uint64_t *top = pool_ptr(hpa(kernel_tables.root[KERNEL_SLOT] & ENTRY_ADDRESS));
    return &top[(WINDOWS_VA >> 30) % 512 + cpu / 512];
}

void hostmap_init(const struct boot_range *free, unsigned count, uint64_t ram_total, unsigned cpus,
                  struct boot_range *pool)
{
    if (!(cpuid(0x80000001, 0).edx & 1u << 26)) /* no 1 GiB pages: the bit is reserved there (AMD APM vol. 2, 5.3.4) */
        pt_host.max_leaf_level = pt_npt.max_leaf_level = 2;
    uint64_t base = 0, size = pool_bytes(ram_total, cpus);
    while ((base = choose_pool(free, count, size)) == 0) {
        size -= SIZE_2M;
        if (size < POOL_BYTES_MIN)
            panic("no %u MiB of free memory in one piece below 4 GiB; Mullion needs a machine with at least 64 MiB",
                  (unsigned)(POOL_BYTES_MIN >> 20));
    }
    *pool = (struct boot_range){base, size};

    for (uint64_t i = 0; i < size / SIZE_2M; i++)
        early_pool_directory[i] = (base + i * SIZE_2M) | ENTRY_PRESENT | ENTRY_WRITE | ENTRY_LARGE;
    boot_pdpt_high_va[511] = image_hpa(early_pool_directory).v | ENTRY_PRESENT | ENTRY_WRITE;
    pool_init(hpa(base), size, (void *)POOL_VA);

    kernel_quota.limit_bytes = min_u64((KERNEL_PAGES + PAGES_PER_CPU * cpus) * PAGE_SIZE, size / 2);
    if (pt_create(&kernel_tables, &pt_host, &kernel_quota) != OK)
        panic("no memory for the kernel's page table");
    if (!(cpuid(0x80000001, 0).edx & 1u << 20))
        panic(
            "no-execute pages are off: switch on \"Execute Disable Bit\", \"NX Mode\" or \"Data Execution Prevention\" in "
            "the firmware's CPU settings; an emulator's CPU model may lack them");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    map_image(text_start, text_end, RIGHT_READ | RIGHT_EXEC);
    map_image(text_end, programs_end, RIGHT_READ);
    map_image(data_start, kernel_end, RIGHT_READ | RIGHT_WRITE);
    map_kernel(POOL_VA, hpa(base), size, RIGHT_READ | RIGHT_WRITE);
    for (unsigned cpu = 0; cpu < cpus; cpu += 512)
        *window_directory(cpu) = pool_hpa(pool_page(&kernel_quota)).v | ENTRY_PRESENT | ENTRY_WRITE;
    write_cr3(pool_hpa(kernel_tables.root).v);
}

enum error hostmap_pool_page(uint64_t va)
{
    void *page = pool_page(&kernel_quota);
    if (!page)
        return E_QUOTA;
    return pt_map(&kernel_tables, va, pool_hpa(page), PAGE_SIZE, RIGHT_READ | RIGHT_WRITE | PT_GLOBAL);
}

/* At the next place in the region for devices; NULL: more than `bytes_max`, or no table for it. */
static void *map_device(hpa_t base, uint64_t size, uint64_t bytes_max, uint32_t type)
{
    uint64_t offset = base.v & PAGE_MASK, bytes = page_up(size + offset), va = next_device_va;
    if (bytes > bytes_max ||
        pt_map(&kernel_tables, va, hpa(base.v - offset), bytes, RIGHT_READ | RIGHT_WRITE | PT_GLOBAL | type) != OK)
        return NULL;
    next_device_va += bytes;
    return (void *)(va + offset);
}

void *hostmap_device(hpa_t base, uint64_t size)
{
    void *where = map_device(base, size, POOL_VA - next_device_va, PT_UNCACHED);
    if (!where)
        panic("cannot map the device at 0x%lx", base.v);
    return where;
}

bool hostmap_reaches(uint64_t address)
{
    unsigned bits = cpuid(0x80000000, 0).eax >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
    return address >> bits == 0;
}

void *hostmap_video(hpa_t base, uint64_t size)
{
    if (!hostmap_reaches(base.v + size - 1))
        return NULL;
    return map_device(base, size, (POOL_VA - next_device_va) / 2, PT_COMBINING);
}

static uint64_t *window_entry(unsigned cpu)
{
    uint64_t *directory = pool_ptr(hpa(*window_directory(cpu) & ENTRY_ADDRESS));
    return &directory[cpu % 512];
}

void *window_open(hpa_t a)
{
    unsigned cpu = this_cpu()->number;
    uint64_t va = WINDOWS_VA + cpu * SIZE_2M;
    *window_entry(cpu) = (a.v & ~(SIZE_2M - 1)) | ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USED | ENTRY_LARGE | ENTRY_NX;
    barrier();
    return (void *)(va + (a.v & (SIZE_2M - 1)));
}

void window_close(void)
{
    unsigned cpu = this_cpu()->number;
    *window_entry(cpu) = 0;
    invlpg(WINDOWS_VA + cpu * SIZE_2M);
}
