# SPDX-License-Identifier: Apache-2.0
"""Writes an image to a whole disk (a USB stick): looks at it first, so that nothing in use and no partition is
overwritten; afterwards reads back what was written."""
import fcntl
import os
import re
import stat

from .conf import UsageError

CHUNK = 1 << 20
BLKRRPART, BLKFLSBUF = 0x125F, 0x1261  # Linux, include/uapi/linux/fs.h


def kind(path):
    """What an output path is: 'file' (a regular file, or nothing yet), 'device', or in words what it is instead."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return 'file'
    except OSError as e:
        raise UsageError(f'{path}: {e.strerror}') from e
    if stat.S_ISREG(mode):
        return 'file'
    if stat.S_ISBLK(mode):
        return 'device'
    return 'a folder' if stat.S_ISDIR(mode) else 'neither a file nor a disk'


def size_in_words(size):
    for unit, shift in (('GiB', 30), ('MiB', 20)):
        if size >> shift:
            return f'{size / (1 << shift):.1f} {unit}'
    return f'{size} bytes'


def _read(*path):
    try:
        with open(os.path.join(*path), encoding='utf-8', errors='replace') as f:
            return f.read().strip()
    except OSError:
        return ''


def _unescape(text):
    """A path as /proc writes it: blanks and the like in octal."""
    return re.sub(r'\\([0-7]{3})', lambda m: chr(int(m.group(1), 8)), text)


class Disk:
    """A whole disk as the system describes it. sys, proc: other folders than /sys and /proc, for tests; number: of the
    device, MAJOR:MINOR."""

    def __init__(self, path, number=None, sys='/sys', proc='/proc'):
        self.path, self.proc = os.path.realpath(path), proc
        if number is None:
            device = os.stat(self.path).st_rdev
            number = f'{os.major(device)}:{os.minor(device)}'
        self.number = number
        self.folder = os.path.realpath(os.path.join(sys, 'dev', 'block', number))
        self.size = int(_read(self.folder, 'size') or 0) * 512
        words = [_read(self.folder, 'device', name) for name in ('vendor', 'model')]
        self.model = ' '.join(word for word in words if word) or _read(self.folder, 'loop', 'backing_file') or 'no name'
        self.removable = _read(self.folder, 'removable') == '1'

    def in_words(self):
        kept = 'removable' if self.removable else 'not removable'
        return f'{self.path}: {self.model}, {size_in_words(self.size)}, {kept}'

    def _parts(self):
        """Numbers and folders of the disk and of its partitions."""
        found = {self.number: self.folder}
        for name in sorted(os.listdir(self.folder) if os.path.isdir(self.folder) else []):
            if os.path.exists(os.path.join(self.folder, name, 'partition')):
                found[_read(self.folder, name, 'dev')] = os.path.join(self.folder, name)
        return found

    def why_not(self, wanted):
        """Why `wanted` bytes cannot be written to it, in words; None if they can."""
        if os.path.exists(os.path.join(self.folder, 'partition')):
            whole = os.path.basename(os.path.dirname(self.folder))
            return f'{self.path} is a partition; the image goes to the whole disk, /dev/{whole}'
        if _read(self.folder, 'ro') == '1':
            return f'{self.path} is write-protected'
        if self.size < wanted:
            return f'{self.path} is too small: it has {self.size} bytes, the image {wanted}'
        parts = self._parts()
        for line in _read(self.proc, 'self', 'mountinfo').splitlines():
            fields = line.split()
            if len(fields) > 4 and fields[2] in parts:
                return f'{self.path} is in use: {_unescape(fields[4])} is mounted from it; umount that first'
        for number, folder in parts.items():
            name = os.path.basename(folder)
            for user in os.listdir(os.path.join(folder, 'holders')) if os.path.isdir(f'{folder}/holders') else []:
                return f'{self.path} is in use: {user} lies on it'
            if re.search(rf'^/dev/{re.escape(name)}\s', _read(self.proc, 'swaps'), re.M):
                return f'{self.path} is in use: the system swaps to {name} ({number})'
        return None


def _open(path, flags):
    try:
        # Of a disk, O_EXCL without O_CREAT: the kernel refuses one that is mounted or otherwise in use (open(2)).
        return os.open(path, flags | os.O_EXCL | os.O_CLOEXEC)
    except OSError as e:
        raise UsageError(f'{path}: {e.strerror}') from e


def write(source, path, progress):
    """The file `source` to the disk, all of it on the medium and read back when this returns. progress(what, done,
    all) is called now and then."""
    whole = os.path.getsize(source)
    with open(source, 'rb') as image, os.fdopen(_open(path, os.O_RDWR), 'r+b', buffering=0) as disk:
        try:
            done = 0
            while done < whole:
                data = image.read(CHUNK)
                while data:
                    written = disk.write(data)
                    data, done = data[written:], done + written
                progress('written', done, whole)
            os.fsync(disk)
            _forget(disk)
            compare(image, disk, path, whole, progress)
        except OSError as e:
            raise UsageError(f'{path}: {e.strerror}; what is on it now is of no use') from e
        _ask_kernel(disk, BLKRRPART)


def _ask_kernel(disk, request):
    try:
        fcntl.ioctl(disk, request)
    except OSError:
        pass  # no disk (a test's file), or a disk that has no partitions


def _forget(disk):
    """What is read from here on comes from the medium."""
    _ask_kernel(disk, BLKFLSBUF)
    os.posix_fadvise(disk.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def compare(image, disk, path, whole, progress):
    image.seek(0)
    disk.seek(0)
    done = 0
    while done < whole:
        data = image.read(CHUNK)
        back = b''
        while len(back) < len(data):
            more = disk.read(len(data) - len(back))
            if not more:
                break
            back += more
        if back != data:
            at = next((i for i, (a, b) in enumerate(zip(data, back)) if a != b), len(back))
            raise UsageError(f'{path}: byte {done + at} reads back wrong; the disk is bad, or smaller than it says')
        done += len(data)
        progress('verified', done, whole)
