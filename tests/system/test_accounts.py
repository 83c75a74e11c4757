# SPDX-License-Identifier: Apache-2.0
"""Where every tick goes: `top`, `accounts` and `paths`, with guests that always want their CPU; and what shares and
borrowing make of that."""
import os
import re

import pytest

from harness import ROOT, Box, guest

# How far clocks that are read one after the other may be apart: QEMU's go on in real time, however busy its host is.
GAP_PCT = {'bochs': 0.1, 'qemu': 2.0}
CONF = ('[host]\nconsole = serial\n\n'
        + guest('lender', 'tiny.elf', 'share = 50% of cpu 1')
        + guest('borrower', 'burner.elf', 'share = 20% of cpu 1', cmdline='share=20 period=10000', borrow='yes')
        + guest('capped', 'burner.elf', 'share = 10% of cpu 1, every 4ms', cmdline='share=10 period=4000'))


@pytest.fixture(scope='module')
def box(on):
    with Box(CONF, on=on, cpus=2) as b:
        b.wait_all([rf'guest {name}: runs' for name in ('borrower', 'capped')], 60)
        b.settle()
        yield b
        print(b.text)


def read_accounts(box):
    """{cpu: {account: ticks}}"""
    box.mark = len(box.text)
    box.type('accounts\rend\r')
    end = box.wait("Unknown command 'end'", 30).start()
    accounts = {}
    for cpu, what, ticks in re.findall(
        r'^accounts: cpu (\d+) (.*) (\d+)\n', box.text[:end][box.text.rfind('mullion> accounts', 0, end) :], re.M
    ):
        accounts.setdefault(int(cpu), {})[what] = int(ticks)
    return accounts


def parts(accounts):
    """What must add up to the CPU's clock: not what a vCPU's account is made of."""
    return {k: v for k, v in accounts.items() if k != 'tsc' and not re.search(r' vcpu \d+ (guest|exit)', k)}


@pytest.fixture(scope='module')
def looks(box):
    first = read_accounts(box)
    box.shell('top 2', r'WHO')  # two seconds
    box.wait(r'WHO', 30)
    box.settle(1)
    return first, read_accounts(box)


def test_every_tick_is_booked(box, looks):
    first, second = looks
    assert sorted(first) == sorted(second) == [0, 1]
    for cpu in (0, 1):
        clock = second[cpu]['tsc'] - first[cpu]['tsc']
        assert clock > 0
        gone = sum(parts(second[cpu]).values()) - sum(parts(first[cpu]).values())
        assert abs(clock - gone) < clock * GAP_PCT[box.on] / 100, (cpu, clock, gone)
        for what, ticks in parts(first[cpu]).items():
            assert second[cpu][what] >= ticks


def test_an_account_is_its_guest_and_its_exits(looks):
    for name in ('borrower', 'capped', 'lender'):
        a = looks[1][1]
        vcpu = a[f'guest {name} vcpu 0']
        exits = sum(v for k, v in a.items() if k.startswith(f'guest {name} vcpu 0 exit '))
        assert 0 < exits <= vcpu and a[f'guest {name} vcpu 0 guest'] == vcpu - exits
        assert a[f'guest {name} vcpu 0 exit start'] > 0


@pytest.mark.needs('preempt')
def test_shares_and_borrowing(box, looks):
    """The lender sleeps: the borrower has what no other wants, a capped guest its share and no more."""
    first, second = (x[1] for x in looks)
    clock = second['tsc'] - first['tsc']

    def percent(name):
        return (
            100 * sum(second[k] - first[k] for k in first if re.fullmatch(rf'guest {name} (vcpu 0|devices)', k)) / clock
        )

    assert percent('lender') < 5
    if box.on == 'qemu':  # its clock goes on while it does not run: only the order says something
        assert percent('capped') < 30 < percent('borrower')
        return
    assert abs(percent('capped') - 10) < 0.1
    assert percent('borrower') > 85
    assert 100 * (second['idle'] - first['idle']) / clock < 1


def test_top_says_it_in_percent(box):
    box.shell('top 1', r'CPU +WHO +ALL +GUEST +EXITS')
    box.wait(r'^ +1 +borrower +[5-9]\d\.\d% +[4-9]\d\.\d% +\d+\.\d%', 30)
    box.wait(r'^mullion> ', 30)


def test_top_ends_with_a_key(box):
    box.settle()
    box.type('top\r')
    box.wait(r'WHO', 30)
    box.wait(r'WHO', 30)
    box.type('q')
    box.wait(r'^mullion> ', 30)
    box.shell('list', r'^lender +running')


def test_paths(box):
    box.settle()
    box.type('paths\rend\r')
    box.wait("Unknown command 'end'", 30)
    rows = re.findall(r'^paths: (\S+) (\d+) on cpu (\d+)\n', box.text, re.M)
    assert 3 <= len(rows) <= 10
    assert [int(r[1]) for r in rows] == sorted((int(r[1]) for r in rows), reverse=True)
    names = set(re.findall(r'^name = "(\w+)"', open(os.path.join(ROOT, 'include/mullion/calls.toml')).read(), re.M))
    names |= set(
        re.findall(
            r'case PATH_\w+: return "([a-z0-9-]+)"', open(os.path.join(ROOT, 'services/console/show_accounts.c')).read()
        )
    )
    assert all(r[0] in names and int(r[1]) > 0 and int(r[2]) < 2 for r in rows)
    # QEMU's clock goes on while its host runs something else: there any path may have been a long one
    if box.on == 'bochs':
        assert {'log', 'map'} & {r[0] for r in rows}
        assert all(int(r[1]) <= 100_000 for r in rows), rows  # docs/guarantees.md


def test_gone_threads_keep_their_ticks(box):
    before = read_accounts(box)[1]
    box.shell('stop capped now', 'capped is stopped')
    box.wait_state('capped', 'off')
    box.rest(0.2)
    after = read_accounts(box)[1]
    assert after['gone'] - before['gone'] >= before['guest capped vcpu 0']
    assert 'guest capped vcpu 0' not in after


PLACED = ('[host]\nservice-cpus = 0,1\n\n'
          + guest('own', 'tiny.elf', 'cpus = 1')
          + guest('part', 'tiny.elf', 'share = 20% of cpu 0'))


@pytest.mark.qemu
def test_services_on_their_cpus():
    """`service-cpus = 0,1`: root and the console on CPU 0, the checker on CPU 1, and the log says which guest shares
    what."""
    with Box(PLACED, cpus=2) as box:
        box.wait_all([rf'\[{name}\] tiny ready' for name in ('own', 'part')], 60)
        box.settle()
        assert re.search(
            r'^\[mullion\] guest own shares CPU 1 with services, which come first there: audit', box.text, re.M
        )
        assert re.search(
            r'^\[mullion\] guest part shares CPU 0 with services, which come first there: root, console',
            box.text,
            re.M,
        )
        box.shell('audit', r'^audit: passed', 30)
        accounts = read_accounts(box)
        for cpu, here, away in ((0, ('root', 'console'), ('audit',)), (1, ('audit',), ('root', 'console'))):
            assert all(accounts[cpu][f'service {name}'] > 0 for name in here)
            assert not any(f'service {name}' in accounts[cpu] for name in away)
        before = accounts[1]['service audit']
        box.shell('audit', r'^audit: passed', 30)
        assert read_accounts(box)[1]['service audit'] > before
