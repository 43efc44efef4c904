"""What cannot be is said at once, with the value and the limit, and nothing is written for it."""

import asyncio
import inspect
import math
import os
import re
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from persistmq import CacheInUse, ClientStopped, FormatError, PersistClient

from tests.main_job.cache_files import contents, make_newer, nothing_changes_in
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto

Make = Callable[..., PersistClient]

BAD_MESSAGES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"topic": ""}, ValueError, "topic is empty"),
    ({"topic": "a/+/b"}, ValueError, "'a/+/b' has a wildcard"),
    ({"topic": "a/#"}, ValueError, "'a/#' has a wildcard"),
    ({"topic": "a\0b"}, ValueError, r"'a\x00b' has a NUL character"),
    ({"topic": "a" * 65536}, ValueError, "topic has 65536 bytes, the limit is 65535"),
    ({"topic": "ä" * 32768}, ValueError, "topic has 65536 bytes, the limit is 65535"),
    ({"topic": "a\ud800"}, ValueError, r"topic 'a\ud800' has half of a character, a surrogate"),
    ({"retain": "yes"}, TypeError, "retain must be True or False, not 'yes'"),
    ({"retain": None}, TypeError, "retain must be True or False, not None"),
    ({"retain": 2}, TypeError, "retain must be True or False, not 2"),
    ({"topic": b"a"}, TypeError, "topic must be a str, not bytes"),
    ({"topic": None}, TypeError, "topic must be a str, not NoneType"),
    ({"qos": 3}, ValueError, "qos must be 0, 1 or 2, not 3"),
    ({"qos": -1}, ValueError, "qos must be 0, 1 or 2, not -1"),
    ({"qos": True}, ValueError, "qos must be 0, 1 or 2, not True"),
    ({"qos": 1.0}, ValueError, "qos must be 0, 1 or 2, not 1.0"),
    ({"qos": "1"}, ValueError, "qos must be 0, 1 or 2, not '1'"),
    ({"qos": None}, ValueError, "qos must be 0, 1 or 2, not None"),
    ({"payload": {"a": 1}}, TypeError, "not dict"),
    ({"payload": [1]}, TypeError, "not list"),
    ({"payload": object()}, TypeError, "not object"),
    ({"payload": "\udfff"}, ValueError, "surrogates not allowed"),
]

BAD_SETTINGS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"client_id": ""}, ValueError, "client_id must be a string that is not empty, not ''"),
    ({"client_id": None}, ValueError, "client_id must be a string that is not empty, not None"),
    ({"client_id": "x" * 65536}, ValueError, "client_id has 65536 bytes, it must have 1 to 65535"),
    ({"cache_type": "ram"}, ValueError, "cache_type must be one of 'flat', 'sqlite' ("),
    ({"cache_type": 7}, ValueError, "'pickle' and 'sq3'), not 7"),
    ({"durability": "never"}, ValueError, "durability must be one of 'sync', 'async', 'spill', not 'never'"),
    ({"on_session_lost": "cry"}, ValueError, "on_session_lost must be one of 'resend', 'trust', not 'cry'"),
    ({"bulk_msg_count": 1}, ValueError, "or a whole number from 2 to 4000, not 1"),
    ({"bulk_msg_count": []}, ValueError, "bulk_msg_count must be 0 (no bundles) or a whole number from 2 to 4000, not"),
    ({"bulk_msg_count": None}, ValueError, "from 2 to 4000, not None"),
    ({"bulk_msg_count": False}, ValueError, "from 2 to 4000, not False"),
    ({"bulk_msg_count": "5"}, ValueError, "from 2 to 4000, not '5'"),
    ({"bulk_msg_count": 5, "cache_messages_max": 4}, ValueError, "bulk_msg_count is 5, and cache_messages_max 4"),
    ({"bulk_msg_count": 5, "bulk_topic_rewrite": "a/#"}, ValueError, "bulk_topic_rewrite: topic 'a/#' has a wildcard"),
    ({"bulk_topic_rewrite": "a/#"}, ValueError, "bulk_topic_rewrite: topic 'a/#' has a wildcard"),
    ({"bulk_topic_rewrite": 7}, TypeError, "bulk_topic_rewrite: topic must be a str"),
    ({"bulk_msg_count": 5, "bulk_topic_rewrite": 7}, TypeError, "bulk_topic_rewrite: topic must be a str"),
    ({"bulk_msg_count": 5, "bulk_bytes_max": 10}, ValueError, "bulk_bytes_max must be a whole number from 256 to"),
    ({"bulk_form": "zip"}, ValueError, "bulk_form must be one of 'simple', 'persistmq', not 'zip'"),
    ({"bulk_compress": True}, ValueError, "bulk_compress=True needs bulk_msg_count"),
    ({"bulk_form": "persistmq"}, ValueError, "bulk_form='persistmq' needs bulk_msg_count: else it does nothing"),
    ({"bulk_bytes_max": 300}, ValueError, "bulk_bytes_max=300 needs bulk_msg_count: else it does nothing"),
    ({"bulk_msg_count": 5, "bulk_compress": True}, ValueError, "bulk_compress needs bulk_form"),
    ({"window": 0}, ValueError, "window must be a whole number from 1 to 15000, not 0"),
    ({"window": 15001}, ValueError, "window must be a whole number from 1 to 15000, not 15001"),
    ({"window": "20"}, ValueError, "window must be a whole number from 1 to 15000, not '20'"),
    ({"window_qos2": 0}, ValueError, "window_qos2 must be a whole number from 1 to 15000, not 0"),
    ({"window": True}, ValueError, "window must be a whole number, not True"),
    ({"connect_timeout_ms": 0}, ValueError, "connect_timeout_ms must be a whole number from 1 to"),
    ({"connect_timeout_ms": None}, ValueError, "connect_timeout_ms must be a whole number from 1 to"),
    ({"full_timeout_ms": -1}, ValueError, "full_timeout_ms must be 0 or more, or None for no bound, not -1"),
    ({"full_timeout_ms": "1"}, ValueError, "full_timeout_ms must be a number, not '1'"),
    ({"reconnect_delay_ms_min": 1000, "reconnect_delay_ms_max": 300}, ValueError, "reconnect_delay_ms_min (1000) at"),
    ({"protocol": 9}, ValueError, "protocol must be MQTTv311 (4) or MQTTv5 (5), not 9"),
    ({"protocol": "5"}, ValueError, "protocol must be MQTTv311 (4) or MQTTv5 (5), not '5'"),
    ({"transport": "pigeon"}, ValueError, "transport must be one of tcp, websockets, unix, not 'pigeon'"),
    ({"transport": None}, ValueError, "transport must be one of tcp, websockets, unix, not None"),
    ({"client_id": "a\0b"}, ValueError, r"client_id 'a\x00b' has a NUL character"),
    ({"client_id": "a\ud800"}, ValueError, "client_id 'a\\ud800' has a NUL character or a surrogate"),
    ({"cache_path": ""}, ValueError, "cache_path is empty"),
    ({"cache_path": None}, TypeError, "cache_path must be a path, not None"),
    ({"durability": "spill", "spill_bytes": 1}, ValueError, "spill_bytes must be a whole number from 2048 to"),
    ({"ack_timeout_ms": -1}, ValueError, "ack_timeout_ms must be a whole number from 1 to"),
    ({"reconnect_delay_ms_min": 500, "reconnect_delay_ms_max": 100}, ValueError, "reconnect_delay_ms_max must be"),
    ({"segment_bytes_max": 10}, ValueError, "segment_bytes_max must be a whole number from 1024 to"),
    ({"identity": True}, ValueError, "identity=True needs protocol=MQTTv5"),
    ({"identity": True, "protocol": 5, "bulk_msg_count": 5}, ValueError, 'identity=True needs bulk_form="persistmq"'),
    ({"on_full": "drop_oldest", "worker": "process"}, ValueError, 'on_full="drop_oldest" needs worker="thread"'),
    ({"clean_session": True}, ValueError, "clean_session=True"),
    ({"reconnect_on_failure": True}, ValueError, "reconnect_on_failure=True"),
    ({"colour": "red"}, TypeError, "colour"),
    ({"window_qos2": None}, ValueError, "window_qos2 must be a whole number from 1 to 15000, not None"),
    ({"window_qos2": "3", "drain": "live_first"}, ValueError, "window_qos2 must be a whole number from 1 to 15000"),
    ({"window_qos2": 1, "drain": "live_first"}, ValueError, "window_qos2 must be 2 at least with drain="),
    ({"inline_bytes_max": True}, ValueError, "inline_bytes_max must be a whole number, not True"),
    ({"cache_messages_max": True}, ValueError, "cache_messages_max must be a number, not True"),
    ({"cache_bytes_max": ""}, ValueError, "cache_bytes_max must be a number, not ''"),
    ({"identity": "yes"}, TypeError, "identity must be True or False, not 'yes'"),
    ({"bulk_compress": 1}, TypeError, "bulk_compress must be True or False, not 1"),
    ({"drain_after_exit": None}, TypeError, "drain_after_exit must be True or False, not None"),
    ({"full_timeout_ms": 0}, ValueError, 'full_timeout_ms=0 needs on_full="block"'),
    ({"full_timeout_ms": 5, "on_full": "drop_oldest"}, ValueError, 'full_timeout_ms=5 needs on_full="block"'),
    ({"backlog_share": 0.3}, ValueError, 'backlog_share=0.3 needs drain="live_first" or "interleaved"'),
    ({"backlog_share": 0.3, "drain": "in_order"}, ValueError, 'needs drain="live_first" or "interleaved"'),
    ({"on_full": "block"}, ValueError, "on_full='block' needs cache_bytes_max, cache_messages_max or free_bytes_min"),
    ({"on_full": "drop_oldest", "free_bytes_min": 0}, ValueError, "on_full='drop_oldest' needs cache_bytes_max"),
    ({"on_full": "explode"}, ValueError, "on_full must be one of 'reject', 'block', 'drop_oldest', not 'explode'"),
    ({"spill_bytes": -5}, ValueError, 'spill_bytes=-5 needs durability="spill"'),
    ({"spill_after_ms": 50, "durability": "async"}, ValueError, 'spill_after_ms=50 needs durability="spill"'),
    ({"start_method": "fork"}, ValueError, 'start_method=\'fork\' needs worker="process"'),
    ({"keepalive": 30}, TypeError, "keepalive is a parameter of connect_async(), not of PersistClient"),
    ({"host": "x", "port": 1883}, TypeError, "host is a parameter of connect_async()"),
    ({"mqtt_port": 1883}, TypeError, "mqtt_port is a parameter of connect_async()"),
]

ENDS_WITH_THE_LINK = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
ENDS_WITH_THE_LINK.SessionExpiryInterval = 0
OF_A_MESSAGE = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
NOT_TO_BE_SENT = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
NOT_TO_BE_SENT.SessionExpiryInterval = "an hour"

BAD_ADDRESSES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"mqtt_host": ""}, ValueError, "not ''"),
    ({"mqtt_host": None}, TypeError, "NoneType"),
    ({"mqtt_host": "mqtt://broker"}, ValueError, "'mqtt://broker'"),
    ({"mqtt_host": " broker"}, ValueError, "' broker'"),
    ({"mqtt_port": 0}, ValueError, "port is 0, it must be from 1 to 65535"),
    ({"mqtt_port": 65536}, ValueError, "port is 65536, it must be from 1 to 65535"),
    ({"mqtt_port": "1883"}, TypeError, "'1883'"),
    ({"mqtt_port": True}, TypeError, "True"),
    ({"keepalive": -1}, ValueError, "keepalive (seconds) is -1, it must be from 0 to 65535"),
    ({"bind_port": "1883"}, TypeError, "bind_port is a whole number, not '1883'"),
    ({"bind_port": -1}, ValueError, "bind_port is -1, it must be from 0 to 65535"),
    ({"bind_port": 65536}, ValueError, "bind_port is 65536, it must be from 0 to 65535"),
    ({"bind_address": 5}, TypeError, "bind_address is a string, not 5"),
    ({"properties": 3}, TypeError, "properties are paho's Properties(PacketTypes.CONNECT), not 3"),
    ({"properties": OF_A_MESSAGE}, ValueError, "properties are of a packet Publish"),
    ({"properties": NOT_TO_BE_SENT}, ValueError, "properties that cannot be sent: [SessionExpiryInterval : an hour]"),
    ({"clean_start": True}, ValueError, "clean_start=True"),
    ({"properties": ENDS_WITH_THE_LINK}, ValueError, "SessionExpiryInterval=0: the broker would forget"),
]


def names(cases: list[tuple[dict[str, Any], type[Exception], str]]) -> list[str]:
    return [" ".join("%s=%.20r" % pair for pair in options.items()).replace("\0", "") for options, _, _ in cases]


@pytest.fixture
def stocked(make_client: Make, broker: Mosquitto, tmp_path: Path) -> Path:
    """A cache with three messages delivered and three waiting; its client is stopped."""
    client = make_client()
    for number in range(3):
        client.publish("stock", number)
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    client.stop()
    client = make_client()
    for number in range(3, 6):
        client.publish("stock", number)
    client.stop()
    return tmp_path / "cache"


@pytest.mark.parametrize(("options", "error", "words"), BAD_MESSAGES, ids=names(BAD_MESSAGES))
def test_a_message_that_cannot_be_is_refused_and_nothing_is_written(
    make_client: Make, tmp_path: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    client = make_client()
    client.publish("good", "before")
    with nothing_changes_in(tmp_path / "cache"), pytest.raises(error, match=re.escape(words)):
        client.publish(**({"topic": "a", "payload": "b"} | options))
    client.publish("good", "after")
    status = client.get_status()
    assert (status["accepted"], status["waiting"], status["staged"]) == (2, 2, 0)


@pytest.mark.parametrize("retain", ["yes", 2, None])
def test_a_retain_that_cannot_be_is_refused_among_many_as_well(
    make_client: Make, tmp_path: Path, retain: object
) -> None:
    client = make_client()
    for messages in ([("a", 1), ("a", 2, 1, retain)], [{"topic": "a", "retain": retain}]):
        with nothing_changes_in(tmp_path / "cache"), pytest.raises(TypeError, match="retain must be True or False"):
            client.publish_many(messages)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="retain must be True or False"):
        asyncio.run(client.publish_async("a", "b", retain=retain))  # type: ignore[arg-type]
    client.publish("a", 1, retain=1)  # type: ignore[arg-type] # as in code that was written for paho
    assert client.get_status()["accepted"] == 1


def test_a_timeout_that_cannot_be_is_named(make_client: Make) -> None:
    client = make_client()
    info = client.publish("a", "b")

    async def wait(call: Callable[[], Awaitable[object]]) -> None:
        await call()

    for blocking in (client.flush, client.stop, info.wait_for_stored, info.wait_for_publish):
        with pytest.raises(TypeError, match=r"^timeout is a number of seconds.*, not '1'$"):
            blocking("1")  # type: ignore[operator]
    for call in (client.flush_async, info.stored, info.published):
        with pytest.raises(TypeError, match=r"^timeout is a number of seconds, or None, not '1'$"):
            asyncio.run(wait(partial(call, "1")))  # type: ignore[operator]
    assert client.publish("a", "c").seq == 2  # it was not stopped


def test_a_timeout_that_is_no_number_is_refused_and_nothing_is_stopped_by_it(make_client: Make) -> None:
    client = make_client()
    info = client.publish("a", "b")

    async def wait(call: Callable[[float], Awaitable[object]]) -> None:
        await call(math.nan)

    for blocking in (client.flush, client.stop, info.wait_for_stored, info.wait_for_publish):
        with pytest.raises(ValueError, match=r"^timeout is a number of seconds, not nan$"):
            blocking(math.nan)
    for call in (client.flush_async, info.stored, info.published):
        with pytest.raises(ValueError, match=r"^timeout is a number of seconds, not nan$"):
            asyncio.run(wait(call))
    assert client.publish("a", "c").seq == 2


@pytest.mark.parametrize("timeout", [math.inf, 1e30, threading.TIMEOUT_MAX - 1])
@pytest.mark.parametrize("worker", ["thread", "process"])
def test_a_timeout_of_any_length_is_waited_for(
    make_client: Make, broker: Mosquitto, worker: str, timeout: float
) -> None:
    client = make_client(worker=worker)
    info = client.publish("a", "b")
    opener = threading.Timer(0.1, client.connect_async, ("127.0.0.1", broker.port))
    opener.start()

    async def wait() -> list[bool]:
        return [await info.stored(timeout), await info.published(timeout), await client.flush_async(timeout)]

    assert client.flush(timeout) and info.wait_for_stored(timeout) and info.wait_for_publish(timeout)
    assert asyncio.run(wait()) == [True, True, True]
    opener.join()
    client.stop(timeout)
    assert not client.get_status()["connected"]
    assert make_client().get_status()["delivered"] == 1


def test_every_default_may_be_given(tmp_path: Path) -> None:
    parameters = inspect.signature(PersistClient).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    PersistClient("pole", **defaults | {"cache_path": tmp_path}).stop()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("options", [options for options, _, _ in BAD_SETTINGS], ids=names(BAD_SETTINGS))
def test_no_directory_is_made_for_a_setting_that_cannot_be_and_nothing_is_left_open(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    kept = []  # with the client in its traceback, as a debugger or a test would
    with pytest.raises((ValueError, TypeError)) as caught:
        PersistClient(**({"client_id": "pole", "cache_path": tmp_path / "new"} | options))
    kept.append(caught.value)
    assert not (tmp_path / "new").exists()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("worker", ["thread", "process"])
def test_a_client_that_is_refused_its_cache_leaves_nothing_open(
    make_client: Make, tmp_path: Path, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_client()
    before = len(os.listdir("/proc/self/fd"))
    kept = []
    for _ in range(5):
        with pytest.raises(CacheInUse) as caught:
            PersistClient("pole", cache_path=tmp_path / "cache", worker=worker)
        kept.append(caught.value)
    assert len(os.listdir("/proc/self/fd")) == before
    # And whatever the last step raises.
    monkeypatch.setattr("persistmq.client.CacheLock.leave_delivering", lambda _: 1 / 0)
    monkeypatch.setattr("persistmq.client.DeliveryHere", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as failed:
        PersistClient("pole", cache_path=tmp_path / "other", worker=worker)
    assert len(os.listdir("/proc/self/fd")) == before, failed


def test_a_payload_over_the_limit_of_mqtt_is_refused_with_the_limit(
    make_client: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(inline_bytes_max=1000)
    monkeypatch.setattr("persistmq_core.prepared.REMAINING_LENGTH_MAX", 1010 + len("topic"))
    client.publish("topic", bytes(1000))
    with (
        nothing_changes_in(tmp_path / "cache"),
        pytest.raises(ValueError, match="payload has 1001 bytes, the limit with this topic is 1000"),
    ):
        client.publish("topic", bytes(1001))


@pytest.mark.parametrize("durability", ["sync", "async", "spill"])
def test_after_stop_nothing_is_accepted(make_client: Make, tmp_path: Path, durability: str) -> None:
    client = make_client(durability=durability)
    client.publish("a", "b")
    client.stop()
    with nothing_changes_in(tmp_path / "cache"):
        with pytest.raises(ClientStopped):
            client.publish("a", "c")
        with pytest.raises(ClientStopped):
            client.connect_async("127.0.0.1")
    assert make_client().get_status()["waiting"] == 1


@pytest.mark.parametrize(("options", "error", "words"), BAD_SETTINGS, ids=names(BAD_SETTINGS))
def test_a_setting_that_cannot_be_is_refused_and_the_cache_stays_free_and_as_it_was(
    make_client: Make, tmp_path: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    first = make_client()
    first.publish("a", "b")
    first.stop()
    with nothing_changes_in(tmp_path / "cache"), pytest.raises(error, match=re.escape(words)):
        make_client(**options)
    assert make_client().get_status()["waiting"] == 1


@pytest.mark.parametrize(("options", "error", "words"), BAD_ADDRESSES, ids=names(BAD_ADDRESSES))
def test_an_address_that_cannot_be_is_refused_and_a_good_one_still_works(
    make_client: Make,
    broker: Mosquitto,
    tmp_path: Path,
    options: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    client = make_client()
    client.publish("a", "b")
    good = {"mqtt_host": "127.0.0.1", "mqtt_port": broker.port}
    with nothing_changes_in(tmp_path / "cache"), pytest.raises(error, match=re.escape(words)):
        client.connect_async(**(good | options))
    client.connect_async(**good)
    assert client.flush(10)
    # Nor does a bad second address end the connection to the first.
    with pytest.raises(error, match=re.escape(words)):
        client.connect_async(**(good | options))
    assert client.publish("a", "c").wait_for_publish(10)
    assert client.get_status()["connections"] == 1


def test_an_address_that_paho_does_not_take_costs_the_next_one_no_time(
    make_client: Make, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("persistmq.client.check_address", lambda *_, **_kwargs: None)
    client = make_client(reconnect_delay_ms_max=60_000)
    info = client.publish("a", "b")
    client.connect_async("127.0.0.1", broker.port, bind_port=-1)
    assert until(lambda: "bind_port is -1" in client.get_status()["down_reason"])
    assert "the delivering side failed; it begins again" in caplog.text
    client.connect_async("127.0.0.1", broker.port)
    assert info.wait_for_publish(10)


@pytest.mark.parametrize("pattern", ["journal/*", "checkpoint.*"])
def test_a_cache_of_a_newer_disk_version_is_left_as_it_is(make_client: Make, stocked: Path, pattern: str) -> None:
    for path in stocked.glob(pattern):
        make_newer(path)
    with nothing_changes_in(stocked):
        for _ in range(2):  # twice: the first refusal gave the lock back
            with pytest.raises(FormatError, match="disk version 2; this program reads up to 1"):
                make_client()


def test_a_cache_is_taken_over_with_what_waits_in_it(
    make_client: Make, broker: Mosquitto, receiver: Receiver, stocked: Path
) -> None:
    # The counterpart of the test above: its preparation does not depend on luck.
    assert len([name for name in contents(stocked) if name.startswith(("journal/", "checkpoint"))]) >= 3
    client = make_client()
    assert client.get_status()["waiting"] == 3
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert receiver.wait(3)[-3:] == ["3", "4", "5"]
