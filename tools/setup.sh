#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what tools/packages.txt names on Debian 12 or 13, as root or through sudo; does nothing, quickly, when all
# of it is there.
#   tools/setup.sh [build|test|debian13]
# `build` (what `make run` needs) is the default; `test` adds what `make test` needs; `debian13` is what `make test-13` needs
# on a machine that is not Debian 13.
set -euo pipefail
cd "$(dirname "$0")/.."

group=${1:-build}
case $group in
    build) wanted='build' ;;
    test) wanted='build test' ;;
    debian13) wanted='debian13' ;;
    *) echo "usage: tools/setup.sh [build|test|debian13]" >&2; exit 1 ;;
esac

packages=()
section=
while read -r line; do
    line=${line%%#*}
    line=${line//[[:space:]]/}
    [ -n "$line" ] || continue
    if [[ $line == \[*\] ]]; then
        section=${line:1:-1}
    elif [[ " $wanted " == *" $section "* ]]; then
        packages+=("$line")
    fi
done < tools/packages.txt

if ! command -v dpkg-query >/dev/null; then
    echo "tools/setup.sh: this is not a Debian system; install these by hand: ${packages[*]}" >&2
    exit 1
fi
declare -A have
while read -r name status; do
    [ "$status" = installed ] && have[$name]=1
done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null)
missing=()
for p in "${packages[@]}"; do
    [ -n "${have[$p]:-}" ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing: ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "tools/setup.sh: run as root, or install sudo; missing: ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
install_all() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null
}
# A machine's package lists are often older than the archive: refresh first, but go on if one of its mirrors does not
# answer.
"${as_root[@]}" apt-get update -q </dev/null || echo "tools/setup.sh: apt-get update failed; going on with the lists there are" >&2
install_all
