#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tests that boot a machine, measure clocks or wait for others, three times in a row beside two busy loops: what
fails here would fail on a busy machine.

    tools/busy-tests.py BUILD [pytest options]

What has passed is kept in BUILD/test-busy.txt, so a run that was stopped goes on where it was. A new image or a change
in tests/system begins anew."""
import glob
import hashlib
import os
import re
import subprocess
import sys
import time

from host import machines, suite
from host.emulator import die_with_parent

ROUNDS, LOOPS = 3, 2


def say(text):
    print(text, flush=True)


def state_of(build):
    """A name for the image and the tests as they are."""
    digest = hashlib.sha256()
    for path in [f'{build}/mullion', *sorted(glob.glob('tests/system/*.py'))]:
        with open(path, 'rb') as f:
            digest.update(f.read())
    return digest.hexdigest()[:16]


def files_of(marks, options):
    """The files of tests that have one for these machines."""
    command = suite.pytest(marks, *options, '--collect-only', 'tests/system')
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    return sorted(set(re.findall(r'^(tests/system/\w+\.py)::', run.stdout.decode(), re.M)))


def jobs(build, options):
    """name -> command. A file of tests is one job on each machine: its tests share what they boot."""
    found = {}
    for path in sorted(glob.glob('tests/unit/test_*.c')):
        with open(path, encoding='utf-8') as f:
            if not options and re.search(r'^// libs:.*-pthread', f.read(), re.M):
                program = f'{build}/unit/{os.path.basename(path)[:-2]}'
                found[program] = ['sh', '-c', f'make -s --no-print-directory BUILD={build} {program} && {program}']
    bochs = [row.name for row in machines.for_tests() if row.emulator == 'bochs']
    for marks in ['not bochs', *bochs]:
        for path in files_of(marks, options):
            found[' '.join([path, f'-m "{marks}"', *options])] = suite.pytest(marks, *options, path)
    return found


def passes(build, name, command):
    start = time.monotonic()
    run = suite.run(build, command)
    good = run.returncode == 0
    say(f'{"ok    " if good else "FAILED"} {name} ({time.monotonic() - start:.0f} s)')
    if not good:
        say('\n'.join(run.stdout.decode('utf-8', 'replace').splitlines()[-80:]))
    return good


def main():
    build, options = sys.argv[1], sys.argv[2:]
    record, state = os.path.join(build, 'test-busy.txt'), state_of(build)
    done = set()
    if os.path.exists(record):
        with open(record, encoding='utf-8') as f:
            done = set(f.read().splitlines())
    todo = jobs(build, options)
    passed = failed = before = 0
    loops = [
        subprocess.Popen(['sh', '-c', 'while :; do :; done'], stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        for _ in range(LOOPS)
    ]
    try:
        for number in range(1, ROUNDS + 1):
            for name, command in todo.items():
                line = f'{state} {number} {name}'
                if line in done:
                    before += 1
                elif passes(build, f'{number}: {name}', command):
                    passed += 1
                    with open(record, 'a', encoding='utf-8') as f:
                        f.write(line + '\n')
                else:
                    failed += 1
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    say(f'{before} had passed before, {passed} passed, {failed} failed')
    return 1 if failed or not todo else 0


if __name__ == '__main__':
    sys.exit(main())
