#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks of the tree that need no running machine: headers stand alone, layers keep apart, cppcheck, both compilers
without a warning.

    CFLAGS0=... CFLAGS3=... tools/check.py BUILD [CHECK...]"""
import concurrent.futures
import fnmatch
import glob
import os
import re
import shlex
import subprocess
import sys

import prose
import shape as expressions

RING0 = ('boot', 'arch', 'mm', 'kernel', 'vmx', 'svm', 'drivers')
RING3 = ('vmm', 'services', 'lib', 'config')

# What the layer below the kernel objects may use of kernel/: logging, strings, and the scheduler's structure inside
# struct cpu. Traps hand over to the kernel's entry points.
BELOW_MAY = {'kernel/lock.h', 'kernel/log.h', 'kernel/string.h', 'kernel/sched.h'}
# The checker reads ring 0's objects where they lie: it may know what they look like, and links none of ring 0's code.
AUDIT_MAY = {
    'kernel/audit_view.h',
    'kernel/domain.h',
    'kernel/hardware.h',
    'kernel/space.h',
    'kernel/thread.h',
    'svm/svm.h',
}
# Root's dispatcher stands above the files that it calls: none of them knows it.
ABOVE = {'services/root/requests.h': ('services/root/requests.c', 'services/root/main.c')}


def files(folders, pattern):
    return sorted(f for d in folders for f in glob.glob(f'{d}/**/{pattern}', recursive=True))


def layers():
    bad = []
    for path in files(RING0 + RING3 + ('include',), '*.[ch]'):
        top = path.split('/')[0]
        with open(path, encoding='utf-8') as f:
            names = re.findall(r'^\s*#\s*include\s+"([^"]+)"', f.read(), re.M)
        for name in names:
            other = name.split('/')[0]
            wrong = (
                (top in RING0 and other in RING3)
                or (
                    top in RING3
                    and other in RING0
                    and not (name in AUDIT_MAY and path.startswith('services/audit/'))
                )
                or (top == 'include' and other != 'mullion')
                or {top, other} == {'vmx', 'svm'}
                or (
                    top in ('mm', 'arch', 'drivers', 'boot')
                    and other == 'kernel'
                    and name not in BELOW_MAY
                    and path != 'arch/x86_64/traps.c'
                )
                or (top == 'mm' and other in ('vmx', 'svm'))
                or (top == 'vmm' and other == 'services')
                or (top == 'services' and other == 'vmm')
                or (top == 'lib' and other in ('vmm', 'services', 'config'))
                or (top == 'config' and other not in ('config', 'lib', 'mullion'))
                or (name in ABOVE and path not in ABOVE[name])
            )
            if wrong:
                bad.append(f'{path}: must not include "{name}"')
    return bad


def assembly():
    """Inline assembly stays where it belongs."""
    bad = []
    for path in files(('mm', 'kernel', 'drivers', 'vmm', 'services', 'lib'), '*.[ch]'):
        with open(path, encoding='utf-8') as f:
            for number, line in enumerate(f, 1):
                if re.search(r'\b__asm__\b|\basm\s+volatile\b', line) and path not in ALLOWED_ASSEMBLY:
                    bad.append(f'{path}:{number}: inline assembly outside arch/x86_64, vmx, svm')
    return bad


def guest_memory():
    """Guest memory is written through the functions of vmm/memory.h only. Its pointers are const, which the compiler
    holds (-Wcast-qual); here: nothing else takes the addresses behind them, and no detour drops the const."""
    bad = []
    for path in files(('vmm',), '*.[ch]'):
        if path in ('vmm/memory.h', 'vmm/memory.c', 'vmm/test/fuzz.c'):  # the last is hostile on purpose
            continue
        with open(path, encoding='utf-8') as f:
            for number, line in enumerate(f, 1):
                if re.search(r'(->|\.)hva\b', line) or ('VMM_GUEST_VA' in line and 'guest_memory_add' not in line):
                    bad.append(f'{path}:{number}: reaches into guest memory beside vmm/memory.h')
                if re.search(r'\(\s*uintptr_t\s*\)\s*(guest_(ptr|page)|walk_code64)', line):
                    bad.append(f'{path}:{number}: makes a pointer into guest memory writable')
    return bad


# One instruction each: a system call, ports, a pause, a string move, CPUID; stopping for good.
ALLOWED_ASSEMBLY = {
    'lib/syscall.h',
    'lib/string.c',
    'kernel/log.c',
    'kernel/main.c',
    'kernel/thread.c',
    'services/root/speculation_report.c',
    'vmm/machine.c',
}


def one_header(path):
    flags = shlex.split(os.environ['CFLAGS0' if path.split('/')[0] in RING0 + ('include',) else 'CFLAGS3'])
    run = subprocess.run(
        [
            'gcc',
            *flags,
            '-isystem',
            f'{sys.argv[1]}/src/zydis/include',
            '-DZYAN_NO_LIBC',
            '-DZYDIS_STATIC_BUILD',
            '-DZYCORE_STATIC_BUILD',
            '-DZYDIS_DISABLE_FORMATTER',
            '-DZYDIS_DISABLE_ENCODER',
            '-Wno-unused-function',
            '-fsyntax-only',
            '-x',
            'c',
            '-include',
            path,
            '/dev/null',
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return f'{path} does not compile alone:\n{run.stdout.decode()}' if run.returncode else None


def headers():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [x for x in pool.map(one_header, files(RING0 + RING3 + ('include',), '*.h')) if x]


def cppcheck():
    run = subprocess.run(
        [
            'cppcheck',
            '-q',
            '-j2',
            '--std=c11',
            '--enable=warning,portability',
            '--inline-suppr',
            '--error-exitcode=1',
            '--suppress=missingInclude',
            # cppcheck 2.17 says so of every long function.
            '--suppress=normalCheckLevelMaxBranches',
            '--suppress=unknownMacro',
            '--suppress=*:*/zydis/*',
            # The linker's symbols are arrays of unknown size to us, and one object to it.
            '--suppress=comparePointers',
            '--suppress=subtractPointers',
            '-I.',
            '-Iinclude',
            f'-I{sys.argv[1]}/gen',
            '-D__x86_64__',
            '-D__attribute__(x)=',
            # cppcheck 2.17 does not read `asm goto (...)`.
            '-Dgoto(...)=(0)',
            # Written by the VMREAD of an asm goto, which it does not understand.
            '--suppress=legacyUninitvar:vmx/vmx_instr.h',
            '--suppress=uninitvar:vmx/vmx_instr.h',
            '-DRING0',
            *RING0,
            *RING3,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return [run.stdout.decode()] if run.returncode else []


def compiler(name):
    """All that is built, in a folder of its own: no warning is let through."""
    build = os.path.join(sys.argv[1], name)
    os.makedirs(build, exist_ok=True)
    source = os.path.join(build, 'src')
    if not os.path.lexists(source):
        os.symlink('../src', source)
    run = subprocess.run(
        ['make', '-s', '-j2', 'WERROR=1', f'CC={name}', f'BUILD={build}', 'kernel', 'guests', f'{build}/check-config'],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    text = run.stdout.decode()
    if run.returncode or 'warning:' in text:
        return [f'{name}: ' + '\n'.join(text.splitlines()[-30:])]
    return []


def tracked(*patterns):
    """The tree's files whose names match: those that git knows; where there is no git, or no repository, all but what
    was built."""
    try:
        run = subprocess.run(
            ['git', 'ls-files', *patterns], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        return [f for f in run.stdout.decode().split('\n') if f and os.path.exists(f)]
    except (OSError, subprocess.CalledProcessError):
        found = []
        for folder, folders, names in os.walk('.'):
            folders[:] = [d for d in folders if not d.startswith('.') and os.path.join(folder, d) != './build']
            found += [os.path.join(folder, n)[2:] for n in names if any(fnmatch.fnmatch(n, p) for p in patterns)]
        return sorted(found)


def layout():
    """Each C file as .clang-format lays it out (`make format`), and no line of code or comment over 120 columns."""
    sources = tracked('*.c', '*.h')
    version = subprocess.run(['clang-format', '--version'], stdout=subprocess.PIPE, check=True).stdout.decode()
    if ' 14.' not in version:
        print(f'skipped layout: it is that of clang-format 14, here is {version.strip()}')
        return []
    run = subprocess.run(
        ['clang-format', '--dry-run', '-Werror', *sources],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    bad = [line for line in run.stdout.decode().split('\n') if 'error:' in line]
    if run.returncode and not bad:
        bad = [run.stdout.decode()]
    for path in sources:
        with open(path, encoding='utf-8') as f:
            for number, line in enumerate(f, 1):
                if (
                    len(line.rstrip('\n')) > 120
                    and '"' not in line
                    and not line.startswith(('// sources:', '// libs:'))
                ):
                    bad.append(f'{path}:{number}: {len(line) - 1} columns; at most 120')
    return bad


def columns():
    """No line of Python over 120 columns. Its code is laid out by hand, near to what black makes of it."""
    bad = []
    for path in tracked('*.py', 'mullion'):
        with open(path, encoding='utf-8') as f:
            bad += [f'{path}:{n}: {len(s) - 1} columns; at most 120' for n, s in enumerate(f, 1) if len(s) > 121]
    return bad


def shape():
    """No `?:` inside another, but in tests, which make chances of them; no call with more than six arguments."""
    texts = {}
    for path in tracked('*.c', '*.h'):
        with open(path, encoding='utf-8') as f:
            texts[path] = f.read()
    may = expressions.formats(texts.values())
    bad = []
    for path, text in texts.items():
        bad += expressions.shape(path, text, may, nesting=path.startswith('tests/'))
    return bad


def licences():
    """Each source file names its licence in its first two lines."""
    bad = []
    for path in tracked('*.c', '*.h', '*.asm', '*.inc', '*.ld', '*.py', '*.sh', '*.mk', 'Makefile', 'mullion'):
        with open(path, encoding='utf-8') as f:
            if 'SPDX-License-Identifier: Apache-2.0' not in f.readline() + f.readline():
                bad.append(f'{path}: no SPDX-License-Identifier line at its top')
    return bad


def main():
    failed = 0
    for name, check in (
        ('layout', layout),
        ('columns', columns),
        ('shape', shape),
        ('licences', licences),
        ('prose', prose.prose),
        ('words', lambda: prose.words(tracked)),
        ('layers', layers),
        ('inline assembly', assembly),
        ('guest-memory', guest_memory),
        ('headers', headers),
        ('gcc', lambda: compiler('gcc')),
        ('clang', lambda: compiler('clang')),
        ('cppcheck', cppcheck),
    ):
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        bad = check()
        print(f'{"FAILED" if bad else "ok    "} {name}', flush=True)
        for line in bad:
            print(line)
        failed += bool(bad)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
