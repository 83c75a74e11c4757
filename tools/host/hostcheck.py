# SPDX-License-Identifier: Apache-2.0
"""Whether Mullion would run on the machine that this Linux runs on: `mullion check --host`. It only reads /proc and
/sys, so it is asked before the machine is started anew."""
import os
import re

SECURE_BOOT = 'sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c'  # UEFI 2.10, 3.3
GOOD, NOTE, BAD = 'ok', 'note', 'NO'


class Host:
    """root: another folder than /, for tests."""

    def __init__(self, root='/'):
        self.root = root
        cpuinfo = self.read('proc/cpuinfo')
        self.flags = set((re.search(r'^flags\s*:\s*(.*)', cpuinfo, re.M) or [0, ''])[1].split())
        self.vmx_flags = set((re.search(r'^vmx flags\s*:\s*(.*)', cpuinfo, re.M) or [0, ''])[1].split())
        self.vendor = (re.search(r'^vendor_id\s*:\s*(\S*)', cpuinfo, re.M) or [0, 'unknown'])[1]
        self.cpus = len(re.findall(r'^processor\s*:', cpuinfo, re.M))

    def read(self, path):
        try:
            with open(os.path.join(self.root, path), encoding='utf-8', errors='replace') as f:
                return f.read()
        except OSError:
            return ''

    def virtualization(self):
        if 'vmx' in self.flags:
            yield GOOD, 'VT-x: the CPU offers it'
            if 'ept' in self.flags | self.vmx_flags:
                yield GOOD, 'EPT: yes'
            else:
                yield BAD, 'EPT: no; Mullion needs it (Intel CPUs have it since 2008)'
        elif 'svm' in self.flags:
            yield GOOD, 'AMD-V: the CPU offers it'
            if 'npt' in self.flags:
                yield GOOD, 'NPT: yes'
            else:
                yield BAD, 'NPT: no; Mullion needs it (AMD CPUs have it since 2007)'
        else:
            yield BAD, (
                f'VT-x or AMD-V: no ({self.vendor}); if the CPU has it, switch it on in the firmware setup '
                '("VT-x", "Virtualization Technology" or "SVM Mode")'
            )
        if 'hypervisor' in self.flags:
            yield NOTE, 'this Linux itself runs under a hypervisor: Mullion needs nested virtualization there'

    def size(self):
        m = re.search(r'^MemTotal:\s*(\d+) kB', self.read('proc/meminfo'), re.M)
        megs = int(m.group(1)) >> 10 if m else 0
        x2apic = 'with x2APIC' if 'x2apic' in self.flags else 'without x2APIC (at most 255 CPUs)'
        yield (GOOD if megs >= 64 else BAD), f'{self.cpus} CPU(s) {x2apic}, {megs} MiB of memory'

    def serial(self):
        folder = os.path.join(self.root, 'sys/class/tty')
        for name in sorted(os.listdir(folder) if os.path.isdir(folder) else []):
            port = self.read(f'sys/class/tty/{name}/port').strip().lower()
            if port in ('0x3f8', '0x2f8') and self.read(f'sys/class/tty/{name}/type').strip() not in ('', '0'):
                option = '' if port == '0x3f8' else '; give the kernel serial=0x2f8'
                yield GOOD, f'serial port: {name} at {port}, for Mullion\'s shell at 115200 8N1{option}'
                return
        yield NOTE, "serial port: none at 0x3f8 or 0x2f8, or this Linux has not found it; Mullion's shell needs one"

    def firmware(self):
        if not os.path.isdir(os.path.join(self.root, 'sys/firmware/efi')):
            yield GOOD, 'firmware: BIOS'
            return
        try:
            with open(os.path.join(self.root, SECURE_BOOT), 'rb') as f:
                on = f.read()[4:5] == b'\x01'  # behind 4 bytes of attributes
        except OSError:
            on = False
        if on:
            yield BAD, 'firmware: UEFI with Secure Boot ON; switch it off in the setup, the image is not signed'
        else:
            yield GOOD, 'firmware: UEFI, Secure Boot off'

    def findings(self):
        """(GOOD, NOTE or BAD, sentence)"""
        return [*self.virtualization(), *self.size(), *self.serial(), *self.firmware()]


def check_host(root='/'):
    """Prints it; the exit status."""
    findings = Host(root).findings()
    for mark, text in findings:
        print(f'{mark:4}  {text}')
    bad = [text for mark, text in findings if mark == BAD]
    wrong = f'Mullion cannot run here: {len(bad)} of these must change'
    print(wrong if bad else 'Nothing here keeps Mullion from running')
    return 1 if bad else 0
