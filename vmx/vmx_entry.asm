; SPDX-License-Identifier: Apache-2.0
; The way into the guest and back: one entry instruction between the guest's registers and ours. rdi: struct vmx_vcpu, rsi: uint64_t *gpr; ZF clear: the
; CPU refused. Of the host's registers only rbp and rsp are kept: the caller (vmx_run.c) knows.
;
; All of the guest's general registers but RSP pass through the 16 words at `gpr`. HOST_RSP and HOST_RIP bring the CPU back to vmx_exit_point. If
; the CPU refuses the entry it goes on behind the instruction instead: both instructions share one failure exit, and neither falls into the other.
section .text
bits 64

%define PAGE rsi
%include "arch/x86_64/registers.inc"

HW_LAUNCHED equ 8               ; asserted in vmx/vmx.h

global vmx_enter, vmx_exit_point

align 16
vmx_enter:
    push rbp
    push rsi
    ; RSP is what HOST_RSP holds: set_host_rsp in vmx_run.c
    cmp byte [rdi + HW_LAUNCHED], 0     ; MOV keeps the flags
    most_registers from_page
    from_page rax, 0
    from_page rdi, 7
    from_page rsi, 6
    je .launch
    vmresume
    jmp .refused
.launch:
    vmlaunch
.refused:
    add rsp, 8                          ; clears ZF
    pop rbp
    ret

align 16
vmx_exit_point:
    push rsi
    mov rsi, [rsp + 8]
    most_registers to_page
    to_page rax, 0
    to_page rdi, 7
    pop qword [rsi + 48]
    add rsp, 8
    pop rbp
    cmp eax, eax                        ; guest values stay in the others: there is nothing here that a guest could steer them to
    ret
