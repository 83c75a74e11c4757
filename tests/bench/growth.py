#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench-growth`: how costs grow with the number of guests, their memory, the machine's memory and CPUs. In QEMU
with one CPU, whose clock counts instructions; for the CPUs in Bochs. Prints tables and writes build/growth.json."""
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
    return ''.join(
        f'[guest g{n}]\nshare = {100 // guests}% of cpu 0, every 100ms\nmemory = {memory}\n'
        f'kernel = bench.elf\ncmdline = mode=cpuid\nbench-device = yes\nautostart = {"no" if n else "yes"}\n\n'
        for n in range(guests)
    )


def audit(m):
    """Ticks of the checker's thread for one look at everything, and how many tables it has walked. The second look:
    what is done but once is done."""
    for _ in range(2):
        m.settle(0.3)
        a = m.shell('audit', r'^audit: (\d+) tables, .*; (\d+) ticks; .*\naudit: (.*)\n', 30)
        if a.group(3) != 'passed':
            raise harness.Failure(m.tail())
    return {'audit_tables': int(a.group(1)), 'audit': int(a.group(2))}


def by_cpus(cpus):
    """In Bochs, since QEMU's clock counts instructions of one CPU only. Its clock goes in steps of a few ticks then;
    the guest is on the last CPU."""
    text = conf(1, '64M').replace('cpu 0', f'cpu {cpus - 1}')
    with harness.Box(text, on='bochs', cpus=cpus, memory=512 << 20, bochs_ips=50_000_000) as m:
        boot = m.wait(r'guest g0: runs; first instruction \d+ ms after the kernel.s entry \((\d+) ticks\)', 60)
        cpuid = m.wait(r'^\[g0\] bench cpuid (\d+) ', 60)
        last = bench.stats(m, 'g0')
        look = audit(m)
    return {**look, 'guests': 1, 'memory': '64M', 'host': 512 << 20, 'cpus': cpus, 'boot': int(boot.group(1)),
            'start': last['start: ticks'], 'kernel_bytes': last['kernel: bytes'], 'cpuid': int(cpuid.group(1))}


def one(guests, memory, host):
    """Boots, starts every guest, and asks the last one what it costs."""
    text = conf(guests, memory)
    # Not reserved: the machine's RAM may be far more than this one's, as long as it is not touched.
    with harness.Box(text, on='qemu', cpus=1, memory=host, machine='q35,memory-backend=lazy',
                     extra=['-object', f'memory-backend-ram,id=lazy,size={host >> 20}M,reserve=off']) as m:
        m.wait(r'^\[g0\] bench cpuid \d+ ', 60)
        m.settle(0.5)
        boot = re.search(r'guest g0: runs; first instruction \d+ ms after the kernel.s entry \((\d+) ticks\)', m.text)
        for n in range(1, guests):
            m.shell(f'start g{n}', rf'^\[g{n}\] bench cpuid \d+ ', 60)
            m.settle(0.2)
        last = bench.stats(m, f'g{guests - 1}')
        cpuid = re.findall(rf'^\[g{guests - 1}\] bench cpuid (\d+)', m.text, re.M)
        look = audit(m)
    return {**look, 'guests': guests, 'memory': memory, 'host': host, 'boot': int(boot.group(1)) if boot else None,
            'start': last['start: ticks'], 'kernel_bytes': last['kernel: bytes'], 'cpuid': int(cpuid[-1])}


CASES = [('guests', [(n, '16M', 2 * GIB) for n in (1, 2, 4, 8, 16, 32)]),
         ('memory of one guest', [(1, m, 12 * GIB) for m in ('64M', '256M', '1G', '2G', '4G', '8G')]),
         # QEMU's CPU has 40 address bits, and 1 TiB of RAM with a hole in it would need more.
         ('memory of the machine', [(1, '64M', n * GIB) for n in (1, 4, 16, 64, 256, 960)]),
         ('CPUs of the machine', [(n,) for n in (1, 2, 4, 8)])]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--build', default=os.path.join(bench.ROOT, 'build'))
    p.add_argument('--case', type=int, action='append')
    a = p.parse_args()
    harness.BUILD = os.path.join(bench.ROOT, a.build)
    path, everything = os.path.join(harness.BUILD, 'growth.json'), {}
    if a.case and os.path.exists(path):
        with open(path, encoding='utf-8') as f:
            everything = json.load(f)
    for number, (name, cases) in enumerate(CASES):
        if a.case and number not in a.case:
            continue
        everything[name] = []
        print(f'\n{name}\n{"CPUs":>5}{"guests":>7}{"memory":>8}{"machine":>9}{"boot":>14}{"start of the last":>19}'
              f'{"kernel bytes":>14}{"cpuid":>7}{"audit":>11}{"its tables":>11}', flush=True)
        for case in cases:
            r = None
            for attempt in range(3):
                # Once in a hundred commands QEMU's counted clock stands still while the CPU sleeps: seen with the next
                # timer's time not come, and with its interrupt pending. The figures are the same each time, so the
                # machine is started anew.
                try:
                    r = one(*case) if len(case) == 3 else by_cpus(*case)
                    break
                except (harness.Failure, RuntimeError, OSError) as e:
                    print(f'{case}: FAILED{", once more" if attempt < 2 else ""}: {str(e)[:1000]}')
            if r is None:
                continue
            everything[name].append(r)
            print(
                f'{r.get("cpus", 1):>5}{r["guests"]:>7}{r["memory"]:>8}{r["host"] / GIB:>8.4g}G{r["boot"] or 0:>14,}'
                f'{r["start"]:>19,}{r["kernel_bytes"]:>14,}{r["cpuid"]:>7}{r["audit"]:>11,}{r["audit_tables"]:>11}',
                flush=True,
            )
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(everything, f, indent=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
