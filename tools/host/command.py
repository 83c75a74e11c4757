# SPDX-License-Identifier: Apache-2.0
"""The command line of ./mullion."""
import argparse
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from . import machines, options, stick
from .conf import CPUS_MAX, MEMORY_MAX, MEMORY_MIN, Conf, UsageError, parse_size
from .emulator import Machine
from .hostcheck import check_host
from .image import make_image
from .new import write_new
from .panic import Word
from .terminal import Input, converse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

DEFAULT_GUESTS = ('vmlinuz', 'vmlinuz-cloud', 'initrd.gz')  # tools/fetch-kernels.sh, tools/make-initrd.sh

EXIT_STATUS = '''exit status of run:
  0    the machine powered itself off (or you left with Ctrl-A x)
  1    the command line or the configuration is wrong, a tool is missing, or the emulator did not start
  2    the machine failed: a panic, a reset that was not asked for, the emulator's failure
  N    the shell's `exit N` (QEMU, with --options debug-exit)
  124  --timeout has passed
The shell's `reboot` starts the machine anew.
'''


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        sys.stderr.write(f'{self.prog}: {message}\n')
        sys.exit(1)

    def known(self):
        """Its options, the long way."""
        return [text for text in self._option_string_actions if text.startswith('--')]


class SubParser(Parser):
    def __init__(self, **more):
        super().__init__(allow_abbrev=False, **more)


def seconds(text):
    value = float(text)
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"'{text}': a number of seconds above 0 is allowed")
    return value


def version():
    """As on Mullion's banner, and the commit if this is a git tree."""
    with open(os.path.join(ROOT, 'include/mullion/version.h'), encoding='utf-8') as f:
        number = re.search(r'^#define MULLION_VERSION "(.*)"', f.read(), re.M).group(1)
    out = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.DEVNULL}
    try:
        git = subprocess.run(
            ['git', '-C', ROOT, 'describe', '--always', '--dirty', '--tags'], check=False, **out
        ).stdout.decode('ascii', 'replace')
    except OSError:
        git = ''
    return f'Mullion {number}' + (f', {git.strip()}' if git.strip() else '')


class Version(argparse.Action):
    def __init__(self, option_strings, dest, **_):
        super().__init__(option_strings, dest, nargs=0, help='say which Mullion this is')

    def __call__(self, *_):
        print(version())
        sys.exit(0)


def parser():
    p = Parser(prog='mullion', description='Boots, images and checks Mullion configurations.', allow_abbrev=False)
    p.add_argument('--version', action=Version)
    sub = p.add_subparsers(dest='command', required=True, parser_class=SubParser)

    def common(s, **conf):
        s.add_argument('conf', metavar='CONF', help='configuration file', **conf)
        s.add_argument(
            '--build',
            default=os.path.join(ROOT, 'build'),
            metavar='DIR',
            help='where `make` has built (default: build)',
        )
        s.add_argument(
            '--modules',
            action='append',
            default=[],
            metavar='DIR',
            help='look for kernels, initrds and modules here too (always: beside CONF, in build/guests)',
        )
        s.add_argument('--cpus', type=int, metavar='N', help='CPUs of the machine (default: as many as CONF names)')
        s.add_argument('--memory', metavar='SIZE', help='RAM of the machine (default: what CONF adds up to, and some)')

    run = sub.add_parser(
        'run',
        help='boot a configuration in an emulator',
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common(run)
    run.add_argument(
        '--on',
        choices=machines.NAMES,
        metavar='NAME',
        default='qemu',
        help='qemu: AMD-V, emulated (default); bochs: VT-x, emulated, slower; kvm: nested, on hardware that has it; '
        'or a machine of docs/machines.md: '
        + ', '.join(name for name in machines.NAMES if name not in ('qemu', 'bochs', 'kvm')),
    )
    run.add_argument(
        '--boot',
        choices=('cd', 'disk', 'kernel'),
        default='cd',
        help='from the image as CD or disk, or by -kernel (QEMU only)',
    )
    run.add_argument('--uefi', action='store_true', help='UEFI firmware instead of BIOS (QEMU only)')
    run.add_argument('--timeout', type=seconds, metavar='S', help='end after S seconds, with exit status 124')
    run.add_argument('--serial', metavar='FILE', help='write all serial output to FILE too')
    run.add_argument('--options', default='', help="kernel command line (see docs/debugging.md)")
    run.add_argument(
        '--gdb', type=int, metavar='PORT', help='wait for gdb on this port before the first instruction (QEMU only)'
    )
    run.add_argument(
        '--force', action='store_true', help='boot even if CONF has mistakes; the machine will report them'
    )

    image = sub.add_parser('image', help='write a bootable image: CD, disk and USB stick, BIOS and UEFI')
    common(image)
    image.add_argument(
        '-o', '--output', required=True, metavar='FILE', help='a file, or a whole disk such as a USB stick: /dev/sdX'
    )
    image.add_argument('--options', default='', help='kernel command line')
    image.add_argument(
        '--force', action='store_true', help='write it even if CONF has mistakes, and to a disk without a question'
    )

    check = sub.add_parser('check', help='look for mistakes in a configuration')
    common(check, nargs='?')
    check.add_argument(
        '--host', action='store_true', help='instead of CONF: would Mullion run on the machine that this Linux runs on?'
    )

    new = sub.add_parser('new', help='write a configuration for a kernel of yours: NAME.conf, in this folder')
    new.add_argument('name', metavar='NAME', help="the guest's name")
    kind = new.add_mutually_exclusive_group(required=True)
    kind.add_argument('--linux', metavar='FILE', help='a Linux kernel (bzImage)')
    kind.add_argument('--multiboot', metavar='FILE', help='a Multiboot or PVH kernel')
    new.add_argument('--initrd', metavar='FILE', help='the initial RAM disk of a Linux')
    new.add_argument('--cmdline', metavar='TEXT', help="the kernel's command line (a Linux's default: console=ttyS0)")
    new.add_argument('--guest-memory', metavar='SIZE', default='512M', help='(default: 512M)')
    new.add_argument('--guest-cpus', metavar='LIST', default='1', help='like 1-2 (default: 1)')
    new.add_argument('--build', default=os.path.join(ROOT, 'build'), metavar='DIR', help='where `make` has built')
    p.commands = {'run': run, 'image': image, 'check': check, 'new': new}
    return p


def machine_size(arguments, conf):
    """CPUs and bytes of RAM, as asked for or as the configuration wants."""
    if arguments.cpus is not None and not 1 <= arguments.cpus <= CPUS_MAX:
        raise UsageError(f'--cpus: 1 to {CPUS_MAX} are allowed')
    cpus = arguments.cpus or conf.cpus
    if not arguments.memory:
        return cpus, conf.wanted_memory()
    try:
        memory = parse_size(arguments.memory)
    except UsageError as e:
        raise UsageError(f'--memory: {e}') from e
    if not MEMORY_MIN <= memory <= MEMORY_MAX or memory % (1 << 20):
        raise UsageError(f'--memory: {MEMORY_MIN >> 20}M to {MEMORY_MAX >> 30}G in steps of 1M are allowed')
    return cpus, memory


def load(arguments):
    """Conf, CPUs, bytes of RAM, mistakes."""
    for folder in arguments.modules:
        if not os.path.isdir(folder):
            raise UsageError(f'--modules: {folder} is no folder')
    conf = Conf(arguments.conf, arguments.modules + [os.path.join(arguments.build, 'guests')])
    cpus, memory = machine_size(arguments, conf)
    mistakes = conf.mistakes(arguments.build, cpus, memory)
    for line in conf.notes:
        print(line, file=sys.stderr)
    if any(name in DEFAULT_GUESTS for _, name in conf.missing):
        print('note: `make default-guests` fetches the kernels and the initrd of the default configuration',
              file=sys.stderr)
    return conf, cpus, memory, mistakes


def load_or_force(arguments, what):
    conf, cpus, memory, mistakes = load(arguments)
    for line in mistakes:
        print(line, file=sys.stderr)
    if mistakes and not arguments.force:
        raise UsageError(f'{len(mistakes)} mistake(s) in {conf.path}; --force {what} it all the same')
    return conf, cpus, memory


def banner(arguments, conf, cpus, memory):
    row = machines.find(arguments.on)
    where = machines.TITLE[row.emulator] + (f' ({row.vendor})' if row.emulator != 'kvm' else '')
    if arguments.on not in machines.TITLE:
        where = f'{row.name}: {where}'
    return (
        f'Mullion on {where}: {cpus} CPU(s), {memory >> 20} MiB, {os.path.basename(conf.path)}\n'
        f'  In its shell: `help`, `list`, `attach NAME` talks to a guest, Ctrl-] comes back, '
        f'`poweroff` ends the machine.\n'
        f'  Ctrl-A x ends the emulator at once.\n\n'
    )


def kernel_modules(conf, work):
    """Files for -kernel: root goes by their names, and the configuration's is mullion.conf there."""
    path = os.path.join(work, 'mullion.conf')
    with open(path, 'wb') as f:
        f.write(conf.text)
    return [path] + list(conf.modules.values())


def check_run(arguments, row):
    """UsageError for options that do not go together, or that this machine lacks."""
    wrong = machines.why_not(row)
    if wrong:
        raise UsageError(wrong)
    if row.emulator == 'bochs' and (arguments.boot == 'kernel' or arguments.uefi or arguments.gdb):
        raise UsageError('Bochs boots from --boot cd or --boot disk, with BIOS only, and knows no --gdb')
    if arguments.uefi and arguments.boot == 'kernel':
        raise UsageError('--uefi boots from --boot cd or --boot disk; --boot kernel needs BIOS')
    if arguments.gdb is not None and not 1 <= arguments.gdb <= 65535:
        raise UsageError('--gdb: a port from 1 to 65535 is allowed')


def open_serial(path):
    try:
        return open(path, 'wb') if path else None
    except OSError as e:
        raise UsageError(f'{path}: {e.strerror}') from e


def say(text):
    sys.stderr.write(f'\nmullion: {text}\n')
    sys.stderr.flush()


def run_machine(arguments, word, given, serial, **more):
    """One machine, from its start to its end: how, the shell's exit code, and the emulator's last words if it
    failed. SystemExit, or what else comes, leaves nothing behind."""
    machine = Machine(on=arguments.on, boot=arguments.boot, uefi=arguments.uefi, **more)
    try:
        machine.start()
        how = converse(machine, word, given, arguments.end, serial)
        return how, machine.exit_code, machine.emulator_log() if how == 'failed' else ''
    finally:
        machine.stop()


def run(arguments):
    check_run(arguments, machines.find(arguments.on))
    word = Word()
    told = word.options(options.check(arguments.options))
    conf, cpus, memory = load_or_force(arguments, 'boots')
    kernel = os.path.join(arguments.build, 'mullion')
    if not os.path.isfile(kernel):
        raise UsageError(f'{kernel} is not there; run `make` first')
    serial = open_serial(arguments.serial)
    given = Input()
    with tempfile.TemporaryDirectory(prefix='mullion-') as work:
        image = os.path.join(work, 'mullion.iso')
        if arguments.boot != 'kernel':
            make_image(conf, kernel, image, told, timeout=0)
        sys.stdout.write(banner(arguments, conf, cpus, memory))
        sys.stdout.flush()
        arguments.end = time.monotonic() + arguments.timeout if arguments.timeout else None
        how = 'reboot'
        while how == 'reboot':
            how, code, log = run_machine(
                arguments,
                word,
                given,
                serial,
                cpus=cpus,
                memory=memory,
                image=image,
                kernel=kernel,
                options=told,
                modules=kernel_modules(conf, work),
                extra=['-gdb', f'tcp:127.0.0.1:{arguments.gdb}', '-S'] if arguments.gdb else [],
            )
            if how == 'reboot':
                say('the machine starts anew')
    if serial:
        serial.close()
    what, status = {
        'off': ('the machine has powered itself off', 0),
        'quit': ('left', 0),
        'exited': (f'the shell has ended the emulator: exit {code}', code),
        'reset': ('the machine has reset itself, and the shell had not asked for it', 2),
        'failed': ('the emulator ended by itself', 2),
        'panic': ('the kernel has panicked', 2),
        'timeout': (f'{arguments.timeout or 0:g} s have passed', 124),
    }[how]
    say(what)
    if given.waiting and not given.interactive:
        sys.stderr.write(f'mullion: {len(given.waiting)} bytes of the input were not taken any more\n')
    if log.strip():
        sys.stderr.write('\n'.join(log.strip().splitlines()[-12:]) + '\n')
    return status


class Progress:
    """A line that counts, on a terminal only."""

    def __init__(self):
        self.shown = ''

    def __call__(self, what, done, whole):
        text = f'{what} {done >> 20} of {(whole + (1 << 20) - 1) >> 20} MiB, {100 * done // whole}%'
        if text != self.shown and sys.stderr.isatty():
            sys.stderr.write('\r\x1b[K' + text + ('\n' if done == whole else ''))
            sys.stderr.flush()
        self.shown = text


def agree(disk, arguments):
    """The user's word that all on the disk may go."""
    print(f'{disk.in_words()}\nAll that is on it will be lost.', flush=True)
    if arguments.force:
        return
    if not sys.stdin.isatty():
        raise UsageError('there is no terminal to ask on; --force writes without a question')
    sys.stdout.write('Write the image to it? Type yes: ')
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() != 'yes':
        raise UsageError('nothing was written')


def image_to_disk(arguments, conf, kernel, told, disk):
    with tempfile.TemporaryDirectory(prefix='mullion-') as work:
        made = os.path.join(work, 'mullion.iso')
        make_image(conf, kernel, made, told)
        wrong = disk.why_not(os.path.getsize(made))
        if wrong:
            raise UsageError(wrong)
        agree(disk, arguments)
        stick.write(made, disk.path, Progress())
        size = stick.size_in_words(os.path.getsize(made))
        print(f'{disk.path}: {size} written and verified; a machine boots from it')


def image(arguments):
    told = options.check(arguments.options)
    kind = stick.kind(arguments.output)
    if kind not in ('file', 'device'):
        raise UsageError(f'{arguments.output} is {kind}; -o takes a file or a whole disk, like mullion.iso or /dev/sdX')
    disk = stick.Disk(arguments.output) if kind == 'device' else None
    wrong = disk and disk.why_not(0)
    if wrong:
        raise UsageError(wrong)
    conf, _, _ = load_or_force(arguments, 'writes')
    kernel = os.path.join(arguments.build, 'mullion')
    if disk:
        image_to_disk(arguments, conf, kernel, told, disk)
        return 0
    out = os.path.realpath(arguments.output)
    make_image(conf, kernel, out, told)
    print(
        f'{arguments.output}: {stick.size_in_words(os.path.getsize(out))}; for a USB stick, give the stick itself: '
        '-o /dev/sdX'
    )
    return 0


def new(arguments):
    if arguments.initrd and not arguments.linux:
        raise UsageError('--initrd goes with --linux')
    path = write_new(
        arguments.name,
        arguments.linux or arguments.multiboot,
        arguments.linux is not None,
        arguments.initrd,
        arguments.cmdline,
        arguments.guest_memory,
        arguments.guest_cpus,
    )
    conf = Conf(path, [])
    mistakes = conf.mistakes(arguments.build, conf.cpus, conf.wanted_memory())
    for line in mistakes:
        print(line)
    print(f'{path} is written; ' + ('mend it, then: ' if mistakes else 'next: ') + f'./mullion run {path}')
    return 1 if mistakes else 0


def check(arguments):
    if arguments.host:
        return check_host()
    if arguments.conf is None:
        raise UsageError('check takes a configuration, or --host')
    conf, cpus, memory, mistakes = load(arguments)
    for line in mistakes:
        print(line)
    if mistakes:
        return 1
    print(f'{conf.path}: no mistakes; {cpus} CPU(s) and {memory >> 20} MiB run it')
    return 0


def parse(argv):
    p = parser()
    arguments, unknown = p.parse_known_args(argv)
    if unknown:
        sub = p.commands[arguments.command]
        sub.error(f"{' '.join(unknown)} is not known; allowed: {', '.join(sub.known())}")
    return arguments


def leave_on_signals():
    """SIGTERM and SIGHUP (the terminal was closed) end the command as an exception, so that no file stays. A second one
    does not disturb that. One that is ignored (nohup) stays so."""

    def leave(number, _):
        for other in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)


def open_standard_files():
    """A file that we open must not become standard input, output or error because the caller has closed it."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:
        fd = os.dup(fd)
    os.close(fd)
    for name, mode, number in (('stdin', 'r', 0), ('stdout', 'w', 1), ('stderr', 'w', 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding='utf-8', closefd=False))


def main(argv):
    open_standard_files()
    leave_on_signals()
    try:
        arguments = parse(argv)
        return {'run': run, 'image': image, 'check': check, 'new': new}[arguments.command](arguments)
    except UsageError as e:
        sys.stderr.write(f'mullion: {e}\n')
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as e:  # a full disk, a folder that may not be written
        sys.stderr.write(f'mullion: {e.filename or "the system says"}: {e.strerror or e}\n')
        return 1
