# SPDX-License-Identifier: Apache-2.0
"""Looks at a running machine from outside: stops the emulator, proves what walker.py proves, lets it go on."""
import os

from harness import BUILD
from walker import BochsRam, Isolation, QemuRam


def look_from_outside(box, look=None, regions=None):
    """Stops the machine, walks its tables (or does what `look` does with its RAM), lets it run again. regions:
    walker.Isolation's."""
    elf = os.path.join(BUILD, 'mullion.elf')
    if box.on == 'qemu':
        box.machine.qmp.command('stop')
        ram = QemuRam(box.ram_file, box.memory)
    else:
        os.kill(box.machine.process.pid, 19)
        ram = BochsRam(box.machine.process.pid, box.machine.emulator_log(), box.memory)
    try:
        if look:
            return look(ram)
        seen = Isolation(ram, elf, regions)
        return seen.violations(), seen
    finally:
        ram.close()
        if box.on == 'qemu':
            box.machine.qmp.command('cont')
        else:
            os.kill(box.machine.process.pid, 18)
