"""One client and its cache: who may have it, threads, forks, and the two ends of its life."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import CacheInUse, PersistClient

from tests.main_job import processes
from tests.main_job.cache_files import before_each_sync
from tests.main_job.receiver import Receiver, until
from tests.support.forked import in_child
from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]

HOLDER = """
import sys, time
from persistmq import PersistClient
client = PersistClient("tester", cache_path=sys.argv[1])
client.publish("a", "from the holder")
print("ready", flush=True)
sys.stdin.read()
"""

BOTH_CACHE_TYPES = True


def test_a_second_client_on_the_same_cache_is_refused_until_the_first_is_stopped(
    make_client: Make, tmp_path: Path
) -> None:
    first = make_client()
    with pytest.raises(CacheInUse, match="another client in this process") as caught:
        make_client()
    assert caught.value.pid == os.getpid()
    first.publish("a", "b")
    first.stop()
    assert make_client().get_status()["waiting"] == 1


def test_a_client_of_another_process_is_named_and_after_its_sigkill_the_cache_is_free(
    make_client: Make, tmp_path: Path
) -> None:
    with processes.start("-c", HOLDER, str(tmp_path / "cache")) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            with pytest.raises(CacheInUse, match="in use by process %d" % holder.pid) as caught:
                make_client()
            assert caught.value.pid == holder.pid
        finally:
            holder.send_signal(signal.SIGKILL)
    assert make_client().get_status()["waiting"] == 1


def test_a_forked_child_cannot_publish_and_the_parent_goes_on(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    assert client.publish("a", "before").wait_for_publish(10)

    def try_all() -> None:
        paho = client.mqtt_client
        for publish in (client.publish, paho.publish, paho.subscribe, paho.unsubscribe):
            with pytest.raises(RuntimeError, match="belongs to the parent process"):
                publish("a")  # type: ignore[operator]
        client.stop()

    assert in_child(try_all) == 0
    client.mqtt_client.publish("a", "paho's", 1)
    assert client.publish("a", "after").wait_for_publish(10)
    assert sorted(receiver.wait(3)) == ["after", "before", "paho's"]
    assert client.get_status()["connections"] == 1


def test_8_threads_publish_at_the_same_time_and_share_their_syncs(
    make_client: Make, broker: Mosquitto, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []

    def slow() -> None:
        syncs.append(1)
        time.sleep(0.002)  # a disk; without it there is nothing to wait for together

    client = make_client()
    before_each_sync(client, monkeypatch, slow)

    def publish_200(thread: int) -> None:
        for number in range(200):
            assert client.publish("t%d" % thread, number).is_stored()

    threads = [threading.Thread(target=publish_200, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(syncs), "syncs for 1600 messages")
    assert 1600 / 8 <= len(syncs) < 800
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(20)
    assert len(receiver.wait(1600)) == 1600
    for thread_number in range(8):
        came = [int(arrival.payload) for arrival in receiver.arrivals if arrival.topic == "t%d" % thread_number]
        assert came == list(range(200))


def test_the_status_has_the_keys_of_persistmq_0_1_4(make_client: Make, broker: Mosquitto) -> None:
    client = make_client()
    client.publish("a", "b")
    status = client.get_status()
    assert (status["connected"], status["last_mid"], status["cached_items"]) == (False, None, 1)
    assert status["down_reason"] == "not connected yet"
    client.connect_async("127.0.0.1", broker.port)
    mid = client.publish("a", "c").mid
    assert client.flush(10)
    status = client.get_status()
    assert (status["connected"], status["last_mid"], status["cached_items"]) == (True, mid, 0)
    assert (status["accepted"], status["delivered"], status["connections"]) == (2, 2, 1)


def test_what_is_published_before_connect_async_is_delivered_in_order(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client()
    for number in range(50):
        client.publish("a", number)
    client.connect_async("127.0.0.1", broker.port)
    for number in range(50, 100):
        client.publish("a", number)
    assert client.flush(10)
    assert receiver.wait(100) == [str(number) for number in range(100)]


def test_stop_may_be_called_again_and_by_many(make_client: Make, broker: Mosquitto) -> None:
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    client.publish("a", "b")
    threads = [threading.Thread(target=client.stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    client.stop()
    assert not client.get_status()["connected"]
    offline = make_client()  # the cache is free
    offline.stop()
    offline.stop()


def test_stop_ends_a_wait_in_another_thread(make_client: Make) -> None:
    client = make_client()
    info = client.publish("a", "b")
    answers: list[bool] = []
    waiting = [
        threading.Thread(target=lambda: answers.append(info.wait_for_publish())),
        threading.Thread(target=lambda: answers.append(client.flush())),
    ]
    for thread in waiting:
        thread.start()
    assert until(lambda: len(client._outcomes._waits) == 2)
    client.stop()
    for thread in waiting:
        thread.join(5)
    assert answers == [False, False]
    assert info.is_stored()
    assert not info.is_published()


def test_stop_lets_handshakes_that_were_begun_come_to_their_end(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    for number in range(300):
        client.publish("a", number)
    client.stop()
    again = make_client()
    assert again.get_status()["waiting"] + len(receiver.wait(300, 0.5)) == 300
    again.connect_async("127.0.0.1", broker.port)
    assert again.flush(10)
    assert receiver.wait(300) == [str(number) for number in range(300)]


def test_a_with_block_stops_the_client_also_when_it_ends_by_an_exception(tmp_path: Path) -> None:
    for _ in range(2):  # the second finds the cache free
        with pytest.raises(ZeroDivisionError), PersistClient("tester", cache_path=tmp_path / "cache") as client:
            client.publish("a", 1 // 0)
    with PersistClient("tester", cache_path=tmp_path / "cache") as client:
        assert client.get_status()["accepted"] == 0


def test_no_thread_and_no_file_descriptor_is_left_behind(make_client: Make, broker: Mosquitto) -> None:
    def one_life() -> None:
        client = make_client()
        client.connect_async("127.0.0.1", broker.port)
        assert client.publish("a", "b").wait_for_publish(10)
        client.stop()

    one_life()  # modules are loaded, logging is set up
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        one_life()
    assert until(lambda: threading.active_count() <= threads, 2)
    assert until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, 2)
