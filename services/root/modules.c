// SPDX-License-Identifier: Apache-2.0
/* The names of the boot modules. See root.h. */
#include "lib/string.h"
#include "services/root/root.h"

void module_name_of(const char *told, char *out)
{
    size_t from = 0, n = 0;
    for (size_t i = 0; told[i] != 0 && told[i] != ' '; i++)
        if (told[i] == '/')
            from = i + 1;
    for (; n + 1 < MODULE_NAME_MAX && told[from + n] != 0 && told[from + n] != ' '; n++)
        out[n] = told[from + n];
    out[n] = 0;
}

const char *module_name(unsigned i)
{
    static char names[BOOT_MODULES_MAX][MODULE_NAME_MAX];
    if (names[i][0] == 0)
        module_name_of(ROOT_BOOT->module[i].name, names[i]);
    return names[i];
}
