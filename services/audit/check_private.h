/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the check share: what was found of the kernel's objects, and how a violation is told.
 */
#ifndef AUDIT_CHECK_PRIVATE_H
#define AUDIT_CHECK_PRIVATE_H

#include "kernel/domain.h"
#include "services/audit/check.h"
#include "services/audit/walk.h"

#define OWNED_MAX   8192
#define DOMAINS_MAX 512
#define SPACES_MAX  512
#define VCPUS_MAX   (MAX_CPUS + AUDIT_GUESTS_MAX) /* each CPU dedicated, or shared by guests of one vCPU */
#define REACHED_MAX 8192

struct owned {
    uint64_t base, end;
    uint32_t tag;
}; /* the ledger, by rising address */
struct found_domain {
    const struct domain *ring0, *d; /* its address in ring 0, and here */
    uint32_t who;
    bool gone; /* being destroyed, and no CPU can run in it any more */
};
struct found_space {
    const struct space *ring0, *s;
    uint32_t who;
};
struct found_vcpu {
    const struct vcpu *v;
    const struct domain *domain;
    uint64_t state, fpu, table;
    uint32_t who;
}; /* physical; fpu: the page of GROUP_FPU, if there is one; table: its space's */
struct reached {
    uint64_t base, end;
    uint32_t who;
}; /* by a guest */

struct check {
    const struct view *view;
    const struct audit_boot *boot;
    struct audit_answer *out;
    bool too_much;
    unsigned owned_count, domain_count, space_count, vcpu_count, reached_count;
    struct owned owned[OWNED_MAX];
    struct found_domain domain[DOMAINS_MAX];
    struct found_space space[SPACES_MAX];
    struct found_vcpu vcpu[VCPUS_MAX];
    struct reached reached[REACHED_MAX];
    struct walk walk;
    /* of the walk that goes on */
    uint32_t who;
    const struct domain *walking; /* in ring 0; NULL: not a program's table */
    uint64_t hash;
    bool apic_by_cpu, spec_ctrl_open; /* of the MSR bitmap that is looked at */
};

/* Counts it, and lists it as long as there is room. */
void violation(struct check *c, struct audit_violation v);

/* The service that has this tag; NULL: none. */
static inline const struct audit_service *service_of(const struct audit_boot *boot, uint32_t tag)
{
    for (uint32_t i = 0; i < boot->service_count && i < AUDIT_SERVICES_MAX; i++)
        if (boot->service[i].tag == tag)
            return &boot->service[i];
    return NULL;
}

/* collect.c: the ledger, domains, spaces, vCPUs. */
void collect(struct check *c);

/* rules.c: what may reach what. */
void rule_reach(struct check *c, const struct walk_run *run); /* a program or a guest */
void rule_ring0(struct check *c, const struct walk_run *run); /* the kernel's half */
void rule_two_guests(struct check *c);
void rule_device_memory(struct check *c); /* is no RAM */

/* bitmaps.c: what guests and programs reach besides memory. */
void check_bitmaps(struct check *c);

/* A hash of numbers in their order. */
static inline uint64_t mix(uint64_t hash, uint64_t x)
{
    hash = (hash ^ x) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 29;
}

#endif
