"""Bundles on a board. Loaded only where they are wanted: it and what it loads cost some 8 KB."""

import io

from persistmq_core.bulk import Bulk
from persistmq_core.contracts import Compressor
from persistmq_core.limits import const

_WINDOW_BITS = const(10)  # what a receiver has to look back, and the RAM that it costs: 1 KB


class _Deflate(Compressor):
    """The firmware's module ``deflate``. Raises ValueError where it cannot compress."""

    def __init__(self) -> None:
        try:
            import deflate  # noqa: PLC0415
        except ImportError:
            deflate = None
        if not hasattr(getattr(deflate, "DeflateIO", None), "write"):
            raise ValueError("bulk_compress=True: this firmware cannot compress, its module deflate only reads")
        self._deflate = deflate

    def compress(self, content: bytes) -> bytes:
        out = io.BytesIO()
        try:
            with self._deflate.DeflateIO(out, self._deflate.ZLIB, _WINDOW_BITS) as stream:
                stream.write(content)
        except MemoryError:
            return content  # as it is, then
        return out.getvalue()


def bulk_of(
    client_id: str, msg_count: int, topic_rewrite: str, form: str, bytes_max: int, compress: bool
) -> Bulk:
    """Raises ValueError or TypeError for what cannot be."""
    return Bulk(msg_count, topic_rewrite, form, bytes_max, client_id, _Deflate() if compress else None)
