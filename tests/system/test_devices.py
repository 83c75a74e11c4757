# SPDX-License-Identifier: Apache-2.0
"""A PCI device with INTx, an I/O BAR and an option ROM, and a Linux that drives it by what the ACPI tables say."""
import re

import pytest

from harness import Box, guest, machines

DEVICE = '/sys/bus/pci/devices/0000:00:05.0'


@pytest.fixture(scope='module')
def box(on):
    # In Bochs each CPU costs time, and so does the other kernel, which is packed more tightly. One CPU is enough there
    # to deliver by itself, and to tell of the line's end.
    where = 'cpus = 1' if machines.find(on).emulator == 'bochs' else 'cpus = 1-2'
    conf = '[host]\nconsole = serial\n\n' + guest(
        'debian',
        'vmlinuz-cloud',
        where,
        memory='256M',
        initrd='initrd.gz',
        cmdline='console=ttyS0 loglevel=4 mullion.name=debian',
        bench_device='yes',
    )
    with Box(conf, on=on) as b:
        yield b
        print(b.text)


def test_linux_uses_intx(box):
    """The line of slot 5's INTA is 17: the driver's interrupts are counted there, and what is written comes back."""
    box.until('debian', 'guest debian ready', 90)
    box.in_guest('debian', f'cat {DEVICE}/vendor {DEVICE}/device {DEVICE}/class', r'^0x1b36\n0x0002\n0x070002\n')
    box.in_guest('debian', f'echo irq $(cat {DEVICE}/irq) $(ls {DEVICE}/tty)', r'^irq 17 ttyS\d+\n')
    tty = re.search(r'^irq 17 (ttyS\d+)', box.log('debian'), re.M).group(1)
    box.in_guest(
        'debian', f'stty -F /dev/{tty} raw -echo && cat /dev/{tty} > /tmp/back & sleep 1; echo reads', r'^reads\n'
    )
    box.in_guest('debian', f'echo it comes back > /dev/{tty}; sleep 1; cat /tmp/back', r'^it comes back\n')
    box.in_guest('debian', f'grep -c "IO-APIC *17-fasteoi.*{tty}" /proc/interrupts', r'^1\n')
    count = f"awk '/{tty}/ {{print \"taken\", ($2 + $3 > 1)}}' /proc/interrupts"
    box.in_guest('debian', count, r'^taken 1\n')


def test_linux_reads_the_option_rom(box):
    box.in_guest(
        'debian', f'cd {DEVICE}; echo 1 > rom; echo $(dd if=rom bs=16 skip=4 count=1); cd', r'^Mullion test ROM\n'
    )


def test_where_things_are(box):
    """Slots and addresses follow from the device, not from what else there is."""
    box.in_guest('debian', 'ls /sys/bus/pci/devices', r'0000:00:00.0\s+0000:00:05.0\s+0000:00:1f.0\n')
    box.in_guest('debian', f'head -1 {DEVICE}/resource', r'^0x000000000000c500 0x000000000000c507 ')


def test_the_machines_own_devices(box):
    """What has no driver is quiet."""
    box.shell('devices', r'^PLACE +NUMBER +CLASS +CAN RAISE +INTERRUPT +DRIVER\n')
    box.wait(r'^00:00\.0  8086:[0-9a-f]{4}  060000 bridge +- +- +-.*\n')
    listed = box.wait(r'((?:.*\n)+)mullion> ').group(1)
    assert re.search(r'  01[0-9a-f]{4} storage ', listed)
    assert not re.search(r' (line|vector) \d+, CPU', listed)
