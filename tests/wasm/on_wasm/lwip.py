"""Stands for the ``socket`` module: an ESP32's sockets, at whose other end is a broker in the same program.

Their own ways, which the unix port hides: a read or write that has to wait gives None where the socket does not block
and ETIMEDOUT where it does; a write takes what has room in 5744 bytes; the errors have lwIP's numbers.
"""

import io

EBADF = 9
EINVAL = 22
ECONNRESET = 104
EHOSTUNREACH = 113  # lwIP gives it for a port that nobody listens on, too
ETIMEDOUT = 116
ENOTCONN = 128
SEND_BYTES = 5744
_POLLIN = 1
_POLLOUT = 4
_IOCTL_POLL = 3


class Network:
    """What the test orders. ``accept`` gives the other side: something with ``feed(bytes) -> bytes`` and ``closed``."""

    def __init__(self):
        self.accept = None  # None: nobody listens
        self.is_frozen = False  # no byte moves, nobody is told
        self.write_counts = []  # what the next writes take: a number, 0 for none, None for all
        self.read_bytes_max = 1 << 30  # what one read brings
        self.fail_read = 0  # the errno of the next read
        self.fail_write = 0
        self.sockets = []  # all that were made


network = Network()


def getaddrinfo(host, port):
    return [(2, 1, 0, "", (host, port))]


class socket(io.IOBase):  # noqa: N801 - its name in the module
    def __init__(self):
        self.options = []
        self.closed = False
        self._timeout_s = None
        self._other = None
        self._outgoing = b""
        self._came = b""
        network.sockets.append(self)

    def settimeout(self, timeout_s):
        self._timeout_s = timeout_s

    def setblocking(self, blocks):
        self._timeout_s = None if blocks else 0

    def setsockopt(self, level, option, value):
        self.options.append((level, option, value))

    def connect(self, address):
        if network.accept is None:
            raise OSError(EHOSTUNREACH)
        if network.is_frozen:
            self._wait()
        self._other = network.accept()

    def write(self, view, count=None):
        view = bytes(view) if count is None else bytes(view[:count])
        self._check("fail_write")
        room = SEND_BYTES - len(self._outgoing)
        if self._timeout_s == 0 and network.write_counts:
            ordered = network.write_counts.pop(0)
            room = room if ordered is None else min(room, ordered)
        elif self._timeout_s != 0 and room < len(view):
            return self._wait()  # a blocking write takes all
        if self._other.closed:
            raise OSError(ENOTCONN)
        self._outgoing += view[:room]
        self._move()
        return min(room, len(view)) or None

    def readinto(self, buffer):
        self._check("fail_read")
        self._move()
        if not self._came:
            return 0 if self._other.closed and not network.is_frozen else self._wait()
        count = min(len(buffer), len(self._came), network.read_bytes_max)
        buffer[:count] = self._came[:count]
        self._came = self._came[count:]
        return count

    def read(self, count):
        found = b""
        piece = bytearray(1)
        while len(found) < count:
            got = self.readinto(piece)
            if not got:
                return found or (b"" if got == 0 else None)
            found += piece
        return found

    def ioctl(self, request, flags):
        if request != _IOCTL_POLL:
            return -EINVAL  # the unix port asks for a file number
        self._move()
        ready = _POLLIN if self._came or (self._other.closed and not network.is_frozen) else 0
        if len(self._outgoing) < SEND_BYTES:
            ready |= _POLLOUT
        return ready & flags

    def close(self):
        if not self.closed:
            self.closed = True
            if self._other is not None:
                self._move()
                self._other.lost()

    def _move(self):
        if not network.is_frozen and not self._other.closed:
            self._came += self._other.feed(self._outgoing)
            self._outgoing = b""

    def _check(self, order):
        if self.closed:
            raise OSError(EBADF)
        number = getattr(network, order)
        if number:
            setattr(network, order, 0)
            self._other.lost()
            raise OSError(number)

    def _wait(self):
        """None, or the time-out: time does not pass here."""
        assert self._timeout_s is not None, "it would wait for ever"
        if self._timeout_s:
            raise OSError(ETIMEDOUT)
