/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small writer of AML, the byte code of ACPI's DSDT (ACPI 6.4, chapter 20, and 6.4 for resource descriptors): just
 * what the machine's description needs. Bytes beyond the buffer are counted, not written; `failed` then says so.
 */
#ifndef VMM_AML_H
#define VMM_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
    uint8_t *bytes;
    size_t size, used;
    bool failed;
};

void aml_byte(struct aml *a, uint8_t value);
void aml_word(struct aml *a, uint16_t value);
void aml_dword(struct aml *a, uint32_t value);
void aml_qword(struct aml *a, uint64_t value);

/* A block with a length: begin returns a mark that end takes. */
size_t aml_scope(struct aml *a, const char *name);
size_t aml_device(struct aml *a, const char *name);
size_t aml_package(struct aml *a, uint8_t elements);
void aml_end(struct aml *a, size_t mark);

/* Name (name, ...): the value follows. Names: one segment of at most four characters, after an optional '\'. */
void aml_name(struct aml *a, const char *name);
void aml_integer(struct aml *a, uint64_t value);
/* "PNP0A08" as a number (ACPI 6.4, 19.3.4). */
void aml_eisa_id(struct aml *a, const char *id);

/* A resource template; the descriptors go between. */
size_t aml_resources(struct aml *a);
void aml_resources_end(struct aml *a, size_t mark);
void aml_io(struct aml *a, uint16_t base, uint8_t length);
void aml_irq(struct aml *a, uint8_t irq);
void aml_memory_fixed(struct aml *a, uint32_t base, uint32_t length);
void aml_bus_range(struct aml *a, uint16_t first, uint16_t last);
void aml_io_range(struct aml *a, uint16_t first, uint16_t last);
void aml_memory_range(struct aml *a, uint32_t first, uint32_t last);
void aml_memory_range64(struct aml *a, uint64_t first, uint64_t last);

#endif
