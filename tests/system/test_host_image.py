# SPDX-License-Identifier: Apache-2.0
"""./mullion image: what it writes where. To a disk: what it refuses, what it asks, that it reads back what it wrote."""
import os
import re
import subprocess

import pexpect
import pytest

from harness import BUILD, guest
from host import stick
from host.conf import UsageError
from host.image import grub_words
from host_command import MULLION, answer



@pytest.fixture
def conf(tmp_path):
    path = tmp_path / 'one.conf'
    path.write_text(guest('tiny', 'tiny.elf', 'share = 50% of cpu 0'))
    return str(path)


def image(conf, out, *more):
    return answer('image', conf, '-o', str(out), *more)


@pytest.mark.parametrize(
    'out, told',
    [
        ('.', ' is a folder; -o takes a file or a whole disk'),
        ('/dev/full', '/dev/full is neither a file nor a disk'),
        ('no/such/x.iso', 'no/such: no such folder'),
    ],
)
def test_no_place_for_an_image(conf, tmp_path, out, told):
    before = os.listdir(tmp_path), os.stat('/dev/full').st_mode
    status, text = image(conf, tmp_path / out)
    assert (status, told in text) == (1, True), text
    assert (os.listdir(tmp_path), os.stat('/dev/full').st_mode) == before


def test_an_image_through_a_link(conf, tmp_path):
    """The link stays, what it leads to is written."""
    (tmp_path / 'there').mkdir()
    os.symlink('there/x.iso', tmp_path / 'x.iso')
    assert image(conf, tmp_path / 'x.iso')[0] == 0
    assert os.path.islink(tmp_path / 'x.iso') and os.listdir(tmp_path / 'there') == ['x.iso']


def test_links_as_modules(tmp_path):
    """As /vmlinuz is in every Debian. The image has the file, under a name with all that means something to xorriso."""
    folder = tmp_path / 'a = b, c'
    folder.mkdir()
    os.symlink(os.path.join(BUILD, 'guests', 'tiny.elf'), folder / 'kernel.elf')
    (folder / 'one.conf').write_text(guest('tiny', 'kernel.elf', 'share = 50% of cpu 0'))
    assert image(str(folder / 'one.conf'), tmp_path / 'x.iso')[0] == 0
    command = ['xorriso', '-indev', tmp_path / 'x.iso', '-osirrox', 'on', '-extract', '/boot', tmp_path / 'boot']
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    with open(os.path.join(BUILD, 'guests', 'tiny.elf'), 'rb') as f:
        assert (tmp_path / 'boot' / 'modules' / 'm0').read_bytes() == f.read()


def test_options_are_words_to_grub():
    assert grub_words("a;b it's  $x") == "'a;b' 'it'\\''s' '$x'"


class System:
    """A /sys and a /proc with a disk sdx (8:16) of 64 MiB that has a partition sdx1 (8:17)."""

    def __init__(self, folder):
        self.sys, self.proc = folder / 'sys', folder / 'proc'
        disk = self.sys / 'devices' / 'sdx'
        for path in (disk / 'device', disk / 'sdx1' / 'holders', disk / 'holders', self.sys / 'dev' / 'block'):
            path.mkdir(parents=True)
        (self.proc / 'self').mkdir(parents=True)
        self.disk = disk
        for name, text in (
            ('size', '131072'),
            ('removable', '1'),
            ('ro', '0'),
            ('dev', '8:16'),
            ('device/vendor', 'SanDisk '),
            ('device/model', 'Ultra'),
            ('sdx1/partition', '1'),
            ('sdx1/dev', '8:17'),
            ('sdx1/size', '65536'),
        ):
            (disk / name).write_text(text + '\n')
        os.symlink('../../devices/sdx', self.sys / 'dev' / 'block' / '8:16')
        os.symlink('../../devices/sdx/sdx1', self.sys / 'dev' / 'block' / '8:17')
        (self.proc / 'self' / 'mountinfo').write_text('22 1 9:1 / / rw - ext4 /dev/md1 rw\n')
        (self.proc / 'swaps').write_text('Filename Type Size\n/dev/sdy2 partition 1\n')

    def look(self, number='8:16'):
        return stick.Disk('/dev/sdx', number=number, sys=str(self.sys), proc=str(self.proc))


@pytest.fixture
def system(tmp_path):
    return System(tmp_path)


def test_a_disk_in_words(system):
    assert system.look().in_words() == '/dev/sdx: SanDisk Ultra, 64.0 MiB, removable'
    assert system.look().why_not(64 << 20) is None


def test_a_disk_that_is_too_small(system):
    assert 'too small: it has 67108864 bytes, the image 67108865' in system.look().why_not((64 << 20) + 1)


def test_a_partition(system):
    assert system.look('8:17').why_not(0) == '/dev/sdx is a partition; the image goes to the whole disk, /dev/sdx'


def test_a_write_protected_disk(system):
    (system.disk / 'ro').write_text('1\n')
    assert 'write-protected' in system.look().why_not(0)


@pytest.mark.parametrize('number', ['8:16', '8:17'])
def test_a_mounted_disk(system, number):
    (system.proc / 'self' / 'mountinfo').write_text(f'22 1 {number} / /my\\040stick rw - vfat /dev/x rw\n')
    assert '/my stick is mounted from it' in system.look().why_not(0)


def test_a_disk_that_the_system_uses(system):
    (system.disk / 'sdx1' / 'holders' / 'dm-0').write_text('')
    assert 'dm-0 lies on it' in system.look().why_not(0)
    os.unlink(system.disk / 'sdx1' / 'holders' / 'dm-0')
    (system.proc / 'swaps').write_text('Filename Type Size\n/dev/sdx1 partition 1\n')
    assert 'swaps to sdx1' in system.look().why_not(0)


def test_what_is_written_is_read_back(tmp_path, monkeypatch):
    (tmp_path / 'image').write_bytes(os.urandom((3 << 20) + 512))
    (tmp_path / 'disk').write_bytes(b'\xaa' * (5 << 20))
    told = []
    stick.write(str(tmp_path / 'image'), str(tmp_path / 'disk'), lambda *what: told.append(what))
    written = (tmp_path / 'image').read_bytes()
    assert (tmp_path / 'disk').read_bytes() == written + b'\xaa' * ((5 << 20) - len(written))
    assert told[-1] == ('verified', len(written), len(written)) and ('written', len(written), len(written)) in told

    def spoil(disk):
        disk.seek((2 << 20) + 7)
        disk.write(bytes([written[(2 << 20) + 7] ^ 1]))

    monkeypatch.setattr(stick, '_forget', spoil)
    with pytest.raises(UsageError, match=f'byte {(2 << 20) + 7} reads back wrong'):
        stick.write(str(tmp_path / 'image'), str(tmp_path / 'disk'), lambda *what: None)


@pytest.fixture
def loop(tmp_path):
    """A disk of 64 MiB that is a file. Where this user, or this system, has no loop devices, nothing can be tried."""
    with open(tmp_path / 'stick', 'wb') as f:
        f.truncate(64 << 20)
    command = ['losetup', '--find', '--show', str(tmp_path / 'stick')]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if made.returncode != 0:
        pytest.skip('no loop device can be made here')
    device = made.stdout.decode().strip()
    yield device, tmp_path / 'stick'
    subprocess.run(['losetup', '--detach', device], check=True)


def test_a_loop_device(conf, tmp_path, loop):
    device, file = loop
    status, text = image(conf, device)
    assert (status, 'there is no terminal to ask on; --force' in text) == (1, True), text
    assert not any(file.read_bytes())

    child = pexpect.spawn(MULLION, ['image', conf, '-o', device, '--build', BUILD], timeout=120, encoding='utf-8')
    child.expect(re.escape(f'{device}: ') + r'.*, 64\.0 MiB, not removable')
    child.expect('All that is on it will be lost')
    child.expect('Type yes: ')
    child.send('no\r')
    child.expect('nothing was written')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1 and not any(file.read_bytes())

    child = pexpect.spawn(MULLION, ['image', conf, '-o', device, '--build', BUILD], timeout=120, encoding='utf-8')
    child.expect('Type yes: ')
    child.send('yes\r')
    child.expect(r'written \d+ of \d+ MiB, 100%')
    child.expect(r'verified \d+ of \d+ MiB, 100%')
    child.expect('MiB written and verified')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert os.path.exists(device) and not os.path.isfile(device)
    assert image(conf, tmp_path / 'x.iso')[0] == 0
    assert file.stat().st_size == 64 << 20
    assert file.read_bytes()[0x8000:0x8006] == b'\x01CD001'  # the ISO 9660 volume descriptor

    assert image(conf, device, '--force')[0] == 0
