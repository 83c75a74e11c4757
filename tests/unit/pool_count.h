/* SPDX-License-Identifier: Apache-2.0 */
/* How many bytes of objects a payer has, in size classes; its quota counts the pages that they lie in. */
#ifndef TESTS_UNIT_POOL_COUNT_H
#define TESTS_UNIT_POOL_COUNT_H

#include "mm/pool.h"

uint64_t pool_bytes_of(const struct quota *q);

#endif
