; SPDX-License-Identifier: Apache-2.0
; The ring-3 programs, each on pages of its own inside the kernel image, so that their read-only parts can be mapped where they lie.
; PROGRAMS is the folder they were built in, from the Makefile.
section .programs progbits alloc noexec nowrite align=4096

%macro program 2
global %1, %1_end
align 4096, db 0
%1:
    incbin %2
%1_end:
%endmacro

%strcat ROOT_BIN PROGRAMS, "/root.bin"
%strcat VMM_ELF PROGRAMS, "/vmm.elf"
%strcat CONSOLE_ELF PROGRAMS, "/console.elf"
%strcat AUDIT_ELF PROGRAMS, "/audit.elf"
program program_root, ROOT_BIN
program program_vmm, VMM_ELF
program program_console, CONSOLE_ELF
program program_audit, AUDIT_ELF
align 4096, db 0
