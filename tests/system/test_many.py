# SPDX-License-Identifier: Apache-2.0
"""A hundred small guests side by side: all come up, each answers on its own console, and one that ends or crashes
touches no other."""
import re

import pytest

from harness import Box, Failure

GUESTS = 100
CPUS = 4


def name(n):
    return f'g{n:03}'


def section(n):
    return f"""
[guest {name(n)}]
share    = {100 // (GUESTS // CPUS)}% of cpu {n % CPUS}
memory   = 2M
kernel   = tiny.elf
cmdline  = guest number {n}
on-crash = stop
"""


@pytest.fixture(scope='module')
def box():
    with Box(conf=''.join(section(n) for n in range(GUESTS)), on='qemu', cpus=CPUS, memory=1 << 30) as b:
        yield b
        print(b.text[-20000:])


def states(box):
    """name -> state, of the whole list. Root answers at any time, also while it starts guests."""
    text = box.shell('list', r'Root has not answered|NAME +STATE(.*\n)+?\s*' + name(GUESTS - 1) + r' .*\n', 60).group(0)
    assert 'Root' not in text
    return dict(re.findall(r'^\s*(g\d\d\d) +(\w+)', text, re.M))


@pytest.mark.qemu
def test_all_run(box):
    """They start together, and their first lines fill the wire for a while."""
    box.wait(r"Mullion's shell, version .*\. 100 guests", 60)
    limit = box.limit(240)
    box.settle(2)
    while set(states(box).values()) != {'running'}:
        if limit.over():
            raise Failure(f'not all run within {limit}\n{box.tail()}')
        box.settle(2)


@pytest.mark.qemu
def test_each_is_itself(box):
    """Also those that share a bit of root's event and of the console's: 0, 32, 64, 96."""
    for n in (0, 1, 31, 32, 64, 96, 99):
        box.until(name(n), rf'guest number {n}\b', 60)
        box.in_guest(name(n), f'I am {n}', rf'I am {n}\b')


@pytest.mark.qemu
def test_one_ends_alone(box):
    box.shell(f'stop {name(1)} now', 'is stopped')
    box.wait_state(name(1), 'off')
    box.shell(f'fault {name(64)}', 'is made to crash')
    box.wait_state(name(64), 'crashed')
    assert {n for n, s in states(box).items() if s != 'running'} == {name(1), name(64)}
    for n in (33, 65, 97, 0, 32, 96):
        box.in_guest(name(n), f'still {n}', rf'still {n}\b')
    box.shell(f'start {name(1)}', 'starts')
    box.shell(f'start {name(64)}', 'starts')
    box.wait_state(name(1), 'running')
    box.wait_state(name(64), 'running')


@pytest.mark.qemu
def test_memory_is_partitioned(box):
    box.shell('audit', r'audit: passed', 60)
