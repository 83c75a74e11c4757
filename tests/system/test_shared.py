# SPDX-License-Identifier: Apache-2.0
"""Memory that guests share, in both emulators: what is configured is there and works, and nothing else is."""
import re

import pytest

from harness import Box, guest
from outside import look_from_outside
from walker import PAGE, TAG_REGION, TAG_REGIONS_END

CONF = (
    '[host]\nconsole = serial\nlog = debug\n\n'
    + guest('left', 'shared.elf', 'share = 20% of cpu 0', shared_memory='mail 64K rw, news 4K rw', on_crash='stop')
    + guest('right', 'shared.elf', 'share = 20% of cpu 0', shared_memory='news 4K ro, mail 64K rw', on_crash='stop',
            on_triple_fault='crash')
    + guest('other', 'shared.elf', 'share = 20% of cpu 0')
)


@pytest.fixture(scope='module')
def box(on):
    with Box(CONF, on=on, options='debug-exit', ram_file=True) as b:
        yield b
        print(b.text)


def test_who_has_what(box):
    for name in ('left', 'right', 'other'):
        box.until(name, '^shared ready', 60)
    left, right = box.log('left'), box.log('right')
    assert re.search(
        r'^region 0: class 0x050000 revision 1, 64 KiB at 0xc4000000, this is number 0, 8 vectors\n', left, re.M
    ), left
    assert re.search(r'^region 1: .* 4 KiB at 0xc4010000, this is number 0,', left, re.M), left
    assert re.search(r'^region 0: .* 4 KiB at 0xc4000000, this is number 1,', right, re.M), right
    assert re.search(r'^region 1: .* 64 KiB at 0xc4010000, this is number 1,', right, re.M), right
    assert re.search(r'^shared: 0 region', box.log('other'), re.M)
    box.shell('memory', r' 64K +region mail: left rw, right rw\n')
    box.wait(r'^[0-9a-f]+ +4K +region news: left rw, right ro\n')


def test_data_and_bells_cross(box):
    box.in_guest('left', 'put 0 100 cafe', r'^put')
    box.in_guest('left', 'ring 0 1 3', r'^rung')  # mail is right's region 1
    box.attach('right')
    box.type('get 1 100\r')
    box.wait(r'^got 0xcafe\n')
    box.type('bells\r')
    box.wait(r'^region 1 vector 3: 1 bell\(s\)\n1 bell\(s\) in all\n')
    box.type('put 1 100 f00d\r')
    box.wait(r'^put')
    box.type('put 0 8 bad\r')  # read only: nothing happens
    box.wait(r'^put')
    box.type('ring 0 0 7\r')
    box.wait(r'^rung')
    box.detach()
    box.attach('left')
    box.type('get 0 100\r')
    box.wait(r'^got 0xf00d\n')
    box.type('get 1 8\r')
    box.wait(r'^got 0x0\n')
    box.type('bells\r')
    box.wait(r'^region 1 vector 7: 1 bell\(s\)\n1 bell\(s\) in all\n')
    box.detach()
    told = r"^\[right's monitor\] writes to shared region news \(at 0x8 first\), which it may only read"
    assert box.times('right', told) == 1


def test_device_alone(box):
    box.in_guest('left', 'check', r'^region 0 is rw\nregion 1 is rw\ncheck: 0 failure\(s\)\n', 60)
    box.in_guest('right', 'check', r'^region 0 is ro\nregion 1 is rw\ncheck: 0 failure\(s\)\n', 60)


def test_audit_passes(box):
    box.shell('audit', r'^region:mail +65536\nregion:news +4096\n')
    box.wait(r'^audit: passed\n')


def test_from_outside(box):
    """The same, proved with the machine's page tables in hand; and not so if the configuration said anything else."""
    violations, seen = look_from_outside(box, regions=[{0: 'rw', 1: 'rw'}, {0: 'rw', 1: 'ro'}])
    assert not violations, '\n'.join(violations)
    for regions, words in (
        ([{0: 'rw', 1: 'rw'}, {0: 'ro', 1: 'ro'}], 'of guest 0, reaches region 1 with more rights than ro'),
        ([{0: 'rw', 1: 'rw'}, {0: 'rw'}], 'of guest 1, reaches region 1'),
        ([{0: 'rw', 1: 'rw'}], 'of guest 0, reaches region 1'),
    ):
        seen.regions = regions
        told = [v for v in seen.violations() if words in v]
        assert len(told) == 2, told  # the guest, and its monitor


def test_every_line_is_answered(box):
    """The guest has no timer: an interrupt that comes between its STI and its HLT must not be lost on it."""
    box.attach('other')
    for _ in range(200 if box.on == 'qemu' else 20):
        box.type('bells\r')
        box.wait(r'^0 bell\(s\) in all\n', 12)
    box.detach()


def test_contents_outlive_a_guest(box):
    box.in_guest('right', 'crash', r'triple fault now')
    box.wait_state('right', 'crashed')
    box.attach('left')
    box.type('get 0 100\r')
    box.wait(r'^got 0xf00d\n')
    box.type('ring 0 1 3\r')  # no peer is there
    box.wait(r'^rung')
    box.type('put 0 104 beef\r')
    box.wait(r'^put')
    box.detach()
    box.shell('fault left', 'left')
    box.wait_state('left', 'crashed')
    box.shell('audit', r'^region:mail +65536\n')
    box.wait(r'^audit: passed\n')
    box.shell('start right', 'right starts')
    box.until('right', '^shared ready', 60, count=2)
    box.in_guest('right', 'get 1 100', r'^got 0xf00d\n')
    box.in_guest('right', 'get 1 104', r'^got 0xbeef\n')
    box.shell('start left', 'left starts')
    box.until('left', '^shared ready', 60, count=2)
    box.in_guest('right', 'ring 1 0 2', r'^rung')
    box.in_guest('left', 'bells', r'^region 0 vector 2: 1 bell\(s\)\n1 bell\(s\) in all\n')
    box.shell('audit', r'^audit: passed\n', 30)
    box.in_guest('other', 'bells', r'^0 bell\(s\) in all\n')
    assert 'error: ' not in box.text
    box.settle()
    box.type('poweroff now\r')
    assert box.ends() == 'off'


@pytest.mark.qemu
def test_empty_at_first():
    """On a machine whose memory is full of leftovers when it is switched on, a region is not."""

    def held(ram):
        return {frame: set(ram.page(frame)) for frame in frames}

    with Box(CONF, on='qemu', ram_file=True, dirty=0xA5) as box:
        box.until('left', '^shared ready', 60)
        _, seen = look_from_outside(box)
        owned = [(base, size) for base, size, tag in seen.ledger if TAG_REGION <= tag < TAG_REGIONS_END]
        assert sorted(size for _, size in owned) == [4 << 10, 64 << 10]
        frames = [frame for base, size in owned for frame in range(base, base + size, PAGE)]
        assert all(values == {0} for values in look_from_outside(box, held).values())
        taken = [(base, base + size) for base, size, _ in seen.ledger]
        frames = [f for f in range(64 << 20, 128 << 20, PAGE) if not any(base <= f < end for base, end in taken)]
        assert frames and all(values == {0xA5} for values in look_from_outside(box, held).values())  # it was like that


LINUX = (
    guest('linux', 'vmlinuz-cloud', 'cpus = 1', '128M', initrd='initrd.gz',
          cmdline='console=ttyS0 loglevel=4 mullion.name=linux', shared_memory='mail 4M rw, big 128M rw, news 4K ro')
    + guest('small', 'shared.elf', 'share = 20% of cpu 0', shared_memory='mail 4M rw, big 128M ro, news 4K rw')
)  # fmt: skip


@pytest.mark.qemu
def test_linux_uses_it():
    """Linux finds the functions and maps them through sysfs, without a driver: what devmem opens is the function's
    resource."""

    def resource(function, number, command, answer=''):
        file = f'/sys/bus/pci/devices/0000:00:0{function}.0/resource{number}'
        box.in_guest('linux', f'ln -sf {file} /dev/mem; {command}; echo done $?', rf'^{answer}done 0\n')

    with Box(LINUX, on='qemu', options='debug-exit') as box:
        box.until('small', '^shared ready', 60)
        box.until('linux', '^guest linux ready', 60)
        box.in_guest('linux', 'cat /sys/bus/pci/devices/*/device | grep -c 0x1110', r'^3\n')
        resource(1, 2, 'devmem 0x3ff000 32 0x12345678')
        box.in_guest('small', 'get 0 3ff000', r'^got 0x12345678\n')
        box.in_guest('small', 'put 0 3ff004 beef', r'^put')
        resource(1, 2, 'devmem 0x3ff004 32', '0x0000BEEF\n')
        resource(1, 0, 'devmem 8 32; devmem 12 32 0x00010006', '0x00000000\n')  # its number; a ring
        box.in_guest('small', 'bells', r'^region 0 vector 6: 1 bell\(s\)\n1 bell\(s\) in all\n')
        box.in_guest('small', 'ring 0 0 0', r'^rung')
        resource(1, 0, 'devmem 4 32', '0x00000001\n')  # no MSI-X without a driver, so it can be polled
        # The large one stands above RAM, where Linux has found it good.
        resource(2, 2, 'devmem 0x7fff000 64 0x1122334455667788; devmem 0x7fff000 64', '0x1122334455667788\n')
        box.in_guest('linux', 'cat /sys/bus/pci/devices/0000:00:02.0/resource | grep -c ^0x0000000100000000', r'^1\n')
        # What may only be read: writing does nothing, and no guest comes to harm.
        resource(3, 2, 'devmem 0 32 0x55; devmem 0 32', '0x00000000\n')
        box.in_guest('linux', "dmesg | grep -ciE 'BUG:|Oops|call trace|no compatible bridge|not claimed'", r'^0\n')
        box.shell('audit', r'^audit: passed\n', 30)
