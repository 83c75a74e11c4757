// SPDX-License-Identifier: Apache-2.0
/*
 * A hostile program in a monitor's place, live. See vmm/test/fuzz.h. It knows what a monitor knows (its handles, its
 * addresses, its guest's vCPUs), asks for all that could do harm and much that makes no sense, and writes garbage where
 * root, the console and the kernel read. What it must not do is end: it spares its own text, stacks and shared pages,
 * keeps the handles that it was given, and never says that its guest has ended.
 *
 * All threads are in the same phase at the same time, by the TSC: calls of every kind; few, and none that changes
 * mappings or objects, or the checker, which looks again when something changes, could never answer; a storm of events,
 * kicks and lines for the log; few again.
 */
#include "vmm/test/fuzz.h"
#include <stddef.h>
#include "lib/calls.h"
#include "lib/string.h"
#include "lib/syscall.h"

#define CR4_PAE  (1ull << 5)
#define PHASE_MS 60
enum phase { PHASE_ANYTHING = 0, PHASE_CALM, PHASE_STORM, PHASE_CALM_AGAIN, PHASE_COUNT };

#define MADE_MAX 8 /* handles remembered, of each type */

struct hostile {
    struct vm *vm;
    struct vcpu_state *state;
    unsigned thread;
    uint64_t seed, calls, good;
};

static _Atomic uint64_t made[OBJ_COUNT][MADE_MAX];

static uint64_t any(struct hostile *h)
{
    h->seed ^= h->seed << 13;
    h->seed ^= h->seed >> 7;
    h->seed ^= h->seed << 17;
    return h->seed * 0x2545f4914f6cdd1dull;
}

static uint64_t below(struct hostile *h, uint64_t n)
{
    return (any(h) >> 11) % n;
}
static bool once_in(struct hostile *h, uint64_t n)
{
    return below(h, n) == 0;
}

static uint64_t edge(struct hostile *h)
{
    static const uint64_t v[] = {0,          1,          0xff,       0x100,     0xfff,      0x1000,
                                 UINT32_MAX, 1ull << 32, 1ull << 47, INT64_MAX, 1ull << 63, UINT64_MAX - 0xfff,
                                 UINT64_MAX};
    return once_in(h, 2) ? v[below(h, ARRAY_SIZE(v))] : any(h);
}

static enum phase phase_now(const struct vm *vm)
{
    uint64_t phase_ticks = (vm->boot->tsc_khz + 1) * PHASE_MS;
    return (enum phase)(tsc_now() / phase_ticks % PHASE_COUNT);
}

/* ---- arguments that have a chance */

static uint64_t given(struct hostile *h, enum object_type type)
{
    const struct vm *vm = h->vm;
    switch (type) {
    case OBJ_DOMAIN: return VMM_SLOT_SELF;
    case OBJ_SPACE: return vm->space;
    case OBJ_VCPU: return vm->vcpu[below(h, vm->vcpus)].handle;
    case OBJ_MEMORY: return VMM_SLOT_MEMORY + below(h, vm->boot->piece_count);
    case OBJ_EVENT: return VMM_SLOT_EVENT + below(h, 3); /* its own, the console's, root's */
    default: return below(h, 64);
    }
}

static uint64_t handle(struct hostile *h, enum object_type type)
{
    switch (below(h, 12)) {
    case 0: return any(h);
    case 1: return below(h, MAX_HANDLES + 8);
    case 2: return below(h, 96);
    case 3:
    case 4:
    case 5: return atomic_load(&made[type][below(h, MADE_MAX)]);
    default: return given(h, type);
    }
}

static bool is_given(const struct vm *vm, uint64_t slot)
{
    if (slot <= VMM_SLOT_ROOT_EVENT || (slot >= VMM_SLOT_MEMORY && slot < VMM_SLOT_MEMORY + VMM_PIECES_MAX) ||
        slot == vm->space)
        return true;
    for (unsigned i = 0; i < vm->vcpus; i++)
        if (slot == vm->vcpu[i].handle)
            return true;
    return false;
}

static uint64_t address(struct hostile *h)
{
    switch (below(h, 12)) {
    case 0: return edge(h);
    case 1: return edge(h) & ~PAGE_MASK;
    case 2: return USER_VA_MAX - PAGE_SIZE * below(h, 4);
    case 3: return VMM_STATE_VA + PAGE_SIZE * below(h, 80);
    case 4: return VMM_IMAGE_VA + PAGE_SIZE * below(h, 64);
    case 5: return VMM_GUEST_VA;
    case 6: return below(h, 4096) * PAGE_SIZE; /* guest-physical, as often as not */
    case 7: return below(h, 16) * SIZE_2M;
    default: return VMM_MODULES_VA * 4 + PAGE_SIZE * below(h, 2048);
    }
}

static uint64_t size_of_it(struct hostile *h)
{
    if (once_in(h, 8))
        return edge(h);
    return once_in(h, 4) ? SIZE_2M : PAGE_SIZE * below(h, 24);
}

static uint64_t offset(struct hostile *h)
{
    if (once_in(h, 8))
        return edge(h);
    return once_in(h, 2) ? 0 : PAGE_SIZE * below(h, 600);
}

/* What it would die of: its text, its data and stacks, what it shares with root. */
static bool spared(uint64_t va)
{
    return va >= VMM_IMAGE_VA && va < VMM_STATE_VA;
}

static bool changes_tables(uint64_t call)
{
    return call < SYS_COUNT && call_shapes[call].reshapes;
}

static enum object_type one_of(struct hostile *h, uint32_t types)
{
    enum object_type type;
    do
        type = (enum object_type)below(h, OBJ_COUNT);
    while ((types >> type & 1) == 0);
    return type;
}

static uint64_t argument(struct hostile *h, enum argument_kind kind, uint32_t of)
{
    switch (kind) {
    case ARGUMENT_HANDLE: return handle(h, one_of(h, of));
    case ARGUMENT_BELOW: return once_in(h, 8) ? any(h) : below(h, of);
    case ARGUMENT_ADDRESS: return address(h);
    case ARGUMENT_SIZE: return size_of_it(h);
    case ARGUMENT_OFFSET: return offset(h);
    case ARGUMENT_RIGHTS: return once_in(h, 3) ? any(h) & RIGHTS_ALL : RIGHT_READ | below(h, 4) << 1;
    case ARGUMENT_DEADLINE: return once_in(h, 4) ? 0 : tsc_now() + below(h, h->vm->boot->tsc_khz + 1);
    case ARGUMENT_PLACE: return SCHED_PLACE(below(h, 4), below(h, SCHED_PRIORITIES));
    case ARGUMENT_HARDWARE: return once_in(h, 2) ? below(h, 0x10010) : below(h, 1u << 20) << 12;
    case ARGUMENT_ROW: return below(h, 3) | (once_in(h, 2) ? 0 : below(h, 70) << 8 | below(h, 14) << 16);
    case ARGUMENT_DOORBELL: return once_in(h, 2) ? below(h, 0x10010) : below(h, 4) << 12 | below(h, 18) << 56;
    case ARGUMENT_NUMBER: break;
    }
    return once_in(h, 2) ? edge(h) : 1ull << below(h, 64);
}

static void choose(struct hostile *h, uint64_t call, uint64_t x[6])
{
    bool wild = call >= SYS_COUNT || once_in(h, 12);
    for (unsigned i = 0; i < 6; i++)
        x[i] = wild || i >= call_shapes[call].count
                   ? edge(h)
                   : argument(h, call_shapes[call].argument[i].kind, call_shapes[call].argument[i].of);
    if (call == SYS_EVENT_WAIT) /* it has more to do than to wait for ever */
        x[2] = argument(h, ARGUMENT_DEADLINE, 0);
    if (call == SYS_LOG && !wild)
        x[1] = 1 + below(h, 33);
}

/* ---- garbage where others read */

/*
 * A vCPU's page, also of one that runs: often a single value, at times all of it. CR4.PAE stays set: QEMU 7.2 does not
 * come back to the host's CR0 from a guest with EFER.LME but neither paging nor PAE (docs/emulators.md), and then the
 * CPU is lost; the test is to be of Mullion.
 */
static void scribble_state(struct hostile *h, struct vcpu_state *s)
{
    volatile uint64_t *words = (volatile uint64_t *)(void *)s;
    if (s == NULL)
        return;
    s->cr4 |= CR4_PAE;
    for (uint64_t n = once_in(h, 8) ? sizeof *s / 8 : below(h, 6); n > 0; n--) {
        uint64_t at = below(h, sizeof *s / 8);
        words[at] = edge(h) | (at == offsetof(struct vcpu_state, cr4) / 8 ? CR4_PAE : 0);
    }
    s->dirty = once_in(h, 2) ? UINT32_MAX : (uint32_t)any(h);
}

/* An image of the guest's FPU: sound, but for a few bits; or all noise. */
static void scribble_fpu(struct hostile *h, struct fpu_image *image)
{
    volatile uint64_t *words = (volatile uint64_t *)(void *)image;
    if (image == NULL)
        return;
    for (uint64_t n = once_in(h, 8) ? sizeof *image / 8 : below(h, 4); n > 0; n--)
        words[once_in(h, 2) ? below(h, 72) : below(h, sizeof *image / 8)] = edge(h);
    if (once_in(h, 2)) {
        image->xstate_bv &= 7;
        image->xcomp_bv = 0;
        for (unsigned i = 0; i < ARRAY_SIZE(image->reserved); i++)
            image->reserved[i] = 0;
        words[3] = (words[3] & ~(uint64_t)UINT32_MAX) | 0x1f80; /* MXCSR */
    }
}

static void scribble_control(struct hostile *h)
{
    struct vmm_control *c = h->vm->control;
    volatile uint64_t *words = (volatile uint64_t *)(void *)c;
    /* Any state but one that would end the guest: that it may, and then this is over. */
    atomic_store(&c->state, once_in(h, 2) ? GUEST_STARTING + (uint32_t)below(h, 2)
                                          : GUEST_STATE_COUNT + (uint32_t)below(h, 1u << 30));
    for (uint64_t n = below(h, 8); n > 0; n--)
        words[1 + below(h, VMM_CONTROL_BYTES / 8 - 1)] = any(h);
}

static void scribble_channel(struct hostile *h)
{
    struct channel_ring *ring = once_in(h, 2) ? &h->vm->channel->from_guest : &h->vm->channel->to_guest;
    if (once_in(h, 3))
        atomic_store(&ring->head, (uint32_t)edge(h));
    if (once_in(h, 3))
        atomic_store(&ring->tail, (uint32_t)edge(h));
    for (uint64_t n = below(h, 64); n > 0; n--)
        ((volatile uint8_t *)ring->data)[below(h, CHANNEL_RING_BYTES)] = (uint8_t)any(h);
}

/* Lines that make no sense. The indices stay: what is said in calm is to be heard. */
static void scribble_words(struct hostile *h)
{
    uint8_t bytes[128];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)any(h);
    (void)channel_write(h->vm->words, bytes, below(h, sizeof bytes));
    (void)sys_event_signal(VMM_SLOT_CONSOLE_EVENT, h->vm->boot->console_bits);
}

static void scribble(struct hostile *h)
{
    scribble_control(h);
    scribble_channel(h);
    if (once_in(h, 64))
        scribble_words(h);
    if (once_in(h, 4))
        scribble_state(h, h->vm->vcpu[below(h, h->vm->vcpus)].state);
    if (once_in(h, 4))
        scribble_fpu(h, h->vm->vcpu[below(h, h->vm->vcpus)].fpu);
}

/* ---- the calls */

static void remember(struct hostile *h, uint64_t call, uint64_t slot, uint64_t va)
{
    if (call >= SYS_COUNT || call_shapes[call].makes == OBJ_NONE)
        return;
    atomic_store(&made[call_shapes[call].makes][below(h, MADE_MAX)], slot);
    if (call == SYS_VCPU_CREATE) /* its own: a thread has one */
        h->state = (struct vcpu_state *)va;
}

static bool must_not(const struct hostile *h, uint64_t call, const uint64_t x[6])
{
    return call == SYS_THREAD_EXIT || (call == SYS_HANDLE_CLOSE && is_given(h->vm, x[0])) ||
           ((call == SYS_UNMAP || call == SYS_PROTECT) && spared(x[1]));
}

/* vmm/test/fuzz_call.asm */
struct odd_call {
    uint64_t error, value, rdi, rsi, r10, r8, r9, flags, odd;
};
void odd_call(struct odd_call *c, bool sysenter, unsigned how);

/* TF, DF, NT, AC, ID: SYSENTER keeps them, and TF's #DB comes behind it, in ring 0. */
#define ODD_FLAGS (1u << 8 | 1u << 10 | 1u << 14 | 1u << 18 | 1u << 21)

static struct syscall_result make_call(struct hostile *h, uint64_t call, const uint64_t x[6])
{
    if (call_way == call_by_interrupt || !once_in(h, 3))
        return call == SYS_VCPU_RUN ? (struct syscall_result){sys_vcpu_run(), 0}
                                    : syscall6((enum syscall)call, x[0], x[1], x[2], x[3], x[4], x[5]);
    struct odd_call c = {.error = call, .rdi = x[0], .rsi = x[1], .value = x[2], .r10 = x[3], .r8 = x[4], .r9 = x[5]};
    c.flags = 0x202 | (any(h) & ODD_FLAGS);
    c.odd = edge(h);
    odd_call(&c, call_way == call_by_sysenter, (unsigned)below(h, 2));
    return (struct syscall_result){(enum error)c.error, c.value};
}

static uint64_t stormy_call(struct hostile *h)
{
    if (once_in(h, 6))
        return SYS_LOG;
    if (once_in(h, 4))
        return SYS_VCPU_KICK;
    return once_in(h, 8) ? SYS_QUERY : SYS_EVENT_SIGNAL;
}

static void one_call(struct hostile *h, enum phase phase)
{
    uint64_t x[6], call = once_in(h, 50) ? edge(h) : below(h, SYS_COUNT);
    if (phase == PHASE_STORM)
        call = stormy_call(h);
    else if ((phase != PHASE_ANYTHING && changes_tables(call)) || (call == SYS_LOG && !once_in(h, 16)))
        call = SYS_EVENT_SIGNAL;
    choose(h, call, x);
    if (must_not(h, call, x))
        return;
    if (call == SYS_VCPU_RUN && h->state != NULL) {
        scribble_state(h, h->state);
        h->state->deadline = tsc_now() + below(h, h->vm->boot->tsc_khz + 1);
    }
    struct syscall_result r = make_call(h, call, x);
    for (unsigned more = once_in(h, 2) ? 0 : 100; r.error == E_AGAIN && more > 0; more--)
        r = make_call(h, call, x);
    h->calls++;
    if (r.error == OK) {
        h->good++;
        remember(h, call, r.value, x[1]);
    }
}

/* The other half of the time it does little, so that what the others do then can be told from what they do in a storm.
 */
static void rest(struct hostile *h)
{
    (void)sys_event_wait(atomic_load(&h->vm->lock.thread[h->thread].event), 1ull << 63,
                         tsc_now() + 4 * h->vm->boot->tsc_khz);
}

void fuzz_for_ever(struct vm *vm, unsigned thread, struct vcpu_state *state)
{
    struct hostile h = {
        .vm = vm, .state = state, .thread = thread, .seed = tsc_now() * 2 + 1 + thread * 0x9e3779b97f4a7c15ull};
    uint64_t image = VMM_FPU_VA + (thread - 1) * sizeof(struct fpu_image);
    if (state != NULL && sys_vcpu_fpu(image) == OK)
        vm->vcpu[thread - 1].fpu = (struct fpu_image *)image;
    h.seed |= 1;
    vm_say(vm, "hostile: thread %u begins, seed 0x%lx", thread, h.seed);
    for (enum phase before = phase_now(vm);;) {
        enum phase phase = phase_now(vm);
        if (phase != before && phase == PHASE_CALM)
            vm_say(vm, "hostile: thread %u, %lu calls, %lu of them accepted", thread, h.calls, h.good);
        before = phase;
        for (unsigned n = 0; n < 32; n++)
            one_call(&h, phase);
        scribble(&h);
        if (phase == PHASE_CALM || phase == PHASE_CALM_AGAIN)
            rest(&h);
        for (unsigned i = 0; i < vm->vcpus && once_in(&h, 4); i++) /* garbage in its deadline may make it sleep */
            (void)sys_vcpu_kick(vm->vcpu[i].handle);
    }
}
