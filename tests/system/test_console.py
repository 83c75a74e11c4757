# SPDX-License-Identifier: Apache-2.0
"""Many guests' output on one serial line."""
import re
import time

from harness import DETACH, PANIC, PROMPT, Box, guest

NAMES = [f'g{n}' for n in range(8)]
CONF = '[host]\nconsole = serial\n\n' + ''.join(
    guest(n, 'privileged.elf', 'share = 10% of cpu 0', debug_exit='0xf4') for n in NAMES
)


def test_no_line_is_broken(on):
    """All write more than 100 lines at once, faster than the line takes them: none is lost, and each comes whole. But
    for one in whose middle its guest pauses for longer than the console waits (200 ms): on a busy host a guest may not
    get on. It comes in pieces then, all with the guest's name in front, and is whole in what the console keeps."""
    with Box(CONF, on=on) as box:
        for n in NAMES:
            box.until(n, r'privileged: \d+ executed, \d+ failed\n', 60)
        box.settle()
        pieces = {n: ''.join(re.findall(rf'^\[{n}\] (.*)$', box.text, re.M)) for n in NAMES}
        lines = {n: [line for line in box.log(n).splitlines() if line.startswith('privileged: ')] for n in NAMES}
    assert len(lines['g0']) > 100
    for n in NAMES:
        assert lines[n] == lines['g0']
        assert pieces[n] == pieces['g0']


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


def test_what_was_typed_for_a_guest_that_is_off_is_dropped(on):
    """A guest can go off at a line that suits it. What is typed behind that is no command of Mullion's; an Enter with
    silence around it, or Ctrl-], opens the shell."""
    dropped = r'^Guest tiny is off: it has switched itself off\.\n(?:\(\d+ lines? in .*\n)?\[keys are dropped: '
    with Box('[host]\nconsole = serial\n\n' + guest('tiny', 'tiny.elf', 'share = 20% of cpu 0'), on=on, cpus=1) as box:
        box.wait(r'tiny ready', 60)
        box.attach('tiny')
        box.type('poweroff\r')
        box.wait(dropped)
        box.type('poweroff now\rstart tiny\r' * 3)
        box.settle(2.5)
        assert PROMPT not in box.text[box.text.rindex('keys are dropped') :]
        box.type('\r')
        box.wait(PROMPT)
        assert box.state('tiny')[0] == 'off'
        box.shell('start tiny', 'starts')
        box.wait(r'tiny ready', 60)
        box.attach('tiny')
        box.type('poweroff\rpoweroff now\r')
        box.wait(dropped)
        box.detach()
        box.shell('list', r'^tiny +off ')


def test_a_guest_cannot_panic(on):
    """It may write the kernel's words, even raw, while the terminal is its own: no test is ended by that."""
    with Box('[host]\nconsole = serial\n\n' + guest('tiny', 'tiny.elf', 'share = 10% of cpu 0'), on=on, cpus=1) as box:
        box.wait(r'tiny ready', 60)
        box.in_guest('tiny', PANIC, f'you typed: {PANIC}')
        assert PANIC in box.text and not box.panicked
        box.shell('list', r'^\s*tiny +running')


def test_what_was_typed_before_leaving_arrives(on):
    """Keys and the Ctrl-] behind them may be read in one go: the guest has the keys all the same."""
    with Box('[host]\nconsole = serial\n\n' + guest('tiny', 'tiny.elf', 'share = 20% of cpu 0'), on=on, cpus=1) as box:
        box.wait(r'tiny ready', 60)
        for n in range(5):
            box.attach('tiny')
            box.type(f'typed and left {n}\r' + DETACH)
            box.wait(r'mullion> ', 20)
            box.until('tiny', f'^you typed: typed and left {n}$', 20)
