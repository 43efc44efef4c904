"""Errors, by who must act.

The caller: ``ValueError`` and ``TypeError`` name the value and the limit; nothing was written.
The disk: ``StoreError``; nothing that was stored before is touched, and publishing may be tried again. With durability
"async" ``publish()`` has returned by then: it raises only when the staging memory is full, and ``store_error`` in the
status says what is wrong.
The network: never an error here. It is the normal case and shows in the status.
Damaged bytes: never an error either, but a report (``damaged`` in the accounts, ``quarantine/``).
"""

# EIO, ENODATA (Linux: a medium error), EBADMSG (a checksum of the file system), EILSEQ (littlefs: corrupt), EUCLEAN.
UNREADABLE_ERRNOS = (5, 61, 74, 84, 117)


def is_unreadable(failure: Exception) -> bool:
    """Whether an error speaks of the bytes; others (no descriptor, no memory, no permission) pass or need a person."""
    return bool(failure.args) and failure.args[0] in UNREADABLE_ERRNOS


class PersistError(Exception):
    """Base of PersistMQ's own errors, but for StoreError, which is an OSError."""


class StoreError(OSError):
    """Storage failed. ``errno`` is the system's; what was stored before is whole; the message was not accepted."""


class CacheFull(StoreError):
    """A bound of the cache is reached: ``cache_bytes_max``, ``cache_messages_max`` or ``free_bytes_min``.

    ``count`` messages, ``wanted_bytes`` in all, had no room.
    """

    count = 0
    wanted_bytes = 0


class FormatError(PersistError):
    """The cache was written by a newer disk version. It was left untouched."""


class ClientStopped(PersistError):
    """``publish()`` after ``stop()``."""


class MessageDropped(PersistError):
    """The message was accepted and will not be delivered.

    ``account``: "refused" (parked under ``dead/``), "damaged", "expired" (too old) or "evicted" (for newer ones).
    """

    def __init__(self, seq: int, account: str, words: str) -> None:
        super().__init__("message %d was %s: %s" % (seq, account, words))
        self.seq = seq
        self.account = account


class ProtocolError(PersistError):
    """The broker sent what MQTT forbids. The engine closes the connection; it never reaches the application."""
