#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the models of this folder with spin, whole state spaces, and that each mutant in them is found.

    tests/model/run.py BUILD"""
import concurrent.futures
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# Not a fault, though it looks like one: the section keeps the thread until the wake-up is done.
HARMLESS = {'event': ['WAKE_AFTER_UNLOCK'], 'vcpu': []}


def check(build, model, define):
    """(name, errors, states, seconds, what was found)"""
    name = f'{model} {define}'.strip()
    folder = os.path.join(build, 'model', name.replace(' ', '-'))
    os.makedirs(folder, exist_ok=True)
    start = time.monotonic()
    source = os.path.join(HERE, f'{model}.pml')
    options = [f'-D{define}'] if define else []
    subprocess.run(['spin', *options, '-a', source], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    flags = ['-O0' if 'MUTANT' in define else '-O2', '-w', '-DSAFETY', '-DVECTORSZ=2048', '-DMEMLIM=3000']
    subprocess.run(['gcc', *flags, '-o', 'pan', 'pan.c'], cwd=folder, check=True)
    run = subprocess.run(['./pan', '-m100000', '-w22'], cwd=folder, check=False, stdout=subprocess.PIPE)
    text = run.stdout.decode()
    errors = re.search(r'errors: (\d+)', text)
    states = re.search(r'(\d+) states, stored', text)
    found = re.search(r'pan:1: (.*)', text)
    whole = 'Search not completed' not in text and 'max search depth too small' not in text
    count = int(errors.group(1)) if errors and (whole or int(errors.group(1))) else -1
    number = int(states.group(1)) if states else 0
    return name, count, number, time.monotonic() - start, found.group(1) if found else ''


def main():
    build, jobs = os.path.abspath(sys.argv[1]), []
    for model, harmless in HARMLESS.items():
        with open(os.path.join(HERE, f'{model}.pml'), encoding='utf-8') as f:
            mutants = sorted(set(re.findall(r'\bMUTANT_[A-Z_]*[A-Z]\b', f.read())))
        jobs += [(model, define) for define in ['', *harmless, *mutants]]
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, errors, states, seconds, found in pool.map(lambda job: check(build, *job), jobs):
            good = errors > 0 if 'MUTANT' in name else errors == 0
            bad += not good
            verdict = 'ok    ' if good else 'FAILED'
            print(f'{verdict} {name}: {errors} error(s), {states} states, {seconds:.0f} s {found}', flush=True)
    return bad > 0


if __name__ == '__main__':
    sys.exit(main())
