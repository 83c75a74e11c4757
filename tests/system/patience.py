# SPDX-License-Identifier: Apache-2.0
"""How long a test waits for an emulated machine. Its seconds are those in which the emulator could run: where the host
gives the emulator's threads half of the processor time that they ask for, a second of a limit takes two of a clock on
the wall. A guest that waits for ever asks for nothing, so its limit is over as soon as a clock says so; one that spins
uses its limit up."""
import os
import time

STEP = 0.1  # seconds between two looks
LONGEST = 1.0  # what one look can add: we were not running either, so what came meanwhile is still to be read
ABSOLUTE = 20  # times a limit by the wall, and a minute: then it is over, however busy the host is


def threads(pid):
    """thread -> nanoseconds that it has run, and that it has waited for a processor."""
    found = {}
    try:
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/schedstat', encoding='ascii') as f:
                ran, waited = f.read().split()[:2]
            found[task] = int(ran), int(waited)
    except (OSError, ValueError):
        pass  # it has ended; or this kernel does not count
    return found


def processors():
    """Ticks in which the host's processors were busy, and in which they were taken away from it by its own host."""
    try:
        with open('/proc/stat', encoding='ascii') as f:
            user, nice, system, _, _, irq, softirq, stolen = (int(n) for n in f.readline().split()[1:9])
    except (OSError, ValueError):
        return 0, 0
    return user + nice + system + irq + softirq, stolen


def share(now, before):
    """The part that was got of what was asked for."""
    ran = sum(r - before.get(task, (0, 0))[0] for task, (r, _) in now.items())
    waited = sum(w - before.get(task, (0, 0))[1] for task, (_, w) in now.items())
    return ran / (ran + waited) if ran + waited > 0 else 1.0


class Clock:
    """pid: the emulator's."""

    def __init__(self, pid):
        self.pid, self.seconds = pid, 0.0
        self.looked, self.threads, self.processors = time.monotonic(), threads(pid), processors()

    def now(self):
        wall = time.monotonic()
        if wall - self.looked < STEP:
            return self.seconds
        now, busy = threads(self.pid), processors()
        part = share(now, self.threads) * share({0: busy}, {0: self.processors})
        self.seconds += min(wall - self.looked, LONGEST) * part
        self.looked, self.threads, self.processors = wall, now, busy
        return self.seconds


class Limit:
    """Of `seconds` by a clock."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds
        self.begun, self.wall = clock.now(), time.monotonic()

    def used(self):
        return self.clock.now() - self.begun

    def left(self):
        by_wall = time.monotonic() - self.wall > ABSOLUTE * self.seconds + 60
        return 0.0 if by_wall else max(0.0, self.seconds - self.used())

    def over(self):
        return self.left() == 0.0

    def __str__(self):
        return f'{self.seconds:.0f} s ({time.monotonic() - self.wall:.0f} s by the clock on the wall)'
