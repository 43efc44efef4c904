"""Bundles compressed by the firmware's own module: lines of content and what became of it, both in hexadecimal."""

import sys
from binascii import hexlify

# As a module of its own: the package would want sockets.
sys.path[:0] = ["/lib/persistmq", "ports/micropython/persistmq"]

from bundling import bulk_of  # noqa: E402

try:
    compressor = bulk_of("me", 5, "bulk", "persistmq", True).compressor
except ValueError as error:
    print(error)
else:
    for content in (b"a" * 300, b"0123456789" * 7, bytes(range(256)) * 4, b"x"):
        print(hexlify(content).decode(), hexlify(compressor.compress(content)).decode())
