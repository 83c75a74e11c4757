// SPDX-License-Identifier: Apache-2.0
/*
 * System calls. Each one reads: find and check every argument, then act. Arguments are numbers; ring 3's memory is
 * never touched.
 */
#include "kernel/syscall.h"

#include "arch/x86_64/instr.h"
#include "kernel/audit_view.h"
#include "kernel/domain.h"
#include "kernel/event.h"
#include "kernel/grace.h"
#include "kernel/hardware.h"
#include "kernel/irq.h"
#include "kernel/klog_ring.h"
#include "kernel/memory.h"
#include "kernel/nmi.h"
#include "kernel/space.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

struct object log_object = {.type = OBJ_LOG, .references = 1};

/* What a call's argument that is a handle must name. Made from the list of calls; see include/mullion/calls.toml. */
struct call_rule {
    bool reshapes;     /* it may change tables, the ledger, or which objects there are */
    bool in_section;   /* instead of with the kernel's lock: see kernel/grace.h */
    uint8_t looked_up; /* the arguments before this one may be handles that are looked up */
    struct {
        uint16_t types; /* a bit for each enum object_type; 0: it is a number */
        uint16_t rights;
        bool optional; /* 0 stands for none */
    } object[6];
};

static struct thread *caller(void)
{
    return this_cpu()->current;
}

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

static struct result sys_handle_close(uint64_t handle)
{
    return result_of(handle_close(caller()->domain, handle));
}

static struct result sys_handle_grant(struct domain *domain, uint64_t handle, uint64_t rights, uint64_t slot)
{
    struct object *o;
    uint32_t has, free_slot = (uint32_t)slot;
    enum error e = handle_any(caller()->domain, handle, RIGHT_GRANT, &o, &has);
    if (e != OK)
        return result_of(e);
    if (slot >= MAX_HANDLES)
        return result_of(E_ARG);
    if (object_dead(o) || domain->phase)
        return result_of(E_DEAD);
    e = handle_put(domain, o, has & (uint32_t)rights, &free_slot);
    if (e != OK)
        return result_of(e);
    object_get(o);
    return done(free_slot);
}

static struct result sys_destroy(uint64_t handle)
{
    struct object *o;
    enum error e = handle_any(caller()->domain, handle, RIGHT_DESTROY, &o, NULL);
    if (e != OK)
        return result_of(e);
    switch (o->type) {
    case OBJ_DOMAIN: {
        struct domain *d = container_of(o, struct domain, object);
        return result_of(d == caller()->domain ? E_STATE : domain_destroy_step(d));
    }
    case OBJ_MEMORY: return result_of(memory_destroy_step(container_of(o, struct memory, object)));
    case OBJ_EVENT:
        if (object_dead(o))
            return result_of(E_DEAD);
        event_destroy(container_of(o, struct event, object));
        return done(0);
    default: return result_of(E_TYPE);
    }
}

static struct result sys_domain_create(uint64_t quota_pages, struct event *event, uint64_t bits, uint64_t tag)
{
    struct domain *maker = caller()->domain;
    if (maker->phase) /* it is being destroyed while this call waited for the lock */
        return result_of(E_DEAD);
    if (maker->foreign_input)
        return result_of(E_RIGHTS);
    if (quota_pages > pool_pages_total())
        return result_of(E_ARG);
    enum error e = handle_room(maker);
    if (e != OK)
        return result_of(e);
    struct domain *d = domain_new(maker, quota_pages * PAGE_SIZE);
    if (!d)
        return result_of(E_QUOTA);
    d->death = event;
    d->death_bits = bits;
    d->owner = (uint32_t)tag;
    d->foreign_input = !(tag & DOMAIN_OWN_CODE);
    d->holds_data = !(tag & DOMAIN_NO_DATA);
    if (event)
        object_get(&event->object);
    return give(maker, &d->object, RIGHTS_ALL);
}

static struct result sys_domain_cpu(struct domain *domain, uint64_t cpu)
{
    if (!cpuset_has(&caller()->domain->cpus, cpu))
        return result_of(E_ARG);
    cpuset_set(&domain->cpus, (unsigned)cpu);
    return done(0);
}

static struct result sys_thread_create(struct domain *domain, uint64_t entry, uint64_t stack, uint64_t arg,
                                       uint64_t place, uint64_t budget)
{
    struct thread *maker = caller(), *t;
    struct new_thread start = {.entry = entry, .stack = stack, .arg = arg, .place = place, .budget = budget};
    /* A thread with a cap, or of low priority, gets out of neither by making another one. */
    if (maker->entity.budget || SCHED_PLACE_PRIORITY(place) > maker->entity.priority)
        return result_of(E_RIGHTS);
    if (place & SCHED_BESIDE) {
        struct object *o;
        enum error e = handle_get(maker->domain, budget, 1u << OBJ_THREAD, RIGHT_MANAGE, &o);
        if (e != OK)
            return result_of(e);
        start.beside = container_of(o, struct thread, object);
    }
    enum error e = handle_room(maker->domain);
    if (e == OK)
        e = thread_create(domain, &start, &t);
    return e == OK ? give(maker->domain, &t->object, RIGHTS_ALL) : result_of(e);
}

static struct result sys_memory_carve(struct memory *ram, uint64_t offset, uint64_t size, uint64_t tag)
{
    struct domain *d = caller()->domain;
    enum error e = handle_room(d);
    if (e != OK)
        return result_of(e);
    struct memory *m = memory_carve(d, ram, offset, size, (uint32_t)tag, &e);
    return m ? give(d, &m->object, RIGHTS_ALL) : result_of(e);
}

/* Where the mappings of a domain or space are. */
static struct map_target target_of(struct object *o)
{
    if (o->type == OBJ_SPACE) {
        struct space *s = container_of(o, struct space, object);
        return (struct map_target){s->payer, &s->tables, &s->mappings};
    }
    struct domain *d = container_of(o, struct domain, object);
    return (struct map_target){d, &d->tables, &d->mappings};
}

static struct result sys_map(struct object *target, uint64_t address, uint64_t memory, uint64_t offset, uint64_t size,
                             uint64_t rights)
{
    struct map_target at = target_of(target);
    struct object *m;
    if (!(rights & RIGHT_READ) ||
        (rights & ~(uint64_t)(RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC | MAP_UNCACHED | MAP_COMBINING)))
        return result_of(E_ARG);
    enum error e = handle_get(caller()->domain, memory, 1u << OBJ_MEMORY, (uint32_t)rights & RIGHTS_ALL, &m);
    if (e != OK)
        return result_of(e);
    if (target->type == OBJ_DOMAIN) {
        if (address < USER_VA_MIN || address >= USER_VA_MAX || size > USER_VA_MAX - address)
            return result_of(E_ARG);
        if ((rights & RIGHT_WRITE) && (rights & RIGHT_EXEC)) /* never both in ring 3 */
            return result_of(E_ARG);
        rights |= PT_USER;
    }
    return result_of(
        mapping_make_step(&at, container_of(m, struct memory, object), address, offset, size, (uint32_t)rights));
}

static struct result sys_unmap(struct object *target, uint64_t address)
{
    return result_of(mapping_remove_step(*target_of(target).list, address));
}

static struct result sys_protect(struct object *target, uint64_t address, uint64_t size, uint64_t rights)
{
    if ((rights & ~(uint64_t)(RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC)) || (rights && !(rights & RIGHT_READ)))
        return result_of(E_ARG);
    return mapping_protect_step(*target_of(target).list, address, size, (uint32_t)rights);
}

static struct result sys_event_create(void)
{
    struct event *e = event_new(caller()->domain);
    return e ? give(caller()->domain, &e->object, RIGHTS_ALL) : result_of(E_QUOTA);
}

static struct result sys_event_signal(struct event *event, uint64_t bits)
{
    event_signal(event, bits);
    return done(0);
}

static struct result sys_event_wait(struct event *event, uint64_t mask, uint64_t deadline)
{
    return event_wait(event, caller(), mask, deadline);
}

static struct result sys_irq_bind(struct irq *irq, struct event *event, uint64_t bits)
{
    irq_bind(irq, event, bits);
    return done(0);
}

static struct result sys_irq_ack(struct irq *irq)
{
    irq_ack(irq);
    return done(0);
}

static struct result sys_ports_open(struct domain *domain, struct ports *ports)
{
    return result_of(domain_open_ports(domain, ports));
}

static struct result hardware_irq(struct domain *d, uint64_t gsi, uint64_t cpu, uint64_t how)
{
    if (cpu >= cpu_count || how & ~(uint64_t)(LINE_LEVEL | LINE_LOW))
        return result_of(E_ARG);
    enum error e;
    struct irq *i = irq_new(d, cpu_by_number((unsigned)checked_index(cpu, MAX_CPUS)), gsi, how, &e);
    return i ? give(d, &i->object, RIGHTS_ALL) : result_of(e);
}

static struct result sys_hardware(struct object *hardware, uint64_t class, uint64_t a, uint64_t b, uint64_t c)
{
    struct domain *d = caller()->domain;
    (void)hardware; /* there is one */
    enum error e = handle_room(d);
    if (e != OK)
        return result_of(e);
    switch (class) {
    case HARDWARE_PORTS: {
        struct ports *p = ports_new(d, a, b, &e);
        return p ? give(d, &p->object, RIGHTS_ALL) : result_of(e);
    }
    case HARDWARE_MEMORY: {
        struct memory *m = memory_device(d, a, b, (uint32_t)c, &e);
        return m ? give(d, &m->object, RIGHTS_ALL) : result_of(e);
    }
    case HARDWARE_LINE: return a == IRQ_NO_LINE ? result_of(E_UNSUPPORTED) : hardware_irq(d, a, b, c);
    case HARDWARE_MESSAGE: return hardware_irq(d, IRQ_NO_LINE, b, 0);
    default: return result_of(E_ARG);
    }
}

static struct result sys_space_create(void)
{
    if (!backend)
        return result_of(E_UNSUPPORTED);
    struct space *s = space_new(caller()->domain);
    return s ? give(caller()->domain, &s->object, RIGHTS_ALL) : result_of(E_QUOTA);
}

static struct result sys_vcpu_create(struct space *space, uint64_t state_va)
{
    struct vcpu *v;
    enum error e = handle_room(caller()->domain);
    if (e == OK)
        e = vcpu_new(caller(), space, state_va, &v);
    return e == OK ? give(caller()->domain, &v->object, RIGHTS_ALL) : result_of(e);
}

static struct result sys_vcpu_fetch(uint64_t groups)
{
    struct vcpu *v = caller()->vcpu;
    if (!v)
        return result_of(E_STATE);
    vcpu_fetch(this_cpu(), v, (uint32_t)groups);
    return done(0);
}

static struct result sys_vcpu_fpu(uint64_t image_va)
{
    struct vcpu *v = caller()->vcpu;
    return result_of(v ? vcpu_show_fpu(v, image_va) : E_STATE);
}

static struct result sys_vcpu_bind(struct event *event)
{
    struct vcpu *v = caller()->vcpu;
    return result_of(v ? event_bind(event, v) : E_STATE);
}

static struct result sys_vcpu_kick(struct vcpu *vcpu)
{
    vcpu_kick(vcpu);
    return done(0);
}

static struct result sys_fastpath_cpuid(struct space *space, uint64_t leaf, uint64_t eax_ebx, uint64_t ecx_edx,
                                        uint64_t live)
{
    return result_of(space_fastpath_cpuid(space, leaf, eax_ebx, ecx_edx, live));
}

static struct result sys_fastpath_doorbell(struct space *space, uint64_t kind, uint64_t at, uint64_t key,
                                           struct event *event, uint64_t bits)
{
    uint64_t length = at >> 56, first = at << 12 >> 12, row = kind >> 8, count = (row & 0xff) + 1, shift = row >> 8;
    bool store = (kind & 0xff) == FASTPATH_DOORBELL_STORE && length - 1 < INSTRUCTION_MAX && !(at >> 52 & 0xf);
    bool port = (kind & 0xff) == FASTPATH_DOORBELL_PORT && at <= 0xffff && key <= 4;
    if ((!store && !port) || count > 64 || shift > 12 || bits << (count - 1) >> (count - 1) != bits ||
        first + (count << shift) > (store ? 1ull << 52 : 0x10000))
        return result_of(E_ARG);
    struct fastpath_doorbell_entry x = {event, bits, first, key, (uint8_t)count, (uint8_t)shift};
    if (store) {
        x.at |= DOORBELL_STORE;
        x.key = DOORBELL_KEY(key, length);
    }
    return result_of(space_fastpath_doorbell(space, &x));
}

static struct result query_memory(const struct memory *m, uint64_t what)
{
    if (what != QUERY_MEMORY_BASE && what != QUERY_MEMORY_SIZE)
        return result_of(E_ARG);
    return done(what == QUERY_MEMORY_BASE ? m->range.base.v : m->range.size);
}

static struct result query_irq(const struct irq *i, uint64_t what)
{
    return what == QUERY_IRQ_MESSAGE && i->gsi == IRQ_NO_LINE && i->cpu ? done(irq_message(i)) : result_of(E_ARG);
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
    return done(what == QUERY_THREAD_EXITS ? read_once(v->exits[index]) : read_once(v->exit_ticks[index]));
}

/* Of another CPU's books, which it may be writing: a caller that asks twice sees each number grow. */
static struct result query_cpu(const struct domain *d, uint64_t what, uint64_t index)
{
    uint64_t cpu = index & 0xffff, path = index >> 16, now = rdtsc();
    if (!cpuset_has(&d->cpus, cpu) || path >= PATH_COUNT)
        return result_of(E_ARG);
    struct cpu *c = cpu_by_number((unsigned)checked_index(cpu, MAX_CPUS));
    uint64_t booked = read_once(c->sched.booked);
    switch (what) {
    case QUERY_CPU_IDLE:
        return done(read_once(c->sched.idle) + (read_once(c->sched.running) || now < booked ? 0 : now - booked));
    case QUERY_CPU_KERNEL: return done(read_once(c->sched.kernel));
    case QUERY_CPU_GONE: return done(c->ended_ticks);
    case QUERY_CPU_ERRORS:
        cpu_post(c, WORK_ERRORS);
        return done(read_once(c->errors) | (uint64_t)read_once(nmis) << 32);
    default: return done(read_once(c->longest[checked_index(path, PATH_COUNT)]));
    }
}

static struct result sys_query(struct object *o, uint64_t what, uint64_t index)
{
    if (!o)
        return query_thread(caller(), what, index);
    if (o->type == OBJ_MEMORY)
        return query_memory(container_of(o, struct memory, object), what);
    if (o->type == OBJ_THREAD)
        return query_thread(container_of(o, struct thread, object), what, index);
    if (o->type == OBJ_IRQ)
        return query_irq(container_of(o, struct irq, object), what);
    const struct domain *d = container_of(o, struct domain, object);
    if (what >= QUERY_CPU_IDLE && what <= QUERY_CPU_PATH)
        return query_cpu(d, what, index);
    switch (what) {
    case QUERY_DOMAIN_STATE: return done(d->state);
    case QUERY_DOMAIN_FAULT: return index < 4 ? done(d->fault[checked_index(index, 4)]) : result_of(E_ARG);
    case QUERY_DOMAIN_KMEM_USED: return done(d->quota.used_bytes / PAGE_SIZE);
    case QUERY_DOMAIN_KMEM_QUOTA: return done(d->quota.limit_bytes / PAGE_SIZE);
    default: return result_of(E_ARG);
    }
}

/* Where no program has taken the port or the screen, sending a line takes milliseconds: no other CPU's system call
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

static struct result sys_log(uint64_t log, uint64_t count, uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3)
{
    const uint64_t word[4] = {w0, w1, w2, w3};
    struct domain *d = caller()->domain;
    struct object *o;
    enum error e = handle_get(d, log, 1u << OBJ_LOG, count ? RIGHT_SIGNAL : RIGHT_MANAGE, &o);
    if (e != OK || count > sizeof word)
        return result_of(e != OK ? e : E_ARG);
    if (count == 0)
        log_taken = true;
    for (unsigned i = 0; i < count; i++) {
        char c = (char)(word[i / 8] >> (i % 8 * 8));
        d->log_line[d->log_used++] = c == '\n' || c == '\t' || (c >= 32 && c < 127) ? c : '?';
        if (c == '\n' || d->log_used == sizeof d->log_line)
            append_line(d);
    }
    return done(0);
}

#include "kernel_calls.h" /* call_rules, call_handler */

/* Finds the objects behind the call's handles, and does it. */
static struct result carry_out(const struct call_rule *rule, uint64_t number, const struct thread *t)
{
    const uint64_t *a = frame_arguments(&t->frame);
    struct object *o[6];
    enum error e = OK;
    for (unsigned i = 0; i < rule->looked_up && e == OK; i++) {
        o[i] = NULL;
        if (rule->object[i].types && (a[i] || !rule->object[i].optional))
            e = handle_get(t->domain, a[i], rule->object[i].types, rule->object[i].rights, &o[i]);
    }
    return e == OK ? call_handler(number, a, o) : result_of(e);
}

static struct result call(uint64_t number, const struct thread *t)
{
    if (number >= SYS_COUNT)
        return result_of(E_NOSYS);
    number = checked_index(number, SYS_COUNT);
    const struct call_rule *rule = &call_rules[number];
    struct result r;
    if (rule->in_section) {
        section_open(t->cpu);
        r = carry_out(rule, number, t);
        section_close(t->cpu);
        return r;
    }
    kernel_lock();
    shown.generation += rule->reshapes;
    r = carry_out(rule, number, t);
    object_reap();
    shown.generation += rule->reshapes;
    kernel_unlock();
    return r;
}

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

/* From entry.asm: the frame is saved, we are on the CPU's stack. By a fast way SYS_VCPU_RUN goes elsewhere. */
noreturn void syscall_entry(struct thread *t);
noreturn void syscall_entry(struct thread *t)
{
    uint64_t number = t->frame.rax;
    path_begin(t->cpu, (uint32_t)min_u64(number, PATH_RING3), rdtsc());
    if (number == SYS_THREAD_EXIT)
        thread_exit(t);
    if (number == SYS_VCPU_RUN)
        vcpu_run_call(t);
    struct result r = call(number, t);
    if (number == SYS_EVENT_WAIT && r.error == E_AGAIN) { /* the answer comes with the wake-up, perhaps on its way */
        thread_block(t, BLOCK_EVENT, r.value);
        cpu_run();
    }
    t->frame.rax = r.error;
    t->frame.rdx = r.value;
    if (read_once(t->cpu->work))
        cpu_run();
    path_end(t->cpu, rdtsc());
    user_resume(&t->frame);
}
