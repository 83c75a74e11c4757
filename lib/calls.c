// SPDX-License-Identifier: Apache-2.0
#include "lib/calls.h"

const struct call_shape call_shapes[SYS_COUNT] = {
#include "call_shapes.h"
};
