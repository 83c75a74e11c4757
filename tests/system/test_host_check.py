# SPDX-License-Identifier: Apache-2.0
"""./mullion check looks into the files with the monitor's own loaders, and agrees with the boot about what fits."""
import gzip
import os

import pytest

from harness import Box, guest
from host import conf as host_conf
from host_command import answer

MANY = ''.join(guest(f't{i}', 'tiny.elf', 'share = 6% of cpu 1', memory='2M') for i in range(13))


def check(path, *more):
    return answer('check', str(path), *more)


@pytest.mark.parametrize(
    'keys, told',
    [
        (
            {'kernel': 'words.txt'},
            'one.conf:1: guest \'g\' cannot start: the kernel image is none of: Linux bzImage, ELF with Multiboot 1',
        ),
        ({'kernel': 'program'}, 'the kernel image is an ELF file with neither a Multiboot 1 header'),
        ({'kernel': 'vmlinuz', 'memory': '16M'}, 'the Linux kernel needs memory at 0x1000000'),
        ({'kernel': 'vmlinuz', 'memory': '16M'}, "(its 'memory' is too small)"),
        ({'kernel': 'vmlinuz', 'memory': '256M', 'modules': 'words.txt, program'}, 'a Linux guest takes one module'),
        ({'kernel': 'vmlinuz', 'memory': '256M', 'cmdline': 'x' * 2047}, ''),
        ({'kernel': 'tiny.elf', 'memory': '1M'}, "memory: '1M' is too small; 2M to 4096G"),
        ({'kernel': 'empty'}, "the module 'empty' is empty"),
    ],
)
def test_what_cannot_start_is_told(tmp_path, keys, told):
    (tmp_path / 'words.txt').write_text('no kernel\n')
    (tmp_path / 'empty').write_text('')
    os.symlink('/bin/true', tmp_path / 'program')
    (tmp_path / 'one.conf').write_text(guest('g', **keys))
    status, text = check(tmp_path / 'one.conf')
    assert (status, told in text) == (1 if told else 0, True), text


@pytest.mark.parametrize(
    'keys, told',
    [
        ({'kernel': 'tiny.elf', 'initrd': 'words.txt'}, 'gets its initrd as the first of its modules'),
        ({'kernel': 'tiny.elf', 'modules': 'words.txt'}, ''),
        ({'kernel': 'realmode.bin', 'modules': 'words.txt'}, 'gets neither initrd nor modules'),
    ],
)
def test_files_that_a_guest_does_not_look_at_are_noted(tmp_path, keys, told):
    (tmp_path / 'words.txt').write_text('no kernel\n')
    (tmp_path / 'one.conf').write_text(guest('g', **keys))
    status, text = check(tmp_path / 'one.conf')
    assert status == 0 and 'no mistakes' in text
    assert ('note: ' in text, told in text) == (told != '', True), text


def test_as_much_memory_as_all_need(tmp_path):
    """Without --memory the machine has room for every guest: in the kernel's pool, too."""
    for count, more in ((1, {}), (13, {}), (100, {}), (100, {'memory': '16M'})):
        text = ''.join(guest(f't{i}', 'tiny.elf', f'share = 2% of cpu {i % 4}', **more) for i in range(count))
        (tmp_path / 'many.conf').write_text(text)
        status, text = check(tmp_path / 'many.conf')
        assert (status, 'no mistakes' in text) == (0, True), text


def test_the_pool_is_counted_alike():
    """The host's sums are those of include/mullion/pool.h: its unit test's figures."""
    figures = ((64, 1, 4), (512, 4, 32), (1024, 4, 64), (16384, 64, 320), (1 << 20, 1024, 512))
    assert [host_conf.pool_bytes(ram << 20, cpus) >> 20 for ram, cpus, _ in figures] == [pool for _, _, pool in figures]


@pytest.mark.qemu
def test_check_and_boot_agree(tmp_path):
    """On the smallest machine that check promises to be enough, every guest starts. At 120M the kernel's pool is as
    large as 6M or 8M, by what firmware takes."""
    (tmp_path / 'many.conf').write_text(MANY)
    sizes = [megs for megs in range(112, 160, 4) if check(tmp_path / 'many.conf', '--memory', f'{megs}M')[0] == 0]
    assert 120 < sizes[0] < 144 and sizes == list(range(sizes[0], 160, 4))
    with Box(MANY, cpus=2, memory=sizes[0] << 20) as box:
        box.wait(r"Mullion's shell, version \S+\. 13 guests", 30)
        for i in range(13):
            box.until(f't{i}', 'tiny ready', 60)


def test_a_packed_file_fills_no_disk(tmp_path, monkeypatch):
    """A few bytes may unpack to more than any machine takes as a module."""
    monkeypatch.setattr(host_conf, 'UNPACKED_MAX', 8 << 20)
    (tmp_path / 'one.conf').write_text(guest('g', 'bomb'))
    (tmp_path / 'bomb').write_bytes(gzip.compress(bytes(64 << 20)))
    with pytest.raises(host_conf.UsageError, match='bomb is a gzip file .*: it holds more than 8 MiB'):
        host_conf.Conf(str(tmp_path / 'one.conf'), [])
