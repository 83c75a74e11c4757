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

%macro guest_registers 1        ; all but rax, rsp (in the VMCB) and rdi (the pointer)
    %1 rcx, 1
    %1 rdx, 2
    %1 rbx, 3
    %1 rbp, 5
    %1 rsi, 6
    %1 r8, 8
    %1 r9, 9
    %1 r10, 10
    %1 r11, 11
    %1 r12, 12
    %1 r13, 13
    %1 r14, 14
    %1 r15, 15
%endmacro
%macro from_page 2
    mov %1, [rdi + 8 * %2]
%endmacro
%macro to_page 2
    mov [rdi + 8 * %2], %1
%endmacro

global svm_enter, svm_vmrun
svm_enter:
    push rbp
    push rdi                    ; the struct svm_vcpu
    mov rax, [rdi + SVM_VMCB]
    mov rdi, [rdi + SVM_GPR]
    clgi
    sti
    vmload
    guest_registers from_page
    mov rdi, [rdi + 8 * 7]
svm_vmrun:
    vmrun                       ; rax, rsp and rflags are the host's again afterwards
    push rdi
    mov rdi, [rsp + 8]
    mov rdi, [rdi + SVM_GPR]
    guest_registers to_page
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
