; SPDX-License-Identifier: Apache-2.0
; The pixel screen's font: 128 characters of 16 bytes, made by tools/make-font.py. PROGRAMS is the build folder (Makefile).
section .rodata
global screen_font
%strcat FONT PROGRAMS, "/gen/font.bin"
screen_font:
    incbin FONT
