# SPDX-License-Identifier: Apache-2.0
"""An emulated machine's serial port, as one of two kinds of line: QEMU's pipes, Bochs' socket. Both have the same
methods: fileno() to wait for output, recv(), input_fileno() to wait until it takes more, offer(), close(). Neither
waits by itself. close() may come more than once."""
import fcntl
import os
import socket


class SocketLine:
    def __init__(self, connection):
        self.socket = connection
        connection.setblocking(False)

    def fileno(self):
        return self.socket.fileno()

    input_fileno = fileno

    def recv(self, size):
        """b'' at its end."""
        return self.socket.recv(size)

    def offer(self, data):
        """How many of the bytes it has taken."""
        try:
            return self.socket.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    def close(self):
        self.socket.close()


class Pipes:
    """QEMU's serial port as two named pipes. It sends byte by byte: of such, a socket that is not read holds some 300,
    a pipe as many as it has room for; and a machine whose counted clock runs ahead would call a line dead that only
    waits for us."""

    ROOM = 1 << 20

    def __init__(self, path):
        self.to = self.out = None
        for end in ('in', 'out'):
            os.mkfifo(f'{path}.{end}', 0o600)
        try:
            self.to = os.open(f'{path}.in', os.O_RDWR | os.O_NONBLOCK)
            self.out = os.open(f'{path}.out', os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            self.close()
            raise
        try:
            fcntl.fcntl(self.out, fcntl.F_SETPIPE_SZ, self.ROOM)
        except OSError:
            pass  # this user may not: then it is 64 KiB

    def fileno(self):
        return self.out

    def input_fileno(self):
        return self.to

    def recv(self, size):
        """b'' at its end."""
        return os.read(self.out, size)

    def offer(self, data):
        """How many of the bytes it has taken."""
        try:
            return os.write(self.to, data)
        except BlockingIOError:
            return 0

    def close(self):
        for fd in (self.to, self.out):
            if fd is not None:
                os.close(fd)
        self.to = self.out = None
