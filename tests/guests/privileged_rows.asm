; SPDX-License-Identifier: Apache-2.0
; The instructions of the privileged guest, one small routine each, with the outcomes that a correct PC may show. Every routine
; keeps the stack as it was; the fault handler resumes at privileged_resume with the registers of the fault.
bits 32

UD   equ 1 << 6
GP   equ 1 << 13
PF   equ 1 << 14
RUN  equ 1 << 31

section .text
extern guest_exit
global privileged_call, privileged_call3, privileged_resume, privileged_back

; void privileged_call(code): in ring 0
privileged_call:
    pushad
    pushfd
    mov [saved_esp], esp
    mov dword [ring], 0
    call [esp + 40]
privileged_resume:
    ; here after the routine's return and after a fault in it, in ring 0 or 3
    cmp dword [ring], 3
    je .from3
    mov esp, [saved_esp]
    mov eax, cr0
    and eax, ~0xe               ; MP, EM, TS off
    mov cr0, eax
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    popfd
    popad
    ret
.from3:
    int 0x80

; void privileged_call3(code, stack): in ring 3
privileged_call3:
    pushad
    pushfd
    mov [saved_esp], esp
    mov dword [ring], 3
    mov ecx, [esp + 40]
    mov edx, [esp + 44]
    sub edx, 4
    mov dword [edx], privileged_resume
    mov ax, 0x23
    mov ds, ax
    mov es, ax
    push 0x23
    push edx
    push 2
    push 0x1b
    push ecx
    iretd
; int 0x80's handler returns to here, in ring 0 (same privilege: no stack change, three words popped)
privileged_back:
    mov esp, [saved_esp]
    mov dword [ring], 0
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    popfd
    popad
    ret

; row NAME, ring 0 outcomes, ring 3 outcomes (0: not tried there), instructions...
%macro row 4+
[section .rowtext progbits alloc exec]
%%code:
    %4
    ret
[section .rownames progbits alloc noexec]
%%name: db %1, 0
[section .rowdata progbits alloc noexec]
    dd %%code, %%name, %2, %3
__?SECT?__
%endmacro

%define NL
section .rowdata progbits alloc noexec align=4
global privileged_rows
privileged_rows:

; what every kernel does at boot
%macro r_lgdt 0
    sub esp, 8
    sgdt [esp]
    lgdt [esp]
    add esp, 8
%endmacro
%macro r_lidt 0
    sub esp, 8
    sidt [esp]
    lidt [esp]
    add esp, 8
%endmacro
%macro r_lgdt3 0
    lgdt [zero]
%endmacro
%macro r_xsetbv 0
    mov eax, cr4
    or eax, 1 << 18
    mov cr4, eax
    xor ecx, ecx
    xor edx, edx
    mov eax, 3
    xsetbv
%endmacro
%macro r_xsetbv_bad 0
    xor ecx, ecx
    mov edx, -1
    mov eax, -1
    xsetbv
%endmacro
%macro r_msr_bad 0
    mov ecx, 0x12345678
    rdmsr
%endmacro
%macro r_wrmsr_bad 0
    mov ecx, 0x12345678
    xor eax, eax
    xor edx, edx
    wrmsr
%endmacro
%macro r_feature 0
    mov ecx, 0x3a
    xor eax, eax
    xor edx, edx
    wrmsr
%endmacro
%macro r_svme 0
    mov ecx, 0xc0000080
    rdmsr
    or eax, 1 << 12
    wrmsr
%endmacro
%macro r_cr0_bad 0
    mov eax, cr0
    or eax, 1 << 31
    and eax, ~1
    mov cr0, eax
%endmacro
%macro r_cr4_bad 0
    mov eax, cr4
    or eax, 1 << 31
    mov cr4, eax
%endmacro
%macro r_vmxe 0
    mov eax, cr4
    or eax, 1 << 13
    mov cr4, eax
%endmacro
%macro r_pke 0                 ; CPUID does not offer it
    mov eax, cr4
    or eax, 1 << 22
    mov cr4, eax
%endmacro
%macro r_mce 0                  ; whatever the register holds, the guest reads what it has written: else #UD
    mov eax, cr4
    or eax, 1 << 6
    mov cr4, eax
    mov eax, cr4
    test eax, 1 << 6
    jz %%wrong
    and eax, ~(1 << 6)
    mov cr4, eax
    mov eax, cr4
    test eax, 1 << 6
    jz %%right
%%wrong:
    ud2
%%right:
%endmacro
%macro r_cd 0                  ; the guest reads what it has written, by each instruction that reads it: else #UD
    mov eax, cr0
    or eax, 3 << 29             ; CD, NW
    mov cr0, eax
    mov ebx, cr0
    smsw ecx
    smsw [area]
    smsw dx
    clts
    and eax, ~(3 << 29)
    mov cr0, eax
    mov eax, cr0
    cmp dx, [area]
    jne %%wrong
    xor ebx, eax
    xor ecx, eax
    and ebx, 3 << 29
    and ecx, 3 << 29
    cmp ebx, 3 << 29
    jne %%wrong
    cmp ecx, ebx
    je %%right
%%wrong:
    ud2
%%right:
%endmacro
%macro r_pat 0                 ; likewise
    mov ecx, 0x277
    rdmsr
    mov ebx, eax
    mov esi, edx
    mov eax, 0x00010405         ; UC, WC, WT, WP
    mov edx, 0x06050400
    wrmsr
    xor eax, eax
    rdmsr
    cmp eax, 0x00010405
    mov eax, ebx
    mov edx, esi
    wrmsr
    je %%right
    ud2
%%right:
%endmacro
%macro r_mov_cr 0
    mov eax, cr0
    mov cr0, eax
    mov eax, cr3
    mov cr3, eax
    mov eax, cr4
    mov cr4, eax
    mov eax, cr2
    mov cr2, eax
%endmacro
%macro r_mov_dr 0
    xor eax, eax
    mov dr0, eax
    mov eax, dr7
    mov dr7, eax
    mov eax, dr6
%endmacro
%macro r_lmsw 0
    smsw ax
    lmsw ax
%endmacro
%macro r_invpcid 0
    xor eax, eax
    db 0x66, 0x0f, 0x38, 0x82, 0x05
    dd zero
%endmacro
%macro r_monitor 0
    mov eax, zero
    xor ecx, ecx
    xor edx, edx
    monitor
%endmacro
%macro r_mwait 0
    mov eax, zero
    xor ecx, ecx
    xor edx, edx
    monitor
    mov dword [zero], 0
    xor eax, eax
    mwait
%endmacro
%macro r_rdpmc 0
    mov ecx, 0x7fffffff
    rdpmc
%endmacro
%macro r_ltr 0
    xor eax, eax
    ltr ax
%endmacro
%macro r_lldt 0
    xor eax, eax
    lldt ax
%endmacro
%macro r_vmxon 0
    vmxon [zero]
%endmacro
%macro r_vmptrld 0
    vmptrld [zero]
%endmacro
%macro r_vmclear 0
    vmclear [zero]
%endmacro
%macro r_vmread 0
    xor eax, eax
    db 0x0f, 0x78, 0xc0
%endmacro
%macro r_vmwrite 0
    xor eax, eax
    db 0x0f, 0x79, 0xc0
%endmacro
%macro r_invept 0
    xor eax, eax
    db 0x66, 0x0f, 0x38, 0x80, 0x05
    dd zero
%endmacro
%macro r_invvpid 0
    xor eax, eax
    db 0x66, 0x0f, 0x38, 0x81, 0x05
    dd zero
%endmacro
%macro r_vmfunc 0
    xor eax, eax
    xor ecx, ecx
    db 0x0f, 0x01, 0xd4
%endmacro
%macro r_svm 1
    mov eax, 0x00200000         ; page-aligned: a wrong address is a #GP of its own
    db 0x0f, 0x01, %1
%endmacro
%macro r_skinit 0
    xor eax, eax
    db 0x0f, 0x01, 0xde
%endmacro
%macro r_getsec 0
    xor eax, eax
    db 0x0f, 0x37
%endmacro
%macro r_encls 0
    xor eax, eax
    db 0x0f, 0x01, 0xcf
%endmacro
%macro r_pconfig 0
    xor eax, eax
    db 0x0f, 0x01, 0xc5
%endmacro
%macro r_wbnoinvd 0
    db 0xf3, 0x0f, 0x09
%endmacro
%macro r_xsaves 0
    db 0x0f, 0xc7, 0x2d
    dd area
%endmacro
%macro r_sysexit 0
    mov ecx, 0x174
    xor eax, eax
    xor edx, edx
    wrmsr
    sysexit
%endmacro
%macro r_io 0
    in al, 0x80
    out 0x80, al
    mov dx, 0x1234
    in eax, dx
    mov eax, 0x5a5a5a5a
    out dx, eax
%endmacro
%macro r_ins 0
    mov edi, area
    mov dx, 0x1234
    mov ecx, 4
    rep insb
    mov esi, area
    mov ecx, 4
    rep outsb
%endmacro
%macro r_flags 0
    sti
    nop
    cli
%endmacro
%macro r_vmcall 0
    mov eax, 0x4d2
    db 0x0f, 0x01, 0xc1
%endmacro
%macro r_vmmcall 0
    mov eax, 0x4d2
    db 0x0f, 0x01, 0xd9
%endmacro
%macro r_0f01 1
    xor eax, eax
    xor ecx, ecx
    xor edx, edx
    db 0x0f, 0x01, %1
%endmacro
%macro r_mcommit 0
    db 0xf3, 0x0f, 0x01, 0xfa
%endmacro
%macro r_hlt3 0
    hlt
%endmacro
%macro r_apic_bad 0
    mov ecx, 0x1b
    xor eax, eax
    mov edx, 0xffffffff
    wrmsr
%endmacro
%macro r_rdtscp 0
    rdtscp
%endmacro
%macro r_rdpid 0
    db 0xf3, 0x0f, 0xc7, 0xf8
%endmacro
%macro r_rdrand 0
    rdrand eax
%endmacro
%macro r_int_gate 0
    int 0x21
%endmacro

    row "cli, sti",                    RUN,         GP,      r_flags
    row "lgdt",                        RUN,         0,       r_lgdt
    row "lidt",                        RUN,         0,       r_lidt
    row "lgdt (ring 3)",               0,           GP,      r_lgdt3
    row "lldt 0",                      RUN,         GP,      r_lldt
    row "ltr 0",                       0,           GP,      r_ltr         ; ring 0: QEMU's CPU loads it and is lost
    row "clts",                        RUN,         GP,      clts
    row "lmsw",                        RUN,         GP,      r_lmsw
    row "mov to and from CR0, 2, 3, 4", RUN,        GP,      r_mov_cr
    row "mov to and from DR",          RUN,         GP,      r_mov_dr
    row "CR0.PG without PE",           0,           GP,      r_cr0_bad     ; ring 0: QEMU's CPU does not check
    row "CR4 reserved bit",            GP,          GP,      r_cr4_bad
    row "CR4.VMXE",                    GP,          GP,      r_vmxe
    row "CR4.PKE",                     GP,          GP,      r_pke
    row "CR4.MCE on and off",          RUN,         GP,      r_mce
    row "CR0.CD and NW on and off",    RUN,         GP,      r_cd
    row "PAT of every type",           RUN,         GP,      r_pat
    row "invlpg",                      RUN,         GP,      invlpg [zero]
    row "invpcid",                     RUN | UD | GP, GP | UD, r_invpcid
    row "invd",                        RUN,         GP,      invd
    row "wbinvd",                      RUN,         GP,      wbinvd
    row "wbnoinvd",                    RUN,         GP,      r_wbnoinvd
    row "rdmsr of an unknown MSR",     GP,          GP,      r_msr_bad
    row "wrmsr of an unknown MSR",     GP,          GP,      r_wrmsr_bad
    row "wrmsr of a wild APIC base",   GP,          GP,      r_apic_bad
    row "wrmsr FEATURE_CONTROL",       GP | RUN,    GP,      r_feature
    row "EFER.SVME",                   GP,          GP,      r_svme
    row "xsetbv x87 and SSE",          RUN | UD,    GP | UD, r_xsetbv
    row "xsetbv of everything",        GP | UD,     GP | UD, r_xsetbv_bad
    row "rdpmc of a wild counter",     GP | RUN | UD, GP | RUN | UD, r_rdpmc
    row "rdtscp",                      RUN | UD,    RUN | UD, r_rdtscp
    row "rdpid",                       RUN | UD,    RUN | UD, r_rdpid
    row "rdrand",                      RUN | UD,    RUN | UD, r_rdrand
    row "monitor",                     RUN | UD,    GP | UD, r_monitor
    row "monitor, mwait",              0,           GP | UD, r_mwait
    row "in, out",                     RUN,         GP,      r_io
    row "rep insb, rep outsb",         RUN,         GP,      r_ins
    row "hlt (ring 3)",                0,           GP,      r_hlt3
    row "sysexit, SYSENTER_CS 0",      GP,          GP,      r_sysexit
    row "rsm",                         UD,          UD,      rsm
    row "ud2",                         UD,          UD,      ud2
    row "vmcall",                      RUN | UD,    RUN | UD | GP, r_vmcall
    row "vmmcall",                     RUN | UD,    RUN | UD | GP, r_vmmcall
    row "vmxon",                       UD,          UD,      r_vmxon
    row "vmptrld",                     UD,          UD,      r_vmptrld
    row "vmclear",                     UD,          UD,      r_vmclear
    row "vmread",                      UD,          UD,      r_vmread
    row "vmwrite",                     UD,          UD,      r_vmwrite
    row "vmlaunch",                    UD,          UD,      vmlaunch
    row "vmresume",                    UD,          UD,      vmresume
    row "vmxoff",                      UD,          UD,      vmxoff
    row "invept",                      UD,          UD,      r_invept
    row "invvpid",                     UD,          UD,      r_invvpid
    row "vmfunc",                      UD,          UD,      r_vmfunc
    row "vmrun",                       UD,          UD | GP, {r_svm 0xd8}
    row "vmload",                      UD,          UD | GP, {r_svm 0xda}
    row "vmsave",                      UD,          UD | GP, {r_svm 0xdb}
    row "stgi",                        UD,          UD | GP, {r_svm 0xdc}
    row "clgi",                        UD,          UD | GP, {r_svm 0xdd}
    row "skinit",                      UD,          UD | GP, r_skinit
    row "invlpga",                     UD,          UD | GP, {r_svm 0xdf}
    row "rdpru",                       UD,          UD,      {r_0f01 0xfd}
    row "monitorx",                    UD,          UD,      {r_0f01 0xfa}
    row "mwaitx",                      UD,          UD,      {r_0f01 0xfb}
    row "mcommit",                     UD,          UD,      r_mcommit
    row "invlpgb",                     UD,          UD | GP, {r_0f01 0xfe}
    row "tlbsync",                     UD,          UD | GP, {r_0f01 0xff}
    row "getsec",                      UD | GP,     UD | GP, r_getsec
    row "encls",                       UD,          UD | GP, r_encls
    row "pconfig",                     UD,          UD | GP, r_pconfig
    row "xsaves",                      RUN | UD | GP, GP | UD, r_xsaves

section .rowend progbits alloc noexec
    dd 0, 0, 0, 0

section .bss
align 64
zero: resb 64
area: resb 4096
saved_esp: resd 1
ring: resd 1
section .note.GNU-stack noalloc noexec nowrite progbits
