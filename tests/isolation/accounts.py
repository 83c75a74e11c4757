# SPDX-License-Identifier: Apache-2.0
"""The shell's commands `accounts` and `paths`, as numbers. Everything that knows what they print is here.

`accounts` books every tick of each CPU to one account; a vCPU's account is also told apart into guest and exits by
reason:

    accounts: cpu 1 tsc 123456789
    accounts: cpu 1 idle 1234
    accounts: cpu 1 service root 1234
    accounts: cpu 1 guest web devices 1234
    accounts: cpu 1 guest web vcpu 0 1234
    accounts: cpu 1 guest web vcpu 0 guest 1100
    accounts: cpu 1 guest web vcpu 0 exit port 100

`paths` tells the longest stretches of ring 0 with interrupts off since boot:

    paths: destroy 131234 on cpu 0
"""
import re

ACCOUNT = re.compile(
    r'accounts: cpu (?P<cpu>\d+) (?P<account>tsc|idle|kernel|gone|service \S+|guest \S+ devices|guest \S+ vcpu \d+)'
    r'(?P<detail> guest| exit \S+)? (?P<ticks>\d+)$'
)
PATH = re.compile(r'paths: (?P<what>\S+) (?P<ticks>\d+) on cpu (?P<cpu>\d+)$')


class Unknown(Exception):
    """The shell has no such command, or says nothing that can be understood."""


class Accounts:
    """tsc: {cpu: ticks}; accounts: {cpu: {'idle': ticks, 'service root': .., 'guest web vcpu 0': ..}}; details: the
    same for the parts of a vCPU's account, {cpu: {'guest web vcpu 0': {'guest': .., 'exit port': ..}}}."""

    def __init__(self):
        self.tsc, self.accounts, self.details = {}, {}, {}

    def __sub__(self, earlier):
        """What was booked between two readings. An account that was not there before began with nothing."""
        d = Accounts()
        for cpu, tsc in self.tsc.items():
            if cpu not in earlier.tsc:
                raise Unknown(f'CPU {cpu} is in one reading of the accounts only')
            d.tsc[cpu] = tsc - earlier.tsc[cpu]
            old = earlier.accounts[cpu]
            # A thread that is gone meanwhile is in `gone` from then on: its old ticks must not be lost.
            names = list(self.accounts[cpu]) + [n for n in old if n not in self.accounts[cpu]]
            d.accounts[cpu] = {n: self.accounts[cpu].get(n, 0) - old.get(n, 0) for n in names}
            d.details[cpu] = {
                n: {k: v - earlier.details[cpu].get(n, {}).get(k, 0) for k, v in parts.items()}
                for n, parts in self.details[cpu].items()
            }
        return d

    def of_guest(self, guest, vcpu=0):
        """(cpu, ticks) of one vCPU."""
        name = f'guest {guest} vcpu {vcpu}'
        for cpu, accounts in self.accounts.items():
            if name in accounts:
                return cpu, accounts[name]
        raise Unknown(f'the accounts have no {name}')

    def share_pct(self, guest):
        """Of its CPU's time, what a guest with a share had: its vCPU and its devices live on one budget."""
        cpu, ticks = self.of_guest(guest)
        return 100 * (ticks + self.accounts[cpu][f'guest {guest} devices']) / self.tsc[cpu]

    def gap_pct(self):
        """The worst CPU's difference between its clock and the sum of its accounts."""
        return max(100 * abs(tsc - sum(self.accounts[cpu].values())) / tsc for cpu, tsc in self.tsc.items())

    def kinds(self, cpu):
        """A CPU's accounts by kind, for a table: {'idle': .., 'kernel': .., 'services': .., 'devices': .., 'guests':
        ..}"""
        sums = {}
        for name, ticks in self.accounts[cpu].items():
            kind = ('services' if name.startswith('service ') else 'devices' if re.fullmatch(r'guest \S+ devices', name)
                    else 'guests' if name.startswith('guest ') else name)
            sums[kind] = sums.get(kind, 0) + ticks
        return sums


def parse_accounts(text):
    """Of the shell's answer; other lines among it are passed over, but a line of the accounts that is not understood is
    not."""
    read = Accounts()
    for line in text.splitlines():
        if not line.startswith('accounts: '):
            continue
        m = ACCOUNT.match(line)
        if not m:
            raise Unknown(f'a line of the accounts that cannot be read: {line!r}')
        cpu, account, ticks = int(m['cpu']), m['account'], int(m['ticks'])
        if account == 'tsc':
            read.tsc[cpu] = ticks
            continue
        accounts, details = read.accounts.setdefault(cpu, {}), read.details.setdefault(cpu, {})
        if m['detail']:
            parts = details.setdefault(account, {})
            parts[m['detail'].strip()] = parts.get(m['detail'].strip(), 0) + ticks
        else:
            accounts[account] = accounts.get(account, 0) + ticks
    if not read.tsc or set(read.tsc) != set(read.accounts):
        raise Unknown('the shell has told no accounts')
    return read


def parse_paths(text):
    """[(what, ticks)], longest first."""
    found = []
    for line in text.splitlines():
        if not line.startswith('paths: '):
            continue
        m = PATH.match(line)
        if not m:
            raise Unknown(f'a path that cannot be read: {line!r}')
        found.append((m['what'], int(m['ticks'])))
    if not found:
        raise Unknown('the shell has told no paths')
    return sorted(found, key=lambda x: -x[1])


def ask(machine, command):
    """What the shell answers, to its end; guests' lines may be among it."""
    machine.settle(0.1)
    machine.asked += 1
    machine.type(f'{command}\rend{machine.asked}\r')
    start = machine.mark
    end = machine.wait(f"Unknown command 'end{machine.asked}'", 60).start()
    return machine.text[start:end]


def read_accounts(machine):
    return parse_accounts(ask(machine, 'accounts'))


def read_paths(machine):
    return parse_paths(ask(machine, 'paths'))
