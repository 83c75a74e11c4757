#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make soak`: a Debian with four vCPUs under stress-ng, for an hour or any other time. At its end: what its kernel
complained of, what stress-ng found wrong, and how often the guest was lost. docs/machines.md says how it is used.

It works in rounds: four stressors at once, then the next four. Each round is kept in BUILD/soak/MACHINE.json, so a run
that was stopped goes on behind the last one. A new image, or a run that is complete, begins anew."""
import argparse
import hashlib
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'system'))
import harness  # noqa: E402
from harness import Box, Failure, guest  # noqa: E402
from host import machines  # noqa: E402

VCPUS, CPUS = 4, 5
AT_ONCE = 4
BOCHS_IPS = 50_000_000  # of each CPU: the harness' Bochs
SECONDS = {'qemu': 20, 'bochs': 4}  # a round's, by the guest's clock
# A machine is booted anew after so many rounds: what one boot has used up does not spoil the next.
ROUNDS_A_BOOT = {'qemu': 30, 'bochs': 15}
DEFAULT = {'qemu': '1h', 'bochs': '60G'}
READY = rf'guest debian ready: Linux \S+-amd64, {VCPUS} CPU'
LOST = r'Kernel panic|guest debian ready:|guest debian: (it has|its monitor|crashed|vCPU)'

# stress-ng's stressors that are left out, and why.
LEFT_OUT = {
    'it fills memory until the kernel kills processes':
        'bigheap brk forkheavy mlockmany oom-pipe pageswap resources stack stackmmap swap vforkmany vm-addr',
    'it writes kernel settings, devices or ports as root':
        'bad-ioctl dev efivar ioport klog pci physpage smi sysfs sysinval watchdog',
    'it makes the kernel complain by itself': 'softlockup cyclic schedpolicy',
    'it changes the machine under the others': 'clock cpu-online memhotplug rtc set time-warp reboot',
    'it wants a disk': 'aiol copy-file hdd iomix loop quota rawdev readahead revio sync-file verity xattr',
    'it wants more options': 'plugin',
    'it wants a network, a graphics card or nested guests':
        'gpu kvm netdev netlink-proc netlink-task icmp-flood ping-sock rawpkt rawsock rawudp sockfd tun udp-flood',
}


def say(text):
    print(text, flush=True)


def wanted_seconds(text, emulator):
    """Of the guest's clock."""
    m = re.fullmatch(r'(\d+)(s|m|h|G)', text)
    if not m or (m.group(2) == 'G') != (emulator == 'bochs'):
        raise SystemExit(f"FOR={text}: {'instructions as 60G' if emulator == 'bochs' else 'a time as 600s, 10m, 1h'}")
    n = int(m.group(1))
    if m.group(2) == 'G':  # Bochs executes so many on each CPU in a second of its clock
        return n * 1_000_000_000 // (BOCHS_IPS * CPUS)
    return n * {'s': 1, 'm': 60, 'h': 3600}[m.group(2)]


def digest(build):
    with open(f'{build}/mullion', 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()[:16]


class Soak:
    def __init__(self, build, row, wanted):
        self.row, self.wanted = row, wanted
        self.path = os.path.join(build, 'soak', f'{row.name}.json')
        self.image = digest(build)
        self.state = {'image': self.image, 'seconds': 0, 'rounds': 0, 'next': 0, 'stressors': 0, 'complaints': [],
                      'failures': [], 'lost': []}
        if os.path.exists(self.path):
            with open(self.path, encoding='utf-8') as f:
                old = json.load(f)
            if old['image'] == self.image and old['seconds'] < wanted:
                self.state = old

    def keep(self):
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path + '.part', 'w', encoding='utf-8') as f:
            json.dump(self.state, f, indent=1)
        os.replace(self.path + '.part', self.path)

    def over(self):
        return self.state['seconds'] >= self.wanted

    def round(self, box, names):
        """One round; False: the guest is lost, and its machine is no use any more."""
        s, emulator = self.state, self.row.emulator
        chosen = [names[(s['next'] + i) % len(names)] for i in range(AT_ONCE)]
        number, seconds = s['rounds'] + 1, SECONDS[emulator]
        box.settle(0.1)
        start = len(box.text)
        box.type(f'round {number} {seconds} {" ".join(chosen)}\r')
        lost = None
        try:
            m = box.wait(rf'^round {number} is over: status (\d+), complaints (\d+)\n|{LOST}', 120 + 20 * seconds)
            lost = None if m.group(1) else m.group(0)
        except Failure as e:
            lost = str(e).splitlines()[0]
        text = box.text[start:]
        s['rounds'], s['next'] = number, (s['next'] + AT_ONCE) % len(names)
        s['stressors'] = max(s['stressors'], min(number * AT_ONCE, len(names)))
        if lost:
            s['lost'].append({'round': number, 'stressors': chosen, 'why': lost, 'text': text[-4000:]})
        else:
            s['seconds'] += seconds
            # 3 and 4: no memory or permission for it, or not in this kernel
            if m.group(1) not in ('0', '3', '4'):
                s['failures'].append({'round': number, 'stressors': chosen, 'status': int(m.group(1)), 'text': text})
            if m.group(2) != '0':
                s['complaints'].append({'round': number, 'stressors': chosen, 'text': text})
        self.keep()
        say(f'round {number}: {" ".join(chosen)}: ' + (f'LOST: {lost}' if lost else f'status {m.group(1)}, '
            f'complaints {m.group(2)}') + f'; {s["seconds"]} of {self.wanted} s')
        return not lost

    def boot(self):
        conf = '[host]\nconsole = serial\n\n' + guest(
            'debian', 'vmlinuz', f'cpus = 1-{VCPUS}', memory='1G', initrd='initrd-soak.gz', on_reboot='stop',
            cmdline='console=ttyS0 loglevel=4 panic=1 mullion.name=debian')
        with Box(conf, on=self.row.name, cpus=CPUS, memory=1536 << 20) as box:
            box.until('debian', READY, 180)
            box.attach('debian')
            box.type('stty -echo; PS1=; . /etc/soak; stressors; echo that is $((40+2))\r')
            start = len(box.text)
            box.wait(r'^that is 42\n', 120)
            out = {name for names in LEFT_OUT.values() for name in names.split()}
            names = sorted(set(re.findall(r'^stressor (\S+)\n', box.text[start:], re.M)) - out)
            if len(names) < 100:
                raise Failure(f'stress-ng has {len(names)} stressors\n{box.tail()}')
            for _ in range(ROUNDS_A_BOOT[self.row.emulator]):
                if self.over() or not self.round(box, names):
                    break

    def report(self):
        s = self.state
        for kind in ('complaints', 'failures', 'lost'):
            for entry in s[kind]:
                say(f'--- {kind}, round {entry["round"]}, {" ".join(entry["stressors"])}:\n{entry["text"]}')
        amount = f'{s["seconds"]} s by the guest\'s clock'
        if self.row.emulator == 'bochs':
            amount += f' ({s["seconds"] * BOCHS_IPS * CPUS / 1e9:.0f} G instructions)'
        say(f'soak on {self.row.name}: {amount}, {s["rounds"]} rounds, {s["stressors"]} stressors; kernel complaints: '
            f'{len(s["complaints"]) or "none"}; stress-ng failures: {len(s["failures"]) or "none"}; '
            f'guests lost: {len(s["lost"]) or "none"}')
        return 1 if s['complaints'] or s['failures'] or s['lost'] else 0


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--build', default=os.path.join(ROOT, 'build'))
    p.add_argument('--on', default='qemu', choices=[n for n in machines.NAMES if n != 'kvm'], metavar='NAME')
    p.add_argument('--for', dest='amount', metavar='TIME', help='600s, 10m, 1h; on Bochs instructions: 60G')
    a = p.parse_args()
    row = machines.find(a.on)
    harness.BUILD = os.path.abspath(a.build)
    soak = Soak(harness.BUILD, row, wanted_seconds(a.amount or DEFAULT[row.emulator], row.emulator))
    if soak.state['rounds']:
        say(f'going on behind round {soak.state["rounds"]}')
    lost_in_a_row = 0
    while not soak.over() and lost_in_a_row < 3:
        before = len(soak.state['lost'])
        soak.boot()
        lost_in_a_row = lost_in_a_row + 1 if len(soak.state['lost']) > before else 0
    return soak.report()


if __name__ == '__main__':
    sys.exit(main())
