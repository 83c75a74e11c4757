#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Process 1 of the test initrd: mounts what a shell needs, says who it is, and keeps a shell on the first serial port.
# The kernel's command line may hold mullion.name=NAME (default: linux) and mullion.run=COMMAND (underscores are blanks), run before the shell.
export PATH=/sbin:/bin:/usr/sbin:/usr/bin HOME=/ TERM=vt100
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
exec </dev/console >/dev/console 2>&1

name=linux
run=
read -r line < /proc/cmdline
for word in $line; do
    case $word in
        mullion.name=*) name=${word#mullion.name=} ;;
        mullion.run=*) run=${word#mullion.run=} ;;
    esac
done
echo "$name" > /proc/sys/kernel/hostname
read -r version < /proc/sys/kernel/osrelease
read -r up rest < /proc/uptime
echo "guest $name ready: Linux $version, $(nproc) CPU(s), up $up s"
# The power button: both are modules in Debian's kernels, and acpid wants the button's input device.
for driver in button evdev; do
    insmod "/lib/modules/$version/$driver.ko" 2>/dev/null
done
[ ! -e /dev/input/event0 ] || acpid -l /dev/null
export PS1="$name# " ENV=/etc/shell
[ -z "$run" ] || eval "$(echo "$run" | tr _ ' ')"
# A shell that ends is started again: process 1 must not return.
while :; do
    setsid cttyhack sh
done
