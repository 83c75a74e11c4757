# SPDX-License-Identifier: Apache-2.0
"""The seconds that tests wait for a machine: patience.py. No machine is needed."""
import os
import subprocess
import sys
import time

import pytest

import patience


class Program:
    """A program in the emulator's place, on one processor if `cpu` is given."""

    def __init__(self, text, cpu=None):
        prefix = [] if cpu is None else ['taskset', '-c', str(cpu)]
        self.process = subprocess.Popen([*prefix, sys.executable, '-c', text])

    def __enter__(self):
        time.sleep(0.5)
        return self.process.pid

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def used(pid, wall):
    """Seconds of the clock in `wall` of the wall's."""
    limit, end = patience.Limit(patience.Clock(pid), 100), time.monotonic() + wall
    while time.monotonic() < end:
        limit.used()
        time.sleep(0.05)
    return limit.used()


counted = bool(patience.threads(os.getpid()))
needs_counters = pytest.mark.skipif(not counted, reason='this kernel does not count how long threads wait')


def test_a_program_that_waits_uses_its_limit_up():
    with Program('import time; time.sleep(60)') as pid:
        if patience.processors()[1] == 0:  # else this machine's own host takes time away
            assert used(pid, 2) > 1.5


@needs_counters
def test_a_program_that_cannot_run_does_not():
    cpu = min(os.sched_getaffinity(0))
    busy = 'while True: pass'
    with Program(busy, cpu) as pid, Program(busy, cpu), Program(busy, cpu):
        assert 0.1 < used(pid, 3) < 2


def test_the_part_that_was_got():
    assert patience.share({'1': (300, 100)}, {}) == 0.75
    assert patience.share({'1': (300, 100), '2': (50, 50)}, {'1': (300, 100)}) == 0.5
    assert patience.share({'1': (300, 100)}, {'1': (300, 100)}) == 1.0  # it asked for nothing


def test_a_limit_ends_by_the_wall_too():
    limit = patience.Limit(patience.Clock(os.getpid()), 1)
    assert not limit.over()
    limit.wall -= patience.ABSOLUTE + 61
    assert limit.over()
