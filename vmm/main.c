// SPDX-License-Identifier: Apache-2.0
/*
 * The monitor of one guest. Root starts thread 0 and one thread per vCPU, all here.
 *
 * Thread 0 builds the machine in this order: space and memory; then every vCPU's thread makes its own vCPU (the kernel
 * binds the two); then the state pages exist and the APICs, the tables and the guest's image are set up; then the vCPUs
 * go. After that thread 0 serves the console and root's commands. A thread that has nothing left to do returns; when
 * the last has, root hears of it.
 */
#include "lib/print.h"
#include "lib/string.h"
#include "lib/syscall.h"
#include "vmm/cpu/exits.h"
#include "vmm/save.h"
#include "vmm/test.h"

#define BOOT    ((const struct vmm_boot *)VMM_BOOT_VA)
#define CONTROL ((struct vmm_control *)VMM_CONTROL_VA)
#define CHANNEL ((struct guest_channel *)VMM_CHANNEL_VA)

#define POLL_TICKS 200000u /* while the other threads come up, a few times in a guest's life */

static struct vm vm;
static _Atomic uint32_t vcpus_made;

void thread_main(uint64_t arg);

/* --- vCPU threads --- */

static bool own_event(unsigned thread)
{
    struct syscall_result r = sys_event_create();
    if (r.error != OK)
        vm_end(&vm, GUEST_FAILED, 0, "no event for thread %u (error %d)", thread, (int)r.error);
    else
        atomic_store(&vm.lock.thread[thread].event, r.value);
    return r.error == OK;
}

/* Waits until thread 0 lets this thread go on. */
static bool wait_for_go(unsigned thread)
{
    for (;;) {
        struct syscall_result r = sys_event_wait(atomic_load(&vm.lock.thread[thread].event), THREAD_EVENT_GO, NEVER);
        if (r.error == OK)
            return !atomic_load(&vm.ending);
        if (r.error != E_TIMEOUT && r.error != E_AGAIN)
            return false;
    }
}

/* Out of the guest until thread 0 has reset the machine, or the pause is over. False: there is no more guest. */
static bool park(unsigned thread)
{
    struct vm_vcpu *v = &vm.vcpu[thread - 1];
    if (atomic_load(&vm.ending) != VM_PAUSES)
        machine_fpu(v);
    else if (!vcpu_fetch_all(v))
        return false;
    if (atomic_fetch_add(&vm.parked, 1) + 1 == vm.vcpus)
        (void)sys_event_signal(atomic_load(&vm.lock.thread[0].event), THREAD_EVENT_GO);
    return wait_for_go(thread);
}

static void find_pages(void) /* every thread: none knows whether it is the first */
{
    vm.boot = BOOT;
    vm.control = CONTROL;
    vm.channel = &CHANNEL->terminal;
    vm.words = &CHANNEL->words;
}

static void vcpu_thread(unsigned index)
{
    find_pages();
    if (index >= VMM_VCPUS_MAX || !own_event(index + 1) || atomic_load(&vm.ending) || !wait_for_go(index + 1))
        return;
    struct vm_vcpu *v = &vm.vcpu[index];
    uint64_t page = VMM_STATE_VA + index * 4096ull;
    struct syscall_result r = sys_vcpu_create(vm.space, page);
    if (r.error == OK)
        r.error = sys_vcpu_bind(v->event);
    if (r.error != OK) {
        vm_end(&vm, GUEST_FAILED, 0, "vCPU %u cannot be made (error %d)", index, (int)r.error);
        return;
    }
    v->vm = &vm;
    v->index = index;
    v->handle = r.value;
    v->state = (struct vcpu_state *)page;
    atomic_fetch_add(&vcpus_made, 1);
    bool go = wait_for_go(index + 1);
    while (go) {
        vcpu_loop(v);
        go = atomic_load(&vm.ending) != VM_ENDS && park(index + 1);
    }
    test_thread_ends(&vm, index + 1, v->state);
}

/* --- thread 0 --- */

static void pause_a_little(void)
{
    (void)sys_event_wait(atomic_load(&vm.lock.thread[0].event), THREAD_EVENT_GO, tsc_now() + POLL_TICKS);
}

static void let_go(void)
{
    for (unsigned i = 1; i <= vm.vcpus; i++) {
        uint64_t event;
        while ((event = atomic_load(&vm.lock.thread[i].event)) == 0 && !atomic_load(&vm.ending))
            pause_a_little();
        if (event != 0)
            (void)sys_event_signal(event, THREAD_EVENT_GO);
    }
}

bool vm_pause(struct vm *m)
{
    uint32_t why = VM_GOES_ON;
    if (!atomic_compare_exchange_strong(&m->ending, &why, VM_PAUSES))
        return false;
    for (unsigned i = 0; i < m->vcpus; i++)
        vm_kick(m, i);
    while ((why = atomic_load(&m->ending)) == VM_PAUSES && atomic_load(&m->parked) < m->vcpus)
        pause_a_little();
    if (why == VM_ENDS)
        let_go(); /* those that are parked already see that it is over */
    return why == VM_PAUSES;
}

void vm_go_on(struct vm *m)
{
    uint32_t why = VM_PAUSES;
    atomic_store(&m->parked, 0);
    (void)atomic_compare_exchange_strong(&m->ending, &why, VM_GOES_ON);
    let_go();
}

static enum error map_memory(char *why, size_t why_size)
{
    struct syscall_result space = sys_space_create();
    if (space.error != OK) {
        format(why, why_size, "no guest-physical address space (error %d)", (int)space.error);
        return space.error;
    }
    vm.space = space.value;
    for (uint32_t i = 0; i < BOOT->piece_count && i < VMM_PIECES_MAX; i++) {
        const struct vmm_piece *p = &BOOT->piece[i];
        enum error error = sys_map(vm.space, p->gpa, VMM_SLOT_MEMORY + i, 0, p->size,
                                   RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC);
        if (error == OK)
            error = guest_memory_add(&vm.memory, p->gpa, p->size, (void *)(VMM_GUEST_VA + p->gpa));
        if (error != OK) {
            format(why, why_size, "memory at 0x%lx, %lu KiB, cannot be given to the guest (error %d)", p->gpa,
                   p->size >> 10, (int)error);
            return error;
        }
    }
    return OK;
}

static enum error build(char *why, size_t why_size)
{
    enum error error = map_memory(why, why_size);
    if (error != OK)
        return error;
    error = machine_init(&vm, why, why_size);
    if (error != OK)
        return error;
    let_go();
    while (atomic_load(&vcpus_made) < vm.vcpus) {
        if (atomic_load(&vm.ending))
            return E_STATE;
        pause_a_little();
    }
    vm.boot_tsc = tsc_now();
    for (unsigned i = 0; i < vm.vcpus; i++)
        machine_vcpu_init(&vm, i);
    return machine_load(&vm, why, why_size);
}

static bool may_reset; /* thread 0's alone: root has said so */

static void run_command(void)
{
    uint32_t command = atomic_exchange(&CONTROL->command, COMMAND_NONE);
    switch (command) {
    case COMMAND_RESET: may_reset = true; break;
    case COMMAND_STOP: machine_power_button(&vm); break;
    case COMMAND_NMI: machine_nmi(&vm); break;
    case COMMAND_BREAK: machine_break(&vm, (uint8_t)atomic_load(&CONTROL->argument)); break;
    case COMMAND_CRASH:
    case COMMAND_FUZZ:
    case COMMAND_SPIN:
    case COMMAND_RELOAD: test_command(&vm, command); break;
    default: break;
    }
}

static void device_loop(void)
{
    while (!atomic_load(&vm.ending)) {
        struct syscall_result r = sys_event_wait(
            VMM_SLOT_EVENT, VMM_EVENT_INPUT | VMM_EVENT_CONTROL | VMM_EVENT_INTERNAL | VMM_EVENT_RINGS, NEVER);
        if (r.error == E_TIMEOUT)
            continue;
        if (r.error != OK) {
            vm_say(&vm, "no more console, waiting failed (error %d)", (int)r.error);
            return;
        }
        if (r.value & VMM_EVENT_CONTROL)
            run_command();
        machine_polled(&vm, r.value);
        shared_pay_wake(&vm);
    }
}

/* The guest has asked for a reset, and root has been told. It counts resets: it may let this guest start anew here, or
 * end this program. */
static bool wait_for_leave(void)
{
    while (!may_reset) {
        struct syscall_result r = sys_event_wait(VMM_SLOT_EVENT, VMM_EVENT_CONTROL, NEVER);
        if (r.error == OK)
            run_command();
        else if (r.error != E_TIMEOUT)
            return false;
    }
    may_reset = false;
    return true;
}

static void reset_in_place(void)
{
    char why[200] = "";
    while (atomic_load(&vm.parked) < vm.vcpus)
        pause_a_little();
    atomic_store(&CONTROL->state, GUEST_STARTING);
    enum error error = machine_reset(&vm, why, sizeof why);
    atomic_store(&vm.parked, 0);
    atomic_store(&vm.ending, VM_GOES_ON);
    if (error != OK)
        vm_end(&vm, GUEST_FAILED, 0, "%s", why);
    let_go();
}

static void device_thread(void)
{
    char why[200] = "";
    find_pages();
    if (!own_event(0))
        return;
    if (BOOT->magic != VMM_BOOT_MAGIC || BOOT->vcpus < 1 || BOOT->vcpus > VMM_VCPUS_MAX) {
        vm_end(&vm, GUEST_FAILED, 0, "root's description of the guest is not one");
        return;
    }
    vm.vcpus = BOOT->vcpus;
    atomic_store(&CONTROL->state, GUEST_STARTING);
    if (build(why, sizeof why) != OK) {
        vm_end(&vm, GUEST_FAILED, 0, "%s", why);
        let_go(); /* they see that it is over */
        return;
    }
    let_go();
    device_loop();
    while (atomic_load(&vm.ending) == VM_RESETS && wait_for_leave()) {
        reset_in_place();
        device_loop();
    }
}

void thread_main(uint64_t arg)
{
    if (arg == 0)
        device_thread();
    else
        vcpu_thread((unsigned)(arg - 1));
}
