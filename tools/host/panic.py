# SPDX-License-Identifier: Apache-2.0
"""How a panic of the kernel is told from a guest that writes the same words. The kernel ends a panic with its command
line. A machine gets a word there that nothing else in it prints, and that no guest can know."""
import secrets

TITLE = 'mullion: PANIC'


class Word:
    """option: the word for the kernel's command line, another one for each machine."""

    def __init__(self):
        self.option = 'run=' + secrets.token_hex(8)

    def options(self, more=''):
        """The kernel's command line with the word. It stands in front: the kernel cuts a long line at its end."""
        return f'{self.option} {more}'.rstrip()

    def seen_in(self, output):
        """Has the kernel panicked, by what has come from the serial port (bytes or text)?"""
        word = self.option.encode() if isinstance(output, (bytes, bytearray)) else self.option
        return word in output
