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
# Root's last line before it resets the machine for the shell's `reboot`.
STARTED_ANEW = b'[mullion] starting the machine anew'


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


class Output:
    """What the machine has written: shown, kept, and looked through for what says how it ends."""

    def __init__(self, word, serial_file):
        self.word, self.serial_file = word, serial_file
        self.recent, self.panicked_at = b'', None

    def take(self, data):
        os.write(1, data)
        if self.serial_file:
            self.serial_file.write(data)
            self.serial_file.flush()
        self.recent = (self.recent + data)[-4096:]
        if not self.panicked_at and self.word.seen_in(self.recent):
            self.panicked_at = time.monotonic()

    def take_rest(self, machine):
        """What has come since the machine was last found silent; it has ended."""
        while select.select([machine], [], [], 0)[0]:
            data = machine.read()
            if not data:
                return
            self.take(data)

    def verdict(self, machine):
        """At the machine's end."""
        how = machine.finish()
        if self.panicked_at:
            return 'panic'
        return 'reboot' if how == 'reset' and STARTED_ANEW in self.recent else how


class Input:
    """What is typed, or comes by a pipe. What the machine does not take at once waits here."""

    def __init__(self):
        self.interactive = os.isatty(0)
        self.open, self.quit = True, False
        self.keys, self.waiting = Keys(), b''

    def wants(self):
        """Is standard input to be looked at? A pipe waits when the machine takes no more; a person may want to quit."""
        return self.open and (self.interactive or not self.waiting)

    def take(self):
        try:
            data = os.read(0, 4096)
        except OSError:  # the terminal has gone
            data = b''
        self.open = bool(data)
        if self.interactive:
            data = self.keys.filter(data)
        self.waiting += data
        self.quit = self.keys.quit

    def send(self, machine):
        self.waiting = self.waiting[machine.offer(self.waiting) :]


def converse(machine, word, given, end=None, serial_file=None):
    """word: the kernel's of host.panic. given: an Input, which outlives a machine that starts anew. end: by
    time.monotonic(). Returns 'off', 'reset', 'reboot', 'exited', 'failed', 'panic', 'quit' or 'timeout'."""
    output = Output(word, serial_file)
    with RawTerminal():
        while True:
            now = time.monotonic()
            if end and now >= end:
                return 'panic' if output.panicked_at else 'timeout'
            # After a panic: its text to the end, then out, unless a person is looking.
            if output.panicked_at and not given.interactive and now > output.panicked_at + 2:
                return 'panic'
            wait = min(0.5, end - now) if end else 0.5
            readable, writable, _ = select.select(
                [machine] + ([0] if given.wants() else []), [machine.input_fileno()] if given.waiting else [], [], wait
            )
            if 0 in readable:
                given.take()
                if given.quit:
                    return 'quit'
            if writable:
                given.send(machine)
            if machine in readable:
                data = machine.read()
                if not data:
                    return output.verdict(machine)
                output.take(data)
            elif not machine.poll():
                output.take_rest(machine)
                return output.verdict(machine)
