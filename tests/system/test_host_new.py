# SPDX-License-Identifier: Apache-2.0
"""The first hour: ./mullion new, ./mullion check --host, and the configurations in examples/, which run as they are."""
import glob
import os

import pexpect
import pytest

from harness import BUILD, ROOT
from host import hostcheck
from host_command import MULLION, answer

EXAMPLES = sorted(os.path.basename(path) for path in glob.glob(os.path.join(ROOT, 'examples', '*.conf')))
# What each example's guests write when they are up.
READY = {
    'linux.conf': [r'\[linux\] guest linux ready: Linux .*, 2 CPU'],
    'restart.conf': [r'\[first\] tiny ready'],
    'shares.conf': [r'\[half\] tiny ready', r'\[tenth\] tiny ready', r'\[rest\] tiny ready'],
}


def mullion(folder, *arguments):
    return answer(*arguments, cwd=folder)


@pytest.mark.parametrize('name', EXAMPLES)
def test_an_example_has_no_mistake(name):
    status, text = mullion(ROOT, 'check', f'examples/{name}')
    assert (status, 'no mistakes' in text, 'note' in text) == (0, True, False), text


@pytest.mark.qemu
@pytest.mark.parametrize('name', EXAMPLES)
def test_an_example_runs(name):
    command = ['run', os.path.join(ROOT, 'examples', name), '--boot', 'kernel', '--build', BUILD]
    child = pexpect.spawn(MULLION, command, timeout=120, encoding='utf-8', codec_errors='replace')
    left = list(READY[name])
    while left:
        left.pop(child.expect(left))
    child.send('\x01x')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_new_writes_what_has_no_mistakes(tmp_path):
    guests = os.path.join(BUILD, 'guests')
    linux = ('--linux', f'{guests}/vmlinuz-cloud', '--initrd', f'{guests}/initrd.gz')
    status, text = mullion(tmp_path, 'new', 'web', *linux)
    assert (status, text) == (0, './web.conf is written; next: ./mullion run ./web.conf\n')
    assert 'cmdline = console=ttyS0\n' in (tmp_path / 'web.conf').read_text()
    assert os.readlink(tmp_path / 'vmlinuz-cloud') == f'{guests}/vmlinuz-cloud'
    assert mullion(tmp_path, 'check', 'web.conf')[0] == 0

    before = (tmp_path / 'web.conf').read_text()
    status, text = mullion(tmp_path, 'new', 'web', '--multiboot', f'{guests}/tiny.elf')
    assert (status, './web.conf is there already' in text) == (1, True)
    assert (tmp_path / 'web.conf').read_text() == before

    status, text = mullion(tmp_path, 'new', 'small', '--multiboot', f'{guests}/tiny.elf', '--guest-memory', '8M')
    assert status == 0 and 'cmdline' not in (tmp_path / 'small.conf').read_text()


@pytest.mark.parametrize(
    'arguments, told',
    [
        (('root', '--multiboot', 'x'), "'root' cannot be a guest's name"),
        (('a b', '--multiboot', 'x'), "'a b' cannot be a guest's name"),
        (('web', '--multiboot', 'no/such'), 'no/such is not there'),
        (('web', '--multiboot', 'a, b'), 'takes no file name with a blank or a comma'),
        (('web', '--multiboot', 'sub/k'), 'k is there already, and is another file'),
        (('web', '--multiboot', 'k', '--initrd', 'k'), '--initrd goes with --linux'),
        (('web', '--linux', 'k'), 'cannot start: the kernel image is none of'),
        (('web',), 'one of the arguments --linux --multiboot is required'),
    ],
)
def test_new_refuses(tmp_path, arguments, told):
    (tmp_path / 'sub').mkdir()
    for name in ('a, b', 'sub/k', 'k'):
        (tmp_path / name).write_text('no kernel ' + name)
    status, text = mullion(tmp_path, 'new', *arguments)
    assert (status, told in text) == (1, True), text


def machine(folder, flags, efi=None, serial=None, megs=2048, vendor='GenuineIntel'):
    """A Linux's /proc and /sys."""
    (folder / 'proc').mkdir()
    cpu = f'processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n\n'
    (folder / 'proc' / 'cpuinfo').write_text(cpu * 2)
    (folder / 'proc' / 'meminfo').write_text(f'MemTotal:   {megs << 10} kB\n')
    if efi is not None:
        path = folder / hostcheck.SECURE_BOOT
        path.parent.mkdir(parents=True)
        path.write_bytes(b'\x06\0\0\0' + bytes([efi]))
    if serial:
        (folder / 'sys/class/tty/ttyS0').mkdir(parents=True)
        (folder / 'sys/class/tty/ttyS0/port').write_text(serial[0] + '\n')
        (folder / 'sys/class/tty/ttyS0/type').write_text(serial[1] + '\n')
    return str(folder)


@pytest.mark.parametrize(
    'what, status, told',
    [
        ({'flags': 'vmx ept x2apic', 'serial': ('0x3F8', '4')}, 0, ['VT-x: the CPU', 'EPT: yes', 'ttyS0 at 0x3f8']),
        ({'flags': 'svm npt', 'efi': 0}, 0, ['AMD-V: the CPU', 'NPT: yes', 'Secure Boot off', 'without x2APIC']),
        ({'flags': 'svm npt', 'efi': 1}, 1, ['NO    firmware: UEFI with Secure Boot ON', '1 of these must change']),
        ({'flags': 'vmx'}, 1, ['NO    EPT: no']),
        ({'flags': 'svm'}, 1, ['NO    NPT: no']),
        ({'flags': 'sse'}, 1, ['NO    VT-x or AMD-V: no (GenuineIntel)', 'firmware setup']),
        ({'flags': 'vmx ept hypervisor'}, 0, ['note  this Linux itself runs under a hypervisor']),
        ({'flags': 'vmx ept', 'megs': 32}, 1, ['NO    2 CPU(s)', '32 MiB']),
        ({'flags': 'vmx ept', 'serial': ('0x3F8', '0')}, 0, ['note  serial port: none']),
        ({'flags': 'vmx ept', 'serial': ('0x2F8', '4')}, 0, ['serial=0x2f8', 'firmware: BIOS']),
    ],
)
def test_what_is_said_of_a_machine(tmp_path, capsys, what, status, told):
    assert hostcheck.check_host(machine(tmp_path, **what)) == status
    text = capsys.readouterr().out
    assert all(words in text for words in told), text


def test_missing_default_guests_are_explained(tmp_path):
    (tmp_path / 'one.conf').write_text('[guest a]\ncpus = 1\nmemory = 256M\nkernel = vmlinuz-none\n')
    assert 'default-guests' not in mullion(tmp_path, 'check', 'one.conf')[1]
    (tmp_path / 'build').mkdir()
    os.symlink(os.path.join(BUILD, 'check-config'), tmp_path / 'build' / 'check-config')
    status, text = answer('check', os.path.join(ROOT, 'mullion.conf'), build=tmp_path / 'build')
    assert status == 1 and 'note: `make default-guests` fetches' in text
