# SPDX-License-Identifier: Apache-2.0
"""Hardware errors and the NMI button, by QEMU's monitor (`mce`, `nmi`). Bochs has neither; tests/unit/test_mce.c and
the tests of both backends have the rest."""
import re

import pytest

from harness import PANIC, Box, guest
from test_screen import on_screen, vga_text

pytestmark = pytest.mark.qemu
CONF = (
    '[host]\nconsole = serial\n\n'
    + guest('tiny', 'tiny.elf', 'cpus = 1')
    + guest('counter', 'counter.elf', 'cpus = 2')
    + guest('busy', 'burner.elf', 'cpus = 3', cmdline='for=1000000')
)
CORRECTED = '0x9c00000000000080'
# Found by the scrubber: S without AR.
SCRUBBED = '0xbd000000000000cf'
# A load has met it: S and AR.
LOAD_MET_IT = '0xbd80000000000134'


def mce(box, cpu, bank, status, mcg_status):
    answer = box.machine.qmp.monitor(f'mce {cpu} {bank} {status} {mcg_status} 0x1234000 0x8c')
    assert not (answer or '').strip(), answer


def counts(box, pattern):
    """The shell's `errors`, once the CPUs have looked."""
    limit = box.limit(20)
    while True:
        over = limit.over()
        box.shell('errors', r'^CPUs with hardware errors: .*\n')
        if re.search(pattern, box.text[box.text.rindex('> errors'):], re.M):
            return
        assert not over, box.tail()


def logged(box, text):
    assert text in box.log('mullion'), box.tail()


def press_nmi(box):
    """The lines about the CPUs."""
    box.mark = len(box.text)
    box.machine.qmp.monitor('nmi')
    box.wait(r'^mullion: an NMI\. Where each CPU is; then the machine goes on:\n', 20)
    lines = [box.wait(rf'^  CPU {cpu}: rip (0x\w+), domain (0x\w+), path \d+ .*\n', 20) for cpu in range(4)]
    return [(int(m[1], 16), int(m[2], 16)) for m in lines]


def test_errors_and_nmis():
    with Box(CONF, cpus=4, memory=256 << 20) as box:
        box.wait_all([r'tiny ready', r'\[counter\] count 5\n', r'\[busy\] burner.*\n'])
        box.shell('mute counter', 'mullion')
        box.shell('mute busy', 'mullion')
        counts(box, '^CPUs with hardware errors: 0, NMIs: 0')

        mce(box, 1, 1, CORRECTED, '0x0')
        counts(box, '^CPU 1: hardware errors: 1')
        logged(
            box,
            f'warning: CPU 1: hardware error 1, corrected: bank 1, status {CORRECTED}, address 0x1234000, misc 0x8c',
        )

        press_nmi(box)
        on_screen(box, vga_text, r'mullion: an NMI[^~]* CPU 3: rip')
        counts(box, '^CPUs with hardware errors: 1, NMIs: 1')
        box.counts_on(2, 30)

        # A monitor that computes meets an error: its guest ends, and the others do not.
        box.shell('fault tiny spin', 'computes for ever')
        limit = box.limit(20)
        while not ((where := press_nmi(box)[1])[0] < 1 << 47 and where[1] == 0x200):
            assert not limit.over(), box.tail()
        mce(box, 1, 2, LOAD_MET_IT, '0x7')
        box.wait_state('tiny', 'crashed')
        box.shell('list', r'its monitor crashed: machine check \(exception 18, ')
        logged(
            box,
            f'error: CPU 1: hardware error 2, uncorrected: bank 2, status {LOAD_MET_IT}, address 0x1234000, misc 0x8c',
        )
        counts(box, '^CPU 1: hardware errors: 2')

        # QEMU gives it to the guest itself. Mullion finds the bank later, and makes room for the next one.
        mce(box, 3, 1, LOAD_MET_IT, '0x7')
        box.wait_state('busy', 'off')
        counts(box, '^CPU 3: hardware errors: 1')

        # On a CPU that does nothing: one that may be left alone, and one that may not.
        mce(box, 3, 1, SCRUBBED, '0x5')
        counts(box, '^CPU 3: hardware errors: 2')
        box.counts_on(2, 30)
        mce(box, 3, 2, LOAD_MET_IT, '0x7')
        box.wait(
            PANIC + r": machine check: .*\n  bank 2  status "
            rf"{LOAD_MET_IT}  address 0x1234000  misc 0x8c  MCG_STATUS 0x7\n[^~]*command line: .*" + box.word.option,
            20,
        )
        assert box.panicked
