#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for QEMU where a test wants a certain end: answers the control socket as QEMU does, and does what
FAKE_QEMU says, a JSON list of (what, value). Which start this is (0, 1, ...) is counted in the file FAKE_STARTS; it
chooses the list of FAKE_QEMU's lists.

    say TEXT       writes to the serial port; {word} in it is the one that the kernel was given
    take N         waits for N bytes of input, and writes them back
    event REASON   tells of a SHUTDOWN
    complain TEXT  writes to standard error
    sleep S, exit STATUS"""
import json
import os
import re
import socket
import sys
import time


def main():
    arguments = sys.argv[1:]
    if arguments == ['--version']:
        print('QEMU emulator version 7.2.99 (a test)')
        return 0
    with open(os.environ['FAKE_STARTS'], 'a+', encoding='ascii') as f:
        f.seek(0)
        start = len(f.read())
        f.write('x')
    line = ' '.join(arguments)
    word = re.search(r'run=\w+', line).group(0)
    control = socket.socket(fileno=int(re.search(r'id=qmp,fd=(\d+)', line).group(1)))
    steps = json.loads(os.environ['FAKE_QEMU'])[start]
    if steps[0][0] == 'complain':
        print(steps[0][1], file=sys.stderr)
        return steps[1][1]
    control.sendall(b'{"QMP": {}}\n')
    control.recv(4096)
    control.sendall(b'{"return": {}}\n')
    out, given = os.open('serial.out', os.O_WRONLY), os.open('serial.in', os.O_RDONLY)
    for what, value in steps:
        if what == 'say':
            os.write(out, value.replace('{word}', word).encode())
        elif what == 'take':
            while value:
                data = os.read(given, min(value, 4096))
                value -= len(data)
                os.write(out, data)
        elif what == 'event':
            control.sendall(json.dumps({'event': 'SHUTDOWN', 'data': {'reason': value}}).encode() + b'\n')
        elif what == 'sleep':
            time.sleep(value)
        else:
            return value
    return 0


sys.exit(main())
