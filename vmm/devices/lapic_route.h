/* Between lapic.c and lapic_route.c: sending, and the error bits of the ESR (Intel SDM vol. 3, 11.5.3). */
#ifndef VMM_DEVICES_LAPIC_ROUTE_H
#define VMM_DEVICES_LAPIC_ROUTE_H

#include "vmm/devices/lapic.h"

#define LAPIC_ERROR_SEND_VECTOR    0x20u
#define LAPIC_ERROR_RECEIVE_VECTOR 0x40u
#define LAPIC_ERROR_REGISTER       0x80u

/* What a write of the ICR asks for; `dest` has 8 bits, or 32 if x2. False: an illegal vector. */
bool lapic_send_icr(struct lapic *l, bool x2, uint32_t icr_low, uint32_t dest);

#endif
