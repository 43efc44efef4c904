"""PersistMQ: a durable MQTT publisher. What ``publish()`` accepted reaches the broker, with QoS 2 once.

    from persistmq import PersistClient

    with PersistClient("pole-17", cache_path="/var/lib/pole/cache") as client:
        client.connect_async("broker.example")
        client.publish("pole/17/level", 3.21)
"""

from importlib.metadata import PackageNotFoundError, version

from persistmq_core.errors import CacheFull, ClientStopped, FormatError, MessageDropped, PersistError, StoreError

from .client import PersistClient
from .dead_letters import DeadLetter, DeadLetters
from .info import PublishInfo
from .lock import CacheInUse

try:
    __version__ = version("persistmq")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "CacheFull",
    "CacheInUse",
    "ClientStopped",
    "DeadLetter",
    "DeadLetters",
    "FormatError",
    "MessageDropped",
    "PersistClient",
    "PersistError",
    "PublishInfo",
    "StoreError",
]
