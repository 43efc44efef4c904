"""PersistMQ for MicroPython: what ``publish()`` accepted reaches the broker, with QoS 2 once.

    from persistmq import PersistClient

    client = PersistClient("pole-17")
    client.connect_async("broker.example")
    client.publish("pole/17/level", 3.21)
    client.flush(20)
"""

import gc

# What importing leaves behind is collected at once, so that what stays lies together: else a third of a small heap is
# free in pieces too small for anything.
_threshold = gc.threshold()
gc.collect()
gc.threshold(2048)

from persistmq_core.errors import CacheFull, ClientStopped, FormatError, MessageDropped, PersistError, StoreError  # noqa: E402

from .client import PersistClient  # noqa: E402
from .info import PublishInfo  # noqa: E402

gc.collect()
gc.threshold(_threshold)

__version__ = "0.2.0.dev0"
__all__ = [
    "CacheFull",
    "ClientStopped",
    "FormatError",
    "MessageDropped",
    "PersistClient",
    "PersistError",
    "PublishInfo",
    "StoreError",
]
