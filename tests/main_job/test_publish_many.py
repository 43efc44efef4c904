"""publish_many(): all or none, one sync; and callers at the same time who share syncs."""

import errno
import threading
import time
from collections.abc import Callable
from types import MappingProxyType

import pytest
from persistmq import PersistClient, StoreError

from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


class CountedSyncs:
    """The client's store, with its syncs counted and, if wanted, as slow as an SD card's."""

    def __init__(self, client: PersistClient, delay_s: float = 0.0) -> None:
        self.count = 0
        self._sync = client._stores[0].sync
        self._delay_s = delay_s
        client._stores[0].sync = self  # type: ignore[method-assign, assignment]

    def __call__(self, name: str) -> None:
        self.count += 1
        time.sleep(self._delay_s)
        self._sync(name)


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_many_arrive_once_and_in_order_with_one_sync(
    make_client: Make, broker: Mosquitto, receiver: Receiver, durability: str
) -> None:
    client = make_client(durability=durability)
    syncs = CountedSyncs(client)
    infos = client.publish_many(("many/%d" % (number % 3), str(number)) for number in range(300))
    assert [info.seq for info in infos] == list(range(infos[0].seq, infos[0].seq + 300))
    assert infos[-1].wait_for_stored(5)
    assert syncs.count == 1
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(20)
    assert until(lambda: len(receiver.arrivals) >= 300)
    assert [arrival.payload for arrival in receiver.arrivals] == [b"%d" % number for number in range(300)]


def test_each_form_of_a_message_keeps_its_qos_and_retain(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    client.publish_many(
        [
            ("m", 1),
            ("m", 2, 0),
            ("m", 3, 1, False),
            {"topic": "m", "payload": 4},
            {"topic": "m", "qos": 0},
            MappingProxyType({"topic": "m", "payload": 5}),
        ],
        qos=1,
    )
    assert client.flush(20)
    assert until(lambda: len(receiver.arrivals) >= 6)
    assert [(arrival.payload, arrival.qos) for arrival in receiver.arrivals] == [
        (b"1", 1), (b"2", 0), (b"3", 1), (b"4", 1), (b"", 0), (b"5", 1),
    ]  # fmt: skip


def test_nothing_at_all_writes_nothing(make_client: Make) -> None:
    client = make_client()
    syncs = CountedSyncs(client)
    assert client.publish_many([]) == []
    assert syncs.count == 0


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (("a/#", 1), ValueError),
        (("a", [1]), TypeError),
        (("a", 1, 3), ValueError),
        (("a",), TypeError),
        ("ab", TypeError),
        ({"payload": 1}, ValueError),
        ({"topic": "a", "paylod": 1}, ValueError),
    ],
)
def test_one_that_cannot_be_keeps_all_from_being_written(
    make_client: Make, wrong: object, error: type[Exception]
) -> None:
    client = make_client()
    with pytest.raises(error):
        client.publish_many([("a", 1), wrong, ("a", 2)])  # type: ignore[list-item]
    assert (client.get_status()["accepted"], client.get_status()["staged"]) == (0, 0)
    assert client.publish("a", "b").seq == 1


def test_a_disk_that_fails_refuses_them_all_and_keeps_what_was_stored(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    client.publish("a", "before")
    with monkeypatch.context() as broken:
        broken.setattr(client._stores[0], "append", _no_space)
        with pytest.raises(StoreError):
            client.publish_many([("a", number) for number in range(10)])
    assert not client._commits._errors
    assert client.publish_many([("a", "after")])[0].is_stored()
    assert client.get_status()["accepted"] == 2


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space")


def test_callers_at_the_same_time_share_their_syncs(make_client: Make) -> None:
    client = make_client()
    syncs = CountedSyncs(client, delay_s=0.005)

    def work() -> None:
        for number in range(20):
            client.publish("a", number)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert client.get_status()["accepted"] == 320
    # 20 rounds; without waiting for each other it is two for each round. Measured: 21 to 25.
    assert syncs.count < 36
    assert not client._commits._waiting
