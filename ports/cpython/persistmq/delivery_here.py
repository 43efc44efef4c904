"""The delivering side in this process: an engine with its transport, on whatever thread calls ``turn``."""

import logging
import os
import threading
from typing import Any

import paho.mqtt.client as paho

from persistmq_core.engine import Engine
from persistmq_core.window import RELEASING, SENT_1, SENT_2

from .transport import PahoTransport

logger = logging.getLogger("persistmq")

# Mosquitto sends each acknowledgement by itself. Of a wide window it is worth waiting for many: to read them in few
# pieces and to store them in few checkpoints is a third of the work. With a narrow one the broker would wait meanwhile.
_MANY_DUE = 50
_ENOUGH = 100  # and that many are enough: while they are worked at, publish() may have to wait for the interpreter
_ACKNOWLEDGEMENT_BYTES = 4  # at least
_WIDE_WINDOW = 100
_GATHER_MS = 1


def gather_ms_of(window_qos2: int) -> int:
    """For ``Engine``."""
    return _GATHER_MS if window_qos2 >= _WIDE_WINDOW else 0


class DeliveryHere:
    """``turn`` and ``sleep`` in turns, on one thread, until ``is_over``; then ``close``. The rest is for any thread."""

    def __init__(self, engine: Engine, transport: PahoTransport) -> None:
        self.is_over = False
        self.is_left_behind = False  # means nothing here: a thread ends with its process
        self.mqtt_client: paho.Client = transport.client
        self._engine = engine
        self._transport = transport
        self._guard = threading.Lock()
        self._new_address: tuple[str, int, dict[str, Any]] | None = None
        self._stop_by_ms: int | None = None
        self._failure = ""
        self._must_reconnect = False  # at the next address: the engine rests after a failure, also if it was offline
        self._logged_reason = engine.down_reason
        engine.draining = True  # there is nowhere to connect to

    # --- by any thread ---

    def connect(self, host: str, port: int, connect_kwargs: dict[str, Any]) -> None:
        """Connect to this broker from now on. What paho takes was checked."""
        self._new_address = (host, port, connect_kwargs)
        self._transport.wake()

    def stop_by(self, deadline_ms: int) -> None:
        """Begin no handshake, and be over when none is under way, or else at ``deadline_ms`` (``clock.now_ms``)."""
        self._stop_by_ms = deadline_ms
        self._transport.wake()

    def wake(self) -> None:
        """End a ``sleep``, or the next one. Also from a signal handler."""
        self._transport.wake()

    def appended(self) -> None:
        """More of the journal is durable."""
        self._transport.wake()

    def forget_in_child(self) -> None:
        """In a forked child: nothing of this works there."""
        self._transport.client.forget_in_child()

    def cursors(self) -> tuple[int, ...]:
        """All before these numbers is settled, in each lane."""
        return self._engine.delivery.cursors()

    def progress(self) -> int:
        """A number that changes whenever a message is settled, or what was in RAM is written."""
        spill = self._engine.spill
        return self._engine.delivery.progress() + (spill.leaves() if spill is not None else 0)

    def is_settled(self, seq: int) -> bool:
        """It was delivered, or never will be."""
        return self._engine.delivery.is_settled(seq)

    def status(self) -> dict[str, Any]:
        """What ``get_status`` says of the delivery."""
        engine = self._engine
        return {
            "connected": engine.is_connected(),
            "in_flight": engine.delivery.under_way() if engine.online() else 0,
            "repeated": engine.delivery.repeated(),
            "connections": engine.connections,
            "down_reason": engine.down_reason,
            "store_error": engine.store_error or self._failure,
            "damaged_bytes": engine.delivery.damaged_bytes(),
            "worker_pid": os.getpid(),
        }

    # --- by one thread ---

    def turn(self, now_ms: int) -> int:
        """Do what is due; for how many milliseconds nothing is, unless something wakes."""
        engine = self._engine
        self._take_address(now_ms)
        delay_ms = engine.step(now_ms)
        self._failure = ""
        self._log_reason()
        if self._stop_by_ms is not None:
            engine.draining = True
            self.is_over = engine.quiet() or now_ms >= self._stop_by_ms
            delay_ms = min(delay_ms, self._stop_by_ms - now_ms)
        return delay_ms

    def sleep(self, delay_ms: int) -> None:
        """Until there is something for ``turn`` to do, ``delay_ms`` at most."""
        due = 0
        for lane in self._engine.lanes:
            count = lane.delivery.window.count
            due += count(SENT_1) + count(SENT_2) + count(RELEASING)
        answer_bytes = min(_ENOUGH, due // 2) * _ACKNOWLEDGEMENT_BYTES if due >= _MANY_DUE else 1
        self._transport.wait(max(0, delay_ms), self._engine.wants_to_write(), answer_bytes)

    def fail(self, now_ms: int, reason: str) -> None:
        """``turn`` raised: begin again from the connection, after a delay."""
        self._failure = reason
        self._must_reconnect = True
        self._engine.fail(now_ms, reason)
        self.is_over = self._stop_by_ms is not None

    def close(self) -> None:
        """Disconnect, and store where delivery stands."""
        self._engine.close()
        self._transport.release()

    def _take_address(self, now_ms: int) -> None:
        with self._guard:
            address, self._new_address = self._new_address, None
        if address is None:
            return
        host, port, kwargs = address
        if self._must_reconnect or not self._engine.draining:
            self._must_reconnect = False
            self._engine.reconnect(now_ms, "connect_async() was called again")
        self._transport.configure(host, port, **kwargs)
        self._engine.draining = False

    def _log_reason(self) -> None:
        """Say once for each new reason why there is no connection."""
        reason = self._engine.down_reason
        if reason != self._logged_reason and reason and not self._engine.draining:
            logger.warning("no connection: %s", reason)
        self._logged_reason = reason
