// SPDX-License-Identifier: Apache-2.0
/* See vmm/save.h. Everything is read twice: first into copies, to see whether all of it can be taken; then for good. */
#include "vmm/save.h"

#include "lib/string.h"
#include "vmm/cpu/exits.h"
#include "vmm/cpu/kvmclock.h"

#define MACHINE         "machine"
#define VCPU            "vCPU"
#define MACHINE_VERSION 2u
#define VCPU_VERSION    3u

/* --- the machine --- */

struct machine_saved {
    uint32_t vcpus, intel;
    uint64_t memory_bytes, tsc_khz, boot_ns, boot_tsc;
};

static struct machine_saved shape_of(const struct vm *vm)
{
    return (struct machine_saved){.vcpus = vm->vcpus,
                                  .intel = vm->cpuid.intel,
                                  .memory_bytes = guest_total(&vm->memory),
                                  .tsc_khz = vm->boot->tsc_khz,
                                  .boot_ns = vm->boot_ns,
                                  .boot_tsc = vm->boot_tsc};
}

static void machine_fields(struct machine_saved *m, uint64_t now, struct stream *s)
{
    STREAM_FIELD(s, m->vcpus);
    STREAM_FIELD(s, m->intel);
    STREAM_FIELD(s, m->memory_bytes);
    STREAM_FIELD(s, m->tsc_khz);
    STREAM_FIELD(s, m->boot_ns);
    stream_time(s, now, &m->boot_tsc);
}

static enum error machine_take(struct vm *vm, struct stream *s, uint64_t now, bool commit)
{
    struct machine_saved here = shape_of(vm), m = here;
    machine_fields(&m, now, s);
    if (!stream_read_whole(s))
        return E_ARG;
    if (m.vcpus != here.vcpus || m.intel != here.intel || m.memory_bytes != here.memory_bytes ||
        m.tsc_khz != here.tsc_khz)
        return E_UNSUPPORTED;
    if (commit) {
        vm->boot_ns = m.boot_ns;
        vm->boot_tsc = m.boot_tsc;
    }
    return OK;
}

/* --- a vCPU --- */

struct vcpu_saved {
    struct vcpu_state state; /* the page, of which the groups count */
    struct fpu_image fpu;
    bool has_fpu;
    struct lapic_saved lapic;
    struct msr_cpu msr;
    uint32_t pending;
    bool halted_if;
    struct nmi_step step;
    uint64_t clock_gpa;
};

#define PENDING_ALL (PENDING_WAIT_SIPI | PENDING_HALTED | PENDING_NMI | PENDING_EXTINT | PENDING_NMI_AGAIN)

static void state_fields(struct vcpu_state *s, struct stream *t)
{
    STREAM_FIELD(t, s->gpr);
    STREAM_FIELD(t, s->inject);
    STREAM_FIELD(t, s->inject_error);
    STREAM_FIELD(t, s->rip);
    STREAM_FIELD(t, s->rsp);
    STREAM_FIELD(t, s->rflags);
    STREAM_FIELD(t, s->shadow);
    STREAM_FIELD(t, s->pending_debug);
    STREAM_FIELD(t, s->cr0);
    STREAM_FIELD(t, s->cr2);
    STREAM_FIELD(t, s->cr3);
    STREAM_FIELD(t, s->cr4);
    STREAM_FIELD(t, s->efer);
    STREAM_FIELD(t, s->xcr0);
    STREAM_FIELD(t, s->tpr);
    STREAM_FIELD(t, s->seg);
    STREAM_FIELD(t, s->gdtr);
    STREAM_FIELD(t, s->idtr);
    STREAM_FIELD(t, s->star);
    STREAM_FIELD(t, s->lstar);
    STREAM_FIELD(t, s->cstar);
    STREAM_FIELD(t, s->fmask);
    STREAM_FIELD(t, s->kernel_gs_base);
    STREAM_FIELD(t, s->sysenter_cs);
    STREAM_FIELD(t, s->sysenter_esp);
    STREAM_FIELD(t, s->sysenter_eip);
    STREAM_FIELD(t, s->pat);
    STREAM_FIELD(t, s->tsc_aux);
    STREAM_FIELD(t, s->spec_ctrl);
    STREAM_FIELD(t, s->dr);
    STREAM_FIELD(t, s->dr6);
    STREAM_FIELD(t, s->dr7);
    STREAM_FIELD(t, s->event);
}

static void lapic_fields(struct lapic_saved *l, uint64_t now, struct stream *s)
{
    STREAM_FIELD(s, l->reg);
    STREAM_FIELD(s, l->irr);
    STREAM_FIELD(s, l->level);
    STREAM_FIELD(s, l->base_msr);
    stream_time(s, now, &l->timer_start);
    stream_time(s, now, &l->timer_due);
    STREAM_FIELD(s, l->timer_from);
    STREAM_FIELD(s, l->tsc_deadline);
    STREAM_FIELD(s, l->mail);
    STREAM_FIELD(s, l->errors);
    STREAM_FIELD(s, l->ldr);
    STREAM_FIELD(s, l->dfr);
}

static void vcpu_fields(struct vcpu_saved *v, uint64_t now, struct stream *s)
{
    uint64_t guest_tsc = now + v->state.tsc_offset;
    state_fields(&v->state, s);
    stream_bool(s, &v->has_fpu);
    if (v->has_fpu)
        STREAM_FIELD(s, v->fpu);
    STREAM_FIELD(s, guest_tsc);
    v->state.tsc_offset = guest_tsc - now;
    lapic_fields(&v->lapic, now, s);
    msr_fields(&v->msr, s);
    STREAM_FIELD(s, v->pending);
    stream_bool(s, &v->halted_if);
    stream_bool(s, &v->step.on);
    stream_bool(s, &v->step.tf);
    STREAM_FIELD(s, v->step.dr6);
    STREAM_FIELD(s, v->clock_gpa);
}

static void vcpu_saved_of(struct vm_vcpu *v, struct vcpu_saved *out)
{
    out->state = *v->state;
    out->has_fpu = v->fpu != NULL;
    if (out->has_fpu)
        out->fpu = *v->fpu;
    lapic_save(&v->lapic, &out->lapic);
    out->msr = v->msr;
    out->pending = v->pending;
    out->halted_if = v->halted_if;
    out->step = v->step;
    out->clock_gpa = v->clock_gpa;
}

/* What the CPU would refuse ends the guest at its next entry; here only what this program uses is looked at. */
static bool vcpu_valid(const struct vm *vm, const struct vm_vcpu *v, const struct vcpu_saved *in)
{
    return (in->pending & ~PENDING_ALL) == 0 && (!in->has_fpu || v->fpu != NULL) &&
           lapic_saved_valid(&v->lapic, &in->lapic) &&
           (in->clock_gpa == 0 || guest_ptr(&vm->memory, in->clock_gpa, 32) != NULL);
}

static void vcpu_become(struct vm_vcpu *v, uint64_t now, struct vcpu_saved *in)
{
    struct vcpu_state *s = v->state;
    in->state.apic_offer = s->apic_offer;
    in->state.nmi_offer = s->nmi_offer;
    in->state.valid = 0;
    in->state.advance = 0;
    in->state.irq = 0;
    memset(&in->state.exit, 0, sizeof in->state.exit);
    in->state.dirty = GROUPS_REGISTERS | GROUP_TSC | (in->has_fpu ? GROUP_FPU : 0);
    *s = in->state;
    if (in->has_fpu) /* the kernel looks at it before the CPU does */
        *v->fpu = in->fpu;
    lapic_load(&v->lapic, now, &in->lapic);
    if (v->index == 0)
        machine_settle_cpuid(v->vm);
    lapic_set_tsc_offset(&v->lapic, s->tsc_offset);
    struct msr_cpu *m = &v->msr;
    in->msr.ops = m->ops;
    in->msr.context = m->context;
    in->msr.state = m->state;
    *m = in->msr;
    v->pending = in->pending;
    v->halted_if = in->halted_if;
    v->step = in->step;
    v->clock_gpa = in->clock_gpa;
    v->irq_from_pic = false;
    v->recheck = true;
    v->retries = 0;
    v->retry_gpa = 0;
    memset(v->move, 0, sizeof v->move);
}

static enum error vcpu_take(struct vm *vm, struct stream *s, const struct stream_section *section, uint64_t now,
                            bool commit)
{
    static struct vcpu_saved in; /* one machine at a time */
    if (section->number >= vm->vcpus || section->version != VCPU_VERSION)
        return E_UNSUPPORTED;
    struct vm_vcpu *v = &vm->vcpu[section->number];
    memset(&in, 0, sizeof in);
    in.msr = v->msr;
    vcpu_fields(&in, now, s);
    if (!stream_read_whole(s) || !vcpu_valid(vm, v, &in))
        return E_ARG;
    if (commit)
        vcpu_become(v, now, &in);
    return OK;
}

/* --- all --- */

bool vcpu_fetch_all(struct vm_vcpu *v)
{
    machine_fpu(v);
    return exits_need(v, GROUPS_REGISTERS) && (v->fpu == NULL || exits_need(v, GROUP_FPU));
}

size_t machine_save(struct vm *vm, void *bytes, size_t size)
{
    static struct vcpu_saved out;
    struct stream s;
    struct machine_saved m = shape_of(vm);
    vm_lock(vm);
    uint64_t now = vm->clock.now;
    stream_save(&s, bytes, size);
    stream_begin(&s, MACHINE, 0, MACHINE_VERSION);
    machine_fields(&m, now, &s);
    stream_end(&s);
    device_set_save(&vm->devices, &s);
    for (unsigned i = 0; i < vm->vcpus; i++) {
        vcpu_saved_of(&vm->vcpu[i], &out);
        stream_begin(&s, VCPU, (uint16_t)i, VCPU_VERSION);
        vcpu_fields(&out, now, &s);
        stream_end(&s);
    }
    vm_unlock(vm);
    return stream_saved(&s);
}

static enum error take(struct vm *vm, struct stream *s, const struct stream_section *section, bool commit)
{
    uint64_t now = vm->clock.now;
    if (strcmp(section->name, MACHINE) == 0)
        return section->version == MACHINE_VERSION ? machine_take(vm, s, now, commit) : E_UNSUPPORTED;
    if (strcmp(section->name, VCPU) == 0)
        return vcpu_take(vm, s, section, now, commit);
    return device_set_load(&vm->devices, s, section, commit);
}

/* Sections come in one order, each once, none missing. */
static bool in_place(const struct vm *vm, uint32_t index, const struct stream_section *section)
{
    uint32_t devices = vm->devices.count;
    const char *name = VCPU;
    uint32_t number = index - 1 - devices;
    if (index == 0) {
        name = MACHINE;
        number = 0;
    } else if (index <= devices) {
        name = vm->devices.at[index - 1].device->name;
        number = vm->devices.at[index - 1].number;
    }
    return strcmp(section->name, name) == 0 && section->number == number;
}

static enum error take_all(struct vm *vm, const void *bytes, size_t size, bool commit)
{
    struct stream s;
    struct stream_section section;
    uint32_t wanted = 1 + vm->devices.count + vm->vcpus, got = 0;
    enum error error = stream_open(&s, bytes, size);
    if (error == OK && s.sections != wanted)
        error = E_UNSUPPORTED;
    while (error == OK && stream_next(&s, &section)) {
        if (!in_place(vm, got++, &section))
            return E_UNSUPPORTED;
        error = take(vm, &s, &section, commit);
    }
    return error;
}

enum error machine_restore(struct vm *vm, const void *bytes, size_t size)
{
    vm_lock(vm);
    enum error error = take_all(vm, bytes, size, false);
    if (error == OK)
        error = take_all(vm, bytes, size, true);
    vm_unlock_timers(vm);
    for (unsigned i = 0; error == OK && i < vm->vcpus; i++)
        machine_tsc_changed(vm, i);
    return error;
}
