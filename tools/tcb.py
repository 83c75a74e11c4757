#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the trusted computing base: the ring-0 sources and every header that they include.

    tools/tcb.py SOURCE...

The measure is the statement, which no layout can move: a semicolon outside comments, strings and directives (a `for`
has two), and a comma that joins two expressions outside argument lists, initializers and declarations. Two more numbers
are held beside it: C tokens, and lines of assembly. Nothing is preprocessed, so code under #if counts whatever its
condition."""
import os
import re
import subprocess
import sys

STATEMENTS_MAX, TOKENS_MAX, ASSEMBLY_MAX = 4900, 75000, 500
# Measured the same way: semicolons, C tokens. What they hold differs; docs/architecture.md says how.
OTHERS = (('Jailhouse, x86', 4977, 68426), ('NOVA, x86-64', 6382, 108544), ('seL4, x86-64', 11859, 155533))

TOKEN = re.compile(
    r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[A-Za-z_]\w*|\.?\d(?:[eEpP][+-]|[\w.])*'
    r'|\.\.\.|<<=|>>=|->|\+\+|--|<<|>>|[<>=!+\-*/%&|^]=|&&|\|\||##|\S'
)
WORD = re.compile(r'[A-Za-z_]\w*$')
CONTROL = {'if', 'while', 'for', 'switch'}
TYPE_WORDS = set(
    'void char short int long signed unsigned bool const volatile static extern inline struct union enum typedef '
    'register _Atomic _Bool'.split()
)
NOT_TYPES = {'return', 'goto', 'case', 'else', 'do', 'sizeof', 'default', 'break', 'continue'} | CONTROL


def strip_c(text):
    """Text without comments; strings and character constants are kept."""
    pattern = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.S)
    return pattern.sub(lambda m: m.group(0) if m.group(0)[0] in "\"'" else re.sub(r'[^\n]', ' ', m.group(0)), text)


def strip_asm(text):
    pattern = re.compile(r'"[^"\n]*"|\'[^\'\n]*\'|`[^`\n]*`|;[^\n]*')
    return pattern.sub(lambda m: '' if m.group(0)[0] == ';' else m.group(0), text)


def is_declaration(tokens):
    """Whether a statement's tokens so far, up to a comma, begin a declaration: `type name`."""
    if not tokens or tokens[0] in NOT_TYPES:
        return False
    if tokens[0] in TYPE_WORDS:
        return True
    i = 1
    while i < len(tokens) and tokens[i] in ('*', 'const'):
        i += 1
    return bool(WORD.match(tokens[0]) and i < len(tokens) and WORD.match(tokens[i]) and tokens[i] not in NOT_TYPES)


class Scope:
    """One open bracket. kind: 'list' (arguments, initializer, index, members: its commas count for nothing), 'block',
    'group'."""

    def __init__(self, kind, before):
        self.kind, self.before, self.statement = kind, before, []


def kind_of(token, before, closed, outer):
    """closed: the scope that the token before, if a closing bracket, has closed."""
    if token == '[':
        return 'list'
    if token == '(':
        called = before in (')', ']') or (
            before and WORD.match(before) and before not in CONTROL and before != 'return'
        )
        return 'list' if called or outer.before == '__attribute__' else 'group'
    if before in ('=', ',', '(', 'return') or outer.kind == 'list' or 'enum' in outer.statement[:3]:
        return 'list'
    if before == ')':
        head = closed.before if closed else None
        literal = closed is not None and closed.kind == 'group' and head not in CONTROL
        return 'list' if literal else 'block'
    return 'block'


def statements(code):
    """Statements in C without comments and directives."""
    count, before, closed = 0, None, None
    scopes = [Scope('block', None)]
    for token in TOKEN.findall(code):
        top = scopes[-1]
        if token in '([{':
            top.statement.append(token)
            scopes.append(Scope(kind_of(token, before, closed, top), before))
        elif token in ')]}' and len(scopes) > 1:
            closed = scopes.pop()
            if closed.kind == 'block' and token == '}':
                scopes[-1].statement = []
        elif token == ';':
            count += 1
            top.statement = []
        elif token == ',' and top.kind != 'list' and len(scopes) > 1 and not is_declaration(top.statement):
            count += 1
        else:
            top.statement.append(token)
        before = token
    return count


def without_directives(code):
    return re.sub(r'^[ \t]*#(?:\\\n|[^\n])*', '', code, flags=re.M)


def code_of(path):
    with open(path, encoding='utf-8') as f:
        text = f.read()
    return strip_asm(text) if path.endswith(('.asm', '.inc')) else strip_c(text)


def included(path, code):
    for name in re.findall(r'^\s*[#%]\s*include\s+"([^"]+)"', code, re.M):
        for folder in ('.', 'include', os.path.dirname(path), os.environ.get('GENERATED', 'build/gen')):
            candidate = os.path.normpath(os.path.join(folder, name))
            if os.path.exists(candidate):
                yield candidate
                break
        else:
            if not name.startswith('gen/'):
                print(f'tcb: {path} includes "{name}", which is not to be found', file=sys.stderr)


def formatted_lines(path, code):
    """Lines of code as the project's formatter lays them out; as written where it is not installed."""
    try:
        run = subprocess.run(
            ['clang-format', f'--assume-filename={path}'], input=code.encode(), stdout=subprocess.PIPE, check=True
        )
        code = run.stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pass
    return sum(1 for line in code.split('\n') if line.strip())


def measure(sources):
    """{path: (statements, tokens, lines)} of the sources and the headers that they include."""
    todo, found = list(sources), {}
    while todo:
        path = todo.pop()
        if path in found:
            continue
        code = code_of(path)
        todo += included(path, code)
        if path.endswith(('.asm', '.inc')):
            found[path] = (0, 0, sum(1 for line in code.split('\n') if line.strip()))
        else:
            plain = without_directives(code)
            found[path] = (statements(plain), len(TOKEN.findall(code)), formatted_lines(path, code))
    return found


def main():
    missing = [p for p in sys.argv[1:] if not os.path.exists(p)]
    for p in missing:
        print(f'tcb: {p}: not there', file=sys.stderr)
    found = measure(p for p in sys.argv[1:] if p not in missing)
    folders = {}
    for path, row in found.items():
        asm = path.endswith(('.asm', '.inc'))
        cells = (row[0], row[1], 0 if asm else row[2], row[2] if asm else 0, 1)
        folder = os.path.dirname(path) or '.'
        folders[folder] = [a + b for a, b in zip(folders.get(folder, [0] * 5), cells)]
    total = [sum(column) for column in zip(*folders.values())]
    print('statements   tokens  C lines  nasm lines  files')
    for name, row in [*sorted(folders.items()), ('in ring 0', total)]:
        print(f'{row[0]:10} {row[1]:8} {row[2]:8} {row[3]:11} {row[4]:6}  {name}')
    print(f'{STATEMENTS_MAX:10} {TOKENS_MAX:8} {"":8} {ASSEMBLY_MAX:11} {"":6}  at most')
    for name, semicolons, tokens in OTHERS:
        print(f'{semicolons:10} {tokens:8} {"":8} {"":11} {"":6}  {name}, for comparison')
    outside = sorted(p for p in found if p.split('/')[0] in ('vmm', 'services', 'lib', 'config', 'tools', 'tests'))
    if outside:
        print('tcb: ring 0 includes what is not its own: ' + ', '.join(outside), file=sys.stderr)
    over = total[0] > STATEMENTS_MAX or total[1] > TOKENS_MAX or total[3] > ASSEMBLY_MAX
    if over:
        print('tcb: ring 0 is larger than it may be; move the newest part to ring 3', file=sys.stderr)
    return 1 if over or outside or missing else 0


if __name__ == '__main__':
    sys.exit(main())
