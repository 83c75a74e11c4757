# SPDX-License-Identifier: Apache-2.0
"""The image that a user gets: built without test code (TESTS=), it says so where that is asked for, and harms no
guest."""
import fcntl
import os
import subprocess

import pytest

from harness import BUILD, ROOT, Box, guest

CONF = '[host]\nconsole = serial\n\n' + guest('tiny', 'tiny.elf', debug_exit='0xf4', bench_device='yes')


@pytest.fixture(scope='session')
def kernel():
    """In a folder of its own: a change from one kind of image to the other would build both anew each time."""
    folder = os.path.join(BUILD, 'user')
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'lock'), 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another emulator's tests may want it at the same moment
        command = ['make', '-s', 'kernel', f'BUILD={folder}', 'TESTS=']
        subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)
    return os.path.join(folder, 'mullion')


def test_fault_does_nothing(on, kernel):
    with Box(CONF, on=on, kernel=kernel) as box:
        box.until('tiny', 'tiny ready', 30)
        assert "[tiny's monitor] debug-exit and bench-device do nothing: this image has no test code" in box.log('tiny')
        for how in ('', ' fuzz', ' reload'):
            box.shell(f'fault tiny{how}', r'^This image has no test code: no monitor in it can be made to go wrong\.\n')
        assert box.state('tiny')[0] == 'running'
        box.in_guest('tiny', 'still', r'you typed: still')
        assert box.state('tiny')[-1] == '0'
        box.shell('fault nothing', r"^No guest is called 'nothing'")
