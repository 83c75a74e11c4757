# SPDX-License-Identifier: Apache-2.0
"""The shape of C expressions, for tools/check.py: no `?:` inside another, no call with more than six arguments."""
import re

ARGUMENTS = 6
TOKEN = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|[A-Za-z_]\w*|\.?\d[\w.]*|\\\n|\n|->|[^\s\w]', re.S
)
# Their brackets hold no arguments.
NO_CALL = {'if', 'while', 'for', 'switch', 'return', 'sizeof', 'case', 'volatile', 'asm', '__asm__', '__attribute__'}
# As many as it takes: formatted output, beside what the tree declares as such; and the registers of a system call.
MAY = {'printf', 'fprintf', 'snprintf', 'print', 'fail_msg', 'syscall6', 'call'}
OPEN, CLOSE = '([{', ')]}'


def tokens(text):
    """(line number, token) without comments; a line of the preprocessor begins with `#` and ends with a newline."""
    number, directive, bare = 1, False, True
    for match in TOKEN.finditer(text):
        token = match.group()
        if token == '#' and bare:
            directive = True
        if token == '\n':
            if directive:
                yield number, '\n'
            directive, bare = False, True
        elif token != '\\\n' and not token.startswith(('/*', '//')):
            bare = False
            yield number, token
        number += token.count('\n')


def formats(texts):
    """The functions that take a format, as their declarations say."""
    declared = re.compile(r'(\w+)\((?:[^()]|\([^()]*\))*\)\s*(?:print_like\b|__attribute__\(\(format\b)')
    return MAY.union(*(declared.findall(text) for text in texts))


class Level:
    """What stands between two brackets: the expression that is read there just now, and the commas so far."""

    def __init__(self, call=None, line=0, before=''):
        self.call, self.line, self.before = call, line, before
        self.commas = 0
        self.clear()

    def clear(self):
        self.asked = False  # a ? of this expression was read
        self.holds = False  # there is one in brackets inside of it


def shape(path, text, may, nesting=False):
    """What is wrong, as lines of text. may: functions with any number of arguments. nesting: `?:` may be nested."""
    bad, levels, last = [], [Level()], ''
    for line, token in tokens(text):
        top = levels[-1]
        if token == '\n' or (token == '#' and len(levels) == 1):
            levels = [Level()]
        elif token in OPEN:
            name = last if token == '(' and re.match(r'[a-z_]\w*$', last) and last not in NO_CALL else None
            levels.append(Level(name, line, last))
        elif token in CLOSE:
            inner = levels.pop() if len(levels) > 1 else top
            top = levels[-1]
            if inner.call and inner.commas >= ARGUMENTS and inner.call not in may:
                bad.append(f'{path}:{inner.line}: {inner.call} has {inner.commas + 1} arguments; at most {ARGUMENTS}')
            if inner.before in ('if', 'while', 'for', 'switch') or token == '}':
                top.clear()
            else:
                top.holds = top.holds or inner.asked or inner.holds
        elif token == '?':
            if not nesting and (top.holds or any(level.asked for level in levels)):
                bad.append(f'{path}:{line}: a ?: inside of another')
            top.asked = True
        elif token in (',', ';'):
            top.commas += token == ','
            top.clear()
        last = token
    return bad
