"""Payloads that are larger than memory should hold twice: stored in files, sent in pieces, on a real broker."""

import asyncio
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from persistmq import CacheFull, ClientStopped, PersistClient, StoreError

from tests.main_job import processes
from tests.main_job.large_publisher import payload
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto
from tests.support.tcp_proxy import TcpProxy

Make = Callable[..., PersistClient]
MIB = 1 << 20
LONG = bool(os.environ.get("PERSISTMQ_LONG"))
PUBLISHER = ("-m", "tests.main_job.large_publisher")
# What a process may grow by while it sends payloads of 50 MB. Pieces are of 64 KiB; the rest is the interpreter's.
GROWTH_MB_MAX = 6


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "cache" / "payloads").iterdir())


def has_connected(proxy: TcpProxy, times: int) -> bool:
    return proxy.connections >= times


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "size", [64 * MIB, pytest.param(268435455 - 10 - 7, marks=pytest.mark.skipif(not LONG, reason="PERSISTMQ_LONG=1"))]
)
def test_it_arrives_as_it_was(
    make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path, size: int
) -> None:
    content = payload(1, size)
    digest = hashlib.sha256(content).digest()
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    client.publish("large/1", content)
    del content
    client.publish("large/1", "behind")
    assert client.flush(200)
    assert until(lambda: len(receiver.arrivals) == 2, 60)
    assert hashlib.sha256(receiver.arrivals[0].payload).digest() == digest
    assert receiver.arrivals[1].payload == b"behind"
    assert until(lambda: files(tmp_path) == [], 5)
    assert client.get_status()["connections"] == 1


def test_one_byte_more_than_mqtt_carries_is_refused(make_client: Make, tmp_path: Path) -> None:
    class Endless(io.BytesIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            return offset if whence < 2 else 268435455 - 10 - 7 + 1

    client = make_client()
    with pytest.raises(ValueError, match="payload has 268435439 bytes, the limit with this topic is 268435438"):
        client.publish("large/1", Endless())
    assert files(tmp_path) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("worker", [(), ("worker",)])
def test_a_backlog_of_them_is_published_and_sent_without_being_held_in_memory(
    broker: Mosquitto, tmp_path: Path, worker: tuple[str, ...]
) -> None:
    size, count = 50_000_000, 5
    cache = str(tmp_path / "cache")
    publisher = (*PUBLISHER, str(broker.port), cache)
    ended = processes.run(*publisher, "publish", "1", "10", "publish", str(count), str(size), timeout_s=60)
    before, after = (int(line.split()[0]) for line in ended.stdout.splitlines())
    # Beside the payload, which the application makes and holds (twice: it is cut out of a longer one).
    assert after - before < 2 * size // MIB + GROWTH_MB_MAX, ended
    orders = [*worker, "publish", "1", "10", "connect", "flush"]
    ended = processes.run(*publisher, *orders, timeout_s=60)
    *_, before, after = (int(line.split()[0]) for line in ended.stdout.splitlines()[-3:])
    assert ended.stdout.split()[-1] == "True", ended
    assert after - before < GROWTH_MB_MAX, ended


def test_others_are_published_while_one_is_written(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    class Slow(io.BytesIO):
        began, may_end = threading.Event(), threading.Event()

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            self.began.set()
            self.may_end.wait(10)
            return super().readinto(buffer)

    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    large = threading.Thread(target=client.publish, args=("large", Slow(b"x" * MIB)))
    large.start()
    assert Slow.began.wait(5)
    for number in range(10):
        client.publish("small", number)
    assert client.flush(10)
    assert len(receiver.wait(10)) == 10
    Slow.may_end.set()
    large.join()
    assert client.flush(10)
    assert receiver.wait(11)[10] == "x" * MIB


@pytest.mark.parametrize("how", ["publish", "many", "async", "stored later", "spill", "sqlite", "priority"])
def test_every_way_to_publish_takes_them(
    make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path, how: str
) -> None:
    options = {
        "stored later": {"durability": "async"},
        "spill": {"durability": "spill"},
        "sqlite": {"cache_type": "sqlite"},
        "priority": {"drain": "in_order"},
    }
    client = make_client(inline_bytes_max=1000, **options.get(how, {}))
    content, text = payload(1, 300_000), "ä" * 2000
    path = tmp_path / "content"
    path.write_bytes(b"head" + content)
    client.connect_async("127.0.0.1", broker.port)
    if how == "many":
        client.publish_many([("a", content), ("a", "small"), ("a", text)])
    elif how == "async":

        async def publish() -> None:
            await asyncio.gather(client.publish_async("a", content), client.publish_async("a", "small"))
            await client.publish_async("a", text)

        asyncio.run(publish())
    else:
        with path.open("rb") as file:
            file.seek(4)
            client.publish("a", file, **({"priority": True} if how == "priority" else {}))
        client.publish("a", "small")
        client.publish("a", text)
    assert client.flush(20)
    receiver.wait(3)
    came = [arrival.payload for arrival in receiver.arrivals]
    assert sorted(came, key=len) == [b"small", text.encode(), content]


def test_a_view_of_any_memory_is_taken(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    client = make_client(inline_bytes_max=100)
    client.connect_async("127.0.0.1", broker.port)
    content = payload(1, 4000)
    wide = memoryview(content).cast("I")
    for view in (memoryview(content), wide, wide[::2], memoryview(bytearray(content))):
        client.publish("a", view, 1)
    assert client.flush(10)
    receiver.wait(4)
    assert [arrival.payload for arrival in receiver.arrivals] == [content, content, wide[::2].tobytes(), content]


@pytest.mark.timeout(60)
def test_a_slow_link_takes_longer_than_the_keep_alive_and_the_acknowledgement_timeout(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    with TcpProxy(broker.port) as proxy:
        proxy.bytes_per_s = MIB
        client = make_client(ack_timeout_ms=1500)
        client.connect_async("127.0.0.1", proxy.port, keepalive=1)
        content = payload(1, 5 * MIB)
        began = time.monotonic()
        client.publish("a", content)
        assert client.flush(40), client.get_status()
        assert time.monotonic() - began > 4
        assert client.get_status()["connections"] == 1
    assert receiver.wait(1) == [content.decode()]


@pytest.mark.timeout(60)
def test_a_publisher_killed_in_the_middle_of_it_sends_it_once(
    broker: Mosquitto, receiver: Receiver, tmp_path: Path
) -> None:
    cache = str(tmp_path / "cache")
    with TcpProxy(broker.port) as proxy:
        for number in range(3):
            proxy.bytes_per_s = 4 * MIB
            orders = [] if number else ["publish", "2", str(8 * MIB)]
            with processes.start(*PUBLISHER, str(proxy.port), cache, *orders, "connect", "flush") as publisher:
                assert until(partial(has_connected, proxy, number + 1))
                time.sleep(0.5)
                publisher.kill()
            assert receiver.arrivals == []
        proxy.heal()
        ended = processes.run(*PUBLISHER, str(proxy.port), cache, "connect", "flush", timeout_s=30)
        assert ended.stdout.split()[-1] == "True"
    receiver.wait(2, 20)
    assert [arrival.payload for arrival in receiver.arrivals] == [payload(0, 8 * MIB), payload(1, 8 * MIB)]


def test_connections_that_break_in_the_middle(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    with TcpProxy(broker.port) as proxy:
        client = make_client()
        contents = [payload(number, 3 * MIB) for number in range(3)]
        for content in contents:
            client.publish("a", content)
        client.connect_async("127.0.0.1", proxy.port)
        for cut_after in (2 * MIB, 100, 4 * MIB):
            proxy.cut_after = cut_after
            assert until(lambda: proxy.cut_after is None)
        assert client.flush(20)
    receiver.wait(3)
    assert [arrival.payload for arrival in receiver.arrivals] == contents


@pytest.mark.parametrize("worker", ["thread", "process"])
def test_damaged_bytes_never_reach_the_broker(
    make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path, worker: str
) -> None:
    client = make_client(worker=worker)
    dropped: list[tuple[int, str]] = []
    client.on_dropped = lambda _client, seq, account, _reason: dropped.append((seq, account))
    client.publish("a", payload(1, 3 * MIB))
    client.publish("a", payload(2, 3 * MIB))
    client.publish("a", "behind")
    path = tmp_path / "cache" / "payloads" / files(tmp_path)[0]
    with path.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(b"!")
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(20)
    assert receiver.wait(2) == [payload(2, 3 * MIB).decode(), "behind"]
    status = client.get_status()
    assert (status["damaged"], dropped) == (1, [(1, "damaged")])
    assert [each.name for each in (tmp_path / "cache" / "quarantine").iterdir()] == ["payloads-" + path.name]
    assert until(lambda: client.get_status()["cache_bytes"] < MIB, 5)


def test_one_that_the_broker_refuses_can_be_requeued(make_client: Make, tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite yes/#\n")
    acl.chmod(0o644)
    content = payload(1, 3 * MIB)
    with Mosquitto(config_lines=[f"acl_file {acl}"]) as broker:
        client = make_client(protocol=paho.MQTTv5)
        client.connect_async("127.0.0.1", broker.port)
        client.publish("no", content)
        client.publish("no", "small")
        assert client.flush(20)
        assert files(tmp_path) == []
        letters = list(client.dead_letters)
        assert [letter.payload_bytes for letter in letters] == [3 * MIB, 5]
        assert letters[0].payload == content
        assert letters[0].as_dict()["payload_file"] == letters[0].name[:-3] + "bin"
        acl.write_text("topic readwrite #\n")
        broker.restart()
        with Receiver(broker.port) as receiver:
            client.dead_letters.requeue(letters[0]).wait_for_publish(10)
            assert receiver.wait(1, 20) == [content.decode()]
        client.dead_letters.remove(letters[1])
        assert list((tmp_path / "cache" / "dead").iterdir()) == []


def test_a_dead_letter_whose_payload_is_damaged_is_not_requeued(make_client: Make, tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite yes/#\n")
    acl.chmod(0o644)
    with Mosquitto(config_lines=[f"acl_file {acl}"]) as broker:
        client = make_client(protocol=paho.MQTTv5)
        client.connect_async("127.0.0.1", broker.port)
        for number in range(2):
            client.publish("no", payload(number, 3 * MIB))
        assert client.flush(20)
        first, second = client.dead_letters
        with (tmp_path / "cache" / first.payload_name).open("r+b") as file:
            file.write(b"!")
        with (tmp_path / "cache" / second.payload_name).open("r+b") as file:
            file.truncate(100)
        for letter in (first, second):
            with pytest.raises(OSError, match="damaged|cut short"):
                client.dead_letters.requeue(letter)
        assert (len(client.dead_letters), files(tmp_path)) == (2, [])


def test_a_message_over_the_limit_of_a_broker_that_does_not_say_it_is_parked(
    make_client: Make, tmp_path: Path
) -> None:
    with Mosquitto(config_lines=["max_packet_size 1000000"]) as broker, Receiver(broker.port) as receiver:
        client = make_client()
        client.publish("a", payload(1, 3 * MIB))
        client.publish("a", "behind")
        client.connect_async("127.0.0.1", broker.port)
        assert client.flush(30)
        assert receiver.wait(1) == ["behind"]
        assert client.get_status()["refused"] == 1
        assert files(tmp_path) == []


def test_bounds_of_the_cache_count_them(make_client: Make, tmp_path: Path) -> None:
    client = make_client(cache_bytes_max=10 * MIB, on_full="drop_oldest")
    for number in range(7):
        client.publish("a", payload(number, 3 * MIB))
    status = client.get_status()
    assert (status["evicted"], status["waiting"], len(files(tmp_path))) == (4, 3, 3)
    assert 9 * MIB < status["cache_bytes"] < 10 * MIB
    with pytest.raises(ValueError, match="cache_bytes_max"):
        client.publish("a", payload(1, 11 * MIB))
    client.stop()
    client = make_client(cache_bytes_max=10 * MIB)
    assert client.get_status()["cache_bytes"] == status["cache_bytes"]
    with pytest.raises(CacheFull):
        client.publish("a", payload(1, 3 * MIB))
    assert len(files(tmp_path)) == 3


def test_stopping_while_one_is_written_leaves_nothing_of_it(make_client: Make, tmp_path: Path) -> None:
    client = make_client()

    class Stops(io.BytesIO):
        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            client.stop()
            return super().readinto(buffer)

    client.publish("a", payload(1, 2 * MIB))
    with pytest.raises(ClientStopped):
        client.publish("a", Stops(b"x" * MIB))
    client = make_client()
    assert (client.get_status()["accepted"], len(files(tmp_path))) == (1, 1)


def test_what_goes_wrong_with_the_application_s_file_is_its_own(make_client: Make, tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            raise OSError(5, "its disk")

    client = make_client()
    with pytest.raises(OSError, match="its disk") as caught:
        client.publish("a", Broken(b"x"))
    assert not isinstance(caught.value, StoreError)
    with pytest.raises(TypeError, match="seek"):
        read_end, write_end = os.pipe()
        with open(read_end, "rb", buffering=0) as pipe:
            os.close(write_end)
            client.publish("a", pipe)
    with pytest.raises(TypeError, match="open binary file"):
        client.publish("a", io.StringIO("text"))  # type: ignore[arg-type]
    client.publish("a", io.BytesIO(b""))
    assert (client.get_status()["accepted"], files(tmp_path)) == (1, [])
