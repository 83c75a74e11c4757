/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What include/mullion/calls.toml says of each system call: its name for reports, and the kinds of its arguments, from
 * which a fuzzer chooses values that have a chance.
 */
#ifndef LIB_CALLS_H
#define LIB_CALLS_H

#include "mullion/abi.h"
#include "mullion/types.h"

enum argument_kind {
    ARGUMENT_NUMBER = 0,
    ARGUMENT_HANDLE,   /* of: the types that it may name, a bit for each */
    ARGUMENT_BELOW,    /* of: mostly smaller than this */
    ARGUMENT_ADDRESS,  /* in a domain or a space */
    ARGUMENT_SIZE,     /* in bytes */
    ARGUMENT_OFFSET,   /* in bytes, in a memory object */
    ARGUMENT_RIGHTS,   /* RIGHT_* */
    ARGUMENT_DEADLINE, /* of the host's TSC */
    ARGUMENT_PLACE,    /* a thread's CPU, priority and flags */
    ARGUMENT_HARDWARE, /* a GSI, a port, a CPU, or a physical address or size */
    ARGUMENT_ROW,      /* of doorbells: kind and DOORBELL_ROW */
    ARGUMENT_DOORBELL, /* a port, or a guest-physical address and a length */
};

struct call_shape {
    const char *name;
    uint8_t count;   /* of arguments */
    bool reshapes;   /* it may change tables, the ledger, or which objects there are */
    uint32_t errors; /* a bit for each enum error that it may answer */
    uint8_t makes;   /* enum object_type: its value is a handle to a new one; OBJ_NONE: it is none */
    struct {
        enum argument_kind kind;
        uint32_t of;
    } argument[6];
};

extern const struct call_shape call_shapes[SYS_COUNT];

#endif
