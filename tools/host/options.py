# SPDX-License-Identifier: Apache-2.0
"""The words of the kernel's command line that a user may give (docs/debugging.md). The kernel and root pass over a word
that they do not know, so a slip of the pen is told here."""
from .conf import UsageError

WORDS = {
    'serial': ('0x2f8', 'none'),
    'mitigations': ('off', 'force'),
    'apicv': ('off',),
    'reach': ('timer', 'interrupt'),
    'quirks': ('none',),
    'debug-exit': (),
}


def allowed():
    """Every word, as it is written."""
    return [f'{name}={value}' for name, values in WORDS.items() for value in values] + [
        name for name, values in WORDS.items() if not values
    ]


def check(line):
    """The line with one blank between its words. UsageError for a word that is not known."""
    words = line.split()
    for word in words:
        if word not in allowed():
            name = word.partition('=')[0]
            right = [f'{name}={value}' for value in WORDS.get(name, ())] or [name] if name in WORDS else allowed()
            raise UsageError(f"--options: '{word}' is not known; allowed: {', '.join(right)}")
    return ' '.join(words)
