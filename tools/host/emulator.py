# SPDX-License-Identifier: Apache-2.0
"""Starts an emulated machine and says how it ended. The machine's serial port is a socket, or two pipes, in our hands;
the emulator is our child, dies with us, and is ended by its process id."""
import ctypes
import fcntl
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

OVMF = '/usr/share/ovmf/OVMF.fd'
BOCHS_SHARE = '/usr/share/bochs'

BOCHSRC = '''config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0
memory: guest={megs}, host={host}
romimage: file={bios}
vgaromimage: file={share}/VGABIOS-lgpl-latest
boot: {boot}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
{drive}
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
clock: sync=none, time0=utc
speaker: enabled=0
sound: driver=dummy
log: {work}/bochs.log
panic: action=fatal
error: action=report{calm}
info: action=report{quiet}
debug: action=ignore
'''


def die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """What to run: on (a name of machines.NAMES), cpus, memory in bytes, boot ('cd', 'disk', 'kernel'), uefi. Then
    start(), poll(), read(), write(), stop(). row: the machine's; on: its emulator.

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
        self.how_it_ended = None  # 'off', 'reset', 'failed', 'stopped'
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
        except BaseException:
            self.stop()
            raise
        return self

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
            )

    def _accept(self, listener, what):
        """The emulator's connection to one of our sockets."""
        listener.settimeout(0.2)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                connection = listener.accept()[0]
                listener.close()
                return connection
            except socket.timeout:
                if self.process.poll() is not None:
                    break
        raise UsageError(f'{self.on} did not start ({what}): {self.emulator_log()}')

    def _start_qemu(self):
        serial, control = os.path.join(self.work, 'serial'), os.path.join(self.work, 'qmp')
        self.serial = Pipes(serial)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(control)
        listener.listen(1)
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
            f'pipe,id=com1,path={serial}',
            '-serial',
            'chardev:com1',
            '-chardev',
            f'socket,id=qmp,path={control}',
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
            command += ['-object', f'memory-backend-file,id=ram,size={megs}M,mem-path={self.ram_file},share=on']
            command[command.index(self.machine)] += ',memory-backend=ram'
        if self.uefi:
            if not os.path.exists(OVMF):
                raise UsageError(f'{OVMF} is not there; run tools/setup.sh')
            command += ['-bios', OVMF]
        if self.boot == 'kernel':
            command += ['-kernel', self.kernel, '-append', self.options]
            if self.modules:
                command += ['-initrd', ','.join(file.replace(',', ',,') for file in self.modules)]
        elif self.boot == 'disk':
            command += [
                '-drive',
                f'file={self.image},format=raw,if=none,id=disk,snapshot=on',
                '-device',
                'ide-hd,drive=disk,bootindex=0',
            ]
        else:
            command += [
                '-drive',
                f'file={self.image},format=raw,if=none,id=cd,media=cdrom,readonly=on',
                '-device',
                'ide-cd,drive=cd,bootindex=0',
            ]
        self._spawn(command + self.extra)
        self.qmp = Qmp(self._accept(listener, 'control'))

    def _start_bochs(self):
        if self.boot == 'kernel' or self.uefi:
            raise UsageError('Bochs boots from --boot cd or --boot disk, with BIOS only')
        listener = socket.socket()
        listener.bind(('127.0.0.1', 0))
        listener.listen(1)
        image = self.image
        if self.boot == 'disk':
            # Bochs wants whole cylinders of 16 heads and 63 sectors.
            cylinder = 16 * 63 * 512
            image = os.path.join(self.work, 'disk.img')
            shutil.copyfile(self.image, image)
            cylinders = (os.path.getsize(image) + cylinder - 1) // cylinder
            os.truncate(image, cylinders * cylinder)
            shape = f'cylinders={cylinders}, heads=16, spt=63, translation=lba'
            drive = f'ata0-master: type=disk, path={image}, mode=volatile, {shape}'
        else:
            drive = f'ata0-master: type=cdrom, path={image}, status=inserted'
        of_cpus = ''.join(f', cpu{i:x}=ignore' for i in range(self.cpus))
        rc = os.path.join(self.work, 'bochsrc')
        with open(rc, 'w', encoding='utf-8') as f:
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
                    share=BOCHS_SHARE,
                    bios=self.bochs_bios,
                    drive=drive,
                    work=self.work,
                    boot='disk' if self.boot == 'disk' else 'cdrom',
                    port=listener.getsockname()[1],
                )
            )
        command = ['bochs', '-q', '-f', rc]
        # Debian's Bochs 2.7 starts in its debugger, which waits for a command; Bochs 3 has one with -debugger only.
        if machines.major('bochs') < 3:
            start = os.path.join(self.work, 'debugger')
            with open(start, 'w', encoding='utf-8') as f:
                f.write('c\n')
            command += ['-rc', start]
        self._spawn(command)
        self.serial = self._accept(listener, 'serial port')

    # -- running

    def fileno(self):
        return self.serial.fileno()

    def read(self):
        """Bytes from the serial port; b'' at its end."""
        try:
            return self.serial.recv(65536)
        except (ConnectionResetError, OSError):
            return b''

    def write(self, data):
        try:
            self.serial.sendall(data)
        except OSError:
            pass

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
        """After its end: 'off' (it powered itself off), 'reset', or 'failed'."""
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
            elif status & 1 and status != 1:
                self.how_it_ended = 'off' if status >> 1 == 0 else 'failed'
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


class Pipes:
    """QEMU's serial port as two named pipes, with a socket's methods. It sends byte by byte: of such, a socket that is
    not read holds some 300, a pipe as many as it has room for; and a machine whose counted clock runs ahead would call
    a line dead that only waits for us."""

    ROOM = 1 << 20

    def __init__(self, path):
        for end in ('in', 'out'):
            os.mkfifo(f'{path}.{end}', 0o600)
        self.to = os.open(f'{path}.in', os.O_RDWR | os.O_NONBLOCK)
        self.out = os.open(f'{path}.out', os.O_RDONLY | os.O_NONBLOCK)
        try:
            fcntl.fcntl(self.out, fcntl.F_SETPIPE_SZ, self.ROOM)
        except OSError:
            pass  # this user may not: then it is 64 KiB

    def fileno(self):
        return self.out

    def recv(self, size):
        return os.read(self.out, size)

    def sendall(self, data):
        while data:
            select.select([], [self.to], [], 5)
            data = data[os.write(self.to, data) :]

    def close(self):
        os.close(self.to)
        os.close(self.out)


class Qmp:
    """QEMU's control socket: events are kept, commands are answered."""

    def __init__(self, connection):
        self.socket, self.buffer, self.events = connection, b'', []
        self.command('qmp_capabilities')

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
