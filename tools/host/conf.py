# SPDX-License-Identifier: Apache-2.0
"""What the host command must know of a mullion.conf: which files it names, and how much machine it wants. What a
configuration means, and whether it is right, is decided by root's own code (build/check-config, the same sources): this
reader takes a broken file as it comes."""
import gzip
import os
import re
import subprocess
import tempfile
import zlib

CPUS_MAX = 1024  # MAX_CPUS of include/mullion/abi.h
MEMORY_MIN, MEMORY_MAX = 32 << 20, 4 << 40  # of a machine
# What guests cost beside their memory: config/config.h, include/mullion/pool.h, tools/check-config.c.
OVERHEAD, OVERHEAD_CPU = 1 << 20, 128 << 10
KERNEL, KERNEL_CPU, KERNEL_REGION, KERNEL_HOST = 384 << 10, 64 << 10, 128 << 10, 1 << 20
HOST, FIRMWARE = 16 << 20, 2 << 20
STEP = 64 << 20
UNPACKED_MAX = 4 << 30  # modules lie below 4 GiB
UNITS = {'': 1, 'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30}


class UsageError(Exception):
    """Something the user must change; exit status 1."""


def parse_size(text):
    m = re.fullmatch(r'(\d+)([kmgKMG]?)[bB]?', text.strip())
    if not m or int(m.group(1)) == 0:
        raise UsageError(f"'{text}' is not a size; a number with K, M or G, like 512M, is allowed")
    return int(m.group(1)) * UNITS[m.group(2).lower()]


def is_packed(file):
    """Whether it is a gzip file (RFC 1952, 2.3.1); one that cannot be read is not."""
    try:
        with open(file, 'rb') as f:
            return f.read(3) == b'\x1f\x8b\x08'
    except OSError:
        return False


def pool_bytes(ram, cpus):
    """What the kernel takes of a machine's memory for its objects and tables: include/mullion/pool.h."""
    first = min(ram, 1 << 30)
    wanted = first // 16 + (ram - first) // 64 + cpus * (256 << 10)
    return max(4 << 20, min(wanted, 512 << 20)) & ~((2 << 20) - 1)


class Conf:
    """path; text (bytes); modules: name -> file, in the order of the configuration; missing: [(line, name)];
    cpus, memory: wanted. A kernel or a module in a gzip file is unpacked, as GRUB's own multiboot and module commands
    do it, and the file named is a temporary one; a Linux unpacks its initrd by itself."""

    def __init__(self, path, folders):
        self.path = path
        try:
            with open(path, 'rb') as f:
                self.text = f.read()
        except OSError as e:
            raise UsageError(f'{path}: {e.strerror}') from e
        self.modules, self.missing, self.notes = {}, [], []
        self.unpacked = None  # the folder of what was unpacked; it goes with this object
        self.cpus, self.memory, self.regions = 1, 0, {}
        self.guests, self.vcpus, self.region_uses = 0, 0, 0
        where = [os.path.dirname(os.path.abspath(path))] + list(folders)
        for number, line in enumerate(self.text.decode('utf-8', 'replace').split('\n'), 1):
            m = re.match(r'\s*([a-z-]+)\s*=\s*(.*)$', line)
            if m:
                self._key(number, m.group(1), re.split(r'\s[;#]', ' ' + m.group(2))[0].strip(), where)

    def _key(self, number, key, value, where):
        value = value.strip('"')
        if key in ('kernel', 'initrd'):
            self._module(number, value, where, key == 'kernel')
        elif key == 'modules':
            for item in value.split(','):
                self._module(number, item, where, True)
        elif key == 'cpus':
            numbers = [int(n) for n in re.findall(r'\d{1,4}', value)]
            for first, last in re.findall(r'(\d{1,4})(?:\s*-\s*(\d{1,4}))?', value):
                self.vcpus += max(1, min(int(last or first) - int(first) + 1, CPUS_MAX))
            self.cpus = max([self.cpus] + [n + 1 for n in numbers if n < CPUS_MAX])
        elif key == 'share':
            self.vcpus += 1
            m = re.search(r'cpu\s*(\d{1,4})', value, re.I)
            if m and int(m.group(1)) < CPUS_MAX:
                self.cpus = max(self.cpus, int(m.group(1)) + 1)
        elif key == 'memory':
            try:
                size = parse_size(value)
            except UsageError:
                return
            self.guests += 1
            if size <= 1 << 40:
                self.memory += size
        elif key == 'shared-memory':
            for item in value.split(','):
                m = re.match(r'\s*(\S+)\s+(\d{1,10}[kmgKMG]?)\s', item)
                if m:
                    self.region_uses += 1
                    self.regions.setdefault(
                        m.group(1),
                        int(re.match(r'\d+', m.group(2)).group(0)) * UNITS[m.group(2).lstrip('0123456789').lower()],
                    )

    def _module(self, number, item, where, unpack):
        words = item.split()
        if not words or words[0] in self.modules:
            return
        name = words[0]
        if '/' not in name and '\0' not in name:
            for folder in where:
                candidate = os.path.join(folder, name)
                if os.path.isfile(candidate):
                    self.modules[name] = self._unpack(name, candidate) if unpack and is_packed(candidate) else candidate
                    return
        self.missing.append((number, name))

    def _unpack(self, name, file):
        self.unpacked = self.unpacked or tempfile.TemporaryDirectory(prefix='mullion-unpacked-')
        plain = os.path.join(self.unpacked.name, name)
        try:
            with gzip.open(file) as packed, open(plain, 'wb') as out:
                while piece := packed.read(1 << 20):
                    if out.write(piece) and out.tell() > UNPACKED_MAX:
                        raise OSError(f'it holds more than {UNPACKED_MAX >> 20} MiB')
        except (OSError, EOFError, zlib.error) as e:
            raise UsageError(f'{file} is a gzip file that cannot be unpacked: {e}') from e
        return plain

    def wanted_memory(self):
        """Bytes of RAM for a machine that runs all of it, in whole 64 MiB: the guests, what they share, their modules,
        and 96 MiB; more if their monitors, or the kernel's pool, need that."""
        files = sum(os.path.getsize(f) for f in self.modules.values())
        shared = sum(min(size, 1 << 30) for size in self.regions.values())
        guests = self.memory + shared + files
        monitors = self.guests * OVERHEAD + self.vcpus * OVERHEAD_CPU
        kernel = self.guests * KERNEL + self.vcpus * KERNEL_CPU + self.region_uses * KERNEL_REGION + KERNEL_HOST
        kernel += (128 + 20 * self.cpus) * 4096
        size = (guests + (96 << 20) + STEP - 1) // STEP * STEP
        while size < MEMORY_MAX and (
            guests + monitors + HOST + pool_bytes(size, self.cpus) > size
            or pool_bytes(size - FIRMWARE, self.cpus) < kernel
        ):
            size += STEP
        return size

    def mistakes(self, build, cpus, memory):
        """Every mistake as FILE:LINE: text, [] if there is none. What is hardly meant, but no mistake: self.notes."""
        found = []
        for number, name in self.missing:
            if '/' in name:
                advice = 'put the file beside the configuration, or name its folder with --modules'
                found.append((number, f"'{name}' is a path; a file name is allowed: {advice}"))
        checker = os.path.join(build, 'check-config')
        if not os.access(checker, os.X_OK):
            raise UsageError(f'{checker} is not there, which looks for mistakes; run `make` first')
        command = [checker, self.path, '--cpus', str(cpus), '--memory', f'{memory >> 10}K']
        for name, file in self.modules.items():
            command += ['--module', name, file]
        run = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False
        )
        lines = run.stdout.decode('utf-8', 'replace').splitlines()
        self.notes = [line for line in lines if ': note: ' in line]
        lines = [line for line in lines if line not in self.notes]
        if run.returncode not in (0, 1) or (run.returncode == 1 and not lines):
            raise UsageError(f'{checker}: {run.stderr.decode("utf-8", "replace").strip()}')
        return [f'{self.path}:{n}: {t}' for n, t in found] + (lines if run.returncode else [])
