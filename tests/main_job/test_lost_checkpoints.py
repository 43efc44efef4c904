"""What is sent again because a checkpoint is gone is said at the start; what is whole needs no word."""

from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import PersistClient

from tests.main_job.receiver import Receiver
from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]

BOTH_LOST = "no checkpoint is there that reads: all that the journal holds is sent again"
ONE_LOST = "one of the two checkpoints does not read: what was delivered last may be sent again"


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def filled(make_client: Make, broker: Mosquitto, **options: object) -> None:
    """A cache of which all is delivered and nothing was freed."""
    client = make_client(**options)
    client.connect_async("127.0.0.1", broker.port)
    client.publish_many([("t", number) for number in range(3)])
    assert client.flush(10)
    client.stop()


@pytest.mark.parametrize("harm", [Path.unlink, damage], ids=["deleted", "damaged"])
@pytest.mark.parametrize("worker", ["thread", "process"])
def test_with_both_checkpoints_lost_all_comes_again_and_the_log_says_so(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path, caplog: pytest.LogCaptureFixture,
    worker: str, harm: Callable[[Path], None],
) -> None:  # fmt: skip
    filled(make_client, broker)
    for number in range(2):
        harm(cache / f"checkpoint.{number}")
    assert caplog.text.count("checkpoint") == 0
    client = make_client(worker=worker)
    assert f"{cache}: {BOTH_LOST}" in caplog.text and ONE_LOST not in caplog.text
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert receiver.wait(6) == ["0", "1", "2"] * 2


def test_with_one_checkpoint_damaged_it_says_what_may_come_again(
    make_client: Make, broker: Mosquitto, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(make_client, broker)
    damage(cache / "checkpoint.0")
    make_client()
    assert f"{cache}: {ONE_LOST}" in caplog.text and BOTH_LOST not in caplog.text


def test_of_two_lanes_it_names_the_one(
    make_client: Make, broker: Mosquitto, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(make_client, broker, drain="live_first")
    client = make_client(drain="live_first")
    client.publish("t", "x", priority=True)
    client.stop()
    for number in range(2):
        damage(cache / "ahead" / f"checkpoint.{number}")
    make_client(drain="live_first")
    assert f"{cache} (the lane that goes ahead): {BOTH_LOST}" in caplog.text
    assert len([record for record in caplog.records if record.name == "persistmq"]) == 1


WHOLE: list[dict[str, str]] = [{}, {"durability": "spill"}, {"cache_type": "sqlite"}, {"drain": "in_order"}]


@pytest.mark.parametrize("options", WHOLE, ids=str)
def test_a_cache_that_is_whole_needs_no_word(
    make_client: Make, broker: Mosquitto, caplog: pytest.LogCaptureFixture, options: dict[str, str]
) -> None:
    for _ in range(2):
        filled(make_client, broker, **options)
    make_client(**options)
    assert "checkpoint" not in caplog.text
