// SPDX-License-Identifier: Apache-2.0
/* The devices as a set: reset, saved and loaded. Two machines whose devices are in the same state behave alike,
 * whatever their clocks show; a damaged stream is refused and changes nothing. */
// sources: vmm/devices/*.c vmm/stream.c vmm/memory.c vmm/test/debugexit.c vmm/test/pciserial.c
#include "dev_test.h"
#include "vmm/devices/ioapic.h"
#include "vmm/devices/ivshmem.h"
#include "vmm/devices/layout.h"
#include "vmm/devices/legacy.h"
#include "vmm/devices/pic.h"
#include "vmm/devices/pit.h"
#include "vmm/devices/pm.h"
#include "vmm/devices/rtc.h"
#include "vmm/devices/uart.h"

#define KHZ    2000000u
#define REGION 0x10000u
#define STREAM 16384u

struct world {
    struct bus bus;
    struct clock clock;
    struct device_set devices;
    struct irq_router router;
    struct platform platform;
    struct guest_memory memory;
    uint64_t heard; /* a digest of all that the devices have told others */
    unsigned inputs, resets, offs;
};

static struct world worlds[2];
static struct vmm_boot boot;
static uint64_t seed, shared_page[REGION / 8];

static uint32_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

static void hear(struct world *w, uint64_t what)
{
    w->heard = (w->heard ^ what) * 0x100000001b3ull;
}

static void on_message(void *context, const struct interrupt_message *m)
{
    hear(context, (uint64_t)m->dest << 16 | (uint64_t)m->delivery_mode << 8 | m->vector);
}
static void on_extint(void *context, bool level)
{
    hear(context, 0x100u + level);
}
static size_t on_output(void *context, const uint8_t *bytes, size_t count)
{
    struct world *w = context;
    size_t taken = (w->heard >> 8) % (count + 1);
    for (size_t i = 0; i < taken; i++)
        hear(w, bytes[i]);
    return taken;
}
static size_t on_input(void *context, uint8_t *bytes, size_t count)
{
    struct world *w = context;
    size_t n = (w->heard >> 12) % (count + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)w->inputs++;
    return n;
}
static void on_off(void *context)
{
    ((struct world *)context)->offs++;
}
static void on_reset(void *context)
{
    ((struct world *)context)->resets++;
}
static void on_debug_exit(void *context, uint32_t code)
{
    hear(context, code);
}

/* The device of vmm/shared.c, without a kernel. */
static enum error on_map(void *context, const struct ivshmem *s, uint64_t gpa)
{
    (void)s;
    hear(context, gpa);
    return OK;
}
static void on_unmap(void *context, const struct ivshmem *s, uint64_t gpa)
{
    on_map(context, s, ~gpa);
}
static void on_ring(void *context, const struct vmm_peer *peer, unsigned vector)
{
    hear(context, peer->region * 16u + vector);
}
static void on_wrote(void *context, const struct ivshmem *s, uint64_t offset)
{
    (void)s;
    hear(context, offset);
}
static const struct ivshmem_hooks hooks = {on_map, on_unmap, on_ring, on_wrote};
static unsigned shared_count(const struct vmm_boot *b)
{
    return b->region_count;
}
static enum error shared_init(void *state, const struct platform *p, unsigned n)
{
    return ivshmem_init(state, p->pci, n,
                        &(struct ivshmem_parts){.region = &p->boot->region[n],
                                                .memory = shared_page,
                                                .hooks = &hooks,
                                                .deliver = p->message,
                                                .context = p->context});
}
static void shared_reset(void *state)
{
    ivshmem_reset(state);
}
static bool shared_quiet(void *state)
{
    ivshmem_quiet(state);
    return true;
}
static void shared_resume(void *state)
{
    ivshmem_resume(state);
}
static void shared_polled(void *state, uint64_t bits)
{
    ivshmem_rung(state, bits >> 32 & 7);
}
static void shared_fields(void *state, struct stream *s)
{
    ivshmem_fields(state, s);
}
static void shared_loaded(void *state)
{
    ivshmem_loaded(state);
}
const struct device shared_device = {.name = "shared memory",
                                     .version = 1,
                                     .bytes = sizeof(struct ivshmem),
                                     .wakes = VMM_EVENT_RINGS,
                                     .count = shared_count,
                                     .init = shared_init,
                                     .reset = shared_reset,
                                     .quiet = shared_quiet,
                                     .resume = shared_resume,
                                     .polled = shared_polled,
                                     .fields = shared_fields,
                                     .loaded = shared_loaded};

/* All rows of vmm/devices/table.c, and two devices for tests. */
extern const struct device pci_serial_device, debug_exit_device;
static const struct device *table[DEVICES_MAX];
static uint32_t rows;

static void list_devices(void)
{
    for (rows = 0; rows < device_table_count; rows++)
        table[rows] = device_table[rows];
    table[rows++] = &pci_serial_device;
    table[rows++] = &debug_exit_device;
}

static void make(struct world *w, uint64_t now)
{
    static uint8_t ram[4096] __attribute__((aligned(4096)));
    const char *failed = "";
    memset(w, 0, sizeof *w);
    w->clock = (struct clock){now, KHZ};
    bus_init(&w->bus);
    assert_int_equal(guest_memory_add(&w->memory, 0, sizeof ram, ram), OK);
    assert_int_equal(device_set_place(&w->devices, table, rows, &boot, &failed), OK);
    w->router.pic = device_set_find(&w->devices, &pic_device, 0);
    w->router.ioapic = device_set_find(&w->devices, &ioapic_device, 0);
    w->platform = (struct platform){.boot = &boot,
                                    .memory = &w->memory,
                                    .clock = &w->clock,
                                    .bus = &w->bus,
                                    .pci = device_set_find(&w->devices, &pci_device, 0),
                                    .irq = {irq_router_gsi, &w->router},
                                    .power = {w, on_off, on_reset, on_debug_exit},
                                    .unix_seconds = 1700000000,
                                    .context = w,
                                    .message = on_message,
                                    .extint = on_extint,
                                    .output = on_output,
                                    .input = on_input};
    assert_int_equal(device_set_init(&w->devices, &w->platform, &failed), OK);
}

static int setup(void **state)
{
    (void)state;
    seed = 0x243f6a8885a308d3ull;
    list_devices();
    memset(&boot, 0, sizeof boot);
    boot.options.debug_exit_port = 0xf4;
    boot.options.bench_device = 1;
    boot.region_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        boot.region[i] = (struct vmm_region){.size = REGION, .writable = 1, .peer_count = 2};
        boot.region[i].peer[1] = (struct vmm_peer){.slot = 40, .region = (uint16_t)i};
    }
    make(&worlds[0], 5000000000ull);
    make(&worlds[1], 77001ull); /* it has run for a shorter time than what it will load */
    return 0;
}

/* The same access to both, or to one if the other is NULL. */
struct access {
    unsigned kind, size;
    uint64_t at, value;
    bool write;
    uint64_t ticks;
};

static struct access any_access(void)
{
    static const uint16_t near[] = {0x20,  0xa0,  0x40,  0x40,  0x61, 0x70, 0x70,  0x3f8,
                                    0x3f8, 0xcf8, 0xcfc, 0x600, 0x60, 0x80, 0x4d0, 0xc500};
    static const uint64_t pages[] = {LAYOUT_IOAPIC_BASE,
                                     LAYOUT_ECAM_BASE,
                                     LAYOUT_ECAM_BASE + 0x8000,
                                     LAYOUT_ECAM_BASE + 0x10000,
                                     LAYOUT_ECAM_BASE + 0xf8000,
                                     0xc0000000u,
                                     0xc0001000u,
                                     0xc0010000u,
                                     0xc0011000u};
    struct access a = {.kind = rnd() % 16, .size = 1u << rnd() % 3, .write = rnd() & 1};
    a.value = (uint64_t)rnd() << 32 | rnd();
    if (rnd() % 4 == 0)
        a.value &= 0x1ff;
    if (a.kind < 9) {
        a.at = (uint64_t)near[rnd() % 16] + rnd() % 8;
    } else if (a.kind < 14) {
        a.at = pages[rnd() % 9] + (rnd() & 1 ? rnd() % 0x80 : rnd() % 0x1000);
        a.size = 1u << rnd() % 4;
    }
    a.ticks = rnd() % 16 ? rnd() % 5000 : rnd();
    return a;
}

static uint64_t do_access(struct world *w, const struct access *a)
{
    uint64_t wide = a->value;
    uint32_t value = (uint32_t)a->value;
    if (a->kind < 9) {
        (void)bus_port(&w->bus, (uint16_t)a->at, a->size, a->write, &value);
        wide = value;
    } else if (a->kind < 14) {
        (void)bus_memory(&w->bus, a->at, a->size, a->write, &wide);
    } else if (a->kind == 14) {
        device_set_polled(&w->devices, a->value & 1 ? VMM_EVENT_INPUT : VMM_EVENT_RINGS & a->value, false);
    } else {
        int vector = pic_peek(w->router.pic);
        if (vector >= 0)
            pic_accept(w->router.pic, (uint8_t)vector);
        if (a->write)
            ioapic_eoi(w->router.ioapic, (uint8_t)a->value);
        wide = (uint64_t)(int64_t)vector;
    }
    w->clock.now += a->ticks;
    device_set_advance(&w->devices);
    return wide;
}

static void touch(struct world *w, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        const struct access a = any_access();
        (void)do_access(w, &a);
    }
}

static void alike(unsigned times)
{
    worlds[1].heard = worlds[0].heard = 1;
    worlds[1].inputs = worlds[0].inputs;
    for (unsigned i = 0; i < times; i++) {
        const struct access a = any_access();
        assert_int_equal(do_access(&worlds[0], &a), do_access(&worlds[1], &a));
        uint64_t left[2];
        for (unsigned w = 0; w < 2; w++) {
            uint64_t next = device_set_next_event(&worlds[w].devices);
            left[w] = next == CLOCK_NEVER ? next : next - worlds[w].clock.now;
        }
        assert_int_equal(left[0], left[1]);
        assert_int_equal(worlds[0].heard, worlds[1].heard);
    }
}

static size_t save(struct world *w, uint8_t *bytes, size_t size)
{
    struct stream s;
    stream_save(&s, bytes, size);
    device_set_save(&w->devices, &s);
    return stream_saved(&s);
}

static enum error load(struct world *w, const uint8_t *bytes, size_t size, bool commit)
{
    struct stream s;
    struct stream_section section;
    enum error error = stream_open(&s, bytes, size);
    while (error == OK && stream_next(&s, &section))
        error = device_set_load(&w->devices, &s, &section, commit);
    return error;
}

/* What was saved goes on elsewhere, at another time, as if nothing had been. */
static void saved_and_loaded(void **state)
{
    (void)state;
    static uint8_t bytes[STREAM];
    for (unsigned round = 0; round < 150; round++) {
        touch(&worlds[0], rnd() % 3000);
        touch(&worlds[1], rnd() % 300); /* whatever it was before, it is the other from now on */
        size_t size = save(&worlds[0], bytes, sizeof bytes);
        assert_true(size != 0);
        assert_int_equal(load(&worlds[1], bytes, size, false), OK);
        assert_int_equal(load(&worlds[1], bytes, size, true), OK);
        alike(600);
    }
}

static unsigned differences(const struct stream *a, const struct stream *b, uint32_t length)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < length; i++)
        n += a->bytes[a->at + i] != b->bytes[b->at + i] &&
             i != PCI_CONFIG_BYTES; /* which BARs found room: here the other functions stand elsewhere */
    return n;
}

/* One device after the other, so that none hides behind another: the rest is fresh in both. */
static void each_alone(void **state)
{
    (void)state;
    static uint8_t bytes[STREAM];
    for (unsigned round = 0; round < 4 * rows; round++) {
        setup(NULL);
        seed += round;
        touch(&worlds[0], 2000);
        size_t size = save(&worlds[0], bytes, sizeof bytes);
        make(&worlds[1], 999 + round);
        struct stream s;
        struct stream_section section;
        assert_int_equal(stream_open(&s, bytes, size), OK);
        while (stream_next(&s, &section))
            if (strcmp(section.name, table[round % rows]->name) == 0)
                assert_int_equal(device_set_load(&worlds[1].devices, &s, &section, true), OK);
        /* Saved again, its section is the same, byte for byte. */
        static uint8_t again[STREAM];
        size_t size2 = save(&worlds[1], again, sizeof again);
        struct stream t;
        struct stream_section other;
        assert_int_equal(stream_open(&s, bytes, size), OK);
        assert_int_equal(stream_open(&t, again, size2), OK);
        while (stream_next(&s, &section) && stream_next(&t, &other)) {
            assert_string_equal(section.name, other.name);
            if (strcmp(section.name, table[round % rows]->name) == 0)
                assert_int_equal(differences(&s, &t, section.length), 0);
        }
    }
}

/* After a reset a machine is as one that has just been made. */
static void reset_is_new(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        touch(&worlds[0], 2000);
        device_set_reset(&worlds[0].devices);
        /* The clock's time of day goes on: it is set back by hand. */
        struct rtc *rtc = device_set_find(&worlds[0].devices, &rtc_device, 0);
        rtc->base_seconds = 1700000000;
        rtc->base_tick = worlds[0].clock.now;
        rtc->update_seen = rtc->periodic_seen = 0;
        make(&worlds[1], 1 + rnd());
        alike(500);
    }
}

/* The time of day survives a reset. */
static void reset_keeps_the_time(void **state)
{
    (void)state;
    struct world *w = &worlds[0];
    w->clock.now += 3600ull * KHZ * 1000;
    device_set_advance(&w->devices);
    outb(&w->bus, 0x70, 4);
    uint8_t hour = inb(&w->bus, 0x71);
    device_set_reset(&w->devices);
    outb(&w->bus, 0x70, 4);
    assert_int_equal(inb(&w->bus, 0x71), hour);
    outb(&w->bus, 0x70, 0x15);
    assert_int_equal(inb(&w->bus, 0x71), 639 & 0xff);
}

static void digest_is(struct world *w, const uint8_t *before, size_t size)
{
    static uint8_t now[STREAM];
    assert_int_equal(save(w, now, sizeof now), size);
    assert_memory_equal(now, before, size);
}

/* Any damage is seen before anything is changed. */
static void damaged_streams(void **state)
{
    (void)state;
    static uint8_t good[STREAM], bad[STREAM], before[STREAM];
    touch(&worlds[0], 3000);
    touch(&worlds[1], 3000);
    size_t size = save(&worlds[0], good, sizeof good), other = save(&worlds[1], before, sizeof before);
    for (unsigned i = 0; i < 20000; i++) {
        memcpy(bad, good, size);
        size_t length = size;
        if (rnd() % 4 == 0)
            length = rnd() % size;
        else
            for (unsigned n = 1 + rnd() % 3; n > 0; n--)
                bad[rnd() % size] ^= (uint8_t)(1 + rnd() % 255);
        if (length == size && memcmp(bad, good, size) == 0)
            continue;
        struct stream s;
        assert_int_equal(stream_open(&s, bad, length), E_ARG);
    }
    digest_is(&worlds[1], before, other);
}

/* What was made with a right checksum may still be nonsense: refused, or harmless. */
static void forged_streams(void **state)
{
    (void)state;
    static uint8_t bytes[STREAM], before[STREAM];
    unsigned refused = 0, taken = 0;
    for (unsigned i = 0; i < 6000; i++) {
        if (i % 300 == 0)
            setup(NULL);
        seed += i;
        struct stream s, forged;
        struct stream_section section;
        size_t size = save(&worlds[0], bytes, sizeof bytes);
        static uint8_t copy[STREAM];
        unsigned which = rnd() % (rows + 1), n = 0;
        stream_save(&forged, copy, sizeof copy);
        assert_int_equal(stream_open(&s, bytes, size), OK);
        while (stream_next(&s, &section)) {
            static uint8_t contents[4096];
            assert_true(section.length <= sizeof contents);
            memcpy(contents, s.bytes + s.at, section.length);
            if (n++ == which && section.length > 0)
                for (unsigned k = 1 + rnd() % 4; k > 0; k--)
                    contents[rnd() % section.length] = (uint8_t)rnd();
            stream_begin(&forged, section.name, section.number, section.version);
            stream_bytes(&forged, contents, section.length);
            stream_end(&forged);
        }
        size_t length = stream_saved(&forged);
        size_t kept = save(&worlds[1], before, sizeof before);
        if (load(&worlds[1], copy, length, false) == OK) {
            assert_int_equal(load(&worlds[1], copy, length, true), OK);
            touch(&worlds[1], 40);
            taken++;
        } else {
            digest_is(&worlds[1], before, kept);
            refused++;
        }
        touch(&worlds[0], 20);
    }
    assert_true(refused > 200 && taken > 200);
}

static void unknown_sections(void **state)
{
    (void)state;
    static uint8_t bytes[STREAM];
    struct stream s;
    for (unsigned i = 0; i < 4; i++) {
        stream_save(&s, bytes, sizeof bytes);
        stream_begin(&s, i == 0 ? "floppy" : "PIT", i == 1, i == 2 ? 1 : 2);
        if (i == 3)
            stream_bytes(&s, bytes, 3); /* too short */
        stream_end(&s);
        size_t size = stream_saved(&s);
        assert_int_equal(load(&worlds[1], bytes, size, true), i < 3 ? E_UNSUPPORTED : E_ARG);
    }
    stream_save(&s, bytes, 100); /* too small for all */
    device_set_save(&worlds[0].devices, &s);
    assert_int_equal(stream_saved(&s), 0);
}

/* While the devices are quiet a ring from outside is kept, and delivered afterwards. */
static void quiet_and_resume(void **state)
{
    (void)state;
    struct world *w = &worlds[0];
    struct ivshmem *s = device_set_find(&w->devices, &shared_device, 1);
    assert_non_null(s);
    assert_true(device_set_quiet(&w->devices));
    ivshmem_rung(s, 3);
    uint64_t value = 0;
    assert_true(bus_memory(&w->bus, 0xc0200000u + IVSHMEM_STATUS, 4, false, &value));
    assert_int_equal(value, 0);
    device_set_resume(&w->devices);
    assert_true(bus_memory(&w->bus, 0xc0200000u + IVSHMEM_STATUS, 4, false, &value));
    assert_int_equal(value, 1);
}

static unsigned many(const struct vmm_boot *b)
{
    (void)b;
    return DEVICES_MAX + 1;
}
static enum error no_init(void *state, const struct platform *p, unsigned number)
{
    (void)state, (void)p, (void)number;
    return E_DEAD;
}

static void sets_are_bounded(void **state)
{
    (void)state;
    static struct device_set set;
    const char *failed = "";
    const struct device too_many = {.name = "many", .count = many, .init = no_init};
    const struct device too_large = {.name = "large", .bytes = DEVICE_LARGEST + 1, .init = no_init};
    const struct device *list[] = {&too_many};
    assert_int_equal(device_set_place(&set, list, 1, &boot, &failed), E_QUOTA);
    memset(&set, 0, sizeof set);
    list[0] = &too_large;
    assert_int_equal(device_set_place(&set, list, 1, &boot, &failed), E_QUOTA);
    assert_string_equal(failed, "large");
    assert_null(device_set_find(&worlds[0].devices, &too_large, 0));
}

/* Each device that something outside completes for has a bit of its own in the vCPUs' events. */
static unsigned done[3], done_by;
static void on_completed(void *state, unsigned vcpu)
{
    done[*(unsigned *)state]++;
    done_by = vcpu;
}
static enum error numbered(void *state, const struct platform *p, unsigned number)
{
    (void)p;
    *(unsigned *)state = number;
    return OK;
}
static unsigned three(const struct vmm_boot *b)
{
    (void)b;
    return 3;
}
static void test_completions(void **state)
{
    (void)state;
    static const struct device disk = {
        .name = "disk", .bytes = sizeof(unsigned), .count = three, .init = numbered, .completed = on_completed};
    static const struct device other = {.name = "other", .init = numbered, .bytes = sizeof(unsigned)};
    static const struct device *const table[] = {&other, &disk};
    static struct device_set set;
    static const struct platform platform;
    const char *failed;
    assert_int_equal(device_set_place(&set, table, 2, &boot, &failed), OK);
    assert_int_equal(device_set_init(&set, &platform, &failed), OK);
    assert_int_equal(device_set_completion(&set, &other, 0), 0);
    assert_int_equal(device_set_completion(&set, &disk, 3), 0);
    uint64_t bit[3], all = 0;
    for (unsigned n = 0; n < 3; n++) {
        bit[n] = device_set_completion(&set, &disk, n);
        assert_true(bit[n] != 0 && (bit[n] & (bit[n] - 1)) == 0 && (all & bit[n]) == 0);
        all |= bit[n];
    }
    device_set_completed(&set, 7, bit[1]);
    assert_true(done[0] == 0 && done[1] == 1 && done[2] == 0 && done_by == 7);
    device_set_completed(&set, 0, ~0ull & ~bit[1]); /* bits that belong to no device do nothing */
    assert_true(done[0] == 1 && done[1] == 1 && done[2] == 1 && done_by == 0);
}

/* Where a PC has them, how wide an access they take, and after which the next event is looked for again. */
static void where_they_are(void **state)
{
    (void)state;
    static const struct {
        uint16_t first, last, flags;
    } port[] = {
        {0x20, 0x21, 1},
        {0x40, 0x43, 1 | BUS_TIMERS},
        {0x60, 0x60, 1},
        {0x61, 0x61, 1 | BUS_TIMERS},
        {0x64, 0x64, 1},
        {0x70, 0x71, 1 | BUS_TIMERS},
        {0x80, 0x8f, 1},
        {0x92, 0x92, 1},
        {0xa0, 0xa1, 1},
        {0xf4, 0xf7, 4}, /* the debug-exit port */
        {0x3f8, 0x3ff, 1},
        {0x4d0, 0x4d1, 1},
        {0x600, 0x603, 2 | BUS_TIMERS}, /* PM1a events, control, the timer, GPE0: the FADT says so */
        {0x604, 0x605, 2 | BUS_TIMERS},
        {0x608, 0x60b, 4},
        {0x620, 0x623, 1},
        {0xcf8, 0xcff, 4},
    };
    const struct bus *bus = &worlds[0].bus;
    for (unsigned i = 0; i < sizeof port / sizeof port[0] && i < bus->ports; i++) {
        assert_int_equal(bus->port[i].first, port[i].first);
        assert_int_equal(bus->port[i].last, port[i].last);
        assert_int_equal(bus->port[i].flags, port[i].flags);
    }
    assert_int_equal(bus->ports, sizeof port / sizeof port[0]);
    assert_int_equal(bus->bytes, 1);
    assert_int_equal(bus->byte[0].first, 0xcf9); /* the reset register */
    static const struct {
        uint64_t first, last;
        uint16_t widest;
    } memory[] = {{0xe0000000, 0xe00fffff, 4}, {0xfec00000, 0xfec00fff, 4}};
    unsigned n = 0;
    for (unsigned i = 0; i < bus->memories; i++) {
        if (bus->memory[i].first < 0xe0000000)
            continue; /* a BAR */
        assert_true(n < 2);
        assert_int_equal(bus->memory[i].first, memory[n].first);
        assert_int_equal(bus->memory[i].last, memory[n].last);
        assert_int_equal(bus->memory[i].flags & BUS_WIDTH, memory[n].widest);
        n++;
    }
    assert_int_equal(n, 2);
}

/* The set's next event is the first of all; an advance reaches each device that has any. */
static uint64_t events[3];
static unsigned advances[3];
static uint64_t event_of(const void *state)
{
    return events[*(const unsigned *)state];
}
static void advanced(void *state)
{
    advances[*(unsigned *)state]++;
}
static void test_next_event(void **state)
{
    (void)state;
    static const struct device timer = {.name = "timer",
                                        .bytes = sizeof(unsigned),
                                        .count = three,
                                        .init = numbered,
                                        .next_event = event_of,
                                        .advance = advanced};
    static const struct device other = {.name = "other", .init = numbered, .bytes = sizeof(unsigned)};
    static const struct device *const table[] = {&other, &timer};
    static struct device_set set;
    static const struct platform platform;
    const char *failed;
    assert_int_equal(device_set_place(&set, table, 2, &boot, &failed), OK);
    assert_int_equal(device_set_init(&set, &platform, &failed), OK);
    events[0] = events[1] = events[2] = CLOCK_NEVER;
    assert_int_equal(device_set_next_event(&set), CLOCK_NEVER);
    for (unsigned n = 0; n < 3; n++) {
        events[0] = events[1] = events[2] = 900;
        events[n] = 700;
        assert_int_equal(device_set_next_event(&set), 700);
        events[n] = CLOCK_NEVER;
        assert_int_equal(device_set_next_event(&set), 900);
    }
    device_set_advance(&set);
    assert_true(advances[0] == 1 && advances[1] == 1 && advances[2] == 1);
}

/* A section with one number changed: is it taken? */
static bool taken_with(const char *name, unsigned offset, unsigned size, uint64_t value)
{
    static uint8_t bytes[STREAM], copy[STREAM], contents[4096];
    struct stream s, forged;
    struct stream_section section;
    size_t saved = save(&worlds[0], bytes, sizeof bytes);
    stream_save(&forged, copy, sizeof copy);
    assert_int_equal(stream_open(&s, bytes, saved), OK);
    while (stream_next(&s, &section)) {
        memcpy(contents, s.bytes + s.at, section.length);
        if (strcmp(section.name, name) == 0) {
            assert_true(offset + size <= section.length);
            memcpy(contents + offset, &value, size);
        }
        stream_begin(&forged, section.name, section.number, section.version);
        stream_bytes(&forged, contents, section.length);
        stream_end(&forged);
    }
    return load(&worlds[1], copy, stream_saved(&forged), false) == OK;
}

/* What no state can have, in each number that is used as an index, a length or a mode: the last that is good, and the
 * first that is not. Offsets are those of the fields in their order. */
static void each_number_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned offset, size;
        uint64_t good, bad;
    } row[] = {
        {"8259", 5, 1, 0xf8, 0x07},
        {"8259", 6, 1, 4, 5},
        {"8259", 7, 1, 7, 8},
        {"8259", 8, 1, 1, 2},
        {"8259", 16 + 5, 1, 0xf8, 1},
        {"8259", 16 + 6, 1, 4, 5},
        {"8259", 16 + 7, 1, 7, 8},
        {"8259", 31, 1, 1, 2},
        {"I/O APIC", 0, 4, 15, 16},
        {"I/O APIC", 8, 4, 0xffffff, 0x1000000},
        {"I/O APIC", 12, 8, 0xff0000000001efff, 0x1000},
        {"I/O APIC", 12 + 23 * 8, 8, 0xff0000000001efff, 0x20000},
        {"PIT", 16, 4, 65536, 65537},
        {"PIT", 16, 4, 2, 1},
        {"PIT", 22, 1, 5, 6},
        {"PIT", 23, 1, 3, 4},
        {"PIT", 26, 1, 2, 3},
        {"PIT", 2 * 34 + 16, 4, 65536, 65537},
        {"PIT", 2 * 34 + 22, 1, 5, 6},
        {"PIT", 102 + 18 + 8, 4, PIT_OWED_MAX, PIT_OWED_MAX + 1},
        {"RTC", 128, 1, 127, 128},
        {"RTC", 133, 8, 0xfffffffffff, 0x100000000000},
        {"RTC", 133, 8, 0 - 0xfffffffffffull, 0 - 0x100000000000ull},
        {"RTC", 174, 4, RTC_OWED_MAX, RTC_OWED_MAX + 1},
        {"serial port", 32, 1, 15, 16},
        {"serial port", 33, 1, 16, 17},
        {"serial port", 34, 1, 15, 16},
        {"serial port", 35, 1, 16, 17},
        {"serial port", 45, 1, 0, 1},
    };
    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        assert_true(taken_with(row[i].name, row[i].offset, row[i].size, row[i].good));
        assert_false(taken_with(row[i].name, row[i].offset, row[i].size, row[i].bad));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(where_they_are, setup),
        cmocka_unit_test_setup(each_number_is_checked, setup),
        cmocka_unit_test_setup(saved_and_loaded, setup),
        cmocka_unit_test_setup(each_alone, setup),
        cmocka_unit_test_setup(reset_is_new, setup),
        cmocka_unit_test_setup(reset_keeps_the_time, setup),
        cmocka_unit_test_setup(damaged_streams, setup),
        cmocka_unit_test_setup(forged_streams, setup),
        cmocka_unit_test_setup(unknown_sections, setup),
        cmocka_unit_test_setup(quiet_and_resume, setup),
        cmocka_unit_test(test_completions),
        cmocka_unit_test(test_next_event),
        cmocka_unit_test_setup(sets_are_bounded, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
