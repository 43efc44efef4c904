"""A day of 10 messages a second, with a clock that is told what time it is.

The engine and the files are the real ones; the broker is in the process and answers at once; syncs are left out, since
what is looked for is growth and not speed.
"""

import os
import zlib
from pathlib import Path
from typing import Any

os.fdatasync = os.fsync = lambda _descriptor: None  # type: ignore[assignment] # before the store takes them

from persistmq.store import FileStore  # noqa: E402

from _bench.meter import rss_bytes  # noqa: E402
from _bench.wire import PUBACK, PUBCOMP, PUBREC, PUBREL, TOPIC  # noqa: E402
from persistmq_core.contracts import DOWN, UP, Random, Transport  # noqa: E402
from persistmq_core.engine import Engine  # noqa: E402
from persistmq_core.opening import open_cache  # noqa: E402
from persistmq_core.options import Options  # noqa: E402
from persistmq_core.packets import split  # noqa: E402

_PER_SECOND = 10
_ANSWERS = {0x32: PUBACK, 0x34: PUBREC, PUBREL: PUBCOMP}


class AnsweringTransport(Transport):
    """A connection to a broker that answers each packet at once."""

    def __init__(self) -> None:
        self._state = DOWN
        self._answers = bytearray()
        self.completed = 0

    def open(self, clean_session: bool) -> None:
        self._state = UP

    def state(self) -> int:
        return self._state

    def send(self, view: memoryview, follows: int = 0) -> int:
        start = 0
        while start < len(view):
            whole = split(view, start)
            if whole is None:
                raise ValueError("a packet that is not whole")
            first, begin, end = whole
            place = begin if first == PUBREL else begin + 2 + (view[begin] << 8 | view[begin + 1])
            self._answers += bytes((_ANSWERS[first], 2)) + view[place : place + 2]
            self.completed += first != 0x34
            start = end
        return start

    def receive(self) -> bytes:
        answers, self._answers = bytes(self._answers), bytearray()
        return answers

    def close(self) -> None:
        self._state = DOWN


class _NoJitter(Random):
    def below(self, bound: int) -> int:
        return bound // 2


def day(hours: int, payload_bytes: int) -> dict[str, Any]:
    transport = AnsweringTransport()
    options = Options(session_marker=zlib.crc32(b"bench"))
    engine = Engine(open_cache(FileStore("cache"), _NoJitter(), options), transport)
    payload = bytes(payload_bytes)
    found = []
    messages = 0
    now_ms = 0
    for _ in range(hours):
        for _ in range(3600 * _PER_SECOND):
            messages += 1
            engine.spool.stage(TOPIC, payload, 1 + messages % 2, False, now_ms)
            group = engine.spool.take()
            group.write()
            engine.spool.finish(group)
            for _ in range(6):  # PUBLISH, PUBREC, PUBREL, PUBCOMP
                if engine.step(now_ms):
                    break
            now_ms += 1000 // _PER_SECOND
        found.append(_figures(Path("cache")))
    for _ in range(10):
        now_ms += 1000
        engine.step(now_ms)
    accounts = engine.accounts()
    if accounts["delivered"] != messages or accounts["waiting"] or transport.completed != messages:
        raise RuntimeError(f"{messages} messages were to be delivered: {accounts}")
    engine.close()
    return {"messages": messages, "hours": found}


def _figures(cache: Path) -> dict[str, int]:
    files = [path for path in cache.rglob("*") if path.is_file()]
    return {
        "rss_bytes": rss_bytes(),
        "files": len(files),
        "file_bytes": sum(path.stat().st_size for path in files),
        "checkpoint_bytes": sum(path.stat().st_size for path in files if path.name.startswith("checkpoint")),
    }
