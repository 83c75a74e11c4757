# SPDX-License-Identifier: Apache-2.0
"""Makes the bootable image: a hybrid of CD, disk and USB stick, for BIOS and UEFI, by Debian's grub-mkrescue."""
import os
import shutil
import signal
import subprocess
import tempfile

from .conf import UsageError

GRUB_CFG = '''# Mullion's GRUB menu. The serial lines do nothing where there is no serial port.
if serial --unit=0 --speed=115200; then
    terminal_input console serial
    terminal_output console serial
fi
insmod all_video
set default={default}
set timeout={timeout}

{first}menuentry "Mullion" {{
    multiboot2 /boot/mullion {options}
{modules2}    if [ "$grub_platform" = pc ]; then
        set gfxpayload=text
    fi
}}
menuentry "Mullion (by Multiboot 1)" {{
    multiboot /boot/mullion {options}
{modules1}}}
'''

# What the image needs of GRUB; the whole set would make it three times as large. The kinds of partition table that
# no image has are asked for by grub-mkrescue's own start for UEFI, which complains on screen where they are missing.
GRUB_MODULES = (
    'multiboot multiboot2 normal configfile iso9660 part_msdos part_gpt fat serial terminal all_video gfxterm minicmd '
    'echo test '
    'reboot halt sleep part_acorn part_amiga part_apple part_bsd part_dfly part_dvh part_plan part_sun part_sunpc'
)


def quote(word):
    """One word for grub.cfg."""
    return "'" + word.replace("'", "'\\''") + "'"


def grub_words(options):
    """The kernel's command line for grub.cfg: each word by itself, so that nothing in it is GRUB's own syntax."""
    return ' '.join(quote(word) for word in options.split())


def grafts_of(conf):
    """xorriso's arguments that put the modules into the image, and (path, name) of each in the image."""
    grafts, lines = [], [('/boot/mullion.conf', 'mullion.conf')]
    for number, (name, file) in enumerate(conf.modules.items()):
        if not os.access(file, os.R_OK):
            raise UsageError(f'{file} cannot be read')
        # xorriso takes the file from where it is, and a symbolic link as a link; = and \\ have a meaning there.
        source = os.path.realpath(file).replace('\\', '\\\\').replace('=', '\\=')
        grafts.append(f'/boot/modules/m{number}={source}')
        lines.append((f'/boot/modules/m{number}', name))
    return grafts, lines


def call_grub(command, work):
    """Runs grub-mkrescue. What it calls, and what it leaves in its folder for temporary files, ends with us."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, 'TMPDIR': work},
    ) as process:
        try:
            text = process.communicate()[0].decode('utf-8', 'replace')
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, text


def make_image(conf, kernel, out, options='', timeout=3, multiboot1=False, first=(), grub_modules=''):
    """Writes the image to the file `out`, which is there as a whole or stays as it was. Module names are what root
    sees. `first`: what GRUB does before its menu, for tests; the modules for that."""
    if not os.path.isfile(kernel):
        raise UsageError(f'{kernel} is not there; run `make` first')
    if not shutil.which('grub-mkrescue'):
        raise UsageError('grub-mkrescue is not installed; run tools/setup.sh')
    folder = os.path.dirname(os.path.abspath(out))
    if not os.path.isdir(folder):
        raise UsageError(f'{folder}: no such folder')
    with tempfile.TemporaryDirectory(prefix='mullion-image-') as work:
        boot = os.path.join(work, 'files', 'boot')
        os.makedirs(os.path.join(boot, 'grub'))
        shutil.copy(kernel, os.path.join(boot, 'mullion'))
        with open(os.path.join(boot, 'mullion.conf'), 'wb') as f:
            f.write(conf.text)
        grafts, lines = grafts_of(conf)
        with open(os.path.join(boot, 'grub', 'grub.cfg'), 'w', encoding='utf-8') as f:
            f.write(
                GRUB_CFG.format(
                    timeout=timeout,
                    first=''.join(f'{line}\n' for line in first),
                    options=grub_words(options),
                    default=1 if multiboot1 else 0,
                    modules2=''.join(f'    module2 {path} {quote(name)}\n' for path, name in lines),
                    modules1=''.join(f'    module {path} {quote(name)}\n' for path, name in lines),
                )
            )
        try:
            handle, temporary = tempfile.mkstemp(prefix='.mullion-', suffix='.iso', dir=folder)
        except OSError as e:
            raise UsageError(f'{folder}: {e.strerror}') from e
        os.close(handle)
        try:
            command = [
                'grub-mkrescue',
                '-o',
                temporary,
                f'--install-modules={GRUB_MODULES} {grub_modules}',
                '--locales=',
                '--fonts=',
                '--themes=',
                os.path.join(work, 'files'),
                *grafts,
                '--',
                '-volid',
                'MULLION',
            ]
            status, text = call_grub(command, work)
            if status != 0 or os.path.getsize(temporary) == 0:
                raise UsageError('grub-mkrescue failed:\n' + text[-2000:])
            os.chmod(temporary, 0o666 & ~current_umask())
            os.replace(temporary, out)
            temporary = None
        finally:
            if temporary and os.path.exists(temporary):
                os.unlink(temporary)


def current_umask():
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
