; The way into the guest and back: one entry instruction between the guest's registers and ours. rdi: struct vmx_vcpu, rsi: uint64_t *gpr; eax: did the
; CPU refuse? Of the host's registers only rbp and rsp are kept: the caller (vmx_run.c) knows.
;
; All of the guest's general registers but RSP pass through the 16 words at `gpr`. HOST_RSP and HOST_RIP bring the CPU back to vmx_exit_point. If
; the CPU refuses the entry it goes on behind the instruction instead: both instructions share one failure exit, and neither falls into the other.
section .text
bits 64

HW_LAUNCHED equ 8               ; asserted in vmx/vmx.h

global vmx_enter, vmx_exit_point

align 16
vmx_enter:
    push rbp
    push rsi
    ; RSP is what HOST_RSP holds: set_host_rsp in vmx_run.c
    cmp byte [rdi + HW_LAUNCHED], 0     ; MOV keeps the flags
    mov rax, [rsi]
    mov rcx, [rsi + 8]
    mov rdx, [rsi + 16]
    mov rbx, [rsi + 24]
    mov rbp, [rsi + 40]
    mov rdi, [rsi + 56]
    mov r8, [rsi + 64]
    mov r9, [rsi + 72]
    mov r10, [rsi + 80]
    mov r11, [rsi + 88]
    mov r12, [rsi + 96]
    mov r13, [rsi + 104]
    mov r14, [rsi + 112]
    mov r15, [rsi + 120]
    mov rsi, [rsi + 48]
    je .launch
    vmresume
    jmp .refused
.launch:
    vmlaunch
.refused:
    add rsp, 8
    pop rbp
    mov eax, 1
    ret

align 16
vmx_exit_point:
    push rsi
    mov rsi, [rsp + 8]
    mov [rsi], rax
    mov [rsi + 8], rcx
    mov [rsi + 16], rdx
    mov [rsi + 24], rbx
    mov [rsi + 40], rbp
    mov [rsi + 56], rdi
    mov [rsi + 64], r8
    mov [rsi + 72], r9
    mov [rsi + 80], r10
    mov [rsi + 88], r11
    mov [rsi + 96], r12
    mov [rsi + 104], r13
    mov [rsi + 112], r14
    mov [rsi + 120], r15
    pop qword [rsi + 48]
    add rsp, 8
    pop rbp
    xor eax, eax                        ; guest values stay in the others: there is nothing here that a guest could steer them to
    ret
