"""What a broker may send after CONNACK, right and wrong, and a second, plain reader of it to compare with."""

from collections.abc import Iterator

from tests.support.rng import Rng

PUBACK, PUBREC, PUBCOMP = 0x40, 0x50, 0x70
KINDS = (PUBACK, PUBREC, PUBCOMP)
Acknowledgement = tuple[int, int, int]  # (kind, identifier, reason code)


class NotMqtt(Exception):
    """The reader's verdict."""


def acknowledgement(rng: Rng, identifiers: int, mqtt5: bool) -> bytes:
    kind = rng.pick((*KINDS, *KINDS, *KINDS, 0x30, 0x62, 0x41, 0xD0, 0xE0, rng.below(256)))
    identifier = rng.pick((1 + rng.below(identifiers), 1 + rng.below(identifiers), rng.below(65536), 0, 60000, 60001))
    body = bytes((identifier >> 8, identifier & 255))
    if mqtt5 and rng.one_in(3):
        body += bytes((rng.pick((0, 0x10, 0x80, 0x83, 0x87, 0x91, 0x92, 0x97, rng.below(256))),))
        body += rng.pick((b"", b"\0", b"\x03\x1f\0\0", bytes(rng.garbage(rng.below(9)))))
    length = rng.pick((bytes((len(body),)),) * 6 + (bytes((len(body) | 128, 0)), bytes((rng.below(256),)), b"\xff" * 4))
    return bytes((kind,)) + length + body


def stream(rng: Rng, identifiers: int = 20, mqtt5: bool = False) -> bytes:
    """Mostly packets, and now and then noise, a cut, a flipped bit."""
    out = bytearray()
    for _ in range(rng.below(12)):
        out += rng.garbage(rng.below(12)) if rng.one_in(15) else acknowledgement(rng, identifiers, mqtt5)
    if out and rng.one_in(4):
        out[rng.below(len(out))] ^= 1 << rng.below(8)
    if out and rng.one_in(6):
        del out[rng.below(len(out)) :]
    return bytes(out)


def read(content: bytes) -> "Iterator[Acknowledgement]":
    """What ``content`` acknowledges, by the letter of 2.2.3 and 3.4. Raises NotMqtt where it acknowledges nothing."""
    rest = content
    while rest:
        length, used = 0, 0
        for used in range(1, 5):
            if used >= len(rest):
                raise NotMqtt("cut in the length")
            length += (rest[used] & 0x7F) * 128 ** (used - 1)
            if rest[used] < 0x80:
                break
        else:
            raise NotMqtt("a fifth byte of length")
        body = rest[1 + used : 1 + used + length]
        if len(body) < length or rest[0] not in KINDS or length < 2 or body[:2] == b"\0\0":
            raise NotMqtt("no whole acknowledgement")
        yield rest[0], int.from_bytes(body[:2], "big"), body[2] if length > 2 else 0
        rest = rest[1 + used + length :]
