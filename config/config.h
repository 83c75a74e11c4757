/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mullion.conf: text in, struct config out. config_parse is given the text and what the machine has. It reports every
 * mistake with its line number and with what is allowed. A guest with a mistake is left out; the others are complete.
 * It never reads past the end of the text, allocates nothing and makes no system call. The same code runs in root and
 * in the host command `mullion check`.
 *
 * The keys: config/keys.c; for users, docs/configuration.md.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "lib/proto/vmm_boot.h"
#include "mullion/cpuset.h"
#include "mullion/types.h"

#ifndef CONFIG_GUESTS_MAX /* a test asks for more */
#define CONFIG_GUESTS_MAX 256
#endif
#define CONFIG_NAME_MAX      32           /* with the NUL */
#define CONFIG_LINE_MAX      4096         /* bytes in a line */
#define CONFIG_CMDLINE_MAX   2048         /* with the NUL; struct vmm_boot's */
#define CONFIG_ARGS_MAX      256          /* with the NUL; struct vmm_module's */
#define CONFIG_REPORTS_MAX   64           /* mistakes reported one by one; the rest is counted */
#define CONFIG_MESSAGE_MAX   480          /* bytes of one report, with the NUL: it fits in a line of the log */
#define CONFIG_TEXT_MAX      (128u << 10) /* bytes of all guests' command lines and module arguments, with NULs */
#define CONFIG_MEMORY_MIN    (2ull << 20) /* the least that a loader takes */
#define CONFIG_MEMORY_MAX    (1ull << 42)
#define CONFIG_OVERHEAD      (1ull << 20)   /* memory that a guest's monitor needs beside the guest's own... */
#define CONFIG_OVERHEAD_CPU  (128ull << 10) /* ...and for each vCPU */
#define CONFIG_KERNEL        (384ull << 10) /* of the kernel's own memory, for its objects and tables... */
#define CONFIG_KERNEL_CPU    (64ull << 10)  /* ...and for each vCPU */
#define CONFIG_KERNEL_HOST   (1ull << 20)   /* root, the console and the checker */
#define CONFIG_KERNEL_REGION (128ull << 10) /* for each region that a guest names: tables, twice, and to move it */
#define CONFIG_REGIONS_MAX   32             /* regions that guests share, in all; VMM_REGIONS_MAX in one guest */
#define CONFIG_REGION_MIN    PAGE_SIZE
#define CONFIG_REGION_MAX    VMM_REGION_STRIDE

struct config_module {
    const char *name;
    uint64_t size;
};

/* What the machine has. */
struct config_machine {
    unsigned cpus;          /* numbered 0.. */
    uint64_t memory;        /* bytes that guests and their monitors may use */
    uint64_t kernel_memory; /* bytes that ring 0 may spend on them */
    unsigned module_count;
    const struct config_module *module;
};

/* One item of a guest's `shared-memory`. */
struct config_region_use {
    char name[CONFIG_NAME_MAX];
    uint64_t size; /* bytes, a power of two */
    bool writable;
    unsigned region; /* index into config.region */
};

/* Memory that guests share: one entry for each region that at least one valid guest names. */
struct config_region {
    char name[CONFIG_NAME_MAX];
    uint64_t size;
    unsigned users;           /* valid guests that name it, at most VMM_PEERS_MAX */
    unsigned line;            /* where it was named first... */
    char by[CONFIG_NAME_MAX]; /* ...by this guest */
};

enum config_policy { POLICY_STOP = 0, POLICY_RESTART };

struct config_guest {
    char name[CONFIG_NAME_MAX];
    unsigned line;               /* of its section's head */
    unsigned cpu_count;          /* vCPUs */
    uint16_t cpu[VMM_VCPUS_MAX]; /* vCPU i runs on cpu[i] */
    struct cpuset cpus;          /* the same CPUs as a set */
    bool has_share;              /* one vCPU with a share of its CPU: */
    unsigned percent;
    uint32_t period_us;
    bool borrow;                              /* it may use the CPU beyond its share while that would be idle */
    uint64_t memory;                          /* bytes, whole pages */
    unsigned module_count;                    /* [0] the kernel; then initrd, or the Multiboot modules */
    bool initrd;                              /* [1] was named by `initrd` */
    unsigned module[VMM_MODULES_MAX];         /* index into config_machine.module */
    const char *module_args[VMM_MODULES_MAX]; /* name and arguments, as the guest is to see them; in config.text */
    const char *cmdline;                      /* in config.text */
    enum config_policy on_crash, on_reboot;
    bool autostart;
    struct vmm_options options; /* for its monitor alone; root copies it whole */
    unsigned region_count;      /* memory shared with other guests */
    struct config_region_use region[VMM_REGIONS_MAX];
};

struct config {
    bool console_serial, console_screen;
    unsigned log_level;         /* 0 error .. 3 debug */
    struct cpuset service_cpus; /* where root places the services and drivers; never empty */
    unsigned guest_count;
    struct config_guest guest[CONFIG_GUESTS_MAX];
    unsigned region_count;
    struct config_region region[CONFIG_REGIONS_MAX];
    unsigned text_used;
    char text[CONFIG_TEXT_MAX];  /* for what has no fixed size; shared, so that many guests take little memory */
    unsigned mistakes, left_out; /* how many mistakes; how many guests were left out for one */
};

/* Called for each mistake and note, in the order found. `text` has no newline and only printable bytes. */
typedef void config_report(void *context, unsigned line, const char *text);

/* What holds without any text: no guest, and each key of [host] at its default. */
void config_defaults(struct config *c);
/* `text` is not needed any more when it returns. Not reentrant. */
void config_parse(struct config *c, const char *text, size_t size, const struct config_machine *machine,
                  config_report *report, void *context);

/* "512M", "96K", "1234": the largest unit that says it exactly. */
const char *config_size_text(char *out, size_t size, uint64_t bytes);

#endif
