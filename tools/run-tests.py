#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Everything `make test` checks, with one summary at its end: checks of the tree, unit tests, system tests.

    tools/run-tests.py BUILD [pytest options]"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import time


def say(text):
    print(text, flush=True)


def unit_tests(build):
    """(passed, failed) over all cmocka programs; a program that dies counts as one failure."""
    names = [os.path.basename(p)[:-2] for p in sorted(glob.glob('tests/unit/test_*.c'))]
    make = subprocess.run(
        ['make', '--no-print-directory', '-k', '-s', f'BUILD={build}', *[f'{build}/unit/{n}' for n in names]],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    passed = failed = 0
    for name in names:
        program = os.path.join(build, 'unit', name)
        if make.returncode and not os.path.exists(program):
            say(f'FAILED {name}: it does not build')
            failed += 1
            continue
        try:
            run = subprocess.run(
                [program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False
            )
            text, status = run.stdout.decode('utf-8', 'replace'), run.returncode
        except subprocess.TimeoutExpired:
            text, status = 'it took more than 300 s', -1
        good = sum(int(n) for n in re.findall(r'\[  PASSED  \] (\d+) test', text))
        bad = sum(int(n) for n in re.findall(r'\[  FAILED  \] [^\n]*?(\d+) test', text))
        if status and not bad:
            bad = 1
        passed, failed = passed + good, failed + bad
        say(f'{"FAILED" if bad else "ok    "} {name}: {good} passed' + (f', {bad} failed' if bad else ''))
        if bad:
            say('\n'.join(text.splitlines()[-40:]))
    return passed, failed


def step(name, command):
    start = time.monotonic()
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    say(f'{"ok    " if run.returncode == 0 else "FAILED"} {name} ({time.monotonic() - start:.0f} s)')
    if run.returncode:
        say('\n'.join(run.stdout.decode('utf-8', 'replace').splitlines()[-40:]))
    return (1, 0) if run.returncode == 0 else (0, 1)


def start_system_tests(build, options, log):
    command = [
        '/usr/bin/python3',
        '-m',
        'pytest',
        '-p',
        'no:cacheprovider',
        '-q',
        '--tb=short',
        '--durations=8',
        'tests/system',
        *options,
    ]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, 'BUILD': os.path.abspath(build), 'PYTHONDONTWRITEBYTECODE': '1'},
    )


def end_system_tests(name, process, log):
    """(passed, failed)"""
    status = process.wait()
    log.seek(0)
    text = log.read().decode('utf-8', 'replace')
    last = text.strip().splitlines()[-1] if text.strip() else ''
    counts = {word: int(n) for n, word in re.findall(r'(\d+) (passed|failed|errors?|skipped)', last)}
    passed = counts.get('passed', 0)
    failed = counts.get('failed', 0) + counts.get('error', 0) + counts.get('errors', 0)
    if status not in (0, 5) and not failed:
        failed = 1
    say(f'{"FAILED" if failed else "ok    "} system tests, {name}:')
    say(text)
    return passed, failed


def system_tests(build, options):
    """Bochs beside QEMU, each with one machine at a time."""
    runs = []
    for name, marks in (('Bochs (VT-x)', 'bochs'), ('QEMU (AMD-V)', 'not bochs')):
        log = tempfile.TemporaryFile()
        runs.append((name, start_system_tests(build, ['-m', marks, *options], log), log))
    results = [end_system_tests(*run) for run in reversed(runs)]
    return sum(p for p, _ in results), sum(f for _, f in results)


def main():
    build, options = sys.argv[1], sys.argv[2:]
    start = time.monotonic()
    results = []
    if not options:
        results.append(step('make tcb', ['make', '-s', 'tcb']))
        results.append(step('make check', ['make', '-s', 'check', f'BUILD={build}']))
        results.append(unit_tests(build))
    results.append(system_tests(build, options))
    passed, failed = sum(p for p, _ in results), sum(f for _, f in results)
    minutes, seconds = divmod(int(time.monotonic() - start), 60)
    say(f'after {minutes} min {seconds} s')
    say(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
