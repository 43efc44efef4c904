"""Receiver.take and commit, without a broker."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from persistmq import CacheInUse, StoreError
from persistmq.receiver import Identity, Receiver
from persistmq.receiver import ledger as ledgers
from persistmq.receiver import receiver as receivers


def said(seq: int, prev: int | None = None, client: str = "pole", never: str = "") -> list[tuple[str, str]]:
    pairs = [("pmq", "00c0ffee %d %d %s" % (seq, seq - 1 if prev is None else prev, client))]
    return pairs + ([("pmq-never", never)] if never else [])


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with Receiver(tmp_path) as made:
        yield made


def only(receiver: Receiver) -> dict[str, Any]:
    (stream,) = receiver.status()["streams"]
    return dict(stream)


def test_what_is_new_comes_out_with_all_that_is_known_of_it(receiver: Receiver) -> None:
    (message,) = receiver.take("t", b"x", said(5), qos=1, retain=True)
    assert message[:5] == ("t", b"x", 1, True, Identity("pole", 0xC0FFEE, 5))
    assert message.received_ms > 1_700_000_000_000 and message.accepted_ms is None


def test_properties_come_as_paho_s_as_pairs_or_as_a_dict(receiver: Receiver) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    assert receiver.take("t", b"", properties)[0].identity is None
    properties.UserProperty = said(1)[0]
    assert receiver.take("t", b"", properties)[0].identity == Identity("pole", 0xC0FFEE, 1)
    assert receiver.take("t", b"", dict(said(2)))[0].identity == Identity("pole", 0xC0FFEE, 2)
    assert receiver.take("t", b"", said(3))[0].identity == Identity("pole", 0xC0FFEE, 3)


def test_what_comes_twice_is_dropped_before_commit_after_it_and_after_a_restart(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver:
        assert receiver.take("t", b"x", said(1)) and not receiver.take("t", b"x", said(1))
        receiver.commit()
        assert not receiver.take("t", b"x", said(1))
        receiver.take("t", b"y", said(2))  # and not committed
    with Receiver(tmp_path) as receiver:
        assert not receiver.take("t", b"x", said(1))
        assert receiver.take("t", b"y", said(2))
        receiver.commit()
        assert (receiver.received, receiver.repeated) == (1, 1)
        assert only(receiver)["received"] == 2 and only(receiver)["repeated"] == 2


def test_after_a_rollback_it_comes_again(receiver: Receiver) -> None:
    receiver.take("t", b"x", said(1, never=""))
    receiver.rollback()
    assert receiver.status()["streams"] == []
    assert receiver.take("t", b"x", said(1))


def test_a_commit_that_fails_is_a_rollback(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise StoreError(28, "full")

    receiver.take("t", b"x", said(1))
    with monkeypatch.context() as patch:
        patch.setattr(receiver._output._files, "write", fails)  # type: ignore[attr-defined]
        with pytest.raises(StoreError):
            receiver.commit()
    receiver.commit()
    assert receiver.status()["streams"] == []
    assert receiver.take("t", b"x", said(1))
    receiver.commit()
    assert only(receiver)["received"] == 1


def test_what_is_missing_is_named(receiver: Receiver) -> None:
    for seq, prev, never in ((3, 2, ""), (6, 4, ""), (9, 8, "7-7")):
        receiver.take("t", b"x", said(seq, prev, never=never))
    receiver.commit()
    stream = only(receiver)
    assert (stream["first"], stream["highest"], stream["complete_to"]) == (3, 9, 3)
    assert (stream["missing"], stream["gaps"], stream["given_up"]) == (2, [(4, 4), (8, 8)], 2)


def test_what_was_given_up_is_told_by_a_message_that_came_before_too(receiver: Receiver) -> None:
    for seq in (1, 3, 3):
        receiver.take("t", b"x", said(seq, never="2-2" if seq == 3 else ""))
        receiver.commit()
    assert only(receiver)["complete_to"] == 3


def test_without_identity_it_passes_and_is_marked_so(receiver: Receiver) -> None:
    for _ in range(2):
        (message,) = receiver.take("t", b"x", None, qos=1)
        assert message.identity is None
    receiver.commit()
    assert (receiver.unmarked, receiver.received, receiver.status()["streams"]) == (2, 2, [])


def test_an_identity_that_cannot_be_read_is_none_and_reported(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    (message,) = receiver.take("t", b"x", [("pmq", "nonsense")])
    assert message.identity is None and receiver.malformed == 1
    assert "nonsense" in caplog.text


def bundle(*seqs: int, prev: int | None = None) -> bytes:
    entries = [
        [seq, seq - 1 if prev is None else prev, "b/%d" % seq, b"%d" % seq, 2, False, 1_700_000_000_000, 9]
        for seq in seqs
    ]
    return cbor2.dumps(["pmq", 1, "pole", 0xC0FFEE, 0, entries])


def test_a_bundle_with_identity_overlaps_with_single_messages(receiver: Receiver) -> None:
    receiver.take("t", b"x", said(2))
    found = receiver.take("any/topic", bundle(1, 2, 3), None, qos=1)
    assert [(each.topic, each.payload, each.qos) for each in found] == [("b/1", b"1", 2), ("b/3", b"3", 2)]
    assert (found[0].accepted_ms, found[0].expires_s) == (1_700_000_000_000, 9)
    assert receiver.take("any/topic", bundle(1, 2, 3)) == []
    receiver.commit()
    assert only(receiver)["complete_to"] == 3


def test_a_bundle_of_0_1_4_is_taken_apart_where_it_is_expected(tmp_path: Path, receiver: Receiver) -> None:
    payload = cbor2.dumps([{"subtopic": "pole/17", "payload": "3.2"}])
    (message,) = receiver.take("dt/mixed/bulk", payload, None, qos=2)
    assert message[:5] == ("dt/pole/17", b"3.2", 2, False, None)
    assert receiver.take("dt/other", payload)[0].payload == payload
    with Receiver(tmp_path / "other", bulk_topic_rewrite="") as plain:
        assert plain.take("dt/mixed/bulk", payload)[0].payload == payload


def test_a_hostile_bundle_is_put_aside_and_nothing_of_it_comes_out(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    evil = b"\x86\x63pmq\x01" + b"\x81" * 5000
    assert receiver.take("a", evil) == [] == receiver.take("a", evil) == receiver.take("mixed/bulk", b"no")
    status = receiver.status()
    assert status["aside"] == 2 and status["aside_bytes"] == len(evil) + 2
    assert "is put aside: a bundle that cannot be read: more than 4 levels" in caplog.text
    files = sorted((tmp_path / "ledger" / "quarantine").iterdir(), key=lambda path: path.stat().st_size)
    head, _, payload = files[1].read_bytes().partition(b"\n")
    assert payload == evil and json.loads(head)["topic"] == "a" and "levels" in json.loads(head)["reason"]
    receiver.close()
    with Receiver(tmp_path) as again:
        assert again.status()["aside"] == 2


def test_what_is_put_aside_does_not_fill_the_disk(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "ASIDE_MESSAGES_MAX", 3)
    monkeypatch.setattr(receivers, "ASIDE_BYTES_MAX", 100)
    assert receiver.take("mixed/bulk", b"x" * 200) == []
    for number in range(6):
        receiver.take("mixed/bulk", b"no %d" % number)
    assert (receiver.status()["aside"], receiver.aside_dropped) == (3, 4)


def test_too_many_gaps_are_closed_at_once_and_what_comes_too_late_is_put_aside(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(ledgers, "RANGES_MAX", 10)
    for seq in range(1, 100, 2):
        receiver.take("t", b"x", said(seq))
        receiver.commit()
    assert only(receiver)["missing"] == 49 and only(receiver)["received"] == 50
    assert "has too many gaps" in caplog.text
    assert receiver.take("t", b"late", said(2)) == []
    assert "too old to tell" in caplog.text and receiver.status()["aside"] == 1
    before = only(receiver)
    receiver.close()
    with Receiver(tmp_path) as again:
        assert only(again) == before


def test_more_streams_than_can_be_followed_pass_without_identity(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "STREAMS_MAX", 2)
    found = [receiver.take("t", b"x", said(1, client="c%d" % number))[0].identity for number in range(4)]
    assert [identity is None for identity in found] == [False, False, True, True]
    receiver.commit()
    assert receiver.malformed == 2 and len(receiver.status()["streams"]) == 2


def test_one_at_a_time_and_the_begin_of_a_stream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    with Receiver(tmp_path, expects_all=True) as receiver:
        with pytest.raises(CacheInUse):
            Receiver(tmp_path)
        receiver.take("t", b"x", said(4, prev=2))
        receiver.commit()
        assert only(receiver)["gaps"] == [(1, 2)]
