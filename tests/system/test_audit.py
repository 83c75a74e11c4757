# SPDX-License-Identifier: Apache-2.0
"""Isolation, checked from inside: the shell's `audit` on a live machine in both emulators. It passes whatever the
guests go through, it finds a mapping that should not be, the same state gives the same digest, and its cost does not
grow with guests' memory."""
import re

import pytest

from harness import Box, guest

CONF = (
    '[host]\nconsole = serial\nlog = debug\n\n'
    + guest('web', 'tiny.elf', 'share = 20% of cpu 0', on_crash='stop', on_triple_fault='crash')
    + guest('batch', 'tiny.elf', 'share = 20% of cpu 0', on_crash='stop')
    + guest('big', 'tiny.elf', 'share = 20% of cpu 0', memory='256M', autostart='no')
)


class Audit:
    """What `audit` says."""

    def __init__(self, text):
        m = re.search(
            r'^audit: (\d+) tables, (\d+) leaves, (\d+) ranges, (\d+) domains, (\d+) spaces, (\d+) vCPUs; (\d+) ticks; '
            r'digest ([0-9a-f]{16})\n',
            text,
            re.M,
        )
        assert m, text
        self.tables, self.leaves, self.ranges, self.domains, self.spaces, self.vcpus, self.ticks = map(
            int, m.groups()[:7]
        )
        self.digest = m.group(8)
        self.owners = {name: int(n) for name, n in re.findall(r'^(\S+) +(\d+)\n', text, re.M)}
        self.verdict = re.search(r'^audit: (passed|FAILED|nothing).*\n', text, re.M).group(0).strip()
        self.violations = re.findall(r'^audit: (.* belongs to .*|.* is reached by .*)\n', text, re.M)


def audit(box, command='audit', end=r'^audit: (passed|FAILED|nothing).*\n'):
    box.settle(0.2)
    start = len(box.text)
    box.shell(command, end, 30)
    return Audit(box.text[start:])


def passes(box):
    a = audit(box)
    assert a.verdict == 'audit: passed', box.tail()
    return a


@pytest.fixture(scope='module')
def box(on):
    with Box(CONF, on=on, options='debug-exit') as b:
        yield b
        print(b.text)


def test_passes(box):
    for name in ('web', 'batch'):
        box.until(name, '^tiny ready', 60)
    a = passes(box)
    assert a.domains == 5 and a.spaces == 2 and a.vcpus == 2  # root, console, the checker, two monitors
    assert a.owners['web'] == a.owners['batch'] == 16 << 20 and a.owners['big'] == 0
    assert sum(a.owners.values()) > box.memory - (2 << 20)  # all of the machine's memory has been told of
    again = passes(box)
    assert (again.digest, again.tables, again.leaves) == (a.digest, a.tables, a.leaves)
    if box.on == 'bochs':  # its clock counts instructions, and nothing else is in the thread's time
        assert abs(again.ticks - a.ticks) < a.ticks / 20


def test_the_same_after_stop_and_start(box):
    before = passes(box)
    box.shell('stop web now', 'web')
    box.wait_state('web', 'off')
    without = passes(box)
    assert without.digest != before.digest and without.owners['web'] == 0 and without.spaces == 1
    box.shell('start web', 'web starts')
    box.until('web', '^tiny ready', 60, count=2)
    assert passes(box).digest == before.digest
    box.shell('restart batch', 'batch')
    box.until('batch', '^tiny ready', 60, count=2)
    assert passes(box).digest == before.digest


def test_passes_after_a_crash_of_a_guest_and_of_a_monitor(box):
    before = passes(box)
    box.in_guest('web', 'crash', r'triple fault now')
    box.wait_state('web', 'crashed')
    passes(box)
    box.shell('fault batch', 'batch')
    box.wait_state('batch', 'crashed')
    assert passes(box).spaces == 0
    for name in ('batch', 'web'):  # the other way round
        box.shell(f'start {name}', f'{name} starts')
        box.until(name, '^tiny ready', 60, count=3)
    assert passes(box).digest == before.digest


def test_finds_a_broken_mapping(box):
    before = passes(box)
    a = audit(box, 'audit break web', r'^audit break: .*\n')
    assert 'audit break: the broken mapping was found, and is undone' in box.text
    assert a.verdict == 'audit: FAILED, 1 violation'
    assert len(a.violations) == 1
    assert re.fullmatch(
        r'monitor of web: 0x[0-9a-f]+ \(4 KiB\) belongs to guest batch \(seen at 0x[0-9a-f]+\)', a.violations[0]
    )
    assert a.digest != before.digest
    assert passes(box).digest == before.digest
    box.in_guest('web', 'all well', r'you typed: all well')


def test_cost_is_that_of_tables_not_of_memory(box):
    small = passes(box)
    box.shell('stop web now', 'web')
    box.wait_state('web', 'off')
    box.shell('start big', 'big starts')
    box.until('big', '^tiny ready', 60)
    big = passes(box)
    assert big.owners['big'] == 256 << 20
    assert abs(big.tables - small.tables) <= 2
    # Its memory has 128 large pages each in the guest's table and the monitor's, where web's has 8.
    assert big.leaves - small.leaves <= 2 * 120 + 8
    if box.on == 'bochs':
        assert big.ticks < small.ticks * 1.1


def test_looks_by_itself(box):
    log = box.log('mullion', 1000)
    assert len(re.findall(r'audit: .* passed\n', log)) >= 4, log
    assert 'error: audit' not in box.text


def test_nobody_has_noticed(box):
    box.in_guest('batch', 'all well', r'you typed: all well')
    box.settle()
    box.type('poweroff now\r')
    assert box.ends() == 'off'


@pytest.mark.qemu
def test_break_needs_its_option():
    with Box(CONF, on='qemu') as box:
        box.until('web', '^tiny ready', 60)
        box.shell('audit break web', r"'audit break' needs debug-exit")
        box.shell('audit break nobody', r"No guest is called 'nobody'")
        passes(box)


@pytest.mark.qemu
def test_thirty_two_guests():
    names = [f'g{i}' for i in range(32)]
    with Box(
        ''.join(guest(n, 'tiny.elf', 'share = 3% of cpu 0, every 100ms') for n in names),
        on='qemu',
        options='debug-exit',
    ) as box:
        box.until('g31', '^tiny ready', 90)
        for n in names:
            box.wait_state(n, 'running', 60)
        a = passes(box)
        assert a.domains == 35 and a.spaces == 32
        box.in_guest('g31', 'hello', r'you typed: hello', 60)
        box.shell('fault g31', 'g31')
        box.wait_state('g31', 'crashed')
        box.shell('stop g30 now', 'g30')
        box.wait_state('g30', 'off')
        assert passes(box).spaces == 30
        box.shell('start g31', 'g31 starts')
        box.until('g31', '^tiny ready', 60, count=2)
        assert passes(box).spaces == 31
        audit(box, 'audit break g31', r'^audit break: the broken mapping was found.*\n')
