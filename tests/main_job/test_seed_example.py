"""The example in the README of persistmq 0.1.4, word by word, and programs that end without a good-bye."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.main_job import processes
from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto, free_port

EXAMPLE = """\
import time
from pathlib import Path
from persistmq.client import PersistClient

# Create a PersistClient instance
my_robust_client = PersistClient(client_id="testclient", cache_path=Path("/tmp/mymqttcache"))
# Establish a connection to the mqtt broker
my_robust_client.connect_async(mqtt_host="localhost")

# Send some messages
for i in range(20):
    my_robust_client.publish("dt/blah", f"Test Message {i:d}")
    time.sleep(1)

# Stop the client process
my_robust_client.stop()
"""
MESSAGES = ["Test Message %d" % number for number in range(20)]
EXIT_S_MAX = 5.0  # Python's own start and two loaded cores are in it


def run_example(
    port: int, cache: Path, sleep: str = "time.sleep(0.01)", stop: bool = True, is_there: bool = True
) -> float:
    """In a process of its own, with another address, cache and haste; how many seconds it took."""
    text = EXAMPLE
    changes = {
        '"localhost"': '"127.0.0.1", mqtt_port=%d' % port,
        '"/tmp/mymqttcache"': repr(str(cache)),
        "time.sleep(1)": sleep,
    }
    if not stop:
        changes["my_robust_client.stop()"] = ""
    for was, becomes in changes.items():
        assert text.count(was) == 1
        text = text.replace(was, becomes)
    began = time.monotonic()
    done = processes.run("-c", text)
    assert (done.returncode, done.stdout) == (0, "")
    # Said once, as a warning, to who has configured no logging.
    refused = f"no connection: 127.0.0.1:{port}: Connection refused\n"
    assert done.stderr == ("" if is_there else refused)
    return time.monotonic() - began


def deliver_the_rest(port: int, cache: Path) -> int:
    """The next start of the program; how many were left for it."""
    with PersistClient("testclient", cache_path=cache) as client:
        left: int = client.get_status()["waiting"]
        client.connect_async("127.0.0.1", port)
        assert client.flush(10)
    return left


def test_the_example_delivers_its_20_messages(broker: Mosquitto, receiver: Receiver, tmp_path: Path) -> None:
    run_example(broker.port, tmp_path / "cache")
    assert receiver.wait(20) == MESSAGES
    assert {(arrival.topic, arrival.qos, arrival.retain) for arrival in receiver.arrivals} == {("dt/blah", 2, False)}
    assert deliver_the_rest(broker.port, tmp_path / "cache") == 0


def test_what_a_stop_at_once_leaves_behind_comes_with_the_next_start(
    broker: Mosquitto, receiver: Receiver, tmp_path: Path
) -> None:
    run_example(broker.port, tmp_path / "cache", sleep="pass")
    deliver_the_rest(broker.port, tmp_path / "cache")
    assert receiver.wait(20) == MESSAGES


def test_without_a_broker_the_example_ends_as_soon_and_loses_nothing(
    broker: Mosquitto, receiver: Receiver, tmp_path: Path
) -> None:
    seconds = run_example(free_port(), tmp_path / "cache", is_there=False)
    assert seconds < EXIT_S_MAX
    assert deliver_the_rest(broker.port, tmp_path / "cache") == 20
    assert receiver.wait(20) == MESSAGES


@pytest.mark.parametrize("state", ["online", "offline", "frozen"])
def test_a_client_that_is_never_stopped_does_not_keep_its_program_from_ending(
    broker: Mosquitto, receiver: Receiver, tmp_path: Path, state: str
) -> None:
    if state == "frozen":  # the system answers for it, and then nothing comes
        broker.freeze()
    is_there = state != "offline"
    port = broker.port if is_there else free_port()
    seconds = run_example(port, tmp_path / "cache", stop=False, is_there=is_there)
    if state == "frozen":
        broker.thaw()
    assert seconds < EXIT_S_MAX
    deliver_the_rest(broker.port, tmp_path / "cache")
    assert receiver.wait(20) == MESSAGES


def test_a_program_that_ends_by_an_exception_loses_nothing_that_was_accepted(
    broker: Mosquitto, receiver: Receiver, make_client: Callable[..., PersistClient], tmp_path: Path
) -> None:
    text = (
        "from persistmq import PersistClient\n"
        "client = PersistClient('tester', cache_path=%r, durability='async')\n"
        "for i in range(20): client.publish('a', 'Test Message %%d' %% i)\n"
        "raise SystemExit(7)\n" % str(tmp_path / "cache")
    )
    assert processes.run("-c", text).returncode == 7
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert receiver.wait(20) == MESSAGES
