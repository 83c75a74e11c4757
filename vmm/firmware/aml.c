// SPDX-License-Identifier: Apache-2.0
/*
 * See vmm/firmware/aml.h. Opcodes: ACPI 6.4, 20.2; descriptors: 6.4.
 */
#include "vmm/firmware/aml.h"

#define OP_NAME     0x08u
#define OP_BYTE     0x0au
#define OP_WORD     0x0bu
#define OP_DWORD    0x0cu
#define OP_QWORD    0x0eu
#define OP_SCOPE    0x10u
#define OP_BUFFER   0x11u
#define OP_PACKAGE  0x12u
#define OP_EXTENDED 0x5bu
#define OP_DEVICE   0x82u /* after OP_EXTENDED */

/* Address space descriptors: general flags say that minimum and maximum are fixed and that the range is handed on by a
 * bridge. */
#define RANGE_FIXED     0x0cu
#define SPACE_MEMORY    0u
#define SPACE_IO        1u
#define SPACE_BUS       2u
#define MEMORY_WRITABLE 0x01u
#define IO_ENTIRE       0x03u

#define LENGTH_BYTES 3u /* every block length takes this many; 20 bits of length */

void aml_byte(struct aml *a, uint8_t value)
{
    if (a->used < a->size)
        a->bytes[a->used] = value;
    else
        a->failed = true;
    a->used++;
}

void aml_word(struct aml *a, uint16_t value)
{
    aml_byte(a, (uint8_t)value);
    aml_byte(a, (uint8_t)(value >> 8));
}

void aml_dword(struct aml *a, uint32_t value)
{
    aml_word(a, (uint16_t)value);
    aml_word(a, (uint16_t)(value >> 16));
}

void aml_qword(struct aml *a, uint64_t value)
{
    aml_dword(a, (uint32_t)value);
    aml_dword(a, (uint32_t)(value >> 32));
}

static size_t begin(struct aml *a)
{
    size_t mark = a->used;
    for (unsigned i = 0; i < LENGTH_BYTES; i++)
        aml_byte(a, 0);
    return mark;
}

void aml_end(struct aml *a, size_t mark)
{
    size_t length = a->used - mark;
    if (a->failed || length >= 1u << 20) {
        a->failed = true;
        return;
    }
    /* PkgLength (20.2.4): two following bytes, low four bits in the first. */
    a->bytes[mark] = (uint8_t)(0x80u | (length & 0xfu));
    a->bytes[mark + 1] = (uint8_t)(length >> 4);
    a->bytes[mark + 2] = (uint8_t)(length >> 12);
}

static void name_string(struct aml *a, const char *name)
{
    if (*name == '\\')
        aml_byte(a, (uint8_t)*name++);
    for (unsigned i = 0; i < 4; i++)
        aml_byte(a, *name != 0 ? (uint8_t)*name++ : (uint8_t)'_');
}

size_t aml_scope(struct aml *a, const char *name)
{
    aml_byte(a, OP_SCOPE);
    size_t mark = begin(a);
    name_string(a, name);
    return mark;
}

size_t aml_device(struct aml *a, const char *name)
{
    aml_byte(a, OP_EXTENDED);
    aml_byte(a, OP_DEVICE);
    size_t mark = begin(a);
    name_string(a, name);
    return mark;
}

size_t aml_package(struct aml *a, uint8_t elements)
{
    aml_byte(a, OP_PACKAGE);
    size_t mark = begin(a);
    aml_byte(a, elements);
    return mark;
}

void aml_name(struct aml *a, const char *name)
{
    aml_byte(a, OP_NAME);
    name_string(a, name);
}

void aml_integer(struct aml *a, uint64_t value)
{
    if (value <= 1) {
        aml_byte(a, (uint8_t)value); /* ZeroOp, OneOp */
    } else if (value <= 0xff) {
        aml_byte(a, OP_BYTE);
        aml_byte(a, (uint8_t)value);
    } else if (value <= 0xffff) {
        aml_byte(a, OP_WORD);
        aml_word(a, (uint16_t)value);
    } else if (value <= 0xffffffff) {
        aml_byte(a, OP_DWORD);
        aml_dword(a, (uint32_t)value);
    } else {
        aml_byte(a, OP_QWORD);
        aml_qword(a, value);
    }
}

static uint32_t hex(char c)
{
    return c >= '0' && c <= '9' ? (uint32_t)(c - '0') : (uint32_t)(c - 'A' + 10);
}

void aml_eisa_id(struct aml *a, const char *id)
{
    /* Three letters of five bits, four hexadecimal digits, all big-endian. */
    uint32_t letters = (uint32_t)(id[0] - '@') << 10 | (uint32_t)(id[1] - '@') << 5 | (uint32_t)(id[2] - '@');
    uint32_t number = hex(id[3]) << 12 | hex(id[4]) << 8 | hex(id[5]) << 4 | hex(id[6]);
    aml_byte(a, OP_DWORD);
    aml_byte(a, (uint8_t)(letters >> 8));
    aml_byte(a, (uint8_t)letters);
    aml_byte(a, (uint8_t)(number >> 8));
    aml_byte(a, (uint8_t)number);
}

size_t aml_resources(struct aml *a)
{
    aml_byte(a, OP_BUFFER);
    size_t mark = begin(a);
    aml_byte(a, OP_WORD); /* the buffer's size, known at the end */
    aml_word(a, 0);
    return mark;
}

void aml_resources_end(struct aml *a, size_t mark)
{
    aml_byte(a, 0x79); /* end tag; a checksum of 0 means: not used */
    aml_byte(a, 0);
    size_t start = mark + LENGTH_BYTES + 3, length = a->used - start;
    aml_end(a, mark);
    if (a->failed)
        return;
    a->bytes[start - 2] = (uint8_t)length;
    a->bytes[start - 1] = (uint8_t)(length >> 8);
}

void aml_io(struct aml *a, uint16_t base, uint8_t length)
{
    aml_byte(a, 0x47);
    aml_byte(a, 1); /* decodes 16 bits */
    aml_word(a, base);
    aml_word(a, base);
    aml_byte(a, 1);
    aml_byte(a, length);
}

void aml_irq(struct aml *a, uint8_t irq)
{
    aml_byte(a, 0x22); /* edge, active high, not shared */
    aml_word(a, (uint16_t)(1u << (irq & 15)));
}

void aml_memory_fixed(struct aml *a, uint32_t base, uint32_t length)
{
    aml_byte(a, 0x86);
    aml_word(a, 9);
    aml_byte(a, MEMORY_WRITABLE);
    aml_dword(a, base);
    aml_dword(a, length);
}

static void word_range(struct aml *a, uint8_t space, uint8_t flags, uint16_t first, uint16_t last)
{
    aml_byte(a, 0x88);
    aml_word(a, 13);
    aml_byte(a, space);
    aml_byte(a, RANGE_FIXED);
    aml_byte(a, flags);
    aml_word(a, 0); /* granularity */
    aml_word(a, first);
    aml_word(a, last);
    aml_word(a, 0); /* translation */
    aml_word(a, (uint16_t)(last - first + 1));
}

void aml_bus_range(struct aml *a, uint16_t first, uint16_t last)
{
    word_range(a, SPACE_BUS, 0, first, last);
}

void aml_io_range(struct aml *a, uint16_t first, uint16_t last)
{
    word_range(a, SPACE_IO, IO_ENTIRE, first, last);
}

void aml_memory_range(struct aml *a, uint32_t first, uint32_t last)
{
    aml_byte(a, 0x87);
    aml_word(a, 23);
    aml_byte(a, SPACE_MEMORY);
    aml_byte(a, RANGE_FIXED);
    aml_byte(a, MEMORY_WRITABLE);
    aml_dword(a, 0);
    aml_dword(a, first);
    aml_dword(a, last);
    aml_dword(a, 0);
    aml_dword(a, last - first + 1);
}

void aml_memory_range64(struct aml *a, uint64_t first, uint64_t last)
{
    aml_byte(a, 0x8a);
    aml_word(a, 43);
    aml_byte(a, SPACE_MEMORY);
    aml_byte(a, RANGE_FIXED);
    aml_byte(a, MEMORY_WRITABLE);
    aml_qword(a, 0);
    aml_qword(a, first);
    aml_qword(a, last);
    aml_qword(a, 0);
    aml_qword(a, last - first + 1);
}
