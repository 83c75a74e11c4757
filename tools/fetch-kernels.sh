#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fetches two real Linux kernels and a static busybox as Debian packages, and puts into DIR (default build/guests):
#   vmlinuz-cloud  the kernel linux-image-cloud-amd64 stands for now      busybox       /bin/busybox of busybox-static
#   vmlinuz        the kernel linux-image-amd64 stands for now            versions.txt  package, version and SHA-256 of each
#   modules/VERSION/  each kernel's drivers for the power button
# `apt-get download` checks every package against the archive's signature. Nothing is installed. Nothing is done when all is there;
# --update fetches again.
#   tools/fetch-kernels.sh [--update] [DIR]
set -euo pipefail
update=0
if [ "${1:-}" = --update ]; then update=1; shift; fi
dir=${1:-build/guests}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if [ $update = 0 ] && [ -s "$dir/vmlinuz-cloud" ] && [ -s "$dir/vmlinuz" ] && [ -s "$dir/busybox" ] && [ -d "$dir/modules" ] && [ -s "$dir/versions.txt" ]; then
    exit 0
fi
for tool in apt-cache apt-get dpkg-deb; do
    command -v $tool >/dev/null || { echo "fetch-kernels: needs Debian's $tool" >&2; exit 1; }
done

# The real package behind a meta-package.
resolve() {
    local name
    name=$(apt-cache depends --no-recommends --no-suggests "$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
    if [ -z "$name" ]; then
        echo "fetch-kernels: apt knows no $1; is a Debian amd64 archive in its sources? (apt-get update)" >&2
        exit 1
    fi
    echo "$name"
}

work=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
: > "$work/versions.txt"

# fetch PACKAGE PATTERN FILE: the one file of the package that matches, as FILE
fetch() {
    local package=$1 pattern=$2 file=$3 member size
    size=$(apt-cache show --no-all-versions "$package" 2>/dev/null | sed -n 's/^Size: //p' | head -n 1)
    step=$((step + 1))
    echo "fetching [$step/3] $package, $(((${size:-0} + 1048575) / 1048576)) MiB"
    mkdir "$work/$file.d"
    if ! (cd "$work/$file.d" && apt-get -o APT::Sandbox::User=root download -q "$package" </dev/null >apt.log 2>&1); then
        cat "$work/$file.d/apt.log" >&2
        echo "fetch-kernels: $package could not be downloaded" >&2
        exit 1
    fi
    deb=$(ls "$work/$file.d"/*.deb)
    member=$(dpkg-deb --fsys-tarfile "$deb" | tar -t | grep -E "$pattern" | head -n 1) || true
    [ -n "$member" ] || { echo "fetch-kernels: no file like $pattern in $package" >&2; exit 1; }
    dpkg-deb --fsys-tarfile "$deb" | tar -xO "$member" > "$work/$file"
    [ -s "$work/$file" ]
    printf '%s %s %s %s\n' "$file" "$package" "$(dpkg-deb -f "$deb" Version)" "$(sha256sum "$deb" | cut -d' ' -f1)" >> "$work/versions.txt"
    case $package in linux-image-*) take_modules "$package" ;; esac
    rm -r "$work/$file.d"
}

# take_modules PACKAGE: of the kernel's package that was fetched last; unpacked, for busybox cannot do that.
take_modules() {
    local to=$work/modules/${1#linux-image-} member
    mkdir -p "$to"
    for member in $(dpkg-deb --fsys-tarfile "$deb" | tar -t | grep -E '/drivers/(acpi/button|input/evdev)\.ko(\.xz)?$'); do
        case $member in
            *.xz) dpkg-deb --fsys-tarfile "$deb" | tar -xO "$member" | xz -dc > "$to/$(basename "$member" .xz)" ;;
            *) dpkg-deb --fsys-tarfile "$deb" | tar -xO "$member" > "$to/$(basename "$member")" ;;
        esac
    done
}

step=0
cloud=$(resolve linux-image-cloud-amd64)
standard=$(resolve linux-image-amd64)
fetch "$cloud" '^\./boot/vmlinuz-' vmlinuz-cloud
fetch "$standard" '^\./boot/vmlinuz-' vmlinuz
fetch busybox-static '^\./(usr/)?bin/busybox$' busybox
chmod 755 "$work/busybox"
rm -rf "$dir/modules"
mv "$work/vmlinuz-cloud" "$work/vmlinuz" "$work/busybox" "$work/modules" "$work/versions.txt" "$dir/"
cat "$dir/versions.txt"
