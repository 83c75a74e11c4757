#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds a busybox initrd whose /init is tools/initrd-init.sh.
#   tools/make-initrd.sh BUSYBOX MODULES OUT.gz
set -euo pipefail
[ $# = 3 ] || { echo "usage: tools/make-initrd.sh BUSYBOX MODULES OUT.gz" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
busybox=$1
modules=$2
out=$3
mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,sbin,dev,proc,sys,etc,tmp,usr/bin,usr/sbin}
install -m 755 "$busybox" "$root/bin/busybox"
install -m 755 "$here/initrd-init.sh" "$root/init"
for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
# Process 1 is a shell, which handles no signals: these end the machine at once. A function, because busybox' shell prefers its own applets.
for pair in poweroff:poweroff reboot:reboot halt:poweroff shutdown:poweroff; do
    rm -f "$root/bin/${pair%%:*}"
    printf '#!/bin/sh\nexec /bin/busybox %s -f\n' "${pair##*:}" > "$root/sbin/${pair%%:*}"
    chmod 755 "$root/sbin/${pair%%:*}"
    printf '%s() { /bin/busybox %s -f; }\n' "${pair%%:*}" "${pair##*:}" >> "$root/etc/shell"
done
# The drivers of the power button, for each kernel, and what it does.
mkdir -p "$root/lib/modules" "$root/etc/acpi/PWRF"
cp -r "$modules"/. "$root/lib/modules/"
printf '#!/bin/sh\necho The power button is pressed > /dev/console\nexec /bin/busybox poweroff -f\n' > "$root/etc/acpi/PWRF/00000080"
chmod 755 "$root/etc/acpi/PWRF/00000080"
# The same bytes from the same input: names sorted, times and owners zero.
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc --reproducible -R 0:0) | gzip -9n > "$work/initrd.gz"
mv "$work/initrd.gz" "$out"
