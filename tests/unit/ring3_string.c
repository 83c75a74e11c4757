// SPDX-License-Identifier: Apache-2.0
/* Ring 3's string functions beside the C library's of the same names. */
#undef UNIT_TEST
#define memcpy      ring3_memcpy
#define memmove     ring3_memmove
#define memset      ring3_memset
#define memcmp      ring3_memcmp
#define strlen      ring3_strlen
#define strnlen     ring3_strnlen
#define strcmp      ring3_strcmp
#define strncmp     ring3_strncmp
#define strchr      ring3_strchr
#define strrchr     ring3_strrchr
#define strstr      ring3_strstr
#define string_copy ring3_string_copy
#include "lib/string.c"
