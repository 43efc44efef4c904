"""Cache directories with a backlog in several segments, checkpoints and a window, and the broker of each."""

import copy
import functools

from persistmq_core.errors import StoreError
from persistmq_core.payloads import parse_name as parse_payload_name
from persistmq_core.payloads import payload_name
from persistmq_core.record import FRAME_HEADER_BYTES, REFERENCE_BYTES
from persistmq_core.segment import HEADER_BYTES, parse_name
from tests.support import mqtt_wire
from tests.support.model_broker import ModelBroker
from tests.support.rng import Rng
from tests.support.world import World
from tests.support.write_list_store import EIO, WriteListStore

COUNT = 12  # different ones
FIRST_WITH_FILES = 8  # in these the larger payloads have files of their own
OPTIONS = {"window": 8, "window_qos2": 4, "segment_bytes_max": 2048, "read_bytes": 700, "send_bytes": 300}


class Cache:
    """``files`` as a process left them that was killed; ``broker`` as it stood then."""

    def __init__(
        self, files: dict[str, bytes], broker: ModelBroker, published: dict[bytes, int], refused: set[bytes]
    ) -> None:
        self.files = files
        self.published = published  # payload -> QoS, in order
        self.refused = refused  # of these: publish() raised, and the frame may be there nevertheless
        self._broker = broker
        self.segments = sorted(name for name in files if parse_name(name))
        self.payloads = sorted(name for name in files if parse_payload_name(name))
        self.frames: dict[str, list[tuple[int, int, bytes]]] = {name: _frames(files, name) for name in self.segments}

    def broker(self) -> ModelBroker:
        """A broker of one's own, which has noticed that the client is gone."""
        broker = copy.deepcopy(self._broker)
        broker.heal()
        broker.restart(True)
        return broker

    def owed(self) -> set[bytes]:
        """Payloads of QoS 1 and 2 that were accepted and are not at the broker's subscribers."""
        came = {bytes(message[1]) for message in self._broker.deliveries}
        return {payload for payload, qos in self.published.items() if qos and payload not in came | self.refused}


@functools.cache
def make(number: int) -> Cache:
    """The cache with that number, 0 to COUNT - 1; the same each time."""
    rng = Rng(1000 + number)
    store = WriteListStore()
    broker = ModelBroker()
    broker.deliver_at = rng.pick(("pubrel", "publish"))
    inline_bytes_max = 100 if number >= FIRST_WITH_FILES else 1 << 20
    world = World(4 + number % 2, store, broker, inline_bytes_max=inline_bytes_max, **OPTIONS)
    published: dict[bytes, int] = {}
    refused: set[bytes] = set()

    def publish(count: int) -> None:
        for _ in range(count):
            payload = b"<%d>" % len(published) + bytes(rng.garbage(rng.pick((0, 20, 150, 150, 600))))
            qos = rng.pick((0, 1, 1, 2, 2, 2))
            published[payload] = qos
            if rng.one_in(10):
                store.fail_next("sync", EIO)
            try:
                world.publish(payload, qos, "t/%d" % qos)
            except StoreError:
                refused.add(payload)

    publish(rng.between(0, 12))
    world.run(rng.pick((0, 30, 1000)))
    publish(rng.between(5, 20))
    if number:  # else it never was connected
        world.run(rng.pick((0, 20, 200)))
        broker.stay_silent(rng.pick((mqtt_wire.PUBACK, mqtt_wire.PUBREC, mqtt_wire.PUBCOMP)))
        publish(rng.between(0, 6))
        world.run(rng.between(0, 900))
        broker.heal()
        broker.listening = False
        world.link.cut()
    publish(rng.between(10, 30))
    world.die(False)
    return Cache(store.snapshot(), broker, published, refused)


def _frames(files: dict[str, bytes], name: str) -> list[tuple[int, int, bytes]]:
    """(start, end, payload) of each frame of a whole segment."""
    content = files[name]
    _, cache_id, _ = parse_name(name) or (0, 0, "")
    found = []
    at = HEADER_BYTES
    while at < len(content):
        body = int.from_bytes(content[at + 8 : at + 12], "little")
        topic = int.from_bytes(content[at + 12 : at + 14], "little")
        end = at + FRAME_HEADER_BYTES + body
        payload = content[at + FRAME_HEADER_BYTES + topic : end]
        if content[at + 2] & 16:
            assert body == topic + REFERENCE_BYTES
            payload = files.get(payload_name(int.from_bytes(content[at + 4 : at + 8], "little"), cache_id), b"")
        found.append((at, end, payload))
        at = end
    return found
