// SPDX-License-Identifier: Apache-2.0
/* The machine's PCI functions, and what drives them, as records. See answers.h. */
#include "lib/string.h"
#include "services/root/answers.h"
#include "services/root/driver.h"

bool devices_next(struct cursor *at, union record *out)
{
    const struct pci_function *f = pci_function(at->index);
    if (f == NULL)
        return false;
    at->index++;
    record_begin(out, RECORD_DEVICE);
    struct device_record *d = &out->device;
    d->place = f->place;
    d->class = f->class;
    d->vendor = f->vendor;
    d->device = f->device;
    d->pin = f->pin <= 4 ? f->pin : 0; /* what else a device says there means nothing */
    d->messages = (f->msi != 0 ? DEVICE_MSI : 0) | (f->msix != 0 ? DEVICE_MSIX : 0);
    d->master = pci_is_master(f);
    if (f->owner != NULL)
        string_copy(d->driver, f->owner, sizeof d->driver);
    driver_report(f, d);
    return true;
}
