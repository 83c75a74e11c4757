# SPDX-License-Identifier: Apache-2.0
"""Many guests' output on one serial line."""
import re
import time

from harness import DETACH, Box, guest

NAMES = [f'g{n}' for n in range(8)]
CONF = '[host]\nconsole = serial\n\n' + ''.join(
    guest(n, 'privileged.elf', 'share = 10% of cpu 0', debug_exit='0xf4') for n in NAMES
)


def test_no_line_is_broken(on):
    """All write more than 100 lines at once, faster than the line takes them: each line comes whole, none is lost."""
    with Box(CONF, on=on) as box:
        box.wait_all([rf'^\[{n}\] privileged: \d+ executed, \d+ failed\n' for n in NAMES], 60)
        lines = {n: re.findall(rf'^\[{n}\] (.*)$', box.text, re.M) for n in NAMES}
    assert len(lines['g0']) > 100
    for n in NAMES:
        assert lines[n] == lines['g0']


def test_a_slow_reader_loses_nothing(on):
    """The reader of the emulator's serial line may be away for longer than the console waits for a line that is stuck
    (2 s)."""
    with Box('[host]\nconsole = serial\n\n' + guest('tiny', 'tiny.elf', 'share = 10% of cpu 0'), on=on, cpus=1) as box:
        box.wait(r'tiny ready', 60)
        box.settle()
        box.type('help\r' * 4)
        time.sleep(5)
        box.settle(1)
        assert len(re.findall(r'^  paths +', box.text, re.M)) == 4


def test_what_was_typed_before_leaving_arrives(on):
    """Keys and the Ctrl-] behind them may be read in one go: the guest has the keys all the same."""
    with Box('[host]\nconsole = serial\n\n' + guest('tiny', 'tiny.elf', 'share = 20% of cpu 0'), on=on, cpus=1) as box:
        box.wait(r'tiny ready', 60)
        for n in range(5):
            box.attach('tiny')
            box.type(f'typed and left {n}\r' + DETACH)
            box.wait(r'mullion> ', 20)
            box.until('tiny', f'^you typed: typed and left {n}$', 20)
