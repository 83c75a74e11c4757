# SPDX-License-Identifier: Apache-2.0
"""A hostile program in a monitor's place, live: random system calls, garbage in all that it shares, storms of events,
on a share of the counter's CPU. Root, the console, the checker and the other guests go on, and it can be ended and is
well again. Only one: with more CPUs that storm than an emulator's host has, it is the host that keeps the kernel's
locks from those that wait for them."""

import pytest

from harness import Box, guest

pytestmark = pytest.mark.needs('hostile')

CONF = (
    '[host]\nconsole = serial\n\n'
    + guest('shared', 'tiny.elf', 'share = 60% of cpu 1')
    + guest('counter', 'counter.elf', 'share = 30% of cpu 1, every 20ms')
    + guest('tiny', 'tiny.elf', 'share = 25% of cpu 0')
)
HOSTILE = ('shared',)


@pytest.fixture(scope='module')
def box(on):
    with Box(CONF, on=on, memory=192 << 20) as b:
        yield b
        print(b.text)


def audit(box):
    """Its verdict. `nothing is known` is one while a monitor changes things all the time; it may be asked again."""
    for _ in range(6):
        m = box.shell('audit', r'^audit: (passed|FAILED.*|nothing.*)\n|The checker is looking', 30)
        if m.group(1) and 'something changed' not in m.group(1):
            return m.group(1)
    return 'never'


def test_all_is_well_before(box):
    for name in HOSTILE + ('tiny',):
        box.until(name, '^tiny ready', 60)
    assert audit(box) == 'passed'


def test_monitors_turn_hostile(box):
    for name in HOSTILE:
        box.shell(f'fault {name} fuzz', f"Guest {name}'s monitor turns hostile")
    for name in HOSTILE:
        box.wait(rf"^\[{name}'s monitor\] hostile: thread 0, [1-9]\d* calls, [1-9]\d* of them accepted", 30)
        box.mark = 0


def test_others_go_on(box):
    box.counts_on(5, 60)
    box.in_guest('tiny', 'still here', r'you typed: still here')
    for name in HOSTILE + ('counter', 'tiny'):
        assert box.state(name)[0] == 'running'


def test_services_answer(box):
    box.shell('memory', r'^free: ', 60)
    box.shell('stats shared', r'kernel: bytes', 60)
    assert audit(box) == 'passed'
    assert 'the console has crashed' not in box.text and 'the checker' not in box.text.replace('The checker', '')


def test_they_end_and_are_well_again(box):
    for name in HOSTILE:
        box.shell(f'stop {name} now', f'Guest {name} is stopped')
    for name in HOSTILE:
        box.wait_state(name, 'off')
    assert audit(box) == 'passed'
    for name in HOSTILE:
        box.shell(f'start {name}', f'{name} starts')
        box.until(name, '^tiny ready', 60)
        box.in_guest(name, 'well again', r'you typed: well again')
    assert audit(box) == 'passed'
    box.counts_on(2, 60)


def test_end(box):
    box.settle()
    box.type('poweroff now\r')
    assert box.ends() == 'off'
