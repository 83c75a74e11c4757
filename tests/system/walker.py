# SPDX-License-Identifier: Apache-2.0
"""Reads the physical memory of a stopped emulated machine from outside and walks every page table in it, host and
second-level, with nothing of the kernel's own code. What it takes from the kernel: the addresses of four symbols
(kernel_tables, shown, pt_host, pt_ept, pt_npt) and the layout of struct pagetable and struct ledger_range. What it
takes from the configuration: which guests share which memory. What it proves: Isolation.violations() is empty."""
import array
import mmap
import os
import re
import struct
import subprocess

PAGE = 4096
ADDRESS = 0x000FFFFFFFFFF000
KERNEL_BASE = 0xFFFFFFFF80000000
TAG_AUDIT, TAG_SCREEN, TAG_GUEST, TAG_MONITOR, TAG_REGION, TAG_REGIONS_END = 6, 8, 0x100, 0x200, 0x300, 0x400
TAG_DEVICE, TAG_DEVICES_END = 0x400, 0x1000
CPU_AREAS_VA, CPU_AREA, AREA_TSS, TSS_BITMAP = 0xFFFFFFFFA0000000, 0x10000, 0x1000, 104
LEGACY_HOLE = (0xA0000, 0x100000)  # no RAM, though the emulators keep bytes for it
INTERRUPT_CONTROLLERS = [[0xFEC00000, 0xFEC01000], [0xFEE00000, 0xFEF00000]]
KERNEL_PORTS = (0x20, 0x21, 0xA0, 0xA1)


class QemuRam:
    """QEMU's RAM file (q35: what is above 2 GiB moves above 4 GiB when there is 2.75 GiB or more)."""

    def __init__(self, path, size):
        self.size = size
        self.low = size if size < 0xB0000000 else 0x80000000
        self.file = open(path, 'rb')
        self.map = mmap.mmap(self.file.fileno(), size, prot=mmap.PROT_READ)

    def page(self, pa):
        if pa >= 1 << 32:
            pa = pa - (1 << 32) + self.low
        elif pa >= self.low:
            return None
        return self.map[pa : pa + PAGE] if pa + PAGE <= self.size else None

    def frames(self):
        yield from range(0, self.low, PAGE)
        yield from range(1 << 32, (1 << 32) + self.size - self.low, PAGE)

    def close(self):
        self.map.close()
        self.file.close()


class BochsRam:
    """Bochs' RAM in its process' memory: blocks of 128 KiB in the order of first touch; `blocks`, an array of pointers,
    says which is where."""

    def __init__(self, pid, log, size):
        self.size = size
        self.mem = os.open(f'/proc/{pid}/mem', os.O_RDONLY)
        vector = int(re.search(r'vector=0x([0-9a-f]+)', log).group(1), 16)
        self.block = int(re.search(r'mem block size = 0x([0-9a-f]+)', log).group(1), 16)
        count = size // self.block
        self.blocks = self._find_blocks(pid, vector, count)

    def _find_blocks(self, pid, vector, count):
        with open(f'/proc/{pid}/maps', encoding='ascii') as f:
            maps = [line.split() for line in f]
        ends = vector + count * self.block
        best = None
        for m in maps:
            if not m[1].startswith('rw'):
                continue
            start, end = (int(x, 16) for x in m[0].split('-'))
            if start <= vector < end and end - start >= count * self.block:
                continue  # the RAM itself
            if end - start > 256 << 20:
                continue
            try:
                words = array.array('Q', os.pread(self.mem, end - start, start)[: (end - start) & ~7])
            except OSError:
                continue
            run = used = 0
            for i, w in enumerate(words):
                if w == 0 or (vector <= w < ends and (w - vector) % self.block == 0):
                    run += 1
                    used += w != 0
                    continue
                if run >= count and used:
                    best = self._exact(words, i - run, run, count, vector, best)
                run = used = 0
            if run >= count and used:
                best = self._exact(words, len(words) - run, run, count, vector, best)
        if best is None:
            raise RuntimeError("Bochs' table of memory blocks was not found")
        return best

    @staticmethod
    def _exact(words, at, run, count, vector, best):
        """Of a run of plausible words: the table starts at its first block, which the firmware touches (page 0)."""
        while run >= count and words[at] == 0:
            at, run = at + 1, run - 1
        if run < count:
            return best
        table = words[at : at + count]
        used = sum(1 for w in table if w)
        if len({w for w in table if w}) != used:
            return best
        return table if best is None or used > sum(1 for w in best if w) else best

    def page(self, pa):
        if pa >= self.size:
            return None
        address = self.blocks[pa // self.block]
        if address == 0:
            return bytes(PAGE)
        return os.pread(self.mem, PAGE, address + pa % self.block)

    def frames(self):
        for i, address in enumerate(self.blocks):
            if address:
                yield from range(i * self.block, (i + 1) * self.block, PAGE)

    def close(self):
        os.close(self.mem)


def symbols(elf):
    """By name; what link-time optimization has hung behind a static one is cut off."""
    out = subprocess.run(['nm', elf], stdout=subprocess.PIPE, check=True).stdout.decode()
    return {
        line.split()[2].split('.')[0]: int(line.split()[0], 16) for line in out.splitlines() if len(line.split()) == 3
    }


class Leaf:
    __slots__ = ('va', 'frame', 'size', 'write', 'execute', 'user', 'write_back')

    def __init__(self, va, frame, size, write, execute, user, write_back):
        self.va, self.frame, self.size, self.write, self.execute, self.user = va, frame, size, write, execute, user
        self.write_back = write_back


def host_rights(entry, up):
    """(present, write, execute, user) of an entry under what the levels above allow."""
    return entry & 1, up[0] and bool(entry & 2), up[1] and not entry >> 63, up[2] and bool(entry & 4)


def ept_rights(entry, up):
    return entry & 7, up[0] and bool(entry & 2), up[1] and bool(entry & 4), True


def is_write_back(rights, entry, level):
    """EPT: bits 5:3 are the type. Else PWT, PCD and PAT choose an entry of the PAT, of which the first is
    write-back."""
    if rights is ept_rights:
        return entry >> 3 & 7 == 6
    return not entry & (0x18 | (0x80 if level == 1 else 0x1000))


class Tables:
    """Every leaf below a top-level table, and every frame that holds a table."""

    def __init__(self, ram, root, rights, slots=range(512)):
        self.ram, self.rights, self.leaves, self.frames = ram, rights, [], {root}
        self._walk(root, 4, 0, (True, True, True), slots)

    def _walk(self, table, level, base, up, slots=range(512)):
        page = self.ram.page(table)
        if page is None:
            raise ValueError(f'a page table lies outside RAM: 0x{table:x}')
        entries = struct.unpack('<512Q', page)
        shift = 12 + 9 * (level - 1)
        for i in slots:
            entry = entries[i]
            if not entry:
                continue
            present, write, execute, user = self.rights(entry, up)
            if not present:
                continue
            va = base | i << shift
            if level == 4 and i >= 256:
                va |= 0xFFFF << 48
            if level == 1 or (level < 4 and entry & 0x80):
                size = 1 << shift
                write_back = is_write_back(self.rights, entry, level)
                self.leaves.append(Leaf(va, entry & ADDRESS & ~(size - 1), size, write, execute, user, write_back))
            else:
                self.frames.add(entry & ADDRESS)
                self._walk(entry & ADDRESS, level - 1, va, (write, execute, user))


def merge(ranges):
    out = []
    for base, end in sorted(ranges):
        if out and base <= out[-1][1]:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([base, end])
    return out


def overlaps(a, b):
    """Parts that two lists of merged ranges share."""
    out, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        low, high = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if low < high:
            out.append((low, high))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return out


def without(a, b):
    """What is left of the ranges `a` outside the merged ranges `b`."""
    out = []
    for low, high in a:
        for start, end in overlaps([[low, high]], b):
            if low < start:
                out.append((low, start))
            low = end
        if low < high:
            out.append((low, high))
    return out


def is_region(tag):
    return TAG_REGION <= tag < TAG_REGIONS_END


class Isolation:
    """regions: [{guest's number: 'rw' or 'ro'}], by the number of the region that guests share. RAM is read here only:
    the caller may let the machine go on, and ask for violations() under other regions."""

    def __init__(self, ram, elf, regions=None):
        self.ram = ram
        self.regions = regions or []
        self.symbols = symbols(elf)
        self.kernel_root = self._find_kernel_root()
        self.shared = self._entry(self.kernel_root, 511) & ADDRESS
        self.kernel = Tables(ram, self.kernel_root, host_rights)
        self._find_pool()
        self.domains = {root: Tables(ram, root, host_rights, range(256)) for root in self._find_host_roots()}
        self.spaces = {
            root: Tables(ram, root, self.second_rights) for root in self._find_pagetables(('pt_ept', 'pt_npt'))
        }
        self.ledger = self._read_ledger()
        self.device_violations = self._find_device_violations()

    # -- finding things

    def _entry(self, table, index):
        page = self.ram.page(table)
        return struct.unpack_from('<Q', page, 8 * index)[0] if page else 0

    def _translate(self, root, va):
        table = root
        for level in (4, 3, 2, 1):
            shift = 12 + 9 * (level - 1)
            entry = self._entry(table, va >> shift & 511)
            if not entry & 1:
                return None
            if level == 1 or (level < 4 and entry & 0x80):
                size = 1 << shift
                return (entry & ADDRESS & ~(size - 1)) | (va & (size - 1))
            table = entry & ADDRESS
            if self.ram.page(table) is None:
                return None
        return None

    def image(self, va):
        """A word of the kernel's image, which is loaded at its linked address less KERNEL_BASE."""
        pa = va - KERNEL_BASE
        return struct.unpack_from('<Q', self.ram.page(pa & ~0xFFF), pa & 0xFFF)[0]

    def _find_kernel_root(self):
        """The frame that kernel_tables.root names, found by what it maps, not by trusting a physical address."""
        va = self.image(self.symbols['kernel_tables'] + 8)
        text = self.symbols['text_start']
        for frame in self.ram.frames():
            top = self.ram.page(frame)
            if (
                top[511 * 8] & 1
                and self._translate(frame, va) == frame
                and self._translate(frame, text) == text - KERNEL_BASE
            ):
                return frame
        raise RuntimeError("the kernel's page table was not found in memory")

    def _find_pool(self):
        """The pool: the leaf run around the kernel's root."""
        va = self.image(self.symbols['kernel_tables'] + 8)
        leaves = {leaf.va: leaf for leaf in self.kernel.leaves}
        home = next(leaf for leaf in self.kernel.leaves if leaf.va <= va < leaf.va + leaf.size)
        first = last = home
        while first.va - first.size in leaves and leaves[first.va - first.size].frame == first.frame - first.size:
            first = leaves[first.va - first.size]
        while last.va + last.size in leaves and leaves[last.va + last.size].frame == last.frame + last.size:
            last = leaves[last.va + last.size]
        self.pool_va, self.pool, self.pool_size = first.va, first.frame, last.va + last.size - first.va

    def pool_frame(self, va):
        if self.pool_va <= va < self.pool_va + self.pool_size:
            return va - self.pool_va + self.pool
        return None

    def _find_host_roots(self):
        """Every frame whose last entry leads to the kernel's shared half: an address space, whatever may know of it."""
        found = []
        for frame in self.ram.frames():
            page = self.ram.page(frame)
            last = struct.unpack_from('<Q', page, 511 * 8)[0]
            if last & 1 and last & ADDRESS == self.shared and frame != self.kernel_root:
                found.append(frame)
        return found

    def _find_pagetables(self, formats):
        """Roots of every struct pagetable in the pool whose format is one of these symbols."""
        wanted = {self.symbols[name]: name for name in formats if name in self.symbols}
        roots, self.second_name = {}, None
        for frame in range(self.pool, self.pool + self.pool_size, PAGE):
            words = struct.unpack('<512Q', self.ram.page(frame))
            for i in range(511):
                if words[i] in wanted:
                    root = self.pool_frame(words[i + 1])
                    if root is not None and root % PAGE == 0:
                        roots[root] = wanted[words[i]]
                        self.second_name = wanted[words[i]]
        return roots

    @property
    def second_rights(self):
        return ept_rights if self.second_name == 'pt_ept' else host_rights

    def _read_ledger(self):
        """[(base, size, tag)] from the live tree."""
        out, todo = [], [self.image(self.symbols['shown'])]
        while todo:
            va = todo.pop()
            if not va:
                continue
            pa = self._translate(self.kernel_root, va)
            page = self.ram.page(pa & ~0xFFF)
            base, size, tag, _, left, right = struct.unpack_from('<QQIiQQ', page, pa & 0xFFF)
            out.append((base, size, tag))
            todo += [left, right]
        return sorted(out)

    # -- the proof

    def _region_violations(self, by_tag):
        """Each region is within reach of those that the configuration names, guests and their monitors, with no more
        rights."""
        bad = []
        for name, t in [(f'domain 0x{r:x}', t) for r, t in self.domains.items()] + [
            (f'space 0x{r:x}', t) for r, t in self.spaces.items()
        ]:
            frames = merge([leaf.frame, leaf.frame + leaf.size] for leaf in t.leaves)
            guests = {
                x - TAG_GUEST
                for x, ranges in by_tag.items()
                if TAG_GUEST <= x < TAG_MONITOR and overlaps(frames, ranges)
            }
            guest = guests.pop() if len(guests) == 1 else None
            for tag, ranges in by_tag.items():
                number = tag - TAG_REGION
                if not is_region(tag) or not overlaps(frames, ranges):
                    continue
                may = self.regions[number].get(guest) if number < len(self.regions) else None
                leaves = [leaf for leaf in t.leaves if overlaps([[leaf.frame, leaf.frame + leaf.size]], ranges)]
                if may is None:
                    bad.append(f'{name}, of guest {guest}, reaches region {number}')
                elif any(leaf.execute or (leaf.write and may != 'rw') for leaf in leaves):
                    bad.append(f'{name}, of guest {guest}, reaches region {number} with more rights than {may}')
        return bad

    def is_ram(self, pa):
        return not LEGACY_HOLE[0] <= pa < LEGACY_HOLE[1] and self.ram.page(pa) is not None

    def _find_device_violations(self):
        """Device memory is no RAM and never write-back; interrupt controllers are ring 0's, and so are some ports."""
        bad = []
        devices = merge([b, b + s] for b, s, t in self.ledger if t == TAG_SCREEN or TAG_DEVICE <= t < TAG_DEVICES_END)
        for low, high in devices:
            bad += [f'device memory 0x{pa:x} is RAM' for pa in range(low, high, PAGE) if self.is_ram(pa)][:1]
        self.devices_mapped = 0
        for name, t in [(f'domain 0x{r:x}', t) for r, t in self.domains.items()] + [
            (f'space 0x{r:x}', t) for r, t in self.spaces.items()
        ]:
            for leaf in t.leaves:
                frames = [[leaf.frame, leaf.frame + leaf.size]]
                device = overlaps(frames, devices)
                self.devices_mapped += bool(device)
                if device and (leaf.write_back or leaf.execute or device != [tuple(frames[0])]):
                    bad.append(f'{name}: device memory at 0x{leaf.va:x} is write-back or executable')
                if not device and (not leaf.write_back or not self.is_ram(leaf.frame)):
                    bad.append(f'{name}: 0x{leaf.frame:x} at 0x{leaf.va:x} is no RAM, or not write-back')
                if overlaps(frames, INTERRUPT_CONTROLLERS):
                    bad.append(f'{name}: an interrupt controller is mapped at 0x{leaf.va:x}')
        cpu = CPU_AREAS_VA
        while self._translate(self.kernel_root, cpu) is not None:
            for port in KERNEL_PORTS:
                at = self._translate(self.kernel_root, cpu + AREA_TSS + TSS_BITMAP + port // 8)
                if not self.ram.page(at & ~0xFFF)[at & 0xFFF] >> port % 8 & 1:
                    bad.append(f'port 0x{port:x} is open on the CPU whose area is at 0x{cpu:x}')
            cpu += CPU_AREA
        return bad

    def violations(self):
        bad = list(self.device_violations)
        guest_owned = merge([b, b + s] for b, s, t in self.ledger if TAG_GUEST <= t < TAG_MONITOR)
        by_tag = {t: merge([b, b + s] for b, s, x in self.ledger if x == t) for t in {x for _, _, x in self.ledger}}
        mapped = {
            root: merge([leaf.frame, leaf.frame + leaf.size] for leaf in t.leaves) for root, t in self.spaces.items()
        }
        guest = merge([list(r) for ranges in mapped.values() for r in ranges] + [list(r) for r in guest_owned])
        bad += self._region_violations(by_tag)
        regions = merge([b, b + s] for b, s, t in self.ledger if is_region(t))

        # The ledger: one owner for each frame.
        for (b0, s0, t0), (b1, _, t1) in zip(self.ledger, self.ledger[1:]):
            if b0 + s0 > b1:
                bad.append(f'ledger: 0x{b1:x} has two owners, tags 0x{t0:x} and 0x{t1:x}')

        # Ring 0 maps no guest memory.
        for leaf in self.kernel.leaves:
            if leaf.user:
                bad.append(f"the kernel's half has a page for ring 3 at 0x{leaf.va:x}")
            for low, high in overlaps([[leaf.frame, leaf.frame + leaf.size]], guest):
                bad.append(f'ring 0 maps guest memory 0x{low:x}-0x{high:x} at 0x{leaf.va:x}')
        for root, t in self.domains.items():
            for leaf in t.leaves:
                if not leaf.user:
                    bad.append(f'domain 0x{root:x}: a page that is not for ring 3 in its half at 0x{leaf.va:x}')

        # Nothing is writable and executable at once.
        for name, t in [('kernel', self.kernel)] + [(f'domain 0x{r:x}', t) for r, t in self.domains.items()]:
            for leaf in t.leaves:
                if leaf.write and leaf.execute:
                    bad.append(f'{name}: 0x{leaf.va:x} is writable and executable')

        # No frame is in two guests; what a guest sees belongs to one guest's tag; no guest sees the kernel, a table, or
        # another's memory.
        roots = sorted(mapped)
        for i, a in enumerate(roots):
            for b in roots[i + 1 :]:
                for low, high in without(overlaps(mapped[a], mapped[b]), regions):
                    bad.append(f'0x{low:x}-0x{high:x} is mapped by two guests')
            tags = [t for t, ranges in by_tag.items() if overlaps(mapped[a], ranges)]
            own = [t for t in tags if not is_region(t)]
            if any(not TAG_GUEST <= t < TAG_MONITOR for t in own) or len(own) > 1:
                bad.append(f'space 0x{a:x} maps memory of owners ' + ', '.join(f'0x{t:x}' for t in tags))
            owned = merge([list(r) for t in tags for r in by_tag[t]])
            if sum(h - l for l, h in overlaps(mapped[a], owned)) != sum(h - l for l, h in mapped[a]):
                bad.append(f'space 0x{a:x} maps memory that has no owner')

        # Each guest's memory is in one domain (its monitor), and a domain has one guest's at most.
        for tag, ranges in by_tag.items():
            if not TAG_GUEST <= tag < TAG_MONITOR:
                continue
            users = [
                r
                for r, t in self.domains.items()
                if overlaps(merge([leaf.frame, leaf.frame + leaf.size] for leaf in t.leaves), ranges)
            ]
            if len(users) > 1:
                bad.append(f'memory of guest {tag - TAG_GUEST} is mapped by {len(users)} domains')
        for root, t in self.domains.items():
            frames = merge([leaf.frame, leaf.frame + leaf.size] for leaf in t.leaves)
            tags = [x for x, ranges in by_tag.items() if TAG_GUEST <= x < TAG_MONITOR and overlaps(frames, ranges)]
            if len(tags) > 1:
                bad.append(f'domain 0x{root:x} maps the memory of {len(tags)} guests')

        # No page table, of whatever kind, is within reach of ring 3 or of a guest; the kernel's image is never writable
        # there. But for the checker: the program that has the memory of owner TAG_AUDIT may read the pool, in one piece
        # of its address space.
        tables = merge(
            [f, f + PAGE] for t in [self.kernel, *self.domains.values(), *self.spaces.values()] for f in t.frames
        )
        checkers = 0
        kernel_end = self.symbols['kernel_end'] - KERNEL_BASE
        for name, t in [(f'domain 0x{r:x}', t) for r, t in self.domains.items()] + [
            (f'space 0x{r:x}', t) for r, t in self.spaces.items()
        ]:
            leaves = t.leaves
            if overlaps(merge([leaf.frame, leaf.frame + leaf.size] for leaf in leaves), by_tag.get(TAG_AUDIT, [])):
                in_pool = [leaf for leaf in leaves if self.pool <= leaf.frame < self.pool + self.pool_size]
                if len({leaf.va - leaf.frame for leaf in in_pool}) == 1 and not any(
                    leaf.write or leaf.execute for leaf in in_pool
                ):
                    leaves = [leaf for leaf in leaves if leaf not in in_pool]
                    checkers += 1
            frames = merge([leaf.frame, leaf.frame + leaf.size] for leaf in leaves)
            for low, high in overlaps(frames, tables):
                bad.append(f'{name}: the page table at 0x{low:x}-0x{high:x} is mapped')
            writable = merge([leaf.frame, leaf.frame + leaf.size] for leaf in t.leaves if leaf.write)
            for low, high in overlaps(writable, [[0x100000, kernel_end]]):
                bad.append(f"{name}: the kernel's image at 0x{low:x}-0x{high:x} is mapped writable")
            if name.startswith('space'):
                for low, high in overlaps(frames, [[self.pool, self.pool + self.pool_size]]):
                    bad.append(f'{name}: the kernel pool at 0x{low:x}-0x{high:x} is mapped')
        if checkers > 1:
            bad.append(f'{checkers} programs can read the whole pool')
        return bad

    def summary(self):
        guests = sum(s for _, s, t in self.ledger if TAG_GUEST <= t < TAG_MONITOR)
        return (
            f'{len(self.domains)} domains, {len(self.spaces)} guest spaces ({self.second_name}), '
            f'{len(self.ledger)} ledger ranges, '
            f'{guests >> 20} MiB of guests, pool {self.pool_size >> 20} MiB at 0x{self.pool:x}, '
            f'{len(self.kernel.leaves)} kernel leaves'
        )
