"""The store on SQLite: what becomes of a damaged database, and of one that is not its own."""

import errno
import os
import random
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from persistmq import sqlite_store
from persistmq.sqlite_pieces import PAGE_BYTES, PIECE_BYTES
from persistmq.sqlite_store import SqliteStore

from persistmq_core.errors import FormatError
from persistmq_core.record import encode
from persistmq_core.segment import RECORD, SegmentReader, encode_header, segment_name
from tests.support.forked import in_child
from tests.support.sqlite_case import CHECKPOINT, SEGMENT, FailingConnection, contents, database
from tests.support.store_files import read_all


def stock(path: Path) -> dict[str, bytes]:
    """A database with some segments that say who they are; closed. Its content."""
    store = SqliteStore(path)
    store.replace("checkpoint.0", CHECKPOINT)
    for first_seq in (1, 1000, 2000):
        name = segment_name(first_seq, 7)
        store.append(name, encode_header(first_seq, 0, 7))
        for number in range(12):
            store.append(name, b"%06d" % (first_seq + number) * 300)
        store.sync(name)
    found = contents(store)
    store.close()
    return found


@pytest.mark.parametrize("content", [b"no database at all", bytes(50_000), b"SQLite format 3\0" + bytes(20)])
def test_what_is_no_database_goes_to_quarantine_and_a_new_one_begins(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    stock(path)
    database(path).write_bytes(content)
    store = SqliteStore(path)
    assert store.list("journal") == []
    store.append(SEGMENT, b"new")
    store.sync(SEGMENT)
    assert (path / "quarantine" / "cache.sqlite3.0").read_bytes() == content
    assert "was damaged" in caplog.text
    assert "quarantine/cache.sqlite3.0" in caplog.text
    store.close()
    assert contents(SqliteStore(path)) == {SEGMENT: b"new"}


def test_a_database_of_somebody_else_is_kept_as_it_is(path: Path) -> None:
    path.mkdir()
    with sqlite3.connect(database(path)) as other:
        other.execute("CREATE TABLE accounts (id, balance)")
        other.execute("INSERT INTO accounts VALUES (1, 100)")
    other.close()
    SqliteStore(path).close()
    kept = sqlite3.connect(path / "quarantine" / "cache.sqlite3.0")
    assert kept.execute("SELECT * FROM accounts").fetchall() == [(1, 100)]
    kept.close()


def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.mkdir()
    database(path).write_bytes(b"")
    store = SqliteStore(path)
    store.append(SEGMENT, b"new")
    store.sync(SEGMENT)
    assert os.listdir(path / "quarantine") == []


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_database_starts_and_gives_what_reads(path: Path, seed: int) -> None:
    """Anything at all in some of its pages: nothing else is lost, and nothing stands where it was not."""
    rng = random.Random(seed)
    before = stock(path)
    content = bytearray(database(path).read_bytes())
    pages = len(content) // PAGE_BYTES
    assert pages > 20
    bad_pages = rng.sample(range(pages), rng.choice((1, 1, 2, 5)))
    for page in bad_pages:
        at = page * PAGE_BYTES
        kind = rng.randrange(4)
        if kind == 0:
            content[at : at + PAGE_BYTES] = bytes(PAGE_BYTES)
        elif kind == 1:
            content[at : at + PAGE_BYTES] = rng.randbytes(PAGE_BYTES)
        elif kind == 2:
            for _ in range(8):
                content[at + rng.randrange(100)] = rng.randrange(256)  # where its head is
        else:
            content[at + rng.randrange(PAGE_BYTES)] ^= 1 << rng.randrange(8)
    if seed % 7 == 0:
        del content[rng.randrange(len(content)) :]
    database(path).write_bytes(content)
    store = SqliteStore(path)
    pieces = {
        (name, at): whole[at : at + PIECE_BYTES]
        for name, whole in before.items()
        for at in range(0, len(whole), PIECE_BYTES)
    }
    lost = 0
    for (name, at), piece in pieces.items():
        buffer = bytearray(len(piece))
        try:
            count = store.read(name, at, memoryview(buffer))
        except FileNotFoundError:
            count = 0  # with its name
        except OSError as error:
            assert error.errno == errno.EBADMSG  # one that the core takes for damage
            count = 0
        lost += buffer[:count] != piece
    if len(content) == pages * PAGE_BYTES:
        # A page holds one piece, or a name and what is short.
        # Two neighbours may take the name and the first piece of a file, and so all of it.
        neighbours = sum(page + 1 in bad_pages for page in bad_pages)
        assert lost <= 2 * len(bad_pages) + 12 * neighbours, (lost, bad_pages)
    for _ in range(3):  # what was not met by reading is by writing: then the next write replaces the database
        with suppress(OSError):
            store.append("journal/new.seg", b"new")
            store.sync("journal/new.seg")
            break
    for _ in range(3):
        with suppress(OSError):
            store.replace("checkpoint.0", b"new")
            break
    assert read_all(store, "journal/new.seg") == b"new"
    store.close()
    again = SqliteStore(path)
    assert read_all(again, "journal/new.seg") == b"new"
    assert read_all(again, "checkpoint.0") == b"new"
    again.close()


def test_a_segment_whose_name_is_lost_tells_it_and_a_piece_that_is_lost_reads_as_damage(path: Path) -> None:
    before = stock(path)
    bare = sqlite3.connect(database(path))
    name_key, piece_key = (3 << 32), (4 << 32) + 1 + PIECE_BYTES
    assert bare.execute("SELECT bytes FROM pieces WHERE id = ?", (name_key,)).fetchone()[0] == b"%b" % (
        segment_name(1000, 7).encode()
    )
    bare.execute("DELETE FROM pieces WHERE id IN (?, ?)", (name_key, piece_key))
    bare.commit()
    bare.close()
    store = SqliteStore(path)
    whole = before[segment_name(2000, 7)]
    gap = b"\xff" * PIECE_BYTES
    expected = before | {segment_name(2000, 7): whole[:PIECE_BYTES] + gap + whole[2 * PIECE_BYTES :]}
    assert contents(store) == expected


def test_a_database_that_is_found_damaged_while_it_is_written_is_replaced_at_the_next_write(path: Path) -> None:
    before = stock(path)
    store = SqliteStore(path)
    failure = sqlite3.DatabaseError("database disk image is malformed")
    failure.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    failing = FailingConnection(store, "INSERT", failure)
    with pytest.raises(OSError, match="malformed") as caught:
        store.append(SEGMENT, b"new")
    assert caught.value.errno == errno.EBADMSG
    failing.heal()
    store.append("journal/new.seg", b"new")
    store.sync("journal/new.seg")
    assert contents(store) == before | {"journal/new.seg": b"new"}
    assert (path / "quarantine" / "cache.sqlite3.0").exists()


def test_a_database_of_a_newer_layout_is_left_as_it_is(path: Path) -> None:
    stock(path)
    bare = sqlite3.connect(database(path))
    bare.execute("ALTER TABLE pieces RENAME TO pieces_2")
    bare.close()
    before = database(path).read_bytes()
    with pytest.raises(FormatError, match="has the table pieces_2; this program reads pieces"):
        SqliteStore(path)
    assert database(path).read_bytes() == before
    assert sorted(os.listdir(path)) == ["cache.sqlite3", "quarantine"]


def test_what_stands_in_the_way_goes_to_quarantine(path: Path) -> None:
    (path / "cache.sqlite3-wal" / "inside").mkdir(parents=True)
    (path / "cache.sqlite3").symlink_to("/nowhere")
    store = SqliteStore(path)
    store.append(SEGMENT, b"one")
    store.sync(SEGMENT)
    assert sorted(os.listdir(path / "quarantine")) == ["cache.sqlite3-wal.0", "cache.sqlite3.0"]


def test_a_branch_that_does_not_read_costs_nothing_once_something_is_written(path: Path) -> None:
    store = SqliteStore(path)
    content = bytes(range(256)) * 8192  # 2 MiB: the tree has branches below its root
    store.append(SEGMENT, content)
    store.append("journal/2", b"end")
    store.sync("journal/2")
    store.close()
    pages = bytearray(database(path).read_bytes())
    branches = [at for at in range(2 * PAGE_BYTES, len(pages), PAGE_BYTES) if pages[at] == 5]
    assert len(branches) > 1
    pages[branches[1] : branches[1] + PAGE_BYTES] = bytes(PAGE_BYTES)
    database(path).write_bytes(pages)
    store = SqliteStore(path)
    with suppress(OSError):  # unless the start has met it
        read_all(store, SEGMENT)
    store.replace("checkpoint.0", CHECKPOINT)
    assert read_all(store, SEGMENT) == content
    assert (path / "quarantine" / "cache.sqlite3.0").exists()
    store.close()


def test_a_segment_whose_name_and_header_are_lost_is_known_by_its_records(path: Path) -> None:
    store = SqliteStore(path)
    cache_id = 0xFEDCBA98
    first_seqs = (0xFFFFFFF0, 0x100000010, 0x100000400)  # the low 32 bits begin anew on the way
    for first_seq in first_seqs:
        name = segment_name(first_seq, cache_id)
        store.append(name, encode_header(first_seq, 0, cache_id))
        for seq in range(first_seq, first_seq + 0x20):
            store.append(name, encode(seq, b"topic", b"%x" % seq * 60, 1, False, 0, cache_id))
        store.sync(name)
    store.close()
    bare = sqlite3.connect(database(path))
    bare.execute("DELETE FROM pieces WHERE id IN (?, ?)", (2 << 32, (2 << 32) + 1))
    bare.commit()
    bare.close()
    store = SqliteStore(path)
    names = sorted(store.list("journal"))
    assert names[0] == segment_name(first_seqs[0], cache_id)
    assert names[2] == segment_name(first_seqs[2], cache_id)
    first_left = int(names[1][8:24], 16)
    assert first_seqs[1] < first_left < first_seqs[1] + 0x20
    reader = SegmentReader(store, names[1], first_left, cache_id)
    left = []
    while reader.next() == RECORD:
        left.append(reader.record.seq if reader.record else 0)
    assert left == list(range(first_left, first_seqs[1] + 0x20))


def test_replacing_a_damaged_database_may_be_cut_short_anywhere(tmp_path: Path) -> None:
    """After any number of its steps it dies; the next start has all that reads, and the damaged one is kept."""
    made = tmp_path / "made"
    before = stock(made)
    bare = sqlite3.connect(database(made))
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("DELETE FROM pieces WHERE id = ?", (4 << 32,))  # a name: what only looking through it all cures
    wal = Path(str(database(made)) + "-wal").read_bytes()
    shm = Path(str(database(made)) + "-shm").read_bytes()
    bare.commit()
    wal = Path(str(database(made)) + "-wal").read_bytes()
    damaged = database(made).read_bytes()
    bare.close()
    deaths = 0
    for cut in range(1000):
        path = tmp_path / str(cut)
        path.mkdir()
        database(path).write_bytes(damaged)
        (path / "cache.sqlite3-wal").write_bytes(wal)
        (path / "cache.sqlite3-shm").write_bytes(shm)

        def life(cut: int = cut, path: Path = path) -> None:
            die_at(cut)
            SqliteStore(path)

        status = in_child(life)
        assert status in (0, 9)
        deaths += status == 9
        store = SqliteStore(path)
        assert contents(store) == before, cut
        store.close()
        assert (path / "quarantine" / "cache.sqlite3.0").read_bytes()[:16] == b"SQLite format 3\0"
        if status == 0:
            break
    assert deaths > 10


def die_at(cut: int) -> None:
    """End this process at the call number ``cut`` of those that change the directory."""
    left = [cut]

    def guarded(call: object) -> object:
        def dying(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return call(*arguments, **options)  # type: ignore[operator]

        return dying

    for name in ("rename", "unlink", "fsync", "makedirs"):
        setattr(os, name, guarded(getattr(os, name)))
    real_connect = sqlite_store.connect
    import persistmq.sqlite_salvage as salvage

    for module in (sqlite_store, salvage):
        module.connect = lambda path: DyingConnection(real_connect(path), guarded)  # type: ignore[assignment]


class DyingConnection:
    def __init__(self, connection: sqlite3.Connection, guarded: object) -> None:
        self._connection = connection
        self.execute = guarded(connection.execute)  # type: ignore[operator]

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)
