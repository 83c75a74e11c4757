// SPDX-License-Identifier: Apache-2.0
/*
 * What is written down of a vCPU whose guest has crashed, for a person. See vmm/cpu/exits_internal.h.
 */
#include <stdarg.h>
#include "lib/print.h"
#include "lib/string.h"
#include "vmm/cpu/exits_internal.h"
#include "vmm/insn/walk.h"

#define CODE_BEFORE 16u /* bytes shown before rip... */
#define CODE_BYTES  40u /* ...and in all */
#define STACK_WORDS 16u

struct text {
    char *out;
    size_t size, used;
};

static void add(struct text *t, const char *what, ...) print_like(2, 3);
static void add(struct text *t, const char *what, ...)
{
    if (t->used >= t->size)
        return;
    va_list arguments;
    va_start(arguments, what);
    t->used += (size_t)format_list(t->out + t->used, t->size - t->used, what, arguments);
    va_end(arguments);
}

/* A byte of the guest's, by its linear address. False: nothing is there, or no RAM. */
static bool peek(const struct vm_vcpu *v, uint64_t linear, uint8_t *byte)
{
    const struct guest_memory *m = &v->vm->memory;
    struct walk_result r = walk(m, v->state, linear, ACCESS_PEEK);
    return r.outcome == WALK_OK && guest_read(m, r.gpa, byte, 1) == OK;
}

static void registers(struct text *t, const struct vcpu_state *s)
{
    static const char *const name[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                                "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const segment[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    add(t, "rip %016lx  rflags %lx\n", s->rip, s->rflags);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        add(t, "%s%-3s %016lx%s", i % 4 ? "  " : "", name[i], i == GPR_RSP ? s->rsp : s->gpr[i],
            i % 4 == 3 ? "\n" : "");
    add(t, "cr0 %lx  cr2 %lx  cr3 %lx  cr4 %lx  efer %lx\n", s->cr0, s->cr2, s->cr3, s->cr4, s->efer);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        add(t, "%s%s %x base %lx limit %x attr %x%s", i % 2 ? "  " : "", segment[i], s->seg[i].selector, s->seg[i].base,
            s->seg[i].limit, s->seg[i].attr, i % 2 ? "\n" : "");
    add(t, "gdtr %lx+%x  idtr %lx+%x\n", s->gdtr.base, s->gdtr.limit, s->idtr.base, s->idtr.limit);
}

static void code(struct text *t, const struct vm_vcpu *v)
{
    uint64_t rip = v->state->rip + (walk_long_mode(v->state) ? 0 : v->state->seg[SEG_CS].base);
    add(t, "code, < is at rip:");
    for (unsigned i = 0; i < CODE_BYTES; i++) {
        uint8_t byte;
        if (!peek(v, rip - CODE_BEFORE + i, &byte))
            add(t, " ??");
        else
            add(t, i == CODE_BEFORE ? " <%02x" : " %02x", byte);
    }
    add(t, "\n");
}

static void stack(struct text *t, const struct vm_vcpu *v)
{
    bool wide = walk_long_mode(v->state);
    unsigned size = wide ? 8 : 4;
    uint64_t at = v->state->rsp + (wide ? 0 : v->state->seg[SEG_SS].base);
    add(t, "stack at rsp:");
    for (unsigned i = 0; i < STACK_WORDS; i++) {
        uint64_t word = 0;
        bool there = true;
        for (unsigned k = 0; k < size && there; k++) {
            uint8_t byte = 0;
            there = peek(v, at + i * size + k, &byte);
            word |= (uint64_t)byte << 8 * k;
        }
        add(t, "%s", i % 4 ? " " : "\n ");
        if (there && wide)
            add(t, "%016lx", word);
        else if (there)
            add(t, "%08lx", word);
        else
            add(t, "?");
    }
    add(t, "\n");
}

void exits_report(struct vm_vcpu *v, const char *what)
{
    struct text t = {v->vm->control->report, sizeof v->vm->control->report, 0};
    if (atomic_exchange(&v->vm->reported, true)) /* another vCPU was first */
        return;
    add(&t, "vCPU %u: %s; exit %u, detail 0x%lx\n", v->index, what, v->state->exit.reason, v->state->exit.detail);
    registers(&t, v->state);
    code(&t, v);
    stack(&t, v);
}
