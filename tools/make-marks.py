#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which characters a terminal does not show as one of their own, for the console's line filter: combining marks, and
those that show nothing. From the Unicode character database that Python comes with.
    tools/make-marks.py OUT"""
import sys
import unicodedata

HIDDEN = ('Cc', 'Cf', 'Cs', 'Zl', 'Zp')
MARK = ('Mn', 'Me')
# Shown as nothing, although their category does not say so: Hangul's fillers, variation selectors, the grapheme joiner,
# Khmer's inherent vowels, Mongolian's selectors, and all that Unicode keeps for such use. DerivedCoreProperties.txt,
# Default_Ignorable_Code_Point.
IGNORED = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0xE0000, 0xE0FFF),
)  # fmt: skip


def kind(code):
    category = unicodedata.category(chr(code))
    if category in HIDDEN or code & 0xFFFE == 0xFFFE or any(first <= code <= last for first, last in IGNORED):
        return 'CHARACTER_HIDDEN'
    return 'CHARACTER_MARK' if category in MARK else None


def main():
    ranges, open_kind = [], None
    for code in range(0x80, 0x110000):
        now = kind(code)
        if now and now == open_kind:
            ranges[-1][1] = code
        elif now:
            ranges.append([code, code, now])
        open_kind = now
    with open(sys.argv[1], 'w', encoding='ascii') as f:
        f.write('static const struct character_range ranges[] = {\n')
        f.writelines(f'    {{0x{first:x}, 0x{last:x}, {what}}},\n' for first, last, what in ranges)
        f.write('};\n')


if __name__ == '__main__':
    main()
