// SPDX-License-Identifier: Apache-2.0
/* See msix.h. The guest writes whatever it likes into the table; it is read when a message goes out. */
#include "vmm/devices/msix.h"

#include "lib/string.h"

#define CAPABILITY_ID    0x11u
#define CAPABILITY_BYTES 12u
#define MESSAGE_CONTROL  2u /* of the capability */
#define CONTROL_MASKED   0x4000u
#define CONTROL_ON       0x8000u
#define ENTRY_MASKED     1u

static void take(struct msix *m)
{
    if (m->lock != NULL)
        device_take(m->lock);
}

static void release(struct msix *m)
{
    if (m->lock != NULL)
        device_release(m->lock);
}

/* Under the VM's lock. */
static void fetch_control(struct msix *m)
{
    atomic_store_explicit(&m->control, pci_config16(m->function, m->capability + MESSAGE_CONTROL),
                          memory_order_relaxed);
}

static unsigned control(const struct msix *m)
{
    return atomic_load_explicit(&m->control, memory_order_relaxed);
}

bool msix_on(const struct msix *m)
{
    return (control(m) & CONTROL_ON) != 0;
}

static bool masked(const struct msix *m, unsigned vector)
{
    return (control(m) & CONTROL_MASKED) || (m->table[vector][MSIX_CONTROL] & ENTRY_MASKED);
}

static void send(struct msix *m, unsigned vector)
{
    const uint32_t *entry = m->table[vector];
    struct interrupt_message message;
    /* Another address means a write to memory: that is no interrupt, and this machine's devices write nowhere by
     * themselves. */
    if (interrupt_message_of_msi(entry[MSIX_ADDRESS] | (uint64_t)entry[MSIX_ADDRESS_HIGH] << 32, entry[MSIX_DATA],
                                 &message))
        m->deliver(m->context, &message);
}

void msix_raise(struct msix *m, unsigned vector)
{
    if (vector >= m->count || !msix_on(m))
        return;
    if (masked(m, vector))
        m->pending |= 1ull << vector;
    else
        send(m, vector);
}

static void send_pending(struct msix *m)
{
    if (!msix_on(m))
        return;
    for (uint64_t left = m->pending; left != 0; left &= left - 1) {
        unsigned vector = (unsigned)__builtin_ctzll(left);
        if (masked(m, vector))
            continue;
        m->pending &= ~(1ull << vector);
        send(m, vector);
    }
}

void msix_config_written(struct msix *m, unsigned offset, unsigned size)
{
    if (offset >= m->capability + CAPABILITY_BYTES || offset + size <= m->capability)
        return;
    take(m);
    fetch_control(m);
    send_pending(m);
    release(m);
}

static uint32_t word_at(const struct msix *m, uint64_t offset)
{
    if (offset >= MSIX_PBA + 8)
        return 0;
    if (offset >= MSIX_PBA)
        return (uint32_t)(m->pending >> (offset & 4) * 8);
    uint64_t vector = offset / 16;
    return vector < m->count ? m->table[vector][offset / 4 % MSIX_WORDS] : 0;
}

static void set_word(struct msix *m, uint64_t offset, uint32_t value)
{
    uint64_t vector = offset / 16, word = offset / 4 % MSIX_WORDS;
    if (vector >= m->count) /* the pending bits, which are not for writing, are behind any */
        return;
    if (word == MSIX_CONTROL)
        value &= ENTRY_MASKED;
    if (word == MSIX_ADDRESS)
        value &= ~3u;
    m->table[vector][word] = value;
}

/* Aligned accesses of 4 and 8 bytes; others are undefined (6.8.2): they read as zero and do nothing. */
static void table_access(struct msix *m, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    if ((size != 4 && size != 8) || (offset & (size - 1)) != 0 || offset > MSIX_BAR_BYTES - size) {
        *value = 0;
        return;
    }
    if (!is_write) {
        *value = word_at(m, offset);
        if (size == 8)
            *value |= (uint64_t)word_at(m, offset + 4) << 32;
        return;
    }
    set_word(m, offset, (uint32_t)*value);
    if (size == 8)
        set_word(m, offset + 4, (uint32_t)(*value >> 32));
    send_pending(m);
}

static void page_access(void *device, uint64_t offset, unsigned size, bool is_write, uint64_t *value)
{
    struct msix *m = device;
    take(m);
    table_access(m, offset, size, is_write, value);
    release(m);
}

void msix_reset(struct msix *m)
{
    memset(m->table, 0, sizeof m->table);
    for (unsigned i = 0; i < m->count; i++)
        m->table[i][MSIX_CONTROL] = ENTRY_MASKED;
    m->pending = 0;
    atomic_store(&m->control, 0);
}

void msix_loaded(struct msix *m)
{
    fetch_control(m);
}

void msix_fields(struct msix *m, struct stream *s)
{
    for (unsigned i = 0; i < m->count; i++)
        STREAM_FIELD(s, m->table[i]);
    STREAM_FIELD(s, m->pending);
}

enum error msix_init(struct msix *m, struct pci_function *f, unsigned bar, unsigned count, msix_deliver *deliver,
                     void *context)
{
    if (count < 1 || count > MSIX_VECTORS_MAX)
        return E_ARG;
    memset(m, 0, sizeof *m);
    m->function = f;
    m->count = count;
    m->deliver = deliver;
    m->context = context;
    msix_reset(m);
    /* Message control: table size less one; then offset and BAR of the table, and of the pending bits. */
    const uint8_t body[CAPABILITY_BYTES - 2] = {(uint8_t)(count - 1), 0, (uint8_t)bar, 0, 0, 0, (uint8_t)bar,
                                                MSIX_PBA >> 8};
    const uint8_t writable[CAPABILITY_BYTES - 2] = {0, (CONTROL_MASKED | CONTROL_ON) >> 8};
    enum error e = pci_bar_init(
        f, bar, PCI_ALLOCATE,
        &(struct pci_bar){.kind = PCI_BAR_MEM32, .size = MSIX_BAR_BYTES, .memory = page_access, .device = m});
    if (e != OK)
        return e;
    m->capability = pci_capability(f, CAPABILITY_ID, body, writable, CAPABILITY_BYTES);
    return m->capability != 0 ? OK : E_QUOTA;
}
