// SPDX-License-Identifier: Apache-2.0
/*
 * Accesses to devices, by port and by memory: finds the device, does what the instruction does, and moves on. See
 * vmm/cpu/exits_internal.h. Most exits of a guest end here, so the usual way is short and the others stand apart.
 */
#include "lib/print.h"
#include "vmm/cpu/exits_internal.h"

#define RETRIES_MAX    100000u /* faults in a row on one page that is there */
#define UNCLAIMED_LOGS 8u

#define CPUID_7_EBX_BMI1   (1u << 3)
#define CPUID_E1_ECX_LZCNT (1u << 5)

static __attribute__((noinline)) void log_unclaimed(struct vm *vm, uint64_t gpa, unsigned size, bool write)
{
    if (vm->unclaimed++ < UNCLAIMED_LOGS)
        vm_say(vm, "%s of %u bytes at 0x%lx: nothing is there", write ? "write" : "read", size, gpa);
}

static __attribute__((noinline)) void unlock_unusual(struct vm *vm, unsigned answer, uint64_t gpa, unsigned size,
                                                     bool write)
{
    if (answer == 0)
        log_unclaimed(vm, gpa, size, write);
    if (answer & BUS_TIMERS)
        vm_unlock_timers(vm);
    else
        vm_unlock(vm);
}

void exits_device_access(void *context, uint64_t gpa, unsigned size, bool write, uint64_t *value)
{
    struct vm_vcpu *v = context;
    struct vm *vm = v->vm;
    if (lapic_decodes(&v->lapic, gpa)) { /* each vCPU sees its own there; needs no lock */
        lapic_mmio(&v->lapic, tsc_now(), (uint32_t)(gpa & 0xfff), size, write, value);
        v->recheck = true;
        return;
    }
    vm_lock(vm);
    unsigned answer = bus_memory(&vm->bus, gpa, size, write, value);
    if (likely(answer == BUS_CLAIMED))
        vm_unlock(vm);
    else
        unlock_unusual(vm, answer, gpa, size, write);
}

static bool device_claims(void *context, uint64_t gpa, unsigned size)
{
    struct vm_vcpu *v = context;
    vm_lock(v->vm);
    bool claimed = bus_memory_claimed(&v->vm->bus, gpa, gpa + size - 1);
    vm_unlock(v->vm);
    return claimed || lapic_decodes(&v->lapic, gpa);
}

static inline __attribute__((always_inline)) bool access_port(struct vm_vcpu *v, uint16_t port, unsigned size,
                                                              bool write, uint32_t *value)
{
    struct vm *vm = v->vm;
    vm_lock(vm);
    /* Unclaimed ports float high and swallow writes, as on a PC: guests probe. */
    unsigned answer = bus_port(&vm->bus, port, size, write, value);
    if (answer & BUS_TIMERS)
        vm_unlock_timers(vm);
    else
        vm_unlock(vm);
    return answer != 0;
}

static void port_access(void *context, uint16_t port, unsigned size, bool write, uint32_t *value)
{
    (void)access_port(context, port, size, write, value);
}

static bool port_size_possible(uint32_t size)
{
    return size == 1 || size == 2 || size == 4;
}

static __attribute__((noinline)) void string_port_exit(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    if (!port_size_possible(s->exit.port.size)) {
        exits_crash(v, "string port access of an impossible size");
        return;
    }
    struct guest_cpu c = exits_cpu(v);
    struct guest_fault fault = {0};
    struct instruction_bytes seen = {.count = 0};
    if (exits_need(v, GROUP_RIP | GROUP_SEG | GROUP_CR))
        exits_finish(v, emulate_string_io(&c, s->exit.port.port, s->exit.port.size, port_access, &seen, &fault), &fault,
                     &seen, "string port access");
}

void exits_port(struct vm_vcpu *v)
{
    /* What stays in rax, by the access's size: a 32-bit result clears the upper half. */
    static const uint64_t kept[5] = {[1] = ~0xffull, [2] = ~0xffffull, [4] = 0};
    struct vcpu_state *s = v->state;
    uint32_t size = s->exit.port.size, value = (uint32_t)s->gpr[GPR_RAX];
    if (unlikely(s->exit.port.string)) {
        string_port_exit(v);
        return;
    }
    bool claimed = access_port(v, s->exit.port.port, size, !s->exit.port.in, &value);
    if (!claimed && !port_size_possible(size)) {
        exits_crash(v, "port access of an impossible size");
        return;
    }
    if (s->exit.port.in)
        s->gpr[GPR_RAX] = (s->gpr[GPR_RAX] & kept[size]) | value;
    (void)exits_skip(v, s);
}

/* A fault on memory that is there: it was mapped meanwhile, or by design never, and then it must not go on for ever. */
static __attribute__((noinline)) void stuck_exit(struct vm_vcpu *v, uint64_t at)
{
    v->retries = v->retry_gpa == at ? v->retries + 1 : 0;
    v->retry_gpa = at;
    if (v->retries > RETRIES_MAX)
        exits_crash(v, "memory that is there keeps faulting");
}

static struct fpu_image *fpu_image(void *context)
{
    struct vm_vcpu *v = context;
    machine_fpu(v);
    return v->fpu != NULL && exits_need(v, GROUP_FPU) ? v->fpu : NULL;
}

/* What the long way needs beside exits_cpu. */
static void fill_in(struct vm_vcpu *v, struct guest_cpu *c)
{
    const struct cpuid_table *t = &v->vm->cpuid;
    c->claimed = device_claims;
    c->fpu = fpu_image;
    c->xsave_offset = t->xcr0_allowed != 0 ? t->xsave_offset : NULL;
    c->no_tzcnt = !(cpuid_lookup(t, v->index, 7, 0, 0, 0).ebx & CPUID_7_EBX_BMI1);
    c->no_lzcnt = !(cpuid_lookup(t, v->index, 0x80000001u, 0, 0, 0).ecx & CPUID_E1_ECX_LZCNT);
}

static __attribute__((noinline)) void emulate_exit(struct vm_vcpu *v, struct guest_cpu *c, uint64_t at)
{
    struct guest_fault fault = {0};
    struct instruction_bytes seen = {.count = 0};
    if (!exits_need(v, GROUP_SEG))
        return;
    fill_in(v, c);
    enum verdict verdict = emulate_memory(c, &seen, &fault);
    if (verdict != VERDICT_DONE) {
        char what[64];
        switch (verdict == VERDICT_UNSUPPORTED ? shared_access(v->vm, at, v->state->exit.memory.write) : SHARED_NONE) {
        case SHARED_AGAIN: stuck_exit(v, at); return;
        case SHARED_REFUSED: exits_inject(v, &(struct guest_fault){.vector = VECTOR_GP, .has_code = true}); return;
        case SHARED_NONE: break;
        }
        format(what, sizeof what, "access to device memory 0x%lx", at);
        exits_finish(v, verdict, &fault, &seen, what);
    }
}

/* A store has been done here that may have rung a doorbell; rip is still the instruction's. What ring 0 does not take
 * goes on coming here. */
static __attribute__((noinline)) void doorbell_store(struct vm_vcpu *v, uint64_t at, unsigned length)
{
    struct vm *vm = v->vm;
    vm_lock(vm);
    const struct doorbell *b = doorbell_rung(&vm->doorbells, at, v->state->rip);
    if (b != NULL)
        (void)sys_fastpath_doorbell(vm->space, FASTPATH_DOORBELL_STORE, at | (uint64_t)length << 56, v->state->rip,
                                    b->event, b->bits);
    vm_unlock(vm);
}

void exits_memory(struct vm_vcpu *v)
{
    struct vcpu_state *s = v->state;
    uint64_t at = s->exit.memory.gpa;
    if (unlikely(guest_piece_of(&v->vm->memory, at) != NULL)) {
        stuck_exit(v, at);
        return;
    }
    if (unlikely(s->exit.memory.in_walk)) {
        exits_crash(v, "page tables outside of memory");
        return;
    }
    /* The bus gives all ones there, and FF FF is no instruction: what a PC does. */
    if (unlikely(s->exit.memory.fetch)) {
        exits_inject(v, &(struct guest_fault){.vector = VECTOR_UD});
        return;
    }
    unsigned width = 64;
    if (!exits_need(v, GROUP_RIP | GROUP_CR))
        return;
    if (unlikely(!s->exit.memory.code64)) {
        if (!exits_need(v, GROUP_SEG))
            return;
        width = access_code_width(s);
    }
    struct guest_cpu c = exits_cpu(v);
    c.move = move_cache_slot(v->move, s->rip);
    if (!move_cache_execute(c.move, &c, width, at))
        emulate_exit(v, &c, at);
    else if (unlikely(v->vm->doorbells.count != 0 && c.move->kind != MOVE_CACHE_LOAD))
        doorbell_store(v, at, c.move->length);
}
