#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make isolation`: what Mullion promises to its guests, measured beside hostile neighbours, in Bochs (VT-x) and QEMU
(AMD-V). Each check has a bound; figures go to build/isolation.json. docs/guarantees.md, "The numbers", says what they
mean."""
import argparse
import datetime
import json
import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import accounts  # noqa: E402
import machines  # noqa: E402
import parts  # noqa: E402
import tables  # noqa: E402
from machines import Failure, bench, harness  # noqa: E402

# An interrupt's way through monitor and kernel is about 1,000 ticks. What may come before it: another guest's call that
# holds the kernel's lock, and a path that cannot be interrupted.
WAKE_DEDICATED_TICKS = 5_000
# The longest step is to zero 1 MiB, 131,072 stores; and half as much for what is before and behind it.
LONGEST_PATH_TICKS = 100_000


def say(text):
    print(f'[{datetime.datetime.now():%H:%M:%S}] {text}', flush=True)


def emulator_seconds():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


def most(values):
    values = [v for v in values if v is not None]
    return max(values) if values else None


def summary(p):
    """The figures that are promised, out of those of the parts; None: not known."""
    rows = [w for part in p.values() for w in part.get('wakes', ())]
    paths = {}
    for part in p.values():
        for what, ticks in part.get('paths', ()):
            paths[what] = max(ticks, paths.get(what, 0))
    longest = sorted(paths.items(), key=lambda x: -x[1])[:10]
    return {
        'share_error_pct': most(s['error_pct'] for part in p.values() for s in part.get('shares', ())),
        'cap_overrun_slices': most(c['worst_slices'] for part in p.values() for c in part.get('caps', ())),
        'cap_any_window_slices': most(c['any_window_slices'] for part in p.values() for c in part.get('caps', ())),
        'interference_pct': most(part['interference']['pct'] for part in p.values() if 'interference' in part),
        'accounts_gap_pct': most(part.get('gap_pct') for part in p.values()),
        'wake_worst_ticks_dedicated': most(w['worst'] for w in rows if w['where'] == 'dedicated'),
        'wake_worst_ticks_shared': most(w['worst'] for w in rows if w['where'] == 'shared'),
        'longest_ring0_path_ticks': longest[0][1] if longest else None,
        'audit_ticks': most(part.get('audit_ticks') for part in p.values()),
        'adversary_escapes': sum(part['escapes'] for part in p.values() if 'escapes' in part) if p else None,
        'longest_ring0_paths': longest,
    }


def flat(rows, key):
    values = [r[key] for r in rows if key in r]
    return max(values) / min(values) if values else None


def checks(p, s):
    """[(parts it needs, what, value, bound or None, it holds)]"""
    def least(what, needs, value, bound):
        return (needs, what, value, bound, value is not None and value <= bound)
    khz = most(part.get('khz') for part in p.values()) or 0
    everywhere = ('shared', 'dedicated', 'linux', 'flat')
    hostile = ('shared', 'dedicated', 'linux')
    rows = [w for part in p.values() for w in part.get('wakes', ())]
    found = [
        least('share_error_pct', ('shared',), s['share_error_pct'], 1),
        least('cap_overrun_slices', ('shared',), s['cap_overrun_slices'], 1),
        least('cap_any_window_slices', ('shared',), s['cap_any_window_slices'], 2),
        least('interference_pct', ('dedicated',), s['interference_pct'], 1),
        least('accounts_gap_pct', ('shared', 'dedicated'), s['accounts_gap_pct'], 0.1),
        least('wake_worst_ticks_dedicated', ('dedicated',), s['wake_worst_ticks_dedicated'], WAKE_DEDICATED_TICKS),
        least('wake_worst_ticks_shared', ('shared',), s['wake_worst_ticks_shared'], machines.LATENCY_PERIOD_MS * khz),
        least('wakes before their time', ('shared', 'dedicated'), sum(w['early'] for w in rows) if rows else None, 0),
        least('longest_ring0_path_ticks', everywhere, s['longest_ring0_path_ticks'], LONGEST_PATH_TICKS),
        least('adversary_escapes', hostile, s['adversary_escapes'], 0),
    ]
    for part in everywhere:
        word = p.get(part, {}).get('audit')
        found.append(((part,), f'audit after {part}', word, 'passed', word == 'passed'))
    for part in hostile:
        n = p.get(part, {}).get('attacks')
        found.append(((part,), f'attacks made in {part}, at least', n, 1, bool(n)))
    right = p.get('linux', {}).get('right_answers')
    found.append((('linux',), 'right answers of Linux', right and right.count(True), 3, right == [True] * 3))
    rows = p.get('flat', {}).get('rows', [])
    for key, bound in (('kernel_bytes', 1.0), ('switch', 1.2), ('exit', 1.1)):
        found.append(least(f'{key}: most / least, 1 to 32 guests', ('flat',), flat(rows, key), bound))
    return found


def run_part(on, part):
    """QEMU's counted clock stands still once in a hundred runs (tests/bench/growth.py), and its guests get lost now and
    then (docs/emulators.md): a machine that says nothing more is started anew there, twice. A figure is never taken
    anew."""
    attempts = 3 if on == 'qemu' else 1
    for attempt in range(1, attempts + 1):
        try:
            return parts.PARTS[part](on)
        except (Failure, accounts.Unknown) as e:
            say(f'{on}: {part}: {e}' + ('; once more' if attempt < attempts else ''))
    return None


def judge(on, p, s, ran):
    passed = failed = 0
    for needs, what, value, bound, holds in checks(p, s):
        if not set(needs) & set(ran):
            continue
        passed, failed = passed + holds, failed + (not holds)
        limit = f' (bound {bound:,})' if isinstance(bound, (int, float)) else ''
        shown = 'not known' if value is None else tables.cell(value)
        print(f'{"ok    " if holds else "FAILED"} {on}: {what}: {shown}{limit}')
    return passed, failed


def hostile_machines():
    """The names of machines that bear hostile guests."""
    table = bench.rows_of_machines
    return [n for n in table.NAMES if n != 'kvm' and 'hostile' not in table.find(n).lacks]


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument('--build', default=os.path.join(machines.ROOT, 'build'))
    a.add_argument(
        '--on',
        choices=hostile_machines(),
        metavar='NAME',
        help='one machine only: qemu, bochs, or another of docs/machines.md',
    )
    a.add_argument(
        '--part',
        action='append',
        choices=sorted(parts.PARTS),
        help='only these; the others keep what the last run wrote',
    )
    a.add_argument('--markdown', action='store_true', help='print the last results as docs/guarantees.md shows them')
    a = a.parse_args()
    harness.BUILD = os.path.join(machines.ROOT, a.build)
    path, results = os.path.join(harness.BUILD, 'isolation.json'), {}
    if os.path.exists(path):
        with open(path, encoding='utf-8') as f:
            results = json.load(f)
    if a.markdown:
        print(tables.markdown(results))
        return 0
    begin, passed, failed = time.monotonic(), 0, 0
    ran = a.part or list(parts.PARTS)
    for name in [a.on] if a.on else ['bochs', 'qemu']:
        on, key = bench.use(name)
        figures = results.get(key, {}).get('parts', {})
        for part in ran:
            figures.pop(part, None)
            since, burnt = time.monotonic(), emulator_seconds()
            say(f'{on}: {part}')
            found = run_part(on, part)
            if found is None:
                failed += 1
            else:
                figures[part] = found
            say(f'{on}: {part} took {time.monotonic() - since:.0f} s, {emulator_seconds() - burnt:.0f} s of CPU time')
            s = summary(figures)
            results[key] = {**s, 'machine': bench.CHOSEN[on], 'parts': figures}
            bench.save(path, key, results[key])
        good, bad = judge(on, figures, s, ran)
        passed, failed = passed + good, failed + bad
    print(tables.text(results))
    say(f'figures in {path}; it took {time.monotonic() - begin:.0f} s')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
