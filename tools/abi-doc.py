#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes docs/abi.md, the reference of the ring-3 ABI, from include/mullion: the list of
system calls (calls.toml), the comments of the headers, and the layouts as the compiler sees them.

    tools/abi-doc.py             writes docs/abi.md
    tools/abi-doc.py --check     fails, in words, if docs/abi.md is not what would be written

A mistake in the list ends the run."""
import difflib
import os
import re
import subprocess
import sys
import tempfile

import calls

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(HERE, 'docs', 'abi.md')
HEADERS = ['abi', 'boot', 'vcpu']


CALLS_NOTE = (
    'Arguments stand in their order, with the type and the right that a handle needs. Handles are looked up first, in '
    'that order, each with `E_HANDLE`, `E_TYPE`, `E_DEAD`, `E_RIGHTS`. On an error but `E_AGAIN` nothing has changed.'
)


def read(name):
    with open(os.path.join(HERE, 'include', 'mullion', name + '.h'), encoding='utf-8') as f:
        return re.sub(r'^/\* SPDX[^\n]*\n', '', f.read())


def words(comment):
    """A comment's text in one line, without its stars."""
    return ' '.join(re.sub(r'(?m)^\s*\* ?', '', comment).split())


def md(text):
    return text.replace('|', '\\|')


def paragraphs(header):
    """The comment at a header's top, by paragraphs."""
    body = re.match(r'/\*(.*?)\*/', header, re.S).group(1)
    return [words(p) for p in re.split(r'\n \*\s*\n', body)]


def enumerators(text, name):
    """(name, comment) of each enumerator. A comment behind it is its own, so is one on the lines before it."""
    body = re.search(r'enum %s\s*\{(.*?)\n?\};' % name, text, re.S).group(1) if name else text
    out, pending = [], ''
    for m in re.finditer(r'/\*(.*?)\*/|([A-Z][A-Z0-9_]*)\s*(?:=\s*[^,\n/}]+)?\s*(,|(?=\s*/\*|\s*$|\s*\}))', body, re.S):
        if m.group(2):
            out.append([m.group(2), pending])
            pending = ''
            continue
        line_start = body.rfind('\n', 0, m.start()) + 1
        if out and body[line_start:m.start()].strip():
            out[-1][1] = (out[-1][1] + ' ' + words(m.group(1))).strip()
        else:
            pending = words(m.group(1))
    return out


def defines(text, pattern):
    """(name, value text, comment) of `#define`s whose name matches."""
    for m in re.finditer(r'^#define (%s)[ \t]+(.*?)[ \t]*(?:/\*(.*?)\*/[ \t]*)?$' % pattern, text, re.M):
        yield m.group(1), m.group(2), words(m.group(3) or '')


def structures(text):
    """name -> body of every named structure at the top level."""
    out = {}
    for m in re.finditer(r'^struct (\w+)\s*\{', text, re.M):
        depth, at = 1, m.end()
        while depth:
            depth += {'{': 1, '}': -1}.get(text[at], 0)
            at += 1
        out[m.group(1)] = text[m.end():at - 1]
    return out


def fields(body, prefix=''):
    """(path, declaration, comment) of a structure's members; a heading is (None, None, text)."""
    at = 0
    while True:
        m = re.compile(r'\s*/\*(.*?)\*/', re.S).match(body, at)
        if m:
            yield None, None, words(m.group(1))
            at = m.end()
            continue
        m = re.compile(r'\s*(struct|union)\s*\{').match(body, at)
        if m:
            depth, end = 1, m.end()
            while depth:
                depth += {'{': 1, '}': -1}.get(body[end], 0)
                end += 1
            tail = re.compile(r'\s*(\w*)\s*((?:\[\w+\])*)\s*;[ \t]*(?:/\*(.*?)\*/)?', re.S).match(body, end)
            name = tail.group(1)
            inner = body[m.end():end - 1]
            comment = words(tail.group(3) or '')
            if tail.group(2):
                yield prefix + name, re.sub(r'\s+', ' ', m.group(1) + ' {' + inner + '}') + tail.group(2), comment
            else:
                if comment:
                    yield None, None, comment
                yield from fields(inner, prefix + name + '.' if name else prefix)
            at = tail.end()
            continue
        m = re.compile(r'\s*((?:struct |enum )?\w+)\s+(\w+[^;]*);[ \t]*(?:/\*(.*?)\*/)?', re.S).match(body, at)
        if not m:
            return
        comment = words(m.group(3) or '')
        names = [re.match(r'\s*(\w+)\s*((?:\[[^]]*\])*)', d).groups() for d in m.group(2).split(',')]
        meant = next((n for n, _ in names if comment.startswith(n + ':')), names[0][0])
        for name, dims in names:
            yield prefix + name, m.group(1) + dims, comment if name == meant else ''
        at = m.end()


def ask_compiler(constants, members, sizes):
    """Values of constants, (offset, size) of members, sizes of structures."""
    lines = (
        ['#include <stdio.h>', '#include <stddef.h>']
        + ['#include "mullion/%s.h"' % h for h in HEADERS]
        + ['int main(void) {']
    )
    lines += ['printf("%%llx\\n", (unsigned long long)(%s));' % c for c in constants]
    lines += [
        'printf("%%zx %%zx\\n", offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s));' % (s, f, s, f)
        for s, f in members
    ]
    lines += ['printf("%%zx\\n", sizeof(struct %s));' % s for s in sizes] + ['return 0; }']
    with tempfile.TemporaryDirectory() as d:
        source, program = os.path.join(d, 'a.c'), os.path.join(d, 'a')
        with open(source, 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines) + '\n')
        subprocess.run([os.path.join(HERE, 'tools', 'calls.py'), d], check=True)
        subprocess.run(
            [
                os.environ.get('CC', 'gcc'),
                '-std=c17',
                '-I',
                os.path.join(HERE, 'include'),
                '-I',
                d,
                '-o',
                program,
                source,
            ],
            check=True,
        )
        got = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split('\n')
    values = {c: int(v, 16) for c, v in zip(constants, got)}
    got = got[len(constants):]
    layout = {m: tuple(int(x, 16) for x in v.split()) for m, v in zip(members, got)}
    got = got[len(members):]
    return values, layout, {s: int(v, 16) for s, v in zip(sizes, got)}


def table(head, rows):
    out = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    return out + ['| ' + ' | '.join(md(c) for c in r) + ' |' for r in rows] + ['']


def needs(argument):
    """What a handle argument must be, in words; nothing for a number."""
    types = calls.types_of(argument)
    if not types:
        return ''
    what = 'of any type' if len(types) == len(calls.TYPES) else ' or '.join(types)
    right = ', `RIGHT_%s`' % argument['rights'] if 'rights' in argument else ''
    return 'handle: %s%s%s%s' % (what, right, argument.get('needs', '') and ', ' + argument['needs'],
                                 ', or 0' if argument.get('optional') else '')


def system_calls(values, errors):
    out = []
    listed = calls.load()
    index = [['%d' % values[calls.number_of(c)], '[%s](#%s)' % (c['name'], c['name'])] for c in listed]
    out += table(['number (rax)', 'call'], index)
    for call in listed:
        name, wrong = calls.number_of(call), call['errors']
        out += ['### %s' % call['name'], '', '`%s` = %d' % (name, values[name]), '']
        rows = [[r, '`%s`' % a['name'], needs(a)] for r, a in zip(calls.REGISTERS, call['arguments'])]
        if rows:
            out += table(['register', 'argument', 'what it must be'], rows)
        out += [call['does'], '', 'Value (rdx): %s.' % call['value'], '']
        rows = []
        for e in wrong.split('; '):
            if e.startswith('handle errors'):
                rows += [
                    ['`E_HANDLE`', 'no such handle'],
                    ['`E_TYPE`', 'the handle names another type of object'],
                    ['`E_DEAD`', 'the object was destroyed'],
                    ['`E_RIGHTS`', 'the handle does not carry the right'],
                ]
                if e != 'handle errors':
                    rows[-4][1] += e[len('handle errors'):]
                continue
            if e == 'none':
                continue
            n, _, why = e.partition(': ')
            if n not in errors:
                sys.exit('abi-doc: %s: there is no error "%s"' % (name, n))
            same = [r for r in rows if r[0] == '`%s`' % n]
            if same:
                same[0][1] += '; ' + why
            else:
                rows.append(['`%s`' % n, why or errors[n]])
        out += table(['error (rax)', 'when'], rows) if rows else ['It answers no error.', '']
    return out


def layout_table(name, body, layout, sizes):
    rows, out = [], ['### struct %s' % name, '', '%d bytes.' % sizes[name], '']
    for path, declaration, comment in fields(body):
        if path is None:
            rows.append(['', '', '', '*%s*' % comment])
            continue
        offset, size = layout[(name, path)]
        rows.append(['0x%x' % offset, '%d' % size, '`%s %s`' % (declaration, path), comment])
    return out + table(['offset', 'bytes', 'member', ''], rows)


def enum_table(rows, values, head):
    return table(head, [['%d' % values[n], '`%s`' % n, c] for n, c in rows if not n.endswith('_COUNT')])


def main():
    text = {h: read(h) for h in HEADERS}
    abi, boot, vcpu = (text[h] for h in HEADERS)
    enums = {n: enumerators(abi, n) for n in ('error', 'object_type', 'doorbell_kind', 'query', 'domain_state')}
    enums['exit_reason'] = enumerators(vcpu, 'exit_reason')
    enums['activity'] = enumerators(vcpu, 'activity')
    slots = enumerators(re.search(r'enum \{(.*?ROOT_SLOT.*?)\};', boot, re.S).group(1), '')
    registers = [enumerators(b, '') for b in re.findall(r'enum \{(.*?)\};', vcpu, re.S)]
    macros = {h: [d for d in defines(text[h], r'[A-Z]\w*') if d[1]] for h in HEADERS}
    bodies = {h: structures(text[h]) for h in HEADERS}
    members = [(s, p) for h in HEADERS for s, b in bodies[h].items() for p, _, _ in fields(b) if p]
    sizes = [s for h in HEADERS for s in bodies[h]]
    constants = [n for e in enums.values() for n, _ in e] + [n for n, _ in slots] + [n for r in registers for n, _ in r]
    constants += [calls.number_of(c) for c in calls.load()]
    constants += [n for h in HEADERS for n, _, _ in macros[h]]
    values, layout, size_of = ask_compiler(sorted(set(constants)), members, sizes)

    def macro_table(header, pattern, skip=r'$'):
        return table(
            ['name', 'value', ''],
            [
                ['`%s`' % n, '0x%x' % values[n] if values[n] > 9 else '%d' % values[n], c]
                for n, _, c in macros[header]
                if re.match(pattern, n) and not re.match(skip, n)
            ],
        )

    out = ['# The ABI between ring 0 and ring 3', '',
           '<!-- Made by tools/abi-doc.py from include/mullion. Change that, then run `make docs`. -->', '']
    for p in paragraphs(abi)[1:]:
        out += [p, '']
    out += ['## Numbers', ''] + macro_table('abi', r'MULLION_|SYSCALL_|MAX_|USER_|SCHED_')
    out += ['## Errors', ''] + enum_table(enums['error'], values, ['rax', 'name', ''])
    out += ['## Types of objects', ''] + enum_table(enums['object_type'], values, ['number', 'name', ''])
    out += ['## Rights', '', 'A handle carries rights; a grant can only narrow them. ', ''] + macro_table(
        'abi', r'RIGHT'
    )
    out += ['## System calls', '', CALLS_NOTE, '']
    out += system_calls(values, dict(enums['error']))
    out += ['## Doorbells (`fastpath_doorbell`)', ''] + enum_table(enums['doorbell_kind'], values, ['kind', 'name', ''])
    out += ['## Live bits of CPUID (`fastpath_cpuid`)', '']
    out += macro_table('abi', r'CPUID_')
    out += ['## What can be asked (`query`)', ''] + enum_table(enums['query'], values, ['what', 'name', ''])
    out += ['States of a domain:', ''] + enum_table(enums['domain_state'], values, ['value', 'name', ''])
    out += ['## Tags of memory', ''] + macro_table('abi', r'TAG_')
    out += [
        '`TAG_GUEST(n)` = 0x100 + n: memory of the n-th guest. '
        '`TAG_MONITOR(n)` = 0x200 + n: private memory of its monitor.',
        '',
    ]

    out += ['## What root is told', '', ' '.join(paragraphs(boot)), '']
    out += macro_table('boot', r'ROOT_|BOOT_|KLOG_')
    out += ['Root\'s fixed slots:', ''] + enum_table(slots, values, ['slot', 'name', ''])
    for name, body in bodies['boot'].items():
        out += layout_table(name, body, layout, size_of)

    out += ['## A vCPU\'s page', '']
    for p in paragraphs(vcpu):
        out += [p, '']
    out += ['State groups (`dirty`, `valid`, `vcpu_fetch`):', ''] + macro_table('vcpu', r'GROUP')
    out += ['Reasons of exits:', ''] + enum_table(enums['exit_reason'], values, ['reason', 'name', ''])
    out += ['Activity:', ''] + enum_table(enums['activity'], values, ['value', 'name', ''])
    for m in re.finditer(r'/\*[\s*]*((?:inject|irq|attr|apic_mode): .*?)\*/', vcpu, re.S):
        out += ['`' + words(m.group(1)).replace(':', '`:', 1), '']
    out += ['Bits of `inject`, `irq`, `shadow` and `attr`; `apic_mode`:', ''] + macro_table(
        'vcpu', r'INJECT|IRQ|SHADOW|SEG_ATTR|APIC_'
    )
    out += ['Order of registers in `gpr` and `seg`:', '']
    out += [', '.join('%d `%s`' % (values[n], n) for n, _ in r if not n.endswith('_COUNT')) + '.\n' for r in registers]
    for name, body in bodies['vcpu'].items():
        out += layout_table(name, body, layout, size_of)
    result = '\n'.join(line.rstrip() for line in '\n'.join(out).split('\n')).rstrip('\n') + '\n'

    if '--check' in sys.argv[1:]:
        try:
            with open(OUT, encoding='utf-8') as f:
                have = f.read()
        except FileNotFoundError:
            have = ''
        if have != result:
            sys.stdout.writelines(
                list(
                    difflib.unified_diff(
                        have.splitlines(True), result.splitlines(True), 'docs/abi.md', 'the headers', n=0
                    )
                )[:40]
            )
            sys.exit('docs/abi.md is not what include/mullion says: run `make docs` and commit it')
        return
    with open(OUT, 'w', encoding='utf-8') as f:
        f.write(result)


if __name__ == '__main__':
    main()
