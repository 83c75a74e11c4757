/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services: the programs that root starts beside the guests' monitors. Each is a row: what it is given, what it must be
 * told, and what happens when it dies. Making, watching, starting again and ending are the same for all, and are here.
 *
 * A service runs in a domain of its own with one thread. It has an event, which outlives it, and pages that it shares
 * with root. A service that dies is started again as its row says; then its clients are told.
 *
 * Services are placed on the CPUs of the key `service-cpus` in turn, in the order in which they are added: the first
 * one on the first CPU. Each stays on its CPU, also when it is started again. Root itself runs on CPU 0.
 */
#ifndef ROOT_SERVICE_H
#define ROOT_SERVICE_H

#include "lib/proto/audit_boot.h"
#include "mullion/types.h"
#include "services/root/root.h"

/* Where a handle of a row comes from: one of root's fixed slots (ROOT_SLOT_*), or one of these. */
enum {
    SERVICE_SELF = 0x10000, /* the service's own domain */
    SERVICE_EVENT,          /* its event */
    SERVICE_ROOT_EVENT,     /* root's; the service signals ROOT_EVENT_SERVICES */
    SERVICE_SHARED,         /* the pages that root shares with it */
};

struct service_grant {
    uint32_t from;          /* ROOT_SLOT_* or SERVICE_* */
    uint32_t rights;        /* RIGHT_* */
    uint32_t slot;          /* in the service's handle table */
    bool (*wanted)(void);   /* NULL: always */
    const char *if_missing; /* a warning: the service runs without it. NULL: it cannot run without */
};

struct service_mapping {
    uint64_t address; /* in the service's domain */
    uint32_t from;    /* ROOT_SLOT_* or SERVICE_SHARED */
    uint32_t rights;
    uint64_t offset, size; /* bytes, whole pages; size 0: the whole object */
};

enum service_start {
    SERVICE_AT_BOOT,   /* and again at once after its death */
    SERVICE_ON_DEMAND, /* when service_start is called; after its death too */
};

struct service;

struct service_row {
    const char *name;  /* of the program in the image, and of its account */
    const char *title; /* in messages: "the console" */
    uint32_t tag;      /* TAG_*, of its own memory */
    enum service_start start;
    unsigned priority;             /* PRIORITY_* */
    uint32_t budget_us, period_us; /* 0: not capped */
    uint64_t stack_top, stack_bytes;
    uint64_t shared_bytes;
    uint64_t quota_pages;         /* of kernel memory, beside the tables for its image */
    uint64_t (*more_pages)(void); /* what this machine adds to that; NULL: nothing */
    const struct service_grant *grants;
    unsigned grant_count;
    const struct service_mapping *mappings;
    unsigned mapping_count;
    struct audit_service may; /* what the checker is told that it may reach; the tag is filled in */
    /* Before it is made: fills in the shared pages. */
    void (*fill)(struct service *s);
    /* While it is made: what is no fixed list. On failure it has called service_step. NULL: nothing. */
    enum error (*give)(struct service *s);
    /* It has died and will be, or will not be, started again at once; then `began` if it was. Each may be NULL. */
    void (*died)(struct service *s);
    void (*began)(struct service *s);
};

struct service {
    const struct service_row *row;
    struct service *next;   /* in the order of service_add */
    unsigned char *page;    /* the shared pages, in root */
    unsigned cpu;           /* where it runs, for good */
    uint64_t event, shared; /* handles, for good */
    uint64_t private_hpa, private_bytes;
    uint64_t domain, memory, thread; /* handles; 0: it does not run */
    unsigned starts;                 /* so far */
    uint64_t start_at[4];            /* TSC of the last ones, a ring */
    bool alive;
    char step[96]; /* what was tried last while it was made */
};

/* The service's CPU, event, pages and place in memory, for as long as the machine runs. What fails is logged, and then
 * the service never starts. */
void service_add(struct service *s, const struct service_row *row);
/* All that were added. */
struct service *service_first(void);
/* When all have been added: the log says on which CPUs this guest has services or root beside it, and which. Once the
 * console runs: before, ring 0 would send each line byte by byte, with interrupts off. */
void services_log_sharing(const struct config_guest *guest);

/* Makes it, if it does not run and has not died too often. True: it runs. */
bool service_start(struct service *s);
/* Each that has died is cleared away, and started again by its row. */
void services_watch(void);
/* Ends it as a failure: `how` says what it did. It is started again by its row. */
void service_failed(struct service *s, const char *how);

/* For `give`: names what is done next, for the message if that fails. */
void service_step(struct service *s, const char *text, ...) print_like(2, 3);
enum error service_grant(struct service *s, uint64_t handle, uint64_t rights, uint64_t slot) must_check;
enum error service_map(struct service *s, uint64_t address, uint64_t memory, uint64_t offset, uint64_t size,
                       uint64_t rights) must_check;

#endif
