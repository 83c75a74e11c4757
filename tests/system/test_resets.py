# SPDX-License-Identifier: Apache-2.0
"""Guests that start anew in their own monitor, as often as they may; and guests that are saved while they run,
forgotten but for their memory, and loaded back (`fault NAME reload`): the same registers, timers and clocks, whatever
they were at."""
import re

import pytest

from harness import PROMPT, Box, guest, machines


@pytest.fixture(scope='module')
def box(on):
    slow = machines.find(on).emulator == 'bochs'
    conf = (
        '[host]\nconsole = serial\n\n'
        + guest(
            'workload', 'workload.elf', 'share = 20% of cpu 0', cmdline='vectors work=1' if slow else 'vectors work=4'
        )
        + guest('loop', 'wild.elf', 'share = 20% of cpu 0', cmdline='reset', autostart='no')
        + guest('once', 'wild.elf', 'share = 20% of cpu 0', cmdline='reset', on_reboot='stop', autostart='no')
        + guest(
            'linux',
            'vmlinuz-cloud' if slow else 'vmlinuz',
            'cpus = 1' if slow else 'cpus = 1-2',
            memory='192M',
            initrd='initrd.gz',
            # Without ACPI it reads the MP table; the cloud kernel knows no such table.
            cmdline='console=ttyS0 loglevel=4 mullion.name=linux' + ('' if slow else ' acpi=off'),
        )
    )
    with Box(conf, on=on) as b:
        b.wait(PROMPT)
        yield b
        print(b.text)


def resets(box, name):
    return len(re.findall(r'^wild: reset now\n', box.log(name), re.M))


def test_a_guest_that_resets_for_ever(box):
    """In place: its monitor is made once. It waits longer each time, until it is started again by hand."""
    again = 'guest loop: it has asked for a reset; it is started again'
    box.shell('start loop', 'Guest loop starts')
    for pause in ('', ' in 1 s', ' in 2 s', ' in 4 s', ' in 8 s'):
        box.until('mullion', rf'{again}{pause} \(on-reboot = restart\)', 60)
    assert box.state('loop')[0] == 'restarting'
    box.shell('list', r'^ +reset; it is started again in [1-8] s\n')
    log = box.log('mullion')
    assert log.count('guest loop: its monitor starts') == 1
    assert log.count(f'{again} (on-reboot') == 2
    assert resets(box, 'loop') == 6 and box.state('loop')[-1] == '6'
    box.shell('stop loop', 'Guest loop is stopped')  # it has nothing that its power button could reach
    box.wait_state('loop', 'off')
    box.shell('start loop', 'Guest loop starts')
    box.until('mullion', rf'{again} \(on-reboot = restart\)', 60, count=4)
    box.shell('stop loop now', 'Guest loop')


def test_a_guest_that_may_not_reset(box):
    box.shell('start once', 'Guest once starts')
    box.wait_state('once', 'off')
    assert resets(box, 'once') == 1
    assert box.state('once')[-1] == '0'


def reload(box, name):
    box.shell(f'fault {name} reload', rf'^Guest {name} is saved and loaded back')
    size = int(box.wait(rf"^\[{name}'s monitor\] saved in (\d+) bytes, and loaded back\n", 30).group(1))
    assert size > 4096  # the FPU registers alone are a page


def test_a_small_guest_is_loaded_back(box):
    """Its rounds come out the same: no step of its work is lost or done twice, and vector registers are as they
    were."""
    seen = r'workload: round (\d+): \d+ ticks, result (0x[0-9a-f]{16})\n'
    box.until('workload', seen, 60)
    for _ in range(4):
        last = int(box.until('workload', seen, 60).group(1))
        reload(box, 'workload')
        box.until('workload', rf'workload: round {last + 2}: ', 60)
    assert len({result for _, result in re.findall(seen, box.log('workload'))}) == 1
    assert 'crashed' not in box.log('mullion')


def test_a_linux_is_loaded_back(box):
    """While programs compute on each of its CPUs."""
    cpus = 1 if box.on == 'bochs' else 2
    box.until('linux', f'guest linux ready: .*, {cpus} CPU', 60)
    program = 'BEGIN { for (i = 1; i < 5000; i++) s += i / (i + 7); printf "%.17g\\n", s }'
    work = f"while :; do awk '{program}' >> /tmp/sums; done &"
    box.in_guest('linux', f'for i in 1 2; do {work} done; echo at work', r'^at work\n')
    before = float(box.in_guest('linux', 'read up rest < /proc/uptime; echo up $up', r'^up (\d+\.\d+)\n').group(1))
    go_on = (
        'n=$(wc -l < /tmp/sums); until [ $(wc -l < /tmp/sums) -gt $((n + 2)) ]; do sleep 1; done; echo more $((40 + 2))'
    )
    for _ in range(5):
        box.in_guest('linux', go_on, r'^more 42\n', 60)
        reload(box, 'linux')
    box.in_guest('linux', go_on, r'^more 42\n', 60)
    after = float(box.in_guest('linux', 'read up rest < /proc/uptime; echo up $up', r'^up (\d+\.\d+)\n').group(1))
    assert before < after < before + 300
    box.in_guest('linux', 'kill $(jobs -p); sleep 1; echo kinds $(sort /tmp/sums | uniq | wc -l)', r'^kinds 1\n')
    box.in_guest('linux', "echo bad $(dmesg | grep -ciE 'stall|lockup|unstable|segfault|traps:')", r'^bad 0\n')
    assert box.state('linux')[-1] == '0'
    box.shell('audit', r'^audit: passed', 30)
