"""Who ends whom: the application that is killed, the worker that drains, the next application."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import CacheInUse, PersistClient

from tests.main_job import processes
from tests.main_job.receiver import Receiver, until
from tests.main_job.test_client import HOLDER
from tests.main_job.worker_process.applications import METHODS, application, is_alive
from tests.support.mosquitto import HOST, Mosquitto

Make = Callable[..., PersistClient]


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_hangs_holds_stop_up_for_a_second_and_costs_no_message(
    make_client: Make, broker: Mosquitto, receiver: Receiver, method: str
) -> None:
    client = make_client(worker="process", start_method=method)
    client.connect_async(HOST, broker.port)
    assert client.publish("a", 0).wait_for_publish(10)
    pid = client.get_status()["worker_pid"]
    os.kill(pid, signal.SIGSTOP)
    client.publish_many([("a", number) for number in range(1, 100)])
    began = time.monotonic()
    client.stop(timeout=0.1)
    assert time.monotonic() - began < 3
    assert until(lambda: not is_alive(pid), 5)
    client = make_client()
    client.connect_async(HOST, broker.port)
    assert client.flush(20)
    assert receiver.wait(100) == [str(number) for number in range(100)]


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
