# SPDX-License-Identifier: Apache-2.0
"""A running Mullion under test: boots a configuration in an emulator, reads what its serial port says, types into
it."""
import functools
import os
import re
import select
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'tools'))
from host import machines  # noqa: E402
from host.conf import Conf  # noqa: E402
from host.emulator import Machine  # noqa: E402
from host.image import make_image  # noqa: E402
from host.panic import TITLE as PANIC  # noqa: E402
from host.panic import Word  # noqa: E402
from patience import Clock, Limit  # noqa: E402

BUILD = os.path.join(ROOT, os.environ.get('BUILD', 'build'))
PROMPT = r'mullion> '
DETACH = '\x1d'
# How much longer things take than in QEMU.
SLOWER = {'qemu': 1.5, 'bochs': 6.0}


CONTROLS = {ord(c): None for c in '\x0f\x18'}  # SI, CAN


class Failure(AssertionError):
    pass


class Screen:
    """What a terminal would show of a byte stream, as text: escape sequences are dropped, a line that is erased is
    gone."""

    def __init__(self):
        self.text = ''
        self.held = ''
        self.kept = 0  # how much of the text the last feed() has left as it was

    def feed(self, data):
        data = self.held + data.decode('latin-1')
        self.kept = len(self.text)
        cut = re.search(r'\x1b(\[[0-9;?!]*|\()?$', data)
        self.held = data[cut.start() :] if cut else ''
        data = data[: cut.start()] if cut else data
        for part in re.split(r'(\x1b(?:\[[0-9;?!]*[A-Za-z]|\([A-Z0-9]|[\\78>]))', data.translate(CONTROLS)):
            if part == '\x1b[K':
                self.text = self.text[: self.text.rfind('\n') + 1]
                self.kept = min(self.kept, len(self.text))
            elif not part.startswith('\x1b'):
                self.text += part.replace('\r', '')


class Box:
    """on: a name of host.machines; afterwards `row` is that machine and `on` its emulator. conf: a configuration's text
    (bytes or str), or None for the default mullion.conf. ram_file: QEMU's RAM can be looked at; dirty: every byte of it
    has this value when the machine is switched on. grub: more for make_image. also: more boot modules, with
    boot='kernel'. Everything else:
    host.emulator.Machine."""

    def __init__(
        self,
        conf=None,
        on='qemu',
        boot=None,
        cpus=None,
        memory=None,
        options='',
        multiboot1=False,
        ram_file=False,
        dirty=None,
        kernel=None,
        grub=None,
        also=(),
        **more,
    ):
        self.row = machines.find(on)
        self.on = self.row.emulator
        self.work = tempfile.TemporaryDirectory(prefix='mullion-test-')
        self.screen = Screen()
        self.mark = self.asked = 0
        path = os.path.join(self.work.name, 'mullion.conf')
        if conf is None:
            with open(os.path.join(ROOT, 'mullion.conf'), 'rb') as f:
                conf = f.read()
        with open(path, 'wb') as f:
            f.write(conf.encode() if isinstance(conf, str) else conf)
        self.word = Word()
        options = self.word.options(options)
        self.conf = Conf(path, [os.path.join(BUILD, 'guests'), os.path.join(ROOT, 'tests', 'guests')])
        boot = boot or ('cd' if self.on == 'bochs' else 'kernel')
        kernel = kernel or os.path.join(BUILD, 'mullion')
        image = os.path.join(self.work.name, 'mullion.iso')
        if boot != 'kernel':
            make_image(self.conf, kernel, image, options, timeout=0, multiboot1=multiboot1, **(grub or {}))
        self.memory = memory or self.conf.wanted_memory()
        self.ram_file = None
        if ram_file and self.on == 'qemu':
            folder = '/dev/shm' if os.access('/dev/shm', os.W_OK) else self.work.name
            self.ram_file = os.path.join(folder, f'mullion-ram-{os.getpid()}-{id(self):x}')
            if dirty is not None:
                with open(self.ram_file, 'wb') as f:
                    for _ in range(self.memory >> 20):
                        f.write(bytes([dirty]) * (1 << 20))
        self.machine = Machine(
            on=on,
            boot=boot,
            cpus=cpus or self.conf.cpus,
            memory=self.memory,
            image=image,
            kernel=kernel,
            options=options,
            modules=[path, *self.conf.modules.values(), *map(str, also)],
            ram_file=self.ram_file,
            **more,
        )
        try:
            self.machine.start()
            if self.ram_file:  # from here on it goes when QEMU and we go, however that happens
                self.ram_fd = os.open(self.ram_file, os.O_RDONLY)
                os.unlink(self.ram_file)
                self.ram_file = f'/proc/self/fd/{self.ram_fd}'
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if getattr(self, 'machine', None):
            self.machine.stop()
        if getattr(self, 'ram_fd', None) is not None:
            os.close(self.ram_fd)
            self.ram_fd = None
        elif self.ram_file and os.path.exists(self.ram_file):
            os.unlink(self.ram_file)
        self.work.cleanup()

    # -- output

    def pump(self, seconds):
        """Reads what comes; False at the machine's end."""
        if not select.select([self.machine], [], [], seconds)[0]:
            return self.machine.poll()
        data = self.machine.read()
        self.screen.feed(data)
        self.mark = min(self.mark, self.screen.kept)
        return bool(data)

    @functools.cached_property
    def clock(self):
        return Clock(self.machine.process.pid)

    def limit(self, timeout):
        """For QEMU; Bochs gets more. Whatever waits for this machine asks such a limit whether it is over."""
        return Limit(self.clock, timeout * SLOWER[self.on])

    @property
    def text(self):
        return self.screen.text

    @property
    def panicked(self):
        """Has the kernel panicked? A guest that prints the same words does not count."""
        return self.word.seen_in(self.text)

    def wait(self, pattern, timeout=60, why=''):
        """The match of the pattern in what comes after the last wait's match. `timeout` is in seconds of patience.py. A
        line's end in a pattern is \\n: $ would match where the text so far ends."""
        regex = re.compile(pattern, re.M)
        limit = self.limit(timeout)
        alive, over = True, False
        while True:
            m = regex.search(self.text, self.mark)
            if m:
                self.mark = m.end()
                return m
            if self.panicked and PANIC not in pattern:
                self.pump(1)
                raise Failure(f'the kernel panicked while waiting for {pattern!r} {why}\n{self.tail()}')
            if not alive:
                raise Failure(
                    f'the machine ended ({self.machine.finish()}) while waiting for {pattern!r} {why}\n{self.tail()}\n'
                    f'{self.machine.emulator_log()[-1000:]}'
                )
            if over:
                raise Failure(f'no {pattern!r} within {limit} {why}\n{self.tail()}')
            over = limit.over()  # what has come until here is looked at first
            alive = self.pump(0 if over else 0.5)

    def wait_all(self, patterns, timeout=60):
        """All of the patterns, in any order, after the last match."""
        start, last = self.mark, self.mark
        limit = self.limit(timeout)
        for p in patterns:
            self.mark = start
            self.wait(p, max(0.1, limit.left() / SLOWER[self.on]), f'(one of {patterns})')
            last = max(last, self.mark)
        self.mark = last

    def tail(self, lines=60):
        return '--- serial output, last lines:\n' + '\n'.join(self.text.splitlines()[-lines:]) + '\n---'

    # -- input

    def type(self, text):
        self.machine.write(text.encode())

    def settle(self, seconds=0.3):
        """Reads until it has been quiet for a moment (or a guest talks on and on); what was printed so far is behind
        us."""
        quiet = begun = self.clock.now()
        size = len(self.text)
        while self.clock.now() < min(quiet + seconds, begun + 8 * seconds) and self.pump(0.1):
            if len(self.text) != size:
                size, quiet = len(self.text), self.clock.now()
        self.mark = len(self.text)

    def shell(self, command, pattern, timeout=20):
        """A command to Mullion's own shell and what it must answer."""
        self.mark = len(self.text)
        self.type(command + '\r')
        return self.wait(pattern, timeout, f'after `{command}`')

    def log(self, name, lines=400):
        """What a guest and its monitor (or 'mullion') have written, in whole lines: live, a slow guest's line may come
        in pieces, others' between them."""
        self.settle(0.05)
        self.asked += 1
        self.type(f'log {name} {lines}\rend{self.asked}\r')
        start = self.mark
        end = self.wait(f"Unknown command 'end{self.asked}'", 30).start()
        text = self.text[start:end]
        kept = []
        for line in text.splitlines():
            timed = re.match(r'(?: *\d+\.\d{3}| {9}-) (.*)', line)
            if timed or not re.match(r'\[[a-z]', line):  # else a line that came meanwhile
                kept.append((timed.group(1) if timed else line) + '\n')
        return ''.join(kept)

    def counted(self):
        """What the guest `counter` has counted. But for the last: its line may not be whole yet."""
        return [int(n) for n in re.findall(r'^count (\d+)\n', self.log('counter'), re.M)][:-1]

    def counts_on(self, beats, seconds):
        """The guest `counter` counts so many beats more, and leaves none out."""
        first, limit = self.counted()[-1], self.limit(seconds)
        while self.counted()[-1] < first + beats:
            assert not limit.over(), 'the counter does not count'
            self.pump(0.5)
        numbers = self.counted()
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))

    def until(self, name, pattern, timeout=60, count=1):
        """Waits until a guest's log has the pattern, `count` times. The last match."""
        limit = self.limit(timeout)
        while True:
            over = limit.over()
            text = self.log(name)
            found = list(re.finditer(pattern, text, re.M))
            if len(found) >= count:
                return found[-1]
            if over:
                raise Failure(
                    f'{name} has not written {pattern!r} {count} time(s) within {limit}, '
                    f'but:\n{text[-3000:]}\n'
                    f'{self.tail(30)}'
                )
            self.rest(SLOWER[self.on])

    def times(self, name, pattern):
        """How often a guest's log has the pattern: behind an event it is to be once more."""
        return len(re.findall(pattern, self.log(name), re.M))

    def rest(self, seconds):
        """Lets the machine run for a while, and reads what it says."""
        limit = Limit(self.clock, seconds)
        while not limit.over():
            self.pump(0.2)

    def attach(self, name):
        self.mark = len(self.text)
        self.type(f'attach {name}\r')
        self.wait(r'[Aa]ttached to .*' + re.escape(name), 20)

    def detach(self):
        self.mark = len(self.text)
        self.type(DETACH)
        self.wait(PROMPT, 20)

    def in_guest(self, name, command, pattern, timeout=30):
        """Attaches, types a command, waits for its answer, comes back."""
        self.attach(name)
        self.type('\r')
        self.pump(0.2)
        self.mark = len(self.text)
        self.type(command + '\r')
        m = self.wait(pattern, timeout, f'after `{command}` in {name}')
        self.detach()
        return m

    def state(self, name):
        """The guest's line of `list`, as words."""
        return self.shell('list', rf'^\s*{re.escape(name)} +(\S.*)\n').group(1).split()

    def wait_state(self, name, state, timeout=30):
        limit = self.limit(timeout)
        while True:
            over = limit.over()
            words = self.state(name)
            if words[0] == state:
                return words
            if over:
                raise Failure(f'{name} is {words[0]}, not {state}\n{self.tail()}')
            self.rest(0.3)

    def ends(self, timeout=30):
        """Waits for the machine's own end: 'off', 'reset' or 'failed'."""
        limit = self.limit(timeout)
        while not limit.over():
            if not self.pump(0.5):
                return self.machine.finish()
        raise Failure(f'the machine did not end within {limit}\n{self.tail()}')


def guest(name, kernel, where='share = 20% of cpu 0', memory='16M', **keys):
    """A [guest] section."""
    lines = [f'[guest {name}]', where, f'memory = {memory}', f'kernel = {kernel}']
    lines += [f'{k.replace("_", "-")} = {v}' for k, v in keys.items()]
    return '\n'.join(lines) + '\n\n'
