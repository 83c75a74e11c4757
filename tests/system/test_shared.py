"""Memory that guests share, in both emulators: what is configured is there and works, and nothing else is."""
import re

import pytest

from harness import Box, guest

CONF = (
    '[host]\nconsole = serial\nlog = debug\n\n'
    + guest('left', 'shared.elf', 'share = 20% of cpu 0', shared='mail 64K rw, news 4K rw', on_crash='stop')
    + guest('right', 'shared.elf', 'share = 20% of cpu 0', shared='news 4K ro, mail 64K rw', on_crash='stop')
    + guest('other', 'shared.elf', 'share = 20% of cpu 0')
)


@pytest.fixture(scope='module')
def box(on):
    with Box(CONF, on=on, options='debug-exit') as b:
        yield b
        print(b.text)


def test_who_has_what(box):
    for name in ('left', 'right', 'other'):
        box.until(name, '^shared ready', 60)
    left, right = box.log('left'), box.log('right')
    assert re.search(r'^region 0: class 0x050000 revision 1, 64 KiB at 0xc4000000, this is number 0, 8 vectors\n', left, re.M), left
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
    assert len(re.findall(r'right: writes to shared region news \(at 0x8 first\), which it may only read', box.log('mullion'))) == 1


def test_device_alone(box):
    box.in_guest('left', 'check', r'^region 0 is rw\nregion 1 is rw\ncheck: 0 failure\(s\)\n', 60)
    box.in_guest('right', 'check', r'^region 0 is ro\nregion 1 is rw\ncheck: 0 failure\(s\)\n', 60)


def test_audit_passes(box):
    box.shell('audit', r'^region:mail +65536\nregion:news +4096\n')
    box.wait(r'^audit: passed\n')


def test_contents_outlive_a_guest(box):
    box.in_guest('right', 'crash', r'triple fault now')
    box.wait_state('right', 'crashed')
    box.attach('left')
    box.type('get 0 100\r')
    box.wait(r'^got 0xf00d\n')
    box.type('ring 0 1 3\r')  # nobody is there
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
    box.type('poweroff\r')
    assert box.ends() == 'off'
