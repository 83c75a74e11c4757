#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Everything `make test` checks, with one summary at its end: checks of the tree, unit tests, system tests.

    tools/run-tests.py BUILD [--short] [pytest options]

--short: both compilers, unit tests, and the system tests marked `short`. With TOTALS=FILE in the environment the
summary goes to the end of that file (.ci/run)."""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

from host import machines, suite


def say(text):
    print(text, flush=True)


def unit_tests(build):
    """(passed, failed) over all cmocka programs; a program that dies counts as one failure."""
    names = [os.path.basename(p)[:-2] for p in sorted(glob.glob('tests/unit/test_*.c'))]
    programs = [f'{build}/unit/{n}' for n in names]
    make = subprocess.run(
        ['make', '--no-print-directory', '-k', '-s', f'-j{os.cpu_count()}', f'BUILD={build}', *programs],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    passed = failed = 0
    for name in names:
        program = os.path.join(build, 'unit', name)
        if make.returncode and subprocess.run(['make', '-q', '-s', f'BUILD={build}', program], check=False).returncode:
            say(f'FAILED {name}: it does not build')
            failed += 1
            continue
        try:
            run = subprocess.run(
                [program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=300,
                check=False,
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
    run = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    say(f'{"ok    " if run.returncode == 0 else "FAILED"} {name} ({time.monotonic() - start:.0f} s)')
    if run.returncode:
        say('\n'.join(run.stdout.decode('utf-8', 'replace').splitlines()[-40:]))
    return (1, 0) if run.returncode == 0 else (0, 1)


def system_tests_of(build, title, marks, options):
    """One run of pytest: (passed, failed)."""
    start = time.monotonic()
    run = suite.run(build, suite.pytest(marks, '--durations=8', 'tests/system', *options))
    text = run.stdout.decode('utf-8', 'replace')
    last = text.strip().splitlines()[-1] if text.strip() else ''
    counts = {word: int(n) for n, word in re.findall(r'(\d+) (passed|failed|errors?|skipped)', last)}
    passed = counts.get('passed', 0)
    failed = counts.get('failed', 0) + counts.get('error', 0) + counts.get('errors', 0)
    if run.returncode not in (0, 5) and not failed:
        failed = 1
    say(f'{"FAILED" if failed else "ok    "} system tests, {title} ({time.monotonic() - start:.0f} s):\n{text}')
    return passed, failed


def system_tests(build, options, short):
    """Two machines at a time, the slow ones first. What needs no machine, or names none, runs beside QEMU. The short
    part leaves out machines whose known fault can cost a Linux an interrupt: what fails there now and then says
    nothing."""
    rows = machines.for_tests()
    if short and any(row.lost for row in rows):
        say('left out of the short part: ' + ', '.join(row.name for row in rows if row.lost))
        rows = [row for row in rows if not row.lost]
    jobs = [(row, row.name) for row in rows if row.emulator == 'bochs'] + [(machines.find('qemu'), 'not bochs')]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = []
        for row, marks in jobs:
            marks = f'({marks}) and short' if short else marks
            runs.append(pool.submit(system_tests_of, build, f'{row.title} ({row.vendor})', marks, options))
        results = [run.result() for run in runs]
    return sum(p for p, _ in results), sum(f for _, f in results)


def debian():
    with open('/etc/os-release', encoding='utf-8') as f:
        return re.search(r'^PRETTY_NAME="?([^"\n]*)', f.read(), re.M).group(1)


def summary(passed, failed, start):
    """The last line; or, in a run that is one of several, a line of the file whose lines are added up."""
    minutes, seconds = divmod(int(time.monotonic() - start), 60)
    say(f'{debian()}: after {minutes} min {seconds} s')
    if os.environ.get('TOTALS'):
        with open(os.environ['TOTALS'], 'a', encoding='ascii') as f:
            f.write(f'{passed} {failed}\n')
        say(f'{debian()}: {passed} have passed and {failed} have failed')
    else:
        say(f'{passed} passed, {failed} failed')


def main():
    build, options = sys.argv[1], sys.argv[2:]
    short = '--short' in options
    options = [x for x in options if x != '--short']
    start = time.monotonic()
    results = []
    if short:
        results.append(step('both compilers', ['make', '-s', 'check', f'BUILD={build}', 'CHECKS=gcc clang']))
    elif not options:
        results.append(step('make tcb', ['make', '-s', 'tcb']))
        results.append(step('make model', ['make', '-s', 'model', f'BUILD={build}']))
        results.append(step('make check', ['make', '-s', 'check', f'BUILD={build}']))
    if not options:
        results.append(unit_tests(build))
    results.append(system_tests(build, options, short))
    passed, failed = sum(p for p, _ in results), sum(f for _, f in results)
    summary(passed, failed, start)
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
