; SPDX-License-Identifier: Apache-2.0
; The bootable file: the flat kernel image inside a 32-bit ELF, which GRUB (Multiboot 1 and 2, BIOS and UEFI) and `qemu -kernel` all
; accept. KERNEL_BIN and BSS_SIZE come from the Makefile.
bits 32
global _start

section .image progbits alloc exec write align=4096
incbin KERNEL_BIN
section .bss nobits alloc write align=4096
resb BSS_SIZE

_start equ ENTRY
