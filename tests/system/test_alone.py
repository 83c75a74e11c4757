# SPDX-License-Identifier: Apache-2.0
"""A guest with CPUs of its own (`cpus = ...`): nothing of the host's takes it out of its own work, and on VT-x it waits
in HLT by itself."""
import re

import pytest

from harness import Box, guest

CONF = ('[host]\nconsole = serial\n\n'
        + guest('busy', 'burner.elf', 'cpus = 1', cmdline='share=100 period=10000 for=60000 open')
        + guest('sleeper', 'latency.elf', 'cpus = 2', cmdline='count=200 near=500 far=3000')
        + guest('sharer', 'latency.elf', 'share = 50% of cpu 0', cmdline='count=200 near=500 far=3000'))


@pytest.fixture(scope='module')
def box(on):
    # as on hardware; none of these guests sleeps with interrupts off
    with Box(CONF, on=on, cpus=3, options='reach=interrupt') as b:
        b.wait_all([rf'^\[{name}\] latency: 200 wakes' for name in ('sleeper', 'sharer')], 120)
        yield b
        print(b.text)


def exits(box, name):
    """{reason: how often so far}"""
    box.settle(0.2)
    box.mark = len(box.text)
    box.type(f'stats {name}\rend\r')
    end = box.wait("Unknown command 'end'", 30).start()
    return {
        k: int(n)
        for k, n in re.findall(
            r'^exits: (\S+) +(\d+)', box.text[box.text.rfind(f'mullion> stats {name}', 0, end) : end], re.M
        )
    }


def test_who_is_busy_is_left_alone(box):
    before = exits(box, 'busy')
    assert before['all'] > 10  # it did start
    for _ in range(2):
        box.wait(r'^\[sleeper\] latency: 200 wakes', 120)
        box.mark = len(box.text)
    after = exits(box, 'busy')
    print(before, after)
    assert after == before  # no tick of ours, and nothing else


def test_who_sleeps_does_so_by_himself(box):
    """Where the CPU can be left out of HLT and put back into it: VT-x. The sharer's sleep is always the kernel's."""
    sleeper, sharer = exits(box, 'sleeper'), exits(box, 'sharer')
    print(sleeper, sharer)
    assert sharer['hlt'] > 400 and sleeper['wrmsr'] > 400
    assert (sleeper.get('hlt', 0) < 10) == (box.row.vendor == 'VT-x')


def test_who_halts_for_good_is_reached(on):
    """Nothing wakes him, but the host must be able to: in Bochs by the timer alone, because the kernel has recognised
    it."""
    conf = '[host]\nconsole = serial\n\n' + guest('halted', 'wild.elf', 'cpus = 1', cmdline='halt')
    with Box(conf, on=on, cpus=2) as b:
        b.wait(r'^\[halted\] wild: halting with interrupts off')
        b.settle()
        b.type('stop halted 5\r')
        b.wait_state('halted', 'off', 8)  # otherwise at the end of the timer's range, 86 s
