# SPDX-License-Identifier: Apache-2.0
"""The measurements of the isolation suite. Each part runs one or two machines and answers with its figures; nothing is
judged here."""
import hashlib
import re

import accounts
import machines
from machines import Failure, bench

ROUNDS = {'bochs': 12, 'qemu': 6}
RESTARTS_MAX = 60
SPIN_REPORTS = 6  # of 2 s each
BURNER = (
    r'burner: ran (\d+) of (\d+) ticks in (\d+) runs, at worst (\d+) over its share of (\d+)%, (\d+) in any window, '
    r'slice (\d+)\n'
)
LATENCY = r'latency: (\d+) wakes, least (\d+), median (\d+), 99% (\d+), worst (\d+), (\d+) early\n'
WORKLOAD = r'workload: round \d+: (\d+) ticks, result 0x([0-9a-f]{16})\n'


def khz(m):
    return int(re.search(r'ready: (\d+) kHz', m.text).group(1))


def wakes(found, where, beside):
    """One row of the table of wake-ups out of several rounds: the median one's median, the worst one's worst."""
    rounds = [tuple(map(int, f.groups())) for f in found]
    middle = sorted(r[2] for r in rounds)[len(rounds) // 2]
    return {
        'where': where,
        'beside': beside,
        'wakes': sum(r[0] for r in rounds),
        'least': min(r[1] for r in rounds),
        'median': middle,
        'p99': max(r[3] for r in rounds),
        'worst': max(r[4] for r in rounds),
        'early': sum(r[5] for r in rounds),
    }


def closing(m, out):
    """What is asked of every machine at its end: the longest paths, the audit, and whether anybody got out."""
    out['paths'] = accounts.read_paths(m)
    m.settle(0.3)
    a = m.shell('audit', r'^audit: \d+ tables, .*; (\d+) ticks; .*\naudit: (.*)\n', 60)
    out['audit_ticks'] = int(a.group(1))
    out['audit'] = a.group(2)
    violations = re.search(r'FAILED, (\d+)', a.group(2))
    out['escapes'] = machines.escapes(m) + (
        int(violations.group(1)) if violations else 0 if a.group(2) == 'passed' else 1
    )
    out['attacks'] = len(re.findall(r'^\[\w+\] attack [a-z ]+: done', m.text, re.M))


def measure_shared(on):
    """Shares, caps and wake-ups on one CPU that is divided among hostile guests."""
    conf, cpus, adversaries = machines.shared(on)
    out = {}
    with machines.box(on, conf, cpus) as m:
        for name in list(machines.SPINNERS) + ['bursty', 'latency']:
            m.mark = 0
            m.wait(rf'^\[{name}\] \w+ ready: ', 60)
        machines.wait_attacks(m, adversaries, 120)
        m.settle(0.2)
        since = len(m.text)
        begin = accounts.read_accounts(m)
        reports = {n: machines.wait_lines(m, n, BURNER, SPIN_REPORTS + 1, since, 120) for n in machines.SPINNERS}
        diff = accounts.read_accounts(m) - begin
        reports['bursty'] = machines.wait_lines(m, 'bursty', BURNER, SPIN_REPORTS, since, 120)
        slept = machines.wait_lines(m, 'latency', LATENCY, 2, since, 120)
        out['khz'] = khz(m)
        out['shares'] = []
        for name, (percent, ms) in machines.SPINNERS.items():
            got = diff.share_pct(name)
            out['shares'].append({'guest': name, 'percent': percent, 'period_ms': ms, 'got': got,
                                  'error_pct': 100 * abs(got - percent) / percent})
        out['caps'] = []
        for name, found in reports.items():
            percent, slice_ticks = int(found[0].group(5)), int(found[0].group(7))
            out['caps'].append({'guest': name, 'percent': percent, 'slice': slice_ticks,
                                'worst_slices': max(int(f.group(4)) for f in found) / slice_ticks,
                                'any_window_slices': max(int(f.group(6)) for f in found) / slice_ticks,
                                'windows_of_runs': sum(int(x.group(3)) for x in found)})
        out['wakes'] = [wakes(slept, 'shared', 'adversaries')]
        out['seconds'] = min(diff.tsc.values()) / out['khz'] / 1000
        out['gap_pct'] = diff.gap_pct()
        out['accounts'] = {str(cpu): {**diff.kinds(cpu), 'tsc': diff.tsc[cpu]} for cpu in diff.tsc}
        closing(m, out)
    return out


def rounds(m, count, since, results):
    """The mean of `count` whole rounds that begin after this moment; the first line may be of one that began before
    it."""
    found = machines.wait_lines(m, 'workload', WORKLOAD, count + 1, since, 240)[1:]
    results.update(f.group(2) for f in found)
    ticks = [int(f.group(1)) for f in found]
    return {'mean': sum(ticks) / len(ticks), 'least': min(ticks), 'most': max(ticks), 'rounds': len(ticks)}


def beside_adversaries(m, names, out, count, measure):
    """A measurement of `count` rounds alone, then with the adversaries at work."""
    results = set()
    m.wait(r'^\[workload\] workload: round 1: ', 120)
    alone = rounds(m, count, len(m.text), results)
    out['wakes'] = measure('none') if measure else []
    begun = [machines.start(m, name) for name in names]
    machines.wait_attacks(m, names, 240)
    begin = accounts.read_accounts(m)
    beside = rounds(m, count, max(len(m.text), *begun), results)
    out['wakes'] += measure('adversaries') if measure else []
    out['gap_pct'] = (accounts.read_accounts(m) - begin).gap_pct()
    out['interference'] = {
        'alone': alone,
        'beside': beside,
        'pct': 100 * abs(beside['mean'] - alone['mean']) / alone['mean'],
    }
    out['results'] = len(results)
    out['khz'] = khz(m)
    closing(m, out)
    out['escapes'] += len(results) - 1  # a guest whose results were disturbed


def dedicated_wakes(m, beside):
    """Of whole rounds that begin after this moment."""
    found = machines.wait_lines(m, 'latency', LATENCY, 3, len(m.text), 120)[1:]
    return wakes(found, 'dedicated', beside)


def wakes_amid_restarts(m, name):
    """While a neighbour is ended, cleared away and started again, over and over: the kernel's longest work, and under
    its lock."""
    since = len(m.text)
    for _ in range(RESTARTS_MAX):
        m.shell(f'restart {name}', rf'guest {name}: runs; first', 60)
        found = machines.lines(m, 'latency', LATENCY, since)
        if len(found) > 2:
            return wakes(found[1:], 'dedicated', 'restarts')
    raise Failure(f'no two rounds of latency within {RESTARTS_MAX} restarts of {name}')


def measure_dedicated(on):
    """What a guest on a CPU of its own feels of its neighbours: wake-ups and run time."""
    out = {}
    if on == 'bochs':
        with machines.box(on, machines.dedicated_bochs(), 4, machines.SLOW_MHZ) as m:
            def measure(beside):
                rows = [dedicated_wakes(m, beside)]
                return rows + [wakes_amid_restarts(m, 'right')] if beside == 'adversaries' else rows
            beside_adversaries(m, ['left', 'right'], out, ROUNDS[on], measure)
        return out
    with machines.box(on, machines.ALONE) as m:
        row = dedicated_wakes(m, 'none')
    with machines.box(on, machines.interference_qemu()) as m:
        beside_adversaries(m, ['left', 'right'], out, ROUNDS[on], None)
    out['wakes'] = [row]
    return out


# A chain of checksums over generated text, as a script for busybox' shell, and the same here.
CHAIN = ['x=mullion; i=0; while [ $i -lt 12 ]; do',
         'x=$(seq $i 2000|sed "s/^/$x/"|sha256sum|cut -c1-64)',
         'i=$((i+1)); done; echo chain $x']


def chain_here():
    x = 'mullion'
    for i in range(12):
        x = hashlib.sha256(''.join(f'{x}{k}\n' for k in range(i, 2001)).encode()).hexdigest()
    return x


def measure_linux(on):
    """A Linux guest between two adversaries computes the same as alone, and as the host."""
    conf, cpus, mhz = machines.linux(on)
    out = {}
    with machines.box(on, conf, cpus, mhz) as m:
        m.wait(r'^\[linux\] guest linux ready', 240)
        m.settle(1)
        for n, line in enumerate(CHAIN):
            m.in_guest('linux', f"echo '{line}' >> /tmp/c; echo line $(({n}+1))", rf'^line {n + 1}\n')
        right, answers = chain_here(), []
        answers.append(m.in_guest('linux', 'sh /tmp/c', r'^chain ([0-9a-f]{64})\n', 240).group(1))
        for name in ('left', 'right'):
            machines.start(m, name)
        machines.wait_attacks(m, ['left', 'right'], 240)
        for _ in range(2):
            answers.append(m.in_guest('linux', 'sh /tmp/c', r'^chain ([0-9a-f]{64})\n', 240).group(1))
        out['chain'], out['answers'] = right, answers
        out['right_answers'] = [a == right for a in answers]
        closing(m, out)
    out['escapes'] += out['right_answers'].count(False)
    return out


def flat_conf(guests):
    """Two that compute, to see the switch between them: with other periods and much to do, so that one often waits for
    the other. One that tells what an exit costs. The others are asleep by then."""
    conf = ''
    for n in range(guests):
        if n < 2 and guests > 1:
            conf += machines.guest(
                'sw' + 'ab'[n],
                'bench.elf',
                f'share = 30% of cpu 0, every {2 + n}ms',
                cmdline='mode=switch',
                bench_device='yes',
                autostart='no',
            )
        else:
            conf += machines.guest(
                f'g{n}',
                'bench.elf',
                'share = 1% of cpu 0, every 20ms',
                cmdline='mode=cpuid',
                bench_device='yes',
                autostart='yes' if n < guests - 1 else 'no',
            )
    return conf


def measure_flat(on):
    """Kernel memory of a guest, a switch and an exit, with few guests and with many."""
    out = {'rows': []}
    for guests in (1, 2, 8, 32):
        with machines.box(on, flat_conf(guests)) as m:
            row = {'guests': guests}
            last = 'swb' if guests == 2 else f'g{guests - 1}'
            m.wait("Mullion's shell", 120)
            m.mark = 0
            m.wait_all([rf'^\[g{n}\] bench end' for n in range(2, guests - 1)], 240)
            if guests > 1:
                machines.start(m, 'swa')
                machines.start(m, 'swb')
                m.wait_all([r'^\[swa\] bench end', r'^\[swb\] bench end'], 240)
                m.settle()
                row['switch'] = bench.switch_cost(m.text)
            if guests != 2:
                m.shell(f'start {last}', rf'^\[{last}\] bench end', 60)
                row['exit'] = int(machines.lines(m, last, r'bench cpuid (\d+) ')[-1].group(1))
            row['kernel_bytes'] = bench.stats(m, last)['kernel: bytes']
            out['rows'].append(row)
            closing(m, out)
    return out


PARTS = {'shared': measure_shared, 'dedicated': measure_dedicated, 'linux': measure_linux, 'flat': measure_flat}
