"""Each message once, in lines of JSON and in a table: whatever breaks between the two halves of a step."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from persistmq import CacheInUse, StoreError
from persistmq.receiver import Output, OutputError, Receiver, Superseded
from persistmq.receiver.database import Database, read_ledger
from persistmq.receiver.jsonl import JsonLines, decode

from tests.support.postgres import Postgres

Make = Callable[[], Output]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as started:
        yield started


@pytest.fixture(params=["jsonl", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["Place"]:
    if request.param == "postgresql":
        server = request.getfixturevalue("server")
        url = server.url
        with sa.create_engine(url.replace("postgresql", "postgresql+psycopg")).begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
    else:
        url = f"sqlite:///{tmp_path}/out.db" if request.param == "sqlite" else ""
    yield Place(url, tmp_path)


class Place:
    """Where an output writes, and what stands there."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.file = folder / "out.jsonl"
        self.state = folder / "state"

    def make(self, **options: Any) -> Output:
        return Database(self.url, **options) if self.url else JsonLines(self.file, self.state, **options)

    def receiver(self) -> Receiver:
        return Receiver(self.make())

    def rows(self) -> list[dict[str, Any]]:
        if not self.url:
            return [json.loads(line) for line in self.file.read_bytes().splitlines()]
        with sa.create_engine(self.url.replace("postgresql:", "postgresql+psycopg:")).connect() as connection:
            found = connection.execute(sa.text("SELECT * FROM messages ORDER BY id")).mappings()
            return [dict(row) for row in found]

    def numbers(self) -> list[int]:
        return [row["seq"] for row in self.rows()]


def said(seq: int, client: str = "pole") -> list[tuple[str, str]]:
    return [("pmq", "00c0ffee %d %d %s" % (seq, seq - 1, client))]


def take(receiver: Receiver, *numbers: int) -> None:
    for seq in numbers:
        receiver.take("t/%d" % (seq % 3), b"payload %d" % seq, said(seq), qos=1)
    receiver.commit()


def complete_to(receiver: Receiver) -> int:
    (stream,) = receiver.status()["streams"]
    return int(stream["complete_to"])


def test_each_message_is_there_once_over_restarts(place: Place) -> None:
    for numbers in ((1, 2, 3), (2, 3, 4, 4), (5, 1, 7)):
        with place.receiver() as receiver:
            take(receiver, *numbers)
    assert place.numbers() == [1, 2, 3, 4, 5, 7]
    row = place.rows()[3]
    assert (row["client"], row["epoch"], row["topic"], row["qos"], row["retain"]) == ("pole", 0xC0FFEE, "t/1", 1, False)
    assert bytes(row["payload"], "ascii") if not place.url else row["payload"] == b"payload 4"
    with place.receiver() as receiver:
        assert (complete_to(receiver), receiver.status()["streams"][0]["gaps"]) == (5, [(6, 6)])


def test_what_has_no_identity_is_written_as_often_as_it_comes(place: Place) -> None:
    with place.receiver() as receiver:
        for _ in range(2):
            receiver.take("t", "\u00fc\n".encode(), None)
        receiver.take("t", b"\xff\x00", None)
        receiver.commit()
    rows = place.rows()
    assert len(rows) == 3 and not [row for row in rows if row.get("seq") is not None]
    if not place.url:
        assert rows[0]["payload"] == "\u00fc\n" and rows[2]["payload_base64"] == "/wA="
    else:
        assert rows[2]["payload"] == b"\xff\x00"


def test_what_was_not_committed_is_not_there(place: Place) -> None:
    with place.receiver() as receiver:
        take(receiver, 1)
        receiver.take("t", b"x", said(2))
    with place.receiver() as receiver:
        take(receiver, 2)
    assert place.numbers() == [1, 2]


def test_gaps_repeats_and_what_was_given_up_are_remembered(place: Place) -> None:
    with place.receiver() as receiver:
        for seq in (10, 15, 12, 13, 30, 30):
            receiver.take("t", b"x", [("pmq", "00c0ffee %d %d pole" % (seq, seq - 1)), ("pmq-never", "16-20 22-25")])
        receiver.commit()
        before = receiver.status()["streams"]
    with place.receiver() as receiver:
        assert receiver.status()["streams"] == before
        take(receiver, 11, 14, 23)
        (stream,) = receiver.status()["streams"]
        assert stream["gaps"] == [(21, 21), (26, 29)] and stream["given_up"] == 8 and stream["repeated"] == 1
        before = receiver.status()["streams"]
    with place.receiver() as receiver:
        assert receiver.status()["streams"] == before


def test_what_is_hostile_is_put_aside(place: Place) -> None:
    with place.receiver() as receiver:
        for _ in range(2):
            assert receiver.take("a", b"\x86\x63pmq\x01" + b"\x81" * 100) == []
        receiver.take("mixed/bulk", b"no")
        assert receiver.status()["aside"] == 2
    with place.receiver() as receiver:
        assert receiver.status()["aside"] == 2 and receiver.status()["aside_bytes"] > 100


def test_too_many_gaps_are_closed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persistmq.receiver.ledger.RANGES_MAX", 10)
    with place.receiver() as receiver:
        for seq in range(1, 60, 2):
            take(receiver, seq)
        before = receiver.status()["streams"]
        assert before[0]["missing"] == 29
    with place.receiver() as receiver:
        assert receiver.status()["streams"] == before


class Fails:
    """One call raises in the middle of the output, when what it does is done or before."""

    def __init__(self, real: Callable[..., Any], error: BaseException, is_done: bool) -> None:
        self.real = real
        self.error: BaseException | None = error
        self.is_done = is_done

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        error, self.error = self.error, None
        if error is None:
            return self.real(*arguments, **options)
        if self.is_done:
            self.real(*arguments, **options)
        raise error


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("part", ["messages", "ledger"])
def test_a_step_that_fails_half_way_leaves_each_message_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, part: str, is_done: bool
) -> None:
    with place.receiver() as receiver:
        take(receiver, 1, 2)
        output: Any = receiver._output
        if place.url:
            holder, name = (output, "_write_stream" if part == "ledger" else "_check_holder")
            error: Exception = OutputError("gone")
        else:
            holder, name = (output._files, "write") if part == "ledger" else (output, "_append")
            error = StoreError(28, "full")
        monkeypatch.setattr(holder, name, Fails(getattr(holder, name), error, is_done))
        with pytest.raises((OutputError, StoreError)):
            take(receiver, 3, 4)
        take(receiver, 3, 4, 5)  # the broker sends it again
        assert place.numbers() == [1, 2, 3, 4, 5]
        assert complete_to(receiver) == 5
    with place.receiver() as receiver:
        take(receiver, 5, 6)
    assert place.numbers() == [1, 2, 3, 4, 5, 6]


# --- files ---


@pytest.fixture
def lines(tmp_path: Path) -> Place:
    return Place("", tmp_path)


def test_a_crash_between_the_lines_and_the_ledger_gives_nothing_twice(lines: Place) -> None:
    output: Any = lines.make()
    receiver = Receiver(output)
    take(receiver, 1, 2)
    write = output._files.write
    output._files.write = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        take(receiver, 3, 4)
    output._files.write = write
    output.close()
    with lines.receiver() as receiver:
        take(receiver, 3, 4, 5)
    assert lines.numbers() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("cut", range(1, 90, 11))
def test_a_line_that_power_cut_short_is_cut_off_and_comes_again(lines: Place, cut: int) -> None:
    with lines.receiver() as receiver:
        take(receiver, 1, 2)
        known = lines.file.stat().st_size
    with lines.receiver() as receiver:
        take(receiver, 3)
    whole = lines.file.read_bytes()
    # The ledger on storage is the one before the third: as after a power cut.
    with open(lines.file, "r+b") as file:
        file.truncate(min(len(whole) - 1, known + cut))
    output: Any = lines.make()
    output.ledger.streams.clear()
    output.close()
    (lines.state / "ledger").rename(lines.state / "lost")
    with lines.receiver() as receiver:
        assert lines.file.stat().st_size == known
        take(receiver, 1, 2, 3)
    assert lines.numbers() == [1, 2, 3]


def test_without_its_ledger_the_file_says_what_was_written(lines: Place) -> None:
    with lines.receiver() as receiver:
        take(receiver, *range(1, 50))
        receiver.take("t", b"x", None)
        receiver.commit()
        before = receiver.status()["streams"][0]
    with open(lines.file, "ab") as file:
        file.write(b'not ours\n[]\n{"client": "x", "epoch": 1, "seq": "5"}\n' + b"[" * 100_000 + b"\n")
    (lines.state / "ledger").rename(lines.state / "lost")
    with lines.receiver() as receiver:
        assert receiver.status()["streams"][0] == before
        take(receiver, 20, 50)
    assert lines.file.read_bytes().count(b'"seq":') == 51


def test_a_file_may_be_renamed_at_any_time(lines: Place) -> None:
    rotated = lines.file.with_suffix(".1")
    with lines.receiver() as receiver:
        take(receiver, 1, 2)
        lines.file.rename(rotated)
        take(receiver, 2, 3)
        assert lines.numbers() == [3]
        lines.file.unlink()
        take(receiver, 4)
        assert lines.numbers() == [4]
    lines.file.rename(rotated)
    with lines.receiver() as receiver:
        take(receiver, 1, 2, 3, 4, 5)
    assert lines.numbers() == [5]


def test_lines_of_a_file_that_was_renamed_after_a_crash_count(lines: Place) -> None:
    output: Any = lines.make()
    receiver = Receiver(output)
    take(receiver, 1)
    output._files.write = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        take(receiver, 2)
    output.close()
    lines.file.rename(lines.file.with_suffix(".1"))
    with lines.receiver() as receiver:
        take(receiver, 1, 2, 3)
    assert lines.numbers() == [3]


def test_a_full_disk_is_an_error_and_costs_nothing(lines: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with lines.receiver() as receiver:
        take(receiver, 1)
        size = lines.file.stat().st_size
        write = os.write

        def half(fd: int, view: Any) -> int:
            if len(view) < 20:
                raise OSError(28, "No space left on device")
            return write(fd, bytes(view[: len(view) // 2]))

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            with pytest.raises(StoreError, match="out.jsonl cannot be written"):
                take(receiver, 2)
        assert lines.file.stat().st_size == size
        take(receiver, 2)
    assert lines.numbers() == [1, 2]


def test_one_receiver_writes_the_file(lines: Place) -> None:
    with lines.receiver(), pytest.raises(CacheInUse):
        lines.make()


def test_lines_that_are_none_have_no_identity() -> None:
    good = {"client": "a", "epoch": 1, "seq": 2, "retain": False, "received_ms": 5}
    assert decode(json.dumps(good).encode()) is not None
    for change in ({"seq": 0}, {"seq": True}, {"seq": 1 << 80}, {"client": 5}, {"epoch": -1}, {"received_ms": None}):
        assert decode(json.dumps(good | change).encode()) is None
    assert decode(b"\xff") is None is decode(b"5")


# --- databases ---


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, server: Postgres) -> Place:
    if request.param == "sqlite":
        return Place(f"sqlite:///{tmp_path}/out.db", tmp_path)
    with sa.create_engine(server.url.replace("postgresql", "postgresql+psycopg")).begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    return Place(server.url, tmp_path)


def test_the_one_that_began_last_goes_on_and_the_other_ends(database: Place) -> None:
    with database.receiver() as first:
        take(first, 1)
        with database.receiver() as second:
            with pytest.raises(Superseded):
                take(first, 2)
            take(second, 1, 2)
            with pytest.raises(Superseded):
                first.take("mixed/bulk", b"no")
    assert database.numbers() == [1, 2]


def test_rows_that_somebody_brought_back_are_not_written_again(database: Place) -> None:
    with database.receiver() as receiver:
        take(receiver, 1, 2, 3)
    engine = sa.create_engine(database.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM persistmq_ranges"))
    with database.receiver() as receiver:
        take(receiver, 2, 3, 4)
    assert database.numbers() == [1, 2, 3, 4]


def test_who_only_looks_disturbs_nobody(database: Place) -> None:
    with pytest.raises(OutputError, match="no receiver has written"):
        read_ledger(database.url)
    with database.receiver() as receiver:
        take(receiver, 1, 3)
        (stream,) = read_ledger(database.url).streams.values()
        assert list(stream.gaps()) == [(2, 2)]
        take(receiver, 2)
    assert database.numbers() == [1, 3, 2]


def test_tables_of_another_name(database: Place) -> None:
    with Receiver(Database(database.url, table="levels")) as receiver:
        take(receiver, 1)
    with sa.create_engine(database.url.replace("postgresql:", "postgresql+psycopg:")).connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM levels")).scalar() == 1


def test_a_server_that_dies_takes_nothing_that_was_committed(tmp_path: Path) -> None:
    with Postgres() as server:
        place = Place(server.url, tmp_path)
        with place.receiver() as receiver:
            take(receiver, 1, 2)
            server.kill()
            with pytest.raises(OutputError):
                take(receiver, 3)
            with pytest.raises(OutputError):
                take(receiver, 3)
            server.start()
            take(receiver, 1, 2, 3)
            assert place.numbers() == [1, 2, 3]


def test_a_file_that_another_has_locked_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    place = Place(f"sqlite:///{tmp_path}/out.db?timeout=0.1", tmp_path)
    with place.receiver() as receiver:
        take(receiver, 1)
        other = sqlite3.connect(tmp_path / "out.db")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutputError, match="locked"):
            take(receiver, 2)
        other.rollback()
        other.close()
        take(receiver, 2)
    assert place.numbers() == [1, 2]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "no url"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="database"):
        Database(url)


def test_a_server_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        Database("postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(OutputError):
        Database(f"sqlite:///{tmp_path}/no/such/folder/x.db")
