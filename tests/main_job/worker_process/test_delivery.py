"""Delivery goes on when the application hangs or is stopped, and when the worker is killed."""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from persistmq import CacheFull, MessageDropped, PersistClient
from persistmq.group_commit import GroupCommit

from tests.main_job.receiver import Receiver, until
from tests.main_job.worker_process.applications import METHODS, application, is_alive, worker_of
from tests.support.mosquitto import HOST, Mosquitto, free_port

Make = Callable[..., PersistClient]


@pytest.mark.parametrize("method", METHODS)
def test_what_is_published_arrives_once_and_in_order_and_nothing_is_left_behind(
    make_client: Make, broker: Mosquitto, receiver: Receiver, method: str
) -> None:
    client = make_client(worker="process", start_method=method)
    told: list[Any] = []
    client.on_connection_up = lambda _client, present: told.append(present)
    client.on_connection_down = lambda _client, reason: told.append(reason)
    client.on_delivered = lambda _client, seq: told.append(seq)
    for number in range(100):
        client.publish("a", number)
    client.connect_async(HOST, broker.port)
    pid = worker_of(client)
    assert pid != os.getpid()
    for number in range(100, 110):
        assert client.publish("a", number).wait_for_publish(10)
    infos = client.publish_many(("a", number) for number in range(110, 300))
    assert infos[-1].wait_for_publish(10)
    assert client.flush(10)
    status = client.get_status()
    assert (status["accepted"], status["delivered"], status["waiting"], status["connections"]) == (300, 300, 0, 1)
    assert (status["connected"], status["in_flight"], status["last_mid"]) == (True, 0, infos[-1].mid)
    client.stop()
    assert not is_alive(pid)
    assert told == [False, *range(1, 301), "closed"]
    assert receiver.wait(300) == [str(number) for number in range(300)]
    assert make_client().get_status()["delivered"] == 300


def test_no_thread_no_descriptor_and_no_process_is_left_behind(make_client: Make, broker: Mosquitto) -> None:
    def one_life() -> int:
        client = make_client(worker="process")
        client.connect_async(HOST, broker.port)
        assert client.publish("a", "b").wait_for_publish(10)
        pid = worker_of(client)
        client.stop()
        return pid

    one_life()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    pids = [one_life() for _ in range(3)]
    assert until(lambda: threading.active_count() <= threads, 2)
    assert until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, 2)
    assert not any(os.path.exists("/proc/%d" % pid) for pid in pids)


@pytest.mark.parametrize("method", METHODS)
def test_delivery_goes_on_while_the_application_holds_the_interpreter_s_lock(
    broker: Mosquitto, receiver: Receiver, tmp_path: Path, method: str
) -> None:
    with application(broker.port, tmp_path / "cache", method) as app:
        app.order("connect")
        app.order("publish", 1)
        app.order("flush")
        app.order("publish", 2000)
        app.order("hang")
        assert receiver.wait(2001, 20) == [str(number) for number in range(2001)]
        assert app.process.poll() is None


def test_delivery_goes_on_while_the_application_is_stopped_and_it_hears_of_all_of_it_later(
    broker: Mosquitto, receiver: Receiver, tmp_path: Path
) -> None:
    with application(broker.port, tmp_path / "cache") as app:
        app.order("connect")
        app.order("worker")
        broker.stop()
        app.order("publish", 30_000)
        app.process.send_signal(signal.SIGSTOP)
        broker.start()
        assert until(lambda: len(receiver.arrivals) >= 30_000, 60)
        app.process.send_signal(signal.SIGCONT)
        assert app.order("flush") == "True"
        assert app.order("delivered") == "30000 30000"
        assert json.loads(app.order("status"))["waiting"] == 0


def test_publish_does_not_wait_for_a_worker_that_is_stopped(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client(worker="process")
    client.connect_async(HOST, broker.port)
    pid = worker_of(client)
    assert client.publish("a", "before").wait_for_publish(10)
    os.kill(pid, signal.SIGSTOP)
    for number in range(3000):  # more than fits into the link
        client.publish("a", number)
    assert len(receiver.arrivals) == 1
    os.kill(pid, signal.SIGCONT)
    assert client.flush(20)
    assert receiver.wait(3001) == ["before", *(str(number) for number in range(3000))]


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_is_killed_again_and_again_costs_no_message_and_doubles_none(
    make_client: Make, broker: Mosquitto, receiver: Receiver, method: str
) -> None:
    client = make_client(worker="process", start_method=method, segment_bytes_max=8192)
    delivered: list[int] = []
    downs: list[str] = []
    client.on_delivered = lambda _client, seq: delivered.append(seq)
    client.on_connection_down = lambda _client, reason: downs.append(reason)
    client.connect_async(HOST, broker.port)
    is_over = threading.Event()
    published = 0
    pids = set()

    def kill() -> None:
        while not is_over.wait(0.1):
            pid = client.get_status()["worker_pid"]
            if pid:
                pids.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    deadline = time.monotonic() + 30
    while len(pids) < 12 and time.monotonic() < deadline:
        client.publish("a", published)
        published += 1
        status = client.get_status()
        ends = ("delivered", "expired", "evicted", "refused", "damaged", "waiting")
        assert status["accepted"] == sum(status[name] for name in ends)
    is_over.set()
    killer.join()
    assert client.flush(30), client.get_status()
    status = client.get_status()
    assert len(pids) >= 12
    assert (status["accepted"], status["delivered"], status["repeated"]) == (published, published, 0)
    assert receiver.wait(published) == [str(number) for number in range(published)]
    assert sorted(delivered) == list(range(1, published + 1))
    assert len(downs) == status["connections"] - 1
    assert all("the worker process ended" in reason for reason in downs)


@pytest.mark.parametrize("bound", [{"cache_messages_max": 100}, {"cache_bytes_max": 40_000}])
def test_bounds_of_the_cache_hold_and_room_comes_back_also_when_workers_are_killed(
    make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path, bound: "dict[str, Any]"
) -> None:
    client = make_client(worker="process", on_full="block", full_timeout_ms=20_000, **bound)
    client.connect_async(HOST, broker.port)
    held_bytes = []
    for number in range(2000):
        client.publish("a", "%d %s" % (number, "x" * 100))
        if number % 400 == 399:
            with suppress(ProcessLookupError):
                os.kill(worker_of(client), signal.SIGKILL)
        held_bytes.append(client.get_status()["cache_bytes"])
        assert client.get_status()["waiting"] <= bound.get("cache_messages_max", 2000)
    assert client.flush(20)
    assert [int(payload.split()[0]) for payload in receiver.wait(2000)] == list(range(2000))
    headers_bytes = 5 * 32  # with each worker a new file begins
    assert max(held_bytes) <= bound.get("cache_bytes_max", 1 << 30) + headers_bytes

    def on_disk() -> int:
        return sum(path.stat().st_size for path in (tmp_path / "cache" / "journal").iterdir())

    assert until(lambda: client.get_status()["cache_bytes"] == on_disk())
    client.stop()
    broker.stop()
    client = make_client(worker="process", **bound)
    with pytest.raises(CacheFull):
        for _ in range(1000):
            client.publish("a", "x" * 100)


@pytest.mark.parametrize("worker", ["thread", "process"])
def test_what_is_too_old_is_not_sent_and_the_application_hears_of_it(
    make_client: Make, broker: Mosquitto, receiver: Receiver, worker: str
) -> None:
    client = make_client(worker=worker)
    dropped: list[tuple[int, str]] = []
    client.on_dropped = lambda _client, seq, account, _reason: dropped.append((seq, account))
    client.publish("a", "new", expires_after=3600)
    old = client.publish("a", "old", expires_after=1)
    time.sleep(1.1)  # the time of day is the worker's
    client.connect_async(HOST, broker.port)
    began = time.monotonic()
    assert client.flush(10)
    assert time.monotonic() - began < 5
    assert receiver.wait(1) == ["new"]
    assert dropped == [(old.seq, "expired")]
    with pytest.raises(MessageDropped):
        old.wait_for_publish(0)
    status = client.get_status()
    assert (status["delivered"], status["expired"], status["waiting"]) == (1, 1, 0)


def test_what_becomes_too_old_in_an_outage_makes_room_for_what_is_new(make_client: Make) -> None:
    client = make_client(worker="process", expires_after=1, cache_messages_max=3)
    client.connect_async(HOST, free_port())  # where nobody listens
    client.publish_many([("a", number) for number in range(3)])
    assert until(lambda: client.get_status()["expired"] == 3, 20)
    client.publish("a", "new")


def test_while_a_new_worker_looks_through_the_cache_nothing_is_written(
    make_client: Make, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(worker="process")
    held: list[bool] = []
    real_hold, real_let_go, real_append = GroupCommit.hold, GroupCommit.let_go, client._stores[0].append
    is_held = threading.Event()

    def hold(commits: GroupCommit) -> None:
        real_hold(commits)
        is_held.set()

    def let_go(commits: GroupCommit) -> None:
        time.sleep(0.2)  # a publish() comes meanwhile
        is_held.clear()
        real_let_go(commits)

    def append(*arguments: Any) -> None:
        held.append(is_held.is_set())
        real_append(*arguments)

    monkeypatch.setattr(GroupCommit, "hold", hold)
    monkeypatch.setattr(GroupCommit, "let_go", let_go)
    monkeypatch.setattr(client._stores[0], "append", append)
    client.connect_async(HOST, broker.port)
    assert is_held.wait(10)
    assert client.publish("a", "b").is_stored()
    assert held == [False]
    assert client.flush(10)


def test_a_worker_that_cannot_begin_is_said_and_tried_again(
    make_client: Make, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(worker="process")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    client.connect_async(HOST, broker.port)
    assert until(lambda: "ended with status 1" in client.get_status()["down_reason"])
    assert client.publish("a", "b").is_stored()
    monkeypatch.undo()
    assert client.flush(20), client.get_status()
    assert "another one begins" in caplog.text
    assert client.get_status()["down_reason"] == ""


def test_in_asyncio_it_works_as_with_a_thread(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    async def work() -> None:
        async with make_client(worker="process") as client:
            client.connect_async(HOST, broker.port)
            infos = await asyncio.gather(*(client.publish_async("a", number) for number in range(500)))
            assert all(await asyncio.gather(*infos))
            assert await client.flush_async(10)

    asyncio.run(work())
    assert receiver.wait(500) == [str(number) for number in range(500)]


def test_in_async_durability_the_client_s_thread_stores_before_there_is_a_worker_and_with_one(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client(worker="process", durability="async")
    assert client.publish("a", "offline").wait_for_stored(5)
    client.connect_async(HOST, broker.port)
    for number in range(500):
        client.publish("a", number)
    assert client.flush(20)
    assert receiver.wait(501) == ["offline", *(str(number) for number in range(500))]


@pytest.mark.parametrize("is_killed", [False, True])
def test_of_each_message_that_is_refused_the_application_hears_once_and_so_do_those_who_wait(
    make_client: Make, is_killed: bool
) -> None:
    told: list[int] = []
    delivered: list[int] = []
    with Mosquitto(config_lines=["max_packet_size 500"]) as broker:
        client = make_client(worker="process", protocol=MQTTProtocolVersion.MQTTv5)
        client.on_dropped = lambda _client, seq, account, _reason: told.append(seq) if account == "refused" else None
        client.on_delivered = lambda _client, seq: delivered.append(seq)
        infos = client.publish_many([("a", "x" * (1000 if number % 2 else 10)) for number in range(1000)])
        outcomes: list[object] = []

        async def wait_for_all() -> None:
            outcomes.extend(await asyncio.gather(*(info.published() for info in infos), return_exceptions=True))

        waiting = threading.Thread(target=asyncio.run, args=(wait_for_all(),), daemon=True)
        waiting.start()
        client.connect_async(HOST, broker.port)
        if is_killed:
            assert until(lambda: len(told) > 20)
            os.kill(worker_of(client), signal.SIGKILL)
        assert client.flush(30)
        waiting.join(5)
        assert [type(outcome) for outcome in outcomes] == [bool, MessageDropped] * 500
        assert all(outcomes[::2])
        assert sorted(told) == [info.seq for info in infos[1::2]]
        assert sorted(delivered) == [info.seq for info in infos[::2]]
        for info in infos[1::2]:
            with pytest.raises(MessageDropped, match="maximum packet size"):
                info.wait_for_publish(0)
        status = client.get_status()
        assert (status["delivered"], status["refused"], status["waiting"]) == (500, 500, 0)
