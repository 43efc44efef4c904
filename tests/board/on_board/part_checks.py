"""The clock across the counter's wrap, Wi-Fi by a fake network, the incoming stream cut anywhere, arguments."""

import sys

import board

board.use_sources()

from persistmq import clock, wlan  # noqa: E402
from persistmq.connection import Connection  # noqa: E402
from persistmq.incoming import Incoming  # noqa: E402

from persistmq_core.errors import ProtocolError  # noqa: E402


class FakeTime:
    """A board's time: 2^30 ticks, and an epoch of 2000."""

    def __init__(self):
        self.ticks = (1 << 30) - 5000
        self.seconds = 0

    def ticks_ms(self):
        return self.ticks % (1 << 30)

    def ticks_diff(self, new, old):
        return (new - old + (1 << 29)) % (1 << 30) - (1 << 29)

    def time(self):
        return self.seconds


real_time = clock.time
clock.time = wlan.time = fake = FakeTime()
running = clock.Clock()
expected = 0
for step in (0, 1, 4998, 1, 1, 1 << 20, (1 << 29) - 1, 1 << 28, 1 << 29 - 1, 1 << 28, 1 << 28, 1 << 28):
    fake.ticks += step
    expected += step
    assert running.now_ms() == expected, (step, expected)
assert running.unix_ms() == 0  # 2000-01-01: never set
clock.EPOCH = 946684800
fake.seconds = 800000000
assert running.unix_ms() == (800000000 + 946684800) * 1000
clock.EPOCH = 0
fake.seconds = 1700000000
assert running.unix_ms() == 0  # 2023
fake.seconds = 1800000000
assert running.unix_ms() == 1800000000000


class FakeNetwork:
    """Joins at the second attempt."""

    STA_IF = 0

    def __init__(self):
        self.calls = []
        self.joined = False

    def WLAN(self, interface):
        return self

    def isconnected(self):
        return self.joined

    def active(self, on):
        self.calls.append("active")

    def connect(self, ssid, password):
        self.calls.append(ssid + "/" + password)

    def disconnect(self):
        self.calls.append("disconnect")


network = sys.modules["network"] = FakeNetwork()
hook = wlan.Wlan("net", "secret", rejoin_ms=100)
assert not hook() and not hook()
assert network.calls == ["active", "net/secret"]
fake.ticks += 100
assert not hook()
assert network.calls[2:] == ["disconnect", "active", "net/secret"]
network.joined = True
assert hook() and hook()
network.joined = False
assert not hook()  # lost: begin again at once
assert len(network.calls) == 7
clock.time = real_time

stream = (
    b"\xd0\x00"  # PINGRESP
    + b"\x40\x02\x00\x01"  # PUBACK 1
    + b"\x30\x83\x02" + b"\x00\x01t" + b"x" * 256  # a PUBLISH of 259 bytes, which is not for us
    + b"\x50\x02\xea\x60"  # PUBREC 60000
    + b"\x40\x02\xfa\x01"  # PUBACK 64001: not the core's
    + b"\x90\x03\x00\x01\x00"  # SUBACK
    + b"\x70\x02\x01\x02"  # PUBCOMP 258
    + b"\xd0\x00"
)
wanted = b"\x40\x02\x00\x01\x50\x02\xea\x60\x70\x02\x01\x02"


def give(incoming, piece):
    """As the transport reads."""
    room = incoming.room()
    assert len(room) >= len(piece)
    room[: len(piece)] = piece
    incoming.feed(len(piece))


for size in (1, 2, 3, 5, 7, 64, 250):
    incoming = Incoming(256)
    got = b""
    for at in range(0, len(stream), size):
        give(incoming, stream[at : at + size])
        got += bytes(incoming.take())
    assert got == wanted, (size, got)
    assert incoming.pongs == 2
for size in (1, 2, 3, 5, 7, 64):  # many pieces before they are taken, as TLS may bring them
    incoming = Incoming(64)
    at = 0
    while len(incoming.room()) >= size and at < len(stream):
        give(incoming, stream[at : at + size])
        at += size
    got = bytes(incoming.take())
    assert got == wanted[: len(got)] and (at < len(stream) or got == wanted), (size, got)
for ahead in (b"", b"\xd0\x00", b"\x40\x02\x00"):
    incoming = Incoming(64)
    give(incoming, ahead)
    if ahead[:1] == b"\x40":
        give(incoming, b"\x05")
    while len(incoming.room()) >= 4:
        give(incoming, b"\x40\x02\x00\x05")
    got = incoming.take()
    assert 48 <= len(got) <= 60 and bytes(got) == b"\x40\x02\x00\x05" * (len(got) // 4)
    assert len(incoming.room()) == 60
for wrong in (b"\x00", b"\x10", b"\x40\x03", b"\x30\xff\xff\xff\xff\x01"):
    incoming.reset()
    try:
        give(incoming, wrong)
        raise AssertionError(wrong)
    except ProtocolError:
        pass

old = Connection("b\u00f6ard")
assert old.client_id == "b\u00f6ard".encode()
old.configure("h", 1, None, None, None, 0)
assert old.ssl is False
old.configure("h", 1, "\u00fc", None, {"server_hostname": "h"}, 0)
assert old.ssl is True and old.ssl_params == {"server_hostname": "h"} and old.user == "\u00fc".encode()
try:
    old.configure("h", 1, None, None, object(), 0)
    raise AssertionError("1.3 cannot do that")
except ValueError:
    pass
old.set_last_will("t\u00fc", "gone", True, 1)
assert (old.lw_topic, old.lw_msg) == ("t\u00fc".encode(), b"gone")
print("all good")
