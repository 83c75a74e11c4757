"""Guests that misbehave, guests of every small kind, and one that counts beside them: nothing of it may reach the counter."""
import re

import pytest

from harness import Box, guest

CONF = ('[host]\nconsole = serial\n\n'
        + guest('counter', 'counter.elf', 'share = 30% of cpu 1, every 20ms')
        + guest('triple', 'triple.elf', 'share = 10% of cpu 0')
        + guest('again', 'triple.elf', 'share = 10% of cpu 0', on_crash='restart')
        + guest('jump', 'wild.elf', 'share = 10% of cpu 0', cmdline='jump')
        + guest('stack', 'wild.elf', 'share = 10% of cpu 0', cmdline='stack')
        + guest('tables', 'wild.elf', 'share = 10% of cpu 0', cmdline='tables')
        + guest('reader', 'wild.elf', 'share = 10% of cpu 0', cmdline='read', debug_exit='0xf4')
        + guest('writer', 'wild.elf', 'share = 10% of cpu 0', cmdline='write', debug_exit='0xf4')
        + guest('privileged', 'privileged.elf', 'share = 30% of cpu 1', debug_exit='0xf4')
        + guest('devices', 'devices.elf', 'cpus = 2', debug_exit='0xf4')
        + guest('mb64', 'mb64.elf', 'share = 10% of cpu 0', debug_exit='0xf4', cmdline='sixty four', modules='tiny.elf a module')
        + guest('modes', 'modes.elf', 'share = 10% of cpu 1', debug_exit='0xf4')
        + guest('sector', 'realmode.bin', 'share = 10% of cpu 1', debug_exit='0xf4'))


@pytest.fixture(scope='module')
def box(on):
    with Box(CONF, on=on, memory=448 << 20) as b:
        yield b
        print(b.text)


def anywhere(box, pattern, timeout=60):
    """The order of so many guests is nobody's business."""
    box.mark = 0
    return box.wait(pattern, timeout)


def test_privileged_instructions(box):
    m = anywhere(box, r'\[privileged\] privileged: (\d+) executed, (\d+) failed', 90)
    failed = [line for line in box.text.splitlines() if 'privileged:' in line and 'FAILED' in line]
    assert not failed, '\n'.join(failed)
    assert int(m.group(1)) > 100


def test_devices(box):
    anywhere(box, r'\[devices\] devices: \d+ passed, \d+ failed', 90)
    failed = [line for line in box.text.splitlines() if 'devices: FAILED' in line]
    assert not failed, '\n'.join(failed)


def test_multiboot64(box):
    anywhere(box, r'\[mb64\] mb64: magic 0x2badb002 \(right\), in long mode')
    anywhere(box, r'\[mb64\] mb64: command line: .*sixty four')
    anywhere(box, r'\[mb64\] mb64: 1 module')
    anywhere(box, r'\[mb64\] mb64: done')


@pytest.mark.parametrize('name', ['modes', 'sector'])
def test_real_mode(box, name):
    for mode in ('real mode', 'protected mode', 'long mode, done'):
        anywhere(box, rf'\[{name}\] realmode: in {mode}')


def test_wild_accesses_end_well(box):
    for name in ('reader', 'writer'):
        anywhere(box, rf'\[{name}\] wild: done')


@pytest.mark.parametrize('name', ['triple', 'jump', 'stack', 'tables'])
def test_crash_is_contained(box, name):
    assert 'WRONG' not in box.text
    box.wait_state(name, 'crashed', 40)


def test_restart_policy(box):
    anywhere(box, r'\[again\] triple: triple fault now[^$]*\[again\] triple: triple fault now', 60)


def test_counter_goes_on(box):
    m = box.shell('list', r'^\s*counter +running')
    first = int(box.wait(r'\[counter\] count (\d+)\n', 20).group(1))
    box.settle(0.1)
    later = int(box.wait(r'\[counter\] count (\d+)\n', 20).group(1))
    assert later > first, m
    numbers = [int(n) for n in re.findall(r'\[counter\] count (\d+)\n', box.text)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_end(box):
    box.type('poweroff\r')
    assert box.ends() == 'off'
