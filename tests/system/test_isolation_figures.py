# SPDX-License-Identifier: Apache-2.0
"""The isolation suite's reading of the shell's answers, and its sums, on sample text. No machine is started; the suite
itself is `make isolation`."""
import os
import sys

import pytest

from harness import ROOT

sys.path.insert(0, os.path.join(ROOT, 'tests', 'isolation'))
import isolation  # noqa: E402
import accounts  # noqa: E402
import tables  # noqa: E402

pytestmark = pytest.mark.qemu



def lines(cpu, figures):
    """The lines of `accounts` for one CPU."""
    return ''.join(f'accounts: cpu {cpu} {figure.strip()}\n' for figure in figures.split(','))


FIRST = (
    'mullion> accounts\n'
    + lines(0, 'tsc 1000000, idle 700000, kernel 100000, gone 0, service root 150000, service console 50000')
    + '[web] accounts: cpu 0 idle 5\n'
    + lines(1, 'tsc 1000100, idle 400000, kernel 100, gone 0, guest web devices 100000, guest web vcpu 0 250000')
    + lines(1, 'guest web vcpu 0 guest 200000, guest web vcpu 0 exit start 40000, guest web vcpu 0 exit port 10000')
    + lines(1, 'guest vcpu vcpu 1 250000')
    + 'mullion> '
)
SECOND = (
    lines(0, 'tsc 3000000, idle 2600000, kernel 120000, gone 0, service root 200000, service console 80000')
    + lines(1, 'tsc 3000100, idle 900000, kernel 100, gone 260000, guest web devices 139000, guest web vcpu 0 750000')
    + lines(1, 'guest web vcpu 0 guest 690000, guest web vcpu 0 exit start 40000, guest web vcpu 0 exit port 12000')
    + lines(1, 'guest web vcpu 0 exit cr-write 8000, guest new vcpu 0 950000')
)


def test_accounts_are_read():
    one = accounts.parse_accounts(FIRST)
    assert one.tsc == {0: 1000000, 1: 1000100}
    assert one.accounts[0] == {
        'idle': 700000,
        'kernel': 100000,
        'gone': 0,
        'service root': 150000,
        'service console': 50000,
    }
    assert one.of_guest('web') == (1, 250000) and one.of_guest('vcpu', 1) == (1, 250000)
    assert one.details[1] == {'guest web vcpu 0': {'guest': 200000, 'exit start': 40000, 'exit port': 10000}}
    assert one.gap_pct() == 0


def test_what_lies_between_two_readings():
    d = accounts.parse_accounts(SECOND) - accounts.parse_accounts(FIRST)
    assert d.tsc == {0: 2000000, 1: 2000000}
    assert d.share_pct('web') == pytest.approx(25 + 1.95)  # its vCPU and its devices
    assert d.details[1]['guest web vcpu 0'] == {
        'guest': 490000,
        'exit start': 0,
        'exit port': 2000,
        'exit cr-write': 8000,
    }
    # The guest `vcpu` has ended: what it had is in `gone`, with 10,000 more.
    assert d.accounts[1]['guest vcpu vcpu 1'] == -250000 and d.accounts[1]['gone'] == 260000
    assert d.kinds(1) == {
        'idle': 500000,
        'kernel': 0,
        'gone': 260000,
        'devices': 39000,
        'guests': 500000 + 950000 - 250000,
    }
    assert d.gap_pct() == pytest.approx(100 * 1000 / 2000000)  # of CPU 1; CPU 0's books balance
    with pytest.raises(accounts.Unknown):
        d.share_pct('nobody')


@pytest.mark.parametrize('text', ['', "Unknown command 'accounts'", 'accounts: cpu 0 idle 5', 'accounts: cpu 0 tsc 5',
                                  SECOND + 'accounts: cpu 0 something 5\n', SECOND + 'accounts: cpu 0 idle many\n'])
def test_no_accounts_are_no_figure(text):
    with pytest.raises(accounts.Unknown):
        accounts.parse_accounts(text)


PATHS = '''mullion> paths
paths: destroy 131297 on cpu 0
[a] paths: nothing 1 on cpu 0
paths: interrupt-in-ring-3 37012 on cpu 1
paths: host-exit 19155 on cpu 1
mullion> '''


def test_paths_are_read():
    assert accounts.parse_paths(PATHS) == [('destroy', 131297), ('interrupt-in-ring-3', 37012), ('host-exit', 19155)]
    for text in ("Unknown command 'paths'", PATHS + '\npaths: call map 900\n'):
        with pytest.raises(accounts.Unknown):
            accounts.parse_paths(text)


def figures():
    wake = {
        'where': 'shared',
        'beside': 'adversaries',
        'wakes': 9,
        'least': 1,
        'median': 2,
        'p99': 3,
        'worst': 4,
        'early': 0,
    }
    ends = {'audit': 'passed', 'audit_ticks': 7, 'escapes': 0, 'attacks': 14, 'gap_pct': 0.05}
    return {
        'shared': {
            **ends,
            'khz': 1000,
            'shares': [{'guest': 'a', 'percent': 10, 'period_ms': 3, 'got': 10.05, 'error_pct': 0.5}],
            'caps': [
                {
                    'guest': 'a',
                    'percent': 10,
                    'slice': 300,
                    'worst_slices': 0.9,
                    'any_window_slices': 1.9,
                    'windows_of_runs': 5,
                }
            ],
            'wakes': [wake],
            'paths': [('destroy', 100), ('exit', 50)],
        },
        'dedicated': {
            **ends,
            'khz': 1000,
            'wakes': [{**wake, 'where': 'dedicated', 'worst': 3}],
            'paths': [('exit', 70)],
            'interference': {
                'alone': {'mean': 100, 'most': 101, 'rounds': 2},
                'beside': {'mean': 100.5, 'most': 102, 'rounds': 2},
                'pct': 0.5,
            },
        },
        'linux': {**ends, 'right_answers': [True] * 3},
        'flat': {**ends, 'rows': [{'guests': 1, 'kernel_bytes': 8, 'exit': 100},
                                  {'guests': 32, 'kernel_bytes': 8, 'exit': 100, 'switch': 9}]},
    }


def broken(p):
    return sorted(what for _, what, _, _, holds in isolation.checks(p, isolation.summary(p)) if not holds)


def test_all_is_well():
    p = figures()
    assert broken(p) == []
    s = isolation.summary(p)
    assert s['longest_ring0_paths'] == [('destroy', 100), ('exit', 70)] and s['longest_ring0_path_ticks'] == 100
    assert s['wake_worst_ticks_shared'] == 4 and s['wake_worst_ticks_dedicated'] == 3
    text = tables.text({'vmx': {**s, 'parts': p}, 'svm': {**s, 'parts': p}})
    assert 'share_error_pct' in text and tables.markdown({'vmx': {**s, 'parts': p}}).count('| destroy |') == 1


@pytest.mark.parametrize('part, key, value, what', [
    ('shared', 'gap_pct', 0.11, 'accounts_gap_pct'),
    ('dedicated', 'audit', 'FAILED, 1 violation', 'audit after dedicated'),
    ('linux', 'escapes', 1, 'adversary_escapes'),
    ('linux', 'right_answers', [True, False, True], 'right answers of Linux'),
    ('shared', 'attacks', 0, 'attacks made in shared, at least'),
])
def test_what_is_broken_is_told(part, key, value, what):
    p = figures()
    p[part][key] = value
    assert broken(p) == [what]


def test_what_is_not_known_does_not_pass():
    assert broken({}) == sorted(what for _, what, _, _, _ in isolation.checks({}, isolation.summary({})))
    p = figures()
    p['shared']['shares'][0]['error_pct'] = 1.01
    p['shared']['caps'][0]['worst_slices'] = 1.01
    p['shared']['caps'][0]['any_window_slices'] = 2.01
    p['shared']['wakes'][0]['worst'] = 10001
    p['dedicated']['interference']['pct'] = 1.01
    assert broken(p) == [
        'cap_any_window_slices',
        'cap_overrun_slices',
        'interference_pct',
        'share_error_pct',
        'wake_worst_ticks_shared',
    ]
