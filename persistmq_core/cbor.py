"""A little of CBOR (RFC 8949), to be written: each thing in its shortest form, and so always in the same bytes."""

from struct import pack

from .limits import const

# Major types, as they stand in the first byte.
UINT = const(0x00)
BYTES = const(0x40)
TEXT = const(0x60)
ARRAY = const(0x80)
MAP = const(0xA0)

_FALSE = const(0xF4)
_TRUE = const(0xF5)


def head(out: bytearray, kind: int, number: int) -> None:
    """Append the beginning of something: its kind, and its value (UINT), bytes (BYTES, TEXT) or things (ARRAY, MAP)."""
    if number < 24:
        out.append(kind | number)
    elif number < 0x100:
        out += pack(">BB", kind | 24, number)
    elif number < 0x10000:
        out += pack(">BH", kind | 25, number)
    elif number < 0x100000000:
        out += pack(">BI", kind | 26, number)
    else:
        out += pack(">BQ", kind | 27, number)


def string(out: bytearray, kind: int, content: "bytes | bytearray | memoryview") -> None:
    """Append BYTES, or TEXT, whose content is UTF-8."""
    head(out, kind, len(content))
    out += content


def boolean(out: bytearray, value: bool) -> None:
    out.append(_TRUE if value else _FALSE)


def is_text(content: "bytes | memoryview") -> bool:
    """UTF-8 without control characters, but for tab, newline and carriage return: what a person could have written.

    Most binary content is not: it has zeros, or bytes above 127 that do not go together.
    """
    if not content:
        return True
    if min(content) < 0x20:
        for byte in content:
            if byte < 0x20 and byte not in (9, 10, 13):
                return False
    if max(content) < 0x7F:
        return True
    # Byte by byte: MicroPython's decode() takes what the standard forbids, and a decoder then refuses it all.
    more = 0  # bytes of the character that are still to come
    low, high = 0x80, 0xBF  # between which the next of them must be
    for byte in content:
        if more:
            if not low <= byte <= high:
                return False
            more -= 1
            low, high = 0x80, 0xBF
        elif byte >= 0x7F:
            if 0xC2 <= byte <= 0xDF:
                more = 1
                low = 0xA0 if byte == 0xC2 else 0x80  # U+0080 to U+009F are control characters
            elif 0xE0 <= byte <= 0xEF:
                more = 2
                low = 0xA0 if byte == 0xE0 else 0x80
                high = 0x9F if byte == 0xED else 0xBF  # surrogates
            elif 0xF0 <= byte <= 0xF4:
                more = 3
                low = 0x90 if byte == 0xF0 else 0x80
                high = 0x8F if byte == 0xF4 else 0xBF  # beyond U+10FFFF
            else:
                return False
    return not more
