# SPDX-License-Identifier: Apache-2.0
"""Ways to boot, sizes of machine, and machines that cannot."""
import struct

import pytest

from harness import PANIC, PROMPT, Box, guest

TINY = guest('tiny', 'tiny.elf', 'share = 50% of cpu 0')


def to_the_prompt(box):
    box.wait(r'\[tiny\] tiny ready', 60)
    box.in_guest('tiny', 'hello', r'you typed: hello')
    box.settle()
    box.type('poweroff now\r')
    assert box.ends() == 'off'


@pytest.mark.qemu
@pytest.mark.parametrize(
    'boot, how',
    [
        ('cd', {}),
        ('cd', {'multiboot1': True}),
        ('disk', {}),
        ('kernel', {}),
        ('cd', {'uefi': True}),
        ('disk', {'uefi': True}),
        ('cd', {'machine': 'pc'}),
    ],
    ids=str,
)
def test_qemu_boot(boot, how):
    with Box(TINY, boot=boot, cpus=2, memory=256 << 20, **how) as box:
        to_the_prompt(box)


@pytest.mark.qemu
@pytest.mark.parametrize('cpus', [1, 2, 4, 8])
def test_qemu_cpus(cpus):
    last = cpus - 1
    conf = TINY + (guest('far', 'counter.elf', f'cpus = {last}') if last else '')
    with Box(conf, cpus=cpus, memory=192 << 20) as box:
        if last:
            box.wait(r'\[far\] count 3', 30)
            box.mark = 0
        to_the_prompt(box)


@pytest.fixture(scope='module')
def megahertz():
    """The clock's rate, as an ordinary boot measures it."""
    with Box(TINY, cpus=1, memory=128 << 20) as box:
        return float(box.wait(r'CPUs? at ([\d.]+) MHz', 30).group(1))


@pytest.mark.qemu
@pytest.mark.parametrize('without', ['pit=off', 'pic=off', 'pit=off,pic=off'])
def test_a_timer_that_is_not_there(megahertz, without):
    """The clock's rate is right by what timers there are, and guests run by it."""
    with Box(TINY, cpus=1, memory=128 << 20, machine=f'q35,{without}') as box:
        rate = float(box.wait(r'CPUs? at ([\d.]+) MHz', 30).group(1))
        assert abs(rate / megahertz - 1) < 0.002, f'{rate} MHz, and {megahertz} with all timers'
        box.mark = 0
        to_the_prompt(box)


@pytest.mark.qemu
def test_boot_information_with_something_wrong(tmp_path):
    """Modules: two of one name, an empty one, and a folder so deep that its names do not fit into 127 bytes. A second
    table of CPUs, with one that is not there."""
    deep = tmp_path.joinpath(*['folder-of-a-deep-checkout'] * 6)
    deep.mkdir(parents=True)
    for name, text in ('tiny.elf', 'not this one'), ('empty', ''), ('deep.elf', 'x'):
        (deep / name).write_text(text)
    conf = TINY + guest('second', 'deep.elf', 'share = 10% of cpu 0')
    cpu = bytes([0, 8, 1, 1, 1, 0, 0, 0])
    (tmp_path / 'madt').write_bytes(struct.pack('<II', 0xFEE00000, 0) + cpu)
    madt = ['-acpitable', f'sig=APIC,rev=1,data={tmp_path}/madt']
    with Box(conf, memory=128 << 20, also=sorted(deep.iterdir()), extra=madt) as box:
        box.wait(r'^1 CPUs at', 30)
        box.wait(r"^warning: boot module \d, 'empty', is empty\n", 30)
        box.wait(r"^warning: boot modules \d and \d are both called 'tiny.elf'; the first one is used\n", 30)
        box.wait(r'^warning: the firmware has 2 tables of CPUs and interrupts \(MADT\); the first one is used\n', 30)
        box.wait(r'guest second: its monitor starts', 30)
        box.mark = 0
        to_the_prompt(box)


@pytest.mark.qemu
def test_the_second_serial_port():
    """Its own interrupt line brings what is typed: nothing polls."""
    second = ['-global', 'isa-serial.iobase=0x2f8', '-global', 'isa-serial.irq=3']
    with Box(TINY, memory=128 << 20, options='serial=0x2f8', extra=second) as box:
        to_the_prompt(box)


@pytest.mark.qemu
@pytest.mark.parametrize('megs', [64, 3000, 8192])
def test_qemu_memory(megs):
    conf = TINY + (guest('big', 'counter.elf', 'share = 10% of cpu 0', memory=f'{megs - 700}M') if megs > 1000 else '')
    with Box(conf, memory=megs << 20) as box:
        if megs > 1000:
            box.wait(r'\[big\] count 3', 60)
            box.mark = 0
        to_the_prompt(box)


@pytest.mark.bochs
@pytest.mark.parametrize('boot, cpus, megs', [('disk', 1, 64), ('cd', 2, 3000)])
def test_bochs_boot(boot, cpus, megs):
    conf = TINY + (guest('far', 'counter.elf', f'cpus = {cpus - 1}') if cpus > 1 else '')
    with Box(conf, on='bochs', boot=boot, cpus=cpus, memory=megs << 20) as box:
        if cpus > 1:
            box.wait(r'\[far\] count 3', 30)
            box.mark = 0
        to_the_prompt(box)


def refuses(box, sentence):
    """The log and the shell's answer to `start` have the sentence to its end; the shell is there all the same."""
    box.wait(f'^error: this machine cannot run guests: {sentence}\n', 30)
    box.wait(PROMPT, 20)
    box.type('start tiny\r')
    box.wait(f'^This machine cannot run guests: {sentence}\n', 30)
    assert 'tiny ready' not in box.text


@pytest.mark.qemu
@pytest.mark.parametrize('cpu', ['max,-nx', 'max,-nx,vendor=GenuineIntel'])
def test_no_execute_is_off(cpu):
    """Intel's CPUs may have it hidden, and are told to show it: here that is in vain."""
    with Box(TINY, qemu_cpu=cpu, memory=128 << 20) as box:
        box.wait(PANIC + ': no-execute pages are off: switch on ', 30)


@pytest.mark.qemu
@pytest.mark.parametrize('odd', ['svm=off', 'nx=off'])
def test_a_cpu_that_differs(odd):
    """It is left out, and the one behind it gets its number."""
    cpus = '1,sockets=3,maxcpus=3'
    cpu = 'max-x86_64-cpu,core-id=0,thread-id=0,socket-id'
    more = ['-device', f'{cpu}=1,{odd}', '-device', f'{cpu}=2']
    with Box(TINY + guest('far', 'counter.elf', 'cpus = 1'), cpus=cpus, memory=128 << 20, extra=more) as box:
        box.wait('^warning: CPU with APIC id 1 left out: it does not answer, or cannot run guests as', 30)
        box.wait('^2 CPUs at', 30)
        box.wait("^warning: 1 of the machine's 3 CPUs are not used; the lines above say why", 30)
        box.wait(r'\[far\] count 3', 30)
        box.mark = 0
        to_the_prompt(box)


@pytest.mark.qemu
@pytest.mark.parametrize(
    'without, sentence',
    [
        ('svm', 'the CPU has no AMD-V .*; an emulator or an outer hypervisor may have it off by default'),
        ('npt', 'the CPU has AMD-V but no nested paging .*; a newer CPU is needed'),
    ],
)
def test_an_amd_cpu_that_cannot(without, sentence):
    with Box(TINY, qemu_cpu=f'max,-{without}', memory=128 << 20) as box:
        refuses(box, sentence)


@pytest.mark.bochs
@pytest.mark.parametrize(
    'model, missing', [('corei5_lynnfield_750', 'unrestricted guest'), ('core2_penryn_t9600', 'VMX-preemption timer')]
)
def test_vtx_that_is_not_enough(model, missing):
    with Box(TINY, on='bochs', bochs_model=model, memory=128 << 20) as box:
        refuses(box, f'VT-x: this CPU lacks .*{missing}.*')


@pytest.mark.bochs
def test_vtx_that_the_firmware_has_locked():
    """Bochs' own firmware switches VT-x on; QEMU's leaves that open, and GRUB locks it as it is."""
    grub = {'first': ['insmod wrmsr', 'wrmsr 0x3a 1'], 'grub_modules': 'wrmsr'}
    with Box(TINY, on='bochs', bochs_bios='/usr/share/seabios/bios.bin', grub=grub, memory=128 << 20) as box:
        refuses(
            box,
            'VT-x: the firmware has switched it off and locked it: '
            'switch on "Intel Virtualization Technology" in its settings',
        )
