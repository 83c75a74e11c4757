; SPDX-License-Identifier: Apache-2.0
; Entries into ring 0 through the IDT, and the way back to ring 3.
;
; From ring 3 the CPU pushes straight into the thread (RSP0 = end of the frame at its head); the stub pushes the rest, takes the CPU's kernel
; stack, which struct thread names right behind the frame, and never returns here: C ends in user_resume. From ring 0 (idle loop, interrupt
; window, faults of our own, NMI) the frame is on the stack and the stub returns.
section .text
bits 64

FRAME_SIZE   equ 176
FRAME_VECTOR equ 15 * 8
FRAME_RIP    equ 17 * 8
FRAME_CS     equ 18 * 8
THREAD_STACK equ FRAME_SIZE     ; asserted in kernel/thread.c
%include "calls.inc"            ; SYS_*
FRAME_RSP    equ 20 * 8
%define BY_SYSENTER 0x100          ; in the place of a vector: how the thread came in, and goes out
%define BY_SYSCALL 0x101
%define MAX_CPUS 1024              ; asserted in cpu.c, like the addresses of syscall_entries

extern trap_from_user, trap_from_kernel, irq_dispatch, syscall_entry, vmx_run_call, svm_run_call
global user_resume, trap_stubs, syscall_stub, sysenter_entry, syscall_entries, sysexit_from_run, sysret_from_run, sysexit_point

%define PAGE rdi
%include "arch/x86_64/registers.inc"
; As struct frame has them: a call's arguments together, the first one lowest.
%define EVERY_REGISTER rax, rbx, rcx, r9, r8, r10, rdx, rsi, rdi, rbp, r11, r12, r13, r14, r15
%macro push_each 1-*
%rep %0
    push %1
%rotate 1
%endrep
%endmacro
%macro pop_each 1-*             ; the last one first
%rep %0
%rotate -1
    pop %1
%endrep
%endmacro
; RFLAGS as C expects them, whatever ring 3 had: AC clear above all, or SMAP is off; DF clear. Needs a stack.
%macro own_flags 0
    push qword 2
    popfq
%endmacro
align 16
trap_common:
    push_each EVERY_REGISTER
    mov rdi, rsp
    test byte [rdi + FRAME_CS], 3
    jz .kernel
    cmp dword [rdi + 15 * 8], 2     ; NMI, #DF and #MC have stacks of their own: the frame is not in a thread
    je .kernel
    cmp dword [rdi + 15 * 8], 8
    je .kernel
    cmp dword [rdi + 15 * 8], 18
    je .kernel
    mov rsp, [rdi + THREAD_STACK]
    own_flags
    xor ebp, ebp
    call trap_from_user
    ud2
.kernel:
    mov rbp, rsp
    and rsp, -16
    own_flags
    call trap_from_kernel
    mov rsp, rbp
    pop_each EVERY_REGISTER
    add rsp, 16
    iretq

; An interrupt. In ring 0 it comes only where C lets it in, with nothing in its registers (irq_window, irq_wait): only RBP is kept.
align 16
irq_common:
    test byte [rsp + 3 * 8], 3      ; CS
    jnz trap_common
    mov edi, [rsp]
    call irq_dispatch
    add rsp, 16
    iretq

; System calls (mullion/abi.h). The software interrupt has pushed into the thread's frame, as an interrupt does.
align 16
syscall_stub:
    push qword 0
    push qword 0x80
any_call:
    push_each EVERY_REGISTER
    mov rdi, rsp
    mov rsp, [rdi + THREAD_STACK]
    own_flags
    xor ebp, ebp
    call syscall_entry
    ud2

%macro kept_registers 1         ; by C functions
    %1 r15, 0
    %1 r14, 1
    %1 r13, 2
    %1 r12, 3
    %1 rbp, 5
    %1 rbx, 13
%endmacro
%macro clear 1-*
%rep %0
    xor %1, %1
%rotate 1
%endrep
%endmacro

; A fast call. rcx, r11: ring 3's RIP and RSP. RSP: cpu_call_stack. CS, SS and RFLAGS in the frame are good for an IRET from an earlier entry, or from
; the thread's start. vcpu_run keeps what a C function keeps; if its thread goes out by IRET, the other registers become what they were at an
; earlier entry.
%macro fast_call 2              ; BY_SYSENTER or BY_SYSCALL, and vcpu_run for it
    mov rsp, [rsp]              ; the end of the frame
    cmp rax, SYS_VCPU_RUN
    jne %%any
    lea rdi, [rsp - FRAME_SIZE]
    mov [rdi + FRAME_RIP], rcx
    mov [rdi + FRAME_RSP], r11
    kept_registers to_page
    mov rsp, [rdi + THREAD_STACK]
%if %1 == BY_SYSENTER
    own_flags
%endif
    call %2
    ud2
%%any:
    mov [rsp - FRAME_SIZE + FRAME_RIP], rcx
    mov [rsp - FRAME_SIZE + FRAME_RSP], r11
    lea rsp, [rsp - FRAME_SIZE + FRAME_VECTOR + 8]
    push qword %1
    jmp any_call
%endmacro

; Interrupts are off. The first instruction is where a #DB comes, if ring 3 had TF set (trap_from_kernel). The upper halves go, so that SYSEXIT and
; IRET find canonical addresses.
align 16
sysenter_entry:
    mov ecx, ecx
    mov r11d, r11d
    fast_call BY_SYSENTER, vmx_run_call

; SYSCALL brings no stack: each CPU has an entry that knows its own. All flags are clear. Only NMI and #MC, which have stacks of their own, can come
; before RSP is loaded.
align 16
syscall_entries:
%assign n 0
%rep MAX_CPUS
    align 16
    mov r11, rsp
    mov rsp, -0x60000000 + n * 0x10000 + 0x1004     ; cpu_call_stack
    jmp syscall_common
%assign n n + 1
%endrep
    times 16 * MAX_CPUS - ($ - syscall_entries) int3    ; they are 16 bytes each
syscall_common:
    fast_call BY_SYSCALL, svm_run_call

; No register of the kernel's reaches ring 3.
sysexit_from_run:
    kept_registers from_page
    mov edx, [rdi + FRAME_RIP]
    mov ecx, [rdi + FRAME_RSP]
    clear eax, esi, r8d, r9d, r10d, r11d, edi
sysexit_way:                    ; RSP: a stack, should an NMI come
    sti
sysexit_point:
    o64 sysexit

sysret_from_run:
    kept_registers from_page
    mov rcx, [rdi + FRAME_RIP]
    mov rsp, [rdi + FRAME_RSP]
    mov r11d, 0x202              ; RFLAGS
    clear eax, edx, esi, r8d, r9d, r10d, edi
    o64 sysret

; The way out that fits the way in. SYSRET of a CPU with AMD-V finds an RIP below USER_VA_MAX: SYSCALL has brought it.
align 16
user_resume:
    mov rsp, rdi
    pop_each EVERY_REGISTER
    cmp qword [rsp], BY_SYSENTER
    jae .fast
    add rsp, 16
    iretq
.fast:
    mov rcx, [rsp - FRAME_VECTOR + FRAME_RIP]
    je .sysexit
    mov rsp, [rsp - FRAME_VECTOR + FRAME_RSP]
    mov r11d, 0x202              ; RFLAGS
    o64 sysret
.sysexit:
    mov r11, rdx
    mov edx, ecx
    mov ecx, [rsp - FRAME_VECTOR + FRAME_RSP]
    mov rsp, [rsp - FRAME_VECTOR + THREAD_STACK]
    jmp sysexit_way

; One stub per vector, 16 bytes each. Vectors 8, 10-14, 17, 21, 29, 30 push an error code (Intel SDM vol. 3, 6.3.1; AMD APM vol. 2, 8.2).
align 16
trap_stubs:
%assign v 0
%rep 256
    align 16
%if v < 32
%define target trap_common
%else
%define target irq_common
%endif
%if v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21 || v == 29 || v == 30
%else
    push qword 0
%endif
    push qword v
    jmp %[target]
%assign v v + 1
%endrep
