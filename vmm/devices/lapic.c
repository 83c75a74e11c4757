// SPDX-License-Identifier: Apache-2.0
/*
 * One vCPU's local APIC: priorities, local interrupts, the registers and their two faces; see lapic.h. How messages
 * travel is in lapic_route.c, the timer in lapic_timer.c.
 */
#include "vmm/devices/lapic.h"

#include "lib/string.h"
#include "vmm/devices/lapic_internal.h"
#include "vmm/devices/layout.h"

#define BASE_BSP     (1ull << 8)
#define BASE_EXTD    (1ull << 10)
#define BASE_ENABLE  (1ull << 11)
#define BASE_ADDRESS 0x000ffffffffff000ull

#define SVR_ENABLE   0x100u
#define SVR_WRITABLE 0x1ffu

static const uint32_t lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};
#define LVT_READ_ONLY 0x5000u /* delivery status, remote IRR: a written value is ignored */

static uint64_t base_address(const struct lapic *l)
{
    return BASE_ADDRESS & ((1ull << l->set->physical_bits) - 1);
}

static enum lapic_mode mode_of(uint64_t base)
{
    if (!(base & BASE_ENABLE))
        return LAPIC_OFF;
    return base & BASE_EXTD ? LAPIC_X2APIC : LAPIC_XAPIC;
}

/* ---- ISR and IRR in the page: eight registers of 32 bits ---- */

static uint32_t bit_of(uint8_t vector)
{
    return 1u << (vector & 31);
}

static uint64_t word_of(const struct lapic *l, unsigned first, unsigned word)
{
    return *reg_of(l, first + 2 * word) | (uint64_t)*reg_of(l, first + 2 * word + 1) << 32;
}

static void set_word(struct lapic *l, unsigned first, unsigned word, uint64_t value)
{
    *reg_of(l, first + 2 * word) = (uint32_t)value;
    *reg_of(l, first + 2 * word + 1) = (uint32_t)(value >> 32);
}

/* The highest vector of those below 64 * (word + 1); 0: none, since those below 16 are no interrupts. */
static uint8_t highest_in(const struct lapic *l, unsigned first, int word)
{
    for (; word >= 0; word--) {
        uint64_t bits = word_of(l, first, (unsigned)word);
        if (bits)
            return (uint8_t)(word * 64 + 63 - __builtin_clzll(bits));
    }
    return 0;
}

static int highest_of(const uint64_t bits[4])
{
    for (int word = 3; word >= 0; word--)
        if (bits[word] != 0)
            return 64 * word + 63 - __builtin_clzll(bits[word]);
    return 0;
}

/* ---- what serves the interrupts ---- */

static uint32_t processor_priority(const struct lapic *l)
{
    uint32_t tpr = *reg_of(l, REG_TPR), class = l->serving & 0xf0;
    if (l->by_cpu)
        return *reg_of(l, REG_PPR);
    return (tpr & 0xf0) >= class ? tpr : class;
}

/* Has the kernel tell the CPU what stands in the page. */
static void show_cpu(struct lapic *l)
{
    l->state->apic_mode = l->by_cpu ? APIC_BY_CPU : APIC_BY_MONITOR;
    l->state->apic_serving = highest_in(l, REG_ISR, 3);
    l->state->apic_request = highest_in(l, REG_IRR, 3);
    l->state->dirty |= GROUP_APIC;
}

/* TMR as it is now, and the vectors whose end the monitor must hear of. True: those are others than before. */
static bool show_level(struct lapic *l, unsigned word, uint64_t also)
{
    uint64_t level = atomic_load_explicit(&l->level[word], memory_order_relaxed),
             before = l->state->apic_eoi_exit[word];
    set_word(l, REG_TMR, word, level);
    l->state->apic_eoi_exit[word] = level | also;
    return (level | also) != before;
}

static void choose_server(struct lapic *l, bool by_cpu)
{
    if (by_cpu == l->by_cpu)
        return;
    if (by_cpu)
        *reg_of(l, REG_PPR) = processor_priority(l);
    l->by_cpu = by_cpu;
    l->serving = highest_in(l, REG_ISR, 3);
    l->nested = 0;
    for (unsigned i = 0; i < 4; i++) {
        for (uint64_t bits = word_of(l, REG_ISR, i); bits; bits &= bits - 1)
            l->nested++;
        if (by_cpu)
            (void)show_level(l, i, 0);
        atomic_fetch_or(&l->pending[i], word_of(l, REG_IRR, i)); /* it comes back if the CPU takes over */
        set_word(l, REG_IRR, i, 0);
    }
    show_cpu(l);
}

/* Has the CPU not taken what it was last given? */
static bool last_waits(const struct lapic *l)
{
    unsigned vector = l->state->apic_request;
    return (*reg_of(l, REG_IRR + (vector >> 5)) & (1u << (vector & 31))) != 0;
}

/* New in the page's IRR, `highest` of them. */
static void show_request(struct lapic *l, uint8_t highest)
{
    struct vcpu_state *s = l->state;
    if (s->dirty & GROUP_APIC) {
        show_cpu(l);
        return;
    }
    if (!(s->dirty & GROUP_APIC_REQUEST) || s->apic_request < highest)
        s->apic_request = highest;
    s->dirty |= GROUP_APIC_REQUEST;
}

/* The usual case: one vector, and nothing about it is new. */
static bool take_one(struct lapic *l)
{
    unsigned word = 3;
    while (word > 0 && lapic_posted(l, word) == 0)
        word--;
    uint64_t bits = lapic_posted(l, word);
    for (unsigned i = 0; i < word; i++)
        if (lapic_posted(l, i))
            return false;
    if ((bits & (bits - 1)) ||
        atomic_load_explicit(&l->level[word], memory_order_relaxed) != l->state->apic_eoi_exit[word])
        return false;
    atomic_fetch_and(&l->pending[word], ~bits);
    uint8_t vector = (uint8_t)(word * 64 + 63 - (unsigned)__builtin_clzll(bits));
    *reg_of(l, REG_IRR + (vector >> 5)) |= bit_of(vector);
    show_request(l, vector);
    return true;
}

/*
 * The CPU gets one request at a time, the highest, and ends it with an exit if others wait. It could have all of them;
 * but then the next one would be due in the handler of the one before, between its end of interrupt and its IRET, where
 * Bochs 2.7 delivers it although interrupts are off as soon as one for the host arrives (docs/emulators.md).
 */
void lapic_take_requests(struct lapic *l)
{
    uint64_t all[4], rest;
    bool changed = false;
    if (!l->by_cpu || !lapic_any_posted(l) || (!last_waits(l) && take_one(l)))
        return;
    for (unsigned i = 0; i < 4; i++)
        all[i] = (lapic_posted(l, i) ? atomic_exchange(&l->pending[i], 0) : 0) | word_of(l, REG_IRR, i);
    uint8_t highest = (uint8_t)highest_of(all);
    uint64_t bit = 1ull << (highest & 63);
    all[highest >> 6] &= ~bit;
    rest = all[0] | all[1] | all[2] | all[3];
    for (unsigned i = 0; i < 4; i++) {
        bool here = i == highest >> 6;
        if (all[i])
            atomic_fetch_or(&l->pending[i], all[i]);
        set_word(l, REG_IRR, i, here ? bit : 0);
        changed |= show_level(l, i, here && rest ? bit : 0);
    }
    if (changed)
        show_cpu(l);
    else
        show_request(l, highest);
}

bool lapic_request(struct lapic *l, uint8_t vector)
{
    unsigned n = vector;
    if (!l->by_cpu || n < 16 || lapic_is_level(l, n) || last_waits(l) || lapic_any_posted(l)) {
        lapic_post_fixed(l, vector, false);
        return false;
    }
    *reg_of(l, REG_IRR + (n >> 5)) |= 1u << (n & 31);
    show_request(l, vector);
    return true;
}

/* Tells the other threads how this APIC is to be addressed now, and decides what serves it. */
static void publish(struct lapic *l)
{
    uint32_t mode = (uint32_t)mode_of(l->base_msr), enabled = *reg_of(l, REG_SVR) & SVR_ENABLE;
    if (mode == LAPIC_X2APIC)
        atomic_store_explicit(&l->route_ldr, (l->index >> 4) << 16 | 1u << (l->index & 15), memory_order_relaxed);
    *reg_of(l, REG_ID) = mode == LAPIC_X2APIC ? l->index : l->index << 24;
    *reg_of(l, REG_LDR) = atomic_load_explicit(&l->route_ldr, memory_order_relaxed);
    atomic_store_explicit(&l->route_id, l->index, memory_order_relaxed);
    atomic_store_explicit(&l->route_mode, mode | (enabled ? LAPIC_ROUTE_SOFTWARE_ON : 0), memory_order_release);
    choose_server(l, mode == LAPIC_X2APIC && enabled && l->state->apic_offer == APIC_BY_CPU);
}

static void reset_registers(struct lapic *l)
{
    memset(l->page, 0, APIC_BYTES);
    l->serving = 0;
    l->nested = 0;
    for (unsigned i = 0; i < 4; i++) {
        atomic_store(&l->pending[i], 0);
        atomic_store(&l->level[i], 0);
    }
    *reg_of(l, REG_VERSION) = LAPIC_VERSION;
    *reg_of(l, REG_SVR) = 0xff;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        *lvt_of(l, i) = LVT_MASK;
    lapic_timer_stop(l);
    atomic_store(&l->errors, 0);
    atomic_store(&l->route_ldr, 0);
    atomic_store(&l->route_dfr, UINT32_MAX);
    publish(l);
}

void lapic_reset(struct lapic *l, bool power_on)
{
    if (power_on)
        l->base_msr = LAYOUT_LAPIC_BASE | BASE_ENABLE | (l->index == 0 ? BASE_BSP : 0);
    reset_registers(l);
    if (power_on)
        atomic_store(&l->mail, 0);
    else /* a start-up IPI may already have followed the INIT */
        atomic_fetch_and(&l->mail, ~(uint32_t)(LAPIC_MAIL_INIT | LAPIC_MAIL_NMI | LAPIC_MAIL_NMI_AGAIN |
                                               LAPIC_MAIL_EXTINT | LAPIC_MAIL_ERROR));
}

void lapic_save(struct lapic *l, struct lapic_saved *out)
{
    choose_server(l, false); /* then IRR is in `pending`, and ISR in the page */
    *out = (struct lapic_saved){.base_msr = l->base_msr,
                                .timer_start = l->timer_start,
                                .timer_from = l->timer_from,
                                .timer_due = l->timer_due,
                                .tsc_deadline = l->tsc_deadline,
                                .mail = atomic_load(&l->mail),
                                .errors = atomic_load(&l->errors),
                                .ldr = atomic_load(&l->route_ldr),
                                .dfr = atomic_load(&l->route_dfr)};
    for (unsigned i = 0; i < LAPIC_REGISTERS; i++)
        out->reg[i] = *reg_of(l, i);
    memset(&out->reg[REG_TMR], 0, 8 * sizeof out->reg[0]);
    memset(&out->reg[REG_IRR], 0, 8 * sizeof out->reg[0]);
    for (unsigned i = 0; i < 4; i++) {
        out->irr[i] = atomic_load(&l->pending[i]);
        out->level[i] = atomic_load(&l->level[i]);
    }
    publish(l);
}

bool lapic_saved_valid(const struct lapic *l, const struct lapic_saved *in)
{
    uint64_t bits = in->base_msr & ~base_address(l);
    bool bsp = l->index == 0;
    if ((bits & ~(BASE_BSP | BASE_EXTD | BASE_ENABLE)) != 0 || ((bits & BASE_BSP) != 0) != bsp)
        return false;
    if ((bits & BASE_EXTD) && !(bits & BASE_ENABLE))
        return false;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        if (in->reg[REG_LVT_FIRST + i] & ~(lvt_writable[i] | LVT_READ_ONLY))
            return false;
    return (in->reg[REG_SVR] & ~SVR_WRITABLE) == 0 && (in->reg[REG_TPR] & ~0xffu) == 0 &&
           in->reg[REG_VERSION] == LAPIC_VERSION && (in->mail & ~0xff3fu) == 0 && (in->reg[REG_DIVIDE] & ~0xbu) == 0 &&
           (in->reg[REG_ISR] & 0xffff) == 0 && (in->irr[0] & 0xffff) == 0;
}

void lapic_load(struct lapic *l, uint64_t now, const struct lapic_saved *in)
{
    reset_registers(l);
    for (unsigned i = 0; i < LAPIC_REGISTERS; i++)
        *reg_of(l, i) = in->reg[i];
    l->seen = now;
    l->base_msr = in->base_msr;
    l->timer_start = in->timer_start;
    l->timer_from = in->timer_from;
    l->timer_due = in->timer_due;
    l->tsc_deadline = in->tsc_deadline;
    atomic_store(&l->mail, in->mail);
    atomic_store(&l->errors, in->errors);
    atomic_store(&l->route_ldr, in->ldr);
    atomic_store(&l->route_dfr, in->dfr);
    l->by_cpu = true; /* so that choose_server finds out what is in service */
    for (unsigned i = 0; i < 4; i++) {
        atomic_store(&l->pending[i], in->irr[i]);
        atomic_store(&l->level[i], in->level[i]);
    }
    choose_server(l, false);
    publish(l);
}

void lapic_init(struct lapic *l, struct apic_set *set, uint32_t index, struct vcpu_state *state, uint64_t tsc_khz)
{
    memset(l, 0, sizeof *l);
    l->set = set;
    l->index = index;
    l->state = state;
    l->page = state->apic;
    l->pending = (_Atomic uint64_t *)state->pending;
    l->tsc_khz = tsc_khz;
    l->to_cycles = clock_to_cycles(tsc_khz, LAYOUT_LAPIC_TIMER_HZ);
    l->to_ticks = clock_to_ticks(tsc_khz, LAYOUT_LAPIC_TIMER_HZ);
    lapic_reset(l, true);
    if (index < VMM_VCPUS_MAX) {
        set->cpu[index] = l;
        if (set->count <= index)
            set->count = index + 1;
    }
}

void lapic_firmware_state(struct lapic *l)
{
    *reg_of(l, REG_SVR) = 0xff | SVR_ENABLE;
    if (l->index == 0)
        *lvt_of(l, LVT_LINT0) = DELIVER_EXTINT << 8;
    *lvt_of(l, LVT_LINT1) = DELIVER_NMI << 8;
    publish(l);
}

/* ---- priorities ---- */

static int highest_request(const struct lapic *l)
{
    uint64_t irr[4];
    if (l->by_cpu)
        return highest_in(l, REG_IRR, 3);
    for (unsigned i = 0; i < 4; i++)
        irr[i] = atomic_load_explicit(&l->pending[i], memory_order_acquire);
    return highest_of(irr);
}

int lapic_highest_pending(const struct lapic *l)
{
    int vector = highest_request(l);
    if (vector == 0 || mode_of(l->base_msr) == LAPIC_OFF)
        return -1;
    return ((uint32_t)vector & 0xf0) > (processor_priority(l) & 0xf0) ? vector : -1;
}

bool lapic_held_by_tpr(const struct lapic *l)
{
    return mode_of(l->base_msr) != LAPIC_OFF && (highest_request(l) & 0xf0) > (l->serving & 0xf0);
}

bool lapic_has_work(const struct lapic *l)
{
    return lapic_highest_pending(l) >= 0;
}

static void ended(struct lapic *l, uint8_t vector)
{
    if ((atomic_load(&l->level[vector >> 6]) >> (vector & 63) & 1) && l->set->eoi)
        l->set->eoi(l->set->context, vector);
}

void lapic_end_of_interrupt(struct lapic *l)
{
    uint8_t vector = l->serving;
    if (vector == 0)
        return;
    *reg_of(l, REG_ISR + (vector >> 5)) &= ~bit_of(vector);
    l->serving = --l->nested ? highest_in(l, REG_ISR, vector >> 6) : 0;
    ended(l, vector);
}

void lapic_set_cr8(struct lapic *l, uint8_t cr8)
{
    *reg_of(l, REG_TPR) = (cr8 & 0xfu) << 4;
}

/* ---- local interrupts ---- */

void lapic_local_interrupt(struct lapic *l, enum lapic_lvt which)
{
    uint32_t entry = *lvt_of(l, which);
    if (entry & LVT_MASK)
        return;
    if (which == LVT_ERROR && (entry & 0xff) < 16)
        return; /* an illegal vector here would announce itself for ever */
    unsigned mode = which == LVT_TIMER || which == LVT_ERROR ? DELIVER_FIXED : LVT_MODE(entry);
    if (mode == DELIVER_NMI)
        lapic_post_mail(l, LAPIC_MAIL_NMI, 0);
    else if (mode == DELIVER_FIXED)
        (void)lapic_request(l, (uint8_t)entry);
}

static void local_error(struct lapic *l, uint32_t bit)
{
    atomic_fetch_or(&l->errors, bit);
    lapic_local_interrupt(l, LVT_ERROR);
}

void lapic_written(struct lapic *l, uint32_t offset, uint8_t vector)
{
    if (offset == 16 * REG_EOI)
        ended(l, vector);
    else if (offset == 16 * REG_SELF_IPI) /* the CPU sends the legal vectors */
        local_error(l, LAPIC_ERROR_SEND_VECTOR);
}

bool lapic_accepts_pic(const struct lapic *l)
{
    if (mode_of(l->base_msr) == LAPIC_OFF)
        return l->index == 0;
    return !(*lvt_of(l, LVT_LINT0) & LVT_MASK) && LVT_MODE(*lvt_of(l, LVT_LINT0)) == DELIVER_EXTINT;
}

void lapic_nmi_line(struct lapic *l)
{
    if (LVT_MODE(*lvt_of(l, LVT_LINT1)) == DELIVER_NMI)
        lapic_local_interrupt(l, LVT_LINT1);
}

uint32_t lapic_take_mail(struct lapic *l, uint8_t *sipi_vector)
{
    uint32_t mail = atomic_exchange(&l->mail, 0);
    if (mail & LAPIC_MAIL_SIPI)
        *sipi_vector = (uint8_t)(mail >> 8);
    if (mail & LAPIC_MAIL_ERROR)
        lapic_local_interrupt(l, LVT_ERROR);
    return mail & (LAPIC_MAIL_INIT | LAPIC_MAIL_SIPI | LAPIC_MAIL_NMI | LAPIC_MAIL_NMI_AGAIN | LAPIC_MAIL_EXTINT);
}

/* ---- registers ---- */

static uint32_t half_of(uint64_t words_value, unsigned n)
{
    return (uint32_t)(words_value >> (n & 1 ? 32 : 0));
}

static bool read_register(struct lapic *l, uint64_t now, unsigned reg, uint32_t *value)
{
    bool x2 = mode_of(l->base_msr) == LAPIC_X2APIC;
    *value = 0;
    switch (reg) {
    case REG_PPR: *value = processor_priority(l); return true;
    case REG_APR:
    case REG_RRD:
    case REG_EOI: return !x2;
    case REG_DFR: *value = atomic_load_explicit(&l->route_dfr, memory_order_relaxed); return !x2;
    case REG_ICR_HIGH: *value = *reg_of(l, reg); return !x2;
    case REG_CURRENT: *value = lapic_timer_count(l, now); return true;
    case REG_ID:
    case REG_VERSION:
    case REG_TPR:
    case REG_LDR:
    case REG_SVR:
    case REG_ESR:
    case REG_ICR_LOW:
    case REG_INITIAL:
    case REG_DIVIDE: *value = *reg_of(l, reg); return true;
    default: break;
    }
    if ((reg >= REG_LVT_FIRST && reg <= REG_LVT_LAST) || (reg >= REG_ISR && reg < REG_TMR)) {
        *value = *reg_of(l, reg);
        return true;
    }
    if (reg >= REG_TMR && reg < REG_IRR) {
        *value = half_of(atomic_load(&l->level[(reg - REG_TMR) / 2]), reg);
        return true;
    }
    if (reg >= REG_IRR && reg < REG_ESR) {
        *value = *reg_of(l, reg) | half_of(atomic_load(&l->pending[(reg - REG_IRR) / 2]), reg);
        return true;
    }
    return false;
}

static void write_lvt(struct lapic *l, uint64_t now, unsigned which, uint32_t value)
{
    uint32_t old = *lvt_of(l, which);
    value &= lvt_writable[which];
    if (!(*reg_of(l, REG_SVR) & SVR_ENABLE))
        value |= LVT_MASK;
    *lvt_of(l, which) = value;
    if (which == LVT_TIMER && TIMER_MODE(old) != TIMER_MODE(value))
        lapic_timer_mode(l, now, old);
}

static void write_svr(struct lapic *l, uint32_t value)
{
    *reg_of(l, REG_SVR) = value & SVR_WRITABLE;
    if (!(value & SVR_ENABLE))
        for (unsigned i = 0; i < LVT_COUNT; i++)
            *lvt_of(l, i) |= LVT_MASK;
    publish(l);
}

/* Bits of a register that an x2APIC write may carry; the others are reserved and fault (SDM 11.12.1.2). */
static uint32_t allowed_bits(unsigned reg)
{
    switch (reg) {
    case REG_TPR: return 0xff;
    case REG_SVR: return SVR_WRITABLE | 0x200;
    case REG_EOI:
    case REG_ESR: return 0;
    case REG_DIVIDE: return 0xb;
    case REG_SELF_IPI: return 0xff;
    default: break;
    }
    if (reg >= REG_LVT_FIRST && reg <= REG_LVT_LAST)
        return lvt_writable[reg - REG_LVT_FIRST] | LVT_READ_ONLY;
    return UINT32_MAX;
}

/* False: no such register, or read-only. */
static bool write_register(struct lapic *l, uint64_t now, unsigned reg, uint32_t value)
{
    bool x2 = mode_of(l->base_msr) == LAPIC_X2APIC;
    switch (reg) {
    case REG_TPR: *reg_of(l, REG_TPR) = value & 0xff; return true;
    case REG_EOI: lapic_end_of_interrupt(l); return true;
    case REG_LDR:
    case REG_DFR:
        if (x2)
            return false;
        if (reg == REG_LDR)
            atomic_store(&l->route_ldr, *reg_of(l, REG_LDR) = value & 0xff000000u);
        else
            atomic_store(&l->route_dfr, value | 0x0fffffffu);
        return true;
    case REG_SVR: write_svr(l, value); return true;
    case REG_ESR: *reg_of(l, REG_ESR) = atomic_exchange(&l->errors, 0); return true;
    case REG_ICR_LOW:
        value &= ICR_WRITABLE;
        *reg_of(l, REG_ICR_LOW) = value;
        if (!lapic_send_icr(l, x2, value, *reg_of(l, REG_ICR_HIGH) >> (x2 ? 0 : 24)))
            local_error(l, LAPIC_ERROR_SEND_VECTOR);
        return true;
    case REG_ICR_HIGH:
        if (x2)
            return false;
        *reg_of(l, REG_ICR_HIGH) = value & 0xff000000u;
        return true;
    case REG_INITIAL:
        if (TIMER_MODE(*lvt_of(l, LVT_TIMER)) != TIMER_DEADLINE) {
            *reg_of(l, REG_INITIAL) = value;
            lapic_timer_start(l, now);
        }
        return true;
    case REG_DIVIDE: lapic_timer_divide(l, now, value & 0xb); return true;
    case REG_SELF_IPI:
        if (x2 && !lapic_send_self(l, (uint8_t)value))
            local_error(l, LAPIC_ERROR_SEND_VECTOR);
        return x2;
    default: break;
    }
    if (reg >= REG_LVT_FIRST && reg <= REG_LVT_LAST) {
        write_lvt(l, now, reg - REG_LVT_FIRST, value);
        return true;
    }
    return false;
}

/* ---- faces ---- */

void lapic_mmio(struct lapic *l, uint64_t now, uint32_t offset, unsigned size, bool is_write, uint64_t *value)
{
    unsigned reg = offset >> 4 & 0xff, byte = offset & 0xf;
    lapic_advance(l, now);
    if (is_write) {
        if (size != 4 || byte != 0)
            return;
        if (!write_register(l, now, reg, (uint32_t)*value) && (reg > REG_DIVIDE || reg < REG_ID))
            local_error(l, LAPIC_ERROR_REGISTER);
        return;
    }
    uint32_t whole = 0;
    if (!read_register(l, now, reg, &whole))
        local_error(l, LAPIC_ERROR_REGISTER);
    *value = byte < 4 ? whole >> (8 * byte) : 0;
}

bool lapic_rdmsr(struct lapic *l, uint64_t now, uint32_t index, uint64_t *value)
{
    uint32_t low = 0;
    lapic_advance(l, now);
    if (index == MSR_APIC_BASE) {
        *value = l->base_msr;
        return true;
    }
    if (index == MSR_TSC_DEADLINE) {
        *value = l->tsc_deadline;
        return true;
    }
    if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST || mode_of(l->base_msr) != LAPIC_X2APIC)
        return false;
    if (!read_register(l, now, index - MSR_X2APIC_FIRST, &low))
        return false;
    *value = index - MSR_X2APIC_FIRST == REG_ICR_LOW ? (uint64_t)*reg_of(l, REG_ICR_HIGH) << 32 | low : low;
    return true;
}

/* IA32_APIC_BASE: reserved bits of SDM vol. 3, figure 11-5, the transitions of figure 11-27. */
static bool write_base(struct lapic *l, uint64_t value)
{
    enum lapic_mode from = mode_of(l->base_msr), to = mode_of(value);
    if (value & ~(base_address(l) | BASE_BSP | BASE_EXTD | BASE_ENABLE))
        return false;
    if (!(value & BASE_ENABLE) && (value & BASE_EXTD))
        return false;
    if ((from == LAPIC_OFF && to == LAPIC_X2APIC) || (from == LAPIC_X2APIC && to == LAPIC_XAPIC))
        return false;
    l->base_msr = (value & ~BASE_BSP) | (l->base_msr & BASE_BSP);
    if (to == LAPIC_OFF && from != LAPIC_OFF) {
        reset_registers(l);
    } else {
        if (from == LAPIC_XAPIC && to == LAPIC_X2APIC)
            *reg_of(l, REG_ICR_HIGH) = 0;
        publish(l);
    }
    return true;
}

bool lapic_wrmsr(struct lapic *l, uint64_t now, uint32_t index, uint64_t value)
{
    lapic_advance(l, now);
    if (index == MSR_TSC_DEADLINE) {
        (void)lapic_deadline(l, now, value);
        return true;
    }
    if (index == MSR_APIC_BASE)
        return write_base(l, value);
    if (index < MSR_X2APIC_FIRST || index > MSR_X2APIC_LAST || mode_of(l->base_msr) != LAPIC_X2APIC)
        return false;
    unsigned reg = index - MSR_X2APIC_FIRST;
    if (reg == REG_ICR_LOW) {
        if ((uint32_t)value & ~(ICR_WRITABLE | 0x1000u))
            return false;
        *reg_of(l, REG_ICR_HIGH) = (uint32_t)(value >> 32);
    } else if (value >> 32 || ((uint32_t)value & ~allowed_bits(reg))) {
        return false;
    }
    return write_register(l, now, reg, (uint32_t)value);
}
