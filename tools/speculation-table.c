// SPDX-License-Identifier: Apache-2.0
/* Prints the attacks by speculation as the table that docs/memory.md has (tools/speculation-doc.py). */
#include <stdio.h>

#include "services/root/speculation.h"

int main(void)
{
    printf("| attack | CVE | CPUs | what Mullion does | its price | source |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < speculation_row_count; i++) {
        const struct speculation_row *r = &speculation_rows[i];
        printf("| %s%s | %s | %s | %s | %s | %s |\n", r->name, r->open ? " (open)" : "", r->cve, r->cpus, r->what,
               r->price, r->source);
    }
    return 0;
}
