/*
 * The run loop: snapshot what the monitor changed, enter, settle what is settled here, hand the rest over.
 */
#include "kernel/vcpu.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/fpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/regs.h"
#include "arch/x86_64/traps.h"
#include "kernel/event.h"
#include "kernel/settle.h"
#include "kernel/space.h"
#include "kernel/thread.h"

#define INSTRUCTION_MAX 15u /* bytes (Intel SDM vol. 2, 2.3.11) */

const struct backend *backend;

static bool has_tsc_aux(void) { return cpuid(0x80000001, 0).edx & 1u << 27; }
static int tsc_aux_there = -1;

enum error vcpu_new(struct thread *t, struct space *s, uint64_t state_va, struct vcpu **out)
{
    if (t->vcpu)
        return E_STATE;
    if ((state_va & PAGE_MASK) || state_va < USER_VA_MIN || state_va >= USER_VA_MAX)
        return E_ARG;
    if (tsc_aux_there < 0)
        tsc_aux_there = has_tsc_aux();
    struct domain *d = t->domain;
    struct vcpu *v = object_new(d, sizeof *v);
    if (!v)
        return E_QUOTA;
    object_init(&v->object, OBJ_VCPU);
    v->payer = d;
    v->thread = t;
    v->cpu = t->cpu;
    v->space = s;
    object_get(&s->object);
    enum error e = E_QUOTA;
    v->state = pool_page(&d->quota);
    v->fpu = pool_page(&d->quota);
    if (v->state && v->fpu)
        e = backend->vcpu_create(v);
    if (e == OK)
        e = pt_map(&d->tables, state_va, pool_hpa(v->state), PAGE_SIZE, RIGHT_READ | RIGHT_WRITE | PT_USER);
    if (e != OK) {
        vcpu_free(v);
        return e;
    }
    fpu_reset(v->fpu);
    v->xcr0 = 1;
    v->dr6 = 0xffff0ff0;
    v->state->xcr0 = 1;
    v->state->deadline = NEVER;
    v->state->cr0 = CR0_ET;
    v->state->rflags = RFLAGS_FIXED;
    s->tables.cpus |= 1ull << v->cpu->number;
    object_get(&v->object); /* the thread's */
    t->vcpu = v;
    *out = v;
    return OK;
}

void vcpu_free(struct vcpu *v)
{
    if (v->hw)
        backend->vcpu_destroy(v);
    if (v->fpu)
        pool_page_free(&v->payer->quota, v->fpu);
    if (v->state)
        pool_page_free(&v->payer->quota, v->state);
    object_put(&v->space->object);
    object_free(v->payer, v, sizeof *v);
}

struct object *vcpu_object(struct vcpu *v) { return &v->object; }

/* QEMU (7.2) does not intercept XSETBV: there the CPU alone knows what the guest has set. */
static void read_xcr0(struct vcpu *v)
{
    uint64_t now = cpu_xcr0_mask ? xgetbv(0) & cpu_xcr0_mask : 0;
    if (fpu_xcr0_valid(now))
        v->xcr0 = now;
}

static void save_passive(struct vcpu *v)
{
    read_xcr0(v);
    fpu_save(v->fpu);
    v->dr[0] = read_dr0();
    v->dr[1] = read_dr1();
    v->dr[2] = read_dr2();
    v->dr[3] = read_dr3();
    v->dr6 = read_dr6();
    if (tsc_aux_there)
        v->tsc_aux = rdmsr(MSR_TSC_AUX);
}

static void load_passive(struct vcpu *v)
{
    fpu_restore(v->fpu, v->xcr0);
    write_dr0(v->dr[0]);
    write_dr1(v->dr[1]);
    write_dr2(v->dr[2]);
    write_dr3(v->dr[3]);
    write_dr6(v->dr6);
    if (tsc_aux_there)
        wrmsr(MSR_TSC_AUX, v->tsc_aux);
}

void vcpu_make_current(struct cpu *c, struct vcpu *v)
{
    if (c->vcpu) {
        save_passive(c->vcpu);
        backend->unload(c->vcpu);
    }
    c->vcpu = v;
    if (v) {
        backend->load(v);
        load_passive(v);
    }
}

/* The page's groups whose values live outside the backend. The page may change under us: each value is read once. */
static void put(struct vcpu *v, uint32_t groups)
{
    struct vcpu_state *s = v->state;
    if (groups & GROUP_CR) {
        v->cr2 = s->cr2;
        uint64_t xcr0 = __atomic_load_n(&s->xcr0, __ATOMIC_RELAXED);
        if (cpu_xcr0_mask && xcr0 != v->xcr0 && fpu_xcr0_valid(xcr0)) {
            v->xcr0 = xcr0;
            xsetbv(0, xcr0);
        }
    }
    if (groups & GROUP_DR) {
        write_dr0(s->dr[0]);
        write_dr1(s->dr[1]);
        write_dr2(s->dr[2]);
        write_dr3(s->dr[3]);
        v->dr6 = __atomic_load_n(&s->dr6, __ATOMIC_RELAXED) & 0xffffffff;
        write_dr6(v->dr6);
    }
    if ((groups & GROUP_MSR) && tsc_aux_there)
        wrmsr(MSR_TSC_AUX, __atomic_load_n(&s->tsc_aux, __ATOMIC_RELAXED) & 0xffffffff);
    backend->put(v, groups);
}

static void get(struct vcpu *v, uint32_t groups)
{
    struct vcpu_state *s = v->state;
    backend->get(v, groups);
    if (groups & GROUP_CR) {
        read_xcr0(v);
        s->cr2 = v->cr2;
        s->xcr0 = v->xcr0;
    }
    if (groups & GROUP_DR) {
        s->dr[0] = read_dr0();
        s->dr[1] = read_dr1();
        s->dr[2] = read_dr2();
        s->dr[3] = read_dr3();
        s->dr6 = read_dr6();
    }
    if ((groups & GROUP_MSR) && tsc_aux_there)
        s->tsc_aux = rdmsr(MSR_TSC_AUX);
}

/* The monitor has done the instruction; unless it brings a rip of its own. */
static inline void take_advance(struct vcpu *v, uint32_t dirty)
{
    uint32_t length = __atomic_load_n(&v->state->advance, __ATOMIC_RELAXED);
    if (length == 0)
        return;
    v->state->advance = 0;
    if (!(dirty & GROUP_RIP) && length <= INSTRUCTION_MAX)
        backend->skip(v, length);
}

void vcpu_fetch(struct cpu *c, struct vcpu *v, uint32_t groups)
{
    if (c->vcpu != v)
        vcpu_make_current(c, v);
    take_advance(v, v->state->dirty);
    groups &= GROUPS_ALL & ~(uint32_t)GROUP_TSC & ~v->state->dirty;
    get(v, groups);
    v->state->valid |= groups;
}

static uint32_t groups_of(uint32_t reason)
{
    switch (reason) {
    case EXIT_KICK: case EXIT_DEADLINE: case EXIT_RDMSR: case EXIT_WRMSR: case EXIT_CPUID: return 0;
    case EXIT_HLT: case EXIT_XSETBV: case EXIT_INVALID_OPCODE_WANTED: return GROUP_RIP;
    case EXIT_HYPERCALL: return GROUP_RIP | GROUP_SEG;
    case EXIT_CR_WRITE: case EXIT_CR_READ: case EXIT_MEMORY: return GROUP_RIP | GROUP_CR;
    case EXIT_BAD_STATE: return GROUPS_ALL & ~(uint32_t)GROUP_TSC;
    default: return GROUP_RIP | GROUP_SEG | GROUP_CR;
    }
}

/* Out of the guest, to the monitor. */
static bool hand_over(struct vcpu *v, uint32_t reason)
{
    struct vcpu_state *s = v->state;
    v->exit.reason = reason;
    v->exits[reason < EXIT_COUNT ? reason : EXIT_UNKNOWN]++;
    uint32_t groups = reason == EXIT_PORT && !v->exit.port.string ? 0 : groups_of(reason);
    v->cr2 = read_cr2();
    if (groups)
        get(v, groups);
    s->exit = v->exit;
    s->valid = groups;
    s->exits_total++;
    v->in_guest_mode = false;
    v->thread->frame.rax = OK;
    return true;
}

static bool leave_for_host(struct vcpu *v)
{
    v->cr2 = read_cr2();
    return false;
}

void settle_osxsave(struct vcpu *v, uint64_t *gpr)
{
    gpr[GPR_RCX] = (gpr[GPR_RCX] & ~(1ull << 27)) | (backend->cr4(v) & CR4_OSXSAVE ? 1u << 27 : 0);
}

void settle_ring(const struct settled_doorbell *x)
{
    kernel_lock();
    event_signal(x->event, x->bits);
    kernel_unlock();
}

static bool settle_memory(struct vcpu *v, uint64_t at)
{
    struct space *space = v->space;
    uint32_t count = __atomic_load_n(&space->doorbell_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count; i++) {
        const struct settled_doorbell *x = &space->doorbell[i];
        if (!x->memory || at < x->base || at - x->base >= x->size)
            continue;
        settle_ring(x);
        v->exits[EXIT_MEMORY]++;
        return true;
    }
    return false;
}

/* True: the guest can go on. False: the exit is the monitor's. */
static bool settle(struct vcpu *v)
{
    const struct vcpu_exit *x = &v->exit;
    bool settled = x->reason == EXIT_CPUID    ? settle_cpuid(v, v->state->gpr)
                   : x->reason == EXIT_PORT   ? !x->port.in && !x->port.string && x->insn_len && settle_port(v, x->port.port, x->port.size)
                   : x->reason == EXIT_MEMORY ? x->memory.write && x->insn_len && settle_memory(v, x->memory.gpa)
                                              : false;
    if (settled)
        backend->skip(v, x->insn_len);
    return settled;
}

bool vcpu_enter(struct cpu *c, struct vcpu *v)
{
    struct vcpu_state *s = v->state;
    uint64_t next = c->next_deadline;
    if (c->vcpu != v)
        vcpu_make_current(c, v);
    uint32_t dirty = __atomic_load_n(&s->dirty, __ATOMIC_RELAXED) & GROUPS_ALL;
    take_advance(v, dirty);
    if (dirty) {
        s->dirty = 0;
        put(v, dirty);
    }
    write_cr2(v->cr2); /* after put, which may bring a new one: a page fault that the monitor injects */
    uint64_t deadline = __atomic_load_n(&s->deadline, __ATOMIC_RELAXED);
    if (v->halted || s->activity == ACTIVITY_HALT) {
        v->halted = false;
        if (__atomic_exchange_n(&v->kicked, 0, __ATOMIC_SEQ_CST))
            return hand_over(v, EXIT_KICK);
        if (!(s->inject & INJECT_VALID) && !(s->irq & IRQ_VALID)) {
            if (deadline != NEVER && rdtsc() >= deadline)
                return hand_over(v, EXIT_DEADLINE);
            v->halted = true;
            thread_block(v->thread, BLOCK_HALT, deadline);
            return leave_for_host(v);
        }
        s->activity = ACTIVITY_RUN; /* what wakes it is taken at the entry: it must not fall asleep again when the host has had the CPU */
    }
    for (;;) {
        if (__atomic_load_n(&v->kicked, __ATOMIC_RELAXED)) {
            __atomic_store_n(&v->kicked, 0, __ATOMIC_SEQ_CST);
            return hand_over(v, EXIT_KICK);
        }
        if (__atomic_load_n(&c->work, __ATOMIC_RELAXED))
            return leave_for_host(v);
        backend->run(v, min_u64(deadline, next));
        if (v->exit.reason != EXIT_WAITING) {
            if (!settle(v))
                return hand_over(v, v->exit.reason);
            continue;
        }
        v->exits[EXIT_WAITING]++;
        if (v->exit.detail)
            irq_dispatch((unsigned)v->exit.detail);
        else
            irq_window();
        uint64_t now = rdtsc();
        if (now >= deadline)
            return hand_over(v, EXIT_DEADLINE);
        if (now >= next)
            return leave_for_host(v);
    }
}

void vcpu_kick(struct vcpu *v)
{
    if (__atomic_exchange_n(&v->kicked, 1, __ATOMIC_SEQ_CST) == 0) /* else the wake-up is on its way */
        thread_wake(v->thread);
}

void vcpu_flush_cpu(void)
{
    if (backend)
        backend->flush(NULL);
}
