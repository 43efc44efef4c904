"""worker="process": delivery goes on when the application hangs, is stopped or killed, and when the worker is."""

import asyncio
import json
import logging
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from persistmq import CacheFull, CacheInUse, MessageDropped, PersistClient
from persistmq.group_commit import GroupCommit

from tests.main_job import processes
from tests.main_job.receiver import Receiver, until
from tests.main_job.test_client import HOLDER
from tests.support.mosquitto import HOST, Mosquitto

Make = Callable[..., PersistClient]
METHODS = ["spawn", "fork", "forkserver"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """It keeps the receiver's session when it is restarted."""
    (tmp_path / "sessions").mkdir()
    with Mosquitto(persistence_dir=tmp_path / "sessions") as started:
        yield started


def is_alive(pid: int) -> bool:
    """It runs, or at least is no zombie that nobody has looked for yet."""
    try:
        return Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def worker_of(client: PersistClient) -> int:
    assert until(lambda: client.get_status()["worker_pid"])
    pid: int = client.get_status()["worker_pid"]
    return pid


class Application:
    """See worker_application.py."""

    def __init__(self, port: int, cache: Path, method: str = "spawn", drain: bool = False) -> None:
        arguments = (str(port), str(cache), method, *(["drain"] if drain else []))
        self.process = processes.start("-m", "tests.main_job.worker_application", *arguments, stderr=None)
        self._read("ready")

    def order(self, *words: object) -> str:
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)
        return self._read()

    def _read(self, expected: str | None = None) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line and expected in (None, line), "the application said %r" % line
        return line

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def application(port: int, cache: Path, method: str = "spawn", drain: bool = False) -> Iterator[Application]:
    started = Application(port, cache, method, drain)
    with started.process:
        try:
            yield started
        finally:
            started.kill()


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
def test_a_killed_application_s_worker_ends_and_the_next_one_delivers_the_rest_once(
    make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path, method: str
) -> None:
    with application(broker.port, tmp_path / "cache", method) as app:
        app.order("connect")
        pid = int(app.order("worker"))
        app.order("publish", 3000)
        app.kill()
        assert until(lambda: not is_alive(pid), 10)
    assert len(receiver.arrivals) < 3000  # else there is nothing to go on with
    client = make_client()
    client.connect_async(HOST, broker.port)
    assert client.flush(20)
    assert receiver.wait(3000) == [str(number) for number in range(3000)]


@pytest.mark.parametrize("end", ["kill", "exit"])
@pytest.mark.parametrize("method", METHODS)
def test_with_drain_after_exit_the_worker_empties_the_cache_and_ends(
    make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path, method: str, end: str
) -> None:
    with application(broker.port, tmp_path / "cache", method, drain=True) as app:
        app.order("connect")
        pid = int(app.order("worker"))
        app.order("publish", 10)
        app.order("flush")
        broker.stop()
        app.order("publish", 1000)
        if end == "kill":
            app.kill()
        else:
            print("exit", file=app.process.stdin, flush=True)
            assert app.process.wait(10) == 0
        time.sleep(0.3)
        assert is_alive(pid)
        broker.start()
        assert receiver.wait(1010, 20) == [str(number) for number in range(1010)]
        assert until(lambda: not is_alive(pid), 10)
    status = make_client().get_status()
    assert (status["accepted"], status["delivered"], status["waiting"]) == (1010, 1010, 0)


def test_stop_ends_the_worker_also_with_drain_after_exit(broker: Mosquitto, tmp_path: Path) -> None:
    with application(broker.port, tmp_path / "cache", drain=True) as app:
        app.order("connect")
        pid = int(app.order("worker"))
        broker.stop()
        app.order("publish", 10)
        app.order("stop")
        assert not is_alive(pid)


@pytest.mark.parametrize("next_worker", ["thread", "process"])
def test_the_next_application_takes_over_from_a_worker_that_drains(
    make_client: Make, broker: Mosquitto, receiver: Receiver, tmp_path: Path, next_worker: str
) -> None:
    with application(broker.port, tmp_path / "cache", drain=True) as app:
        app.order("connect")
        pid = int(app.order("worker"))
        broker.stop()
        app.order("publish", 500)
        app.kill()
        for _ in range(3):  # also while it finds out that it is alone, and looks through the cache
            client = make_client(worker=next_worker)
            assert client.get_status()["waiting"] == 500
            assert not is_alive(pid)
            client.stop()
    client = make_client(worker=next_worker)
    client.publish("a", 500)
    broker.start()
    client.connect_async(HOST, broker.port)
    assert client.flush(20)
    assert receiver.wait(501) == [str(number) for number in range(501)]


def test_two_applications_on_one_cache_are_refused_also_while_there_is_no_worker(
    make_client: Make, broker: Mosquitto, tmp_path: Path
) -> None:
    with application(broker.port, tmp_path / "cache") as app:
        for order in ("connect", "worker"):
            with pytest.raises(CacheInUse) as caught:
                make_client(worker="process")
            assert caught.value.pid == app.process.pid
            answer = app.order(order)
        os.kill(int(answer), signal.SIGKILL)
        for worker in ("thread", "process"):
            with pytest.raises(CacheInUse) as caught:
                make_client(worker=worker)
            assert caught.value.pid == app.process.pid
        app.order("publish", 5)
        assert app.order("flush") == "True"


def test_a_client_with_a_thread_keeps_a_client_with_a_process_out(make_client: Make, tmp_path: Path) -> None:
    with processes.start("-c", HOLDER, str(tmp_path / "cache")) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
        with pytest.raises(CacheInUse) as caught:
            make_client(worker="process")
        assert caught.value.pid == holder.pid
        assert holder.poll() is None  # it was not asked to end
        holder.kill()


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


def test_a_child_that_the_application_forked_does_not_hide_its_end_from_the_worker(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with application(broker.port, tmp_path / "cache") as app:
        app.order("connect")
        pid = int(app.order("worker"))
        child = int(app.order("fork"))
        try:
            app.kill()
            assert until(lambda: not is_alive(pid), 10)
            assert is_alive(child)
        finally:
            os.kill(child, signal.SIGKILL)


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


UNGUARDED = """
import sys
from persistmq import PersistClient
client = PersistClient("x", cache_path=sys.argv[1], worker="process")
client.connect_async("127.0.0.1", int(sys.argv[2]))
for number in range(5):
    client.publish("a", number)
print(client.flush(20))
client.stop()
"""


@pytest.mark.parametrize("form", ["file", "-c", "-"])
def test_a_script_needs_no_guard_around_its_main_part(
    broker: Mosquitto, receiver: Receiver, tmp_path: Path, form: str
) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)
    command = {"file": [str(tmp_path / "script.py")], "-c": ["-c", UNGUARDED], "-": ["-"]}[form]
    with processes.start(*command, str(tmp_path / "cache"), str(broker.port)) as process:
        output, errors = process.communicate(UNGUARDED if form == "-" else None, timeout=30)
    assert (output, errors) == ("True\n", "")
    assert receiver.wait(5) == ["0", "1", "2", "3", "4"]


LEAVES_A_WORKER = """
import sys, time
from persistmq import PersistClient
client = PersistClient("x", cache_path=sys.argv[1], worker="process", drain_after_exit=True)
client.connect_async("127.0.0.1", int(sys.argv[2]))
client.publish("a", "b")
while not client.get_status()["worker_pid"]:
    time.sleep(0.01)
print(client.get_status()["worker_pid"], flush=True)
time.sleep(0.3)
"""


def test_the_streams_of_the_application_end_with_it_also_if_the_worker_goes_on(
    broker: Mosquitto, tmp_path: Path
) -> None:
    broker.stop()
    with processes.start("-c", LEAVES_A_WORKER, str(tmp_path / "cache"), str(broker.port)) as process:
        output, errors = process.communicate(timeout=20)  # until the last one has closed them
    pid = int(output.split()[0])
    assert is_alive(pid), errors
    PersistClient("x", cache_path=tmp_path / "cache").stop()
    assert not is_alive(pid)


ENDS_AT_ONCE = """
import signal, sys
from persistmq import PersistClient
# As applications do that wait for their signals with sigwait: children inherit it.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
client = PersistClient("x", cache_path=sys.argv[1], worker="process", drain_after_exit=True, durability=sys.argv[3])
client.connect_async("127.0.0.1", int(sys.argv[2]))
for number in range(20):
    client.publish("a", number)
"""


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_an_application_that_ends_as_soon_as_it_has_published_leaves_a_worker_that_drains(
    broker: Mosquitto, receiver: Receiver, tmp_path: Path, durability: str
) -> None:
    done = processes.run("-c", ENDS_AT_ONCE, str(tmp_path / "cache"), str(broker.port), durability)
    assert (done.returncode, done.stderr) == (0, "")
    assert receiver.wait(20) == [str(number) for number in range(20)]
    PersistClient("x", cache_path=tmp_path / "cache").stop()


def test_a_worker_hears_the_request_to_end_though_its_application_blocked_that_signal(
    broker: Mosquitto, tmp_path: Path
) -> None:
    broker.stop()
    done = processes.run("-c", ENDS_AT_ONCE, str(tmp_path / "cache"), str(broker.port), "sync")
    assert done.returncode == 0
    time.sleep(0.5)  # it drains
    began = time.monotonic()
    with PersistClient("x", cache_path=tmp_path / "cache") as client:
        assert client.get_status()["waiting"] == 20
    assert time.monotonic() - began < 5


def test_a_module_in_the_working_directory_is_not_imported_by_the_worker_if_it_is_not_by_the_application(
    broker: Mosquitto, receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "script.py").write_text(UNGUARDED)
    (tmp_path / "queue.py").write_text("raise RuntimeError('the wrong module')")
    command = (str(tmp_path / "program" / "script.py"), str(tmp_path / "cache"), str(broker.port))
    with processes.start(*command, cwd=tmp_path) as process:
        assert process.communicate(timeout=30) == ("True\n", "")
    assert len(receiver.wait(5)) == 5


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


def test_what_the_worker_logs_comes_out_in_the_application(
    make_client: Make, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    broker.stop()
    client = make_client(worker="process")
    client.connect_async(HOST, broker.port)
    assert until(lambda: "no connection: 127.0.0.1:%d: Connection refused" % broker.port in caplog.text)
    assert "Connection refused" in client.get_status()["down_reason"]
    with caplog.at_level(logging.INFO, "persistmq"):
        broker.start()
        assert until(lambda: "connected, session new" in caplog.text)


def test_settings_of_mqtt_client_are_used_before_and_after_connect_async_and_by_the_next_worker(
    make_client: Make, tmp_path: Path
) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch(0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "user", "right"], check=True, capture_output=True)
    lines = ["password_file %s" % passwords]
    with Mosquitto(config_lines=lines, allow_anonymous=False) as broker:
        client = make_client(worker="process")
        client.mqtt_client.username_pw_set("user", "wrong")
        client.mqtt_client.will_set("will", "gone", qos=1, retain=True)
        client.connect_async(HOST, broker.port)
        assert until(lambda: "refused the connection" in client.get_status()["down_reason"])
        client.mqtt_client.username_pw_set("user", "right")
        client.connect_async(HOST, broker.port)
        assert until(lambda: client.get_status()["connected"])
        os.kill(worker_of(client), signal.SIGKILL)
        assert until(lambda: client.get_status()["connections"] == 2)
        assert client.publish("a", "b").wait_for_publish(10)
        client.mqtt_client.username_pw_set("user", "wrong again")
        broker.restart()
        assert until(lambda: "refused the connection" in client.get_status()["down_reason"])


@pytest.mark.parametrize(
    "use",
    [
        lambda mqtt: mqtt.subscribe("a"),
        lambda mqtt: mqtt.unsubscribe("a"),
        lambda mqtt: mqtt.publish("a", "b"),
        lambda mqtt: mqtt.message_callback_add("a", print),
        lambda mqtt: setattr(mqtt, "on_message", print),
        lambda mqtt: setattr(mqtt, "on_connect", print),
        lambda mqtt: mqtt.connect_callback()(print),
        lambda mqtt: mqtt.tls_set_context(ssl.create_default_context()),
        lambda mqtt: setattr(mqtt, "max_inflight_messages", 5),
        lambda mqtt: setattr(mqtt, "password", "by username_pw_set"),
        lambda mqtt: mqtt.user_data_set({}),
        lambda mqtt: mqtt.socket(),
        lambda mqtt: mqtt.is_connected(),
        lambda mqtt: mqtt.connect("127.0.0.1"),
        lambda mqtt: mqtt.loop_start(),
    ],
)
def test_what_cannot_work_in_another_process_says_so_at_once(make_client: Make, use: Callable[[Any], object]) -> None:
    client = make_client(worker="process")
    with pytest.raises(RuntimeError, match=r"mqtt_client\.\w+"):
        use(client.mqtt_client)
    assert not client._delivery._settings["calls"]  # type: ignore[union-attr]


def test_what_paho_does_not_take_raises_here_and_what_cannot_be_passed_on_too(make_client: Make) -> None:
    client = make_client(worker="process")
    with pytest.raises(ValueError, match="topic"):
        client.mqtt_client.will_set("")
    with pytest.raises(FileNotFoundError):
        client.mqtt_client.tls_set(ca_certs="/nowhere/at/all.pem")
    with pytest.raises(TypeError, match="ws_set_options.*cannot be passed on"):
        client.mqtt_client.ws_set_options(headers=lambda headers: headers)
    with pytest.raises(ValueError, match="will_set.*bytes"):
        client.mqtt_client.will_set("a", bytes(1_000_000))
    assert not client._delivery._settings["calls"]  # type: ignore[union-attr]
    for number in range(10_000):  # a token for each hour of a year is one setting
        client.mqtt_client.username_pw_set("user", "token %d" % number)
    assert len(client._delivery._settings["calls"]) == 1  # type: ignore[union-attr]
    client.stop()
    with pytest.raises(TypeError, match="cannot be passed on"):
        make_client(worker="process", userdata=threading.Lock())
    make_client()  # the cache is free


@pytest.mark.parametrize(
    "options",
    [
        {"worker": "fibre"},
        {"worker": "process", "start_method": "vfork"},
        {"drain_after_exit": True},
    ],
)
def test_parameters_that_cannot_be_are_refused_before_anything_is_written(
    make_client: Make, tmp_path: Path, options: "dict[str, Any]"
) -> None:
    with pytest.raises(ValueError):
        make_client(**options)
    make_client()  # the cache is free


def test_a_second_connect_async_changes_the_broker(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    with Mosquitto() as other, Receiver(other.port) as other_receiver:
        client = make_client(worker="process")
        client.connect_async(HOST, broker.port)
        assert client.publish("a", "first").wait_for_publish(10)
        client.connect_async(HOST, other.port)
        assert until(lambda: client.get_status()["connections"] == 2)
        assert client.publish("a", "second").wait_for_publish(10)
        assert (receiver.wait(1), other_receiver.wait(1)) == (["first"], ["second"])


def test_stop_in_each_phase_of_a_worker_s_life_ends_it(make_client: Make, broker: Mosquitto) -> None:
    for delay_s in (0.0, 0.02, 0.05, 0.08, 0.11, 0.14, 0.2, 0.4):
        client = make_client(worker="process")
        client.publish("a", "b")
        client.connect_async(HOST, broker.port)
        until(lambda: False, delay_s)
        process = client._delivery._process  # type: ignore[union-attr]
        began = time.monotonic()
        client.stop(timeout=2)
        assert time.monotonic() - began < 3
        assert process is None or not is_alive(process.pid)
