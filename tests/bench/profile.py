#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Where the instructions of one operation go: `tests/bench/profile.py --on qemu|bochs pio`. Traces single instructions
of the benchmark guest's mode=loop, takes the round of median length, and prints them by function; --listing prints
each."""
import argparse
import bisect
import collections
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import bench  # noqa: E402
import harness  # noqa: E402

CONF = '''[guest loop]
cpus = 0
memory = 32M
kernel = bench.elf
cmdline = mode=loop={}
bench-device = yes
'''


class Symbols:
    """Functions of the kernel, the monitor and the guest: they are at different addresses."""

    def __init__(self, build):
        self.at = []
        for prefix, file in (('kernel', 'mullion.elf'), ('vmm', 'ring3/vmm.elf'), ('guest', 'obj/bench/bench64.elf')):
            text = subprocess.run(
                ['nm', '-n', os.path.join(build, file)], stdout=subprocess.PIPE, check=True
            ).stdout.decode()
            for line in text.splitlines():
                words = line.split()
                if len(words) != 3 or words[1] not in 'tT' or words[2].startswith('.L'):
                    continue
                address = int(words[0], 16)
                if prefix != 'kernel' or address >> 63: # its few low symbols are where the guest's are
                    self.at.append((address, f'{prefix}:{words[2]}'))
        self.at.sort()
        self.keys = [a for a, _ in self.at]

    def name(self, pc):
        i = bisect.bisect_right(self.keys, pc) - 1
        return self.at[i][1] if i >= 0 else hex(pc)

    def address(self, name):
        return next(a for a, n in self.at if n == name)


def trace_qemu(what):
    log = os.path.join(harness.BUILD, 'bench-trace')
    with harness.Box(CONF.format(what), on='qemu', cpus=1, extra=['-D', log]) as m:
        m.wait(r'bench start', 60)
        m.settle(1)
        m.machine.qmp.monitor('singlestep on')
        m.machine.qmp.monitor('log exec,nochain')
        time.sleep(1)
        m.machine.qmp.monitor('log none')
    with open(log, encoding='utf-8', errors='replace') as f:
        addresses = re.findall(r'^Trace 0: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/', f.read(60_000_000), re.M)
    os.unlink(log)
    return [(int(a, 16), '') for a in addresses]


def trace_bochs(what):
    class Tracer(bench.BenchMachine):
        def _spawn(self, command):
            with open(command[-1], 'w', encoding='utf-8') as f:
                f.write('c\ntrace on\ns 20000\nq\n')
            with open(command[command.index('-f') + 1], 'a', encoding='utf-8') as f:
                f.write('magic_break: enabled=1\n')
            super()._spawn(command)
    harness.Machine = Tracer
    with harness.Box(CONF.format(what), on='bochs', cpus=1, bochs_ips=50_000_000) as m:
        m.ends(100)
        text = m.machine.emulator_log()
    line = r'^\(0\)\.\[\d+\] \[0x[0-9a-f]+\] [0-9a-f]+:([0-9a-f]+) \([^)]*\): (.*?)(?: ; [0-9a-f]+)?$'
    return [(int(a, 16), words) for a, words in re.findall(line, text, re.M)]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--on', choices=('bochs', 'qemu'), default='qemu')
    p.add_argument('--build', default=os.path.join(bench.ROOT, 'build'))
    p.add_argument('--listing', action='store_true')
    p.add_argument(
        'what',
        help='cpuid, rdmsr, pio, mmio, doorbell_pio, doorbell_mmio, doorbell_wake, io_doorbell, eoi, '
        'self_ipi, tsc_deadline, hlt_wake',
    )
    a = p.parse_args()
    harness.BUILD = os.path.join(bench.ROOT, a.build)
    symbols = Symbols(harness.BUILD)
    trace = trace_qemu(a.what) if a.on == 'qemu' else trace_bochs(a.what)
    mark = symbols.address('guest:loop_mark')
    starts = [i for i, (pc, _) in enumerate(trace) if pc == mark]
    rounds = sorted((trace[i:k] for i, k in zip(starts, starts[1:])), key=len)
    if not rounds:
        print(f'no round among {len(trace)} instructions')
        return 1
    one = rounds[len(rounds) // 2]
    print(f'{a.on} {a.what}: {len(one)} instructions in the median one of {len(rounds)} rounds')
    counts = collections.Counter(symbols.name(pc) for pc, _ in one)
    for part in ('guest', 'kernel', 'vmm'):
        print(f'{sum(n for name, n in counts.items() if name.startswith(part)):6}  {part}')
    for name, n in counts.most_common():
        print(f'{n:6}    {name}')
    if a.listing:
        last = ''
        for pc, text in one:
            name = symbols.name(pc)
            if name != last:
                print(f'{name}:')
            last = name
            print(f'    {pc:x} {text}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
