#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An initrd with stress-ng for the soak: the test initrd, and behind it the program, the libraries that it is linked with and tests/soak/guest.sh.
# `apt-get download` checks every package against the archive's signature. Nothing is installed.
#   tests/soak/initrd.sh INITRD.gz OUT.gz
set -euo pipefail
[ $# = 2 ] || { echo "usage: tests/soak/initrd.sh INITRD.gz OUT.gz" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
initrd=$(realpath "$1")
out=$(realpath -m "$2")
for tool in apt-get apt-cache dpkg-deb objdump cpio; do
    command -v $tool >/dev/null || { echo "tests/soak/initrd.sh: needs $tool; run tools/setup.sh test" >&2; exit 1; }
done
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{deb,all,root/lib64,root/usr/bin,root/lib/x86_64-linux-gnu,root/etc}

kinds=(--recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances)
mapfile -t packages < <(apt-cache depends "${kinds[@]}" stress-ng | grep -E '^[a-z0-9]' | sort -u)
[ ${#packages[@]} -gt 1 ] || { echo "tests/soak/initrd.sh: apt knows no stress-ng (apt-get update)" >&2; exit 1; }
echo "fetching stress-ng and ${#packages[@]} packages that it needs"
if ! (cd "$work/deb" && apt-get -o APT::Sandbox::User=root download -q "${packages[@]}" </dev/null >apt.log 2>&1); then
    tail -n 5 "$work/deb/apt.log" >&2
    exit 1
fi
for deb in "$work"/deb/*.deb; do
    dpkg-deb -x "$deb" "$work/all"
done

# What it is linked with, and what that is.
install -m 755 "$work/all/usr/bin/stress-ng" "$work/root/usr/bin/"
todo=("$work/root/usr/bin/stress-ng")
while [ ${#todo[@]} -gt 0 ]; do
    next=()
    for name in $(objdump -p "${todo[@]}" | sed -n 's/^ *NEEDED *//p' | sort -u); do
        to=$work/root/lib/x86_64-linux-gnu/$name
        [ ! -e "$to" ] || continue
        from=$(find "$work/all" -name "$name" | head -n 1)
        [ -n "$from" ] || { echo "tests/soak/initrd.sh: no package has $name" >&2; exit 1; }
        # A link from the root of its own package's tree would lead into this machine's.
        while [ -L "$from" ]; do from=$(dirname "$from")/$(basename "$(readlink "$from")"); done
        install -m 755 "$from" "$to"
        next+=("$to")
    done
    todo=(${next[@]+"${next[@]}"})
done
ln -s ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$work/root/lib64/ld-linux-x86-64.so.2"
install -m 644 "$here/guest.sh" "$work/root/etc/soak"
find "$work/root" -exec touch -h -d @0 {} +
(cd "$work/root" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc --reproducible -R 0:0) | gzip -9n >"$work/more.gz"
cat "$initrd" "$work/more.gz" >"$work/soak.gz"
mv "$work/soak.gz" "$out"
