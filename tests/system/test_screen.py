# SPDX-License-Identifier: Apache-2.0
"""The machine's own screen: VGA text under BIOS, pixels under UEFI or where the boot menu asks for them."""
import os
import re

import pytest

from harness import BUILD, PANIC, Box, Failure, guest  # first: it knows where host is
import host.image

pytestmark = pytest.mark.qemu
CONF = '[host]\nconsole = serial, screen\n\n' + guest(
    'tiny', 'tiny.elf', 'share = 50% of cpu 0', cmdline='on the screen'
)
LINE = 'on the screen'


def vga_text(box):
    """80 x 25 characters, by the video memory."""
    path = os.path.join(box.work.name, 'text')
    box.machine.qmp.command('pmemsave', val=0xb8000, size=80 * 25 * 2, filename=path)
    with open(path, 'rb') as f:
        text = f.read()[::2].decode('cp437')
    return '\n'.join(text[i:i + 80].rstrip() for i in range(0, len(text), 80))


def picture(box):
    path = os.path.join(box.work.name, 'screen.ppm')
    box.machine.qmp.command('screendump', filename=path)
    with open(path, 'rb') as f:
        return f.read()


def pixel_text(box):
    """The characters whose pixels stand there; `~` for pixels that no character has. One picture may show half a stroke
    or half a scroll: so two that are alike."""
    data, limit = picture(box), box.limit(20)
    while (again := picture(box)) != data and not limit.over():
        data = again
    width, height = map(int, re.match(rb'P6\n(\d+) (\d+)\n255\n', data).groups())
    data = data[-3 * width * height:]
    with open(os.path.join(BUILD, 'gen', 'font.bin'), 'rb') as f:
        font = f.read()
    known = {font[16 * c:16 * c + 16]: chr(c) for c in range(126, 31, -1)}
    # A byte for each 8 pixels of a line.
    bits = [
        [sum(0x80 >> i for i in range(8) if data[3 * (y * width + x + i)]) for x in range(0, width - 7, 8)]
        for y in range(height)
    ]
    return '\n'.join(
        ''.join(known.get(bytes(bits[y + i][x] for i in range(16)), '~') for x in range(width // 8)).rstrip()
        for y in range(0, height - 15, 16)
    )


def on_screen(box, read, pattern, timeout=20):
    """The screen's text, once it has the pattern. The log is on the serial port before or after."""
    limit = box.limit(timeout)
    while True:
        over = limit.over()
        text = read(box)
        if re.search(pattern, text):
            return text
        if over:
            raise Failure(f'no {pattern!r} on the screen:\n{text}\n{box.tail()}')
        box.pump(0.3)


def machine_check(box):
    """Ends the kernel: an uncorrected error of CPU 1, which has no guest. (While a guest runs, QEMU goes by the guest's
    CR4.MCE and resets the machine.)"""
    box.machine.qmp.monitor('mce 1 1 0xb200000000000000 0x4 0x0 0x0')


@pytest.mark.parametrize(
    'boot, how, read',
    [
        ('cd', {}, vga_text),
        ('cd', {'multiboot1': True}, vga_text),
        ('kernel', {}, vga_text),
        ('cd', {'uefi': True}, pixel_text),
    ],
    ids=['BIOS', 'Multiboot 1', 'no loader', 'UEFI'],
)
def test_log_guests_and_panic(boot, how, read):
    with Box(CONF, boot=boot, cpus=2, memory=256 << 20, **how) as box:
        box.wait('tiny ready', 60)
        text = on_screen(box, read, r'\[tiny\] tiny ready\n')
        assert '~' not in text
        assert LINE in text
        assert text.startswith('Mullion ') or read is vga_text  # 25 lines are too few for all
        box.in_guest('tiny', 'hello', r'you typed: hello')
        on_screen(box, read, r'\[tiny\] you typed: hello\n')
        machine_check(box)
        on_screen(box, read, PANIC + r': machine check[^~]*The machine is stopped')
        box.wait(PANIC + ".*machine check[^~]*The kernel's command line: .*" + box.word.option, 10)
        assert box.panicked


@pytest.mark.parametrize('mode', ['1024x768x32', '1280x1024x24', '800x600x16', '2560x1600x32'])
def test_kinds_of_pixels(mode, monkeypatch):
    monkeypatch.setattr(
        host.image, 'GRUB_CFG', host.image.GRUB_CFG.replace('set gfxpayload=text', f'set gfxpayload={mode}')
    )
    assert mode in host.image.GRUB_CFG
    with Box(CONF, boot='cd', cpus=2, memory=256 << 20) as box:
        box.wait('tiny ready', 60)
        text = on_screen(box, pixel_text, r'\[tiny\] tiny ready\n')
        assert '~' not in text and text.startswith('Mullion ')


def test_scrolls():
    """More lines than any screen has, in order, the last at the bottom."""
    with Box(CONF + guest('far', 'counter.elf', 'cpus = 1'), boot='cd', uefi=True, cpus=2, memory=256 << 20) as box:
        box.wait(r'\[far\] count 40\n', 90)
        text = on_screen(box, pixel_text, r'\[far\] count 40\n')
        numbers = [int(n) for n in re.findall(r'\[far\] count (\d+)', text)]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)) and '~' not in text


def test_no_screen_in_the_configuration():
    """Without `screen` a guest's lines stay off it; the kernel's own are there."""
    with Box(CONF.replace('serial, screen', 'serial'), boot='cd', cpus=1, memory=256 << 20) as box:
        box.wait('tiny ready', 60)
        box.settle()
        text = vga_text(box)
        assert text.startswith('Mullion ') and 'tiny ready' not in text


@pytest.mark.parametrize('console, options', [('screen', ''), ('serial, screen', 'serial=none')])
def test_screen_alone(console, options):
    """The log and the guests' lines are there. The serial port, if it may be used, has the shell and no more; the
    screen says where the shell is."""
    with Box(CONF.replace('serial, screen', console), boot='cd', cpus=2, memory=256 << 20, options=options) as box:
        text = on_screen(box, vga_text, r'\[tiny\] tiny ready\n', 60)
        assert re.search(r'^guest tiny: runs; first instruction', text, re.M)
        assert 'tiny ready' not in box.text
        if options == '':
            assert 'shell: serial port COM1 (0x3f8), 115200 8N1' in text
            box.in_guest('tiny', 'hello', r'you typed: hello')
            box.shell('list', r'^ *tiny +running ')
            assert 'tiny ready' in box.log('tiny') and not re.search(r'^\[tiny\]', box.text, re.M)
        else:
            assert 'no shell: there is no serial port' in text and 'shell' not in box.text
        machine_check(box)
        on_screen(box, vga_text, PANIC + r': machine check[^~]*The machine is stopped')
