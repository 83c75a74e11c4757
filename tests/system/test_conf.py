# SPDX-License-Identifier: Apache-2.0
"""Broken configurations: each mistake is told with its line and what would be right; the correct guest runs, the shell
answers."""
import re

import pytest

from harness import PROMPT, Box, guest

pytestmark = pytest.mark.qemu
GOOD = guest('good', 'tiny.elf', 'share = 50% of cpu 0')

# name: (what is added behind the good guest, pattern of the report, line in the file if it is certain)
MISTAKES = {
    'unknown key': (guest('bad', 'tiny.elf', colour='blue'), r"unknown key 'colour'"),
    'not understood': ('what is this\n', r'not understood'),
    'unknown section': ('[gast x]\nmemory = 2M\n', r"unknown section"),
    'missing module': (guest('bad', 'nothing.elf'), r"no module is called 'nothing.elf'"),
    'memory over-committed': (guest('bad', 'tiny.elf', memory='64G'), r'memory: guest .bad. wants'),
    'memory zero': (guest('bad', 'tiny.elf', memory='0'), r'memory: .*too small; 2M to 4096G'),
    'memory negative': (guest('bad', 'tiny.elf', memory='-5M'), r'memory: .*negative'),
    'memory too large': (guest('bad', 'tiny.elf', memory='99999999999999999999G'), r'memory: .*too large; 2M to 4096G'),
    'memory not a size': (guest('bad', 'tiny.elf', memory='lots'), r'memory: .*not a size'),
    'CPU missing': (guest('bad', 'tiny.elf', 'cpus = 17'), r'CPU 17 does not exist'),
    'CPU taken': (
        guest('bad', 'tiny.elf', 'cpus = 0'),
        r"cpus: CPU 0 cannot be dedicated: guest 'good' has a share of it",
    ),
    'share over-committed': (guest('bad', 'tiny.elf', 'share = 70% of cpu 0'), r'120%'),
    'share zero': (guest('bad', 'tiny.elf', 'share = 0% of cpu 0'), r'share: .*out of range; 1% to 100%'),
    'share negative': (guest('bad', 'tiny.elf', 'share = -3% of cpu 0'), r'share: .*negative'),
    'name twice': (guest('good', 'tiny.elf', 'share = 1% of cpu 0'), r"guest 'good' is there already"),
    'no kernel': ('[guest bad]\nmemory = 2M\nshare = 1% of cpu 0\n', r"guest 'bad' has no kernel"),
}


def told(pattern):
    return r'mullion\.conf:\d+: .*' + pattern


def test_every_mistake_in_one_boot():
    """All together: each is told, none takes the good guest with it."""
    parts = [GOOD] + [text.replace('[guest bad]', f'[guest bad{i}]') for i, (text, _) in enumerate(MISTAKES.values())]
    with Box('\n'.join(parts), cpus=2, memory=128 << 20) as box:
        box.wait(r'\[good\] tiny ready', 30)
        for name, (_, pattern) in MISTAKES.items():
            box.mark = 0
            box.wait(told(re.sub(r"'bad'|\.bad\.", r"'bad\\d+'", pattern)), 10, name)
        box.in_guest('good', 'all well', r'you typed: all well')


@pytest.mark.parametrize('name', ['unknown key', 'memory over-committed', 'CPU taken', 'name twice'])
def test_one_mistake(name):
    text, pattern = MISTAKES[name]
    with Box(GOOD + text, cpus=2, memory=128 << 20) as box:
        box.wait_all([told(pattern), r'\[good\] tiny ready'], 30)
        box.in_guest('good', 'all well', r'you typed: all well')


@pytest.mark.parametrize(
    'what, text, pattern',
    [
        ('bad UTF-8', GOOD.encode() + b'[guest bad]\ncmdline = \xff\xfe\xc0\n', r'not UTF-8'),
        ('NUL bytes', GOOD.encode() + b'[guest bad]\ncmd\0line = x\n', r'NUL'),
        (
            'a line of 1 MiB',
            GOOD.encode() + b'[guest bad]\ncmdline = ' + b'x' * (1 << 20) + b'\n',
            r'the line has 1048\d+ bytes',
        ),
        ('1 MiB of zeros', bytes(1 << 20) + b'\n' + GOOD.encode(), r'mullion\.conf'),
    ],
    ids=lambda value: value if isinstance(value, str) and ' ' in value and '\\' not in value else '-',
)
def test_odd_bytes(what, text, pattern):
    with Box(text, memory=128 << 20) as box:
        box.wait_all([told(pattern) if 'zeros' not in what else pattern, r'\[good\] tiny ready'], 30)
        box.in_guest('good', 'all well', r'you typed: all well')


@pytest.mark.parametrize('text', ['', '; nothing but a comment\n'])
def test_no_guest_at_all(text):
    with Box(text, memory=96 << 20) as box:
        box.wait(PROMPT, 30)
        box.shell('list', r'no guest')
        box.settle()
        box.type('poweroff now\r')
        assert box.ends() == 'off'
