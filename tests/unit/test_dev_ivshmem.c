// SPDX-License-Identifier: Apache-2.0
/* The shared-memory function: registers, doorbells, the memory's BAR on its way through the guest's addresses. */
// sources: vmm/devices/bus.c vmm/stream.c vmm/memory.c vmm/devices/pci.c vmm/devices/msix.c vmm/devices/ivshmem.c vmm/devices/irq.c vmm/devices/ioapic.c vmm/devices/pic.c
#include "dev_test.h"
#include "vmm/devices/ivshmem.h"

#define REGISTERS 0xc0200000ull
#define MSIX      0xc0201000ull
#define MEMORY    0xc4000000ull
#define SIZE      0x4000ull
#define DEVFN     (2u << 3) /* of region 1 */

static struct bus bus;
static struct pci pci;
static struct lines lines;
static struct ivshmem s;
static struct vmm_region region;
static _Alignas(16) uint8_t memory[SIZE];
static uint64_t mapped; /* where; 0: nowhere */
static unsigned maps, rings, sent, told;
static enum error refusal;
static unsigned rung_slot, rung_region, rung_vector;
static uint8_t sent_vector;

/* Which locks are held, if the test watches them. */
static bool watched, vm_held, own_held;

static enum error on_map(void *context, const struct ivshmem *from, uint64_t gpa)
{
    assert_ptr_equal(context, &lines);
    assert_ptr_equal(from, &s);
    assert_int_equal(mapped, 0);
    maps++;
    if (refusal == OK)
        mapped = gpa;
    return refusal;
}

static void on_unmap(void *context, const struct ivshmem *from, uint64_t gpa)
{
    (void)context, (void)from;
    assert_int_equal(mapped, gpa);
    mapped = 0;
}

static void on_ring(void *context, const struct vmm_peer *peer, unsigned vector)
{
    (void)context;
    assert_true(!watched || (!vm_held && !own_held)); /* it is a system call */
    rings++;
    rung_slot = peer->slot;
    rung_region = peer->region;
    rung_vector = vector;
}

static void on_wrote(void *context, const struct ivshmem *from, uint64_t offset)
{
    (void)context, (void)from;
    assert_int_equal(offset, 8);
    told++;
}

static void deliver(void *context, const struct interrupt_message *message)
{
    (void)context;
    assert_true(!watched || own_held);
    sent++;
    sent_vector = message->vector;
}

static const struct ivshmem_hooks hooks = {on_map, on_unmap, on_ring, on_wrote};

static void build(bool writable)
{
    const struct irq_sink irq = {.gsi = lines_gsi, .context = &lines};
    region = (struct vmm_region){.name = "mail",
                                 .size = SIZE,
                                 .writable = writable,
                                 .number = 1,
                                 .peer_count = 4,
                                 .peer = {{40, 3}, {0, 0}, {0, 0}, {43, 1}}};
    memset(memory, 0, sizeof memory);
    mapped = 0;
    maps = rings = sent = told = 0;
    refusal = OK;
    bus_init(&bus);
    assert_int_equal(pci_init(&pci, &bus, &irq), OK);
    assert_int_equal(
        ivshmem_init(&s, &pci, 1,
                     &(struct ivshmem_parts){
                         .region = &region, .memory = memory, .hooks = &hooks, .deliver = deliver, .context = &lines}),
        OK);
}

static int setup(void **state)
{
    (void)state;
    build(true);
    return 0;
}

static uint32_t rd(unsigned offset)
{
    outl(&bus, 0xcf8, 0x80000000u | DEVFN << 8 | offset);
    return inl(&bus, 0xcfc);
}

static void wr(unsigned offset, uint32_t value)
{
    outl(&bus, 0xcf8, 0x80000000u | DEVFN << 8 | offset);
    outl(&bus, 0xcfc, value);
}

static uint64_t look(uint64_t at, unsigned size)
{
    uint64_t v = 0;
    (void)bus_memory(&bus, at, size, false, &v);
    return v;
}

static void put(uint64_t at, unsigned size, uint64_t v)
{
    (void)bus_memory(&bus, at, size, true, &v);
}

static void test_identity(void **state)
{
    (void)state;
    assert_int_equal(rd(0), 0x11101af4);
    assert_int_equal(rd(8), 0x05000001);
    assert_int_equal(rd(0x3c) >> 8, 0); /* no INTx */
    assert_int_equal(rd(0x10), REGISTERS);
    assert_int_equal(rd(0x14), MSIX);
    assert_int_equal(rd(0x18), MEMORY | 0xc);
    assert_int_equal(rd(0x1c), 0);
    assert_int_equal(mapped, MEMORY); /* it decodes from the start */
    wr(4, 0);
    assert_int_equal(mapped, 0);
    static const uint32_t bits[] = {0xffffff00, 0xfffff000, (uint32_t) ~(SIZE - 1) | 0xc, 0xffffffff, 0, 0};
    for (unsigned i = 0; i < 6; i++) {
        wr(0x10 + 4 * i, 0xffffffff);
        assert_int_equal(rd(0x10 + 4 * i), bits[i]);
    }
}

static void test_registers(void **state)
{
    (void)state;
    assert_int_equal(look(REGISTERS + IVSHMEM_NUMBER, 4), 1);
    put(REGISTERS + IVSHMEM_NUMBER, 4, 7);
    assert_int_equal(look(REGISTERS + IVSHMEM_NUMBER, 4), 1);
    put(REGISTERS + IVSHMEM_MASK, 4, 1);
    assert_int_equal(look(REGISTERS + IVSHMEM_MASK, 4), 1);
    assert_int_equal(look(REGISTERS + IVSHMEM_DOORBELL, 4), 0);
    ivshmem_rung(&s, 5); /* MSI-X is off */
    assert_int_equal(look(REGISTERS + IVSHMEM_STATUS, 4), 1);
    assert_int_equal(look(REGISTERS + IVSHMEM_STATUS, 4), 0);
    ivshmem_rung(&s, VMM_REGION_VECTORS);
    assert_int_equal(look(REGISTERS + IVSHMEM_STATUS, 4), 0);
    for (unsigned at = 16; at < 256; at += 4) {
        put(REGISTERS + at, 4, 0xffffffff);
        assert_int_equal(look(REGISTERS + at, 4), 0);
    }
    put(REGISTERS + IVSHMEM_DOORBELL, 2, 0);
    put(REGISTERS + IVSHMEM_NUMBER, 8, 0);
    assert_int_equal(rings, 0);
    assert_int_equal(look(REGISTERS, 8), 0);
}

static void ring(uint32_t value)
{
    put(REGISTERS + IVSHMEM_DOORBELL, 4, value);
}

static void test_doorbells(void **state)
{
    (void)state;
    ring(0 << 16 | 6);
    assert_int_equal(rings, 1);
    assert_int_equal(rung_slot, 40);
    assert_int_equal(rung_region, 3);
    assert_int_equal(rung_vector, 6);
    ring(3 << 16 | 0);
    assert_int_equal(rings, 2);
    assert_int_equal(rung_slot, 43);
    ring(2 << 16); /* no peer to be reached */
    ring(4 << 16); /* no peer of that number */
    ring(0xffffu << 16);
    ring(0 << 16 | VMM_REGION_VECTORS);
    ring(0xffffffff);
    region.peer_count = 1000; /* more than there is room for */
    ring((uint32_t)VMM_PEERS_MAX << 16);
    assert_int_equal(rings, 2);
    assert_int_equal(sent, 0);
    /* Its own bell. */
    ring(1 << 16 | 2);
    assert_int_equal(look(REGISTERS + IVSHMEM_STATUS, 4), 1);
    put(MSIX + 16 * 2, 4, 0xfee00000);
    put(MSIX + 16 * 2 + 8, 8, 0x55);
    wr(s.msix.capability, 0x80000000);
    ring(1 << 16 | 2);
    assert_int_equal(sent, 1);
    assert_int_equal(sent_vector, 0x55);
    ivshmem_rung(&s, 2);
    assert_int_equal(sent, 2);
    wr(s.msix.capability, 0xc0000000);
    ivshmem_rung(&s, 2);
    ivshmem_rung(&s, 2);
    assert_int_equal(look(MSIX + MSIX_PBA, 4), 4);
    wr(s.msix.capability, 0x80000000);
    assert_int_equal(sent, 3);
    assert_int_equal(look(REGISTERS + IVSHMEM_STATUS, 4), 0);
}

static void test_moving(void **state)
{
    (void)state;
    wr(0x18, 0xc8000000);
    assert_int_equal(mapped, 0xc8000000);
    wr(0x1c, 1);
    assert_int_equal(mapped, 0x1c8000000);
    wr(0x18, 0xc8000123); /* low bits are not for writing */
    assert_int_equal(mapped, 0x1c8000000);
    assert_true(ivshmem_at(&s, 0x1c8000000));
    assert_true(ivshmem_at(&s, 0x1c8000000 + SIZE - 1));
    assert_false(ivshmem_at(&s, 0x1c8000000 + SIZE));
    assert_false(ivshmem_at(&s, 0x1c7ffffff));
    wr(4, 0);
    assert_int_equal(mapped, 0);
    assert_false(ivshmem_at(&s, 0x1c8000000));
    wr(0x18, 0);
    wr(0x1c, 0);
    unsigned before = maps;
    wr(4, 2);
    assert_int_equal(maps, before); /* address 0 is nowhere */
    wr(0x18, 0xffffffff);
    wr(0x1c, 0xffffffff);
    assert_int_equal(mapped, 0); /* the sizing pattern */
    wr(0x1c, 0);
    wr(0x18, (uint32_t)REGISTERS & ~(uint32_t)(SIZE - 1)); /* on top of its own registers */
    assert_int_equal(mapped, 0);
    assert_int_equal(look(REGISTERS + IVSHMEM_NUMBER, 4), 1);
    /* Refused: nothing answers there, and a place that is allowed is taken again. */
    refusal = E_OVERLAP;
    wr(0x18, 0x10000000);
    assert_int_equal(mapped, 0);
    assert_int_equal(look(0x10000000, 4), 0xffffffff);
    assert_false(ivshmem_at(&s, 0x10000000));
    refusal = OK;
    wr(0x18, (uint32_t)MEMORY);
    assert_int_equal(mapped, MEMORY);
    uint32_t seed = 1;
    for (unsigned i = 0; i < 20000; i++) { /* whatever is written: never two places at once */
        seed = seed * 1664525 + 1013904223;
        refusal = seed >> 30 == 0 ? E_QUOTA : OK;
        wr(i % 4 == 0 ? 4 : 0x10 + (seed >> 8 & 0x1c), i % 4 == 0 ? seed >> 16 & 7 : seed);
    }
}

static void test_memory(void **state)
{
    (void)state;
    for (unsigned size = 1; size <= 8; size *= 2) {
        put(MEMORY + 16, size, 0x8877665544332211);
        assert_int_equal(look(MEMORY + 16, size), 0x8877665544332211 & bus_ones(size));
        put(MEMORY + 33, size, 0x1122334455667788);
        assert_int_equal(look(MEMORY + 33, size), 0x1122334455667788 & bus_ones(size));
        put(MEMORY + SIZE - size, size, 0x0102030405060708);
        assert_int_equal(look(MEMORY + SIZE - size, size), 0x0102030405060708 & bus_ones(size));
    }
    assert_int_equal(memory[16], 0x11);
    put(MEMORY + SIZE - 2, 4, 0xaabbccdd); /* beyond its end: what lies inside */
    assert_int_equal(memory[SIZE - 1], 0xcc);
    build(false);
    put(MEMORY + 8, 8, 1);
    put(MEMORY + 8, 1, 1);
    assert_int_equal(told, 1);
    for (unsigned i = 0; i < SIZE; i++)
        assert_int_equal(memory[i], 0);
    memory[9] = 3;
    assert_int_equal(look(MEMORY + 8, 2), 0x300);
}

static void leave_vm(void *context)
{
    assert_ptr_equal(context, &lines);
    assert_true(vm_held && !own_held);
    vm_held = false;
}
static void enter_vm(void *context)
{
    (void)context;
    assert_true(!vm_held && !own_held); /* the VM's comes first */
    vm_held = true;
}
static void take(struct vm_lock *lock)
{
    assert_ptr_equal(lock, &s.lock.lock);
    assert_false(own_held);
    own_held = true;
}
static void release(struct vm_lock *lock)
{
    (void)lock;
    assert_true(own_held);
    own_held = false;
}

/* Bells are rung, and messages sent, without the VM's lock; whatever a handler does, it comes back with it. */
static void test_locks(void **state)
{
    (void)state;
    const struct platform platform = {
        .context = &lines, .leave_vm = leave_vm, .enter_vm = enter_vm, .take = take, .release = release};
    ivshmem_own_lock(&s, &platform);
    watched = vm_held = true;
    put(REGISTERS + IVSHMEM_DOORBELL, 4, 0u << 16 | 2); /* another guest's */
    assert_int_equal(rings, 1);
    put(REGISTERS + IVSHMEM_DOORBELL, 4, 1u << 16 | 2); /* its own; no MSI-X: the status says it */
    assert_int_equal(look(REGISTERS + IVSHMEM_STATUS, 4), 1);
    put(MSIX, 4, 0xfee00000);
    put(MSIX + 8, 4, 0x45);
    put(MSIX + 12, 4, 0);
    wr(0x40, 0x80000000); /* on */
    put(REGISTERS + IVSHMEM_DOORBELL, 4, 1u << 16);
    assert_int_equal(sent, 1);
    put(MSIX + 12, 4, 1);
    put(REGISTERS + IVSHMEM_DOORBELL, 4, 1u << 16);
    assert_int_equal(sent, 1);
    put(MSIX + 12, 4, 0); /* pending until now */
    assert_int_equal(sent, 2);
    vm_held = false; /* thread 0 */
    ivshmem_rung(&s, 0);
    assert_int_equal(sent, 3);
    ivshmem_quiet(&s);
    ivshmem_rung(&s, 0);
    assert_int_equal(sent, 3);
    ivshmem_resume(&s);
    assert_int_equal(sent, 4);
    assert_false(own_held || vm_held);
    watched = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_identity, setup),  cmocka_unit_test_setup(test_registers, setup),
        cmocka_unit_test_setup(test_doorbells, setup), cmocka_unit_test_setup(test_moving, setup),
        cmocka_unit_test_setup(test_memory, setup),    cmocka_unit_test_setup(test_locks, setup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
