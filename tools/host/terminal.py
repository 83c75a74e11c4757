# SPDX-License-Identifier: Apache-2.0
"""Joins this terminal (or a pipe, or nothing) and the emulated machine's serial port until the machine ends, the user
quits, or time is up."""
import os
import select
import sys
import termios
import time
import tty

QUIT_PREFIX = b'\x01'  # Ctrl-A, then x
FAILURE = b'mullion: PANIC'


class RawTerminal:
    """The user's terminal in raw mode, put back whatever happens."""

    def __enter__(self):
        self.saved = None
        if sys.stdin and sys.stdin.isatty():
            self.saved = termios.tcgetattr(sys.stdin)
            tty.setraw(sys.stdin, termios.TCSANOW)
        return self

    def __exit__(self, *_):
        if self.saved:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self.saved)


class Keys:
    """Takes Ctrl-A x out of what is typed; Ctrl-A Ctrl-A sends one Ctrl-A."""

    def __init__(self):
        self.prefix = False
        self.quit = False

    def filter(self, data):
        out = bytearray()
        for byte in data:
            if self.prefix:
                self.prefix = False
                if byte in b'xX':
                    self.quit = True
                    return bytes(out)
                if byte != QUIT_PREFIX[0]:
                    out += QUIT_PREFIX
                out.append(byte)
            elif byte == QUIT_PREFIX[0]:
                self.prefix = True
            else:
                out.append(byte)
        return bytes(out)


def converse(machine, timeout=None, serial_file=None):
    """Returns 'off', 'reset', 'failed', 'panic', 'quit' or 'timeout'."""
    end = time.monotonic() + timeout if timeout else None
    stdin_open = True
    try:
        os.fstat(0)
    except OSError:
        stdin_open = False
    interactive = stdin_open and os.isatty(0)
    keys, recent, panicked_at = Keys(), b'', None
    with RawTerminal():
        while True:
            now = time.monotonic()
            if end and now >= end:
                return 'panic' if panicked_at else 'timeout'
            # After a panic: its text to the end, then out, unless a person is looking.
            if panicked_at and not interactive and now > panicked_at + 2:
                return 'panic'
            wait = min(0.5, end - now) if end else 0.5
            readable = select.select([machine] + ([0] if stdin_open else []), [], [], wait)[0]
            if 0 in readable:
                data = os.read(0, 4096)
                if not data:
                    stdin_open = False
                if interactive:
                    data = keys.filter(data)
                if data:
                    machine.write(data)
                if keys.quit:
                    return 'quit'
            if machine in readable:
                data = machine.read()
                if not data:
                    how = machine.finish()
                    return 'panic' if panicked_at else how
                os.write(1, data)
                if serial_file:
                    serial_file.write(data)
                    serial_file.flush()
                recent = (recent + data)[-4096:]
                if FAILURE in recent and not panicked_at:
                    panicked_at = time.monotonic()
            elif not machine.poll():
                how = machine.finish()
                return 'panic' if panicked_at else how
