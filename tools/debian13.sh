#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian 13 system in BUILD/debian13/root and runs a target of the Makefile in it, on its compilers and
# emulators:
#   tools/debian13.sh BUILD [TARGET [VARIABLE=VALUE]...]      the default target is `test`
# The system is made once, by debootstrap, from the mirror that this machine's apt uses; debootstrap and apt check it
# against Debian's keys. What is built there lies in BUILD/debian13/build, the tree itself is read-only there. All
# mounts belong to a mount namespace of the run's own, and all processes to a process namespace: whatever happens,
# both end with it. On Debian 13 itself the target is run as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$PWD

[ $# -ge 1 ] || { echo "usage: $0 BUILD [TARGET [VARIABLE=VALUE]...]" >&2; exit 2; }
build=$1
shift
[ $# -gt 0 ] || set -- test

fail() {
    echo "tools/debian13.sh: $1" >&2
    exit 1
}

if (. /etc/os-release && [ "$ID" = debian ] && [ "${VERSION_ID:-0}" = 13 ]); then
    exec make --no-print-directory BUILD="$build" "$@"
fi
[ "$(id -u)" = 0 ] || fail "it makes a Debian system and mounts file systems in it, which takes root: sudo make ..."
tools/setup.sh debian13
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r $keyring ] || fail "needs $keyring (Debian package debian-archive-keyring)"
unshare --mount true 2>/dev/null || fail "root may not make a mount namespace here (a container?); it takes CAP_SYS_ADMIN"

mkdir -p "$build"
here=$(cd "$build" && pwd)/debian13
root=$here/root
mkdir -p "$here/build"
exec 9>"$here/lock"
flock -n 9 || fail "another run works in $here"

# What this machine's apt needs to reach its mirror; of the rest of its settings the new system has its own.
apt_settings() {
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries|ForceIPv|Check-Valid-Until|Check-Date|Languages)' || true
}

make_system() {
    local proxy
    echo "making a Debian 13 system in $root"
    proxy=$(apt-config shell p Acquire::http::Proxy | sed -n "s/^p='\(.*\)'\$/\1/p")
    case $proxy in http*) export http_proxy=$proxy ;; esac
    rm -rf --one-file-system "$root" "$here/root.part" "$here/ready"
    if ! debootstrap --variant=minbase --include=ca-certificates,make --keyring=$keyring \
        trixie "$here/root.part" "$(tools/mirror.sh)" >"$here/debootstrap.log" 2>&1; then
        tail -n 20 "$here/debootstrap.log" >&2
        fail "debootstrap failed ($here/debootstrap.log)"
    fi
    mv "$here/root.part" "$root"
}

[ "$(cat "$here/made" 2>/dev/null)" = trixie ] || { make_system; echo trixie >"$here/made"; }
apt_settings >"$root/etc/apt/apt.conf.d/90machine"
printf 'deb [signed-by=%s] %s %s main\n' $keyring "$(tools/mirror.sh)" trixie \
    $keyring "$(tools/mirror.sh debian-security)" trixie-security >"$root/etc/apt/sources.list"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
rm -rf --one-file-system "$root/tmp"
mkdir -m 1777 "$root/tmp"
mkdir -p "$root/mullion" "$tree/build"

# The signal of setpriv ends unshare, and with it all processes inside, when this script ends before them.
inside() {
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private -- bash -c '
        set -e
        root=$1 tree=$2 here=$3
        shift 3
        mount -t proc proc "$root/proc"
        mount -t sysfs -o ro sys "$root/sys" 2>/dev/null || mount --rbind /sys "$root/sys"
        mount --rbind /dev "$root/dev"
        mkdir -p /dev/shm
        mount -t tmpfs shm "$root/dev/shm"
        mount --bind "$tree" "$root/mullion"
        mount -o remount,bind,ro "$root/mullion"
        mount --bind "$here/build" "$root/mullion/build"
        trap "exit 130" INT TERM
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" PYTHONDONTWRITEBYTECODE=1 \
            chroot "$root" bash -c "cd /mullion && exec \"\$@\"" bash "$@"
    ' bash "$root" "$tree" "$here" "$@"
}

# Its packages are looked at again when their list is another one.
wanted=$(sha256sum <tools/packages.txt)
if [ "$(cat "$here/ready" 2>/dev/null)" != "$wanted" ]; then
    if ! inside tools/setup.sh test >"$here/setup.log" 2>&1 </dev/null; then
        tail -n 20 "$here/setup.log" >&2
        fail "its packages were not installed ($here/setup.log)"
    fi
    echo "$wanted" >"$here/ready"
fi
rm -f "$here/build/totals"
status=0
inside make --no-print-directory "$@" ${TOTALS:+TOTALS=build/totals} || status=$?
[ -z "${TOTALS:-}" ] || cat "$here/build/totals" >>"$TOTALS" 2>/dev/null || true
exit $status
