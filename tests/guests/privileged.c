// SPDX-License-Identifier: Apache-2.0
/*
 * Executes every privileged or virtualization instruction in turn, first in ring 0, then in ring 3, and reports what
 * came of each: nothing, or which exception. Rows say what is acceptable; a row outside that is `FAILED`. In ring 3
 * each must raise #GP (13) or #UD (6).
 */
#include "guest.h"

#define UD   (1u << 6)
#define GP   (1u << 13)
#define NM   (1u << 7)
#define PF   (1u << 14)
#define DB   (1u << 1)
#define NONE (1u << 31)

extern const uint8_t privileged_rows[]; /* { uint32_t code, name, ring0 }..., code 0 ends */

struct row {
    uint32_t code, name, ring0, ring3;
};

static volatile uint32_t vector_seen;
static uint32_t resume_at;
uint32_t privileged_stack;
static uint8_t ring3_stack[4096] __attribute__((aligned(16)));

void privileged_call(uint32_t code);
void privileged_call3(uint32_t code, uint32_t stack);
extern uint8_t privileged_resume[], privileged_back[];

static bool in_ring3;

static void on_exception(struct frame *f)
{
    vector_seen = f->vector;
    f->ip = resume_at;
    (void)in_ring3;
}

/* int 0x80 from ring 3: the instruction was executed without a fault, or the fault handler sent us to it. */
static void on_call(struct frame *f)
{
    f->cs = 8;
    f->ip = (uint32_t)(uintptr_t)privileged_back;
}

static const char *outcome(uint32_t v)
{
    switch (v) {
    case 1: return "#DB";
    case 6: return "#UD";
    case 7: return "#NM";
    case 8: return "#DF";
    case 10: return "#TS";
    case 11: return "#NP";
    case 12: return "#SS";
    case 13: return "#GP";
    case 14: return "#PF";
    case 31: return "executed";
    default: return "another exception";
    }
}

int guest_main(uint32_t magic, const struct multiboot *info)
{
    unsigned rows = 0, failed = 0;
    const char *text = info->flags & 4 ? (const char *)(uintptr_t)info->cmdline : "";
    bool plain = false; /* on a plain emulated PC: QEMU 7.2 hangs on these two */
    (void)magic;
    for (; *text; text++)
        plain |= text[0] == 'p' && text[1] == 'l' && text[2] == 'a' && text[3] == 'i' && text[4] == 'n';
    serial_init();
    tables_init();
    pic_init();
    for (uint8_t v = 0; v < 32; v++)
        handle(v, on_exception);
    handle(0x80, on_call);
    for (int ring = 0; ring <= 3; ring += 3) {
        for (const struct row *r = (const struct row *)(uintptr_t)privileged_rows; r->code; r++) {
            uint32_t allowed = ring ? r->ring3 : r->ring0;
            const char *name = (const char *)(uintptr_t)r->name;
            if (!allowed || (plain && !ring && name[0] == 'C' && name[1] == 'R' && name[2] == '4'))
                continue;
            vector_seen = 31;
            resume_at = (uint32_t)(uintptr_t)privileged_resume;
            print("privileged: ring %d %s: ", ring, name);
            if (ring) {
                in_ring3 = true;
                privileged_call3(r->code, (uint32_t)(uintptr_t)ring3_stack + sizeof(ring3_stack));
                in_ring3 = false;
            } else {
                privileged_call(r->code);
            }
            bool good = allowed >> vector_seen & 1;
            print("%s%s\n", outcome(vector_seen), good ? "" : " FAILED");
            rows++;
            if (!good)
                failed++;
        }
    }
    print("privileged: %u executed, %u failed\n", rows, failed);
    guest_exit(failed ? 1 : 0);
}
