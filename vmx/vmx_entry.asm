; The way into the guest and back: save, one entry instruction, restore. bool vmx_enter(struct vmx_vcpu *hw, uint64_t *gpr).
;
; All of the guest's general registers but RSP pass through the 16 words at `gpr`. HOST_RSP and HOST_RIP bring the CPU back to vmx_exit_point. If
; the CPU refuses the entry it goes on behind the instruction instead: both instructions share one failure exit, and neither falls into the other.
section .text
bits 64

HW_HOST_RSP equ 0               ; asserted in vmx/vmx.h
HW_LAUNCHED equ 8
VMCS_HOST_RSP equ 0x6c14

global vmx_enter, vmx_exit_point

%macro pop_host 0
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
%endmacro

align 16
vmx_enter:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    push rsi
    cmp rsp, [rdi + HW_HOST_RSP]        ; the way here is nearly always equally deep
    jne .new_depth
.depth_known:
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
    pop_host
    mov eax, 1
    ret
.new_depth:
    mov eax, VMCS_HOST_RSP
    vmwrite rax, rsp
    jbe .refused
    mov [rdi + HW_HOST_RSP], rsp
    jmp .depth_known

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
    pop_host
    xor eax, eax                        ; the answer; and nothing of the guest's stays in a register
    xor ecx, ecx
    xor edx, edx
    xor esi, esi
    xor edi, edi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    ret
