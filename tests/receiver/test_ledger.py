"""What is new, what comes twice, what is missing."""

import random

import pytest
from persistmq.receiver import ledger as ledgers
from persistmq.receiver.identities import Identity, Malformed, from_properties
from persistmq.receiver.ledger import LATE, NEW, TWICE, Batch, Key, Ledger, Stream

KEY = Key("pole", 7)


def came(ledger: Ledger, *numbers: int, never: tuple[tuple[int, int], ...] = (), is_live: bool = True) -> list[int]:
    """Take numbers in one batch; those that were new."""
    batch = Batch()
    new = []
    for first, last in never:
        ledger.note_never(KEY, first, last, batch)
    for seq in numbers:
        if ledger.look(Identity(*KEY, seq), batch) == NEW:
            ledger.note(Identity(*KEY, seq), is_live, 5, batch)
            new.append(seq)
    after = ledger.settle(batch)
    while after:
        after = ledger.settle(after)
    return new


def test_a_number_is_new_once_within_a_batch_and_after_it() -> None:
    ledger = Ledger()
    assert came(ledger, 1, 2, 2, 1, 3) == [1, 2, 3]
    assert came(ledger, 3, 4) == [4]
    stream = ledger.streams[KEY]
    assert (stream.complete_to(), list(stream.gaps()), stream.received) == (4, [], 4)


def test_streams_of_other_clients_and_epochs_are_their_own() -> None:
    ledger = Ledger()
    came(ledger, 1)
    assert ledger.look(Identity("pole", 8, 1), Batch()) == NEW == ledger.look(Identity("pale", 7, 1), Batch())


def test_what_is_missing_is_named_and_what_was_given_up_is_not() -> None:
    ledger = Ledger()
    came(ledger, 10, 11, 15, 20, never=((13, 13), (16, 18)))
    stream = ledger.streams[KEY]
    assert list(stream.gaps()) == [(12, 12), (14, 14), (19, 19)]
    assert (stream.complete_to(), stream.missing(), stream.given_up(), stream.highest()) == (11, 3, 4, 20)
    assert came(ledger, 12, 19, 17) == [12, 19, 17]  # given up, and it comes all the same
    assert list(stream.gaps()) == [(14, 14)]
    assert (stream.complete_to(), stream.given_up()) == (13, 3)


def test_a_stream_begins_with_its_first_message_or_with_1() -> None:
    ledger = Ledger()
    came(ledger, 1000)
    assert ledger.streams[KEY].complete_to() == 1000
    came(ledger, 998)
    assert list(ledger.streams[KEY].gaps()) == [(999, 999)]
    every = Ledger(expects_all=True)
    came(every, 3)
    assert list(every.streams[KEY].gaps()) == [(1, 2)] and every.streams[KEY].complete_to() == 0


def test_a_retained_message_of_old_says_nothing_of_where_a_stream_begins() -> None:
    ledger = Ledger()
    came(ledger, 17, is_live=False)
    assert (list(ledger.streams[KEY].gaps()), ledger.streams[KEY].missing()) == ([], 0)
    came(ledger, 5000, 5002)
    assert list(ledger.streams[KEY].gaps()) == [(5001, 5001)]
    assert came(ledger, 17) == []


def test_too_many_gaps_are_closed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "RANGES_MAX", 10)
    ledger = Ledger()
    came(ledger, *range(1, 100, 2))
    stream = ledger.streams[KEY]
    assert len(stream.have) <= 10 and stream.missing() == 49 and stream.received == 50
    assert stream.complete_to() == 0
    assert ledger.look(Identity(*KEY, 4), Batch()) == LATE
    assert ledger.look(Identity(*KEY, 96), Batch()) == NEW
    assert ledger.look(Identity(*KEY, 97), Batch()) == TWICE


def test_new_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "STREAMS_MAX", 2)
    ledger, batch = Ledger(), Batch()
    came(ledger, 1)
    batch.of(Key("b", 1))
    assert ledger.has_room(KEY, batch) and ledger.has_room(Key("b", 1), batch)
    assert not ledger.has_room(Key("c", 1), batch)


def test_what_was_stored_may_be_restored_twice_and_in_any_order() -> None:
    rng = random.Random(3)
    ledger = Ledger()
    stored = []
    for begin in range(1, 60, 6):
        batch = Batch()
        ledger.note_never(KEY, begin, begin, batch)
        for seq in range(begin + 1, begin + 6):
            ledger.note(Identity(*KEY, seq), True, seq, batch)
        batch.streams[KEY].repeated = 2
        stored.append(ledger.with_counts(KEY, batch.streams[KEY]))
        ledger.settle(batch)
    stored += stored
    rng.shuffle(stored)
    again = Stream()
    for each in stored:
        again.restore(each)
    assert again == ledger.streams[KEY]
    assert (again.received, again.repeated, again.last_ms, again.first) == (50, 20, 60, 2)


def test_properties_are_read_as_the_format_says() -> None:
    told = from_properties([("other", "x"), ("pmq", "00c0ffee 9 5 pole 17"), ("pmq-never", "2-3 4-4"), ("pmq", "no")])
    assert told is not None
    assert told.identity == Identity("pole 17", 0xC0FFEE, 9) and told.never == [(6, 8), (2, 3), (4, 4)]
    assert str(told.identity) == "pole 17/00c0ffee/9"
    assert from_properties([]) is None is from_properties([("pmq-never", "1-2")])


@pytest.mark.parametrize("text", [
    "", "00c0ffee 9 5", "c0ffee 9 5 x", "00C0FFEE 9 5 x", "00c0ffee 0 0 x", "00c0ffee 9 9 x", "00c0ffee -9 5 x",
    "00c0ffee 9 5 ", "00c0ffee 9 5 a\0b", "00c0ffee 99999999999999999999 5 x", "00c0ffee 9223372036854775807 5 x",
    "00c0ffee \u0669 5 x",
])  # fmt: skip
def test_other_texts_are_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        from_properties([("pmq", text)])


@pytest.mark.parametrize("runs", ["1", "1-", "2-1", "1-2  3-4", "0-1", "1-99999999", "1-2,3-4", "1-1 " * 2000])
def test_runs_that_are_none_are_malformed(runs: str) -> None:
    with pytest.raises(Malformed):
        from_properties([("pmq", "00c0ffee 9 5 x"), ("pmq-never", runs)])
