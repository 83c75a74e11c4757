// SPDX-License-Identifier: Apache-2.0
/* kernel/string.c for tests: on the host the real names belong to its libc. */
#define memcpy ring0_memcpy
#define memset ring0_memset
#define memcmp ring0_memcmp
#include "kernel/string.c"
