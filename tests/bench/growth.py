#!/usr/bin/python3
"""`make bench-growth`: how costs grow with the number of guests, their memory and the machine's. In QEMU, one CPU, its clock counting instructions. Prints
tables and writes build/growth.json."""
import argparse
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import bench  # noqa: E402
import harness  # noqa: E402

GIB = 1 << 30


def conf(guests, memory):
    return ''.join(f'[guest g{n}]\nshare = {100 // guests}% of cpu 0, every 100ms\nmemory = {memory}\nkernel = bench.elf\ncmdline = mode=cpuid\n'
                   f'bench-device = yes\nautostart = {"no" if n else "yes"}\n\n' for n in range(guests))


def one(guests, memory, host):
    """Boots, starts every guest, and asks the last one what it costs."""
    text = conf(guests, memory)
    with harness.Box(text, on='qemu', cpus=1, memory=host) as m:
        m.wait(r'^\[g0\] bench cpuid \d+ ', 60)
        m.settle(0.5)
        boot = re.search(r'guest g0: runs; first instruction (\d+) ticks', m.text)
        for n in range(1, guests):
            m.shell(f'start g{n}', rf'^\[g{n}\] bench cpuid \d+ ', 60)
            m.settle(0.2)
        last = bench.stats(m, f'g{guests - 1}')
        cpuid = re.findall(rf'^\[g{guests - 1}\] bench cpuid (\d+)', m.text, re.M)
    return {'guests': guests, 'memory': memory, 'host': host, 'boot': int(boot.group(1)) if boot else None, 'start': last['start: ticks'],
            'kernel_bytes': last['kernel: bytes'], 'cpuid': int(cpuid[-1])}


CASES = [('guests', [(n, '16M', 2 * GIB) for n in (1, 2, 4, 8, 16, 24)]),
         ('memory of one guest', [(1, m, 12 * GIB) for m in ('64M', '256M', '1G', '2G', '4G', '8G')]),
         ('memory of the machine', [(1, '64M', n * GIB) for n in (1, 4, 16, 64, 256, 1024)])]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--build', default=os.path.join(bench.ROOT, 'build'))
    p.add_argument('--case', type=int, action='append')
    a = p.parse_args()
    harness.BUILD = os.path.join(bench.ROOT, a.build)
    path, everything = os.path.join(harness.BUILD, 'growth.json'), {}
    for number, (name, cases) in enumerate(CASES):
        if a.case and number not in a.case:
            continue
        print(f'\n{name}\n{"guests":>7}{"memory":>8}{"machine":>9}{"boot":>14}{"start of the last":>19}{"kernel bytes":>14}{"cpuid":>7}', flush=True)
        for case in cases:
            try:
                r = one(*case)
            except (harness.Failure, RuntimeError) as e:
                print(f'{case}: FAILED: {str(e)[:2000]}')
                continue
            everything.setdefault(name, []).append(r)
            print(f'{r["guests"]:>7}{r["memory"]:>8}{r["host"] // GIB:>8}G{r["boot"] or 0:>14,}{r["start"]:>19,}{r["kernel_bytes"]:>14,}{r["cpuid"]:>7}', flush=True)
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(everything, f, indent=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
