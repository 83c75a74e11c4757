/*
 * What every kernel object starts with. Objects come from the pool and are paid for by a domain's quota. A reference is held by each handle
 * and by each object that points here; a destroyed object stays as an inert shell until the last reference goes.
 */
#ifndef KERNEL_OBJECT_H
#define KERNEL_OBJECT_H

#include "arch/x86_64/types.h"
#include "mullion/abi.h"

struct object {
    uint8_t type; /* enum object_type */
    bool dead;
    uint16_t reserved;
    uint32_t references;
};

#endif
