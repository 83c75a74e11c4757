// SPDX-License-Identifier: Apache-2.0
/*
 * The 8259A pair; see pic.h.
 *
 * 0x20/0xa0 write: ICW1 (bit 4), OCW3 (bit 3), OCW2. Read: IRR or ISR, or the poll byte.
 * 0x21/0xa1 write: ICW2..4 after ICW1, else the mask. Read: the mask.
 * 0x4d0/0x4d1: edge/level control; inputs 0, 1, 2, 8, 13 are always edge-triggered.
 *
 * The cascade is modelled as a wire: the master's request bit 2 is the slave's output.
 */
#include "vmm/devices/pic.h"

#include "lib/string.h"

#define ICW1_ICW4   0x01u
#define ICW1_SINGLE 0x02u
#define ICW1        0x10u
#define ICW4_AEOI   0x02u
#define ICW4_SFNM   0x10u
#define OCW3        0x08u
#define CASCADE     2u

static const uint8_t elcr_writable[2] = {0xf8, 0xde};

/* The input of `set` with the highest priority; -1: none. `lowest` comes last. */
static int highest(const struct pic_chip *c, uint8_t set)
{
    for (unsigned i = 1; i <= 8; i++) {
        unsigned input = (c->lowest + i) & 7;
        if (set >> input & 1)
            return (int)input;
    }
    return -1;
}

static unsigned rank(const struct pic_chip *c, int input)
{
    return ((unsigned)input - c->lowest - 1) & 7;
}

/* The input that this chip asks for now; -1: none. */
static int request(const struct pic *pic, unsigned n)
{
    const struct pic_chip *c = &pic->chip[n];
    int wanted = highest(c, c->irr & (uint8_t)~c->imr);
    if (wanted < 0 || c->icw_step)
        return -1;
    uint8_t blocking = c->isr;
    if (c->special_mask)
        blocking &= (uint8_t)~c->imr;
    if (c->special_nested && n == 0)
        blocking &= (uint8_t) ~(1u << CASCADE);
    int serving = highest(c, blocking);
    return serving < 0 || rank(c, wanted) < rank(c, serving) ? wanted : -1;
}

static void update(struct pic *pic)
{
    struct pic_chip *master = &pic->chip[0];
    if (request(pic, 1) >= 0)
        master->irr |= 1u << CASCADE;
    else
        master->irr &= (uint8_t) ~(1u << CASCADE);
    bool output = request(pic, 0) >= 0;
    if (output != atomic_load_explicit(&pic->output, memory_order_relaxed)) {
        atomic_store_explicit(&pic->output, output, memory_order_release);
        if (pic->intr)
            pic->intr(pic->context, output);
    }
}

void pic_set(struct pic *pic, unsigned irq, bool level)
{
    if (irq >= 16 || irq == CASCADE)
        return;
    struct pic_chip *c = &pic->chip[irq >> 3];
    uint8_t bit = (uint8_t)(1u << (irq & 7));
    if (level) {
        if ((c->elcr & bit) || !(c->lines & bit))
            c->irr |= bit;
        c->lines |= bit;
    } else {
        if (c->elcr & bit)
            c->irr &= (uint8_t)~bit;
        c->lines &= (uint8_t)~bit;
    }
    update(pic);
}

enum irq_fate pic_fate(const struct pic *pic, unsigned irq)
{
    const struct pic_chip *c = &pic->chip[irq >> 3 & 1];
    uint8_t bit = (uint8_t)(1u << (irq & 7));
    if (c->imr & bit)
        return IRQ_MASKED;
    return c->irr & bit ? IRQ_WAITS : IRQ_TAKEN;
}

int pic_peek(struct pic *pic)
{
    int input = request(pic, 0);
    if (input < 0)
        return -1;
    if (input != CASCADE)
        return pic->chip[0].base + input;
    int second = request(pic, 1);
    return second < 0 ? -1 : pic->chip[1].base + second;
}

/* INTA reaches this chip for that input. */
static void acknowledge(struct pic_chip *c, unsigned input)
{
    uint8_t bit = (uint8_t)(1u << input);
    if (!(c->elcr & bit))
        c->irr &= (uint8_t)~bit;
    if (!c->auto_eoi)
        c->isr |= bit;
    else if (c->rotate_on_aeoi)
        c->lowest = (uint8_t)input;
}

void pic_accept(struct pic *pic, uint8_t vector)
{
    /* The request may have gone since it was offered. The guest's handler runs all the same and will end it, so it
     * counts as in service. */
    unsigned input = vector & 7;
    if ((vector & 0xf8) == pic->chip[0].base && input != CASCADE) {
        acknowledge(&pic->chip[0], input);
    } else if ((vector & 0xf8) == pic->chip[1].base) {
        acknowledge(&pic->chip[0], CASCADE);
        acknowledge(&pic->chip[1], input);
    }
    update(pic);
}

uint8_t pic_inta(struct pic *pic)
{
    int input = request(pic, 0);
    uint8_t vector;
    if (input < 0) {
        vector = pic->chip[0].base | 7;
    } else if (input != CASCADE) {
        vector = (uint8_t)(pic->chip[0].base + input);
        acknowledge(&pic->chip[0], (unsigned)input);
    } else {
        int second = request(pic, 1);
        acknowledge(&pic->chip[0], CASCADE);
        vector = (uint8_t)(pic->chip[1].base + (second < 0 ? 7 : second));
        if (second >= 0)
            acknowledge(&pic->chip[1], (unsigned)second);
    }
    update(pic);
    return vector;
}

static void end_of_interrupt(struct pic_chip *c, int input, bool rotate)
{
    if (input < 0)
        return;
    c->isr &= (uint8_t) ~(1u << input);
    if (rotate)
        c->lowest = (uint8_t)input;
}

static void write_ocw2(struct pic_chip *c, uint8_t value)
{
    int in_service = highest(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr);
    switch (value >> 5) {
    case 0: c->rotate_on_aeoi = false; break;
    case 1: end_of_interrupt(c, in_service, false); break;
    case 3: end_of_interrupt(c, value & 7, false); break;
    case 4: c->rotate_on_aeoi = true; break;
    case 5: end_of_interrupt(c, in_service, true); break;
    case 6: c->lowest = value & 7; break;
    case 7: end_of_interrupt(c, value & 7, true); break;
    default: break;
    }
}

static void write_even(struct pic_chip *c, uint8_t value)
{
    if (value & ICW1) {
        c->icw4_needed = value & ICW1_ICW4;
        c->single = value & ICW1_SINGLE;
        c->imr = c->isr = 0;
        c->irr &= c->elcr & c->lines; /* edges are forgotten; level-triggered lines still ask */
        c->lowest = 7;
        c->special_mask = c->special_nested = c->auto_eoi = c->rotate_on_aeoi = c->read_isr = c->poll = false;
        c->icw_step = 2;
    } else if (value & OCW3) {
        if (value & 0x04)
            c->poll = true;
        if (value & 0x02)
            c->read_isr = value & 0x01;
        if (value & 0x40)
            c->special_mask = value & 0x20;
    } else {
        write_ocw2(c, value);
    }
}

/* The step that follows ICW3, or ICW2 where there is one chip: 0 when all has been written. */
static uint8_t behind_icw3(const struct pic_chip *c)
{
    return c->icw4_needed ? 4 : 0;
}

static void write_odd(struct pic_chip *c, uint8_t value)
{
    switch (c->icw_step) {
    case 2:
        c->base = value & 0xf8;
        c->icw_step = c->single ? behind_icw3(c) : 3;
        break;
    case 3: /* how the chips are wired is fixed */ c->icw_step = behind_icw3(c); break;
    case 4:
        c->auto_eoi = value & ICW4_AEOI;
        c->special_nested = value & ICW4_SFNM;
        c->icw_step = 0;
        break;
    default: c->imr = value; break;
    }
}

static uint8_t read_even(struct pic *pic, unsigned n)
{
    struct pic_chip *c = &pic->chip[n];
    if (!c->poll)
        return c->read_isr ? c->isr : c->irr;
    c->poll = false;
    int input = request(pic, n);
    if (input < 0)
        return 0;
    acknowledge(c, (unsigned)input);
    update(pic);
    return (uint8_t)(0x80 | input);
}

static void pic_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pic *pic = device;
    unsigned n = port >> 7 & 1; /* 0x20 or 0xa0 */
    (void)size;
    if (!is_write) {
        *value = port & 1 ? pic->chip[n].imr : read_even(pic, n);
        return;
    }
    if (port & 1)
        write_odd(&pic->chip[n], (uint8_t)*value);
    else
        write_even(&pic->chip[n], (uint8_t)*value);
    update(pic);
}

static void elcr_port(void *device, uint16_t port, unsigned size, bool is_write, uint32_t *value)
{
    struct pic *pic = device;
    struct pic_chip *c = &pic->chip[port & 1];
    (void)size;
    if (!is_write) {
        *value = c->elcr;
        return;
    }
    c->elcr = (uint8_t)*value & elcr_writable[port & 1];
    c->irr = (c->irr & (uint8_t)~c->elcr) | (c->lines & c->elcr);
    update(pic);
}

static void reset(void *state)
{
    struct pic *pic = state;
    memset(pic->chip, 0, sizeof pic->chip);
    for (unsigned n = 0; n < 2; n++) {
        pic->chip[n].lowest = 7;
        pic->chip[n].imr = 0xff; /* as firmware leaves them: set up, nothing wanted yet */
        pic->chip[n].base = n ? 0x70 : 0x08;
    }
    update(pic);
}

enum error pic_init(struct pic *pic, struct bus *bus, void (*intr)(void *context, bool level), void *context)
{
    memset(pic, 0, sizeof *pic);
    pic->intr = intr;
    pic->context = context;
    reset(pic);
    enum error e = bus_add_ports(bus, 0x20, 0x21, 1, pic_port, pic);
    if (e == OK)
        e = bus_add_ports(bus, 0xa0, 0xa1, 1, pic_port, pic);
    if (e == OK)
        e = bus_add_ports(bus, 0x4d0, 0x4d1, 1, elcr_port, pic);
    return e;
}

static enum error init(void *state, const struct platform *p, unsigned number)
{
    (void)number;
    return pic_init(state, p->bus, p->extint, p->context);
}

static void fields(void *state, struct stream *s)
{
    struct pic *pic = state;
    for (unsigned n = 0; n < 2; n++) {
        struct pic_chip *c = &pic->chip[n];
        STREAM_FIELD(s, c->irr);
        STREAM_FIELD(s, c->imr);
        STREAM_FIELD(s, c->isr);
        STREAM_FIELD(s, c->lines);
        STREAM_FIELD(s, c->elcr);
        STREAM_FIELD(s, c->base);
        STREAM_FIELD(s, c->icw_step);
        STREAM_FIELD(s, c->lowest);
        stream_bool(s, &c->icw4_needed);
        stream_bool(s, &c->single);
        stream_bool(s, &c->auto_eoi);
        stream_bool(s, &c->rotate_on_aeoi);
        stream_bool(s, &c->special_mask);
        stream_bool(s, &c->special_nested);
        stream_bool(s, &c->read_isr);
        stream_bool(s, &c->poll);
    }
}

static bool valid(const void *state)
{
    const struct pic *pic = state;
    for (unsigned n = 0; n < 2; n++)
        if (pic->chip[n].lowest > 7 || pic->chip[n].icw_step > 4 || (pic->chip[n].base & 7) != 0)
            return false;
    return true;
}

static void loaded(void *state)
{
    update(state);
}

const struct device pic_device = {.name = "8259",
                                  .version = 1,
                                  .bytes = sizeof(struct pic),
                                  .init = init,
                                  .reset = reset,
                                  .fields = fields,
                                  .valid = valid,
                                  .loaded = loaded};
