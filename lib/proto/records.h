/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of root, and what root answers: typed records over one channel. The asking side is the channel's
 * "guest" side: from_guest carries requests, to_guest answers. Root never sends a table as text: the asking side lays
 * records out.
 *
 * A request has a number that its sender chose. The answer is any number of records with that number, the last of them
 * an end_record. A record with the number 0 was not asked for: a guest_record says that a guest's state has changed (a
 * new asking side is told of each guest once), a record of kind RECORD_DRAIN wants REQUEST_DRAINED as its answer.
 *
 * Each record has a fixed size, known from its kind. Neither side trusts the other: the reader checks version, kind and
 * size, bounds every count and enum, terminates every string and replaces what cannot be printed in it.
 */
#ifndef LIB_RECORDS_H
#define LIB_RECORDS_H

#include "lib/proto/channel.h"
#include "mullion/types.h"

#define RECORDS_VERSION   2u
#define RECORD_BYTES_MAX  512u
#define RECORD_NAME_BYTES 32 /* with the NUL */
#define RECORD_REASONS    32 /* place for every enum exit_reason */
#define RECORD_CPUS       64

enum record_kind {
    RECORD_REQUEST = 1,
    RECORD_GUEST,
    RECORD_STATS,
    RECORD_MACHINE,
    RECORD_RANGE,
    RECORD_ACCESS,
    RECORD_CPU,
    RECORD_ACCOUNT,
    RECORD_PATH,
    RECORD_DEVICE,
    RECORD_OWNED,
    RECORD_VIOLATION,
    RECORD_AUDIT,
    RECORD_NOTE,
    RECORD_DRAIN,
    RECORD_END,
    RECORD_KIND_COUNT
};

struct record_head {
    uint16_t version; /* RECORDS_VERSION */
    uint16_t kind;    /* enum record_kind */
    uint32_t bytes;   /* of the whole record, this head among them */
    uint32_t request; /* the request that it is or answers; 0: not asked for */
    uint32_t reserved;
};

enum request_kind {
    REQUEST_LIST = 1, /* all guests; answer: guest_record for each, machine_record */
    REQUEST_STATS,    /* name; answer: stats_record */
    REQUEST_MEMORY,   /* range_record for each range, access_record behind a region, machine_record */
    REQUEST_ACCOUNTS, /* for each CPU cpu_record, then account_record for each thread there */
    REQUEST_PATHS,    /* path_record, longest first */
    REQUEST_ERRORS,   /* note_record for each CPU that has told of hardware errors or NMIs */
    REQUEST_DEVICES,  /* device_record for each PCI function of the machine, in the order in which root found them */
    REQUEST_AUDIT,    /* owned_record, violation_record, audit_record */
    /* Answered by a note_record each, in words. */
    REQUEST_START,       /* name */
    REQUEST_STOP,        /* name; argument: seconds that it has after its power button; 0: at once, without that */
    REQUEST_RESTART,     /* name */
    REQUEST_NMI,         /* name: the NMI button */
    REQUEST_BREAK,       /* name: a break on its serial line; argument: a character behind it, 0: none */
    REQUEST_CRASH,       /* name; answer: note_record for each line of what its monitor wrote down at its last crash */
    REQUEST_FAULT,       /* name; argument: enum fault_kind. Tests */
    REQUEST_AUDIT_BREAK, /* name: as REQUEST_AUDIT, with a mapping that should not be; a test */
    /* The machine's end. At once: answered only if the machine cannot do it. */
    REQUEST_POWEROFF, /* argument: seconds that the guests have after their power buttons; 0: at once, without that */
    REQUEST_REBOOT,   /* the same */
    REQUEST_STAY,     /* what these two have begun is called off; guests that went off stay off */
    REQUEST_EXIT,     /* argument: the emulator's exit code */
    REQUEST_DRAINED,  /* the answer to RECORD_DRAIN: the last byte is on the wire. It has none itself */
    REQUEST_KIND_COUNT
};

/* What is given where the user names no time: longer than the 90 s after which systemd ends what does not end. */
#define STOP_SECONDS     120u
#define STOP_SECONDS_MAX 3600u

/* What a monitor in an image with test code is made to do. */
enum fault_kind {
    FAULT_CRASH = 0,
    FAULT_HOSTILE,
    FAULT_RELOAD, /* no fault: it saves its guest while that runs, forgets all but its memory, and loads it back */
    FAULT_SPIN,   /* its thread for devices computes for ever */
    FAULT_KIND_COUNT
};

struct request_record {
    struct record_head head;
    uint32_t what; /* enum request_kind */
    uint32_t reserved;
    uint64_t argument;
    char name[RECORD_NAME_BYTES]; /* of a guest; empty: none */
};

/* A guest's state as a user sees it. */
enum guest_life {
    LIFE_OFF = 0, /* it has switched itself off, was stopped, or was never started */
    LIFE_CRASHED,
    LIFE_FAILED,     /* it could not be started */
    LIFE_CLEARING,   /* its memory is being zeroed; then it is off */
    LIFE_RESTARTING, /* the same, or it waits; then it starts again */
    LIFE_STARTING,   /* its monitor loads it */
    LIFE_RUNNING,
    LIFE_STOPPING, /* its power button was pressed; in time it is stopped */
    LIFE_GONE,     /* no guest has this number any more: all else is 0 */
    LIFE_COUNT
};

struct guest_record {
    struct record_head head;
    char name[RECORD_NAME_BYTES];
    uint32_t number; /* below CONFIG_GUESTS_MAX; another guest may have it later */
    uint32_t served; /* 1: the console that asks has its channel and its event, by this number */
    uint32_t life;   /* enum guest_life */
    uint32_t restarts;
    uint32_t percent;          /* of cpu[0], which it shares with others; 0: its CPUs are its own */
    uint32_t cpu_count;        /* vCPUs, at most RECORD_CPUS */
    uint16_t cpu[RECORD_CPUS]; /* vCPU i runs on CPU cpu[i] */
    uint64_t memory;           /* bytes */
    uint64_t ticks, exits;     /* in all its lives */
    uint64_t uptime;           /* ticks since it was started; 0: it is not on */
    uint64_t life_ticks;       /* of `ticks`, those since then */
    char reason[256];          /* why it is not on; LIFE_STOPPING: what comes next; may be empty */
};

struct stats_record {
    struct record_head head;
    char name[RECORD_NAME_BYTES];
    uint32_t on;       /* 1: figures of its present life; 0: of its last one */
    uint32_t reserved; /* also: what follows about kernel memory is known while it is on only */
    uint64_t start_ticks;
    uint64_t kernel_bytes, kernel_bytes_most;
    uint64_t exits[RECORD_REASONS]; /* by enum exit_reason, of all its vCPUs */
};

struct machine_record {
    struct record_head head;
    uint32_t guests, guests_left_out; /* of the configuration */
    uint64_t ram_bytes, ram_free_bytes;
    uint64_t kernel_pages, kernel_pages_most; /* of the kernel's pool, root's */
};

enum range_what { RANGE_MODULE = 0, RANGE_RAM, RANGE_KEPT, RANGE_MONITOR, RANGE_REGION, RANGE_WHAT_COUNT };

struct range_record {
    struct record_head head;
    uint32_t what; /* enum range_what; RANGE_KEPT: for a guest that is off */
    uint32_t reserved;
    uint64_t base, bytes; /* host-physical */
    char name[128];       /* of the guest, the module, the region */
};

/* Behind the range_record of a region: one guest that may reach it. */
struct access_record {
    struct record_head head;
    uint32_t writable; /* 0, 1 */
    uint32_t reserved;
    char region[RECORD_NAME_BYTES], guest[RECORD_NAME_BYTES];
};

/* All in ticks since power-on. On each CPU idle, kernel, gone and the ticks of all accounts add up to tsc, but for the
 * few thousand that the reading takes. */
struct cpu_record {
    struct record_head head;
    uint32_t cpu, reserved;
    uint64_t tsc, idle;
    uint64_t kernel; /* between two threads */
    uint64_t gone;   /* of threads that are no more */
};

enum account_kind { ACCOUNT_SERVICE = 0, ACCOUNT_DEVICES, ACCOUNT_VCPU, ACCOUNT_KIND_COUNT };

struct account_record {
    struct record_head head;
    char name[RECORD_NAME_BYTES]; /* of the service, or of the guest */
    uint32_t kind;                /* enum account_kind; ACCOUNT_DEVICES: the thread for a guest's devices */
    uint32_t cpu;
    uint32_t vcpu, vcpu_count; /* ACCOUNT_VCPU: which of how many */
    uint64_t ticks;
    uint64_t exit_ticks[RECORD_REASONS]; /* ACCOUNT_VCPU: the part of ticks that exits cost, by enum exit_reason */
};

/* The longest stay in ring 0 with interrupts off that a system call, or a kind of interrupt, has made. */
struct path_record {
    struct record_head head;
    uint32_t path; /* SYS_*, PATH_*: mullion/abi.h */
    uint32_t cpu;  /* where */
    uint64_t ticks;
};

enum device_interrupt {
    DEVICE_QUIET = 0,  /* it may raise none */
    DEVICE_BY_LINE,    /* a line of an I/O APIC, which other functions may share */
    DEVICE_BY_MESSAGE, /* MSI */
    DEVICE_INTERRUPT_COUNT
};

#define DEVICE_MSI  1u
#define DEVICE_MSIX 2u

/* A PCI function of the machine. */
struct device_record {
    struct record_head head;
    uint32_t place; /* bus << 8 | device << 3 | function */
    uint32_t class; /* class << 16 | subclass << 8 | interface */
    uint16_t vendor, device;
    uint32_t pin;       /* 1..4: INTA to INTD, which it could raise; 0: none */
    uint32_t messages;  /* DEVICE_MSI | DEVICE_MSIX: how it could raise messages */
    uint32_t master;    /* 1: it may read and write memory by itself */
    uint32_t interrupt; /* enum device_interrupt: what its driver uses */
    uint32_t number;    /* DEVICE_BY_LINE: the GSI; DEVICE_BY_MESSAGE: the vector */
    uint32_t cpu;       /* that takes it */
    uint32_t driven;    /* 1: its driver runs; 0: it has none, or that stays away */
    uint32_t reserved;
    char driver[48]; /* the service that drives it, in words; empty: none */
};

enum owner_kind {
    OWNER_NONE = 0,
    OWNER_ROOT,
    OWNER_MODULE,
    OWNER_KERNEL,
    OWNER_LOG,
    OWNER_SCREEN,
    OWNER_SERVICE, /* name */
    OWNER_GUEST,   /* name */
    OWNER_MONITOR, /* name: of that guest */
    OWNER_REGION,  /* name */
    /* sums, in owned_record only */
    OWNER_MONITORS,
    OWNER_SHARED,
    OWNER_SERVICES,
    OWNER_MODULES,
    OWNER_FREE,
    OWNER_UNKNOWN, /* tag */
    OWNER_KIND_COUNT
};

struct record_owner {
    uint32_t kind;   /* enum owner_kind */
    uint32_t shared; /* 1: what root shares with that one */
    uint32_t tag;    /* TAG_*, mullion/abi.h */
    uint32_t reserved;
    char name[RECORD_NAME_BYTES];
};

/* How much one owner has. */
struct owned_record {
    struct record_head head;
    struct record_owner owner;
    uint64_t bytes;
};

struct violation_record {
    struct record_head head;
    uint32_t kind; /* enum audit_kind, lib/proto/audit_boot.h: says what the other fields mean */
    uint32_t reserved;
    struct record_owner who, other; /* the one that reaches; the one to which it belongs */
    uint64_t where, size, at;
};

enum audit_broken { BROKEN_NOTHING = 0, BROKEN_FOUND, BROKEN_MISSED, BROKEN_COUNT };

/* The checker's verdict, behind its violations. */
struct audit_record {
    struct record_head head;
    uint32_t verdict; /* enum audit_verdict */
    uint32_t tries;
    uint32_t tables, leaves, ranges, domains, spaces, vcpus;
    uint32_t violations, listed; /* all; those of which there was a record */
    uint32_t broken;             /* REQUEST_AUDIT_BREAK: what became of the mapping: enum audit_broken */
    uint32_t reserved;
    uint64_t ticks, digest;
};

enum note_severity { NOTE_INFO = 0, NOTE_ERROR, NOTE_SEVERITY_COUNT };

/* A sentence for a person: what was done, or why not, and what to do about it. */
struct note_record {
    struct record_head head;
    uint32_t severity; /* enum note_severity */
    uint32_t reserved;
    char text[240];   /* a sentence or two */
    char advice[120]; /* one more; may be empty */
};

enum answer_status {
    ANSWER_DONE = 0,
    ANSWER_REFUSED,   /* a note says why */
    ANSWER_NO_GUEST,  /* none is called so */
    ANSWER_MALFORMED, /* the request was no record of this version */
    ANSWER_UNKNOWN,   /* there is no such request */
    ANSWER_BUSY,      /* another request is being answered */
    ANSWER_STATUS_COUNT
};

struct end_record {
    struct record_head head;
    uint32_t status; /* enum answer_status */
    uint32_t reserved;
};

union record {
    struct record_head head; /* RECORD_DRAIN has nothing else */
    struct request_record request;
    struct guest_record guest;
    struct stats_record stats;
    struct machine_record machine;
    struct range_record range;
    struct access_record access;
    struct cpu_record cpu;
    struct account_record account;
    struct path_record path;
    struct device_record device;
    struct owned_record owned;
    struct violation_record violation;
    struct audit_record audit;
    struct note_record note;
    struct end_record end;
};
_Static_assert(sizeof(union record) <= RECORD_BYTES_MAX && RECORD_BYTES_MAX <= CHANNEL_RING_BYTES, "a ring holds any");

/* Makes `out` an empty record of that kind; head.request is 0. */
void record_begin(union record *out, enum record_kind kind);
/* A note_record's text; cut where it is too long. */
void record_note(struct note_record *out, enum note_severity severity, const char *text, ...) print_like(3, 4);
void record_advice(struct note_record *out, const char *text, ...) print_like(2, 3);

/* Whole or not at all. False: no room now. */
bool record_send(struct channel_ring *r, const union record *record) must_check;

enum record_result {
    RECORD_NONE = 0, /* not all of it is there yet */
    RECORD_READY,    /* reader->record is the next one, checked */
    RECORD_BAD, /* there was something that is no record: it is skipped. head.request: its number, 0 if not known */
};

struct record_reader {
    union record record;
    uint32_t have, skip; /* bytes that are here; that belong to a bad record and are still to come */
};

/* A record with a senseless length empties the ring: the stream starts anew behind it. */
enum record_result record_receive(struct record_reader *reader, struct channel_ring *r) must_check;

#endif
