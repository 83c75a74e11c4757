# SPDX-License-Identifier: Apache-2.0
"""The machines that Mullion is tested on: the one table. ./mullion run --on, the system tests, the benchmark and
docs/machines.md all go by it."""
import dataclasses
import functools
import os
import re
import shutil
import subprocess

from .conf import UsageError

COMMAND = {'qemu': 'qemu-system-x86_64', 'bochs': 'bochs', 'kvm': 'qemu-system-x86_64'}
TITLE = {'qemu': 'QEMU', 'bochs': 'Bochs', 'kvm': 'KVM'}


@dataclasses.dataclass(frozen=True)
class Row:
    """One machine. versions: of the emulator, (first, first that is too new).
    lacks: words of NEEDS; a system test that needs one (the mark `needs`) leaves the machine out.
    lost: what a Linux writes when the emulator's known fault has cost it an interrupt."""

    name: str
    emulator: str
    versions: tuple
    model: str
    vendor: str
    debian: str
    can: str
    cannot: str
    lacks: frozenset = frozenset()
    lost: str = ''

    @property
    def title(self):
        return f'{TITLE[self.emulator]} {self.versions[0]} {self.model}'

    def versions_in_words(self):
        first, end = self.versions
        if self.versions == ANY:
            return ''
        if end == LATEST:
            return f' {first} or later'
        return f' {first}' if end == first + 1 else f' {first} to {end - 1}'


LATEST = 1000
# docs/emulators.md, "virtual interrupts that come too early".
TIMER_LOST = "rcu_preempt kthread timer wakeup didn't happen"
ANY = (0, LATEST)
# What a test may need: `hostile`, guests that do what no operating system does; `preempt`, that a guest which computes
# with its interrupts off is taken from its CPU; `stepping`, that a guest may single-step itself.
NEEDS = ('hostile', 'preempt', 'stepping')

# The first row of an emulator that fits the installed version is what its bare name (`qemu`, `bochs`) stands for.
ROWS = (
    Row(
        'qemu7',
        'qemu',
        (7, 10),
        'max',
        'AMD-V',
        '12',
        'The fastest. UEFI, up to 255 CPUs, a screen, RAM that a test can read.',
        'No x2APIC, next-RIP, decode assists, AVIC or PCID. Its clock counts instructions with one CPU only.',
    ),
    Row(
        'qemu10',
        'qemu',
        (10, LATEST),
        'max',
        'AMD-V',
        '13',
        'As qemu7, and x2APIC for the host.',
        'No next-RIP, decode assists, AVIC or PCID. Its clock counts instructions with one CPU only.',
    ),
    Row(
        'bochs2',
        'bochs',
        (2, 3),
        'corei7_skylake_x',
        'VT-x',
        '12',
        'Strict checks at VM entry. Virtual-interrupt delivery. Its clock counts instructions with several CPUs.',
        'No posted interrupts, UEFI or MSI. Slow: 70 to 85 million instructions a second, however many CPUs.',
    ),
    Row(
        'bochs3',
        'bochs',
        (3, LATEST),
        'corei7_skylake_x',
        'VT-x',
        '13',
        'As bochs2.',
        'As bochs2.',
        lost=TIMER_LOST,
    ),
    Row(
        'sapphire_rapids',
        'bochs',
        (3, LATEST),
        'sapphire_rapids',
        'VT-x',
        '13',
        'As bochs3, and posted interrupts, SPEC_CTRL virtualization, PKS, CET, LA57.',
        'No UEFI or MSI. Slow.',
        lost=TIMER_LOST,
    ),
    Row(
        'arrow_lake',
        'bochs',
        (3, LATEST),
        'arrow_lake',
        'VT-x',
        '13',
        'As sapphire_rapids, and LASS; no AVX-512.',
        'No UEFI or MSI. Slow.',
        lost=TIMER_LOST,
    ),
    Row(
        'ryzen',
        'bochs',
        (3, LATEST),
        'ryzen',
        'AMD-V',
        '13',
        'AMD-V with next-RIP and decode assists. Its clock counts instructions with several CPUs.',
        'Behaving guests only ([why](emulators.md#bochs-30-amd-v-the-cpu-model-ryzen)). No UEFI or MSI. Slow.',
        lacks=frozenset(NEEDS),
    ),
    Row(
        'kvm',
        'kvm',
        ANY,
        'host',
        'either',
        'any',
        'Hardware that has nested virtualization.',
        'Not part of `make test`.',
    ),
)
NAMES = tuple(dict.fromkeys(['qemu', 'bochs', *(row.name for row in ROWS)]))


def _output(*command):
    out = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT}
    try:
        run = subprocess.run(command, timeout=30, check=False, **out)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return run.stdout.decode('utf-8', 'replace')


@functools.lru_cache(maxsize=None)
def version(emulator):
    """The installed emulator's version as it writes it (`7.2.15`), or None."""
    command = COMMAND[emulator]
    if not shutil.which(command):
        return None
    text = _output(command, '--help' if emulator == 'bochs' else '--version')
    m = re.search(r'Bochs x86 Emulator (\d[\d.]*)' if emulator == 'bochs' else r'version (\d[\d.]*)', text)
    return m.group(1).rstrip('.') if m else None


def major(emulator):
    return int(version(emulator).split('.')[0])


@functools.lru_cache(maxsize=None)
def models(emulator):
    """The CPU models that the installed emulator knows; None: it was not asked, its one model is always there."""
    return frozenset(_output('bochs', '--help', 'cpu').split()) if emulator == 'bochs' else None


def why_not(row):
    """Why the row's machine cannot be started here, in words; None if it can."""
    if row.emulator == 'kvm':
        if not os.access('/dev/kvm', os.R_OK | os.W_OK):
            return '/dev/kvm cannot be used on this machine; --on qemu needs no hardware'
    have, name = version(row.emulator), TITLE[row.emulator]
    if have is None:
        return f'{COMMAND[row.emulator]} is not installed; run tools/setup.sh'
    first, end = row.versions
    if major(row.emulator) < first:
        return f'{row.name} needs {name} {first} or later, and {name} {have} is installed; Debian {row.debian} has it'
    if major(row.emulator) >= end:
        return f'{row.name} needs {name} before {end}, and {name} {have} is installed; Debian {row.debian} has it'
    known = models(row.emulator)
    if known is not None and row.model not in known:
        return f'{row.name} needs the CPU model {row.model}, which {name} {have} does not have'
    return None


def of(emulator):
    """The rows of an emulator that can be started here."""
    return [row for row in ROWS if row.emulator == emulator and why_not(row) is None]


def find(name):
    """The row of a name; `qemu` and `bochs` are the first that can be started here. A row that cannot is found all the
    same."""
    named = [row for row in ROWS if row.name == name]
    if not named:
        of_emulator = [row for row in ROWS if row.emulator == name]
        named = [row for row in of_emulator if why_not(row) is None] or of_emulator
    if not named:
        raise UsageError(f'no machine is called {name}; there are {", ".join(NAMES)}')
    return named[0]


def for_tests():
    """The rows that the system tests run on here. An emulator that is missing keeps one row: its tests must fail, not
    vanish."""
    return [row for emulator in ('qemu', 'bochs') for row in of(emulator) or [find(emulator)]]


def markdown():
    """The table of docs/machines.md."""
    lines = [
        '| name | emulator | CPU model | guests run by | in Debian | what it can | what it cannot |',
        '|---|---|---|---|---|---|---|',
    ]
    for row in ROWS:
        emulator = TITLE[row.emulator] + row.versions_in_words()
        cells = [f'`{row.name}`', emulator, f'`{row.model}`', row.vendor, row.debian, row.can, row.cannot]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'
