/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The saved state of a machine: a header, then sections. A section has a name, a number, a version, a length and a
 * checksum. A stream is written once from its start and read once from its start.
 *
 * One function moves the fields of a state in both directions, so saving and loading cannot differ: it calls
 * STREAM_FIELD and its like on each field in a fixed order. A change of the fields or their order raises the
 * section's version.
 *
 * stream_open checks the whole structure and each checksum before anything is loaded. A stream may still come from an
 * enemy: the code that loads a section checks each value that is used as an index, a length or a mode.
 *
 * Pure. Lengths are in bytes. A stream is used by one thread.
 */
#ifndef VMM_STREAM_H
#define VMM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mullion/abi.h"
#include "mullion/types.h"

#define STREAM_NAME_BYTES 16u

struct stream_section {
    char name[STREAM_NAME_BYTES]; /* zero-terminated */
    uint16_t number, version;
    uint32_t length; /* of the contents, which follow the section's header */
};

struct stream {
    uint8_t *bytes;
    size_t size, at, end; /* end: of the open section's contents, when loading */
    size_t section;       /* where the open section's header is */
    uint32_t sections;
    uint16_t version; /* of the open section */
    bool loading;
    bool failed; /* something did not fit, or was not there: whatever was moved since is void */
};

/* --- saving --- */

void stream_save(struct stream *s, void *bytes, size_t size);
void stream_begin(struct stream *s, const char *name, uint16_t number, uint16_t version);
void stream_end(struct stream *s);
/* The length of the whole stream; 0: it did not fit. */
size_t stream_saved(struct stream *s);

/* --- loading; the bytes must not change meanwhile --- */

/* E_ARG: not a whole, undamaged stream of this kind. */
must_check enum error stream_open(struct stream *s, const void *bytes, size_t size);
/* The next section, whose contents are read from now on. False: there are no more. */
bool stream_next(struct stream *s, struct stream_section *section);
/* Everything in the section was read, and no more than that. */
bool stream_read_whole(const struct stream *s);

/* --- both directions --- */

/* When loading fails, the field becomes zero. */
void stream_bytes(struct stream *s, void *field, size_t count);
void stream_bool(struct stream *s, bool *field);
/* A point on the host's clock, which is `now` at the moment: as far from it in the past or future as it was when it was
 * saved. UINT64_MAX (CLOCK_NEVER) stays what it is. */
void stream_time(struct stream *s, uint64_t now, uint64_t *tick);
#define STREAM_FIELD(s, field) stream_bytes(s, &(field), sizeof(field))
#define STREAM_ATOMIC(s, field)                                                     \
    do {                                                                            \
        __typeof__(atomic_load(&(field)) + 0) stream_value = atomic_load(&(field)); \
        stream_bytes(s, &stream_value, sizeof stream_value);                        \
        atomic_store(&(field), stream_value);                                       \
    } while (0)

#endif
