# SPDX-License-Identifier: Apache-2.0
"""Two adversaries, one on each side of a guest that counts: they try everything that could reach out of a guest,
survive it, and the counter goes on at its pace; then they go on for ever, and Mullion still does what it is told."""
import re

import pytest

from harness import Box, Failure, guest

pytestmark = pytest.mark.needs('hostile')

CONF = ('[host]\nconsole = serial\n\n'
        + guest('left', 'adversary.elf', 'share = 60% of cpu 0', cmdline='seed=1 forever', on_crash='restart',
                on_triple_fault='crash')
        + guest('counter', 'counter.elf', 'share = 30% of cpu 1, every 20ms')
        + guest('right', 'adversary.elf', 'share = 60% of cpu 1', cmdline='seed=2 forever', on_crash='restart',
                on_triple_fault='crash'))
DONE = r'adversary done: nothing outside itself was reached'
ATTACKS = [
    'memory',
    'ports',
    'msrs',
    'cpuid',
    'hypercalls',
    'pci',
    'apic',
    'devices',
    'code',
    'tables',
    'vm instructions',
    'registers',
    'delivery',
    'exits',
]


def boot(on):
    return Box(CONF, on=on, memory=192 << 20)


@pytest.fixture(scope='module')
def boxes(on):
    """The machine that counts is the last."""
    made = [boot(on)]
    yield made
    print(made[-1].text)
    made[-1].close()


@pytest.fixture
def box(boxes):
    return boxes[-1]


def is_dead(box):
    """Without a panic, and without an end: not even the shell answers, which serial input would wake were it only
    asleep."""
    if box.panicked or box.machine.how_it_ended:
        return False
    try:
        box.shell('list', r'^NAME .*\n')
        return False
    except Failure:
        return not box.machine.how_it_ended and not box.panicked


def attacked(box):
    """Live, not from the logs: an adversary that goes on for ever fills them. Whatever it does to itself, it starts
    anew and must come to its end: QEMU has been seen, unlikely, to lose a guest's state (docs/emulators.md, "QEMU's
    guests that get lost")."""
    for name in ('left', 'right'):
        box.mark = 0
        for attempt in range(3):
            m = box.wait(r'(\[%s\] adversary(: exception| done:| FAILED)|guest %s: crashed).*\n' % (name, name), 60)
            if attempt < 2 and box.on == 'qemu' and 'crashed' in m.group(0):
                continue
            assert re.search(DONE, m.group(0)), m.group(0)
            break
    assert 'ESCAPE' not in box.text and 'adversary FAILED' not in box.text and 'WRONG' not in box.text
    for name in ('left', 'right'):
        done = re.findall(rf'\[{name}\] attack ([a-z ]+): done', box.text)
        assert any(done[i:i + len(ATTACKS)] == ATTACKS for i in range(len(done)))


def test_nothing_is_reached(boxes):
    try:
        attacked(boxes[-1])
    except Failure:
        if boxes[-1].on != 'qemu' or not is_dead(boxes[-1]):
            raise
        assert 'ESCAPE' not in boxes[-1].text
        print('QEMU has lost the whole machine:', boxes[-1].tail(), 'It is booted anew, once.')
        boxes[-1].close()
        boxes.append(boot('qemu'))
        attacked(boxes[-1])


def test_adversaries_still_run(box):
    for name in ('left', 'right'):
        assert box.state(name)[0] == 'running'


def test_counter_keeps_its_pace(box):
    """Its timer is the host's time: it must not lose a beat beside them."""
    assert box.state('counter')[0] == 'running'
    box.counts_on(20, 30)


def test_they_can_be_stopped(box):
    box.shell('stop left now', 'left')
    box.wait_state('left', 'off')
    assert box.state('right')[0] == 'running'
    before = box.counted()[-1]
    box.shell('start left', 'left starts')
    box.until('left', r'adversary ready', 30)
    assert box.counted()[-1] > before


def test_end(box):
    assert 'ESCAPE' not in box.text
    box.settle()
    box.type('poweroff now\r')
    assert box.ends() == 'off'
