#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench`: measures Mullion in Bochs (VT-x) and QEMU (AMD-V), prints a table and writes build/bench.json.
docs/performance.md says what the rows mean and what they do not show.

One tick is one instruction: Bochs' TSC counts them, and so does QEMU's under -icount shift=0. So the figures repeat on
any machine, however busy."""
import argparse
import datetime
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'system'))
import harness  # noqa: E402
import peer  # noqa: E402
from host import machines as rows_of_machines  # noqa: E402
from host.emulator import Machine  # noqa: E402

# Which machine of tools/host/machines.py stands for an emulator in this run (`use`).
CHOSEN = {'bochs': 'bochs', 'qemu': 'qemu'}
KHZ = 1_000_000                      # both emulated clocks: 1 GHz
PEER_PATIENCE = 1500                 # seconds; Linux' QEMU alone takes minutes to start in Bochs
LINUX = 'vmlinuz-cloud'
LINUX_CMDLINE = f'console=ttyS0 loglevel=4 rdinit=/bench-init tsc_early_khz={KHZ}'
ROWS = [
    'cpuid',
    'cpuid_far',
    'hypercall',
    'wrmsr_passthrough',
    'rdmsr_exit',
    'cr8_read',
    'cr8_write',
    'pio_kernel',
    'pio_monitor',
    'mmio_monitor',
    'doorbell_pio',
    'doorbell_wake',
    'doorbell_mmio',
    'self_ipi',
    'eoi',
    'tsc_deadline',
    'hlt_wake',
    'ipi_vcpu',
    'io_doorbell',
    'io_trip',
    'vcpu_switch',
    'vcpu_switch_barriers',
    'guest_fault_fill',
    'vm_start',
    'linux_boot',
    'linux_boot_bare',
    'linux_exits',
    'kernel_entry_to_first_guest',
    'image_bytes',
    'ring0_statements',
    'kernel_bytes_per_guest',
]
# What the project wants to reach: (VT-x, AMD-V).
GOALS = {'cpuid': (120, 120), 'cr8_read': (120, 120), 'cr8_write': (120, 120),
         'pio_monitor': (450, 450), 'mmio_monitor': (900, 900), 'doorbell_pio': (200, 250),
         'doorbell_mmio': (200, 250), 'self_ipi': (550, 900), 'eoi': (20, 340), 'tsc_deadline': (530, 800),
         'ipi_vcpu': (1200, None), 'vcpu_switch': (600, 600), 'vm_start': (1_000_000, 1_000_000),
         'linux_exits': (8000, 8000), 'kernel_bytes_per_guest': (256 << 10, 256 << 10)}

OPS = '''[guest swa]
share = 10% of cpu 0, every 2ms
borrow = yes
memory = 16M
kernel = bench.elf
cmdline = mode=switch
bench-device = yes

[guest swb]
share = 10% of cpu 0, every 2ms
borrow = yes
memory = 16M
kernel = bench.elf
cmdline = mode=switch
bench-device = yes

[guest ops]
share = 30% of cpu 0, every 10ms
memory = 1G
kernel = bench.elf
cmdline = mode=ops
bench-device = yes
autostart = no

[guest tiny]
share = 50% of cpu 0, every 100ms
memory = 16M
kernel = tiny.elf
autostart = no
'''

IPI = '''[guest ipi]
cpus = 0-1
memory = 32M
kernel = bench.elf
cmdline = mode=ipi
bench-device = yes
'''

BOOT = f'''[guest linux]
cpus = 0
memory = 512M
kernel = bench.elf
modules = {LINUX}, bench-initrd
cmdline = mode=linux -- {LINUX_CMDLINE}
'''


class BenchMachine(Machine):
    """An emulated machine whose clock counts instructions."""

    def __init__(self, on='qemu', **more):
        super().__init__(on=CHOSEN.get(on, on), **more)

    def _spawn(self, command):
        if self.on == 'qemu' and self.cpus == 1:
            at = command.index('-accel')
            command = command[:at] + ['-accel', 'tcg', '-icount', 'shift=0,sleep=off'] + command[at + 2:]
        super()._spawn(command)


harness.Machine = BenchMachine


def use(name):
    """Chooses a machine. Its emulator, and the key of its results: the backend's (vmx, svm) for the first machine of an
    emulator, which the documents show, and the machine's name for any other."""
    row = rows_of_machines.find(name)
    CHOSEN[row.emulator] = row.name
    first = row == rows_of_machines.find(row.emulator)
    return row.emulator, {'VT-x': 'vmx', 'AMD-V': 'svm'}[row.vendor] if first else row.name


def backend_of(key):
    """0 for VT-x, 1 for AMD-V: the place in GOALS."""
    if key in ('vmx', 'svm'):
        return ('vmx', 'svm').index(key)
    return ('VT-x', 'AMD-V').index(rows_of_machines.find(key).vendor)


def box(on, conf, cpus=1, **more):
    # With several CPUs Bochs' clock stands for all of them in turn, in steps; a slower one makes its firmware's waits
    # short.
    ips = 1000 * KHZ if cpus == 1 else 50_000_000
    return harness.Box(conf, on=CHOSEN[on], cpus=cpus, bochs_ips=ips, **more)


def say(text):
    print(f'[{datetime.datetime.now():%H:%M:%S}] {text}', flush=True)


def rows(text):
    """{key: median} of what a benchmark guest has printed."""
    return {key: int(value) for key, value in re.findall(r'bench (\w+) (\d+) \d+ \d+$', text, re.M)}


def stats(machine, name):
    """The shell's `stats`: {'start: ticks': n, ...}"""
    machine.settle()
    machine.shell(f'stats {name}', r'^exits: all .*$', 60)
    machine.settle(0.5)
    text = machine.text[machine.text.rindex(f'stats {name}'):]
    return {m.group(1).strip(): int(m.group(2)) for m in re.finditer(r'^(\w+: [\w-]+) +(\d+)', text, re.M)}


def switch_cost(text):
    """From the end of one guest's run to the begin of the other's, on the host's clock."""
    gaps = {'swa': [], 'swb': []}
    for name, begin, end in re.findall(r'^\[(sw[ab])\] bench gap (\d+) (\d+)$', text, re.M):
        gaps[name].append((int(begin), int(end)))
    costs = []
    for one, other in (('swa', 'swb'), ('swb', 'swa')):
        begins = sorted(end for _, end in gaps[other])
        for stopped, _ in gaps[one]:
            after = [b - stopped for b in begins if 0 < b - stopped < 50_000]
            if after:
                costs.append(min(after))
    if len(costs) < 8:
        raise harness.Failure(f'only {len(costs)} switches between the guests were seen')
    return int(statistics.median(costs))


def measure_switch(m):
    m.wait_all([r'^\[swa\] bench end', r'^\[swb\] bench end'], 240)
    m.settle()
    return switch_cost(m.text)


def measure_barriers(on, out):
    """The same with every barrier against speculation, whether the emulated CPU needs it or not."""
    with box(on, OPS, options='mitigations=force') as m:
        out['vcpu_switch_barriers'] = measure_switch(m)


def measure_ops(on, out):
    with box(on, OPS) as m:
        first = m.wait(r'guest sw[ab]: runs; first instruction \d+ ms after the kernel.s entry \((\d+) ticks\)', 120)
        out['kernel_entry_to_first_guest'] = int(first.group(1))
        out['vcpu_switch'] = measure_switch(m)
        starts = []
        for _ in range(3):
            m.shell('start tiny', r'tiny ready', 60)
            starts.append(stats(m, 'tiny')['start: ticks'])
            m.shell('stop tiny now', r'guest tiny: stopped', 60)
            m.settle(1)
        out['vm_start'] = int(statistics.median(starts))
        m.shell('start ops', r'^\[ops\] bench start', 60)
        m.wait(r'^\[ops\] bench end', 400)
        out.update(rows(m.text))
        out['kernel_bytes_per_guest'] = stats(m, 'ops')['kernel: bytes']


def measure_ipi(on, out):
    with box(on, IPI, cpus=2) as m:
        m.wait(r'^\[ipi\] bench end', 240)
        out.update(rows(m.text))


INIT_LINE = r'bench linux_boot ([0-9a-f]{16}) ([0-9a-f]{16})'


def make_initrd(build):
    """The test initrd with our init beside its own: the kernel takes several archives in a row."""
    guests = os.path.join(build, 'guests')
    with open(os.path.join(guests, 'bench-init'), 'rb') as f:
        own = peer.cpio([('bench-init', 0o100755, f.read())])
    with open(os.path.join(guests, 'initrd.gz'), 'rb') as f:
        base = f.read()
    with open(os.path.join(guests, 'bench-initrd'), 'wb') as f:
        f.write(base + b'\0' * (-len(base) % 4) + gzip.compress(own, mtime=0))


def measure_linux(on, out):
    with box(on, BOOT) as m:
        line = m.wait(INIT_LINE, 300)
        out['linux_boot'] = int(line.group(2), 16) - int(line.group(1), 16)
        m.wait(r'guest linux: it has switched itself off', 60)
        counts = stats(m, 'linux')
        out['linux_exits'] = counts.pop('exits: all')
        out['linux_exits_by_reason'] = {k[7:]: v for k, v in counts.items() if k.startswith('exits: ')}


def measure_bare(on, out):
    """The same kernel, initrd and command line, entered by the same code, without a hypervisor."""
    build = harness.BUILD
    with harness.Box(BOOT, on=on, cpus=1, memory=640 << 20, bochs_ips=1000 * KHZ,
                     kernel=os.path.join(build, 'guests', 'bench.elf'), options='mode=linux -- ' + LINUX_CMDLINE,
                     multiboot1=True) as m:
        line = m.wait(INIT_LINE, 300)
        out['linux_boot_bare'] = int(line.group(2), 16) - int(line.group(1), 16)


def sizes(build, out):
    out['image_bytes'] = os.path.getsize(os.path.join(build, 'mullion'))
    ring0 = os.environ.get('RING0', '').split()
    if ring0:
        run = subprocess.run(['/usr/bin/python3', 'tools/tcb.py'] + ring0, cwd=ROOT, stdout=subprocess.PIPE,
                             check=True)
        text = run.stdout.decode()
        out['ring0_statements'] = int(re.search(r'^ *(\d+) .*in ring 0$', text, re.M).group(1))


def save(path, key, out):
    """One part of the results; another run may have written others meanwhile."""
    results = {}
    if os.path.exists(path):
        with open(path, encoding='utf-8') as f:
            results = json.load(f)
    results[key] = out
    with open(path + '.part', 'w', encoding='utf-8') as f:
        json.dump(results, f, indent=1)
        f.write('\n')
    os.replace(path + '.part', path)


def kernel_name(build):
    try:
        with open(os.path.join(build, 'guests', 'versions.txt'), encoding='utf-8') as f:
            return next((line.strip() for line in f if LINUX in line), LINUX)
    except OSError:
        return LINUX


def table(results, with_peer):
    names = [b for b in ('vmx', 'svm', *(row.name for row in rows_of_machines.ROWS)) if b in results]
    title = {'vmx': 'VT-x', 'svm': 'AMD-V'}
    theirs = f'{"KVM":>12}{"ratio":>8}' if with_peer else ''
    lines = [f'{"":30}' + ''.join(f'{title.get(b, b):>16}{"goal":>12}{theirs}' for b in names)]
    for row in ROWS:
        cells = ''
        for b in names:
            value, goal = results[b].get(row), GOALS.get(row, (None, None))[backend_of(b)]
            mark = ' ' if value is None or goal is None or value <= goal else '!'
            cells += f'{"-" if value is None else format(value, ","):>15}{mark}'
            cells += f'{"" if goal is None else format(goal, ","):>12}'
            if with_peer:
                theirs = results.get(f'{b}_kvm', {}).get(row)
                cells += f'{"-" if theirs is None else format(theirs, ","):>12}'
                cells += f'{theirs / value:>8.1f}' if theirs and value else f'{"-":>8}'
        lines.append(f'{row:30}{cells}')
    for b in names:
        r = results[b]
        if 'linux_boot' in r and 'linux_boot_bare' in r:
            lines.append(f'{b}: linux_boot / linux_boot_bare = {r["linux_boot"] / r["linux_boot_bare"]:.4f}')
        if 'linux_exits_by_reason' in r:
            reasons = sorted(r['linux_exits_by_reason'].items(), key=lambda x: -x[1])
            lines.append(f'{b}: linux_exits: ' + ', '.join(f'{k} {v:,}' for k, v in reasons))
    return '\n'.join(lines)


def measure_peer(on, out, build, mitigations):
    """The same guest under Linux KVM + QEMU, in the same emulated machine."""
    with peer.PeerBox(on, build, '' if mitigations else 'mitigations=off', "ops,linux", BenchMachine) as m:
        m.wait(r'^peer: ops', PEER_PATIENCE)
        m.wait(r'^peer: linux', PEER_PATIENCE)
        out.update(rows(m.text))
        line = re.search(INIT_LINE, m.text)
        if not line:
            raise harness.Failure('Linux did not boot under KVM\n' + m.tail())
        out['linux_boot'] = int(line.group(2), 16) - int(line.group(1), 16)


def measure_peer_ipi(on, out, build, mitigations):
    """Two CPUs for two vCPUs: at a slower clock, as in measure_ipi, of which Linux must be told."""
    with peer.PeerBox(
        on, build, '' if mitigations else 'mitigations=off', 'ipi', BenchMachine, cpus=2, khz=50_000
    ) as m:
        m.wait(r'^peer: ipi', PEER_PATIENCE)
        out.update(rows(m.text))
        if 'ipi_vcpu' not in out:
            raise harness.Failure('two vCPUs did not run under KVM\n' + m.tail())


def markdown(results):
    """The table of docs/performance.md. KVM's figures with what they are of ours, where ours are more than one
    instruction."""
    def cell(value, ours=None):
        return '-' if value is None else format(value, ',') + (f' ({value / ours:.1f})' if ours and ours > 1 else '')

    lines = [
        '| row | VT-x | goal | KVM, mitigations off | KVM, default '
        '| AMD-V | goal | KVM, mitigations off | KVM, default |',
        '|---|---:|---:|---:|---:|---:|---:|---:|---:|',
    ]
    for row in ROWS:
        goal = GOALS.get(row, (None, None))
        cells = []
        for i, b in enumerate(('vmx', 'svm')):
            value = results.get(b, {}).get(row)
            mark = '**' if value is not None and goal[i] is not None and value > goal[i] else ''
            cells += [mark + cell(value) + mark, cell(goal[i])]
            cells += [cell(results.get(b + peer_of, {}).get(row), value) for peer_of in ('_kvm', '_kvm_default')]
        lines.append(f'| `{row}` | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


# Whose guests compute with their interrupts off and share a CPU.
PREEMPTING = ('ops', 'barriers')
PARTS = {
    'ops': measure_ops,
    'barriers': measure_barriers,
    'ipi': measure_ipi,
    'linux': measure_linux,
    'bare': measure_bare,
}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--build', default=os.path.join(ROOT, 'build'))
    p.add_argument('--on', choices=[n for n in rows_of_machines.NAMES if n != 'kvm'], metavar='NAME',
                   help='one machine only: qemu, bochs, or another of docs/machines.md')
    p.add_argument('--peer', choices=('kvm',))
    p.add_argument(
        '--part', action='append', choices=sorted(PARTS), help='only these; the others keep what the last run wrote'
    )
    p.add_argument(
        '--peer-only', action='store_true', help='with --peer: Mullion\'s own rows are taken from the last run'
    )
    p.add_argument('--peer-ipi', action='store_true', help='with --peer: the row of two vCPUs instead of the others')
    p.add_argument('--markdown', action='store_true', help='print the last results as docs/performance.md shows them')
    a = p.parse_args()
    harness.BUILD = os.path.join(ROOT, a.build)
    path = os.path.join(harness.BUILD, 'bench.json')
    results = {}
    if (a.part or a.on or a.peer_only or a.peer_ipi) and os.path.exists(path):
        with open(path, encoding='utf-8') as f:
            results = json.load(f)
    elif not a.markdown and os.path.exists(path):
        os.unlink(path)
    if a.markdown:
        with open(path, encoding='utf-8') as f:
            print(markdown(json.load(f)))
        return 0
    make_initrd(harness.BUILD)
    failed = False
    if a.peer:
        peer.make_initrd(harness.BUILD, LINUX, LINUX_CMDLINE)
    for name in ([a.on] if a.on else ['bochs', 'qemu']):
        on, key = use(name)
        out = results.setdefault(key, {})
        out['machine'] = CHOSEN[on]
        out['linux_kernel'] = kernel_name(harness.BUILD)
        sizes(harness.BUILD, out)
        for part in a.part or ([] if a.peer_only or a.peer_ipi else list(PARTS)):
            if part == 'ipi' and on == 'qemu':
                continue # -icount has one CPU
            if part in PREEMPTING and 'preempt' in rows_of_machines.find(CHOSEN[on]).lacks:
                say(f'{name}: {part} is left out: its guests compute with their interrupts off (docs/machines.md)')
                continue
            say(f'{on}: {part}')
            begin = time.monotonic()
            try:
                PARTS[part](on, out)
            except harness.Failure as e:
                failed = True
                say(f'{on}: {part} FAILED: {e}')
            say(f'{on}: {part} took {time.monotonic() - begin:.0f} s')
            save(path, key, out)
        for mitigations in (False, True) if a.peer else ():
            say(f'{on}: KVM, mitigations {"as they come" if mitigations else "off"}')
            theirs_key = key + ('_kvm' if not mitigations else '_kvm_default')
            theirs = results.setdefault(theirs_key, {})
            try:
                if not a.peer_ipi:
                    measure_peer(on, theirs, harness.BUILD, mitigations)
                elif on == 'bochs':
                    measure_peer_ipi(on, theirs, harness.BUILD, mitigations)
            except harness.Failure as e:
                failed = True
                say(f'{on}: KVM FAILED: {e}')
            save(path, theirs_key, theirs)
    print(table(results, a.peer))
    print(f'Linux: {kernel_name(harness.BUILD)}')
    print(f'Figures in ticks of the TSC, one an instruction; ! misses its goal; written to {path}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
