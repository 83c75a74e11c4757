#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Packs the ring-3 programs for the kernel's image: a table of struct program_entry (include/mullion/boot.h), then each
file on pages of its own, so that their read-only parts can be mapped where they lie.

    tools/pack-programs.py OUT FILE...

A program is called as its file. Root comes first."""
import os
import struct
import sys

PAGE, NAME_BYTES = 4096, 24
ENTRY = f'<II{NAME_BYTES}s'


def padded(data):
    return data + bytes(-len(data) % PAGE)


def main(out, paths):
    names = [os.path.basename(path).encode() for path in paths]
    if any(len(name) >= NAME_BYTES for name in names):
        sys.exit(f'pack-programs: a name is longer than {NAME_BYTES - 1} bytes')
    files = []
    for path in paths:
        with open(path, 'rb') as f:
            files.append(f.read())
    at = len(padded(bytes(struct.calcsize(ENTRY) * (len(files) + 1))))  # the last entry is zero
    table, body = b'', b''
    for name, data in zip(names, files):
        table += struct.pack(ENTRY, at + len(body), len(data), name)
        body += padded(data)
    with open(out, 'wb') as f:
        f.write(padded(table + bytes(struct.calcsize(ENTRY))) + body)


main(sys.argv[1], sys.argv[2:])
