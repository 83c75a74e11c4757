// SPDX-License-Identifier: Apache-2.0
/*
 * The run loop: snapshot what the monitor changed, enter, settle what is settled here, hand the rest over.
 */
#include "kernel/vcpu.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/fpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/speculation.h"
#include "arch/x86_64/time.h"
#include "arch/x86_64/traps.h"
#include "kernel/event.h"
#include "kernel/fastpath.h"
#include "kernel/grace.h"
#include "kernel/space.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "mullion/regs.h"

#define DR7_ENABLED      0xffu /* L0 to G3 (Intel SDM vol. 3, 18.2.4) */
#define GROUPS_TO_DECODE (GROUP_RIP | GROUP_SEG | GROUP_CR)

const struct backend *backend;
enum emulator emulator;

/* A page that a vCPU shares with its monitor. */
static enum error show_page(struct domain *d, uint64_t va, const void *page)
{
    if ((va & PAGE_MASK) || va < USER_VA_MIN || va >= USER_VA_MAX)
        return E_ARG;
    return page ? pt_map(&d->tables, va, pool_hpa(page), PAGE_SIZE, RIGHT_READ | RIGHT_WRITE | PT_USER) : E_QUOTA;
}

enum error vcpu_show_fpu(struct vcpu *v, uint64_t va)
{
    if (v->fpu_shown)
        return E_STATE;
    void *page = pool_page(&v->payer->quota);
    enum error e = show_page(v->payer, va, page);
    if (e == OK)
        v->fpu_shown = page;
    else
        pool_page_free(&v->payer->quota, page);
    return e;
}

enum error vcpu_new(struct thread *t, struct space *s, uint64_t state_va, struct vcpu **out)
{
    if (t->vcpu)
        return E_STATE;
    struct domain *d = t->domain;
    struct vcpu *v = object_new(d, sizeof *v);
    if (!v)
        return E_QUOTA;
    object_init(&v->object, OBJ_VCPU);
    v->payer = d;
    v->thread = t;
    v->cpu = t->cpu;
    v->space = s;
    v->dedicated = !t->entity.budget;
    object_get(&s->object);
    enum error e = E_QUOTA;
    v->state = pool_page(&d->quota);
    v->fpu = pool_page(&d->quota);
    if (v->state && v->fpu)
        e = backend->vcpu_create(v);
    if (e == OK)
        e = show_page(d, state_va, v->state);
    if (e != OK) {
        d->ending++; /* at once: it was never seen */
        vcpu_free(v);
        return e;
    }
    fpu_reset(v->fpu);
    v->xcr0 = 1;
    v->state->xcr0 = 1;
    v->state->deadline = NEVER;
    v->exit_at = rdtsc();
    cpuset_set(&s->tables.cpus, v->cpu->number);
    object_get(&v->object); /* the thread's */
    t->vcpu = v;
    *out = v;
    return OK;
}

void vcpu_end(struct vcpu *v)
{
    object_die(&v->object);
    if (v->event)
        event_unbind(v->event);
}

void vcpu_free(struct vcpu *v)
{
    if (v->hw)
        backend->vcpu_destroy(v);
    pool_page_free(&v->payer->quota, v->fpu_shown);
    pool_page_free(&v->payer->quota, v->fpu);
    pool_page_free(&v->payer->quota, v->state);
    if (v->event)
        object_put(&v->event->object);
    object_put(&v->space->object);
    v->payer->ending--;
    object_free(v->payer, v, sizeof *v);
}

/* The FPU is open. */
static void load_xcr0(struct cpu *c, uint64_t value)
{
    if (c->xcr0 == value)
        return;
    c->xcr0 = value;
    xsetbv(0, value);
}
static void change_xcr0(struct cpu *c, uint64_t value)
{
    if (c->xcr0 == value)
        return;
    fpu_open();
    load_xcr0(c, value);
    fpu_close();
}

/* A guest that sets XCR0 without an exit may have set what no CPU takes. */
static inline __attribute__((always_inline)) void read_xcr0(struct cpu *c, struct vcpu *v)
{
    uint64_t now = fpu_xcr0_by_guest ? xgetbv(0) : c->xcr0;
    if (likely(now == c->xcr0))
        return;
    c->xcr0 = now;
    if (fpu_xcr0_valid(now & cpu_xcr0_mask))
        v->xcr0 = now & cpu_xcr0_mask;
}

/* A guest reads it without an exit, and writes it through its monitor. */
static void load_tsc_aux(struct cpu *c, uint64_t value)
{
    if (c->tsc_aux == value || !cpu_has_tsc_aux)
        return;
    c->tsc_aux = value;
    wrmsr(MSR_TSC_AUX, value);
}

/* Few guests use debug registers, and moving them is slow: the CPU has them from their first use until another vCPU
 * comes. */
static void read_dr(struct vcpu *v)
{
    v->dr[0] = read_dr0();
    v->dr[1] = read_dr1();
    v->dr[2] = read_dr2();
    v->dr[3] = read_dr3();
}

void vcpu_load_dr(struct vcpu *v)
{
    write_dr0(v->dr[0]);
    write_dr1(v->dr[1]);
    write_dr2(v->dr[2]);
    write_dr3(v->dr[3]);
    if (!v->dr_here)
        backend->watch_dr(v, false);
    v->dr_here = true;
}

static void save_passive(struct cpu *c, struct vcpu *v)
{
    read_xcr0(c, v);
    load_xcr0(c, cpu_xcr0_mask);
    fpu_save(v->fpu);
    if (unlikely(v->dr_here)) {
        read_dr(v);
        v->dr_here = false;
        v->dr_wanted = backend->dr7(v) & DR7_ENABLED;
        backend->watch_dr(v, true);
    }
}

static void load_passive(struct cpu *c, struct vcpu *v)
{
    fpu_restore(v->fpu);
    load_xcr0(c, v->xcr0);
    if (unlikely(v->dr_wanted))
        vcpu_load_dr(v);
    load_tsc_aux(c, v->tsc_aux);
    c->owed &= ~OWED_REGISTERS;
}

void vcpu_make_current(struct cpu *c, struct vcpu *v)
{
    struct vcpu *old = c->vcpu;
    fpu_open();
    if (old)
        save_passive(c, old);
    c->vcpu = v;
    if (backend->change)
        backend->change(old, v);
    if (v)
        load_passive(c, v);
    fpu_close();
}

/* Ring 3 reads TSC_AUX by RDTSCP and RDPID, and by CPUID how large the components are that XCR0 names. */
void vcpu_pay(struct cpu *c)
{
    struct vcpu *v = c->vcpu;
    if (v)
        read_xcr0(c, v);
    bool own = v && v->payer == c->domain;
    change_xcr0(c, own ? v->xcr0 : cpu_xcr0_mask);
    load_tsc_aux(c, own ? v->tsc_aux : 0);
    speculation_barriers_now(c->owed);
    c->owed = 0;
}

/* The page's groups whose values live outside the backend. The page may change under us: each value is read once. */
static void put(struct vcpu *v, uint32_t groups)
{
    struct vcpu_state *s = v->state;
    if (groups & GROUP_CR) {
        v->cr2 = s->cr2;
        uint64_t xcr0 = read_once(s->xcr0);
        if (xcr0 != v->xcr0 && fpu_xcr0_valid(xcr0)) {
            v->xcr0 = xcr0;
            change_xcr0(v->cpu, xcr0);
        }
    }
    if (groups & GROUP_MSR) {
        v->tsc_aux = read_once(s->tsc_aux) & 0xffffffff;
        load_tsc_aux(v->cpu, v->tsc_aux);
        v->spec_switched |= speculation_guest(read_once(s->spec_ctrl), &v->spec_ctrl);
    }
    backend->put(v, groups);
    if (groups & GROUP_DR) {
        for (unsigned i = 0; i < ARRAY_SIZE(v->dr); i++)
            v->dr[i] = read_once(s->dr[i]);
        if (v->dr_here || (backend->dr7(v) & DR7_ENABLED))
            vcpu_load_dr(v);
    }
}

static void get(struct vcpu *v, uint32_t groups)
{
    struct vcpu_state *s = v->state;
    backend->get(v, groups);
    if (groups & GROUP_CR) {
        read_xcr0(v->cpu, v);
        s->cr2 = v->cr2;
        s->xcr0 = v->xcr0;
    }
    if (groups & GROUP_DR) {
        if (v->dr_here)
            read_dr(v);
        memcpy(s->dr, v->dr, sizeof s->dr);
    }
    if (groups & GROUP_MSR)
        s->tsc_aux = v->tsc_aux;
    if ((groups & GROUP_MSR) && (speculation_msrs & GUEST_SPEC_CTRL)) /* else the monitor knows */
        s->spec_ctrl = v->spec_ctrl;
}

/* GROUP_FPU, while the state lies in memory. The page may change under us: it is copied, checked, and used from the
 * copy. */
static bool put_fpu(struct vcpu *v)
{
    uint32_t mxcsr_mask;
    memcpy(&mxcsr_mask, v->fpu->legacy + FPU_MXCSR_MASK, sizeof mxcsr_mask); /* the CPU has just told it */
    memcpy(v->fpu, v->fpu_shown, sizeof *v->fpu);
    if (fpu_image_valid(v->fpu, cpu_xcr0_mask, mxcsr_mask ? mxcsr_mask : FPU_MXCSR_MASK_OLD))
        return true;
    fpu_reset(v->fpu);
    return false;
}

/* Both ways, out of line: few monitors ask, and seldom. False: what was put is refused. */
static __attribute__((noinline)) bool move_fpu(struct cpu *c, struct vcpu *v, bool into_guest)
{
    bool good = true;
    vcpu_make_current(c, NULL);
    if (into_guest)
        good = put_fpu(v);
    else
        memcpy(v->fpu_shown, v->fpu, sizeof *v->fpu);
    vcpu_make_current(c, v);
    return good;
}

void vcpu_fetch(struct cpu *c, struct vcpu *v, uint32_t groups)
{
    if (c->vcpu != v)
        vcpu_make_current(c, v);
    uint32_t dirty = read_once(v->state->dirty), done = vcpu_take_advance(v->state);
    if (done && !(dirty & GROUP_RIP))
        backend->skip(v, done);
    groups &= (GROUPS_REGISTERS | (v->fpu_shown ? GROUP_FPU : 0)) & ~dirty;
    get(v, groups);
    if (groups & GROUP_FPU)
        move_fpu(c, v, false);
    v->state->valid |= groups;
}

/* What the monitor needs for an exit, besides the record. */
static const uint8_t groups_of[EXIT_COUNT] = {
    [EXIT_HLT] = GROUP_RIP,
    [EXIT_XSETBV] = GROUP_RIP,
    [EXIT_IRET] = GROUP_RIP,
    [EXIT_INVALID_OPCODE_WANTED] = GROUP_RIP,
    [EXIT_CR_WRITE] = GROUP_RIP | GROUP_CR,
    [EXIT_CR_READ] = GROUP_RIP | GROUP_CR,
    [EXIT_MEMORY] = GROUP_RIP | GROUP_CR,
    [EXIT_BAD_STATE] = GROUPS_REGISTERS,
    [EXIT_EXCEPTION] = GROUPS_TO_DECODE,
    [EXIT_TRIPLE_FAULT] = GROUPS_TO_DECODE,
    [EXIT_TASK_SWITCH] = GROUPS_TO_DECODE,
    [EXIT_SHUTDOWN] = GROUPS_TO_DECODE,
    [EXIT_UNKNOWN] = GROUPS_TO_DECODE,
};

/* What becomes of a guest's turn. */
enum outcome { STAY, TO_MONITOR, TO_HOST };

/* Out of the guest, to the monitor. */
static inline __attribute__((always_inline)) enum outcome exit_to_monitor(struct vcpu *v, uint32_t reason)
{
    struct vcpu_state *s = v->state;
    uint32_t groups = groups_of[reason & 0xff];
    v->exit_reason = reason & 0xff;
    v->exits[reason & 0xff]++;
    if (unlikely(reason & RUN_DECODE))
        groups = GROUPS_TO_DECODE;
    if (groups)
        get(v, groups);
    s->exit.reason = reason & 0xff;
    s->valid = groups;
    return TO_MONITOR;
}

void fastpath_osxsave(struct vcpu *v, uint64_t *gpr)
{
    gpr[GPR_RCX] = (gpr[GPR_RCX] & ~(1ull << 27)) | (backend->cr4(v) & CR4_OSXSAVE ? 1u << 27 : 0);
}

void fastpath_signal(struct event *e, uint64_t bits)
{
    struct cpu *c = this_cpu();
    section_open(c);
    event_signal(e, bits);
    section_close(c);
    if (read_once(c->vcpu->kicked)) /* its own event: the backend's loop looks at `work` alone */
        cpu_post(c, WORK_WAKE);
}

static __attribute__((noinline)) enum outcome exit_to_monitor_cold(struct vcpu *v, uint32_t reason)
{
    return exit_to_monitor(v, reason);
}

/* `kicked` has been cleared: what its event gets from now on kicks again. */
static __attribute__((noinline)) enum outcome exit_kicked(struct vcpu *v)
{
    v->state->exit.kick.events = v->event ? event_take(v->event) : 0;
    return exit_to_monitor(v, EXIT_KICK);
}

/* The monitor's wish, which may change at any time: then it is met late, at the latest by the kick that comes with it.
 */
static inline uint64_t deadline_of(const struct vcpu *v)
{
    return read_once(v->state->deadline);
}

/* The guest has nothing to do: asleep until a thread kicks, the deadline comes or there is something to deliver. */
static __attribute__((noinline)) enum outcome sleep(struct vcpu *v)
{
    struct vcpu_state *s = v->state;
    uint64_t deadline = deadline_of(v);
    bool deliver = (s->inject & INJECT_VALID) || (s->irq & IRQ_VALID);
    __atomic_store_n(&v->halted, true, __ATOMIC_SEQ_CST); /* from here on a kick wakes the thread */
    if (!__atomic_load_n(&v->kicked, __ATOMIC_SEQ_CST) && !deliver && (deadline == NEVER || rdtsc() < deadline)) {
        path_begin(v->cpu, PATH_GUEST, rdtsc());
        thread_block(v->thread, BLOCK_HALT, deadline);
        return TO_HOST;
    }
    __atomic_store_n(&v->halted, false, __ATOMIC_RELAXED);
    if (__atomic_exchange_n(&v->kicked, 0, __ATOMIC_SEQ_CST))
        return exit_kicked(v);
    if (!deliver)
        return exit_to_monitor_cold(v, EXIT_DEADLINE);
    s->activity = ACTIVITY_RUN; /* what wakes it is taken at the entry: it must not fall asleep again when the host has
                                   had the CPU */
    return STAY;
}

/* The host has done its part of what ended the guest's turn. */
static inline __attribute__((always_inline)) enum outcome handle_host_exit(struct cpu *c, struct vcpu *v)
{
    v->exit_reason = EXIT_WAITING;
    path_begin(c, PATH_GUEST, v->exit_at);
    if (v->vector == VECTOR_PENDING)
        irq_window();
    else if (v->vector)
        irq_dispatch(v->vector);
    bool due = v->exit_at >= deadline_of(v); /* what has become due since then makes the next entry an exit at once */
    v->exits[EXIT_WAITING] += !due;
    if (!due && (v->exit_at >= c->next_deadline || (read_once(c->work) && !read_once(v->kicked))))
        return TO_HOST;
    timer_arm(
        c,
        c->next_deadline); /* on AMD-V the timer may have been the guest's; the monitor must not run on without one */
    if (due)
        return exit_to_monitor_cold(v, EXIT_DEADLINE);
    path_end(c, rdtsc());
    return STAY;
}

typedef uint32_t (*run_function)(struct vcpu *v, uint64_t deadline);

/* Another's state or code was on this CPU. */
static inline __attribute__((always_inline)) void switch_to_vcpu(struct cpu *c, struct vcpu *v)
{
    if (c->vcpu != v) {
        if (unlikely(speculation_barriers) && c->vcpu && c->vcpu->payer != v->payer) /* its registers are put away */
            c->owed |= speculation_barriers & (BARRIER_L1D | BARRIER_BUFFERS);
        vcpu_make_current(c, v);
    }
    cpu_pay(c);
}

/* One way into the guest and back. Only v outlives it: there is a register for that. */
static inline __attribute__((always_inline)) enum outcome run_once(struct vcpu *v, run_function run)
{
    struct cpu *c = v->cpu;
    if (unlikely(read_once(v->kicked))) {
        __atomic_store_n(&v->kicked, 0, __ATOMIC_SEQ_CST);
        return exit_kicked(v);
    }
    if (unlikely(read_once(c->work))) {
        path_begin(c, PATH_GUEST, rdtsc()); /* else since before the monitor ran */
        return TO_HOST;
    }
    uint32_t reason = run(v, min_u64(deadline_of(v), c->next_deadline));
    return reason == EXIT_WAITING ? handle_host_exit(v->cpu, v) : exit_to_monitor(v, reason);
}

static __attribute__((noinline)) enum outcome run_again(struct vcpu *v)
{
    return run_once(v, backend->run);
}

static inline __attribute__((always_inline)) bool enter(struct cpu *c, struct vcpu *v, run_function run)
{
    struct vcpu_state *s = v->state;
    if (unlikely(c->vcpu != v))
        switch_to_vcpu(c, v);
    uint32_t dirty = read_once(s->dirty) & GROUPS_ALL;
    if (unlikely(dirty)) {
        s->dirty = 0;
        if (dirty & GROUP_RIP) /* the monitor brings a rip of its own */
            s->advance = 0;
        put(v, dirty);
        if (unlikely(dirty & GROUP_FPU) && v->fpu_shown && !move_fpu(c, v, true)) {
            s->exit.detail = BAD_STATE_FPU;
            exit_to_monitor_cold(v, EXIT_BAD_STATE);
            return true;
        }
    }
    enum outcome o = STAY;
    if (unlikely(v->halted || s->activity == ACTIVITY_HALT))
        o = sleep(v);
    if (!unlikely(o))
        o = run_once(v, run);
    while (unlikely(o == STAY))
        o = run_again(v);
    if (o == TO_MONITOR)
        return true;
    v->in_guest_mode = true; /* inside vcpu_run all the same: its thread goes on there */
    return false;
}

static inline __attribute__((always_inline)) bool enter_again(struct cpu *c, struct vcpu *v, run_function run)
{
    v->in_guest_mode = false;
    if (c->owed)
        switch_to_vcpu(c, v);
    path_end(c, rdtsc());
    if (!enter(c, v, run))
        return false;
    path_begin(c, PATH_GUEST, rdtsc());
    return true;
}

/* The hottest call: no lock, no table. */
static inline __attribute__((always_inline)) noreturn void run_call(struct thread *t, run_function run,
                                                                    enum call_way way)
{
    struct vcpu *v = t->vcpu;
    t->frame.rax = unlikely(!v) ? E_STATE : OK;
    if (unlikely(!v))
        user_resume(&t->frame);
    bool exited = enter(t->cpu, v, run);
    if (unlikely(!exited || read_once(v->cpu->work))) {
        if (exited) /* else enter has told already */
            path_begin(v->cpu, PATH_GUEST, rdtsc());
        cpu_run();
    }
    if (way == CALL_BY_SYSENTER)
        sysexit_from_run(&v->thread->frame);
    sysret_from_run(&v->thread->frame);
}

/* Both ways in, once for each backend, so that its run is compiled into them (-flto). */
#define DEFINE_WAYS_IN(hardware, way)                                                   \
    __attribute__((noinline)) bool hardware##_vcpu_enter(struct cpu *c, struct vcpu *v) \
    {                                                                                   \
        return enter_again(c, v, hardware##_run);                                       \
    }                                                                                   \
    noreturn void hardware##_run_call(struct thread *t)                                 \
    {                                                                                   \
        run_call(t, hardware##_run, way);                                               \
    }
DEFINE_WAYS_IN(vmx, CALL_BY_SYSENTER)
DEFINE_WAYS_IN(svm, CALL_BY_SYSCALL)

noreturn void vcpu_run_call(struct thread *t)
{
    t->frame.rax = t->vcpu ? OK : E_STATE;
    if (t->vcpu)
        t->vcpu->in_guest_mode = true;
    cpu_run();
}

/* A vCPU that runs looks at `kicked` before it enters its guest again: only one in it, or asleep, must be told. */
void vcpu_kick(struct vcpu *v)
{
    struct cpu *c = v->cpu;
    if (__atomic_exchange_n(&v->kicked, 1, __ATOMIC_SEQ_CST) != 0) /* the word is on its way */
        return;
    if (__atomic_load_n(&v->halted, __ATOMIC_SEQ_CST))
        thread_wake(v->thread);
    else if (c != this_cpu() && __atomic_load_n(&c->current, __ATOMIC_SEQ_CST) == v->thread)
        apic_ipi(c->apic_id, VECTOR_IPI);
}
