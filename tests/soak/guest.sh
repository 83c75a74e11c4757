# SPDX-License-Identifier: Apache-2.0
# What the soak's guest does (tests/soak/soak.py types it). Read by busybox' shell.
mkdir -p /dev/shm /dev/pts /tmp /run
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
mount -t devpts pts /dev/pts 2>/dev/null
cd /tmp
# What a kernel writes when something is wrong with it, or with its machine.
COMPLAINTS='BUG:|Oops|WARNING: CPU|call trace|soft lockup|hard lockup|blocked for more than|rcu.*(stall|wakeup)|unstable'
COMPLAINTS="$COMPLAINTS|nobody cared|no irq handler|double fault|stack guard|unexpected (irq|nmi)|corrupt|spurious"

stressors() { stress-ng --stressors | tr -s ' ' '\n' | sed 's/^/stressor /'; }

# round NUMBER SECONDS STRESSOR...: one of each at once
round() {
    number=$1 seconds=$2
    shift 2
    options=
    for stressor in "$@"; do options="$options --$stressor 1"; done
    stress-ng --verify --oomable --vm-bytes 32m --timeout "$seconds" $options >/tmp/out 2>&1
    status=$?
    dmesg -c >/tmp/log
    grep -E 'fail:|error:' /tmp/out | head -n 20
    grep -iE "$COMPLAINTS" /tmp/log | head -n 20
    complaints=$(grep -ciE "$COMPLAINTS" /tmp/log)
    find /tmp /dev/shm -mindepth 1 ! -name log ! -name out -exec rm -rf {} + 2>/dev/null
    echo "round $number is over: status $status, complaints $complaints"
}
