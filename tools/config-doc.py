#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of keys in docs/configuration.md, as `check-config --keys` prints them from the table in
config/keys.c.

    tools/config-doc.py CHECK-CONFIG             writes docs/configuration.md
    tools/config-doc.py CHECK-CONFIG --check     fails, in words, if it is not what would be written

A table stands between the lines `<!-- keys of SECTION, by make docs -->` and `<!-- end of keys -->`."""
import os
import re
import subprocess
import sys

OUT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'docs', 'configuration.md')
PLACE = re.compile(r'(<!-- keys of (.*?), by make docs -->\n).*?(<!-- end of keys -->\n)', re.S)


def tables(checker):
    """section -> its table's lines; a section's name stands alone in a line before them."""
    run = subprocess.run([checker, '--keys'], stdout=subprocess.PIPE, check=True)
    out, section = {}, None
    for line in run.stdout.decode().splitlines(True):
        if line.startswith('|'):
            out[section] += line
        else:
            section = line.strip()
            out[section] = ''
    return out


def main():
    made = tables(sys.argv[1])
    with open(OUT, encoding='utf-8') as f:
        old = f.read()
    places = [m.group(2) for m in PLACE.finditer(old)]
    if sorted(places) != sorted(made):
        sys.exit(f'docs/configuration.md has places for the keys of {places}; there are keys of {sorted(made)}')
    new = PLACE.sub(lambda m: m.group(1) + made[m.group(2)] + m.group(3), old)
    if '--check' in sys.argv[2:]:
        if new != old:
            sys.exit(
                'docs/configuration.md: the tables of keys are not those of config/keys.c; `make docs` writes them'
            )
    elif new != old:
        with open(OUT, 'w', encoding='utf-8') as f:
            f.write(new)


if __name__ == '__main__':
    main()
