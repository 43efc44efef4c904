"""Bundles on a board. Loaded only where they are wanted: it and what it loads cost some 8 KB."""

import io

from persistmq_core.bulk_options import Bulk
from persistmq_core.contracts import Compressor
from persistmq_core.limits import BULK_MSG_COUNT_MAX, const

_BULK_BYTES_MAX = const(2048)
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
    client_id: str,
    bulk_msg_count: int = 0,
    bulk_topic_rewrite: str = "mixed/bulk",
    bulk_form: str = "simple",
    bulk_compress: bool = False,
    bulk_bytes_max: int = _BULK_BYTES_MAX,
) -> "Bulk | None":
    """The options as in the CPython port. Raises ValueError or TypeError for what cannot be.

    ``bulk_bytes_max``: of one bundle; while it is made three times as much RAM is used, in three pieces.
    """
    if not bulk_msg_count and (bulk_compress or bulk_form != "simple" or bulk_bytes_max != _BULK_BYTES_MAX):
        raise ValueError("bulk_form, bulk_compress and bulk_bytes_max need bulk_msg_count: else they do nothing")
    compressor = _Deflate() if bulk_compress else None
    # Without bundles it is made for what it says of the topic.
    msg_count = bulk_msg_count or BULK_MSG_COUNT_MAX
    bulk = Bulk(msg_count, bulk_topic_rewrite, bulk_form, bulk_bytes_max, client_id, compressor)
    return bulk if bulk_msg_count else None
