"""A day without a link at ten messages a second, then a slow one: time is passed in, the files are real.

What is new must not wait for what is old, the backlog must drain at its rate, and all of it arrives once.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from persistmq.store import FileStore

from persistmq_core.contracts import Listener
from persistmq_core.engine import Engine
from persistmq_core.lanes import Lanes
from persistmq_core.limits import AHEAD_SEQ
from persistmq_core.opening import open_cache
from persistmq_core.options import Options
from persistmq_core.pace import Pace
from tests.support.link import ModelTransport
from tests.support.model_broker import ModelBroker
from tests.support.rng import Rng

LONG = bool(os.environ.get("PERSISTMQ_LONG"))
OUTAGE_S = 24 * 3600 if LONG else 1800
PER_SECOND = 10
PAYLOAD_BYTES = 100
BACKLOG_PER_SECOND = 30  # ten places for QoS 2 over 250 ms there and back are 40 a second
LINK_BYTES_PER_MS = 12  # in each direction: a bad day of 2G


class Node(Listener):
    """A data logger whose clock, link and broker are the test's."""

    def __init__(self, folder: Path) -> None:
        self.now_ms = 0
        self.broker = ModelBroker()
        self.link = ModelTransport(self.broker, Rng(1), latency_ms_min=100, latency_ms_max=150)
        self.link.bytes_per_tick = LINK_BYTES_PER_MS
        self.stores = [FileStore(folder), FileStore(folder / "ahead")]
        options = Options(lanes=Lanes(self.stores[1], "live_first"), pace=Pace(BACKLOG_PER_SECOND))
        self.engine = Engine(open_cache(self.stores[0], Rng(2), options, self), self.link)
        self.born_ms: dict[int, int] = {}  # of live messages that are not delivered
        self.worst_ms = 0
        self.published = 0

    def delivered(self, seq: int) -> None:
        if seq in self.born_ms:
            self.worst_ms = max(self.worst_ms, self.now_ms - self.born_ms.pop(seq))

    def publish(self, count: int, qos: int) -> None:
        ahead = self.engine.goes_ahead()
        spool = self.engine.lanes[ahead].spool
        for _ in range(count):
            payload = b"%d" % self.published + b"." * (PAYLOAD_BYTES - 12)
            seq = spool.stage("a/b", payload, qos, False, 0) + ahead * AHEAD_SEQ
            self.published += 1
            if self.engine.online():
                self.born_ms[seq] = self.now_ms
        group = spool.take()
        assert group is not None
        group.write()
        spool.finish(group)
        assert group.stored

    def live(self, milliseconds: int) -> None:
        """Let time pass, as a port would."""
        end_ms = self.now_ms + milliseconds
        while self.now_ms < end_ms:
            self.link.tick(self.now_ms)
            wait_ms = self.engine.step(self.now_ms)
            due_ms = self.link.next_due_ms()
            if due_ms is not None:
                wait_ms = min(wait_ms, max(0, due_ms - self.now_ms))
            self.now_ms = min(end_ms, self.now_ms + max(1, wait_ms))

    def close(self) -> None:
        self.engine.close()
        for store in self.stores:
            store.close()


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setattr("persistmq.store._sync_bytes", lambda fd: None)  # no power fails here
    made = Node(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.timeout(1200 if LONG else 120)
def test_after_the_outage_live_messages_arrive_within_a_second_while_the_backlog_drains(node: Node, qos: int) -> None:
    node.broker.listening = False
    for _ in range(OUTAGE_S // 10):
        node.publish(10 * PER_SECOND, qos)
        node.live(10_000)
    assert node.engine.accounts()["waiting"] == OUTAGE_S * PER_SECOND
    node.broker.listening = True
    while not node.engine.online():
        node.live(100)
    began_ms = node.now_ms
    while node.engine.lanes[0].delivery.has_backlog():
        node.publish(1, qos)
        node.live(1000 // PER_SECOND)
    took_s = (node.now_ms - began_ms) / 1000
    node.live(5000)
    print(f"QoS {qos}: {OUTAGE_S} s of outage drained in {took_s:.0f} s, worst live delay {node.worst_ms} ms")
    assert node.worst_ms < 1000
    assert not node.born_ms
    backlog_s = OUTAGE_S * PER_SECOND / BACKLOG_PER_SECOND
    assert backlog_s - 1 < took_s < 1.1 * backlog_s + 5
    assert node.engine.accounts()["waiting"] == 0
    arrived = [payload for _, payload, _, _ in node.broker.deliveries]
    assert len(arrived) == len(set(arrived)) == node.published
    assert node.broker.violations == []
