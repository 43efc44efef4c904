"""bulk_compress on a board: some firmwares can, and some say that they cannot."""

import zlib

from tests.wasm.test_transport import on_unix, on_wasm

SCRIPT = "tests/wasm/on_wasm/compress_checks.py"


def test_what_the_firmware_compressed_is_read_by_zlib() -> None:
    ran = on_wasm(SCRIPT)
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert len(lines) == 4, ran.stdout + ran.stderr
    for content, compressed in lines:
        assert zlib.decompress(bytes.fromhex(compressed)) == bytes.fromhex(content)
    assert len(lines[0][1]) < len(lines[0][0]) // 5


def test_a_firmware_that_only_reads_it_says_so() -> None:
    ran = on_unix(SCRIPT)
    words = "bulk_compress=True: this firmware cannot compress, its module deflate only reads\n"
    assert ran.stdout == words, ran.stderr
