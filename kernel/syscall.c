// SPDX-License-Identifier: Apache-2.0
/*
 * System calls. Each one reads: find and check every argument, then act. Arguments are numbers; ring 3's memory is
 * never touched.
 */
#include "kernel/syscall.h"

#include "arch/x86_64/instr.h"
#include "drivers/serial.h"
#include "kernel/audit_view.h"
#include "kernel/domain.h"
#include "kernel/event.h"
#include "kernel/irq.h"
#include "kernel/klog_ring.h"
#include "kernel/memory.h"
#include "kernel/space.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

struct object log_object = {.type = OBJ_LOG, .references = 1};

struct arguments {
    struct thread *t;
    struct domain *d;
    uint64_t a[6];
};

/* Finds handle argument `n`, which must be of this type with `rights`, into variable `v`; or returns the error. */
#define OBJECT_ARGUMENT(v, n, type, rights)                             \
    struct object *v;                                                   \
    enum error v##_error = handle_get(x->d, x->a[n], type, rights, &v); \
    if (v##_error != OK)                                                \
    return result_of(v##_error)
#define ARGUMENT(v, n, kind, type, rights)        \
    OBJECT_ARGUMENT(v##_object, n, type, rights); \
    struct kind *v = container_of(v##_object, struct kind, object)

/* Gives the caller a handle to a new object; if there is no slot, the object goes. */
static struct result give(struct domain *d, struct object *o, uint32_t rights)
{
    uint32_t slot = 0;
    enum error e = handle_put(d, o, rights, &slot);
    if (e == OK)
        return done(slot);
    object_put(o);
    return result_of(e);
}

static struct result sys_handle_close(const struct arguments *x)
{
    return result_of(handle_close(x->d, x->a[0]));
}

static struct result sys_handle_grant(const struct arguments *x)
{
    ARGUMENT(target, 0, domain, OBJ_DOMAIN, RIGHT_MANAGE);
    struct object *o;
    uint32_t has;
    enum error e = handle_any(x->d, x->a[1], RIGHT_GRANT, &o, &has);
    if (e != OK)
        return result_of(e);
    uint32_t slot = (uint32_t)x->a[3];
    if (x->a[3] >= MAX_HANDLES)
        return result_of(E_ARG);
    if (o->dead || target->phase)
        return result_of(E_DEAD);
    e = handle_put(target, o, has & (uint32_t)x->a[2], &slot);
    if (e != OK)
        return result_of(e);
    object_get(o);
    return done(slot);
}

static struct result sys_destroy(const struct arguments *x)
{
    struct object *o;
    enum error e = handle_any(x->d, x->a[0], RIGHT_DESTROY, &o, NULL);
    if (e != OK)
        return result_of(e);
    switch (o->type) {
    case OBJ_DOMAIN: {
        struct domain *d = container_of(o, struct domain, object);
        return result_of(d == x->d ? E_STATE : domain_destroy_step(d));
    }
    case OBJ_MEMORY: return result_of(memory_destroy_step(container_of(o, struct memory, object)));
    case OBJ_EVENT:
        if (o->dead)
            return result_of(E_DEAD);
        event_destroy(container_of(o, struct event, object));
        return done(0);
    default: return result_of(E_TYPE);
    }
}

static struct result sys_domain_create(const struct arguments *x)
{
    if (x->d->phase) /* it is being destroyed while this call waited for the lock */
        return result_of(E_DEAD);
    struct event *death = NULL;
    if (x->a[2]) {
        ARGUMENT(event, 2, event, OBJ_EVENT, RIGHT_SIGNAL);
        death = event;
    }
    if (x->a[0] > pool_pages_total() || x->a[1] & ~x->d->cpu_mask)
        return result_of(E_ARG);
    enum error e = handle_room(x->d);
    if (e != OK)
        return result_of(e);
    struct domain *d = domain_new(x->d, x->a[0] * PAGE_SIZE);
    if (!d)
        return result_of(E_QUOTA);
    d->cpu_mask = x->a[1];
    d->death = death;
    d->death_bits = x->a[3];
    d->owner = (uint32_t)x->a[4];
    if (death)
        object_get(&death->object);
    return give(x->d, &d->object, RIGHTS_ALL);
}

static struct result sys_thread_create(const struct arguments *x)
{
    ARGUMENT(d, 0, domain, OBJ_DOMAIN, RIGHT_MANAGE);
    /* Nobody gets out of his own cap or above his own priority by making another thread. */
    if (x->t->entity.budget || (x->a[4] >> 8 & 0xff) > x->t->entity.priority)
        return result_of(E_RIGHTS);
    struct thread *t, *beside = NULL;
    if (x->a[4] & SCHED_BESIDE) {
        ARGUMENT(other, 5, thread, OBJ_THREAD, RIGHT_MANAGE);
        beside = other;
    }
    enum error e = handle_room(x->d);
    if (e != OK)
        return result_of(e);
    e = thread_create(d, x->a[1], x->a[2], x->a[3], x->a[4], x->a[5], beside, &t);
    return e == OK ? give(x->d, &t->object, RIGHTS_ALL) : result_of(e);
}

static struct result sys_memory_carve(const struct arguments *x)
{
    ARGUMENT(ram, 0, memory, OBJ_MEMORY, RIGHT_MAP);
    enum error e = handle_room(x->d);
    if (e != OK)
        return result_of(e);
    struct memory *m = memory_carve(x->d, ram, x->a[1], x->a[2], (uint32_t)x->a[3], &e);
    return m ? give(x->d, &m->object, RIGHTS_ALL) : result_of(e);
}

static struct result sys_map(const struct arguments *x)
{
    OBJECT_ARGUMENT(o, 0, OBJ_NONE, RIGHT_MAP);
    uint64_t address = x->a[1], size = x->a[4], rights = x->a[5];
    if (!(rights & RIGHT_READ) || (rights & ~(uint64_t)(RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC)))
        return result_of(E_ARG);
    ARGUMENT(m, 2, memory, OBJ_MEMORY, (uint32_t)rights);
    if (o->type == OBJ_DOMAIN) {
        struct domain *d = container_of(o, struct domain, object);
        if (address < USER_VA_MIN || address >= USER_VA_MAX || size > USER_VA_MAX - address)
            return result_of(E_ARG);
        if ((rights & RIGHT_WRITE) && (rights & RIGHT_EXEC)) /* never both in ring 3 */
            return result_of(E_ARG);
        return result_of(
            mapping_make(d, &d->tables, &d->mappings, m, address, x->a[3], size, (uint32_t)rights | PT_USER));
    }
    if (o->type == OBJ_SPACE) {
        struct space *s = container_of(o, struct space, object);
        return result_of(mapping_make(s->payer, &s->tables, &s->mappings, m, address, x->a[3], size, (uint32_t)rights));
    }
    return result_of(E_TYPE);
}

static struct result sys_unmap(const struct arguments *x)
{
    OBJECT_ARGUMENT(o, 0, OBJ_NONE, RIGHT_MAP);
    if (o->type == OBJ_DOMAIN)
        return result_of(mapping_remove_step(container_of(o, struct domain, object)->mappings, x->a[1]));
    if (o->type == OBJ_SPACE)
        return result_of(mapping_remove_step(container_of(o, struct space, object)->mappings, x->a[1]));
    return result_of(E_TYPE);
}

static struct result sys_event_create(const struct arguments *x)
{
    struct event *e = event_new(x->d);
    return e ? give(x->d, &e->object, RIGHTS_ALL) : result_of(E_QUOTA);
}

static struct result sys_event_signal(const struct arguments *x)
{
    ARGUMENT(e, 0, event, OBJ_EVENT, RIGHT_SIGNAL);
    event_signal(e, x->a[1]);
    return done(0);
}

static struct result sys_event_wait(const struct arguments *x)
{
    ARGUMENT(e, 0, event, OBJ_EVENT, RIGHT_WAIT);
    return event_wait(e, x->t, x->a[1], x->a[2]);
}

static struct result sys_irq_bind(const struct arguments *x)
{
    ARGUMENT(i, 0, irq, OBJ_IRQ, RIGHT_SIGNAL);
    ARGUMENT(e, 1, event, OBJ_EVENT, RIGHT_SIGNAL);
    return result_of(irq_bind(i, e, x->a[2]));
}

static struct result sys_irq_ack(const struct arguments *x)
{
    ARGUMENT(i, 0, irq, OBJ_IRQ, RIGHT_SIGNAL);
    irq_ack(i);
    return done(0);
}

static struct result sys_ports_open(const struct arguments *x)
{
    ARGUMENT(d, 0, domain, OBJ_DOMAIN, RIGHT_MAP);
    ARGUMENT(p, 1, ports, OBJ_PORTS, RIGHT_MAP);
    if (d->port_count == DOMAIN_PORTS_MAX)
        return result_of(E_QUOTA);
    d->ports[d->port_count].first = p->first;
    d->ports[d->port_count].last = p->last;
    d->port_count++;
    if (serial_port() && p->first <= serial_port() && serial_port() <= p->last)
        log_taken();
    if (this_cpu()->domain == d) /* others load the ports when they next switch to it */
        domain_switch(this_cpu(), d);
    return done(0);
}

static struct result sys_space_create(const struct arguments *x)
{
    if (!backend)
        return result_of(E_UNSUPPORTED);
    struct space *s = space_new(x->d);
    return s ? give(x->d, &s->object, RIGHTS_ALL) : result_of(E_QUOTA);
}

static struct result sys_vcpu_create(const struct arguments *x)
{
    ARGUMENT(s, 0, space, OBJ_SPACE, RIGHT_MANAGE);
    struct vcpu *v;
    enum error e = handle_room(x->d);
    if (e != OK)
        return result_of(e);
    e = vcpu_new(x->t, s, x->a[1], &v);
    return e == OK ? give(x->d, &v->object, RIGHTS_ALL) : result_of(e);
}

static struct result sys_vcpu_fetch(const struct arguments *x)
{
    if (!x->t->vcpu)
        return result_of(E_STATE);
    vcpu_fetch(this_cpu(), x->t->vcpu, (uint32_t)x->a[0]);
    return done(0);
}

static struct result sys_vcpu_kick(const struct arguments *x)
{
    ARGUMENT(v, 0, vcpu, OBJ_VCPU, RIGHT_SIGNAL);
    vcpu_kick(v);
    return done(0);
}

static struct result sys_fastpath(const struct arguments *x)
{
    ARGUMENT(s, 0, space, OBJ_SPACE, RIGHT_MANAGE);
    if (x->a[1] == FASTPATH_CPUID)
        return result_of(space_fastpath_cpuid(s, x->a[2], x->a[3], x->a[4], x->a[5]));
    uint64_t at = x->a[2], length = at >> 56, key = x->a[3];
    if (x->a[1] == FASTPATH_DOORBELL_STORE && length - 1 < INSTRUCTION_MAX &&
        !(at >> 52 & 0xf)) { /* guest-physical addresses have 52 bits */
        at = at << 12 >> 12 | DOORBELL_STORE;
        key = DOORBELL_KEY(key, length);
    } else if (x->a[1] != FASTPATH_DOORBELL_PORT || at > 0xffff || key > 4) {
        return result_of(E_ARG);
    }
    ARGUMENT(e, 4, event, OBJ_EVENT, RIGHT_SIGNAL);
    return result_of(space_fastpath_doorbell(s, at, key, e, x->a[5]));
}

static struct result query_memory(const struct memory *m, uint64_t what)
{
    switch (what) {
    case QUERY_MEMORY_BASE: return done(m->range.base.v);
    case QUERY_MEMORY_SIZE: return done(m->range.size);
    default: return result_of(E_ARG);
    }
}

/* Ticks: booked so far, and what runs at this moment: on a CPU of its own a thread may run for ever without anything
 * being booked. */
static struct result query_thread(const struct thread *t, uint64_t what, uint64_t index)
{
    const struct vcpu *v = t->vcpu;
    if (what == QUERY_THREAD_TICKS) {
        uint64_t ran = read_once(t->entity.ran), now = rdtsc();
        uint64_t since = read_once(t->cpu->sched.booked);
        bool runs = read_once(t->cpu->sched.running) == &t->entity;
        return done(runs && now > since ? ran + now - since : ran);
    }
    if (!v || index >= EXIT_COUNT || (what != QUERY_THREAD_EXITS && what != QUERY_THREAD_EXIT_TICKS))
        return result_of(E_ARG);
    index = checked_index(index, EXIT_COUNT);
    return done(what == QUERY_THREAD_EXITS ? v->exits[index] : v->exit_ticks[index]);
}

/* Of another CPU's books, which it may be writing: whoever asks twice sees each number grow. */
static struct result query_cpu(const struct domain *d, uint64_t what, uint64_t index)
{
    uint64_t cpu = index & 0xff, path = index >> 8, now = rdtsc();
    if (cpu >= cpu_count || !(d->cpu_mask >> cpu & 1) || path >= PATH_COUNT)
        return result_of(E_ARG);
    const struct cpu *c = cpu_by_number((unsigned)checked_index(cpu, MAX_CPUS));
    uint64_t booked = read_once(c->sched.booked);
    switch (what) {
    case QUERY_CPU_IDLE: return done(c->sched.idle + (c->sched.running || now < booked ? 0 : now - booked));
    case QUERY_CPU_KERNEL: return done(c->sched.kernel);
    case QUERY_CPU_GONE: return done(c->ended_ticks);
    default: return done(c->longest[checked_index(path, PATH_COUNT)]);
    }
}

static struct result sys_query(const struct arguments *x)
{
    uint64_t what = x->a[1], index = x->a[2];
    if (!x->a[0])
        return query_thread(x->t, what, index);
    OBJECT_ARGUMENT(o, 0, OBJ_NONE, RIGHT_MANAGE);
    if (o->type == OBJ_MEMORY)
        return query_memory(container_of(o, struct memory, object), what);
    if (o->type == OBJ_THREAD)
        return query_thread(container_of(o, struct thread, object), what, index);
    if (o->type != OBJ_DOMAIN)
        return result_of(E_TYPE);
    if (what >= QUERY_CPU_IDLE && what <= QUERY_CPU_PATH)
        return query_cpu(container_of(o, struct domain, object), what, index);
    struct domain *d = container_of(o, struct domain, object);
    switch (what) {
    case QUERY_DOMAIN_STATE: return done(d->state);
    case QUERY_DOMAIN_FAULT: return index < 4 ? done(d->fault[index]) : result_of(E_ARG);
    case QUERY_DOMAIN_KMEM_USED: return done(d->quota.used_bytes / PAGE_SIZE);
    case QUERY_DOMAIN_KMEM_QUOTA: return done(d->quota.limit_bytes / PAGE_SIZE);
    default: return result_of(E_ARG);
    }
}

/* Where nobody in ring 3 has taken the port or the screen, sending a line takes milliseconds: nobody else's system call
 * waits for that. */
static void append_line(struct domain *d)
{
    char line[sizeof d->log_line];
    uint32_t length = d->log_used;
    memcpy(line, d->log_line, length);
    d->log_used = 0;
    kernel_unlock();
    log_append(line, length);
    kernel_lock();
}

static struct result sys_log(const struct arguments *x)
{
    OBJECT_ARGUMENT(the_log, 0, OBJ_LOG, RIGHT_SIGNAL);
    if (x->a[1] == 0 || x->a[1] > 4 * sizeof(uint64_t))
        return result_of(E_ARG);
    struct domain *d = x->d;
    for (unsigned i = 0; i < x->a[1]; i++) {
        char c = (char)(x->a[2 + i / 8] >> (i % 8 * 8));
        d->log_line[d->log_used++] = c == '\n' || c == '\t' || (c >= 32 && c < 127) ? c : '?';
        if (c == '\n' || d->log_used == sizeof d->log_line)
            append_line(d);
    }
    return done(0);
}

typedef struct result (*handler)(const struct arguments *x);
static const handler handlers[SYS_COUNT] = {
    [SYS_HANDLE_CLOSE] = sys_handle_close,
    [SYS_HANDLE_GRANT] = sys_handle_grant,
    [SYS_DESTROY] = sys_destroy,
    [SYS_DOMAIN_CREATE] = sys_domain_create,
    [SYS_THREAD_CREATE] = sys_thread_create,
    [SYS_MEMORY_CARVE] = sys_memory_carve,
    [SYS_MAP] = sys_map,
    [SYS_UNMAP] = sys_unmap,
    [SYS_EVENT_CREATE] = sys_event_create,
    [SYS_EVENT_SIGNAL] = sys_event_signal,
    [SYS_EVENT_WAIT] = sys_event_wait,
    [SYS_IRQ_BIND] = sys_irq_bind,
    [SYS_IRQ_ACK] = sys_irq_ack,
    [SYS_PORTS_OPEN] = sys_ports_open,
    [SYS_SPACE_CREATE] = sys_space_create,
    [SYS_VCPU_CREATE] = sys_vcpu_create,
    [SYS_VCPU_FETCH] = sys_vcpu_fetch,
    [SYS_VCPU_KICK] = sys_vcpu_kick,
    [SYS_FASTPATH] = sys_fastpath,
    [SYS_QUERY] = sys_query,
    [SYS_LOG] = sys_log,
};

/* Those that may change tables, the ledger, or which objects there are. */
#define RESHAPING                                                                                                \
    (1u << SYS_HANDLE_CLOSE | 1u << SYS_HANDLE_GRANT | 1u << SYS_DESTROY | 1u << SYS_DOMAIN_CREATE |             \
     1u << SYS_THREAD_CREATE | 1u << SYS_MEMORY_CARVE | 1u << SYS_MAP | 1u << SYS_UNMAP | 1u << SYS_PORTS_OPEN | \
     1u << SYS_SPACE_CREATE | 1u << SYS_VCPU_CREATE)

static noreturn void thread_exit(struct thread *t)
{
    t->exited = true;
    kernel_lock();
    if (--t->domain->live_threads == 0)
        domain_stop(t->domain, DOMAIN_EXITED);
    kernel_unlock();
    thread_wake(t);
    cpu_run();
}

/* From entry.asm: the frame is saved, we are on the CPU's stack. SYS_VCPU_RUN goes to vcpu_run_call instead. */
noreturn void syscall_entry(struct thread *t);
noreturn void syscall_entry(struct thread *t)
{
    uint64_t number = t->frame.rax;
    path_begin(t->cpu, (uint32_t)min_u64(number, PATH_RING3), rdtsc());
    if (number == SYS_THREAD_EXIT)
        thread_exit(t);
    struct result r = result_of(E_NOSYS);
    struct arguments x = {
        t, t->domain, {t->frame.rdi, t->frame.rsi, t->frame.rdx, t->frame.rcx, t->frame.r8, t->frame.r9}};
    if (number < SYS_COUNT && handlers[number]) {
        kernel_lock();
        shown.generation += RESHAPING >> number & 1;
        r = handlers[checked_index(number, SYS_COUNT)](&x);
        shown.generation += RESHAPING >> number & 1;
        kernel_unlock();
    }
    if (number == SYS_EVENT_WAIT &&
        r.error == E_AGAIN) { /* the answer comes with the wake-up, perhaps already on another CPU */
        thread_block(t, BLOCK_EVENT, x.a[2]);
        cpu_run();
    }
    t->frame.rax = r.error;
    t->frame.rdx = r.value;
    if (read_once(t->cpu->work))
        cpu_run();
    path_end(t->cpu, rdtsc());
    user_resume(&t->frame);
}
