/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the guests' kernels can be loaded, tried on the developer's machine with the monitor's own loaders: each
 * guest gets memory of the size that it would have, and its files are put there. Part of check-config.
 */
#ifndef TOOLS_CHECK_IMAGES_H
#define TOOLS_CHECK_IMAGES_H

#include "config/config.h"

struct check_file {
    const void *bytes; /* of the module with the same index */
    uint64_t size;
};

/* Reports what a monitor would refuse at the guest's start, and, as a note, files that are given to a guest which does
 * not look at them. Returns how many guests cannot be loaded. A guest whose memory this machine cannot even reserve is
 * passed over. */
unsigned check_images(const struct config *c, const struct check_file *files, config_report *report, void *context);

#endif
