// SPDX-License-Identifier: Apache-2.0
/*
 * Threads and the CPU loop. A thread belongs to its CPU; other CPUs only push it onto that CPU's wake list.
 */
#include "kernel/thread.h"

#include "arch/x86_64/instr.h"
#include "arch/x86_64/mce.h"
#include "arch/x86_64/speculation.h"
#include "arch/x86_64/time.h"
#include "kernel/domain.h"
#include "kernel/event.h"
#include "kernel/irq.h"
#include "kernel/log.h"
#include "kernel/vcpu.h"
#include "mm/hostmap.h"
#include "mullion/regs.h"

_Static_assert(offsetof(struct thread, frame) == 0 && offsetof(struct thread, kernel_stack) == sizeof(struct frame),
               "entry.asm relies on them");

#define TIMEOUTS_PER_TURN 64u

static uint64_t flush_generation;

enum error thread_create(struct domain *d, const struct new_thread *start, struct thread **out)
{
    struct thread *beside = start->beside;
    uint64_t cpu = SCHED_PLACE_CPU(start->place), priority = SCHED_PLACE_PRIORITY(start->place),
             budget_us = beside ? 0 : start->budget & 0xffffffff, period_us = start->budget >> 32;
    if (!cpuset_has(&d->cpus, cpu) || priority >= SCHED_PRIORITIES || start->entry >= USER_VA_MAX ||
        start->stack >= USER_VA_MAX)
        return E_ARG;
    if ((budget_us != 0 && (period_us < 100 || budget_us > period_us)) ||
        (beside && (beside->domain != d || beside->cpu->number != cpu)))
        return E_ARG;
    if (!domain_runs(d))
        return E_STATE;
    struct thread *t = d->threads_made < DOMAIN_THREADS_MAX ? object_new(d, sizeof *t) : NULL;
    if (!t)
        return E_QUOTA;
    d->threads_made++;
    object_init(&t->object, OBJ_THREAD);
    t->cpu = cpu_by_number((unsigned)cpu);
    t->kernel_stack = (uint64_t)t->cpu + CPU_AREA_SIZE;
    t->domain = d;
    t->frame.rip = start->entry;
    t->frame.rsp = start->stack;
    t->frame.rdi = start->arg;
    t->frame.rsi = backend ? backend->call_way : CALL_BY_INTERRUPT;
    t->frame.cs = SEL_USER_CODE;
    t->frame.ss = SEL_USER_DATA;
    t->frame.rflags = RFLAGS_FIXED | RFLAGS_IF;
    t->entity.priority = (uint8_t)priority;
    t->budget = (struct sched_budget){
        .ticks = us_to_ticks(budget_us), .period = us_to_ticks(period_us), .borrow = start->place & SCHED_BORROW};
    struct sched_budget *own = budget_us ? &t->budget : NULL;
    t->entity.budget = beside ? beside->entity.budget : own;
    t->entity.urgent = beside != NULL;
    t->next = d->threads;
    d->threads = t;
    cpuset_set(&d->tables.cpus, (unsigned)cpu);
    d->live_threads++;
    __atomic_store_n(&d->state, DOMAIN_RUNNING, __ATOMIC_RELAXED);
    object_get(&t->object); /* the domain's own reference, beside the creator's */
    thread_wake(t);
    *out = t;
    return OK;
}

void thread_free(struct thread *t)
{
    object_free(t->domain, t, sizeof *t);
}

void thread_wake(struct thread *t)
{
    struct cpu *c = t->cpu;
    if (__atomic_exchange_n(&t->wake_queued, 1, __ATOMIC_SEQ_CST) == 0) {
        t->wake_next = read_once(c->wake_list);
        while (
            !__atomic_compare_exchange_n(&c->wake_list, &t->wake_next, t, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
        }
    }
    cpu_post(c, WORK_WAKE);
}

static void timeout_remove(struct thread *t)
{
    if (!t->timed)
        return;
    struct thread **at = &t->cpu->timeouts;
    while (*at != t)
        at = &(*at)->timeout_next;
    *at = t->timeout_next;
    t->timed = false;
}

void thread_block(struct thread *t, enum block why, uint64_t deadline)
{
    struct cpu *c = t->cpu;
    __atomic_store_n(&t->block, why, __ATOMIC_RELAXED); /* all_parked reads it from other CPUs */
    sched_block(&c->sched, &t->entity, rdtsc());
    if (deadline == NEVER)
        return;
    t->deadline = deadline;
    t->timed = true;
    struct thread **at = &c->timeouts;
    while (*at && (*at)->deadline <= deadline)
        at = &(*at)->timeout_next;
    t->timeout_next = *at;
    *at = t;
}

static void unblock(struct thread *t, uint64_t now)
{
    timeout_remove(t);
    __atomic_store_n(&t->block, BLOCK_NONE, __ATOMIC_RELAXED);
    sched_wake(&t->cpu->sched, &t->entity, now);
}

/* Its domain has stopped, or it has ended: this CPU forgets it. */
static void park(struct cpu *c, struct thread *t, uint64_t now)
{
    if (t->block == BLOCK_PARKED)
        return;
    timeout_remove(t);
    (void)event_forget(t);
    sched_block(&c->sched, &t->entity, now);
    if (t->vcpu && c->vcpu == t->vcpu)
        vcpu_make_current(c, NULL);
    if (t->vcpu && backend->retire)
        backend->retire(t->vcpu);
    if (c->domain == t->domain)
        domain_switch(c, NULL);
    if (c->current == t)
        write_once(c->current, NULL);
    __atomic_store_n(&t->block, BLOCK_PARKED, __ATOMIC_RELEASE);
}

static void look_at(struct cpu *c, struct thread *t, uint64_t now)
{
    if (t->exited || !domain_runs(t->domain))
        park(c, t, now);
    else if (t->block == BLOCK_HALT || (t->block == BLOCK_EVENT && !__atomic_load_n(&t->waiting, __ATOMIC_ACQUIRE)) ||
             (t->block == BLOCK_NONE && t->entity.state == SCHED_BLOCKED))
        unblock(t, now);
}

static void take_work(struct cpu *c, uint64_t now)
{
    uint32_t work = __atomic_exchange_n(&c->work, 0, __ATOMIC_SEQ_CST);
    if (unlikely(work & ~WORK_WAKE)) {
        if (work & WORK_STOP)
            cpu_halt();
        if (work & WORK_FLUSH) {
            uint64_t generation = __atomic_load_n(&flush_generation, __ATOMIC_SEQ_CST);
            write_cr3(read_cr3());
            vcpu_flush_cpu();
            __atomic_store_n(&c->flush_seen, generation, __ATOMIC_SEQ_CST);
        }
        if (work & WORK_ERRORS)
            (void)mce_look(MCE_NOW);
        if (work & WORK_LOG)
            irq_raise(&log_bell);
    }
    if (work & WORK_WAKE) {
        struct thread *t = __atomic_exchange_n(&c->wake_list, NULL, __ATOMIC_SEQ_CST);
        while (t) {
            struct thread *next = t->wake_next;
            __atomic_store_n(&t->wake_queued, 0, __ATOMIC_SEQ_CST);
            look_at(c, t, now);
            t = next;
        }
    }
}

static uint64_t next_timeout(const struct cpu *c)
{
    return c->timeouts ? c->timeouts->deadline : NEVER;
}

/* A bounded number of them; the timer ends the next turn at once if there are more. Answers when the next is due. */
static __attribute__((noinline)) uint64_t expire_timeouts(struct cpu *c, uint64_t now)
{
    for (unsigned n = 0; n < TIMEOUTS_PER_TURN && next_timeout(c) <= now; n++) {
        struct thread *t = c->timeouts;
        if (t->block == BLOCK_EVENT && event_forget(t)) {
            t->frame.rax = E_TIMEOUT;
            t->frame.rdx = 0;
        }
        unblock(t, now);
    }
    return next_timeout(c);
}

noreturn void cpu_run(void)
{
    struct cpu *c = this_cpu();
    for (;;) {
        uint64_t now = rdtsc();
        if (read_once(c->work))
            take_work(c, now);
        uint64_t timeout = next_timeout(c);
        if (unlikely(timeout <= now))
            timeout = expire_timeouts(c, now);
        struct sched_entity *e = sched_pick(&c->sched, now);
        uint64_t next = min_u64(sched_deadline(&c->sched), timeout);
        c->next_deadline = next;
        if (!e) {
            write_once(c->current, NULL);
            timer_set(c, next); /* what was armed for the one that ran would only wake the CPU */
            path_end(c, rdtsc());
            if (!__atomic_load_n(&c->work, __ATOMIC_SEQ_CST))
                irq_wait();
            path_begin(c, PATH_IDLE, rdtsc());
            sched_waited(&c->sched, c->entered);
            continue;
        }
        struct thread *t = container_of(e, struct thread, entity);
        if (c->current != t) {
            __atomic_store_n(&c->current, t,
                             __ATOMIC_SEQ_CST); /* before it looks at its vCPU's `kicked`: see vcpu_kick */
            uint64_t not_run = now - e->ran;
            if (t->vcpu)
                t->vcpu->exit_at += not_run - t->not_run;
            t->not_run = not_run;
            cpu_set_rsp0(c, (uint64_t)(&t->frame + 1));
            if (c->domain != t->domain)
                domain_switch(c, t->domain);
        }
        if (t->vcpu && t->vcpu->in_guest_mode && !backend->enter(c, t->vcpu))
            continue;
        if (read_once(c->work))
            continue;
        cpu_pay(c);
        timer_arm(c, next);
        path_end(c, rdtsc());
        user_resume(&t->frame);
    }
}

uint64_t flush_request(const struct cpuset *cpus)
{
    uint64_t generation = __atomic_add_fetch(&flush_generation, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = cpuset_next(cpus, 0, cpu_count); i < cpu_count; i = cpuset_next(cpus, i + 1, cpu_count))
        cpu_post(cpu_by_number(i), WORK_FLUSH);
    return generation;
}

bool flush_done(uint64_t generation, const struct cpuset *cpus)
{
    for (unsigned i = cpuset_next(cpus, 0, cpu_count); i < cpu_count; i = cpuset_next(cpus, i + 1, cpu_count))
        if (__atomic_load_n(&cpu_by_number(i)->flush_seen, __ATOMIC_SEQ_CST) < generation) {
            cpu_post(cpu_by_number(i), WORK_FLUSH); /* it may have joined since the request */
            return false;
        }
    return true;
}
