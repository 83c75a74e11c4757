/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC of one vCPU, with its xAPIC (MMIO) and x2APIC (MSR) faces (Intel SDM vol. 3, chapter 11), and the set
 * of all of a VM's local APICs, through which messages find their CPUs.
 *
 * Threads. Functions that take a struct lapic are for its own vCPU's thread, without a lock, except lapic_post_*, which
 * any thread may call. What others read of a lapic is atomic (`route_*`, pending, level, mail). apic_set_deliver may be
 * called by any thread; it sets bits and calls set->kick for each target.
 *
 * Time is the host's TSC, given as `now`. The guest's TSC is now + tsc_offset.
 *
 * Use. Before each entry:
 *     lapic_advance(l, now); lapic_take_requests(l); v = lapic_highest_pending(l);
 *     if (v < 0 && lapic_accepts_pic(l)) v = pic_peek(..) (VM lock);
 *     state->irq = IRQ_VALID | v or 0, but for lapic_by_cpu(l) only if v is the PIC's.
 * After each exit, if IRQ_DELIVERED: lapic_accept(l, v) or pic_accept(.., v).
 * Whenever kicked: mail = lapic_take_mail(l, &sipi).
 * Nothing is moved by highest_pending: an interrupt that was offered but not delivered is simply asked for anew.
 *
 * The registers lie in the vCPU's state page (mullion/vcpu.h, apic_mode). What serves the interrupts is decided each
 * time the mode changes: the CPU, in x2APIC mode and software-enabled, where it can; else this model. IRR is in the
 * page only while the CPU does, ISR always: then `serving` and `nested` are not kept up to date, and PPR in the page
 * is.
 */
#ifndef VMM_DEVICES_LAPIC_H
#define VMM_DEVICES_LAPIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/proto/vmm_boot.h"
#include "mullion/regs.h"
#include "mullion/vcpu.h"
#include "vmm/devices/clock.h"
#include "vmm/devices/irq.h"

#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST  0x8ffu
#define MSR_X2APIC_EOI   0x80bu
#define MSR_X2APIC_ICR   0x830u

#define LAPIC_VERSION 0x50014u /* version 0x14, six LVT entries, no EOI-broadcast suppression */

enum lapic_lvt { LVT_TIMER = 0, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

/* Bits of the mail word. */
#define LAPIC_MAIL_INIT      0x1u /* INIT arrived: reset the vCPU to wait-for-SIPI, and call lapic_reset(l, false) */
#define LAPIC_MAIL_SIPI      0x2u /* start-up IPI (after INIT, if both): start at vector * 4096 if waiting for it */
#define LAPIC_MAIL_NMI       0x4u
#define LAPIC_MAIL_EXTINT    0x8u  /* an ExtINT message: ask the PIC */
#define LAPIC_MAIL_ERROR     0x10u /* never handed out: lapic_take_mail turns it into the error interrupt */
#define LAPIC_MAIL_NMI_AGAIN 0x20u /* with NMI: there was more than one */

struct apic_set;

struct lapic {
    /* read by other threads */
    _Atomic uint32_t route_id; /* xAPIC: 8 bits; x2APIC: 32 bits */
    _Atomic uint32_t route_ldr;
    _Atomic uint32_t route_dfr;  /* xAPIC: ~0 flat, else cluster */
    _Atomic uint32_t route_mode; /* enum lapic_mode, with LAPIC_ROUTE_SOFTWARE_ON */
    _Atomic uint32_t mail;       /* LAPIC_MAIL_*; SIPI's vector in 15:8 */
    _Atomic uint32_t errors;     /* ESR bits gathered since the last write to ESR */
    _Atomic uint64_t level[4];   /* which pending or serviced vectors are level-triggered: TMR */
    _Atomic uint64_t *pending;   /* struct vcpu_state's pending[4]: IRR, or what comes into it before the next entry */

    /* own thread only */
    struct apic_set *set;
    uint32_t index; /* vCPU number = initial APIC ID */
    struct vcpu_state *state;
    uint32_t *page; /* state->apic */
    uint64_t base_msr;
    bool by_cpu;          /* the CPU serves the interrupts */
    uint8_t serving;      /* the highest vector in ISR, 0: none */
    uint16_t nested;      /* how many there are */
    uint64_t timer_start; /* host TSC at which it counts from timer_from */
    uint32_t timer_from;  /* the initial count, or what was left of it at a new divisor */
    uint64_t seen;        /* the latest `now` */
    uint64_t tsc_khz;
    uint64_t timer_due;    /* host TSC; CLOCK_NEVER: not running */
    uint64_t tsc_deadline; /* guest TSC; 0: disarmed */
    uint64_t tsc_offset;   /* set it whenever the guest's offset changes, before the guest runs: lapic_set_tsc_offset */
    struct scale to_cycles, to_ticks; /* host TSC <-> LAYOUT_LAPIC_TIMER_HZ */
};

enum lapic_mode { LAPIC_OFF = 0, LAPIC_XAPIC = 1, LAPIC_X2APIC = 2 };
#define LAPIC_ROUTE_MODE        0xffu
#define LAPIC_ROUTE_SOFTWARE_ON 0x100u

struct apic_set {
    struct lapic *cpu[VMM_VCPUS_MAX]; /* all initialised before the first vCPU runs */
    uint32_t count;
    _Atomic uint32_t turn; /* lowest-priority ties go round */
    uint8_t physical_bits; /* of an address; before lapic_init */
    void *context;
    /* Something new for this vCPU (it may be running, asleep, or the caller itself): make it look. Any thread, any lock
     * state. */
    void (*kick)(void *context, unsigned vcpu);
    /* A level-triggered interrupt was ended: take the VM's lock and tell the I/O APIC. Called by a vCPU's thread that
     * does NOT hold the VM's lock. */
    void (*eoi)(void *context, uint8_t vector);
};

/* vCPU 0 is the BSP. Power-on state (SDM 11.4.7.1); enters the set at `index`. */
void lapic_init(struct lapic *l, struct apic_set *set, uint32_t index, struct vcpu_state *state, uint64_t tsc_khz);
/* power_on: everything; otherwise INIT: keeps the APIC ID and IA32_APIC_BASE. Clears pending bits and mail other than
 * SIPI. */
void lapic_reset(struct lapic *l, bool power_on);
/* What firmware leaves on the BSP of a PC: software-enabled, LINT0 = ExtINT (virtual wire), LINT1 = NMI. Others: LINT0
 * masked, LINT1 = NMI. */
void lapic_firmware_state(struct lapic *l);
void lapic_set_tsc_offset(struct lapic *l, uint64_t offset);

/* All of it that the guest can tell, whatever serves its interrupts. Times are the host's. */
#define LAPIC_REGISTERS 64u
struct lapic_saved {
    uint32_t reg[LAPIC_REGISTERS]; /* without IRR and TMR */
    uint64_t irr[4], level[4];
    uint64_t base_msr, timer_start, timer_due, tsc_deadline;
    uint32_t timer_from, mail, errors, ldr, dfr;
};
/* Own thread. The APIC goes on as before. */
void lapic_save(struct lapic *l, struct lapic_saved *out);
/* Could this be the state of that APIC? */
bool lapic_saved_valid(const struct lapic *l, const struct lapic_saved *in);
/* After lapic_init of the same index; what was there before is gone. tsc_offset is set apart from it. */
void lapic_load(struct lapic *l, uint64_t now, const struct lapic_saved *in);

/* True if gpa lies in the xAPIC page and the APIC answers there now. */
static inline bool lapic_decodes(const struct lapic *l, uint64_t gpa)
{
    uint32_t mode = atomic_load_explicit(&l->route_mode, memory_order_relaxed) & LAPIC_ROUTE_MODE;
    return (gpa ^ l->base_msr) >> 12 == 0 && mode == LAPIC_XAPIC; /* base_msr holds nothing above the address */
}
/* offset within the page. Other sizes than 4 read the part asked for; writes of them are dropped. */
void lapic_mmio(struct lapic *l, uint64_t now, uint32_t offset, unsigned size, bool is_write, uint64_t *value);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE, 0x800-0x8ff. False: #GP(0). */
static inline bool lapic_owns_msr(uint32_t index)
{
    return index - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST || index == MSR_TSC_DEADLINE ||
           index == MSR_APIC_BASE;
}
bool lapic_rdmsr(struct lapic *l, uint64_t now, uint32_t index, uint64_t *value);
bool lapic_wrmsr(struct lapic *l, uint64_t now, uint32_t index, uint64_t value);
/* lapic_wrmsr of IA32_TSC_DEADLINE. True: all that comes of it is a new lapic_next_deadline, or an interrupt that is in
 * the page already. */
bool lapic_deadline(struct lapic *l, uint64_t now, uint64_t guest_tsc);

static inline bool lapic_is_level(const struct lapic *l, unsigned vector)
{
    return (atomic_load_explicit(&l->level[vector >> 6], memory_order_relaxed) & (1ull << (vector & 63))) != 0;
}

/* The enable bit of IA32_APIC_BASE. */
static inline bool lapic_on(const struct lapic *l)
{
    return (atomic_load_explicit(&l->route_mode, memory_order_relaxed) & LAPIC_ROUTE_MODE) != LAPIC_OFF;
}
/* In x2APIC mode a write of 0 to MSR_X2APIC_EOI does no more than end the interrupt. */
static inline bool lapic_x2apic(const struct lapic *l)
{
    return (atomic_load_explicit(&l->route_mode, memory_order_relaxed) & LAPIC_ROUTE_MODE) == LAPIC_X2APIC;
}
void lapic_end_of_interrupt(struct lapic *l);
/* Does the same if no other is in service, and no I/O APIC must hear of its end. False: it is not so simple. */
static inline bool lapic_end_only(struct lapic *l)
{
    unsigned vector = l->serving;
    if (l->nested > 1 || lapic_is_level(l, vector))
        return false;
    l->page[0x100 / 4 + 4 * (vector >> 5)] = 0; /* ISR */
    l->serving = 0;
    l->nested = 0;
    return true;
}

/* Of TPR in the APIC's page, which has no more than eight bits. */
static inline uint8_t lapic_page_cr8(const uint32_t *page)
{
    return (uint8_t)page[0x80 / 4] >> 4;
}
static inline uint8_t lapic_cr8(const struct lapic *l)
{
    return lapic_page_cr8(l->page);
}
void lapic_set_cr8(struct lapic *l, uint8_t cr8);

/* Does the CPU deliver this APIC's interrupts and end them by itself? Then: what has been posted goes into the page's
 * IRR. */
static inline bool lapic_by_cpu(const struct lapic *l)
{
    return l->by_cpu;
}
void lapic_take_requests(struct lapic *l);
/* Is there anything that has not come into the page's IRR, or, if the monitor serves, not into ISR? */
static inline uint64_t lapic_posted(const struct lapic *l, unsigned word)
{
    return atomic_load_explicit(&l->pending[word], memory_order_relaxed);
}
static inline bool lapic_any_posted(const struct lapic *l)
{
    return (lapic_posted(l, 0) | lapic_posted(l, 1) | lapic_posted(l, 2) | lapic_posted(l, 3)) != 0;
}
/* EXIT_APIC */
void lapic_written(struct lapic *l, uint32_t offset, uint8_t vector);

static inline bool lapic_others_posted(const struct lapic *l, uint8_t vector)
{
    uint64_t word[4] = {lapic_posted(l, 0), lapic_posted(l, 1), lapic_posted(l, 2), lapic_posted(l, 3)};
    word[vector >> 6] &= ~(1ull << (vector & 63));
    return (word[0] | word[1] | word[2] | word[3]) != 0;
}

/* The vector to deliver next (priority class above PPR), or -1. Does not change anything. */
int lapic_highest_pending(const struct lapic *l);
/* Does TPR alone hold one back? For lapic_highest_pending() < 0. */
bool lapic_held_by_tpr(const struct lapic *l);
/* A write of MSR_X2APIC_ICR, in x2APIC mode, if it sends one vector to one CPU, as most do. False: nothing is done yet.
 */
bool lapic_send_x2apic(struct lapic *l, uint64_t icr);

/* The vector was delivered: IRR -> ISR. A vector that is no longer in IRR is put into ISR all the same: the CPU has
 * taken it. */
static inline void lapic_accept(struct lapic *l, unsigned vector)
{
    atomic_fetch_and(&l->pending[vector >> 6], ~(1ull << (vector & 63)));
    l->page[0x100 / 4 + 4 * (vector >> 5)] |= 1u << (vector & 31); /* ISR */
    l->serving = (uint8_t)vector; /* it was above all the others when it was chosen, and they cannot have risen since */
    l->nested++;
}
/* Is there any pending bit above the current PPR? Cheap test for HLT. */
bool lapic_has_work(const struct lapic *l);
/* May the PIC's INTR reach this CPU now (LINT0 = ExtINT, or the APIC is off and this is the BSP)? */
bool lapic_accepts_pic(const struct lapic *l);
/* LINT1 / platform NMI line. */
void lapic_nmi_line(struct lapic *l);

/* Fires the timer if it is due. */
void lapic_timer_fire(struct lapic *l, uint64_t now);
static inline void lapic_advance(struct lapic *l, uint64_t now)
{
    l->seen = now;
    if (now >= l->timer_due)
        lapic_timer_fire(l, now);
}
/* Host TSC of the timer's next expiry; CLOCK_NEVER. */
static inline uint64_t lapic_next_deadline(const struct lapic *l)
{
    return l->timer_due;
}

/* Takes all mail: LAPIC_MAIL_* bits; *sipi_vector is set if SIPI is among them. Clears it. */
uint32_t lapic_take_mail(struct lapic *l, uint8_t *sipi_vector);

/* Any thread. They do not kick. */
void lapic_post_fixed(struct lapic *l, uint8_t vector, bool level_triggered);
void lapic_post_mail(struct lapic *l, uint32_t mail, uint8_t sipi_vector);

/* Any thread: finds the targets, posts, kicks. No target: dropped. */
void apic_set_deliver(struct apic_set *set, const struct interrupt_message *message);
/* Any thread: does an APIC ask its CPU for this vector? What is true of another CPU may be over by now. */
bool apic_set_asks(const struct apic_set *set, uint8_t vector);

#endif
