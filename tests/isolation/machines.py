# SPDX-License-Identifier: Apache-2.0
"""The machines that the isolation suite looks at: their configurations, and how they are started and read.

A tick is an instruction: QEMU's clock counts them with one CPU (-icount), so all its machines have one. Bochs' clock
counts them with any number of CPUs, which take turns of a few instructions."""
import os
import re
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path += [os.path.join(ROOT, 'tests', 'bench'), os.path.join(ROOT, 'tests', 'system')]
import bench  # noqa: E402  It gives harness a machine whose clock counts instructions.
import harness  # noqa: E402
from harness import Failure, guest  # noqa: E402

MHZ = {'bochs': 200, 'qemu': 1000}  # QEMU's -icount has no other
# With four CPUs each second of the machine's is long in Bochs; nothing that is measured there is told in seconds.
SLOW_MHZ = 50
ATTACKED = r'^\[{}\] attack memory: done'


def box(on, conf, cpus=1, mhz=None):
    return harness.Box(conf, on=bench.CHOSEN[on], cpus=cpus, bochs_ips=(mhz or MHZ[on]) * 1_000_000)


def burner(name, percent, cpu, period_ms, words='', **keys):
    return guest(name, 'burner.elf', f'share = {percent}% of cpu {cpu}, every {period_ms}ms',
                 cmdline=f'share={percent} period={period_ms * 1000} {words}'.strip(), **keys)


def adversary(name, seed, where, **keys):
    # QEMU was seen to lose a guest's state under exit storms (docs/emulators.md): it starts anew.
    return guest(name, 'adversary.elf', where, cmdline=f'seed={seed} forever', on_crash='restart',
                 on_triple_fault='crash', **keys)


# Guests of one CPU: their shares add up to 95%; the rest is for root and the console, which on AMD-V come first there.
# Periods that have nothing to do with each other.
SPINNERS = {'spin10': (30, 10), 'spin3': (25, 3), 'spin40': (15, 40)}  # name: percent, period in ms
LATENCY_PERIOD_MS = 10


def shared(on):
    """(configuration, CPUs, names of the adversaries)"""
    cpu = 1 if on == 'bochs' else 0
    conf = ''.join(burner(name, percent, cpu, ms) for name, (percent, ms) in SPINNERS.items())
    conf += burner('bursty', 5, cpu, 20, 'bursty')
    conf += guest('latency', 'latency.elf', f'share = 4% of cpu {cpu}, every {LATENCY_PERIOD_MS}ms')
    conf += adversary('near', 1, f'share = 16% of cpu {cpu}, every 30ms')
    if on == 'bochs':
        conf += adversary('far', 2, 'share = 30% of cpu 0')
    return conf, cpu + 1, ['near', 'far'] if on == 'bochs' else ['near']


def dedicated_bochs():
    """A guest that computes and one that sleeps, each with a CPU of its own, between CPUs full of adversaries."""
    return (guest('workload', 'workload.elf', 'cpus = 1', cmdline='work=10')
            + guest('latency', 'latency.elf', 'cpus = 2', cmdline='count=500')
            + adversary('left', 1, 'share = 60% of cpu 0', autostart='no')
            + adversary('right', 2, 'cpus = 3', autostart='no'))


ALONE = guest('latency', 'latency.elf', 'cpus = 0', cmdline='count=500')


def interference_qemu():
    """On one CPU: a short period and a long round of hundreds of them. Beside others a period's budget may come early
    or late in it, so one round can be a period longer or shorter."""
    return (guest('workload', 'workload.elf', 'share = 30% of cpu 0, every 2ms', cmdline='work=160')
            + adversary('left', 1, 'share = 30% of cpu 0, every 5ms', autostart='no')
            + adversary('right', 2, 'share = 30% of cpu 0, every 7ms', autostart='no'))


def linux(on):
    """(configuration, CPUs, MHz): a Linux with an adversary beside it on its CPU and, on VT-x, another on the other
    CPU."""
    mhz, near, percent, others = (SLOW_MHZ, 1, 70, (60, 25)) if on == 'bochs' else (MHZ[on], 0, 50, (20, 20))
    conf = guest(
        'linux',
        'vmlinuz-cloud',
        f'share = {percent}% of cpu {near}, every 10ms',
        memory='192M',
        initrd='initrd.gz',
        cmdline=f'console=ttyS0 loglevel=4 tsc_early_khz={mhz * 1000} mullion.name=linux',
    )
    conf += adversary('left', 1, f'share = {others[0]}% of cpu 0, every 5ms', autostart='no')
    conf += adversary('right', 2, f'share = {others[1]}% of cpu {near}, every 7ms', autostart='no')
    return conf, near + 1, mhz


def lines(m, name, pattern, since=0):
    """What a guest has written so far that looks so: matches."""
    return list(re.finditer(rf'^\[{name}\] {pattern}', m.text[since:], re.M))


def wait_lines(m, name, pattern, count, since, timeout):
    """Waits for `count` such lines behind the text's position `since`."""
    while True:
        found = lines(m, name, pattern, since)
        if len(found) >= count:
            return found
        m.mark = since + found[-1].end() if found else since
        m.wait(rf'^\[{name}\] {pattern}', timeout, f'({len(found)} of {count} were seen)')


def start(m, name):
    since = len(m.text)
    m.shell(f'start {name}', f'{name} starts', 60)
    return since


def wait_attacks(m, names, timeout):
    """Until each adversary is at work, so that what is measured then is measured beside it."""
    for name in names:
        m.mark = 0
        m.wait(ATTACKED.format(name), timeout)


def escapes(m):
    return len(re.findall(r'adversary: ESCAPE', m.text))

