#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the make rules of the unit tests from their first lines.

    tools/unit-rules.py BUILD OUT

A test's `// sources:` line names the files that it is linked with; a word @NAME stands for the files that
tests/unit/groups.txt lists under that name. `// libs:` holds more flags; `// sanitizer: thread` looks for data races
instead of what the others look for, `accesses` reports each access to the test (tests/unit/tsan_calls.h). A source
that several tests share is compiled once for each set of compile flags, not once for each test."""
import glob
import hashlib
import os
import re
import sys

ALWAYS = ['tests/unit/host_stubs.c']


def groups():
    found = {}
    with open('tests/unit/groups.txt', encoding='utf-8') as f:
        for line in f:
            name, _, files = line.split('#')[0].partition(':')
            if files.strip():
                found[name.strip()] = files.split()
    return found


def words(text, key):
    return [w for line in re.findall(r'^// %s: (.*)$' % key, text, re.M) for w in line.split()]


def split_flags(flags):
    """(flags of the compiler, flags of the linker)"""
    compile_flags, link_flags = [], []
    it = iter(flags)
    for flag in it:
        if flag == '-include':
            compile_flags += [flag, next(it)]
        elif flag == '-pthread':
            compile_flags.append(flag)
            link_flags.append(flag)
        elif flag.startswith(('-D', '-I')):
            compile_flags.append(flag)
        else:
            link_flags.append(flag)
    return compile_flags, link_flags


def main():
    build, out = sys.argv[1:3]
    named, rules, objects = groups(), ['# Made by tools/unit-rules.py'], {}
    for path in sorted(glob.glob('tests/unit/test_*.c')):
        with open(path, encoding='utf-8') as f:
            text = f.read()
        sources = [path, *ALWAYS]
        for word in words(text, 'sources'):
            sources += named[word[1:]] if word.startswith('@') else sorted(glob.glob(word)) or [word]
        compile_flags, link_flags = split_flags(words(text, 'libs'))
        sanitizer = f'$({"_".join(["UNIT_SANITIZER", *words(text, "sanitizer")])})'
        compile_flags.append(sanitizer)
        link_sanitizer = '' if 'accesses' in sanitizer else sanitizer
        key = 'plain'
        if compile_flags != ['$(UNIT_SANITIZER)']:
            key = hashlib.sha256(' '.join(compile_flags).encode()).hexdigest()[:8]
        mine = []
        for source in dict.fromkeys(sources):
            target = f'{build}/unit/obj/{key}/{source[:-2]}.o'
            mine.append(target)
            objects[target] = (source, compile_flags)
        name = os.path.basename(path)[:-2]
        rules.append(
            f'{build}/unit/{name}: {" ".join(mine)}\n'
            f'\t$(HOSTCC) $(UNIT_FLAGS) {link_sanitizer} -o $@ $^ {" ".join(link_flags)} -lcmocka'
        )
    for target, (source, flags) in objects.items():
        rules.append(
            f'{target}: {source} | $(UNIT_GENERATED)\n\t@mkdir -p $(@D)\n'
            f'\t$(HOSTCC) $(UNIT_FLAGS) {" ".join(flags)} -MMD -MP -c -o $@ $<'
        )
        rules.append(f'-include {target[:-2]}.d')
    text = '\n'.join(rules) + '\n'
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out, 'w', encoding='utf-8') as f:
        f.write(text)


if __name__ == '__main__':
    sys.exit(main())
