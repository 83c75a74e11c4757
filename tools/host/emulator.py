# SPDX-License-Identifier: Apache-2.0
"""Starts an emulated machine and says how it ended. The machine's serial port is a socket, or two pipes, in our hands;
the emulator is our child, dies with us, and is ended by its process id."""
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import machines
from .conf import UsageError
from .line import Pipes, SocketLine

OVMF = '/usr/share/ovmf/OVMF.fd'
BOCHS_SHARE = '/usr/share/bochs'

BOCHSRC = '''config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0
memory: guest={megs}, host={host}
romimage: file=bios
vgaromimage: file=vgabios
boot: {boot}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
{drive}
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
clock: sync=none, time0=utc
speaker: enabled=0
sound: driver=dummy
log: bochs.log
panic: action=fatal
error: action=report{calm}
info: action=report{quiet}
debug: action=ignore
'''


DEAF = 120  # seconds without a byte taken, after which writing gives up
BOCHS_VGA = f'{BOCHS_SHARE}/VGABIOS-lgpl-latest'

# What an emulator says when it does not start: what the user can do about it.
ADVICE = (
    (r'[Cc]annot (set up guest memory|allocate memory)|guest memory.*could not be allocated|[Mm]emory.*too large',
     'give it less with --memory'),
    (r'kvm|KVM', '--on qemu needs no hardware'),
    (r'max_cpus|[Ii]nvalid SMP CPUs|number of CPUs|processors', 'give it fewer with --cpus'),
)


def die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """What to run: on (a name of machines.NAMES), cpus, memory in bytes, boot ('cd', 'disk', 'kernel'), uefi. Then
    start(), poll(), read(), write(), stop(). row: the machine's; on: its emulator. stop() may come at any time, and
    more than once.

    The emulator runs in a folder of its own, `work`, and finds each file there by a short name without blanks or
    commas, which have a meaning in its options.

    ram_file: QEMU only, the guest-physical RAM as a file that others may map. qmp: QEMU's control socket, None for
    Bochs."""

    def __init__(
        self,
        on='qemu',
        cpus=1,
        memory=512 << 20,
        boot='cd',
        uefi=False,
        image=None,
        kernel=None,
        options='',
        modules=(),
        extra=(),
        ram_file=None,
        qemu_cpu=None,
        machine='q35',
        bochs_ips=50_000_000,
        bochs_model=None,
        bochs_bios=f'{BOCHS_SHARE}/BIOS-bochs-latest',
        no_reboot=True,
    ):
        self.row = machines.find(on)
        self.on, self.cpus, self.memory, self.boot, self.uefi = self.row.emulator, cpus, memory, boot, uefi
        self.image, self.kernel, self.options, self.modules, self.extra = (
            image,
            kernel,
            options,
            list(modules),
            list(extra),
        )
        self.ram_file, self.qemu_cpu, self.machine, self.bochs_ips, self.no_reboot = (
            ram_file,
            qemu_cpu,
            machine,
            bochs_ips,
            no_reboot,
        )
        self.bochs_model, self.bochs_bios = bochs_model or self.row.model, bochs_bios
        self.process = self.serial = self.qmp = None
        self.pass_fds = ()
        self.how_it_ended = None  # 'off', 'reset', 'exited', 'failed', 'stopped'
        self.exit_code = None  # with 'exited': the shell's
        self.work = tempfile.mkdtemp(prefix='mullion-run-')
        self.output = os.path.join(self.work, 'emulator.log')

    # -- starting

    def start(self):
        try:
            wrong = machines.why_not(self.row)
            if wrong:
                raise UsageError(wrong)
            if self.on == 'bochs':
                self._start_bochs()
            else:
                self._start_qemu()
        except (OSError, RuntimeError, ValueError) as e:
            words = self._why_not_started(e)
            self.stop()
            raise UsageError(words) from e
        except BaseException:
            self.stop()
            raise
        return self

    def _why_not_started(self, error):
        """In one or two lines: the emulator's own last words if it has said any, and what to do."""
        status = None
        if self.process:
            try:
                status = self.process.wait(2)  # its words are complete when it has ended
            except subprocess.TimeoutExpired:
                pass
        log = self.emulator_log()
        said = re.findall(r'>>PANIC<< *(.*)', log) or [line for line in log.splitlines() if line.strip()]
        said = [re.sub(r'^[\w-]*qemu[\w-]*: ', '', line.strip()) for line in said[-2:]]
        words = '; '.join(said) or (str(error) if status is None else f'it ended with status {status}, without a word')
        advice = next((what for pattern, what in ADVICE if re.search(pattern, words)), None)
        return f'{machines.TITLE[self.on]} did not start: {words}' + (f'\n  {advice}' if advice else '')

    def _link(self, file, name):
        """The file under a short name in the emulator's folder."""
        if not os.path.isfile(file):
            raise UsageError(f'{file} is not there')
        if not os.access(file, os.R_OK):
            raise UsageError(f'{file} cannot be read')
        os.makedirs(os.path.dirname(os.path.join(self.work, name)), exist_ok=True)
        os.symlink(os.path.abspath(file), os.path.join(self.work, name))
        return name

    def _spawn(self, command):
        self.command = command
        with open(self.output, 'wb') as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
                start_new_session=True,
                cwd=self.work,
                pass_fds=self.pass_fds,
            )

    def _accept(self, listener):
        """Bochs' connection to its serial port."""
        listener.settimeout(0.2)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                return listener.accept()[0]
            except socket.timeout:
                if self.process.poll() is not None:
                    raise ConnectionError('it ended at once') from None
        raise TimeoutError('it has not opened its serial port')

    def _qemu_command(self, control):
        megs = self.memory >> 20
        command = [
            'qemu-system-x86_64',
            '-machine',
            self.machine,
            '-smp',
            str(self.cpus),
            '-m',
            str(megs),
            '-display',
            'none',
            '-nodefaults',
            '-vga',
            'std',
            '-chardev',
            'pipe,id=com1,path=serial',
            '-serial',
            'chardev:com1',
            '-chardev',
            f'socket,id=qmp,fd={control}',
            '-mon',
            'chardev=qmp,mode=control',
            '-device',
            'isa-debug-exit,iobase=0xf4,iosize=0x04',
        ]
        if self.on == 'kvm':
            command += ['-accel', 'kvm', '-cpu', self.qemu_cpu or self.row.model]
        else:
            command += ['-accel', 'tcg,thread=multi', '-cpu', self.qemu_cpu or self.row.model]
        if self.no_reboot:
            command += ['-no-reboot']
        if self.ram_file:
            path = os.path.abspath(self.ram_file).replace(',', ',,')
            command += ['-object', f'memory-backend-file,id=ram,size={megs}M,mem-path={path},share=on']
            command[command.index(self.machine)] += ',memory-backend=ram'
        if self.uefi:
            if not os.path.exists(OVMF):
                raise UsageError(f'{OVMF} is not there; run tools/setup.sh')
            command += ['-bios', OVMF]
        return command + self._qemu_boot() + self.extra

    def _qemu_boot(self):
        if self.boot == 'kernel':
            command = ['-kernel', self._link(self.kernel, 'kernel'), '-append', self.options]
            # Root goes by the last part of a module's name.
            files = [self._link(file, f'{n}/{os.path.basename(file)}') for n, file in enumerate(self.modules)]
            if files:
                command += ['-initrd', ','.join(file.replace(',', ',,') for file in files)]
            return command
        image = self._link(self.image, 'image')
        if self.boot == 'disk':
            return [
                '-drive',
                f'file={image},format=raw,if=none,id=disk,snapshot=on',
                '-device',
                'ide-hd,drive=disk,bootindex=0',
            ]
        return [
            '-drive',
            f'file={image},format=raw,if=none,id=cd,media=cdrom,readonly=on',
            '-device',
            'ide-cd,drive=cd,bootindex=0',
        ]

    def _start_qemu(self):
        self.serial = Pipes(os.path.join(self.work, 'serial'))
        ours, theirs = socket.socketpair()
        with theirs:
            self.qmp = Qmp(ours)
            self.pass_fds = [theirs.fileno()]
            self._spawn(self._qemu_command(theirs.fileno()))
        self.qmp.command('qmp_capabilities')

    def _start_bochs(self):
        if self.boot == 'kernel' or self.uefi:
            raise UsageError('Bochs boots from --boot cd or --boot disk, with BIOS only')
        self._link(self.bochs_bios, 'bios')
        self._link(BOCHS_VGA, 'vgabios')
        if self.boot == 'disk':
            # Bochs wants whole cylinders of 16 heads and 63 sectors.
            cylinder = 16 * 63 * 512
            image = os.path.join(self.work, 'disk.img')
            shutil.copyfile(self.image, image)
            cylinders = (os.path.getsize(image) + cylinder - 1) // cylinder
            os.truncate(image, cylinders * cylinder)
            shape = f'cylinders={cylinders}, heads=16, spt=63, translation=lba'
            drive = f'ata0-master: type=disk, path=disk.img, mode=volatile, {shape}'
        else:
            drive = f'ata0-master: type=cdrom, path={self._link(self.image, "image")}, status=inserted'
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen(1)
            self._spawn(self._bochs_command(drive, listener.getsockname()[1]))
            self.serial = SocketLine(self._accept(listener))

    def _bochs_command(self, drive, port):
        of_cpus = ''.join(f', cpu{i:x}=ignore' for i in range(self.cpus))
        with open(os.path.join(self.work, 'bochsrc'), 'w', encoding='utf-8') as f:
            f.write(
                BOCHSRC.format(
                    cpus=self.cpus,
                    # Of each virtual interrupt, and at each entry into a guest that can have them, the CPU would write
                    # a line.
                    quiet=of_cpus,
                    # With AMD-V the CPU also writes one of the kind `error` for each exit by a port.
                    calm=of_cpus if self.row.vendor == 'AMD-V' else '',
                    model=self.bochs_model,
                    ips=self.bochs_ips,
                    megs=self.memory >> 20,
                    host=min(self.memory >> 20, 2048),  # its limit; more lies in a file
                    drive=drive,
                    boot='disk' if self.boot == 'disk' else 'cdrom',
                    port=port,
                )
            )
        command = ['bochs', '-q', '-f', 'bochsrc']
        # Debian's Bochs 2.7 starts in its debugger, which waits for a command; Bochs 3 has one with -debugger only.
        if machines.major('bochs') < 3:
            with open(os.path.join(self.work, 'debugger'), 'w', encoding='utf-8') as f:
                f.write('c\n')
            command += ['-rc', 'debugger']
        return command

    # -- running

    def fileno(self):
        return self.serial.fileno()

    def read(self):
        """Bytes from the serial port; b'' at its end."""
        try:
            return self.serial.recv(65536)
        except OSError:
            return b''

    def offer(self, data):
        """Sends what the serial port takes now; how many bytes that were. To wait for more: input_fileno(). A machine
        that has ended takes nothing."""
        try:
            return self.serial.offer(data)
        except OSError:
            return 0

    def input_fileno(self):
        return self.serial.input_fileno()

    def write(self, data):
        """Sends all of it, and waits for that. A machine that has ended takes nothing: read() and poll() say so."""
        end = time.monotonic() + DEAF
        while data and self.poll():
            taken = self.offer(data)
            data = data[taken:]
            if taken:
                end = time.monotonic() + DEAF
            elif time.monotonic() > end:
                raise TimeoutError(f'the machine has not taken {len(data)} bytes of what was typed')
            else:
                select.select([], [self.input_fileno()], [], 0.5)

    def poll(self):
        """True while it runs."""
        return self.process.poll() is None

    def emulator_log(self):
        text = ''
        for path in (self.output, os.path.join(self.work, 'bochs.log')):
            try:
                with open(path, encoding='utf-8', errors='replace') as f:
                    text += f.read()
            except OSError:
                pass
        return text

    def finish(self):
        """After its end: 'off' (it powered itself off), 'reset', 'exited' (by the shell's `exit` with another code than
        0: exit_code), or 'failed'."""
        if self.how_it_ended:
            return self.how_it_ended
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:  # its serial port is gone, itself it is not
            self.process.kill()
            status = self.process.wait()
        if self.on == 'bochs':
            log = self.emulator_log()
            if re.search(
                r'ACPI control: soft power off|Shutdown port: shutdown requested|shutdown requested', log, re.I
            ):
                self.how_it_ended = 'off'
            elif 'hardware reset' in log and 'triple' not in log.lower():
                self.how_it_ended = 'reset'
            else:
                self.how_it_ended = 'failed'
        else:
            reason = self.qmp.shutdown_reason() if self.qmp else ''
            if status == 0 and reason == 'guest-shutdown':
                self.how_it_ended = 'off'
            elif status == 0 and reason == 'guest-reset':
                self.how_it_ended = 'reset'
            elif status > 1 and status & 1:
                self.how_it_ended, self.exit_code = 'exited', status >> 1
            elif status == 1 and not reason and not self.emulator_log().strip():
                self.how_it_ended = 'off'  # isa-debug-exit with 0; what else ends QEMU with 1 says why
            else:
                self.how_it_ended = 'failed'
        return self.how_it_ended

    def stop(self):
        """Ends the emulator if it still runs, and removes its files."""
        if self.process and self.process.poll() is None:
            self.how_it_ended = self.how_it_ended or 'stopped'
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for s in (self.serial, self.qmp):
            if s:
                s.close()
        shutil.rmtree(self.work, ignore_errors=True)


class Qmp:
    """QEMU's control socket: events are kept, commands are answered."""

    def __init__(self, connection):
        self.socket, self.buffer, self.events = connection, b'', []

    def _message(self, timeout):
        self.socket.settimeout(timeout)
        while b'\n' not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError('QEMU has closed its control socket')
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return json.loads(line)

    def command(self, name, **arguments):
        self.socket.sendall(
            json.dumps({'execute': name, 'arguments': arguments} if arguments else {'execute': name}).encode() + b'\n'
        )
        while True:
            message = self._message(120)
            if 'event' in message:
                self.events.append(message)
            elif 'return' in message:
                return message['return']
            elif 'error' in message:
                raise RuntimeError(f"{name}: {message['error']['desc']}")

    def monitor(self, line):
        return self.command('human-monitor-command', **{'command-line': line})

    def shutdown_reason(self):
        try:
            while True:
                message = self._message(10)
                if 'event' in message:
                    self.events.append(message)
        except (ConnectionError, OSError, ValueError):
            pass
        for event in self.events:
            if event['event'] == 'SHUTDOWN':
                return event['data'].get('reason', '')
        return ''

    def close(self):
        self.socket.close()
