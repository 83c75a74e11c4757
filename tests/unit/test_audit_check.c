// SPDX-License-Identifier: Apache-2.0
// sources: @kernel services/audit/walk.c services/audit/check.c services/audit/collect.c services/audit/rules.c services/audit/bitmaps.c
// libs: -include tests/unit/fake_cpu.h
/*
 * The checker against a machine with root, a console and two guests, made by the kernel's own system calls: it passes,
 * and each kind of violation that is planted is found and named; then the kernel's memory is damaged at random, and the
 * checker comes to an end each time without reading a byte that it was not shown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_machine.h"

#include "count_tables.h"
#include "kernel/audit_view.h"
#include "mm/pagetable.h"
#include "pt_lookup.h"
#include "services/audit/check.h"
#include "svm/svm.h"

#define POOL_BASE   0x1000000ull
#define POOL_SIZE   (8ull << 20)
#define IMAGE       0x200000ull /* some place that is no RAM */
#define T           root_thread
#define R           RIGHT_READ
#define RW          (RIGHT_READ | RIGHT_WRITE)
#define RX          (RIGHT_READ | RIGHT_EXEC)
#define GUEST_BYTES SIZE_2M

static struct {
    struct audit_view shown __attribute__((aligned(4096)));
    uint8_t msrpm[MSRPM_BYTES] __attribute__((aligned(4096))), iopm[IOPM_BYTES] __attribute__((aligned(4096)));
} page; /* what is shown beside the pool; shown is copied there before each look */
#define SHOWN_HPA 0x300000ull
#define MSRPM_HPA (SHOWN_HPA + offsetof(__typeof__(page), msrpm))
#define IOPM_HPA  (SHOWN_HPA + offsetof(__typeof__(page), iopm))

static struct view view;
static struct audit_boot boot;
static struct audit_answer out;
static uint8_t *pool;
static struct backend npt;
static uint64_t event, module, module_bytes = 4 * PAGE_SIZE;
static uint64_t console, console_memory, next_offset;
#define DRIVER 9u /* a service that drives a device */
static struct guest {
    uint64_t domain, memory, private, shared, space;
    struct thread *thread;
    struct space *s;
} guest[2];

/* ---- the machine */

static enum error create(struct vcpu *v)
{
    struct svm_vcpu *s = pool_alloc(&v->payer->quota, sizeof *s);
    struct vmcb *b = pool_page(&v->payer->quota);
    s->vmcb = b;
    s->vmcb_hpa = pool_hpa(b).v;
    b->control.intercepts[0] = 1u << 27 | 1u << 28;
    b->control.nested = 1;
    b->control.nested_cr3 = pool_hpa(v->space->tables.root).v;
    b->control.iopm = IOPM_HPA;
    b->control.msrpm = MSRPM_HPA;
    v->hw = s;
    return OK;
}

static void destroy(struct vcpu *v)
{
    struct svm_vcpu *s = v->hw;
    pool_page_free(&v->payer->quota, s->vmcb);
    pool_free(&v->payer->quota, s, sizeof *s);
}

static uint64_t carve(uint64_t size, uint32_t tag)
{
    uint64_t offset = next_offset;
    next_offset += size;
    return made(call4(T, SYS_MEMORY_CARVE, RAM_SLOT, offset, size, tag));
}

static uint64_t device(uint64_t base, uint64_t size, uint32_t tag)
{
    return made(call(T, SYS_HARDWARE, ROOT_SLOT_HARDWARE, HARDWARE_MEMORY, base, size, tag, 0));
}

static void map(struct thread *t, uint64_t target, uint64_t at, uint64_t memory, uint64_t size, uint32_t rights)
{
    assert_int_equal(call(t, SYS_MAP, target, at, memory, 0, size, rights).error, OK);
}

static uint64_t new_domain(uint32_t tag)
{
    uint64_t d = made(call4(T, SYS_DOMAIN_CREATE, 64, event, 1, tag | DOMAIN_OWN_CODE));
    add_cpus(T, d, 0, MACHINE_CPUS - 1);
    return d;
}

static struct thread *thread_in(uint64_t domain, unsigned cpu)
{
    return object_at(T, made(call(T, SYS_THREAD_CREATE, domain, 0x400000, 0x800000, 0, SCHED_PLACE(cpu, 3), 0)));
}

/* As root makes a guest, and its monitor then its space and a vCPU. */
static void make_guest(unsigned n)
{
    struct guest *g = &guest[n];
    g->domain = new_domain(TAG_MONITOR(n));
    map(T, g->domain, 0x400000, module, module_bytes, RX);
    map(T, g->domain, 0x500000, g->private, 2 * PAGE_SIZE, RW);
    map(T, g->domain, 0x600000, g->shared, PAGE_SIZE, RW);
    map(T, g->domain, 0x1000000000, g->memory, GUEST_BYTES, RW);
    made(call4(T, SYS_HANDLE_GRANT, g->domain, g->memory, RW | RX, 8));
    g->thread = thread_in(g->domain, 1 + n);
    g->space = made(call0(g->thread, SYS_SPACE_CREATE));
    g->s = object_at(g->thread, g->space);
    map(g->thread, g->space, 0, 8, GUEST_BYTES, RW | RX);
    made(call2(g->thread, SYS_VCPU_CREATE, g->space, 0x700000));
}

static uint64_t *table_at(const struct pagetable *pt, uint64_t va, unsigned level)
{
    uint64_t *t = pt->root;
    for (unsigned l = 4; l > level; l--)
        t = pool_ptr(hpa(t[va >> (12 + 9 * (l - 1)) & 511] & 0xffffffffff000));
    return &t[va >> (12 + 9 * (level - 1)) & 511];
}

static void setup_as(const struct pt_format *format)
{
    void *state = NULL;
    shown = (struct audit_view){0};
    machine_start(&state);
    npt = *backend;
    npt.format = format;
    npt.vcpu_create = create;
    npt.vcpu_destroy = destroy;
    backend = &npt;
    pool = pool_ptr(hpa(POOL_BASE));
    memset(page.msrpm, 0xff, sizeof page.msrpm);
    memset(page.iopm, 0xff, sizeof page.iopm);

    enum error e;
    assert_non_null(memory_new(root, hpa(POOL_BASE), POOL_SIZE, TAG_KERNEL, false, &e));
    assert_int_equal(pt_map(&kernel_tables, 0xffffffffc0000000, hpa(POOL_BASE), POOL_SIZE, RW | PT_GLOBAL), OK);
    root->tables.root[KERNEL_SLOT] = kernel_tables.root[KERNEL_SLOT];
    for (unsigned i = 0; i < MSR_BITMAPS; i++) {
        void *bitmap = pool_page(&kernel_quota);
        memset(bitmap, 0xff, PAGE_SIZE);
        shown.msr_bitmap[i] = format == &pt_ept ? bitmap : NULL;
    }
    shown.root = root;
    shown.kernel_table = kernel_tables.root;

    next_offset = 0;
    event = made(call0(T, SYS_EVENT_CREATE));
    for (unsigned n = 0; n < 2; n++)
        guest[n].memory = carve(GUEST_BYTES, TAG_GUEST(n));
    for (unsigned n = 0; n < 2; n++) {
        guest[n].private = carve(2 * PAGE_SIZE, TAG_MONITOR(n));
        guest[n].shared = carve(PAGE_SIZE, TAG_SHARED(TAG_MONITOR(n)));
        map(T, ROOT_SLOT_SELF, 0x80000000 + n * 0x100000, guest[n].shared, PAGE_SIZE, RW);
    }
    module = carve(module_bytes, TAG_MODULE);
    console_memory = carve(PAGE_SIZE, TAG_CONSOLE);
    console = new_domain(TAG_CONSOLE);
    map(T, console, 0x500000, console_memory, PAGE_SIZE, RW);
    map(T, console, 0x600000, guest[0].shared, PAGE_SIZE, RW);
    made(call2(T, SYS_PORTS_OPEN, console, PORTS_SLOT));
    thread_in(console, 0);
    make_guest(0);
    make_guest(1);

    view = (struct view){.pool = pool,
                         .pool_hpa = POOL_BASE,
                         .pool_size = POOL_SIZE,
                         .pool_va = (uint64_t)(uintptr_t)pool,
                         .shown = &page.shown,
                         .shown_hpa = SHOWN_HPA,
                         .shown_size = sizeof page};
    boot = (struct audit_boot){
        .amd = format == &pt_npt,
        .ram_count = 1,
        .ram = {{RAM_BASE, RAM_SIZE}},
        .ram_total = RAM_SIZE + POOL_SIZE,
        .service_count = 2,
        .service = {{.tag = TAG_CONSOLE, .ports = 1, .reach = {{TAG_LOG, R}, {TAG_SCREEN, RW}, {AUDIT_CHANNELS, RW}}},
                    {.tag = TAG_AUDIT, .reach = {{TAG_KERNEL, R}}}}};
}

static int setup(void **state)
{
    (void)state;
    setup_as(&pt_npt);
    return 0;
}

static int setup_ept(void **state)
{
    (void)state;
    setup_as(&pt_ept);
    return 0;
}

static void look(void)
{
    page.shown = shown;
    check(&view, &boot, &out);
}

static void passes(void)
{
    look();
    for (unsigned i = 0; i < out.listed; i++)
        printf("kind %u, of 0x%x, other 0x%x, where 0x%lx + 0x%lx, at 0x%lx\n", out.violation[i].kind,
               out.violation[i].who, out.violation[i].other, out.violation[i].where, out.violation[i].size,
               out.violation[i].at);
    assert_int_equal(out.verdict, AUDIT_PASSED);
}

/* It is told of, and nothing else but (perhaps) of kind `too`. */
static void finds_with(enum audit_kind kind, uint32_t who, uint32_t other, uint64_t where, uint64_t size,
                       enum audit_kind too)
{
    look();
    assert_int_equal(out.verdict, AUDIT_FAILED);
    bool found = false;
    for (unsigned i = 0; i < out.listed; i++) {
        const struct audit_violation *v = &out.violation[i];
        bool this = v->kind == kind && v->who == who && v->other == other && v->where == where && v->size == size;
        found = found || this;
        if (!this && v->kind != too)
            printf("also: kind %u, of 0x%x, other 0x%x, where 0x%lx + 0x%lx\n", v->kind, v->who, v->other, v->where,
                   v->size);
        assert_true(this || v->kind == too);
    }
    assert_true(found);
}

static void finds(enum audit_kind kind, uint32_t who, uint32_t other, uint64_t where, uint64_t size)
{
    finds_with(kind, who, other, where, size, kind);
    assert_int_equal(out.violation_count, 1);
}

static uint64_t frame_of(uint64_t handle)
{
    return ((struct memory *)object_at(T, handle))->range.base.v;
}
static struct domain *monitor(unsigned n)
{
    return object_at(T, guest[n].domain);
}

/* ---- all is well */

/* The console draws on the screen, and no other program reaches it. */
static void test_the_screen(void **state)
{
    (void)state;
    uint64_t screen = device(0xe0000000, 2 * PAGE_SIZE, TAG_SCREEN);
    map(T, console, 0x900000, screen, 2 * PAGE_SIZE, RW | MAP_COMBINING);
    passes();
    map(T, guest[0].domain, 0x900000, screen, PAGE_SIZE, RIGHT_READ | MAP_COMBINING);
    finds(AUDIT_OWNER, TAG_MONITOR(0), TAG_SCREEN, frame_of(screen), PAGE_SIZE);
}

/* A driver reaches its own memory and its own device, in no other way than uncached or combining. */
static void test_a_driver(void **state)
{
    (void)state;
    uint64_t own = carve(PAGE_SIZE, DRIVER), driver = new_domain(DRIVER);
    uint64_t mine = device(0xe0000000, 2 * PAGE_SIZE, TAG_DEVICE(1));
    uint64_t other = device(0xe1000000, PAGE_SIZE, TAG_DEVICE(0));
    boot.service[boot.service_count++] = (struct audit_service){
        .tag = DRIVER, .ports = 1, .reach = {{TAG_DEVICE(1), RW}}};
    map(T, driver, 0x500000, own, PAGE_SIZE, RW);
    map(T, driver, 0x600000, mine, 2 * PAGE_SIZE, RW | MAP_UNCACHED);
    map(T, driver, 0x700000, mine, PAGE_SIZE, RW | MAP_COMBINING);
    struct answer ports = call(T, SYS_HARDWARE, ROOT_SLOT_HARDWARE, HARDWARE_PORTS, 0x1f0, 0x1f7, 0, 0);
    made(call2(T, SYS_PORTS_OPEN, driver, made(ports)));
    passes();
    struct domain *d = object_at(T, driver);
    uint64_t *entry = table_at(&d->tables, 0x601000, 1), before = *entry;
    *entry &= ~(3ull << 3); /* write-back */
    finds(AUDIT_MEMORY_TYPE, DRIVER, TAG_DEVICE(1), 0xe0001000, PAGE_SIZE);
    *entry = before;
    entry = table_at(&d->tables, 0x500000, 1);
    before = *entry;
    *entry |= 1ull << 4; /* RAM, uncached */
    finds(AUDIT_MEMORY_TYPE, DRIVER, DRIVER, frame_of(own), PAGE_SIZE);
    *entry = before;
    map(T, driver, 0x800000, other, PAGE_SIZE, RIGHT_READ | MAP_UNCACHED);
    finds(AUDIT_OWNER, DRIVER, TAG_DEVICE(0), 0xe1000000, PAGE_SIZE);
    assert_int_equal(call_steps(T, SYS_UNMAP, driver, 0x800000), OK);
    map(T, console, 0x800000, mine, PAGE_SIZE, RIGHT_READ | MAP_UNCACHED);
    finds(AUDIT_OWNER, TAG_CONSOLE, TAG_DEVICE(1), 0xe0000000, PAGE_SIZE);
}

/* The kernel makes no such object; this one is bent. */
static void test_device_memory_that_is_ram(void **state)
{
    (void)state;
    uint64_t m = carve(PAGE_SIZE, TAG_DEVICE(0));
    finds(AUDIT_DEVICE_RAM, 0, TAG_DEVICE(0), frame_of(m), PAGE_SIZE);
}

static void test_ports_of_two(void **state)
{
    (void)state;
    struct answer p = call(T, SYS_HARDWARE, ROOT_SLOT_HARDWARE, HARDWARE_PORTS, 0x70, 0x7f, 0, 0);
    made(call2(T, SYS_PORTS_OPEN, ROOT_SLOT_SELF, made(p)));
    passes();
    struct ports *bent = object_at(T, p.value);
    bent->first = 0xcf8;
    bent->last = 0xcff; /* the console has 0xcf9 */
    finds(AUDIT_PROGRAM_PORTS, TAG_CONSOLE, TAG_ROOT, 0xcf9, 0);
    bent->first = 0x1a;
    bent->last = 0x20;
    finds(AUDIT_PROGRAM_PORTS, TAG_ROOT, TAG_KERNEL, 0x20, 0);
}

static void test_passes(void **state)
{
    (void)state;
    passes();
    assert_int_equal(out.domains, 4);
    assert_int_equal(out.spaces, 2);
    assert_int_equal(out.vcpus, 2);
    assert_int_equal(out.guest_bytes[0], GUEST_BYTES);
    assert_int_equal(out.guest_bytes[1], GUEST_BYTES);
    assert_int_equal(out.guest_bytes[2], 0);
    assert_int_equal(out.monitor_bytes, 4 * PAGE_SIZE);
    assert_int_equal(out.shared_bytes, 2 * PAGE_SIZE);
    assert_int_equal(out.module_bytes, module_bytes);
    assert_int_equal(out.service_bytes, PAGE_SIZE);
    assert_int_equal(out.kernel_bytes, POOL_SIZE);
    assert_int_equal(out.free_bytes, RAM_SIZE - next_offset);
    uint64_t tables = count_tables(&kernel_tables, 512);
    const struct pagetable *programs[] = {&root->tables, &monitor(0)->tables, &monitor(1)->tables,
                                          &((struct domain *)object_at(T, console))->tables};
    for (unsigned i = 0; i < ARRAY_SIZE(programs); i++)
        tables += count_tables(programs[i], KERNEL_SLOT);
    for (unsigned n = 0; n < 2; n++)
        tables += count_tables(&guest[n].s->tables, 512);
    assert_int_equal(out.tables, tables);
}

/* The same for the same, whatever pages of the pool it is made of; another for another. */
static void test_digest(void **state)
{
    (void)state;
    passes();
    uint64_t before = out.digest;
    passes();
    assert_int_equal(out.digest, before);
    uint64_t taken = made(call0(T, SYS_EVENT_CREATE)); /* the pool moves on */
    assert_int_equal(call_steps(T, SYS_DESTROY, guest[0].domain, 0), OK);
    passes();
    assert_int_not_equal(out.digest, before);
    assert_int_equal(call1(T, SYS_HANDLE_CLOSE, guest[0].domain).error, OK);
    (void)!pool_page(&kernel_quota);
    make_guest(0);
    passes();
    assert_int_equal(out.digest, before);
    map(T, guest[1].domain, 0x900000, guest[1].memory, PAGE_SIZE, R);
    passes();
    assert_int_not_equal(out.digest, before);
    assert_int_equal(call1(T, SYS_DESTROY, taken).error, OK);
}

/* At every step of a monitor's destruction. */
static void test_passes_while_one_ends(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 1000; n++) {
        struct answer a = call2(T, SYS_DESTROY, guest[1].domain, 0);
        passes();
        if (a.error != E_AGAIN)
            break;
        run_all();
    }
    assert_int_equal(out.domains, 3);
    while (call2(T, SYS_DESTROY, guest[1].memory, 0).error == E_AGAIN) {
        passes();
        run_all();
    }
    passes();
    assert_int_equal(out.guest_bytes[1], 0);
}

/* What a monitor makes counts as the monitor. */
static void test_children(void **state)
{
    (void)state;
    uint64_t child = domain_on(guest[0].thread, 12, 1, 1, 0, 0);
    map(guest[0].thread, child, 0x10000, 8, PAGE_SIZE, R);
    passes();
    assert_int_equal(out.domains, 5);
    struct domain *d = object_at(guest[0].thread, child);
    assert_int_equal(pt_map(&d->tables, 0x20000, hpa(frame_of(guest[1].private)), PAGE_SIZE, RW | PT_USER), OK);
    finds(AUDIT_OWNER, TAG_MONITOR(0), TAG_MONITOR(1), frame_of(guest[1].private), PAGE_SIZE);
}

/* ---- each kind of violation */

static void test_others_memory_in_a_monitor(void **state)
{
    (void)state;
    uint64_t other = frame_of(guest[1].memory);
    map(T, guest[0].domain, 0x2000000000, guest[1].memory, PAGE_SIZE, R);
    finds(AUDIT_OWNER, TAG_MONITOR(0), TAG_GUEST(1), other, PAGE_SIZE);
    assert_int_equal(out.violation[0].at, 0x2000000000);
    assert_int_equal(call_steps(T, SYS_UNMAP, guest[0].domain, 0x2000000000), OK);
    passes();
    map(T, guest[0].domain, 0x2000000000, guest[1].private, 2 * PAGE_SIZE, R);
    finds(AUDIT_OWNER, TAG_MONITOR(0), TAG_MONITOR(1), frame_of(guest[1].private), 2 * PAGE_SIZE);
    assert_int_equal(call_steps(T, SYS_UNMAP, guest[0].domain, 0x2000000000), OK);
    map(T, guest[0].domain, 0x2000000000, guest[1].shared, PAGE_SIZE, R);
    finds(AUDIT_OWNER, TAG_MONITOR(0), TAG_SHARED(TAG_MONITOR(1)), frame_of(guest[1].shared), PAGE_SIZE);
    assert_int_equal(call_steps(T, SYS_UNMAP, guest[0].domain, 0x2000000000), OK);
    map(T, console, 0x2000000000, guest[1].memory, PAGE_SIZE, R);
    finds(AUDIT_OWNER, TAG_CONSOLE, TAG_GUEST(1), other, PAGE_SIZE);
    assert_int_equal(call_steps(T, SYS_UNMAP, console, 0x2000000000), OK);
    map(T, ROOT_SLOT_SELF, 0x2000000000, guest[1].memory, PAGE_SIZE, R);
    finds(AUDIT_OWNER, TAG_ROOT, TAG_GUEST(1), other, PAGE_SIZE);
}

static void test_others_memory_in_a_guest(void **state)
{
    (void)state;
    uint64_t other = frame_of(guest[1].memory);
    /* 4 MiB at once: guest 1's memory, and what lies behind it. */
    assert_int_equal(pt_map(&guest[0].s->tables, SIZE_1G, hpa(other), SIZE_2M, RW), OK);
    finds_with(AUDIT_OWNER, TAG_GUEST(0), TAG_GUEST(1), other, SIZE_2M, AUDIT_TWO_GUESTS);
    bool two = false;
    for (unsigned i = 0; i < out.listed; i++)
        two = two || (out.violation[i].kind == AUDIT_TWO_GUESTS && out.violation[i].where == other &&
                      out.violation[i].size == SIZE_2M);
    assert_true(two);
    assert_int_equal(out.violation_count, 2);
}

static void test_ring0_in_a_guest(void **state)
{
    (void)state;
    struct pagetable *pt = &guest[0].s->tables;
    assert_int_equal(pt_map(pt, SIZE_1G, pool_hpa(guest[1].s->tables.root), PAGE_SIZE, R), OK);
    finds(AUDIT_OWNER, TAG_GUEST(0), TAG_KERNEL, pool_hpa(guest[1].s->tables.root).v, PAGE_SIZE);
    pt_unmap_all(pt, SIZE_1G, PAGE_SIZE);
    assert_int_equal(pt_map(pt, SIZE_1G, hpa(IMAGE), PAGE_SIZE, R), OK);
    finds(AUDIT_OWNER, TAG_GUEST(0), TAG_KERNEL, IMAGE, PAGE_SIZE);
    pt_unmap_all(pt, SIZE_1G, PAGE_SIZE);
    uint64_t nobodys = RAM_BASE + page_up(next_offset);
    assert_int_equal(pt_map(pt, SIZE_1G, hpa(nobodys), PAGE_SIZE, R), OK);
    finds(AUDIT_OWNER, TAG_GUEST(0), 0, nobodys, PAGE_SIZE);
    pt_unmap_all(pt, SIZE_1G, PAGE_SIZE);
    assert_int_equal(pt_map(pt, SIZE_1G, hpa(frame_of(module)), PAGE_SIZE, R), OK);
    finds(AUDIT_OWNER, TAG_GUEST(0), TAG_MODULE, frame_of(module), PAGE_SIZE);
    pt_unmap_all(pt, SIZE_1G, PAGE_SIZE);
    assert_int_equal(pt_map(pt, SIZE_1G, hpa(frame_of(guest[0].private)), PAGE_SIZE, R), OK);
    finds(AUDIT_OWNER, TAG_GUEST(0), TAG_MONITOR(0), frame_of(guest[0].private), PAGE_SIZE);
    pt_unmap_all(pt, SIZE_1G, PAGE_SIZE);
    passes();
}

/* Memory that guests share: region 0 both may write, region 1 guest 0 may write and guest 1 read, region 2 guest 1
 * alone has. */
static uint64_t region[3];

/* Guest 1 is a user of region i, and guest 0 too if `both`. */
static void allow(unsigned i, bool both, bool first_writes, bool second_writes)
{
    struct audit_region *r = &boot.region[i];
    r->user_count = both ? 2 : 1;
    r->user[0].guest = !both;
    r->user[0].writable = both ? first_writes : second_writes;
    r->user[1].guest = 1;
    r->user[1].writable = second_writes;
}

static void make_regions(void)
{
    for (unsigned i = 0; i < 3; i++)
        region[i] = carve(2 * PAGE_SIZE, TAG_SHARED_REGION(i));
    boot.region_count = 3;
    allow(0, true, true, true);
    allow(1, true, true, false);
    allow(2, false, true, true);
}

/* As monitors map them: into themselves and into their guests. */
static void share(unsigned n, unsigned i, uint32_t rights)
{
    uint64_t at = 0x800000000 + i * SIZE_1G,
             slot = made(call4(T, SYS_HANDLE_GRANT, guest[n].domain, region[i], rights, 24 + i));
    map(T, guest[n].domain, at, region[i], 2 * PAGE_SIZE, rights);
    map(guest[n].thread, guest[n].space, 0xc4000000 + i * SIZE_2M, slot, 2 * PAGE_SIZE, rights);
}

static void test_regions(void **state)
{
    (void)state;
    make_regions();
    passes();
    share(0, 0, RW);
    share(1, 0, RW);
    share(0, 1, RW);
    share(1, 1, R);
    share(1, 2, RW);
    passes();
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(out.region_bytes[i], 2 * PAGE_SIZE);
    assert_int_equal(out.region_bytes[3], 0);
    assert_int_equal(out.free_bytes, RAM_SIZE - next_offset);
    /* With fewer rights than configured it is all right, too. */
    allow(1, true, true, true);
    passes();
    /* The configuration says less than what is there: in the guest and in its monitor. */
    allow(1, true, false, false);
    finds_with(AUDIT_RIGHTS, TAG_GUEST(0), TAG_SHARED_REGION(1), frame_of(region[1]), 2 * PAGE_SIZE, AUDIT_RIGHTS);
    finds_with(AUDIT_RIGHTS, TAG_MONITOR(0), TAG_SHARED_REGION(1), frame_of(region[1]), 2 * PAGE_SIZE, AUDIT_RIGHTS);
    assert_int_equal(out.violation_count, 2);
    allow(1, true, true, false);
    boot.region[1].user_count = 1;
    finds_with(AUDIT_OWNER, TAG_GUEST(1), TAG_SHARED_REGION(1), frame_of(region[1]), 2 * PAGE_SIZE, AUDIT_OWNER);
    finds_with(AUDIT_OWNER, TAG_MONITOR(1), TAG_SHARED_REGION(1), frame_of(region[1]), 2 * PAGE_SIZE, AUDIT_OWNER);
    assert_int_equal(out.violation_count, 2);
    allow(1, true, true, false);
    boot.region_count = 2; /* a region that is not configured at all */
    finds_with(AUDIT_OWNER, TAG_GUEST(1), TAG_SHARED_REGION(2), frame_of(region[2]), 2 * PAGE_SIZE, AUDIT_OWNER);
}

static void test_regions_reached_by_others(void **state)
{
    (void)state;
    make_regions();
    uint64_t frame = frame_of(region[2]), other = frame_of(guest[1].memory);
    assert_int_equal(pt_map(&guest[0].s->tables, SIZE_1G, hpa(frame), PAGE_SIZE, R), OK);
    finds(AUDIT_OWNER, TAG_GUEST(0), TAG_SHARED_REGION(2), frame, PAGE_SIZE);
    pt_unmap_all(&guest[0].s->tables, SIZE_1G, PAGE_SIZE);
    assert_int_equal(pt_map(&monitor(0)->tables, 0x900000, hpa(frame), PAGE_SIZE, R | PT_USER), OK);
    finds(AUDIT_OWNER, TAG_MONITOR(0), TAG_SHARED_REGION(2), frame, PAGE_SIZE);
    pt_unmap_all(&monitor(0)->tables, 0x900000, PAGE_SIZE);
    /* Executable for no program. */
    assert_int_equal(pt_map(&guest[1].s->tables, SIZE_1G, hpa(frame), PAGE_SIZE, RX), OK);
    finds(AUDIT_RIGHTS, TAG_GUEST(1), TAG_SHARED_REGION(2), frame, PAGE_SIZE);
    pt_unmap_all(&guest[1].s->tables, SIZE_1G, PAGE_SIZE);
    /* Writable where it is for reading. */
    assert_int_equal(pt_map(&guest[1].s->tables, SIZE_1G, hpa(frame_of(region[1])), PAGE_SIZE, RW), OK);
    finds(AUDIT_RIGHTS, TAG_GUEST(1), TAG_SHARED_REGION(1), frame_of(region[1]), PAGE_SIZE);
    pt_unmap_all(&guest[1].s->tables, SIZE_1G, PAGE_SIZE);
    /* Neither root nor the console, nor ring 0. */
    map(T, ROOT_SLOT_SELF, 0x2000000000, region[0], PAGE_SIZE, R);
    finds(AUDIT_OWNER, TAG_ROOT, TAG_SHARED_REGION(0), frame_of(region[0]), PAGE_SIZE);
    assert_int_equal(call_steps(T, SYS_UNMAP, ROOT_SLOT_SELF, 0x2000000000), OK);
    map(T, console, 0x2000000000, region[0], PAGE_SIZE, R);
    finds(AUDIT_OWNER, TAG_CONSOLE, TAG_SHARED_REGION(0), frame_of(region[0]), PAGE_SIZE);
    assert_int_equal(call_steps(T, SYS_UNMAP, console, 0x2000000000), OK);
    assert_int_equal(pt_map(&kernel_tables, 0xffffffffb8000000, hpa(frame_of(region[0])), PAGE_SIZE, RW), OK);
    finds(AUDIT_RING0_REACHES, TAG_KERNEL, TAG_SHARED_REGION(0), frame_of(region[0]), PAGE_SIZE);
    pt_unmap_all(&kernel_tables, 0xffffffffb8000000, PAGE_SIZE);
    /* Two guests in what is no region: a region makes no difference to that. */
    share(0, 0, RW);
    share(1, 0, RW);
    assert_int_equal(pt_map(&guest[0].s->tables, SIZE_1G, hpa(other), PAGE_SIZE, R), OK);
    finds_with(AUDIT_TWO_GUESTS, TAG_GUEST(1), TAG_GUEST(0), other, PAGE_SIZE, AUDIT_OWNER);
    assert_int_equal(out.violation_count, 2);
}

static void protect(struct thread *t, uint64_t target, uint64_t at, uint64_t size, uint32_t rights)
{
    struct answer r;
    while ((r = call4(t, SYS_PROTECT, target, at, size, rights)).error == E_AGAIN)
        run_all();
    assert_int_equal(made(r), size);
}

/* Parts with fewer rights than map gave, large pages split for that, holes: all right. A part with more is told of, by
 * itself. */
static void test_protected_parts(void **state)
{
    (void)state;
    assert_true(*table_at(&guest[0].s->tables, 0, 2) & 0x80);
    protect(guest[0].thread, guest[0].space, 0x3000, 0x2000, R);
    assert_false(*table_at(&guest[0].s->tables, 0, 2) & 0x80);
    protect(guest[0].thread, guest[0].space, 0x9000, 0x1000, 0);
    protect(T, guest[0].domain, 0x1000005000, 0x1000, R);
    protect(T, guest[0].domain, 0x400000, PAGE_SIZE, R);
    passes();
    make_regions();
    share(1, 1, R);
    protect(guest[1].thread, guest[1].space, 0xc4000000 + SIZE_2M, PAGE_SIZE, 0);
    passes();
    uint64_t *entry = table_at(&guest[1].s->tables, 0xc4000000 + SIZE_2M + PAGE_SIZE, 1);
    *entry |= 2; /* W, in both formats */
    finds(AUDIT_RIGHTS, TAG_GUEST(1), TAG_SHARED_REGION(1), frame_of(region[1]) + PAGE_SIZE, PAGE_SIZE);
    *entry &= ~2ull;
    passes();
}

/* A large page of which the first half is right. */
static void test_part_of_a_large_page(void **state)
{
    (void)state;
    uint64_t *entry = table_at(&guest[0].s->tables, 0, 2);
    struct memory *m = object_at(T, guest[0].memory);
    assert_true(*entry & 0x80);
    ledger_remove(&shown.ledger, &m->range);
    m->range.size = SIZE_2M / 2;
    assert_int_equal(ledger_insert(&shown.ledger, &m->range), OK);
    look();
    assert_int_equal(out.violation_count, 2); /* the monitor and the guest */
    finds_with(AUDIT_OWNER, TAG_GUEST(0), 0, m->range.base.v + SIZE_2M / 2, SIZE_2M / 2, AUDIT_OWNER);
}

static void test_ring0_in_a_program(void **state)
{
    (void)state;
    struct pagetable *pt = &monitor(0)->tables;
    uint64_t state0 = pool_hpa(guest[0].thread->vcpu->state).v, state1 = pool_hpa(guest[1].thread->vcpu->state).v;
    assert_int_equal(pt_map(pt, 0x900000, hpa(state1), PAGE_SIZE, RW | PT_USER), OK); /* another's state page */
    finds(AUDIT_OWNER, TAG_MONITOR(0), TAG_KERNEL, state1, PAGE_SIZE);
    pt_unmap_all(pt, 0x900000, PAGE_SIZE);
    assert_int_equal(pt_map(pt, 0x900000, hpa(state0), PAGE_SIZE, RX | PT_USER),
                     OK); /* the right one, but executable */
    finds(AUDIT_OWNER, TAG_MONITOR(0), TAG_KERNEL, state0, PAGE_SIZE);
    pt_unmap_all(pt, 0x900000, PAGE_SIZE);
    /* Likewise the page of the FPU. */
    for (unsigned n = 0; n < 2; n++)
        assert_int_equal(call1(guest[n].thread, SYS_VCPU_FPU, 0x701000).error, OK);
    passes();
    uint64_t fpu0 = pool_hpa(guest[0].thread->vcpu->fpu_shown).v, fpu1 = pool_hpa(guest[1].thread->vcpu->fpu_shown).v;
    assert_int_equal(pt_map(pt, 0x900000, hpa(fpu1), PAGE_SIZE, RW | PT_USER), OK);
    finds(AUDIT_OWNER, TAG_MONITOR(0), TAG_KERNEL, fpu1, PAGE_SIZE);
    pt_unmap_all(pt, 0x900000, PAGE_SIZE);
    assert_int_equal(pt_map(pt, 0x900000, hpa(fpu0), PAGE_SIZE, RX | PT_USER), OK);
    finds(AUDIT_OWNER, TAG_MONITOR(0), TAG_KERNEL, fpu0, PAGE_SIZE);
    pt_unmap_all(pt, 0x900000, PAGE_SIZE);
    assert_int_equal(pt_map(pt, 0x900000, hpa(POOL_BASE), SIZE_2M, R | PT_USER), OK);
    look();
    assert_int_equal(out.verdict, AUDIT_FAILED);
    assert_int_equal(out.violation[0].other, TAG_KERNEL);
    /* The checker itself may read it, but not write. */
    monitor(0)->owner = TAG_AUDIT;
    look();
    for (unsigned i = 0; i < out.listed; i++)
        assert_int_not_equal(out.violation[i].other, TAG_KERNEL);
}

static void test_rights(void **state)
{
    (void)state;
    assert_int_equal(pt_map(&monitor(0)->tables, 0x900000, hpa(frame_of(module)), PAGE_SIZE, RW | PT_USER), OK);
    finds(AUDIT_RIGHTS, TAG_MONITOR(0), TAG_MODULE, frame_of(module), PAGE_SIZE);
    pt_unmap_all(&monitor(0)->tables, 0x900000, PAGE_SIZE);
    assert_int_equal(pt_map(&monitor(0)->tables, 0x900000, hpa(frame_of(guest[0].private)), PAGE_SIZE, RX | PT_USER),
                     OK);
    finds(AUDIT_RIGHTS, TAG_MONITOR(0), TAG_MONITOR(0), frame_of(guest[0].private), PAGE_SIZE);
    pt_unmap_all(&monitor(0)->tables, 0x900000, PAGE_SIZE);
    assert_int_equal(pt_map(&monitor(0)->tables, 0x900000, hpa(frame_of(guest[0].memory)), PAGE_SIZE, RX | PT_USER),
                     OK);
    passes(); /* its own guest's: it gains nothing */
    pt_unmap_all(&monitor(0)->tables, 0x900000, PAGE_SIZE);
    assert_int_equal(
        pt_map(&monitor(0)->tables, 0x900000, hpa(frame_of(guest[0].private)), PAGE_SIZE, RW | RIGHT_EXEC | PT_USER),
        OK);
    finds_with(AUDIT_WX, TAG_MONITOR(0), 0, frame_of(guest[0].private), PAGE_SIZE, AUDIT_RIGHTS);
    pt_unmap_all(&monitor(0)->tables, 0x900000, PAGE_SIZE);
    assert_int_equal(pt_map(&monitor(0)->tables, 0x900000, hpa(frame_of(guest[0].private)), PAGE_SIZE, RW), OK);
    finds(AUDIT_PRIVILEGE, TAG_MONITOR(0), 0, frame_of(guest[0].private), PAGE_SIZE);
}

static void test_the_kernels_half(void **state)
{
    (void)state;
    uint64_t other = frame_of(guest[1].memory);
    assert_int_equal(pt_map(&kernel_tables, 0xffffffffb8000000, hpa(other), SIZE_2M, RW), OK);
    finds(AUDIT_RING0_REACHES, TAG_KERNEL, TAG_GUEST(1), other, SIZE_2M);
    pt_unmap_all(&kernel_tables, 0xffffffffb8000000, SIZE_2M);
    assert_int_equal(pt_map(&kernel_tables, 0xffffffff80100000, hpa(IMAGE), PAGE_SIZE, R | PT_USER), OK);
    finds(AUDIT_PRIVILEGE, TAG_KERNEL, 0, IMAGE, PAGE_SIZE);
    pt_unmap_all(&kernel_tables, 0xffffffff80100000, PAGE_SIZE);
    assert_int_equal(pt_map(&kernel_tables, 0xffffffff80100000, hpa(IMAGE), PAGE_SIZE, RW | RIGHT_EXEC), OK);
    finds(AUDIT_WX, TAG_KERNEL, 0, IMAGE, PAGE_SIZE);
    pt_unmap_all(&kernel_tables, 0xffffffff80100000, PAGE_SIZE);
    passes();
    monitor(0)->tables.root[300] = kernel_tables.root[KERNEL_SLOT];
    finds(AUDIT_HALF, TAG_MONITOR(0), 0, pool_hpa(monitor(0)->tables.root).v, 0);
    monitor(0)->tables.root[300] = 0;
    monitor(0)->tables.root[KERNEL_SLOT] = 0;
    finds(AUDIT_HALF, TAG_MONITOR(0), 0, pool_hpa(monitor(0)->tables.root).v, 0);
}

static void test_tables(void **state)
{
    (void)state;
    uint64_t *entry = &guest[0].s->tables.root[7];
    *entry = frame_of(guest[0].memory) | 7; /* a guest would write its own tables */
    finds(AUDIT_TABLE, TAG_GUEST(0), 0, frame_of(guest[0].memory), 0);
    *entry = guest[1].s->tables.root[0];
    look();
    assert_int_equal(out.verdict, AUDIT_FAILED);
    *entry = 0;
    passes();
    /* A table inside another that a program can write. */
    monitor(0)->tables.root[9] = pool_hpa(guest[0].thread->vcpu->state).v | 7;
    look(); /* an empty table so far, but it is the monitor's to fill: */
    ((uint64_t *)(void *)guest[0].thread->vcpu->state)[0] = frame_of(guest[1].memory) | 0x87;
    look();
    assert_int_equal(out.verdict, AUDIT_FAILED);
}

static void test_strange_entries(void **state)
{
    (void)state;
    uint64_t *entry = table_at(&guest[0].s->tables, 0, 2);
    uint64_t bad = (*entry & ~7ull) | 2; /* writing without reading */
    *entry = bad;
    finds(AUDIT_ENTRY, TAG_GUEST(0), 0, pool_hpa((void *)((uintptr_t)entry & ~PAGE_MASK)).v, 0);
    assert_int_equal(out.violation[0].at, bad);
}

static void test_the_ledger(void **state)
{
    (void)state;
    struct memory *a = object_at(T, guest[0].memory);
    a->range.size += SIZE_2M;
    /* Then it is told to be guest 0's, too. */
    finds_with(AUDIT_TWO_OWNERS, TAG_GUEST(1), 0, frame_of(guest[1].memory), GUEST_BYTES, AUDIT_OWNER);
}

static void test_objects(void **state)
{
    (void)state;
    struct domain *d = monitor(0), *sibling = d->sibling;
    d->sibling = (struct domain *)(uintptr_t)0xdead0000;
    look();
    assert_int_equal(out.verdict, AUDIT_FAILED);
    d->sibling = d; /* a ring */
    look();
    assert_int_equal(out.verdict, AUDIT_TOO_MUCH);
    d->sibling = sibling;
    passes();
    d->owner = 12345; /* no known owner: may reach nothing */
    look();
    assert_int_equal(out.verdict, AUDIT_FAILED);
}

static void test_controls(void **state)
{
    (void)state;
    struct svm_vcpu *hw = guest[0].thread->vcpu->hw;
    struct vmcb_control *c = &hw->vmcb->control, good = *c;
    c->nested_cr3 = pool_hpa(guest[1].s->tables.root).v;
    finds(AUDIT_CONTROLS, TAG_GUEST(0), 0, hw->vmcb_hpa, 0);
    *c = good;
    c->nested = 0;
    finds(AUDIT_CONTROLS, TAG_GUEST(0), 0, hw->vmcb_hpa, 0);
    *c = good;
    c->intercepts[0] &= ~(1u << 27);
    finds(AUDIT_CONTROLS, TAG_GUEST(0), 0, hw->vmcb_hpa, 0);
    *c = good;
    c->intercepts[0] &= ~(1u << 28);
    finds(AUDIT_CONTROLS, TAG_GUEST(0), 0, hw->vmcb_hpa, 0);
    *c = good;
    c->iopm = frame_of(guest[0].memory);
    look();
    assert_int_equal(out.verdict, AUDIT_FAILED);
    *c = good;
    hw->vmcb_hpa += 8;
    look();
    assert_int_equal(out.verdict, AUDIT_FAILED);
    hw->vmcb_hpa -= 8;
    passes();
}

static void test_amd_bitmaps(void **state)
{
    (void)state;
    page.iopm[0x3f8 / 8] &= (uint8_t)~1;
    finds(AUDIT_PORT, 0, 0, 0x3f8, 0);
    page.iopm[0x3f8 / 8] |= 1;
    static const struct {
        uint32_t run, msr;
    } rows[] = {{0, 0x1b}, {1, 0xc0000080}, {2, 0xc0010114}};
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        for (unsigned write = 0; write < 2; write++) {
            uint32_t bit = (rows[i].run * 0x2000 + (rows[i].msr & 0x1fff)) * 2 + write;
            page.msrpm[bit / 8] &= (uint8_t) ~(1u << bit % 8);
            finds(AUDIT_MSR, 0, 0, rows[i].msr, 0);
            assert_int_equal(out.violation[0].at, 1 + write);
            page.msrpm[bit / 8] |= (uint8_t)(1u << bit % 8);
        }
    uint32_t star = (0x2000 + 0x81) * 2;
    page.msrpm[star / 8] &= (uint8_t) ~(3u << star % 8); /* on the list */
    passes();
    page.msrpm[2 * MSR_SPEC_CTRL / 8] &= (uint8_t)~2; /* only where the CPU switches it */
    finds(AUDIT_MSR, 0, 0, MSR_SPEC_CTRL, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(guest); i++)
        ((struct svm_vcpu *)guest[i].thread->vcpu->hw)->helps = SVM_FEATURE_SPEC_CTRL;
    passes();
}

static void test_intel_bitmap(void **state)
{
    (void)state;
    passes();
    static const struct {
        uint32_t byte, msr, right;
    } rows[] = {{0x1b / 8, 0x1b, 1},
                {1024 + 0x1000 / 8, 0xc0001000, 1},
                {2048 + 0x10 / 8, 0x10, 2},
                {3072 + 0x1000 / 8, 0xc0001000, 2},
                {2048 + 0x830 / 8, 0x830, 2} /* the ICR, in either mode */};
    for (unsigned which = 0; which < MSR_BITMAPS; which++) {
        uint8_t *map = (uint8_t *)(uintptr_t)shown.msr_bitmap[which];
        for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
            map[rows[i].byte] &= (uint8_t) ~(1u << rows[i].msr % 8);
            finds(AUDIT_MSR, 0, 0, rows[i].msr, 0);
            assert_int_equal(out.violation[0].at, rows[i].right);
            map[rows[i].byte] = 0xff;
        }
        map[0x10 / 8] &= (uint8_t)~1; /* reading the TSC is on the list */
        passes();
        map[2048 + 0x80b / 8] &= (uint8_t) ~(
            1u << 3); /* EOI: only where the CPU has an APIC page of the guest's to write to */
        if (which & APIC_BY_CPU)
            passes();
        else
            finds(AUDIT_MSR, 0, 0, 0x80b, 0);
        map[2048 + 0x80b / 8] = 0xff;
        map[2048 + MSR_SPEC_CTRL / 8] &= (uint8_t)~1;
        if (which & BITMAP_SPEC_CTRL)
            passes();
        else
            finds(AUDIT_MSR, 0, 0, MSR_SPEC_CTRL, 0);
        map[2048 + MSR_SPEC_CTRL / 8] = 0xff;
    }
    shown.msr_bitmap[APIC_BY_CPU] = NULL;
    look();
    assert_int_equal(out.verdict, AUDIT_FAILED);
}

static void test_ports_of_a_monitor(void **state)
{
    (void)state;
    struct answer ports = call(T, SYS_HARDWARE, ROOT_SLOT_HARDWARE, HARDWARE_PORTS, 0x70, 0x71, 0, 0);
    made(call2(T, SYS_PORTS_OPEN, guest[0].domain, made(ports)));
    finds(AUDIT_PROGRAM_PORTS, TAG_MONITOR(0), 0, 0x70, 0);
    assert_int_equal(out.violation[0].at, 0x71);
}

/* ---- what moves meanwhile */

static void test_generation(void **state)
{
    (void)state;
    shown.generation |= 1;
    look();
    assert_int_equal(out.verdict, AUDIT_RESTLESS);
    shown.generation++;
    uint64_t before = shown.generation;
    made(call2(T, SYS_EVENT_SIGNAL, event, 1));
    made(call3(T, SYS_QUERY, guest[0].domain, QUERY_DOMAIN_STATE, 0));
    assert_int_equal(shown.generation, before);
    map(T, guest[0].domain, 0x900000, guest[0].shared, PAGE_SIZE, R);
    assert_int_equal(shown.generation, before + 2);
    assert_int_equal(call_steps(T, SYS_UNMAP, guest[0].domain, 0x900000), OK);
    assert_true(shown.generation > before + 2);
    assert_int_equal(shown.generation & 1, 0);
}

/* A copy of the kernel's memory, of its exact size, is damaged: whatever is read there, the checker stays inside and
 * comes to an end. */
static void damage(unsigned seed)
{
    uint8_t *copy = malloc(POOL_SIZE);
    struct view mine = view;
    static uint32_t meaning[POOL_SIZE / 8]; /* words that mean something */
    uint64_t used = 0, *words = (uint64_t *)(void *)copy, keep[16];
    uint32_t place[16];
    unsigned verdicts[AUDIT_TOO_MUCH + 1] = {0};
    srand(seed);
    memcpy(copy, pool, POOL_SIZE);
    mine.pool = copy;
    page.shown = shown;
    for (uint32_t i = 0; i < POOL_SIZE / 8; i++)
        if (words[i] != 0 && words[i] != ~0ull && words[i] != 0xa5a5a5a5a5a5a5a5)
            meaning[used++] = i;
    for (unsigned round = 0; round < 1500; round++) {
        for (unsigned k = 0; k < ARRAY_SIZE(place); k++) {
            place[k] = meaning[(uint64_t)rand() % used];
            keep[k] = words[place[k]];
            uint64_t r = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^ (uint64_t)rand();
            switch (rand() % 5) {
            case 0: words[place[k]] = r; break;
            case 1: words[place[k]] = view.pool_va + r % POOL_SIZE; break;
            case 2: words[place[k]] = (POOL_BASE + r % POOL_SIZE) | 7; break;
            case 3: words[place[k]] ^= 1ull << r % 64; break;
            case 4: words[place[k]] = view.pool_va + (r % POOL_SIZE & ~7ull); break;
            }
        }
        check(&mine, &boot, &out);
        assert_in_range(out.verdict, AUDIT_PASSED, AUDIT_TOO_MUCH);
        verdicts[out.verdict]++;
        for (unsigned k = ARRAY_SIZE(place); k-- > 0;)
            words[place[k]] = keep[k];
    }
    check(&mine, &boot, &out);
    assert_int_equal(out.verdict, AUDIT_PASSED);
    printf("passed %u, failed %u, too much %u\n", verdicts[AUDIT_PASSED], verdicts[AUDIT_FAILED],
           verdicts[AUDIT_TOO_MUCH]);
    assert_true(verdicts[AUDIT_FAILED] > 500);
    free(copy);
}

static void test_damage(void **state)
{
    (void)state;
    damage(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_passes, setup),
        cmocka_unit_test_setup(test_the_screen, setup),
        cmocka_unit_test_setup(test_a_driver, setup),
        cmocka_unit_test_setup(test_device_memory_that_is_ram, setup),
        cmocka_unit_test_setup(test_ports_of_two, setup),
        cmocka_unit_test_setup(test_digest, setup),
        cmocka_unit_test_setup(test_passes_while_one_ends, setup),
        cmocka_unit_test_setup(test_children, setup),
        cmocka_unit_test_setup(test_others_memory_in_a_monitor, setup),
        cmocka_unit_test_setup(test_others_memory_in_a_guest, setup),
        cmocka_unit_test_setup(test_ring0_in_a_guest, setup),
        cmocka_unit_test_setup(test_protected_parts, setup),
        cmocka_unit_test_setup(test_protected_parts, setup_ept),
        cmocka_unit_test_setup(test_part_of_a_large_page, setup),
        cmocka_unit_test_setup(test_regions, setup),
        cmocka_unit_test_setup(test_regions_reached_by_others, setup),
        cmocka_unit_test_setup(test_ring0_in_a_program, setup),
        cmocka_unit_test_setup(test_rights, setup),
        cmocka_unit_test_setup(test_the_kernels_half, setup),
        cmocka_unit_test_setup(test_tables, setup),
        cmocka_unit_test_setup(test_the_ledger, setup),
        cmocka_unit_test_setup(test_objects, setup),
        cmocka_unit_test_setup(test_controls, setup),
        cmocka_unit_test_setup(test_amd_bitmaps, setup),
        cmocka_unit_test_setup(test_ports_of_a_monitor, setup),
        cmocka_unit_test_setup(test_generation, setup),
        cmocka_unit_test_setup(test_damage, setup),
        /* VT-x: EPT, and a bitmap of another form */
        cmocka_unit_test_setup(test_passes, setup_ept),
        cmocka_unit_test_setup(test_digest, setup_ept),
        cmocka_unit_test_setup(test_others_memory_in_a_guest, setup_ept),
        cmocka_unit_test_setup(test_ring0_in_a_guest, setup_ept),
        cmocka_unit_test_setup(test_regions, setup_ept),
        cmocka_unit_test_setup(test_regions_reached_by_others, setup_ept),
        cmocka_unit_test_setup(test_tables, setup_ept),
        cmocka_unit_test_setup(test_strange_entries, setup_ept),
        cmocka_unit_test_setup(test_intel_bitmap, setup_ept),
        cmocka_unit_test_setup(test_damage, setup_ept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
