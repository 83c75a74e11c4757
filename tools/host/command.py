# SPDX-License-Identifier: Apache-2.0
"""The command line of ./mullion."""
import argparse
import os
import signal
import sys
import tempfile

from . import machines
from .conf import CPUS_MAX, Conf, UsageError, parse_size
from .emulator import Machine
from .image import make_image
from .terminal import converse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

EXIT_STATUS = '''exit status of run:
  0    the machine powered itself off (or you left with Ctrl-A x)
  1    the command line or the configuration is wrong, or a tool is missing
  2    the machine failed: a panic, a reset that was not asked for, the emulator's failure
  124  --timeout has passed
'''


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        sys.stderr.write(f'{self.prog}: {message}\n')
        sys.exit(1)


def parser():
    p = Parser(prog='mullion', description='Boots, images and checks Mullion configurations.')
    sub = p.add_subparsers(dest='command', required=True, parser_class=Parser)

    def common(s):
        s.add_argument('conf', metavar='CONF', help='configuration file')
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
    run.add_argument('--timeout', type=float, metavar='S', help='end after S seconds, with exit status 124')
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
    image.add_argument('-o', '--output', required=True, metavar='FILE')
    image.add_argument('--options', default='', help='kernel command line')
    image.add_argument('--force', action='store_true', help='write it even if CONF has mistakes')

    check = sub.add_parser('check', help='look for mistakes in a configuration')
    common(check)
    return p


def load(arguments):
    """Conf, CPUs, bytes of RAM, mistakes."""
    conf = Conf(arguments.conf, arguments.modules + [os.path.join(arguments.build, 'guests')])
    if arguments.cpus is not None and not 1 <= arguments.cpus <= CPUS_MAX:
        raise UsageError(f'--cpus: 1 to {CPUS_MAX} are allowed')
    cpus = arguments.cpus or conf.cpus
    memory = parse_size(arguments.memory) if arguments.memory else conf.wanted_memory()
    if memory < 32 << 20:
        raise UsageError('--memory: at least 32M are needed')
    mistakes = conf.mistakes(arguments.build, cpus, memory)
    for line in conf.notes:
        print(line, file=sys.stderr)
    return conf, cpus, memory, mistakes


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


def run(arguments):
    row = machines.find(arguments.on)
    wrong = machines.why_not(row)
    if wrong:
        raise UsageError(wrong)
    conf, cpus, memory, mistakes = load(arguments)
    for line in mistakes:
        print(line, file=sys.stderr)
    if mistakes and not arguments.force:
        raise UsageError(f'{len(mistakes)} mistake(s) in {conf.path}; --force boots it all the same')
    if row.emulator == 'bochs' and (arguments.boot == 'kernel' or arguments.uefi or arguments.gdb):
        raise UsageError('Bochs boots from --boot cd or --boot disk, with BIOS only, and knows no --gdb')
    kernel = os.path.join(arguments.build, 'mullion')
    if not os.path.isfile(kernel):
        raise UsageError(f'{kernel} is not there; run `make` first')
    serial = None
    if arguments.serial:
        try:
            serial = open(arguments.serial, 'wb')
        except OSError as e:
            raise UsageError(f'{arguments.serial}: {e.strerror}') from e
    options = arguments.options
    with tempfile.TemporaryDirectory(prefix='mullion-') as work:
        image = os.path.join(work, 'mullion.iso')
        if arguments.boot != 'kernel':
            make_image(conf, kernel, image, options, timeout=0)
        sys.stdout.write(banner(arguments, conf, cpus, memory))
        sys.stdout.flush()
        machine = Machine(
            on=arguments.on,
            cpus=cpus,
            memory=memory,
            boot=arguments.boot,
            uefi=arguments.uefi,
            image=image,
            kernel=kernel,
            options=options,
            modules=kernel_modules(conf, work),
            extra=['-gdb', f'tcp:127.0.0.1:{arguments.gdb}', '-S'] if arguments.gdb else [],
        )
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            machine.start()
            how = converse(machine, arguments.timeout, serial)
            log = machine.emulator_log() if how == 'failed' else ''
        finally:
            machine.stop()
            if serial:
                serial.close()
    what, status = {
        'off': ('the machine has powered itself off', 0),
        'quit': ('left', 0),
        'reset': ('the machine has reset itself', 2),
        'failed': ('the emulator ended by itself', 2),
        'panic': ('the kernel has panicked', 2),
        'timeout': (f'{arguments.timeout or 0:g} s have passed', 124),
    }[how]
    sys.stderr.write(f'\nmullion: {what}\n')
    if log.strip():
        sys.stderr.write('\n'.join(log.strip().splitlines()[-12:]) + '\n')
    return status


def image(arguments):
    conf, _, _, mistakes = load(arguments)
    for line in mistakes:
        print(line, file=sys.stderr)
    if mistakes and not arguments.force:
        raise UsageError(f'{len(mistakes)} mistake(s) in {conf.path}; --force writes the image all the same')
    make_image(conf, os.path.join(arguments.build, 'mullion'), arguments.output, arguments.options)
    print(
        f'{arguments.output}: {os.path.getsize(arguments.output) >> 20} MiB; '
        'write it to a USB stick with dd, or burn it'
    )
    return 0


def check(arguments):
    conf, cpus, memory, mistakes = load(arguments)
    for line in mistakes:
        print(line)
    if mistakes:
        return 1
    print(f'{conf.path}: no mistakes; {cpus} CPU(s) and {memory >> 20} MiB run it')
    return 0


def main(argv):
    try:
        arguments = parser().parse_args(argv)
        return {'run': run, 'image': image, 'check': check}[arguments.command](arguments)
    except UsageError as e:
        sys.stderr.write(f'mullion: {e}\n')
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
