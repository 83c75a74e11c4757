#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the table of attacks in docs/memory.md, as `speculation-table` prints it from services/root/speculation.c.

    tools/speculation-doc.py SPECULATION-TABLE             writes docs/memory.md
    tools/speculation-doc.py SPECULATION-TABLE --check     fails, in words, if it is not what would be written

The table stands between the lines `<!-- attacks, by make docs -->` and `<!-- end of attacks -->`."""
import os
import re
import subprocess
import sys

OUT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'docs', 'memory.md')
PLACE = re.compile(r'(<!-- attacks, by make docs -->\n).*?(<!-- end of attacks -->\n)', re.S)


def main():
    table = subprocess.run([sys.argv[1]], stdout=subprocess.PIPE, check=True).stdout.decode()
    with open(OUT, encoding='utf-8') as f:
        old = f.read()
    new, places = PLACE.subn(lambda m: m.group(1) + table + m.group(2), old)
    if places != 1:
        sys.exit(f'docs/memory.md has {places} places for the table of attacks, not one')
    if new == old:
        return
    if '--check' in sys.argv[2:]:
        sys.exit('docs/memory.md: the table of attacks is not that of services/root; `make docs` writes it')
    with open(OUT, 'w', encoding='utf-8') as f:
        f.write(new)


if __name__ == '__main__':
    main()
