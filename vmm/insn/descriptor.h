/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment descriptors (Intel SDM vol. 3, 3.4.5). Their attributes in a struct segment are those of the upper word, from
 * its bit 8 on.
 */
#ifndef VMM_DESCRIPTOR_H
#define VMM_DESCRIPTOR_H

#include "mullion/vcpu.h"

#define DESCRIPTOR_ACCESSED (1ull << 40)
#define DESCRIPTOR_G        (1ull << 55)
#define ATTR_TYPE           0x1fu /* with S */
#define ATTR_ACCESSED       0x01u
#define ATTR_WRITABLE       0x02u /* data */
#define ATTR_READABLE       0x02u /* code */
#define ATTR_CONFORMING     0x04u /* code */
#define ATTR_CODE           0x08u
#define ATTR_S              0x10u /* code or data */
#define ATTR_DPL_SHIFT      5
#define ATTR_PRESENT        0x80u

static inline struct segment descriptor_unpack(uint64_t d, uint16_t selector)
{
    struct segment g = {.selector = selector, .attr = (uint32_t)(d >> 40) & 0xf0ffu};
    g.base = (d >> 16 & 0xffffff) | (d >> 56 & 0xff) << 24;
    g.limit = (uint32_t)(d & 0xffff) | (uint32_t)(d >> 32 & 0xf0000);
    if (d & DESCRIPTOR_G)
        g.limit = g.limit << 12 | 0xfff;
    return g;
}

#endif
