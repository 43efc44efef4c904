"""Signals, exceptions and sys.exit() in the middle of the client's work."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from persistmq import ClientStopped, PersistClient, StoreError

from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]

HANDLER = """
import signal, sys
from persistmq import PersistClient
client = PersistClient("x", cache_path=sys.argv[1], durability=sys.argv[2], cache_type=sys.argv[3])
def stop(*_):
    client.stop(timeout=1)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True:
    client.publish("t", b"x" * 100)
"""

BOTH_CACHE_TYPES = True


@pytest.mark.parametrize("durability", ["sync", "async", "spill"])
def test_stop_in_a_signal_handler_ends_the_process_at_once(
    durability: str, cache_type: str, tmp_path: Path
) -> None:
    for attempt, delay_s in enumerate((0.0, 0.003, 0.01, 0.1)):  # in the first publish(), which starts a thread, too
        command = [sys.executable, "-c", HANDLER, str(tmp_path / str(attempt)), durability, cache_type]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            until(lambda: False, delay_s)
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(8) == 0
            finally:
                process.kill()
        with PersistClient("x", cache_path=tmp_path / str(attempt), cache_type=cache_type) as client:
            assert client.get_status()["accepted"] > 0 or delay_s < 0.1


@pytest.mark.timeout(30)
def test_stop_in_a_signal_handler_that_interrupts_the_making_of_the_thread(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(durability="async")
    real = threading.Thread

    def interrupted(*arguments: Any, **options: Any) -> threading.Thread:
        client.stop(timeout=1)
        return real(*arguments, **options)

    monkeypatch.setattr("persistmq.client_thread.threading.Thread", interrupted)
    client.publish("t", "staged")
    monkeypatch.undo()
    assert client.get_status()["accepted"] == 1
    with pytest.raises(ClientStopped):
        client.publish("t", "late")


@pytest.mark.parametrize("call", ["append", "sync"])
@pytest.mark.parametrize("durability", ["sync", "async", "spill"])
def test_an_exception_in_the_middle_of_a_write_costs_no_other_message(
    call: str, durability: str, make_client: Make, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(durability=durability)
    client.publish("t", "before").wait_for_stored(5)
    real = getattr(client._stores[0], call)

    def interrupted(*arguments: object) -> None:
        monkeypatch.setattr(client._stores[0], call, real)
        raise KeyboardInterrupt

    monkeypatch.setattr(client._stores[0], call, interrupted)
    if durability != "async":
        with pytest.raises(KeyboardInterrupt):
            client.publish("t", "interrupted")
    else:
        client.publish("t", "interrupted")  # the engine's thread is hit, and tries again
        assert until(lambda: getattr(client._stores[0], call) is not interrupted)
    for number in range(5):
        assert client.publish("t", f"after {number}").wait_for_stored(5)
    with Receiver(broker.port, "t") as receiver:
        client.connect_async("127.0.0.1", broker.port)
        assert client.flush(10)
        hit = [b"interrupted"] if durability == "async" else []
        expected = [b"before", *hit, *(b"after %d" % number for number in range(5))]
        assert until(lambda: len(receiver.arrivals) >= len(expected))
        assert [arrival.payload for arrival in receiver.arrivals] == expected
    status = client.get_status()
    assert (status["accepted"], status["damaged"], status["waiting"], status["staged"]) == (len(expected), 0, 0, 0)


def test_another_thread_s_message_in_an_interrupted_group_gets_an_error(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    client.publish("t", "before")
    staged = threading.Event()
    errors: list[StoreError] = []

    def other() -> None:
        seq = client._commits.stage("t", "other", 2, False)
        staged.set()
        hit.wait(5)
        try:
            client._commits.commit(seq, 5)
        except StoreError as error:
            errors.append(error)

    hit = threading.Event()
    real = client._stores[0].append

    def interrupted(*_: object) -> None:
        monkeypatch.setattr(client._stores[0], "append", real)
        raise KeyboardInterrupt

    thread = threading.Thread(target=other)
    thread.start()
    assert staged.wait(5)
    monkeypatch.setattr(client._stores[0], "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.publish("t", "leader")
    hit.set()
    thread.join(10)
    assert len(errors) == 1 and "interrupted" in str(errors[0])
    assert client.publish("t", "after").is_stored()


def test_sys_exit_in_a_callback_stops_nothing(make_client: Make, broker: Mosquitto) -> None:
    client = make_client()
    client.on_delivered = lambda client, seq: sys.exit("no")
    client.connect_async("127.0.0.1", broker.port)
    for number in range(5):
        client.publish("t", number)
    assert client.flush(10)
    assert client.get_status()["delivered"] == 5


# An exception at every other instruction finds places that no Python program can guard (inside a "finally").
@pytest.mark.skipif(not os.environ.get("PERSISTMQ_LONG"), reason="PERSISTMQ_LONG=1 runs it")
def test_a_storm_of_alarms_loses_nothing_and_hangs_nothing(tmp_path: Path) -> None:
    program = """
import signal, sys
from persistmq import ClientStopped, PersistClient, StoreError
class Alarm(Exception): pass
def ring(*_): raise Alarm
client = PersistClient("x", cache_path=sys.argv[1])
signal.signal(signal.SIGALRM, ring)
returned = 0
for number in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0002 + number % 7 * 0.0003)
        client.publish("t", b"%d" % number)
        returned += 1
    except (Alarm, StoreError):
        pass
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Alarm:
        pass
client.stop()
print(returned, client.get_status()["accepted"], client.get_status()["damaged"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cache")],
        capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    returned, accepted, damaged = map(int, done.stdout.split())
    assert returned <= accepted <= 300 and damaged == 0
