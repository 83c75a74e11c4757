# SPDX-License-Identifier: Apache-2.0
"""Writes a first configuration for a kernel of the user's: `mullion new NAME --linux vmlinuz`."""
import os
import re

from .conf import UsageError

TEXT = '''; Written by `mullion new`. All keys: docs/configuration.md.

[guest {name}]
cpus    = {cpus}
memory  = {memory}
kernel  = {kernel}
'''
RESERVED = ('kernel', 'root', 'console', 'host', 'mullion')


def place(file, folder):
    """The file's name beside the configuration: where it is, or as a link there."""
    if not os.path.isfile(file):
        raise UsageError(f'{file} is not there')
    name = os.path.basename(file)
    if re.search(r'[\s,]', name):
        raise UsageError(f"'{name}': a configuration takes no file name with a blank or a comma; rename it")
    beside = os.path.join(folder, name)
    if os.path.exists(beside):
        if not os.path.samefile(beside, file):
            raise UsageError(f'{beside} is there already, and is another file than {file}')
    else:
        try:
            os.symlink(os.path.abspath(file), beside)
        except OSError as e:
            raise UsageError(f'{beside}: {e.strerror}') from e
    return name


def write_new(name, kernel, linux, initrd, cmdline, memory, cpus, folder='.'):
    """The path of the new configuration. Nothing that is there is overwritten."""
    if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9._-]{0,30}', name) or name in RESERVED:
        raise UsageError(f"'{name}' cannot be a guest's name; 1 to 31 letters, digits, '-', '_' or '.' are allowed")
    path = os.path.join(folder, name + '.conf')
    if os.path.exists(path):
        raise UsageError(f'{path} is there already')
    text = TEXT.format(name=name, cpus=cpus, memory=memory, kernel=place(kernel, folder))
    if initrd:
        text += f'initrd  = {place(initrd, folder)}\n'
    if cmdline is None:
        cmdline = 'console=ttyS0' if linux else ''
    if cmdline:
        text += f'cmdline = "{cmdline}"\n' if re.search(r'\s[;#]', cmdline) else f'cmdline = {cmdline}\n'
    try:
        with open(path, 'x', encoding='utf-8') as f:
            f.write(text)
    except OSError as e:
        raise UsageError(f'{path}: {e.strerror}') from e
    return path
