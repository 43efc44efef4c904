"""durability="spill": nothing is written while the link is healthy, everything when it is not."""

import asyncio
import errno
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from persistmq import PersistClient, StoreError

from persistmq_core.spill_store import IN_RAM, STORED
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]
WRITES = ("append", "sync", "replace", "remove", "move")
QUICK = {"durability": "spill", "spill_after_ms": 100, "ack_timeout_ms": 3000}


class Counted:
    """Counts what a client writes to its cache."""

    def __init__(self, client: PersistClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        for call in WRITES:
            monkeypatch.setattr(client._stores[0], call, self._counting(call, getattr(client._stores[0], call)))

    def _counting(self, call: str, real: Callable[..., object]) -> Callable[..., object]:
        def counting(*arguments: object) -> object:
            self.calls[call] += 1
            return real(*arguments)

        return counting


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    (tmp_path / "sessions").mkdir()
    with Mosquitto(persistence_dir=tmp_path / "sessions") as started:
        yield started


def state(client: PersistClient) -> int:
    assert client._ram is not None
    return client._ram.state


def into_ram(client: PersistClient, broker: Mosquitto) -> int:
    """Connect, and publish until the client waits in RAM; how many messages that took."""
    client.connect_async("127.0.0.1", broker.port)
    count = 0
    while state(client) != IN_RAM:
        client.publish("t", f"into RAM {count}")
        count += 1
        assert count < 200
        time.sleep(0.02)
    assert client.flush(5)
    return count


@pytest.mark.parametrize("cache_type", ["flat", "sqlite"])
def test_thousands_of_messages_write_nothing_and_a_broken_link_writes_all(
    cache_type: str, make_client: Make, broker: Mosquitto, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(cache_type=cache_type, **QUICK)
    before = into_ram(client, broker)
    counted = Counted(client, monkeypatch)
    for number in range(3000):
        client.publish("t", f"m {number}", qos=1 + number % 2)
        if number % 500 == 0:
            assert client.flush(10)
    assert client.flush(10)
    assert (state(client), dict(counted.calls)) == (IN_RAM, {})
    broker.freeze()
    infos = [client.publish("t", f"frozen {number}") for number in range(50)]
    assert not infos[-1].is_stored() and client.get_status()["in_ram"] == 50
    assert until(lambda: state(client) == STORED)
    assert infos[-1].is_stored() and not infos[-1].is_published() and client.get_status()["in_ram"] == 0
    assert counted.calls["sync"] and counted.calls["replace"] == 2
    broker.thaw()
    assert client.flush(10)
    assert sorted(receiver.wait(before + 3050)) == sorted(
        [f"into RAM {number}" for number in range(before)]
        + [f"m {number}" for number in range(3000)]
        + [f"frozen {number}" for number in range(50)]
    )


def test_an_important_message_is_stored_when_that_is_waited_for(make_client: Make, broker: Mosquitto) -> None:
    client = make_client(**QUICK | {"spill_after_ms": 500})
    into_ram(client, broker)
    assert client.publish("t", "x").wait_for_publish(5)
    broker.freeze()
    began = time.monotonic()
    info = client.publish("t", "alarm")
    assert not info.is_stored()
    assert info.wait_for_stored(5) and info.is_stored()
    assert time.monotonic() - began < 0.4, "it was the wish that wrote it"
    broker.thaw()
    into_ram(client, broker)
    broker.freeze()
    info = client.publish("t", "alarm")
    assert asyncio.run(info.stored(5)) and info.is_stored()
    broker.thaw()
    assert client.flush(10)
    assert info.is_stored() and client.publish("t", "y").wait_for_publish(5)


def test_many_threads_and_a_link_that_comes_and_goes(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    client = make_client(spill_bytes=16384, segment_bytes_max=65536, **QUICK)
    before = into_ram(client, broker)
    is_over = threading.Event()
    sent: list[str] = []

    def publish(thread: int) -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            client.publish("t", f"{thread} {number}" + "." * (number % 200))
            sent.append(f"{thread} {number}" + "." * (number % 200))
            if number % 20 == 0:
                time.sleep(0.02)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        time.sleep(0.4)
        broker.restart()
    time.sleep(0.3)
    is_over.set()
    for thread in threads:
        thread.join()
    assert client.flush(30)
    assert client._ram is not None and client._ram.spills > 0
    assert Counter(receiver.wait(len(sent) + before, 20)) == Counter(
        sent + [f"into RAM {number}" for number in range(before)]
    )
    assert client.get_status()["delivered"] == client.get_status()["accepted"] == len(sent) + before


def test_a_disk_that_is_full_takes_nothing_out_of_ram(
    make_client: Make, broker: Mosquitto, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(spill_bytes=4096, **QUICK | {"ack_timeout_ms": 30000})
    before = into_ram(client, broker)
    real = client._stores[0].append

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(client._stores[0], "append", full)
    broker.freeze()
    accepted = []
    with pytest.raises(StoreError) as caught:
        for number in range(200):
            client.publish("t", f"{number}" + "." * 100)
            accepted.append(f"{number}" + "." * 100)
    assert caught.value.errno == errno.ENOSPC and 20 < len(accepted) < 40
    assert until(lambda: "no space left" in client.get_status()["store_error"])
    assert client.get_status()["in_ram"] == len(accepted)
    monkeypatch.setattr(client._stores[0], "append", real)
    assert until(lambda: state(client) == STORED)
    client.publish("t", "room again")
    assert client.get_status()["store_error"] == ""
    broker.thaw()
    assert client.flush(20)
    assert receiver.wait(before + len(accepted) + 1)[before:] == [*accepted, "room again"]


PUBLISHER = """
import signal, sys, time
from persistmq import PersistClient
client = PersistClient("x", cache_path=sys.argv[1], durability="spill", spill_after_ms=100, spill_bytes=8192)
how = sys.argv[3]
if how == "handler":
    def stop(*_):
        client.stop(timeout=1)
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
elif how == "exit":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
elif how == "hangs":
    client.on_delivered = lambda *_: sys.stdin.read() if client._ram.state == 2 else None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    import persistmq.client
    persistmq.client._STOP_GRACE_S = 0.3
client.connect_async("127.0.0.1", int(sys.argv[2]))
number = 0
while True:
    number += 1
    text = "%d %d" % (number, client._ram.state)
    client.publish("t", text)
    print(text, flush=True)
    time.sleep(0.002)
"""


def publisher(cache: Path, broker: Mosquitto, how: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PUBLISHER, str(cache), str(broker.port), how]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run_until_in_ram(process: "subprocess.Popen[str]", more: int) -> list[str]:
    """What it has published when it was in RAM and has published ``more``."""
    assert process.stdout is not None
    lines = []
    while more:
        line = process.stdout.readline()
        assert line, "it ended"
        lines.append(line)
        more -= line.endswith(f" {IN_RAM}\n")
    return lines


@pytest.mark.parametrize("how", ["handler", "exit", "hangs"])
def test_a_process_that_is_told_to_end_loses_nothing(
    how: str, tmp_path: Path, broker: Mosquitto, receiver: Receiver
) -> None:
    cache = tmp_path / "cache"
    with publisher(cache, broker, how) as process:
        try:
            lines = run_until_in_ram(process, 20)
            broker.freeze()  # so that something waits
            assert process.stdout is not None
            lines += [process.stdout.readline() for _ in range(10)]
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=15)
            lines += output.splitlines(keepends=True)
            assert process.returncode == 0
        finally:
            process.kill()
    broker.thaw()
    with PersistClient("x", cache_path=cache) as client:
        client.connect_async("127.0.0.1", broker.port)
        assert client.flush(10)
        accepted = client.get_status()["accepted"]
    assert len(lines) <= accepted <= len(lines) + 1  # the last one may not have been printed
    assert Counter(receiver.wait(accepted)) >= Counter(line.strip() for line in lines if len(line.split()) == 2)
    assert len(set(receiver.payloads)) == len(receiver.payloads) == accepted


@pytest.mark.parametrize("attempt", range(3))
def test_a_process_that_is_killed_loses_what_waits_in_ram_and_no_more(
    attempt: int, tmp_path: Path, broker: Mosquitto, receiver: Receiver
) -> None:
    cache = tmp_path / "cache"
    numbers: list[int] = []
    with publisher(cache, broker, "kill") as process:
        try:
            lines = run_until_in_ram(process, 100 + 37 * attempt)
        finally:
            process.kill()
        assert process.stdout is not None
        lines += process.stdout.read().splitlines()
    numbers = [int(line.split()[0]) for line in lines if len(line.split()) == 2]
    with PersistClient("x", cache_path=cache, durability="spill", spill_after_ms=100) as client:
        status = client.get_status()
        assert status["damaged"] == 0
        assert status["accepted"] == sum(
            status[name] for name in ("delivered", "expired", "evicted", "refused", "damaged", "waiting")
        )
        client.connect_async("127.0.0.1", broker.port)
        after = [client.publish("t", f"after {number}") for number in range(300)]
        assert all(info.wait_for_publish(10) for info in after)
        assert client.flush(10)
    arrived = receiver.wait(300)
    assert len(set(arrived)) == len(arrived), "something came twice"
    assert [text for text in arrived if text.startswith("after")] == [f"after {number}" for number in range(300)]
    lost = set(numbers) - {int(text.split()[0]) for text in arrived if not text.startswith("after")}
    frame_bytes = 24 + 1 + len("1000 2")
    assert len(lost) * frame_bytes <= 8192
    assert lost <= set(numbers[-8192 // frame_bytes :]), "only the last ones were in RAM"


def test_what_cannot_be_together_is_said(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for options, words in (
        ({"worker": "process"}, 'needs worker="thread"'),
        ({"drain": "live_first"}, "one lane"),
        ({"spill_bytes": 100}, "spill_bytes must be a whole number from 2048"),
        ({"spill_after_ms": 0}, "spill_after_ms must be a whole number from 1"),
        ({"spill_after_ms": 1.5}, "spill_after_ms must be a whole number from 1"),
    ):
        with pytest.raises(ValueError, match=words):
            PersistClient("x", cache_path=cache, durability="spill", **options)  # type: ignore[arg-type]
    with PersistClient("x", cache_path=cache, drain="in_order"):
        pass
    with pytest.raises(ValueError, match="holds a second lane"):
        PersistClient("x", cache_path=cache, durability="spill")


@pytest.mark.parametrize("call", ["append", "sync", "replace"])
def test_an_exception_while_ram_is_written_costs_no_other_message(
    call: str, make_client: Make, broker: Mosquitto, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(spill_bytes=4096, **QUICK | {"spill_after_ms": 500, "ack_timeout_ms": 30000})
    before = into_ram(client, broker)
    real = getattr(client._stores[0], call)

    def interrupted(*_: object) -> None:
        monkeypatch.setattr(client._stores[0], call, real)
        raise KeyboardInterrupt

    monkeypatch.setattr(client._stores[0], call, interrupted)
    broker.freeze()
    accepted = []
    with pytest.raises(KeyboardInterrupt):
        for number in range(200):
            client.publish("t", f"{number}" + "." * 100)
            accepted.append(f"{number}" + "." * 100)
    client.publish("t", "after")
    assert until(lambda: state(client) == STORED)
    broker.thaw()
    assert client.flush(20)
    arrived = [text for text in receiver.wait(before + len(accepted) + 1)[before:] if text[0] != str(len(accepted))]
    assert [text for text in arrived if text in [*accepted, "after"]] == [*accepted, "after"]
    assert client.get_status()["damaged"] == 0
