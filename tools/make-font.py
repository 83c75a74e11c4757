#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the kernel's screen font, 128 characters of 8 x 16 pixels, a byte a line, from a font of Debian's grub-common.
    tools/make-font.py /usr/share/grub/ascii.pf2 OUT
The file's format: GRUB's developer manual, "PFF2 font file format"."""
import struct
import sys

WIDTH, HEIGHT, CHARACTERS = 8, 16, 128


def sections(data):
    found, at = {}, 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from('>4sI', data, at)
        if name == b'DATA':
            return found
        found[name] = data[at + 8:at + 8 + size]
        at += 8 + size
    sys.exit('make-font: no DATA section')


def glyph(data, at, ascent):
    """The character in its cell: a byte a line, the leftmost pixel the highest bit."""
    width, height, left, bottom, _ = struct.unpack_from('>HHhhh', data, at)
    top = ascent - bottom - height
    if left < 0 or top < 0 or left + width > WIDTH or top + height > HEIGHT:
        return None
    cell = bytearray(HEIGHT)
    for i in range(width * height):
        if data[at + 10 + i // 8] & 0x80 >> i % 8:
            cell[top + i // width] |= 0x80 >> left + i % width
    return cell


def main():
    with open(sys.argv[1], 'rb') as f:
        data = f.read()
    part = sections(data)
    if part.get(b'FILE') != b'PFF2':
        sys.exit(f'make-font: {sys.argv[1]} is not a PFF2 font')
    ascent = struct.unpack('>H', part[b'ASCE'])[0]
    font = bytearray(CHARACTERS * HEIGHT)
    have = set()
    for code, storage, at in struct.iter_unpack('>IBI', part[b'CHIX']):
        cell = glyph(data, at, ascent) if code < CHARACTERS and storage & 7 == 0 else None
        if cell:
            font[code * HEIGHT:code * HEIGHT + HEIGHT] = cell
            have.add(code)
    missing = [chr(c) for c in range(ord(' '), 127) if c not in have]
    if missing:
        sys.exit(f'make-font: {sys.argv[1]} lacks {missing}')
    with open(sys.argv[2], 'wb') as f:
        f.write(font)


main()
