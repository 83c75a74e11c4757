"""Guests with several CPUs: tests/guests/smp.c on 2, 4 and 64 vCPUs, one of whose CPUs crashes, and Linux that works on four, takes CPUs off and
on, and panics on one of them."""
import re
import time

import pytest

from harness import SLOWER, Box, guest


def passes(box, name, cpus, timeout=60, least=50):
    m = box.until(name, r'smp: (\d+) CPUs, (\d+) passed, (\d+) failed', timeout)
    failed = [line for line in box.log(name).splitlines() if 'FAILED' in line]
    assert not failed and m.group(3) == '0', '\n'.join(failed)
    assert int(m.group(1)) == cpus and int(m.group(2)) >= least
    box.wait_state(name, 'off')


@pytest.fixture(scope='module')
def box(on):
    many, few = ('1-2', '3-4') if on == 'bochs' else ('1-4', '5-7')
    conf = (
        '[host]\nconsole = serial\n\n'
        + guest('counter', 'counter.elf', 'share = 20% of cpu 0, every 20ms')
        + guest('many', 'smp.elf', f'cpus = {many}', debug_exit='0xf4')
        + guest('crash', 'smp.elf', f'cpus = {few}', cmdline='crash', debug_exit='0xf4', on_crash='restart', autostart='no')
    )
    with Box(conf, on=on, memory=192 << 20) as b:
        yield b
        print(b.text)


def test_all_that_a_guest_does_with_its_cpus(box):
    passes(box, 'many', 2 if box.on == 'bochs' else 4)


def test_a_crash_of_one_cpu_is_the_guests(box):
    """On whatever CPU it happens: the whole guest starts anew, and after the sixth time it stays off."""
    last = 1 if box.on == 'bochs' else 2
    box.shell('start crash', 'crash starts')
    box.until('crash', rf'smp: CPU {last}: triple fault now', 60, count=2)
    box.wait_state('crash', 'crashed', 60)
    box.shell('list', rf'crashed: vCPU {last}: triple fault at rip 0x')
    assert 'WRONG' not in box.log('crash')
    assert box.state('crash')[-1] == '5'


def test_the_neighbour_counts_on(box):
    first = int(re.findall(r'^count (\d+)\n', box.log('counter'), re.M)[-1])
    start = time.monotonic()
    while int(re.findall(r'^count (\d+)\n', box.log('counter'), re.M)[-1]) < first + 5:
        assert time.monotonic() < start + 30 * SLOWER[box.on], 'the counter does not count'
        box.pump(0.5)
    numbers = [int(n) for n in re.findall(r'^count (\d+)\n', box.log('counter'), re.M)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_end(box):
    box.settle()
    box.type('poweroff\r')
    assert box.ends() == 'off'


@pytest.mark.qemu
def test_sixty_four():
    """As many as Mullion can: every physical CPU, one vCPU each."""
    with Box(guest('all', 'smp.elf', 'cpus = 0-63', cmdline='quick', debug_exit='0xf4'), cpus=64, memory=512 << 20) as box:
        box.wait('guest all: its monitor starts, 64 vCPUs', 60)
        passes(box, 'all', 64, 120, 25)
        box.settle()
        box.type('poweroff\r')
        assert box.ends() == 'off'
