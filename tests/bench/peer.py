# SPDX-License-Identifier: Apache-2.0
"""The peer: Debian's Linux with KVM and Debian's QEMU, booted in the same emulated machine from an initrd made here,
running the same guest binary."""
import gzip
import os
import re
import shutil
import subprocess
import tempfile

import harness
from host.conf import UsageError
from host.emulator import Machine

KHZ = 1_000_000
QEMU = '/usr/bin/qemu-system-x86_64'
FIRMWARE = ('/usr/share/seabios/bios-256k.bin', '/usr/share/qemu/multiboot_dma.bin', '/usr/share/qemu/multiboot.bin',
            '/usr/share/qemu/kvmvapic.bin')
MODULES = ('virt/lib/irqbypass.ko', 'arch/x86/kvm/kvm.ko', 'drivers/crypto/ccp/ccp.ko', 'arch/x86/kvm/kvm-intel.ko',
           'arch/x86/kvm/kvm-amd.ko')
HOST_CMDLINE = 'console=ttyS0 loglevel=4 tsc_early_khz={khz} tsc=reliable'

INIT = r'''#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
exec </dev/console >/dev/console 2>&1
for m in irqbypass kvm ccp kvm-intel kvm-amd; do insmod /modules/$m.ko 2>/dev/null; done
read -r line < /proc/cmdline
run=
for word in $line; do case $word in peer=*) run=${word#peer=} ;; esac; done
[ -c /dev/kvm ] || echo "peer: no /dev/kvm"
qemu="/usr/bin/qemu-system-x86_64 -L /firmware -accel kvm -cpu host -machine pc -nodefaults -no-user-config"
qemu="$qemu -display none -monitor none -serial stdio -kernel /guest/bench.elf"
for what in $(echo $run | tr , ' '); do
    case $what in
    ops) $qemu -m 1024 -device pci-testdev -append mode=ops </dev/null ;;
    ipi) $qemu -m 64 -smp 2 -append mode=ipi </dev/null ;;
    linux) $qemu -m 512 -initrd /guest/kernel,/guest/initrd -append "mode=linux -- $(cat /guest/cmdline)" </dev/null ;;
    esac
    echo "peer: $what ended, $?"
done
sleep 1
poweroff -f
'''


def cpio(files):
    """A newc archive of (name, mode, bytes)."""
    out = bytearray()
    for number, (name, mode, data) in enumerate(list(files) + [('TRAILER!!!', 0, b'')]):
        head = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b'070701' + b''.join(b'%08X' % n for n in head) + name.encode() + b'\0'
        out += b'\0' * (-len(out) % 4) + data
        out += b'\0' * (-len(out) % 4)
    return bytes(out)


def read(path):
    with open(path, 'rb') as f:
        return f.read()


def libraries(program):
    text = subprocess.run(['ldd', program], stdout=subprocess.PIPE, check=True).stdout.decode()
    return sorted(set(re.findall(r'(/[^ ]+) \(0x', text)))


def kernel_modules(build):
    """KVM's modules from the package that vmlinuz is of."""
    folder = os.path.join(build, 'peer')
    with open(os.path.join(build, 'guests', 'versions.txt'), encoding='utf-8') as f:
        package, version = next(line.split()[1:3] for line in f if line.startswith('vmlinuz '))
    done = os.path.join(folder, f'{package}_{version}')
    if not os.path.exists(done):
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            run = subprocess.run(
                ['apt-get', '-o', 'APT::Sandbox::User=root', 'download', '-q', f'{package}={version}'],
                cwd=work,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            debs = [f for f in os.listdir(work) if f.endswith('.deb')]
            if run.returncode or not debs:
                raise UsageError(f'{package}={version} could not be downloaded:\n{run.stdout.decode()}')
            subprocess.run(['dpkg-deb', '-x', os.path.join(work, debs[0]), work], check=True)
            base = os.path.join(work, 'lib', 'modules', os.listdir(os.path.join(work, 'lib', 'modules'))[0], 'kernel')
            for m in MODULES:
                shutil.copy(os.path.join(base, m), folder)
        with open(done, 'w', encoding='utf-8'):
            pass
    return [
        (f'modules/{os.path.basename(m)}', 0o100644, read(os.path.join(folder, os.path.basename(m)))) for m in MODULES
    ]


def make_initrd(build, linux, cmdline):
    guests = os.path.join(build, 'guests')
    folders = ['bin', 'dev', 'proc', 'sys', 'usr', 'usr/bin', 'lib', 'lib/x86_64-linux-gnu', 'usr/lib',
               'usr/lib/x86_64-linux-gnu', 'lib64', 'modules', 'firmware', 'guest', 'tmp', 'var', 'var/tmp']
    files = [(f, 0o040755, b'') for f in folders]
    files += [('init', 0o100755, INIT.encode()), ('bin/busybox', 0o100755, read(os.path.join(guests, 'busybox'))),
              ('usr/bin/qemu-system-x86_64', 0o100755, read(QEMU))]
    files += [(lib.lstrip('/'), 0o100755, read(lib)) for lib in libraries(QEMU)]
    files += [('firmware/' + os.path.basename(f), 0o100644, read(f)) for f in FIRMWARE]
    files += kernel_modules(build)
    files += [('guest/bench.elf', 0o100644, read(os.path.join(guests, 'bench.elf'))),
              ('guest/kernel', 0o100644, read(os.path.join(guests, linux))),
              ('guest/initrd', 0o100644, read(os.path.join(guests, 'bench-initrd'))),
              ('guest/cmdline', 0o100644, cmdline.encode())]
    os.makedirs(os.path.join(build, 'peer'), exist_ok=True)
    with open(os.path.join(build, 'peer', 'initrd.gz'), 'wb') as f:
        f.write(gzip.compress(cpio(files), 1, mtime=0))


GRUB_CFG = '''serial --unit=0 --speed=115200
terminal_output console serial
set timeout=0
menuentry "peer" {{
    linux /boot/kernel {cmdline}
    initrd /boot/initrd
}}
'''


class PeerBox(harness.Box):
    """The peer's host in place of Mullion."""

    def __init__(self, on, build, options, what, machine=Machine, cpus=1, khz=KHZ):
        self.on, self.screen, self.ram_file = on, harness.Screen(), None
        self.mark = self.asked = 0
        self.work = tempfile.TemporaryDirectory(prefix='mullion-peer-')
        kernel, initrd = os.path.join(build, 'guests', 'vmlinuz'), os.path.join(build, 'peer', 'initrd.gz')
        cmdline = f'{HOST_CMDLINE.format(khz=khz)} {options} peer={what}'
        image = os.path.join(self.work.name, 'peer.iso')
        if on == 'bochs':
            grub = os.path.join(self.work.name, 'image', 'boot', 'grub')
            os.makedirs(grub)
            with open(os.path.join(grub, 'grub.cfg'), 'w', encoding='utf-8') as f:
                f.write(GRUB_CFG.format(cmdline=cmdline))
            subprocess.run(
                [
                    'grub-mkrescue',
                    '-o',
                    image,
                    '--install-modules=linux normal configfile iso9660 serial terminal',
                    '--locales=',
                    '--fonts=',
                    '--themes=',
                    os.path.dirname(os.path.dirname(grub)),
                    f'/boot/kernel={kernel}',
                    f'/boot/initrd={initrd}',
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        self.machine = machine(
            on=on,
            boot='kernel' if on == 'qemu' else 'cd',
            cpus=cpus,
            memory=2 << 30,
            image=image,
            kernel=kernel,
            options=cmdline,
            modules=[initrd],
            bochs_ips=1000 * khz,
        )
        try:
            self.machine.start()
        except BaseException:
            self.close()
            raise
