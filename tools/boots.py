#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Boots Mullion many times beside two busy loops, and compares the clock rates that it measures.

    tools/boots.py BUILD N [MACHINE]

MACHINE: QEMU's, q35 if not given; `q35,pit=off` leaves the PM timer alone, `q35,acpi=off` the PIT. The reference is the
middle one of all rates: the emulated clock is this computer's own, whose rate no boot changes. Fails if a rate is off
by more than 0.1 %, or a boot says that it could not measure well."""
import os
import re
import select
import statistics
import subprocess
import sys
import time

from host.emulator import Machine, die_with_parent

MOST, LOOPS, SECONDS = 0.001, 2, 300
DONE = re.compile(r'CPUs? at ([\d.]+) MHz')


def boot(build, machine):
    """(rate in MHz, the warning about it or '')."""
    box = Machine(on='qemu', boot='kernel', kernel=os.path.join(build, 'mullion'), memory=128 << 20, machine=machine)
    text, end = '', time.monotonic() + SECONDS
    box.start()
    try:
        while not DONE.search(text):
            if time.monotonic() > end or not box.poll():
                sys.exit(f'no rate after {SECONDS} s or at the end of the emulator; it said:\n{text}')
            if select.select([box], [], [], 1)[0]:
                text += box.read().decode('latin-1')
    finally:
        box.stop()
    warning = re.search(r"^warning: .*the CPU's clock .*", text, re.M)
    return float(DONE.search(text).group(1)), warning.group(0).strip() if warning else ''


def main():
    build, count, machine = sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else 'q35'
    loops = [
        subprocess.Popen(['sh', '-c', 'while :; do :; done'], stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        for _ in range(LOOPS)
    ]
    rates, warned = [], 0
    try:
        for n in range(count):
            rate, warning = boot(build, machine)
            rates.append(rate)
            warned += warning != ''
            print(f'{n + 1:4} {rate:.3f} MHz {warning}', flush=True)
    finally:
        for loop in loops:
            loop.kill()
    middle = statistics.median(rates)
    off = [abs(rate / middle - 1) for rate in rates]
    bad = sum(o > MOST for o in off)
    result = f'{middle:.3f} MHz, at most {max(off) * 100:.4f} % off; {bad} beyond {MOST:.1%}, {warned} warned'
    print(f'{count} boots of {machine}: {result}')
    sys.exit(1 if bad or warned else 0)


main()
