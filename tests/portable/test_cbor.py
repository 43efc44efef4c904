"""The CBOR that bundles are written in: the shortest form, always."""

import unittest

from persistmq_core import cbor
from tests.support.rng import Rng
from tests.support.unbundle import read_cbor

try:
    import cbor2
except ImportError:
    cbor2 = None  # MicroPython

EDGES = (0, 1, 23, 24, 255, 256, 65535, 65536, 4294967295, 4294967296, 1 << 48, (1 << 64) - 1)


def written(call, *arguments):
    out = bytearray(b"before")
    call(out, *arguments)
    return bytes(out[6:])


def some(rng):
    """Bytes of which UTF-8 could be made."""
    parts = (0x41, 0x80, 0x9F, 0xA0, 0xBF, 0xC3, 0xE2, 0xED, 0xF0, 0xF4)
    return bytes([rng.pick(parts) for _ in range(rng.between(1, 5))])


class WritingTest(unittest.TestCase):
    def test_the_bytes_are_those_of_the_standard(self):
        # RFC 8949, appendix A.
        for number, expected in (
            (0, b"\x00"),
            (23, b"\x17"),
            (24, b"\x18\x18"),
            (1000, b"\x19\x03\xe8"),
            (1000000, b"\x1a\x00\x0f\x42\x40"),
            (1000000000000, b"\x1b\x00\x00\x00\xe8\xd4\xa5\x10\x00"),
        ):
            self.assertEqual(written(cbor.head, cbor.UINT, number), expected)
        self.assertEqual(written(cbor.string, cbor.TEXT, b"IETF"), b"\x64IETF")
        self.assertEqual(written(cbor.string, cbor.BYTES, b"\1\2\3\4"), b"\x44\1\2\3\4")
        self.assertEqual(written(cbor.head, cbor.ARRAY, 25), b"\x98\x19")
        self.assertEqual(written(cbor.head, cbor.MAP, 2), b"\xa2")
        self.assertEqual((written(cbor.boolean, False), written(cbor.boolean, True)), (b"\xf4", b"\xf5"))

    def test_what_was_written_is_read(self):
        for number in EDGES:
            self.assertEqual(read_cbor(written(cbor.head, cbor.UINT, number)), number)
        for size in (0, 1, 23, 24, 255, 256, 65535, 65536):
            self.assertEqual(read_cbor(written(cbor.string, cbor.BYTES, memoryview(b"x" * size))), b"x" * size)

    def test_it_is_what_cbor2_writes(self):
        if cbor2 is None:
            return
        for number in EDGES:
            self.assertEqual(written(cbor.head, cbor.UINT, number), cbor2.dumps(number))
        for size in (0, 1, 23, 24, 255, 256, 65535, 65536):
            self.assertEqual(written(cbor.string, cbor.BYTES, b"x" * size), cbor2.dumps(b"x" * size))
            self.assertEqual(written(cbor.string, cbor.TEXT, b"x" * size), cbor2.dumps("x" * size))
        for value in (False, True):
            self.assertEqual(written(cbor.boolean, value), cbor2.dumps(value))
        for count in (0, 1, 23, 24, 300):
            self.assertEqual(written(cbor.head, cbor.ARRAY, count) + b"\1" * count, cbor2.dumps([1] * count))


class TextTest(unittest.TestCase):
    def test_what_a_person_may_have_written_is_text(self):
        others = ("Gr\xfc\xdfe", "\u20ac", "\U0001f600 \uffee")
        for text in ("", "21.5", '{"a": [1, 2]}', "two\r\nlines\tand a tab") + others:
            self.assertTrue(cbor.is_text(text.encode()), text)
            self.assertTrue(cbor.is_text(memoryview(text.encode())), text)

    def test_anything_else_is_bytes(self):
        for content in (
            b"\0",
            b"a\0b",
            b"\x1b[0m",
            b"\x7f",
            b"\x80",
            b"\xc3",  # cut
            b"\xc3(",
            b"\xc0\x80",  # longer than it must be
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xed\xa0\x80",  # a surrogate
            b"\xf4\x90\x80\x80",  # beyond U+10FFFF
            b"\xf5\x80\x80\x80",
            b"\xff",
            b"\xe2\x82",
            b"\xc2\x85",  # a control character
            b"abc\xa3\x01",
        ):
            self.assertFalse(cbor.is_text(content), content)

    def test_what_is_text_can_be_decoded(self):
        # And nearly all else cannot: the rest are control characters.
        rng = Rng(4)
        texts = 0
        for _ in range(3000):
            content = some(rng)
            if cbor.is_text(content):
                texts += 1
                self.assertEqual(content.decode().encode(), content)
        self.assertGreater(texts, 50)

    def test_python_agrees(self):
        if cbor2 is None:
            return  # MicroPython's decode() takes nearly everything
        rng = Rng(5)
        for _ in range(3000):
            content = some(rng)
            try:
                expected = not [1 for each in content.decode() if "\x7f" <= each < "\xa0"]
            except UnicodeError:
                expected = False
            self.assertEqual(cbor.is_text(content), expected, content)

