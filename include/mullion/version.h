/* SPDX-License-Identifier: Apache-2.0 */
/* What a bug report names. CHANGELOG.md says what is in it. */
#ifndef MULLION_VERSION_H
#define MULLION_VERSION_H

#define MULLION_VERSION "0.1"

#endif
