#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the table of test machines in docs/machines.md from tools/host/machines.py.

    tools/machines-doc.py             writes it
    tools/machines-doc.py --check     fails, in words, if docs/machines.md has another table"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from host import machines  # noqa: E402

OUT = os.path.join(os.path.dirname(HERE), 'docs', 'machines.md')


def main():
    with open(OUT, encoding='utf-8') as f:
        have = f.read()
    want, count = re.subn(r'(?m)(^\|.*\n)+', lambda _: machines.markdown(), have, count=1)
    if not count:
        sys.exit('docs/machines.md has no table')
    if '--check' in sys.argv[1:]:
        if have != want:
            sys.exit('docs/machines.md has not the table of tools/host/machines.py: run `make docs` and commit it')
        return
    with open(OUT, 'w', encoding='utf-8') as f:
        f.write(want)


if __name__ == '__main__':
    main()
