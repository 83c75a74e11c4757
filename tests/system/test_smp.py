# SPDX-License-Identifier: Apache-2.0
"""Guests with several CPUs: tests/guests/smp.c on 2, 4 and 64 vCPUs, one of whose CPUs crashes, and on a machine of 96
CPUs; Linux that works on four, takes CPUs off and on, and panics on one of them."""
import hashlib
import re

import pytest

from harness import Box, guest, machines


def passes(box, name, cpus, timeout=60, least=50):
    m = box.until(name, r'smp: (\d+) CPUs, (\d+) passed, (\d+) failed', timeout)
    failed = [line for line in box.log(name).splitlines() if 'FAILED' in line]
    assert not failed and m.group(3) == '0', '\n'.join(failed)
    assert int(m.group(1)) == cpus and int(m.group(2)) >= least
    box.wait_state(name, 'off')


@pytest.fixture(scope='module')
def box(on):
    many, few = ('1-2', '3-4') if machines.find(on).emulator == 'bochs' else ('1-4', '5-7')
    conf = (
        '[host]\nconsole = serial\n\n'
        + guest('counter', 'counter.elf', 'share = 20% of cpu 0, every 20ms')
        + guest('many', 'smp.elf', f'cpus = {many}', debug_exit='0xf4')
        + guest(
            'crash', 'smp.elf', f'cpus = {few}', cmdline='crash', debug_exit='0xf4', on_crash='restart', autostart='no',
            on_triple_fault='crash',
        )
    )
    with Box(conf, on=on, memory=192 << 20) as b:
        yield b
        print(b.text)


@pytest.mark.short
def test_all_that_a_guest_does_with_its_cpus(box):
    passes(box, 'many', 2 if box.on == 'bochs' else 4)


def test_a_crash_of_one_cpu_is_the_guests(box):
    """On whatever CPU it happens: the whole guest starts anew, after pauses that grow."""
    last = 1 if box.on == 'bochs' else 2
    box.shell('start crash', 'crash starts')
    box.until('crash', rf'smp: CPU {last}: triple fault now', 60, count=2)
    crashed = rf'^(?:warning: )?guest crash: crashed: vCPU {last}: triple fault at rip 0x.*; it is started again'
    box.until('mullion', rf'{crashed} in 2 s ', 60)
    box.shell('stop crash now', 'Guest crash is')
    limit = box.limit(30)
    while box.state('crash')[0] not in ('off', 'crashed'): # crashed: it was stopped in its pause, and stays so
        assert not limit.over(), 'it does not stop'
        box.rest(0.3)
    assert 'WRONG' not in box.log('crash')
    assert box.times('mullion', crashed) == int(box.state('crash')[-1]) >= 4


def test_the_neighbour_counts_on(box):
    box.counts_on(5, 30)


@pytest.mark.short
def test_end(box):
    box.settle()
    box.type('poweroff now\r')
    assert box.ends() == 'off'


@pytest.mark.qemu
def test_sixty_four():
    """As many vCPUs as a guest can have: every physical CPU, one vCPU each."""
    with Box(
        guest('all', 'smp.elf', 'cpus = 0-63', cmdline='quick', debug_exit='0xf4'), cpus=64, memory=512 << 20
    ) as box:
        box.wait('guest all: its monitor starts, 64 vCPUs', 60)
        passes(box, 'all', 64, 120, 25)
        box.settle()
        box.type('poweroff now\r')
        assert box.ends() == 'off'


@pytest.mark.qemu
def test_more_cpus_than_a_word_has_bits():
    """Guests on physical CPUs whose numbers differ by 64: each runs on its own; they end and start apart."""
    conf = (
        '[host]\nconsole = serial\n\n'
        + guest('far', 'smp.elf', 'cpus = 1,63-65,95', cmdline='quick', debug_exit='0xf4')
        + guest('low', 'tiny.elf', 'cpus = 30')
        + guest('high', 'tiny.elf', 'cpus = 94')
    )
    with Box(conf, cpus=96, memory=512 << 20) as box:
        box.wait('guest far: its monitor starts, 5 vCPUs', 60)
        passes(box, 'far', 5, 120, 25)
        for name in ('low', 'high'):
            box.in_guest(name, f'I am {name}', rf'you typed: I am {name}')
        box.shell('stop low now', 'is stopped')
        box.wait_state('low', 'off')
        box.in_guest('high', 'still here', r'you typed: still here')
        box.shell('start low', 'starts')
        box.in_guest('low', 'again', r'you typed: again')
        box.shell('audit', r'audit: passed', 60)
        box.settle()
        box.type('poweroff now\r')
        assert box.ends() == 'off'


LINUX = (
    '[host]\nconsole = serial\n\n'
    + guest('debian', 'vmlinuz', 'cpus = 1-4', memory='256M', initrd='initrd.gz',
            cmdline='console=ttyS0 loglevel=4 panic=1 mullion.name=debian')
    + guest('tiny', 'tiny.elf', 'share = 20% of cpu 0')
)
READY = r'guest debian ready: Linux \S+-amd64, 4 CPU'
LAST = 100000


@pytest.fixture(scope='module')
def linux():
    with Box(LINUX, on='qemu', cpus=5, memory=512 << 20) as b:
        b.until('debian', READY, 90)
        yield b
        print(b.text)


def right_sums(text):
    """How many of the four sums stand in the text."""
    sums = (
        hashlib.sha256(''.join(f'{n}\n' for n in range(first, LAST + 1)).encode()).hexdigest() for first in range(4)
    )
    return sum(text.count(s) for s in sums)


@pytest.mark.qemu
def test_linux_works_on_four_cpus(linux):
    linux.attach('debian')
    start = len(linux.text)
    linux.type('f() { seq $1 %d | taskset -c $1 sha256sum; }\r' % LAST)
    linux.type('for i in 0 1 2 3; do f $i & done; wait; echo all $((40+2))\r')
    linux.wait(r'^all 42', 60)
    assert right_sums(linux.text[start:]) == 4
    linux.detach()


@pytest.mark.qemu
def test_linux_takes_cpus_off_and_on_while_it_works(linux):
    linux.attach('debian')
    start = len(linux.text)
    linux.type('on() { for k in 1 2 3; do echo $1 > /sys/devices/system/cpu/cpu$k/online; done; }\r')
    linux.type('for i in 0 1 2 3; do seq $i %d | sha256sum & done\r' % LAST)
    linux.type('for n in 1 2 3; do on 0; echo n $(nproc); on 1; echo n $(nproc); done\r')
    linux.type('wait; echo plug $((40+2))\r')
    linux.wait(r'^plug 42', 60)
    text = linux.text[start:]
    assert re.findall(r'^n (\d)\n', text, re.M) == ['1', '4'] * 3
    assert right_sums(text) == 4
    linux.type('dmesg | grep -ciE "BUG:|Oops|call trace|stuck"\r')
    linux.wait(r'^0\n', 30)
    linux.detach()


@pytest.mark.qemu
def test_linux_panics_on_one_cpu_and_starts_anew(linux):
    linux.attach('debian')
    linux.type('taskset -c 3 sh -c "echo c > /proc/sysrq-trigger"\r')
    linux.wait(r'Kernel panic', 30)
    linux.detach()
    linux.until('debian', READY, 90, count=2)
    assert 'guest debian: it has asked for a reset; it is started again (on-reboot = restart)' in linux.log('mullion')
    linux.in_guest('debian', 'nproc', r'^4\n')
    linux.in_guest('tiny', 'still here', r'you typed: still here')
    linux.settle()
    linux.type('poweroff now\r')
    assert linux.ends() == 'off'
