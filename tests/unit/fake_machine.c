// SPDX-License-Identifier: Apache-2.0
#include <sanitizer/asan_interface.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/x86_64/speculation.h"
#include "fake_machine.h"
#include "ledger_next.h"
#include "pt_lookup.h"

#include "arch/x86_64/fpu.h"
#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/mce.h"
#include "arch/x86_64/time.h"
#include "kernel/audit_view.h"
#include "kernel/fastpath.h"
#include "kernel/klog_ring.h"
#include "kernel/lock.h"
#include "kernel/nmi.h"
#include "mullion/regs.h"

#define POOL_SIZE     (8ull << 20)
#define POOL_BASE     0x1000000ull
#define TLB_SIZE      64
#define FPU_MASK_HERE 0xffffu

struct domain *root;
struct thread *root_thread;
uint64_t now;
uint8_t *ram;
bool cpus_at_once;
void (*guest_runs)(struct vcpu *v);

struct pagetable kernel_tables;
struct quota kernel_quota;
unsigned cpu_count;
uint64_t tsc_khz = 1000000;
uint64_t cpu_xcr0_mask = 7;
bool cpu_has_tsc_aux = true;

static struct cpu cpus[MACHINE_CPUS];
static uint64_t cr3[MACHINE_CPUS];
static struct {
    uint64_t base;
    bool guest;
} tlb[MACHINE_CPUS][TLB_SIZE];
unsigned barriers;
static unsigned tlb_used[MACHINE_CPUS];
/* Which CPU this is: a test may run each CPU in a thread of its own. */
static _Thread_local unsigned running;
static _Thread_local jmp_buf out;
static _Thread_local const struct frame *resumed;
static uint32_t tlb_lock;
static uint64_t used_at_start;
static uint32_t references_at_start;
static struct ports *kept_ports;

/* ---- what the kernel finds in the CPU */

struct cpu *this_cpu(void)
{
    return &cpus[running];
}
struct cpu *cpu_by_number(unsigned number)
{
    assert_true(number < MACHINE_CPUS);
    return &cpus[number];
}
uint64_t rdtsc(void)
{
    return __atomic_add_fetch(&now, 1, __ATOMIC_RELAXED);
}
void cpu_pause(void)
{
    sched_yield();
}
void disturb(void); /* with -DDISTURBED, by everything that is atomic */
void disturb(void)
{
    static _Thread_local uint32_t seed;
    if (!cpus_at_once)
        return;
    seed = (seed ? seed : 2463534242u + running) * 1664525u + 1013904223u;
    unsigned often = seed >> 18 == 0 ? 20 : seed >> 21 == 1;
    while (often-- > 0)
        sched_yield();
}
uint64_t read_cr3(void)
{
    return cr3[running];
}

static void lock_tlbs(void)
{
    while (__atomic_exchange_n(&tlb_lock, 1, __ATOMIC_ACQUIRE)) {
    }
}
static void unlock_tlbs(void)
{
    __atomic_store_n(&tlb_lock, 0, __ATOMIC_RELEASE);
}

static void forget(bool guest)
{
    lock_tlbs();
    unsigned kept = 0;
    for (unsigned i = 0; i < tlb_used[running]; i++)
        if (tlb[running][i].guest != guest)
            tlb[running][kept++] = tlb[running][i];
    tlb_used[running] = kept;
    unlock_tlbs();
}

void write_cr3(uint64_t v)
{
    cr3[running] = v;
    forget(false);
}

static bool waits[MACHINE_CPUS];

void irq_wait(void)
{
    waits[running] = true;
    resumed = NULL;
    longjmp(out, 1);
}

noreturn void user_resume(const struct frame *frame)
{
    resumed = frame;
    longjmp(out, 1);
}

noreturn void sysexit_from_run(const struct frame *frame)
{
    user_resume(frame);
}
noreturn void sysret_from_run(const struct frame *frame)
{
    user_resume(frame);
}

bool posted_in_section;
void cpu_post(struct cpu *c, uint32_t work)
{
    if (!cpus_at_once)
        posted_in_section = this_cpu()->section % 2;
    __atomic_fetch_or(&c->work, work, __ATOMIC_SEQ_CST);
}
unsigned ipis;
void apic_ipi(uint32_t apic_id, uint8_t vector)
{
    assert_true(apic_id < MACHINE_CPUS && vector == VECTOR_IPI);
    __atomic_add_fetch(&ipis, 1, __ATOMIC_RELAXED);
}
void cpu_set_rsp0(struct cpu *c, uint64_t thread_frame_end)
{
    (void)c, (void)thread_frame_end;
}
/* The I/O bitmap of each CPU, and whether IN and OUT find it. */
static bool port_open[MACHINE_CPUS][65536], ports_reached[MACHINE_CPUS];
void cpu_ports(struct cpu *c, uint32_t first, uint32_t last, bool open)
{
    assert_true(first <= last && last <= 0xffff);
    memset(&port_open[c->number][first], open, last - first + 1);
}
void cpu_ports_reach(struct cpu *c, bool reach)
{
    ports_reached[c->number] = reach;
}
bool can_use_port(unsigned cpu, uint16_t port)
{
    return ports_reached[cpu] && port_open[cpu][port];
}
unsigned tr_loads;
void cpu_reload_tr(struct cpu *c)
{
    assert_ptr_equal(c, this_cpu());
    __atomic_add_fetch(&tr_loads, 1, __ATOMIC_RELAXED);
}
void timer_arm(struct cpu *c, uint64_t deadline)
{
    if (deadline < c->timer_armed)
        c->timer_armed = deadline;
}
void timer_set(struct cpu *c, uint64_t deadline)
{
    c->timer_armed = deadline;
}
void irq_dispatch(unsigned vector)
{
    (void)vector;
}
unsigned polls[MACHINE_CPUS];
bool mce_look(enum mce_when when)
{
    assert_int_equal(when, MCE_NOW);
    polls[running]++;
    return false;
}
uint32_t nmis;
struct fake_line lines[MACHINE_LINES];
static struct lock lines_lock;
enum error ioapic_route(uint64_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool low)
{
    if (gsi >= MACHINE_LINES)
        return E_UNSUPPORTED;
    lock(&lines_lock);
    bool used = lines[gsi].vector;
    if (!used)
        lines[gsi] = (struct fake_line){vector, apic_id, level, low, true, false};
    unlock(&lines_lock);
    return used ? E_OVERLAP : OK;
}
void ioapic_mask(uint64_t gsi, bool masked)
{
    lock(&lines_lock);
    assert_true(gsi < MACHINE_LINES && lines[gsi].vector);
    lines[gsi].masked = masked;
    lines[gsi].in_section = this_cpu()->section % 2;
    unlock(&lines_lock);
}
void ioapic_free(uint64_t gsi)
{
    lock(&lines_lock);
    assert_true(gsi < MACHINE_LINES && lines[gsi].vector);
    lines[gsi] = (struct fake_line){.masked = true};
    unlock(&lines_lock);
}
bool hostmap_reaches(uint64_t address)
{
    return address >> 40 == 0;
}
bool log_taken;
uint32_t lock_patience = 100; /* the host's threads are often not running */
/* A caller that holds the kernel's lock here waits for itself, until the alarm ends the test. */
static void lock_is_free(void)
{
    alarm(20);
    kernel_lock();
    kernel_unlock();
    alarm(0);
}
/* It may take its time. */
void log_append(const char *text, size_t count)
{
    (void)text, (void)count;
    lock_is_free();
}
/* The FPU of each CPU: it keeps what is loaded, tells its mask, and a CPU faults on what it does not take. */
static struct fpu_image fpu[MACHINE_CPUS];
void fpu_reset(void *area)
{
    memset(area, 0, sizeof fpu[0]);
    memcpy(((struct fpu_image *)area)->legacy + FPU_MXCSR, &(uint32_t){0x1f80}, 4);
}
static bool fpu_is_open[MACHINE_CPUS];
static uint64_t xcr0[MACHINE_CPUS], tsc_aux[MACHINE_CPUS];
unsigned xcr0_writes, tsc_aux_writes;
bool fpu_xcr0_by_guest;
void wrmsr(uint32_t msr, uint64_t v)
{
    if (msr != MSR_TSC_AUX)
        return;
    tsc_aux[running] = v;
    __atomic_fetch_add(&tsc_aux_writes, 1, __ATOMIC_RELAXED);
}
void xsetbv(uint32_t index, uint64_t v)
{
    assert_true(index == 0 && fpu_is_open[running] && fpu_xcr0_valid(v) && !(v & ~cpu_xcr0_mask));
    xcr0[running] = v;
    __atomic_fetch_add(&xcr0_writes, 1, __ATOMIC_RELAXED);
}
uint64_t xgetbv(uint32_t index)
{
    assert_true(index == 0 && (fpu_is_open[running] || fpu_xcr0_by_guest));
    return xcr0[running];
}
uint64_t xcr0_now(void)
{
    return xcr0[running];
}
uint64_t tsc_aux_now(void)
{
    return tsc_aux[running];
}
bool xgetbv_works(void)
{
    return fpu_is_open[running] || fpu_xcr0_by_guest;
}
void fpu_save(void *area)
{
    assert_true(fpu_is_open[running] && xcr0[running] == cpu_xcr0_mask);
    memcpy(area, &fpu[running], sizeof fpu[0]);
    memcpy(((struct fpu_image *)area)->legacy + FPU_MXCSR_MASK, &(uint32_t){FPU_MASK_HERE}, 4);
}
struct fpu_image *fpu_now(void)
{
    return &fpu[running];
}
void fpu_open(void)
{
    fpu_is_open[running] = true;
}
void fpu_close(void)
{
    fpu_is_open[running] = false;
}
uint32_t speculation_barriers = BARRIER_PREDICTOR | BARRIER_BUFFERS, speculation_msrs;
bool speculation_guest(uint64_t wanted, uint64_t *value) /* the host's is 1, a guest may have 4 */
{
    *value = (wanted & 4) | 1;
    return *value != 1;
}
unsigned predictor_barriers;
void speculation_barriers_now(uint32_t which)
{
    __atomic_fetch_add(&predictor_barriers, which & BARRIER_PREDICTOR, __ATOMIC_RELAXED);
    if (!(which & BARRIER_BUFFERS))
        return;
    __atomic_fetch_add(&barriers, 1, __ATOMIC_RELAXED);
}
void fpu_restore(const void *area)
{
    assert_true(fpu_is_open[running] && xcr0[running] == cpu_xcr0_mask);
    assert_true(fpu_image_valid(area, cpu_xcr0_mask, FPU_MASK_HERE));
    memcpy(&fpu[running], area, sizeof fpu[0]);
}
bool fpu_xcr0_valid(uint64_t xcr0)
{
    return xcr0 & 1 && !(xcr0 & ~cpu_xcr0_mask);
}

/* ---- memory */

static _Thread_local uint64_t window_page = ~0ull;

void *window_open(hpa_t a)
{
    assert_true(a.v >= RAM_BASE && a.v < RAM_BASE + RAM_SIZE && window_page == ~0ull);
    window_page = a.v;
    lock_is_free();                           /* zeroing takes its time too */
    assert_false(remembered(a.v, PAGE_SIZE)); /* no frame is zeroed that a CPU can still reach */
    uint8_t *at = ram + (a.v - RAM_BASE), *begin = ram + ((a.v - RAM_BASE) & ~(SIZE_2M - 1));
    if (!cpus_at_once) {
        ASAN_POISON_MEMORY_REGION(ram, RAM_SIZE); /* it shows one 2 MiB page, no more */
        ASAN_UNPOISON_MEMORY_REGION(begin, SIZE_2M);
    }
    return at;
}

void window_close(void)
{
    window_page = ~0ull;
    ASAN_UNPOISON_MEMORY_REGION(ram, RAM_SIZE);
}

bool remembered(uint64_t base, uint64_t size)
{
    bool found = false;
    lock_tlbs();
    for (unsigned c = 0; c < MACHINE_CPUS; c++)
        for (unsigned i = 0; i < tlb_used[c]; i++)
            found |= tlb[c][i].base >= base && tlb[c][i].base < base + size;
    unlock_tlbs();
    return found;
}

static uint8_t *look(unsigned cpu, const struct pagetable *tables, uint64_t at, bool guest)
{
    hpa_t frame;
    if (!pt_lookup(tables, at, &frame, NULL, NULL))
        return NULL;
    frame.v &= ~PAGE_MASK;
    if (frame.v < RAM_BASE || frame.v >= RAM_BASE + RAM_SIZE)
        return NULL; /* a page of the kernel's own: a vCPU's state */
    lock_tlbs();
    if (tlb_used[cpu] < TLB_SIZE) {
        tlb[cpu][tlb_used[cpu]].base = frame.v;
        tlb[cpu][tlb_used[cpu]++].guest = guest;
    }
    unlock_tlbs();
    return ram + (frame.v - RAM_BASE) + (at & PAGE_MASK);
}

uint8_t *touch(struct thread *t, uint64_t va)
{
    unsigned cpu = t->cpu->number;
    if (cr3[cpu] != pool_hpa(t->domain->tables.root).v)
        return NULL; /* it does not run */
    return look(cpu, &t->domain->tables, va, false);
}

uint8_t *touch_guest(struct thread *t, struct space *s, uint64_t at)
{
    return look(t->cpu->number, &s->tables, at, true);
}

/* ---- a backend */

struct fake_hw {
    bool loaded;
    uint8_t rest[63];
};

static enum error fake_create(struct vcpu *v)
{
    v->hw = pool_alloc(&v->payer->quota, sizeof(struct fake_hw));
    return v->hw ? OK : E_QUOTA;
}
/* What a CPU has loaded must be retired there before it goes. */
static void fake_destroy(struct vcpu *v)
{
    assert_false(((struct fake_hw *)v->hw)->loaded);
    pool_free(&v->payer->quota, v->hw, sizeof(struct fake_hw));
}
static void fake_retire(struct vcpu *v)
{
    assert_true(v->cpu == this_cpu() && v->cpu->vcpu != v);
    ((struct fake_hw *)v->hw)->loaded = false;
}
static void fake_change(struct vcpu *old, struct vcpu *v)
{
    assert_true((!old || old->cpu == this_cpu()) && (!v || v->cpu == this_cpu()));
    if (v)
        ((struct fake_hw *)v->hw)->loaded = true;
}
static void fake_groups(struct vcpu *v, uint32_t groups)
{
    (void)v, (void)groups;
}
/* As both real ones do in their loops. */
static bool fake_fastpaths(struct vcpu *v)
{
    const struct vcpu_exit *x = &v->state->exit;
    if (x->reason == EXIT_MEMORY)
        return fastpath_doorbell(v, x->memory.gpa | DOORBELL_STORE, DOORBELL_KEY(v->state->rip, x->insn_len),
                                 x->insn_len ? ~0ull : ~0xfull, EXIT_MEMORY);
    return x->reason == EXIT_CPUID ? fastpath_cpuid(v, v->state->gpr)
                                   : x->reason == EXIT_PORT && !x->port.in && !x->port.string &&
                                         fastpath_doorbell(v, x->port.port, x->port.size, ~0ull, EXIT_PORT);
}
static uint32_t fake_run(struct vcpu *v, uint64_t deadline)
{
    (void)deadline;
    vcpu_goes_on(v, rdtsc());
    bool fast;
    do {
        v->state->exit = (struct vcpu_exit){.reason = EXIT_HLT};
        if (guest_runs)
            guest_runs(v);
        fast = fake_fastpaths(v);
    } while (fast && !read_once(v->cpu->work));
    v->exit_at = rdtsc();
    const struct vcpu_exit *x = &v->state->exit;
    if (fast) { /* the thread that it woke may go first */
        v->vector = 0;
        return EXIT_WAITING;
    }
    v->vector = x->detail ? (uint32_t)x->detail : VECTOR_PENDING;
    return x->reason | (x->reason == EXIT_PORT && x->port.string ? RUN_DECODE : 0);
}
static void fake_skip(struct vcpu *v, uint32_t length)
{
    (void)v, (void)length;
}
static uint64_t fake_cr4(struct vcpu *v)
{
    return v->state->cr4;
}
static uint64_t fake_dr7(struct vcpu *v)
{
    return v->state->dr7;
}
static void fake_watch_dr(struct vcpu *v, bool on)
{
    assert_int_equal(v->dr_here, on ? false : v->dr_here);
}
static void fake_flush(void)
{
    forget(true);
}

static struct backend fake_backend = {.name = "test",
                                      .vcpu_create = fake_create,
                                      .vcpu_destroy = fake_destroy,
                                      .change = fake_change,
                                      .retire = fake_retire,
                                      .put = fake_groups,
                                      .get = fake_groups,
                                      .run = fake_run,
                                      .enter = vmx_vcpu_enter,
                                      .skip = fake_skip,
                                      .cr4 = fake_cr4,
                                      .dr7 = fake_dr7,
                                      .watch_dr = fake_watch_dr,
                                      .flush = fake_flush};
/* The kernel knows the real ones by name. */
const struct backend svm_backend;
uint32_t svm_run(struct vcpu *v, uint64_t deadline_tsc)
{
    return fake_run(v, deadline_tsc);
}
uint32_t vmx_run(struct vcpu *v, uint64_t deadline_tsc)
{
    return fake_run(v, deadline_tsc);
}

/* ---- running it */

/* Undefined behaviour would be to change a local between setjmp and longjmp: no caller does. */
struct thread *run_cpu(unsigned number)
{
    running = number;
    if (waits[number])
        sched_waited(&cpus[number].sched, rdtsc());
    waits[number] = false;
    if (setjmp(out) == 0)
        cpu_run();
    return resumed ? (struct thread *)(uintptr_t)resumed : NULL;
}

void run_all(void)
{
    for (unsigned i = 0; i < cpu_count; i++)
        run_cpu(i);
}

noreturn void syscall_entry(struct thread *t);

struct thread *make_call(struct thread *t, enum syscall number, const uint64_t a[6])
{
    t->frame.rax = number;
    t->frame.rdi = a[0];
    t->frame.rsi = a[1];
    t->frame.rdx = a[2];
    t->frame.r10 = a[3];
    t->frame.r8 = a[4];
    t->frame.r9 = a[5];
    running = t->cpu->number;
    static __thread bool by_interrupt;
    if (setjmp(out) == 0) { /* as entry.asm does: by SYSENTER, and every other time by SYSCALL_VECTOR */
        by_interrupt = !by_interrupt;
        if (number == SYS_VCPU_RUN && !by_interrupt)
            vmx_run_call(t);
        syscall_entry(t);
    }
    return resumed ? (struct thread *)(uintptr_t)resumed : NULL;
}

struct answer call(struct thread *t, enum syscall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                   uint64_t f)
{
    for (unsigned tries = 0; run_cpu(t->cpu->number) != t; tries++) {
        if (tries == 64)
            return (struct answer){OK, 0, true};
        __atomic_add_fetch(&now, 20000000, __ATOMIC_RELAXED); /* slices end */
    }
    make_call(t, number, (const uint64_t[6]){a, b, c, d, e, f});
    if (t->block != BLOCK_NONE)
        return (struct answer){OK, 0, true};
    return (struct answer){(enum error)t->frame.rax, t->frame.rdx, false};
}

enum error call_steps(struct thread *t, enum syscall number, uint64_t a, uint64_t b)
{
    for (unsigned tries = 0; tries < 4000; tries++) {
        struct answer r = call2(t, number, a, b);
        assert_false(r.blocked);
        if (r.error != E_AGAIN)
            return r.error;
        run_all();
    }
    fail_msg("it never ends");
    return E_COUNT;
}

uint64_t made(struct answer a)
{
    assert_false(a.blocked);
    assert_int_equal(a.error, OK);
    return a.value;
}

void add_cpus(struct thread *t, uint64_t domain, unsigned first, unsigned last)
{
    for (unsigned cpu = first; cpu <= last; cpu++)
        assert_int_equal(call2(t, SYS_DOMAIN_CPU, domain, cpu).error, OK);
}

uint64_t domain_on(struct thread *t, uint64_t pages, unsigned first, unsigned last, uint64_t event, uint64_t bits)
{
    uint64_t domain = made(call4(t, SYS_DOMAIN_CREATE, pages, event, bits, DOMAIN_OWN_CODE));
    add_cpus(t, domain, first, last);
    return domain;
}

void *object_at(struct thread *t, uint64_t slot)
{
    struct object *o = NULL;
    assert_int_equal(handle_any(t->domain, slot, 0, &o, NULL), OK);
    switch (o->type) {
    case OBJ_DOMAIN: return container_of(o, struct domain, object);
    case OBJ_THREAD: return container_of(o, struct thread, object);
    case OBJ_SPACE: return container_of(o, struct space, object);
    case OBJ_VCPU: return container_of(o, struct vcpu, object);
    case OBJ_MEMORY: return container_of(o, struct memory, object);
    case OBJ_EVENT: return container_of(o, struct event, object);
    case OBJ_IRQ: return container_of(o, struct irq, object);
    default: return container_of(o, struct ports, object);
    }
}

/* Tables and handle pages stay with a domain that lives. */
static uint64_t used_by_root(void)
{
    uint64_t pages = pt_tables(&root->tables, KERNEL_SLOT);
    for (unsigned i = 0; i < ARRAY_SIZE(root->handles); i++)
        pages += root->handles[i] != NULL;
    return root->quota.used_bytes - pages * PAGE_SIZE;
}

int machine_start(void **state)
{
    (void)state;
    static uint8_t *pool;
    if (!pool)
        pool = aligned_alloc(PAGE_SIZE, POOL_SIZE);
    if (!ram)
        ram = aligned_alloc(SIZE_2M, RAM_SIZE);
    memset(pool, 0xa5, POOL_SIZE);
    memset(ram, 0xfe, RAM_SIZE); /* what firmware left */
    memset(cpus, 0, sizeof cpus);
    memset(waits, 0, sizeof waits);
    memset(tlb_used, 0, sizeof tlb_used);
    memset(port_open, 0, sizeof port_open);
    memset(ports_reached, 0, sizeof ports_reached);
    now = 1000;
    running = 0;
    guest_runs = NULL;
    cpu_count = MACHINE_CPUS;
    pool_init(hpa(POOL_BASE), POOL_SIZE, pool);
    fake_backend.format = &pt_ept;
    backend = &fake_backend;
    uint64_t total = pool_pages_total() * PAGE_SIZE;
    kernel_quota = (struct quota){.limit_bytes = total};
    assert_int_equal(pt_create(&kernel_tables, &pt_host, &kernel_quota), OK);
    for (unsigned i = 0; i < cpu_count; i++) {
        cpus[i].number = cpus[i].apic_id = i;
        cpus[i].timer_armed = NEVER;
        cpus[i].xcr0 = xcr0[i] = cpu_xcr0_mask;
        cpus[i].tsc_aux = ~0ull; /* not known */
        tsc_aux[i] = 0xf1;
        sched_init(&cpus[i].sched, us_to_ticks(10000));
        cr3[i] = pool_hpa(kernel_tables.root).v;
    }
    enum error e;
    root = domain_new(NULL, total - 64 * PAGE_SIZE);
    assert_non_null(root);
    for (unsigned i = 0; i < MACHINE_CPUS; i++)
        cpuset_set(&root->cpus, i);
    object_get(&root->object);
    uint32_t slot = ROOT_SLOT_SELF;
    assert_int_equal(handle_put(root, &root->object, RIGHTS_ALL, &slot), OK);
    object_get(&log_object);
    slot = ROOT_SLOT_LOG;
    assert_int_equal(handle_put(root, &log_object, RIGHTS_ALL, &slot), OK);
    object_get(&hardware_object);
    slot = ROOT_SLOT_HARDWARE;
    assert_int_equal(handle_put(root, &hardware_object, RIGHTS_ALL, &slot), OK);
    if (!kept_ports) {
        hardware_keep(RAM_BASE, RAM_SIZE);
        kept_ports = ports_list;
    }
    ports_list = kept_ports; /* not all tests stop their machine */
    memset(lines, 0, sizeof lines);
    struct memory *m = memory_new(root, hpa(RAM_BASE), RAM_SIZE, 0, true, &e);
    slot = RAM_SLOT;
    assert_int_equal(handle_put(root, &m->object, RIGHT_MAP | RIGHT_MANAGE, &slot), OK);
    assert_int_equal(
        thread_create(root, &(struct new_thread){0x400000, 0x800000, 0, SCHED_PLACE(0, 6), 0, NULL}, &root_thread), OK);
    object_put(&root_thread->object);
    assert_ptr_equal(run_cpu(0), root_thread);
    used_at_start = used_by_root();
    references_at_start = root->object.references;
    slot = PORTS_SLOT;
    struct ports *p = ports_new(root, 0xcf9, 0xcf9, &e);
    assert_non_null(p);
    assert_int_equal(handle_put(root, &p->object, RIGHTS_ALL, &slot), OK);
    struct irq *i = irq_new(root, cpu_by_number(0), 4, LINE_LEVEL, &e);
    assert_non_null(i);
    slot = IRQ_SLOT;
    assert_int_equal(handle_put(root, &i->object, RIGHTS_ALL, &slot), OK);
    return 0;
}

bool owned(uint64_t index, uint64_t *offset, uint64_t *size)
{
    struct ledger_range *r = ledger_next(&shown.ledger, hpa(RAM_BASE));
    while (r && index-- > 0)
        r = ledger_next(&shown.ledger, hpa(r->base.v + 1));
    if (!r || r->base.v >= RAM_BASE + RAM_SIZE)
        return false;
    *offset = r->base.v - RAM_BASE;
    *size = r->size;
    return true;
}

void destroy_at_once(uint64_t handle)
{
    struct answer r;
    unsigned steps = 0;
    while ((r = call1(root_thread, SYS_DESTROY, handle)).error == E_AGAIN) {
        sched_yield(); /* another CPU must move on before the next step can be made */
        if (++steps > 2000000)
            fail_msg("it never ends");
    }
    assert_true(r.error == OK || r.error == E_DEAD);
    assert_int_equal(call1(root_thread, SYS_HANDLE_CLOSE, handle).error, OK);
}

/* Root destroys and closes whatever it still has; then the pool must be as it was. */
static bool fixed(uint64_t s)
{
    return s == ROOT_SLOT_SELF || s == ROOT_SLOT_LOG || s == ROOT_SLOT_HARDWARE || s == RAM_SLOT || s == PORTS_SLOT ||
           s == IRQ_SLOT;
}

void forget_everything(void)
{
    struct object *o;
    for (int memory = 0; memory < 2; memory++)
        for (unsigned s = 1; s < MAX_HANDLES; s++) {
            if (fixed(s) || handle_any(root, s, RIGHT_DESTROY, &o, NULL) != OK ||
                o->type != (memory ? OBJ_MEMORY : OBJ_DOMAIN))
                continue;
            enum error e = call_steps(root_thread, SYS_DESTROY, s, 0);
            assert_true(e == OK || e == E_DEAD || (e == E_STATE && memory && ((struct memory *)(void *)o)->device));
        }
    for (unsigned s = 1; s < MAX_HANDLES; s++)
        if (!fixed(s) && handle_any(root, s, 0, &o, NULL) == OK)
            assert_int_equal(call1(root_thread, SYS_HANDLE_CLOSE, s).error, OK);
}

int machine_stop(void **state)
{
    (void)state;
    run_all();
    forget_everything();
    (void)!handle_close(root, PORTS_SLOT);
    (void)!handle_close(root, IRQ_SLOT);
    while (root->port_count)
        object_put(&root->ports[--root->port_count]->object);
    for (unsigned n = 0; n < 100; n++)
        object_reap();
    for (unsigned i = 0; i < MACHINE_LINES; i++)
        assert_int_equal(lines[i].vector, 0);
    uint64_t offset, size;
    assert_false(owned(0, &offset, &size));
    assert_null(ledger_next(&shown.ledger, hpa(RAM_BASE)));
    assert_null(root->mappings);
    assert_int_equal(used_by_root(), used_at_start);
    assert_int_equal(root->object.references, references_at_start);
    assert_int_equal(root->quota.limit_bytes + kernel_quota.limit_bytes, pool_pages_total() * PAGE_SIZE);
    return 0;
}
