; SPDX-License-Identifier: Apache-2.0
; svm_enter: one round trip into the guest. rdi: struct svm_vcpu; rax: its VMCB's physical address, kept. Of the host's registers only rbp and rsp are kept: the caller (svm_run.c) knows.
;
; The caller has brought the CPU into the state in which VMRUN may follow (open_way), and brings it out of it.

SVM_GPR  equ 0                  ; of struct svm_vcpu; asserted in svm.h

section .text
bits 64

%define PAGE rdi
%include "arch/x86_64/registers.inc"

global svm_enter, svm_vmrun
svm_enter:
    push rbp
    push rdi                    ; the struct svm_vcpu
    mov rdi, [rdi + SVM_GPR]
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
    add rsp, 8
    pop rbp
    ret
