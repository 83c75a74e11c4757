#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches a Debian source package that tools/packages.lock pins and unpacks it:  tools/fetch-source.sh PACKAGE
# BUILD_DIR Result: BUILD_DIR/src/PACKAGE (made whole or not at all). The machine's own apt configuration is neither
# used for the lists nor changed: the deb-src list, the downloaded indices and the cache live in BUILD_DIR/apt. What
# is already unpacked is not fetched again.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 PACKAGE BUILD_DIR" >&2
    exit 2
fi
package=$1
mkdir -p "$2"
build=$(cd "$2" && pwd)
lock=$(cd "$(dirname "$0")" && pwd)/packages.lock
target=$build/src/$package
[ -d "$target" ] && exit 0

fail() {
    echo "fetch-source: $package: $1" >&2
    exit 1
}

version=$(awk -v p="$package" '$1 == p { print $2; exit }' "$lock")
[ -n "$version" ] || fail "not in $lock"
for tool in apt-get dpkg-source sha256sum; do
    command -v "$tool" >/dev/null || fail "needs $tool (Debian packages apt, dpkg-dev, coreutils)"
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || fail "needs $keyring (Debian package debian-archive-keyring)"

apt=$build/apt
files=$build/src/.$package-files
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$files"

sums_match() {
    awk -v p="$package" '$1 == p { print $4 "  " $3 }' "$lock" | (cd "$files" && sha256sum --check --status 2>/dev/null)
}

# From the machine's own mirror of Debian, or Debian's own. The pinned version is Debian 12's, on any Debian: one
# decoder everywhere.
mirror=$("$(dirname "$0")/mirror.sh")
suite=bookworm

fetch() {
    echo "deb-src [signed-by=$keyring] $1 $suite main" >"$apt/sources.list"
    set -- -q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$apt/lists" \
        -o Dir::Cache="$apt/cache" -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User=root \
        -o Acquire::AllowInsecureRepositories=false -o APT::Get::AllowUnauthenticated=false
    apt-get "$@" update && (cd "$files" && apt-get "$@" source --download-only "$package=$version")
}

if ! sums_match; then
    fetch "$mirror" || fetch http://deb.debian.org/debian || fail "cannot be fetched (is there a network?)"
    sums_match || fail "a file differs from its sum in $lock"
fi
rm -rf "$target.part"
# The sums above are the check; a second one by dpkg-source would need the developers' keys.
dpkg-source --no-check -q -x "$files/${package}_$version.dsc" "$target.part"
mv "$target.part" "$target"
