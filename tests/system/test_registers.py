# SPDX-License-Identifier: Apache-2.0
"""Two guests on one CPU: the writer puts patterns into every register that a guest may write, and finds them again;
the reader finds none of them, nor does its monitor in ring 3. docs/cpu-state.md has the registers."""
import re

import pytest

from harness import Box, guest

SHARE = 'share = 30% of cpu 0, every 10ms'
CONF = (
    '[host]\nconsole = serial\n\n'
    + guest('writer', 'registers.elf', SHARE, cmdline='writer')
    + guest('reader', 'registers.elf', SHARE, cmdline='reader', debug_exit='0xf4', bench_device='yes')
)


@pytest.fixture(scope='module')
def box(on):
    with Box(CONF, on=on, memory=192 << 20) as b:
        yield b
        print(b.text)


def test_the_reader_finds_nothing(box):
    m = box.until('reader', r'registers: reader: (\d+) as after reset, (\d+) failed', 60)
    assert 'FAILED' not in box.log('reader')
    assert m.group(2) == '0' and int(m.group(1)) >= 30 * 24


def test_its_monitor_finds_nothing(box):
    looks = re.findall(
        r'its monitor: TSC_AUX 0x(\w+), XCR0 of (\d+) bytes, XGETBV 0x(\w+), (\d+) turns', box.log('reader')
    )
    assert len(looks) == 3 and all((aux, size) == ('0', '0') for aux, size, _, _ in looks)
    assert sum(int(turns) for *_, turns in looks) > 0  # the writer has had the CPU meanwhile
    if box.on == 'bochs':  # in QEMU it works: docs/emulators.md
        assert all(xgetbv == '0' for _, _, xgetbv, _ in looks)


def test_the_writer_keeps_its_own(box):
    m = box.until('writer', r'registers: writer: (\d+) found again, (\d+) failed', 60)
    assert 'FAILED' not in box.log('writer')
    assert m.group(2) == '0' and int(m.group(1)) >= 30 * 24


def test_end(box):
    box.type('poweroff now\r')
    assert box.ends() == 'off'
