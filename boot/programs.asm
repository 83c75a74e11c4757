; SPDX-License-Identifier: Apache-2.0
; The ring-3 programs: a table of struct program_entry (mullion/boot.h), then each file on pages of its own inside the kernel image, so that their read-only
; parts can be mapped where they lie. From the Makefile: PROGRAM_LIST, their names with commas between them, root first; PROGRAMS, the folder
; with programs/NAME for each.
section .programs progbits alloc noexec nowrite align=4096

NAME_BYTES equ 24               ; PROGRAM_NAME_MAX

%macro table 1-*
programs:
%rep %0
    dd file_%1 - programs, file_%1_end - file_%1
%%name_%1:
    db %str(%1)
    times NAME_BYTES - ($ - %%name_%1) db 0
%rotate 1
%endrep
    times 8 + NAME_BYTES db 0
%endmacro

%macro files 1-*
%rep %0
align 4096, db 0
%strcat FILE PROGRAMS, "/programs/", %str(%1)
file_%1:
    incbin FILE
file_%1_end:
%rotate 1
%endrep
align 4096, db 0
%endmacro

table PROGRAM_LIST
files PROGRAM_LIST
