/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a machine's memory ring 0 keeps for its objects and tables. The kernel takes it at boot; `mullion check`
 * says beforehand whether it is enough. Each guest needs some of it, and each CPU: so it follows from both.
 */
#ifndef MULLION_POOL_H
#define MULLION_POOL_H

#include "mullion/types.h"

#define POOL_BYTES_MIN   (4ull << 20)
#define POOL_BYTES_MAX   (512ull << 20)
#define POOL_FIRST_BYTES (1ull << 30) /* of these a sixteenth, of what is beyond a sixty-fourth */
#define POOL_CPU_BYTES   (256ull << 10)

/* Bytes, whole 2 MiB pages. `ram`: usable bytes in the firmware's map; `cpus`: how many there may be. */
static inline uint64_t pool_bytes(uint64_t ram, uint64_t cpus)
{
    uint64_t first = min_u64(ram, POOL_FIRST_BYTES);
    uint64_t wanted = first / 16 + (ram - first) / 64 + cpus * POOL_CPU_BYTES;
    return max_u64(POOL_BYTES_MIN, min_u64(wanted, POOL_BYTES_MAX)) & ~(SIZE_2M - 1);
}

#endif
