; SPDX-License-Identifier: Apache-2.0
; svm_enter: one round trip into the guest. rdi: struct svm_vcpu. Of the host's registers only rbp and rsp are kept: the caller (svm_run.c) knows.
;
; Promises: interrupts are off on entry and on return; in between, CLGI holds them back until VMRUN, and IF=1 makes the CPU
; leave the guest for them (V_INTR_MASKING; AMD APM vol. 2, 15.17, 15.21.1). They are still pending on return. What VMRUN does
; not switch (TR, LDTR, FS, GS, STAR, ..., SYSENTER) goes through VMLOAD and VMSAVE, and the host's is back before STGI lets an
; NMI in: it needs TR for its stack.

SVM_GPR       equ 0             ; of struct svm_vcpu; asserted in svm.h
SVM_VMCB      equ 8
SVM_HOST_VMCB equ 16

section .text
bits 64

%define PAGE rdi
%include "arch/x86_64/registers.inc"

global svm_enter, svm_vmrun
svm_enter:
    push rbp
    push rdi                    ; the struct svm_vcpu
    mov rax, [rdi + SVM_VMCB]
    mov rdi, [rdi + SVM_GPR]
    clgi
    sti
    vmload
    most_registers from_page
    from_page rsi, 6
    mov rdi, [rdi + 8 * 7]
svm_vmrun:
    vmrun                       ; rax, rsp and rflags are the host's again afterwards
    push rdi
    mov rdi, [rsp + 8]
    mov rdi, [rdi + SVM_GPR]
    most_registers to_page
    to_page rsi, 6
    pop rcx
    mov [rdi + 8 * 7], rcx
    vmsave                      ; rax: the VMCB
    pop rcx
    mov rax, [rcx + SVM_HOST_VMCB]
    vmload
    cli
    stgi
    pop rbp
    ret
