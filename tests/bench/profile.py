#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Where the instructions of one operation go: `tests/bench/profile.py --on qemu|bochs pio`. Traces single instructions
of the benchmark guest's mode=loop, takes the round of median length, and prints them by function; --listing prints
each. --operations counts, of each operation that is named (none: of all), the instructions that take many cycles on a
CPU though they are one tick here."""
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


FILES = (('kernel', 'mullion.elf'), ('vmm', 'ring3/vmm.elf'), ('guest', 'obj/bench/bench64.elf'))
ALL = 'cpuid hypercall rdmsr pio mmio doorbell_pio doorbell_wake io_doorbell eoi self_ipi tsc_deadline hlt_wake'.split()

# What is counted: a name, the pattern of objdump's text, and about how many cycles one takes.
OPERATIONS = (
    ('VMRESUME, VMRUN, with the exit', r'vmresume|vmlaunch|vmrun', 1200),
    ('VMREAD', r'vmread', 25),
    ('VMWRITE', r'vmwrite', 30),
    ('VMLOAD, VMSAVE', r'vmload|vmsave', 150),
    ('CLGI, STGI', r'clgi|stgi', 60),
    ('RDMSR, WRMSR', r'rdmsr|wrmsr', 120),
    ('SYSENTER, SYSEXIT, SYSCALL, SYSRET', r'sysenter|sysexit[ql]?|syscall|sysret[ql]?', 50),
    ('INT, IRET', r'int |iret[ql]?', 200),
    ('write of CR3', r'mov +%r\w+,%cr3', 200),
    ('write of another CR', r'mov +%r\w+,%cr[0248]|clts', 150),
    ('LGDT, LIDT, LTR, LLDT', r'lgdt|lidt|ltr|lldt', 200),
    ('CPUID (serializes)', r'cpuid', 150),
    ('fence', r'[lms]fence', 30),
    ('XSAVE, XRSTOR', r'xsave\w*|xrstor\w*|fxsave\w*|fxrstor\w*', 150),
    ('IN, OUT', r'(in|out) +|(in|out)s[bwl]', 1000),
    ('locked', r'lock |xchg +\S*[^,]*\(|xchg +[^(]*,\S*\(', 20),
    ('RDTSC', r'rdtscp?', 25),
)


class Code:
    """The text of each instruction of the kernel and the monitor, by its address."""

    def __init__(self, build):
        self.at = {}
        for prefix, file in FILES[:2]:
            dump = subprocess.run(
                ['objdump', '-d', '--no-show-raw-insn', os.path.join(build, file)], stdout=subprocess.PIPE, check=True
            ).stdout.decode()
            for address, text in re.findall(r'^ *([0-9a-f]+):\t(.*)$', dump, re.M):
                at = int(address, 16)
                if prefix != 'kernel' or at >> 63:
                    self.at[at] = text

    def operations(self, addresses):
        found = collections.Counter()
        for pc in addresses:
            for name, pattern, _ in OPERATIONS:
                if re.match(pattern, self.at.get(pc, '')):
                    found[name] += 1
        return found


class Symbols:
    """Functions of the kernel, the monitor and the guest: they are at different addresses."""

    def __init__(self, build):
        self.at = []
        for prefix, file in FILES:
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
            with open(os.path.join(self.work, command[-1]), 'w', encoding='utf-8') as f:
                f.write('c\ntrace on\ns 20000\nq\n')
            with open(os.path.join(self.work, command[command.index('-f') + 1]), 'a', encoding='utf-8') as f:
                f.write('magic_break: enabled=1\n')
            super()._spawn(command)
    harness.Machine = Tracer
    with harness.Box(CONF.format(what), on='bochs', cpus=1, bochs_ips=50_000_000) as m:
        m.ends(100)
        text = m.machine.emulator_log()
    line = r'^\(0\)\.\[\d+\] \[0x[0-9a-f]+\] [0-9a-f]+:([0-9a-f]+) \([^)]*\): (.*?)(?: ; [0-9a-f]+)?$'
    return [(int(a, 16), words) for a, words in re.findall(line, text, re.M)]


def round_of(on, symbols, what):
    """The round of median length, and how many there were; or None, and of how many instructions."""
    trace = trace_qemu(what) if on == 'qemu' else trace_bochs(what)
    mark = symbols.address('guest:loop_mark')
    starts = [i for i, (pc, _) in enumerate(trace) if pc == mark]
    rounds = sorted((trace[i:k] for i, k in zip(starts, starts[1:])), key=len)
    return (rounds[len(rounds) // 2], len(rounds)) if rounds else (None, len(trace))


def operations(on, symbols, whats):
    """A table in Markdown: a column for each operation."""
    code = Code(harness.BUILD)
    columns = {}
    for what in whats:
        one, rounds = round_of(on, symbols, what)
        if not one:
            print(f'{what}: no round among {rounds} instructions', file=sys.stderr)
            return 1
        columns[what] = code.operations(pc for pc, _ in one)
        print(f'{what}: {len(one)} instructions', file=sys.stderr)
    print('| | cycles | ' + ' | '.join(f'`{what}`' for what in whats) + ' |')
    print('|---|---:|' + '---:|' * len(whats))
    for name, _, cycles in OPERATIONS:
        if any(column[name] for column in columns.values()):
            print(f'| {name} | {cycles} | ' + ' | '.join(str(columns[what][name] or '') for what in whats) + ' |')
    sums = (sum(columns[what][name] * cycles for name, _, cycles in OPERATIONS) for what in whats)
    print('| together | | ' + ' | '.join(str(n) for n in sums) + ' |')
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--on', choices=('bochs', 'qemu'), default='qemu')
    p.add_argument('--build', default=os.path.join(bench.ROOT, 'build'))
    p.add_argument('--listing', action='store_true')
    p.add_argument('--operations', action='store_true')
    p.add_argument('what', nargs='*', help=', '.join(ALL))
    a = p.parse_args()
    harness.BUILD = os.path.join(bench.ROOT, a.build)
    symbols = Symbols(harness.BUILD)
    if a.operations:
        return operations(a.on, symbols, a.what or ALL)
    if len(a.what) != 1:
        p.error('one operation, please')
    one, rounds = round_of(a.on, symbols, a.what[0])
    if not one:
        print(f'no round among {rounds} instructions')
        return 1
    print(f'{a.on} {a.what[0]}: {len(one)} instructions in the median one of {rounds} rounds')
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
