# SPDX-License-Identifier: Apache-2.0
"""A ring-3 driver service on a PCI device (QEMU's edu): registers, interrupts by line and by message, DMA; what no
program of ring 3 gets; and a neighbour on the same line that never answers. tests/programs/testdev.c says what
works."""
import re

import pytest

from harness import Box, guest
from outside import look_from_outside

TINY = '[host]\nlog = debug\n\n' + guest('tiny', 'tiny.elf', 'share = 20% of cpu 0')
CHECKS = 30


def edu(*slots):
    """The devices on the bus, in an address space that 32 bits of DMA reach."""
    return [word for slot in slots for word in ('-device', f'edu,addr={slot:#x},dma_mask=0xffffffff')]


@pytest.fixture(scope='module')
def box():
    with Box(TINY, cpus=2, memory=192 << 20, ram_file=True, extra=edu(5)) as box:
        box.wait(r'testdev0: done\n', 60)
        yield box


@pytest.mark.qemu
def test_a_driver_works(box):
    said = re.findall(r'^\[mullion\] testdev0: (.*): (yes|NO)$', box.text, re.M)
    assert not [what for what, how in said if how == 'NO']
    for what in (
        '5! by line',
        '6! by message',
        'DMA',
        'no DMA before it is allowed',
        'no RAM',
        'no local APIC',
        'no 8259',
    ):
        assert (what, 'yes') in said
    assert len([what for what, _ in said if what != 'goes on']) >= CHECKS


@pytest.mark.qemu
def test_what_there_is_in_the_log(box):
    assert re.search(r'^PCI 00:05\.0: 1234:11e8, class 00ff00, MSI\n', box.text, re.M)
    assert re.search(r'^  BAR 0: memory 0x[0-9a-f]+\+0x100000\n', box.text, re.M)


@pytest.mark.qemu
def test_the_shell_shows_it(box):
    box.wait(r'testdev0: goes on: yes\n', 60) if 'goes on: yes' not in box.text else None  # by line, that is
    box.shell('devices', r'^PLACE +NUMBER +CLASS +CAN RAISE +INTERRUPT +DRIVER\n')
    box.wait(r'^00:00\.0  8086:29c0  060000 bridge +- +- +-\n')
    box.wait(r'^00:05\.0  1234:11e8  00ff00 other +INTA, MSI +line \d+, CPU 0 +the test driver\n')


@pytest.mark.qemu
def test_the_checker_and_the_outside_agree(box):
    box.mark = 0
    box.wait(r'audit: \d+ tables.* passed\n', 60)  # the look that root takes by itself when a guest has started
    box.shell('audit', r'^audit: passed', 30)
    bad, seen = look_from_outside(box)
    assert not bad
    assert seen.devices_mapped > 0


@pytest.mark.qemu
def test_a_neighbour_that_is_silent():
    """Slots 5 and 9 of q35 share a line. The second driver never answers; the first one's interrupts come all the
    same."""
    with Box(TINY, cpus=2, memory=192 << 20, extra=edu(5, 9)) as box:
        box.wait(
            r'error: the silent test driver has not answered its interrupt; '
            r'its device is silenced; it is started again\n',
            60,
        )
        box.wait(r'testdev0: done\n', 60)
        box.wait(r'testdev0: goes on: yes\n', 60)
        box.wait(r'testdev0: goes on: yes\n', 60)
        box.wait(r'\[tiny\] tiny ready', 60) if 'tiny ready' not in box.text else None
        assert 'NO' not in re.findall(r'^\[mullion\] testdev0: .*: (yes|NO)$', box.text, re.M)
