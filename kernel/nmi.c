// SPDX-License-Identifier: Apache-2.0
#include "kernel/nmi.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/instr.h"
#include "arch/x86_64/time.h"
#include "drivers/screen.h"
#include "kernel/domain.h"
#include "kernel/log.h"
#include "kernel/thread.h"

#define ANSWER_US 100000u /* in all: a hypervisor below may keep a CPU away */

uint32_t nmis;

void nmi_arrived(const struct frame *f)
{
    struct cpu *c = this_cpu();
    uint32_t asked = read_once(nmis);
    char line[240];
    c->seen_rip = f->rip;
    c->seen_domain = c->current ? c->current->domain->owner : 0;
    if (__atomic_exchange_n(&c->answered, asked, __ATOMIC_SEQ_CST) != asked)
        return;
    asked = __atomic_add_fetch(&nmis, 1, __ATOMIC_SEQ_CST);
    c->answered = asked;
    apic_nmi_others();
    screen_clear();
    log_at_once("\n\nmullion: an NMI. Where each CPU is; then the machine goes on:\n");
    uint64_t until = rdtsc() + us_to_ticks(ANSWER_US);
    for (unsigned i = 0; i < cpu_count; i++) {
        c = cpu_by_number(i);
        while (read_once(c->answered) != asked && rdtsc() < until)
            cpu_pause();
        kformat(line, sizeof line, "  CPU %u%s: rip 0x%lx, domain 0x%lx, path %u begun %lu ticks ago, work 0x%x%s\n", i,
                read_once(c->answered) != asked ? " does not answer" : "", c->seen_rip, c->seen_domain, c->path,
                rdtsc() - c->entered, c->work, c->locks ? ", has the kernel's lock" : "");
        log_at_once(line);
    }
}
