#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Small changes to the sources under unit tests, one at a time: which of them do the unit tests notice?

    UNIT_FLAGS=... UNIT_SANITIZER...=... ONLY=... tools/mutants.py BUILD N SEED JOBS [again]

Draws lines by SEED and one change on each (tools/mutate.py), until N count. What a change concerns is compiled, and the
unit tests that it concerns are linked and run, the short ones first, until one fails. A change does not count if it
does not compile, or if the compiler's -O2 makes the same object of it. All is done in BUILD/mutants, with a copy of the
tree. Results are kept there: a run that was stopped goes on, unless a file of the copy is another by now. Sources of
tests (vmm/test) are not changed; ONLY, a path's beginning, leaves out all others.

`again` tries once more what survived the last run, in the tree as it is. A survivor that
tests/unit/equivalent-mutants.txt names, with its reason, does not count."""
import collections
import concurrent.futures
import fcntl
import glob
import hashlib
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

import mutate
from host.emulator import die_with_parent

OF_TESTS = ('tests/', 'vmm/test/')
EQUIVALENT = 'tests/unit/equivalent-mutants.txt'
# A test may take so many times its usual CPU time, and so many seconds; of the clock's, which other work slows, more.
CPU_TIMES, CPU_SECONDS, CLOCK_TIMES, CLOCK_SECONDS = 3, 3, 20, 60
ENVIRONMENT = {**os.environ, 'CCACHE_DISABLE': '1', 'ASAN_OPTIONS': 'hard_rss_limit_mb=3000'}
SILENT = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
# One change to a line. `before` and `after` are that line without blanks around it.
Mutant = collections.namedtuple('Mutant', 'path line start end new before after')
Compiled = collections.namedtuple('Compiled', 'source flags sources')

stopped = threading.Event()
sys.stdout.reconfigure(line_buffering=True)


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


# ---- The copy.


def copy_tree(to):
    """Copies what git knows or would add; a digest of it. Files that are as they were stay untouched."""
    listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], stdout=subprocess.PIPE, check=True)
    digest, wanted = hashlib.sha256(), set()
    for path in sorted(listed.stdout.decode().splitlines()):
        if not os.path.isfile(path) or path.startswith('docs/') and not path.endswith('.mk'):
            continue
        wanted.add(path)
        with open(path, 'rb') as f:
            data = f.read()
        if path.endswith(('.c', '.h', '.toml', '.mk', '.txt', '.inc')) or path.startswith('tools/'):
            digest.update(path.encode() + b'\0' + data)
        target = os.path.join(to, path)
        if os.path.exists(target):
            with open(target, 'rb') as f:
                if f.read() == data:
                    continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, target)
        shutil.copymode(path, target)
    for folder, folders, names in os.walk(to):
        if folder == to and 'build' in folders:
            folders.remove('build')
        for name in names:
            path = os.path.join(folder, name)
            if os.path.relpath(path, to) not in wanted:
                os.remove(path)
    return digest.hexdigest()[:16]


# ---- What the rules of the unit tests say. Paths are the copy's, which is the working directory from here on.


def expand(text):
    """A make variable's value is in the environment."""
    while '$(' in text:
        text = re.sub(r'\$\((\w+)\)', lambda m: os.environ[m.group(1)], text)
    return text


def rules():
    """({test: (objects, linker's command but for -o and the objects)}, {object: Compiled})"""
    tests, objects = {}, {}
    lines = read('build/unit/rules.mk').splitlines()
    for i, line in enumerate(lines):
        if line.startswith('-include') or not re.match(r'build/unit/', line):
            continue
        target, needs = (part.strip() for part in line.split(':', 1))
        if target.endswith('.o'):
            source = needs.split('|')[0].strip()
            flags = shlex.split(expand(lines[i + 2]))
            depends = re.sub(r'\\\n', ' ', read(target[:-2] + '.d')).split('\n')[0].split(':')[1].split()
            sources = {os.path.normpath(p) for p in depends if p.endswith('.c') and not p.startswith(OF_TESTS)}
            flags = [f for f in flags if f not in ('-c', '$@', '$<', '-MMD', '-MP', '-o')]
            objects[target] = Compiled(source, flags, sources)
        else:
            command = [w for w in shlex.split(expand(lines[i + 1])) if w not in ('-o', '$@')]
            tests[target] = (needs.split(), command)
    return tests, objects


class Usual:
    """How long each test takes when nothing is changed: (CPU seconds, seconds). Kept until it is linked anew."""

    def __init__(self, path):
        self.path, self.times, self.kept = path, {}, {}
        if os.path.exists(path):
            self.kept = json.loads(read(path))

    def measure(self, tests, jobs):
        linked = {t: os.stat(t).st_mtime_ns for t in tests}
        todo = [t for t in tests if self.kept.get(t, [0])[0] != linked[t]]
        if todo:
            print(f'{len(todo)} unit tests run as they are, for their times')
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for test, (good, cpu, clock) in zip(todo, pool.map(lambda t: run_test(t, 600, 1200), todo)):
                if stopped.is_set():
                    sys.exit('stopped: the same command goes on')
                if not good:
                    sys.exit(f'{test} fails without a change: mend it first (`make unit`)')
                self.kept[test] = [linked[test], cpu, clock]
                write(self.path, json.dumps(self.kept))
        self.times = {t: self.kept[t][1:] for t in tests}


def run_test(program, cpu_limit, clock_limit):
    """(whether it passed, CPU seconds, seconds)"""

    def begin():
        die_with_parent()
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_limit) + 1, int(cpu_limit) + 2))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    start = time.monotonic()
    child = subprocess.Popen([program], **SILENT, env=ENVIRONMENT, preexec_fn=begin, start_new_session=True)
    pause, status, usage = 0.002, None, None
    while status is None:
        pid, status_now, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            status = status_now
        elif stopped.is_set() or time.monotonic() - start > clock_limit:
            os.killpg(child.pid, signal.SIGKILL)
            _, status, usage = os.wait4(child.pid, 0)
        else:
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
    child.returncode = os.waitstatus_to_exitcode(status)
    return status == 0, usage.ru_utime + usage.ru_stime, time.monotonic() - start


def quietly(command):
    return subprocess.run(command, **SILENT, env=ENVIRONMENT, check=False).returncode == 0


# ---- One mutant.


class Bench:
    """Tries mutants of the copy. `sources`: those that unit tests name."""

    def __init__(self, usual, tests, objects):
        self.usual, self.tests, self.objects = usual, tests, objects
        self.sources = sorted(set().union(*(o.sources for o in objects.values())))
        self.found_before = collections.Counter()
        self.plain, self.lock = {}, threading.Lock()

    def compile(self, obj, over, out, plain=False):
        """What lies below the folder `over` comes before the tree. plain: as the comparison wants it."""
        made = self.objects[obj]
        changed = os.path.join(over, made.source)
        flags = [f for f in made.flags[1:] if not (plain and f.startswith(('-fsanitize', '-g', '-fno-sanitize', '-O')))]
        if plain:
            flags.append('-O2')
        include = [f for f in ['-I' + over] if os.path.isdir(over)]
        what = changed if os.path.exists(changed) else made.source
        # The same name for both, in assertions that tell it.
        command = [made.flags[0], *include, *flags, '-w', f'-ffile-prefix-map={over}/=', '-c', '-o', out, what]
        return quietly(command)

    def same(self, mutant, objects, over, work):
        """None if it does not compile; whether -O2 makes the same of it."""
        for obj in objects:
            out = os.path.join(work, 'plain.o')
            key = (obj, mutant.path)
            with self.lock:
                original = self.plain.get(key)
            if original is None:
                if not self.compile(obj, os.path.join(work, 'nothing'), out, True):
                    sys.exit(f'{self.objects[obj].source} does not compile with -O2')
                with open(out, 'rb') as f:
                    original = hashlib.sha256(f.read()).digest()
                with self.lock:
                    self.plain[key] = original
            if not self.compile(obj, over, out, True):
                return None
            with open(out, 'rb') as f:
                if hashlib.sha256(f.read()).digest() != original:
                    return False
        return True

    def order(self, tests):
        """The tests that found most come first, then the short ones."""
        return sorted(tests, key=lambda t: (self.usual.times[t][0] / (1 + self.found_before[t]), t))

    def attempt(self, mutant, work):
        """'same', 'invalid', 'survived' or the name of the test that fails; None if stopped."""
        over = os.path.join(work, 'over')
        shutil.rmtree(work, ignore_errors=True)
        text = read(mutant.path)
        write(os.path.join(over, mutant.path), text[: mutant.start] + mutant.new + text[mutant.end :])
        objects = [o for o, made in self.objects.items() if mutant.path in made.sources]
        differs = {}
        for obj in objects:
            differs.setdefault(self.plain_flags(obj), obj)
        same = self.same(mutant, differs.values(), over, work)
        if same is not False:
            return 'same' if same else 'invalid'
        built = {}
        for test in self.order(t for t, (needs, _) in self.tests.items() if set(needs) & set(objects)):
            needs, command = self.tests[test]
            parts = []
            for obj in needs:
                if obj in objects and obj not in built:
                    built[obj] = os.path.join(work, f'{len(built)}.o')
                    if not self.compile(obj, over, built[obj]):
                        return 'invalid'
                parts.append(built.get(obj, obj))
            at = command.index('$^')
            program = os.path.join(work, os.path.basename(test))
            if not quietly([*command[:at], '-o', program, *parts, *command[at + 1 :]]):
                return 'invalid'
            cpu, clock = self.usual.times[test]
            good = run_test(program, CPU_TIMES * cpu + CPU_SECONDS, CLOCK_TIMES * clock + CLOCK_SECONDS)[0]
            if stopped.is_set():
                return None
            if not good:
                self.found_before[test] += 1
                return os.path.basename(test)
        return 'survived'

    def plain_flags(self, obj):
        made = self.objects[obj]
        return (made.source, *(f for f in made.flags if f.startswith(('-D', '-include')) or f.endswith('.h')))


# ---- Which mutants.


def mutants_of(path):
    text = read(path)
    lines, found = text.split('\n'), collections.defaultdict(list)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    for c in mutate.changes(text):
        at = c.line - 1
        changed = (text[: c.start] + c.new + text[c.end :]).split('\n')[at]
        found[c.line].append((c.kind, Mutant(path, c.line, c.start, c.end, c.new, lines[at].strip(), changed.strip())))
    return found


def drawn(sources, seed):
    """Mutants without end: a line, a kind of change on it, a change. No line comes twice."""
    rng = random.Random(seed)
    all_lines = [(path, line, of_line) for path in sources for line, of_line in sorted(mutants_of(path).items())]
    rng.shuffle(all_lines)
    for _, _, of_line in all_lines:
        kind = rng.choice(sorted({k for k, _ in of_line}))
        yield rng.choice([m for k, m in of_line if k == kind])


def found_again(kept):
    """The same changes in the tree as it is now; what has none any more is left out."""
    for path, line, before, after in kept:
        same = []
        if os.path.exists(path):
            same = [m for ms in mutants_of(path).values() for _, m in ms if (m.before, m.after) == (before, after)]
        if same:
            yield min(same, key=lambda m: abs(m.line - line))
        else:
            print(f'{path}:{line}: no longer there: {before}')


def known_equivalent():
    """{(path, before, after)}: blocks of `path: reason`, `- before`, `+ after`."""
    if not os.path.exists(EQUIVALENT):
        return set()
    blocks = re.findall(r'^([\w./]+\.c): .*\n(?:[^-+\n].*\n)*- (.*)\n\+ (.*)$', read(EQUIVALENT), re.M)
    return {(path, before.strip(), after.strip()) for path, before, after in blocks}


# ---- The run.


class Results:
    """A file of lines: which tree, then each mutant with what became of it."""

    def __init__(self, path, digest):
        self.path, self.all = path, []
        if os.path.exists(path):
            lines = read(path).splitlines()
            if lines and lines[0] == digest:
                self.all = [json.loads(line) for line in lines[1:]]
        if not self.all:
            write(path, digest + '\n')
        self.done = {tuple(r['mutant'][:5]): r['fate'] for r in self.all}

    def add(self, mutant, fate):
        record = {'mutant': list(mutant), 'fate': fate}
        self.all.append(record)
        with open(self.path, 'a', encoding='utf-8') as f:
            f.write(json.dumps(record) + '\n')


def counts(fate, mutant, known):
    return fate not in ('same', 'invalid') and not (fate == 'survived' and mutant in known)


def report(results, known, seconds):
    tried, killed, alive, dropped = collections.Counter(), collections.Counter(), [], collections.Counter()
    for r in results:
        path, line, _, _, _, before, after = r['mutant']
        if not counts(r['fate'], (path, before, after), known):
            dropped[r['fate']] += 1
            continue
        folder = os.path.dirname(path)
        tried[folder] += 1
        if r['fate'] == 'survived':
            alive.append((path, line, before, after))
        else:
            killed[folder] += 1
    print('\nSurvivors:' if alive else '')
    for path, line, before, after in sorted(alive):
        print(f'{path}:{line}\n    - {before}\n    + {after}')
    print('\nkilled, by folder:')
    for folder in sorted(tried):
        share = 100 * killed[folder] / tried[folder]
        print(f'  {folder:<20} {killed[folder]:4} of {tried[folder]:4}  {share:4.0f} %')
    all_tried, all_killed = sum(tried.values()), sum(killed.values())
    share = 100 * all_killed / all_tried if all_tried else 0
    print(f'not counted: {dropped["same"]} make the same object, {dropped["invalid"]} do not compile', end='')
    print(f', {dropped["survived"]} are known')
    print(f'{all_killed} of {all_tried} changes noticed ({share:.1f} %), {len(alive)} survived; {seconds / 60:.0f} min')


def try_all(bench, wanted, results, known, number, jobs):
    """Tries mutants until `number` of them count, `jobs` at a time."""
    free = [os.path.abspath(os.path.join('..', f'work-{n}')) for n in range(jobs)]
    lock = threading.Lock()
    counted, waiting = 0, {}

    def one(mutant):
        with lock:
            work = free.pop()
        try:
            return bench.attempt(mutant, work)
        finally:
            with lock:
                free.append(work)

    def take(future):
        mutant, fate = waiting.pop(future), future.result()
        if fate is None:
            return 0
        results.add(mutant, fate)
        if fate == 'survived':
            print(f'{mutant.path}:{mutant.line} survived: {mutant.after}')
        return int(counts(fate, (mutant.path, mutant.before, mutant.after), known))

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for mutant in wanted:
            fate = results.done.get(tuple(mutant[:5]))
            if fate is not None:
                counted += counts(fate, (mutant.path, mutant.before, mutant.after), known)
            elif counted + len(waiting) < number:
                waiting[pool.submit(one, mutant)] = mutant
            while len(waiting) >= jobs or (waiting and counted + len(waiting) >= number):
                for future in concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)[0]:
                    counted += take(future)
            if stopped.is_set() or counted >= number:
                break
        for future in list(waiting):
            take(future)


def main():
    build, number, seed, jobs, again = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5:]
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    start = time.monotonic()
    place = os.path.abspath(os.path.join(build, 'mutants'))
    os.makedirs(place, exist_ok=True)
    alone = open(os.path.join(place, 'lock'), 'w', encoding='utf-8')
    try:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f'{place} is in use: another run goes on there')
    digest = copy_tree(os.path.join(place, 'tree'))
    os.chdir(os.path.join(place, 'tree'))
    tests = [t[: -len('.c')].replace('tests', 'build', 1) for t in sorted(glob.glob('tests/unit/test_*.c'))]
    print(f'the copy in {place} is built')
    command = ['make', '-s', f'-j{jobs}', 'BUILD=build', *tests]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
        sys.exit('the unit tests do not build: `make unit` says more')
    linked, objects = rules()
    usual = Usual(os.path.join(place, 'times.json'))
    usual.measure(linked, jobs)
    bench, known = Bench(usual, linked, objects), known_equivalent()
    if again:
        last = max(glob.glob('../results-*.txt'), key=os.path.getmtime)
        kept = [json.loads(line) for line in read(last).splitlines()[1:]]
        kept = [[m[0], m[1], m[5], m[6]] for m in (r['mutant'] for r in kept if r['fate'] == 'survived')]
        results, wanted, number = Results('../again.txt', digest), list(found_again(kept)), len(kept)
    else:
        only = os.environ.get('ONLY', '')
        results = Results(f'../results-{seed}{only and "-"}{only.replace("/", "-")}.txt', digest)
        wanted = drawn([path for path in bench.sources if path.startswith(only)], seed)
    try_all(bench, wanted, results, known, number, jobs)
    report(results.all, known, time.monotonic() - start)
    if stopped.is_set():
        print('stopped: the same command goes on')
    return 1 if stopped.is_set() else 0


if __name__ == '__main__':
    sys.exit(main())
