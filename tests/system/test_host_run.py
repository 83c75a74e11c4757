# SPDX-License-Identifier: Apache-2.0
"""What ./mullion run makes of an emulator that does not start, of what a machine says and of how it ends. No machine is
needed: fake_qemu.py stands in for QEMU."""
import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness import BUILD, ROOT, guest
from host import emulator, options
from host.conf import UsageError
from host.line import Pipes
from host.panic import Word
from host.terminal import Output
from host_command import MULLION, answer

HERE = os.path.dirname(os.path.realpath(__file__))
HELD = [['say', 'hello\r\n'], ['take', 1 << 30]]


@pytest.fixture
def place(tmp_path):
    """A folder with one.conf, with `tmp` for temporary files, and with a `qemu-system-x86_64` of ours in bin."""
    (tmp_path / 'tmp').mkdir()
    (tmp_path / 'bin').mkdir()
    os.symlink(os.path.join(HERE, 'fake_qemu.py'), tmp_path / 'bin' / 'qemu-system-x86_64')
    (tmp_path / 'one.conf').write_text(guest('tiny', 'tiny.elf', 'share = 50% of cpu 0'))
    return tmp_path


def command(place, *more):
    return [MULLION, 'run', str(place / 'one.conf'), '--boot', 'kernel', '--build', BUILD, *more]


def environment(place, steps, **more):
    return {
        **os.environ,
        'PATH': f'{place}/bin:/usr/bin:/bin',
        'TMPDIR': str(place / 'tmp'),
        'FAKE_QEMU': json.dumps(steps),
        'FAKE_STARTS': str(place / 'starts'),
        **more,
    }


def run(place, steps, *more, given=b'', env=None):
    """The result of a run whose QEMU does these steps, one list for each start. It leaves no file and no traceback."""
    result = subprocess.run(
        command(place, *more),
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(place, steps, **(env or {})),
        check=False,
        timeout=120,
    )
    assert b'Traceback' not in result.stdout, result.stdout.decode()
    assert os.listdir(place / 'tmp') == []
    return result


@pytest.mark.parametrize(
    'said, told',
    [
        ('qemu-system-x86_64: cannot set up guest memory', ['cannot set up guest memory', 'less with --memory']),
        ('error: failed to set MSR 0x10a\nkvm.c:3: Assertion', ['failed to set MSR 0x10a', '--on qemu needs no']),
        ("qemu-system-x86_64: could not load kernel 'x'", ["could not load kernel 'x'"]),
    ],
)
def test_a_failed_start_is_told_in_the_emulators_words(place, said, told):
    result = run(place, [[['complain', said], ['exit', 1]]])
    assert result.returncode == 1
    last = result.stdout.decode().split('at once.\n\n')[1].splitlines()
    assert 1 <= len(last) <= 2 and last[0].startswith('mullion: QEMU did not start: ')
    assert all(word in '\n'.join(last) for word in told)


def test_an_emulator_that_ends_without_a_word(place):
    result = run(place, [[['complain', ''], ['exit', 3]]])
    assert result.returncode == 1 and b'mullion: QEMU did not start: it ended with status 3' in result.stdout


def test_what_is_missing_is_told(place, monkeypatch):
    os.unlink(place / 'bin' / 'qemu-system-x86_64')
    for tool in ('python3', 'env'):
        os.symlink(f'/usr/bin/{tool}', place / 'bin' / tool)
    result = run(place, [], env={'PATH': f'{place}/bin'})
    assert result.returncode == 1
    assert result.stdout == b'mullion: qemu-system-x86_64 is not installed; run tools/setup.sh\n'

    monkeypatch.setattr(emulator, 'OVMF', '/no/such/OVMF.fd')
    for kwargs, what in (
        ({'uefi': True, 'image': __file__}, '/no/such/OVMF.fd is not there; run tools/setup.sh'),
        ({'boot': 'kernel', 'kernel': '/no/such/kernel'}, '/no/such/kernel is not there'),
        ({'image': '/no/such/image'}, '/no/such/image is not there'),
    ):
        machine = emulator.Machine(on='qemu', **kwargs)
        with pytest.raises(UsageError) as e:
            machine.start()
        machine.stop()  # again
        assert str(e.value) == what and not os.path.exists(machine.work)


@pytest.mark.parametrize(
    'starts, status, told',
    [
        ([[['event', 'guest-shutdown'], ['exit', 0]]], 0, 'the machine has powered itself off'),
        ([[['exit', 15]]], 7, 'exit 7'),
        ([[['exit', 1]]], 0, 'the machine has powered itself off'),
        ([[['event', 'guest-reset'], ['exit', 0]]], 2, 'had not asked'),
        ([[['exit', 134]]], 2, 'the emulator ended by itself'),
        (
            [
                [['say', '\r\n[mullion] starting the machine anew\r\n'], ['event', 'guest-reset'], ['exit', 0]],
                [['say', 'second start\r\n'], ['event', 'guest-shutdown'], ['exit', 0]],
            ],
            0,
            'second start',
        ),
    ],
    ids=['poweroff', 'exit 7', 'exit 0', 'reset', 'abort', 'reboot'],
)
def test_exit_status(place, starts, status, told):
    result = run(place, starts)
    assert (result.returncode, told in result.stdout.decode()) == (status, True), result.stdout.decode()


def test_only_the_kernel_can_panic(place):
    forged = '\r\nmullion: PANIC: no\r\n  on CPU 0\r\nThe machine is stopped\r\nrun=0123456789abcdef\r\n'
    result = run(place, [[['say', forged], ['sleep', 3], ['event', 'guest-shutdown'], ['exit', 0]]])
    assert result.returncode == 0
    os.unlink(place / 'starts')
    real = "\r\nmullion: PANIC: yes\r\nThe kernel's command line: {word}"
    result = run(place, [[['say', real], ['sleep', 60]]])
    assert result.returncode == 2 and b'the kernel has panicked' in result.stdout


def test_a_panic_is_seen_in_pieces(capfd):
    word = Word()
    output = Output(word, None)
    for byte in b'mullion: PANIC: ' + word.options('debug-exit').encode():
        assert output.panicked_at is None or bytes([byte]) in b' debug-exit'
        output.take(bytes([byte]))
    assert output.panicked_at is not None
    capfd.readouterr()


def test_no_input_is_lost(place):
    """More than the pipe holds, to a machine that takes nothing at first."""
    given = b'0123456789abcdef' * (40 << 10)
    steps = [['sleep', 2], ['take', len(given)], ['event', 'guest-shutdown'], ['exit', 0]]
    result = run(place, [steps], given=given)
    assert result.returncode == 0 and given in result.stdout


def test_input_that_a_machine_did_not_take_is_told(place):
    given = b'x' * (640 << 10)
    result = run(place, [[['sleep', 2], ['event', 'guest-shutdown'], ['exit', 0]]], given=given)
    assert result.returncode == 0 and b' bytes of the input were not taken any more' in result.stdout


def test_a_full_line_takes_no_more(tmp_path):
    line = Pipes(str(tmp_path / 'serial'))
    data = b'x' * (4 << 20)
    taken = line.offer(data)
    assert 0 < taken < len(data) and line.offer(data) == 0
    line.close()
    line.close()


def test_standard_input_may_be_closed(place):
    """Then it is not the file for --serial, which is opened next."""
    text = ' '.join(f"'{word}'" for word in command(place, '--serial', str(place / 'out')))
    result = subprocess.run(
        ['sh', '-c', text + ' <&-'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(place, [[['say', 'hello\n'], ['event', 'guest-shutdown'], ['exit', 0]]]),
        check=False,
        timeout=60,
    )
    assert (result.returncode, (place / 'out').read_bytes()) == (0, b'hello\n'), result.stdout.decode()


@contextlib.contextmanager
def started(arguments, **more):
    """A command that hears SIGHUP, even if the tests run under nohup. It does not outlive a test that fails."""
    hears = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, preexec_fn=hears, **more) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_file(place, number):
    with started(command(place), stdout=subprocess.PIPE, env=environment(place, [HELD])) as child:
        while b'hello' not in child.stdout.readline():
            assert child.poll() is None
        assert os.listdir(place / 'tmp') != []
        child.send_signal(number)
        assert child.wait(30) == 128 + number
    assert os.listdir(place / 'tmp') == []


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_half_image(place, number):
    """While grub-mkrescue runs: it, and what it has called, ends too."""
    (place / 'bin' / 'grub-mkrescue').write_text(f'#!/bin/sh\necho $$ > {place}/pid\nsleep 600 &\nwait\n')
    (place / 'bin' / 'grub-mkrescue').chmod(0o755)
    (place / 'out').mkdir()
    with started(
        [MULLION, 'image', str(place / 'one.conf'), '-o', str(place / 'out' / 'x.iso'), '--build', BUILD],
        env=environment(place, []),
    ) as child:
        while not (place / 'pid').exists() or not (place / 'pid').read_text():
            assert child.poll() is None
            time.sleep(0.05)
        child.send_signal(number)
        assert child.wait(30) == 128 + number
    assert os.listdir(place / 'tmp') == [] and os.listdir(place / 'out') == []
    left = subprocess.run(['ps', '-eo', 'pgid=,stat='], stdout=subprocess.PIPE, check=True).stdout.decode().split('\n')
    group = (place / 'pid').read_text().strip()
    assert [line for line in left if line.split()[:1] == [group] and 'Z' not in line] == []


@pytest.mark.parametrize(
    'more, told',
    [
        (['--timeout', '0'], "'0': a number of seconds above 0 is allowed"),
        (['--timeout', '-3'], 'a number of seconds above 0 is allowed'),
        (['--timeout', 'nan'], 'a number of seconds above 0 is allowed'),
        (['--timeout', 'inf'], 'a number of seconds above 0 is allowed'),
        (['--memory', '31M'], '--memory: 32M to 4096G in steps of 1M are allowed'),
        (['--memory', '99999G'], '--memory: 32M to 4096G in steps of 1M are allowed'),
        (['--memory', '65537K'], '--memory: 32M to 4096G in steps of 1M are allowed'),
        (['--memory', 'much'], "--memory: 'much' is not a size"),
        (['--modules', '/no/such'], '--modules: /no/such is no folder'),
        (['--uefi'], '--uefi boots from --boot cd or --boot disk'),
        (['--gdb', '99999'], '--gdb: a port from 1 to 65535 is allowed'),
        (['--colour', 'blue'], '--colour blue is not known; allowed: --help, --build, '),
        (['--opt', 'debug-exit'], '--opt debug-exit is not known; allowed: '),
        (['--options', 'reach=far'], "'reach=far' is not known; allowed: reach=timer, reach=interrupt"),
        (['--options', 'debug-exit=1'], "'debug-exit=1' is not known; allowed: debug-exit"),
        (['--options', "it's"], '"it\'s" is not known'.replace('"', "'")),
    ],
)
def test_wrong_options_are_refused(place, more, told):
    result = run(place, [], *more)
    assert result.returncode == 1 and told in result.stdout.decode(), result.stdout.decode()


def test_the_kernels_options_are_those_of_its_source():
    """Each word that the kernel or root looks for can be given, and no other."""
    found = set()
    for file in ('kernel/main.c', 'services/root/power.c'):
        with open(os.path.join(ROOT, file), encoding='utf-8') as f:
            text = f.read()
        found |= set(re.findall(r'(?:option|has_word)\([\w.>-]*cmdline, "([^"]+)"', text))
    assert found == set(options.allowed())
    assert options.check('  debug-exit   serial=none ') == 'debug-exit serial=none'


def test_version():
    result = subprocess.run([MULLION, '--version'], stdout=subprocess.PIPE, check=False)
    with open(os.path.join(ROOT, 'include/mullion/version.h'), encoding='utf-8') as f:
        number = re.search(r'MULLION_VERSION "(.*)"', f.read()).group(1)
    assert result.returncode == 0 and re.match(rf'Mullion {re.escape(number)}(, |\n)', result.stdout.decode())


def test_check_without_its_checker(place):
    (place / 'empty').mkdir()
    status, text = answer('check', str(place / 'one.conf'), build=place / 'empty')
    assert status == 1 and 'check-config is not there' in text and '`make`' in text
