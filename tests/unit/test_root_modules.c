// SPDX-License-Identifier: Apache-2.0
// sources: services/root/modules.c
/* What a boot module is called: by GRUB's or QEMU's string, a path with arguments behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "services/root/root.h"

static void names(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"vmlinuz", "vmlinuz"},
        {"/boot/guests/vmlinuz console=ttyS0 a/b", "vmlinuz"},
        {"(cd)/boot/tiny.elf x", "tiny.elf"},
        {"a/b/", ""},
        {"", ""},
        {" x", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[MODULE_NAME_MAX];
        memset(out, 'x', sizeof out);
        module_name_of(rows[i][0], out);
        assert_string_equal(out, rows[i][1]);
    }
    char longest[MODULE_NAME_MAX], out[MODULE_NAME_MAX + 1];
    memset(longest, 'n', sizeof longest);
    longest[sizeof longest - 1] = 0;
    out[MODULE_NAME_MAX] = 'x';
    module_name_of(longest, out);
    assert_string_equal(out, longest);
    assert_int_equal(out[MODULE_NAME_MAX], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
