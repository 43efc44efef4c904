"""What the broker would not take, for the application: to look at, to send again, to hand on, to remove."""

import base64
import io
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, cast

from persistmq_core import parked
from persistmq_core.contracts import Store
from persistmq_core.errors import ClientStopped
from persistmq_core.limits import AHEAD_SEQ, CLOCK_VALID_MS
from persistmq_core.reasons import reason_words
from persistmq_core.segment import quarantine

from .info import PublishInfo
from .stored_payload import StoredPayload

logger = logging.getLogger("persistmq")


@dataclass(frozen=True)
class DeadLetter:
    """One message, and why it is here."""

    seq: int
    """Its number, as its PublishInfo had it."""
    topic: str
    payload_bytes: int
    qos: int
    retain: bool
    accepted: float | None
    """When ``publish()`` took it, Unix time in seconds; None where no clock was valid."""
    reason_code: int
    """Of MQTT 5 (section 2.4); below 0x80 one of PersistMQ's own: 1 it made the broker end the connection again and
    again, 2 too large for the broker, 3 or 4 a QoS or a retained message that the broker does not take."""
    name: str = field(repr=False)
    """Of its file in the cache."""
    payload_name: str = field(repr=False)
    """The same, of a large payload, which has a file of its own; else ""."""
    content: Callable[[], io.RawIOBase | io.BytesIO] = field(repr=False)
    goes_ahead: bool = field(repr=False, default=False)
    """It was in the lane that goes ahead."""

    @property
    def payload(self) -> bytes:
        """All of it, in memory. Raises OSError if it has a file of its own, and that does not read."""
        with self.open() as file:
            return file.read()

    def open(self) -> BinaryIO:
        """The payload as a file to read from."""
        return cast(BinaryIO, self.content())

    @property
    def reason(self) -> str:
        """The reason code in words."""
        return reason_words(self.reason_code)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the payload as text if it is UTF-8, else as base64; of a large one where its bytes are."""
        found: dict[str, Any] = {
            "seq": self.seq,
            "topic": self.topic,
            "qos": self.qos,
            "retain": self.retain,
            "accepted": self.accepted,
            "reason_code": self.reason_code,
            "reason": self.reason,
        }
        if self.payload_name:
            return found | {"payload_bytes": self.payload_bytes, "payload_file": self.payload_name}
        payload = self.payload
        try:
            found["payload"] = payload.decode()
        except UnicodeDecodeError:
            found["payload_base64"] = base64.b64encode(payload).decode()
        return found


class DeadLetters:
    """``client.dead_letters``: iterate over it, oldest first in each lane. For any thread; files are read as you go.

    ``letters_max``: of each lane; beyond it the oldest are removed when another one comes; None: none is.
    """

    def __init__(self, stores: Sequence[Store], publish: Callable[..., PublishInfo], letters_max: int | None) -> None:
        if letters_max is not None and (type(letters_max) is not int or letters_max < 1):
            raise ValueError(
                f"dead_letters_max must be a whole number from 1, or None for no bound, not {letters_max!r}"
            )
        self._stores = stores
        self._guard = threading.Lock()
        self._taken: set[tuple[bool, str]] = set()  # those that somebody is about to requeue
        self._publish = publish
        self._letters_max = letters_max

    def __len__(self) -> int:
        return sum(len(parked.letters(store)) for store in self._stores)

    def __iter__(self) -> Iterator[DeadLetter]:
        for index, store in enumerate(self._stores):
            for letter in parked.letters(store):
                found = self._read(store, letter, index > 0)
                if found is not None:
                    yield found

    def counts(self) -> dict[str, int]:
        """How many there are for each reason (in words)."""
        return dict(Counter(reason_words(letter.reason_code) for _, letter in self._all()))

    def requeue(self, letter: DeadLetter) -> PublishInfo:
        """Publish it again, as a new message, and then remove the letter.

        If the power fails between the two it is both sent and still here. Raises what ``publish`` raises, ClientStopped
        if it was not stored before the client ended (the letter is still here), KeyError if the letter is gone:
        somebody has requeued or removed it, or is about to.
        """
        _check_letter(letter)
        with self._guard:
            key = (letter.goes_ahead, letter.name)
            if key in self._taken:
                raise KeyError(f"the dead letter {letter.name} is being requeued already")
            store = self._store_of(letter)
            self._taken.add(key)
        try:
            payload = letter.open() if letter.payload_name else letter.payload
            info = self._publish(letter.topic, payload, letter.qos, letter.retain, priority=letter.goes_ahead)
            if not info.wait_for_stored():
                raise ClientStopped("this client was stopped before the dead letter was stored as a message")
            with suppress(FileNotFoundError):  # removed meanwhile, beyond letters_max: it is on its way all the same
                parked.remove(store, letter.name)
        finally:
            with self._guard:
                self._taken.discard(key)
        return info

    def remove(self, letter: DeadLetter) -> None:
        """Give it up. Raises KeyError if it is gone, OSError."""
        _check_letter(letter)
        parked.remove(self._store_of(letter), letter.name)

    def export(self, path: str | os.PathLike[str]) -> int:
        """Write them all to a new file, one JSON object a line (see ``DeadLetter.as_dict``); how many these were.

        They stay in the cache, and large payloads only there. Raises FileExistsError if the file is there, OSError.
        """
        count = 0
        with open(path, "x", encoding="utf-8") as file:
            for letter in self:
                file.write(json.dumps(letter.as_dict(), ensure_ascii=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        return count

    def trim(self) -> None:
        """Another one has come. By the client's thread."""
        if self._letters_max is None:
            return
        for store in self._stores:
            try:
                count = parked.trim(store, self._letters_max)
            except OSError as failure:
                logger.warning("dead letters cannot be removed: %s", failure)
                continue
            if count:
                logger.warning("more than %d dead letters: the oldest %d were removed", self._letters_max, count)

    def _all(self) -> Iterator[tuple[Store, parked.Letter]]:
        for store in self._stores:
            for letter in parked.letters(store):
                yield store, letter

    def _store_of(self, letter: DeadLetter) -> Store:
        for store, found in self._all():
            if found.name == letter.name and (store is not self._stores[0]) == letter.goes_ahead:
                return store
        raise KeyError(f"there is no dead letter {letter.name} any more: it was requeued or removed")

    def _read(self, store: Store, letter: parked.Letter, goes_ahead: bool) -> DeadLetter | None:
        try:
            record = parked.read(store, letter)
            if record is None:
                logger.error("%s is damaged: moved to quarantine/", letter.name)
                quarantine(store, letter.name)
                return None
        except FileNotFoundError:
            return None  # requeued or removed meanwhile
        payload_name = parked.letter_payload_name(letter.name) if record.is_apart() else ""
        accepted_ms = record.accepted_ms()
        content: Callable[[], io.RawIOBase | io.BytesIO] = partial(io.BytesIO, bytes(record.payload))
        if payload_name:
            size, crc = record.apart_bytes, record.apart_crc
            content = partial(StoredPayload, store, payload_name, size, crc, letter.cache_id)
        return DeadLetter(
            letter.seq + (AHEAD_SEQ if goes_ahead else 0),
            bytes(record.topic).decode(),
            record.apart_bytes if payload_name else len(record.payload),
            record.qos,
            record.retain,
            accepted_ms / 1000 if accepted_ms >= CLOCK_VALID_MS else None,
            letter.reason_code,
            letter.name,
            payload_name,
            content,
            goes_ahead,
        )


def _check_letter(letter: object) -> None:
    if not isinstance(letter, DeadLetter):
        raise TypeError(f"letter must be a DeadLetter, one of client.dead_letters, not {letter!r}")
