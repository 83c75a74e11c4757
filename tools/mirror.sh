#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the address of the Debian archive that this machine's apt is configured for, or Debian's own if there is none:
#   tools/mirror.sh [debian|debian-security]
archive=${1:-debian}
found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -v '^ *#' | grep -oE "https?://[^] ]+/$archive/?( |\$)" | head -n 1 | tr -d ' ')
echo "${found:-http://deb.debian.org/$archive}"
