"""Bundles, compressed."""

import zlib

from persistmq_core.contracts import Compressor


class Zlib(Compressor):
    """The standard library's, as it comes."""

    def compress(self, content: bytes) -> bytes:
        return zlib.compress(content)
