# SPDX-License-Identifier: Apache-2.0
"""The ./mullion command as a user and a script meet it."""
import gzip
import os

import pexpect
import pytest

from harness import BUILD, ROOT, guest
from host_command import MULLION, call as run

pytestmark = pytest.mark.qemu


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / 'one.conf'
    path.write_text(guest('tiny', 'tiny.elf', 'share = 50% of cpu 0'))
    return str(path)


def test_check(conf, tmp_path):
    assert run('check', conf).returncode == 0
    bad = tmp_path / 'bad.conf'
    bad.write_text(guest('tiny', 'tiny.elf', 'share = 50% of cpu 0', colour='blue'))
    result = run('check', str(bad))
    assert result.returncode == 1
    assert b'bad.conf:5: ' in result.stdout and b"unknown key 'colour'" in result.stdout


def test_check_notes(tmp_path):
    alone = tmp_path / 'alone.conf'
    alone.write_text(guest('tiny', 'tiny.elf', 'share = 50% of cpu 0', shared_memory='mail 128M rw'))
    result = run('check', str(alone))
    assert result.returncode == 0
    assert b"alone.conf:5: note: guest 'tiny' alone has region 'mail'" in result.stdout
    assert b'no mistakes; 1 CPU(s) and 256 MiB' in result.stdout  # there is room for what is shared


def test_default_configuration_is_right():
    assert run('check', os.path.join(ROOT, 'mullion.conf')).returncode == 0


@pytest.mark.parametrize(
    'arguments', [('check', '/no/such.conf'), ('run', '/no/such.conf'), ('image', '/no/such.conf', '-o', '/tmp/x.iso')]
)
def test_no_such_file(arguments):
    result = run(*arguments)
    assert result.returncode == 1 and b'/no/such.conf' in result.stdout


def test_usage_errors(conf):
    for arguments in (
        ('run', conf, '--cpus', '0'),
        ('run', conf, '--cpus', '1025'),
        ('run', conf, '--memory', 'much'),
        ('run', conf, '--on', 'vax'),
        ('fly', conf),
        ('run', conf, '--on', 'bochs', '--boot', 'kernel'),
    ):
        assert run(*arguments).returncode == 1, arguments


def test_timeout_and_serial_file_without_a_terminal(conf, tmp_path):
    serial = tmp_path / 'serial.txt'
    result = run('run', conf, '--boot', 'kernel', '--timeout', '8', '--serial', str(serial))
    assert result.returncode == 124
    assert b'tiny ready' in serial.read_bytes()
    assert b'tiny ready' in result.stdout


def test_a_packed_kernel(conf, tmp_path):
    """It is unpacked, so its true size counts; a broken one is told of."""
    plain = open(os.path.join(BUILD, 'guests', 'tiny.elf'), 'rb').read()
    packed = tmp_path / 'tiny.elf'
    packed.write_bytes(gzip.compress(plain))
    result = run('check', conf)
    assert result.returncode == 0, result.stdout
    packed.write_bytes(gzip.compress(plain)[:-20])
    result = run('check', conf)
    assert result.returncode == 1
    assert b'tiny.elf is a gzip file that cannot be unpacked: ' in result.stdout


def test_image(conf, tmp_path):
    out = tmp_path / 'x.iso'
    assert run('image', conf, '-o', str(out)).returncode == 0
    assert out.stat().st_size > 1 << 20


def test_terminal(conf):
    child = pexpect.spawn(
        MULLION, ['run', conf, '--build', BUILD], timeout=60, encoding='utf-8', codec_errors='replace'
    )
    child.expect('attach NAME')
    child.expect('tiny ready')
    child.send('\r')
    child.expect('mullion> ')
    child.send('attach tiny\r')
    child.expect('ttached')
    child.send('mullion: PANIC\r')  # the kernel's word; from a guest it means nothing
    child.expect('you typed: mullion: PANIC')
    child.send('\x1d')
    child.expect('mullion> ')
    child.send('poweroff now\r')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize('boot', ['kernel', 'cd', 'disk'])
def test_odd_paths(tmp_path, boot):
    """Blanks and commas, which mean something to the emulator, a folder whose name is too long for a socket's, and a
    kernel that is a link."""
    odd = tmp_path / 'my, own  guests'
    temporary = tmp_path / ('t, ' + 't' * 100)
    odd.mkdir()
    temporary.mkdir()
    os.symlink(os.path.join(BUILD, 'guests', 'tiny.elf'), odd / 'kernel.elf')
    (odd / 'a, b.conf').write_text(guest('tiny', 'kernel.elf', 'share = 50% of cpu 0'))
    child = pexpect.spawn(
        MULLION,
        ['run', str(odd / 'a, b.conf'), '--boot', boot, '--build', BUILD],
        timeout=60,
        encoding='utf-8',
        codec_errors='replace',
        env={**os.environ, 'TMPDIR': str(temporary)},
    )
    child.expect('tiny ready')
    child.send('\x01x')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0 and os.listdir(temporary) == []


def test_reboot(conf):
    child = pexpect.spawn(
        MULLION,
        ['run', conf, '--boot', 'kernel', '--build', BUILD, '--options', 'debug-exit'],
        timeout=60,
        encoding='utf-8',
        codec_errors='replace',
    )
    for command in ('reboot now\r', 'exit 7\r'):
        child.expect('tiny ready')
        child.send(command)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 7


def test_leaving(conf):
    child = pexpect.spawn(
        MULLION,
        ['run', conf, '--boot', 'kernel', '--build', BUILD],
        timeout=30,
        encoding='utf-8',
        codec_errors='replace',
    )
    child.expect('tiny ready')
    child.send('\x01x')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
