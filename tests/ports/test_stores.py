"""Both stores: each promise of ports/PORTING.md, whatever keeps it."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from persistmq.sqlite_store import SqliteStore
from persistmq.store import FileStore

from tests.support.store_files import read_all

Store = FileStore | SqliteStore
Open = Callable[..., Store]

SEGMENT = "journal/0000000000000001.seg"
LONG = bytes(number % 251 for number in range(10_007))  # several pieces of a database, and a part of one


@pytest.fixture(params=[FileStore, SqliteStore], ids=["flat", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    made: list[Store] = []

    def make(path: str | os.PathLike[str] = tmp_path / "cache") -> Store:
        made.append(request.param(path))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(open_store: Open) -> Store:
    return open_store()


def test_appended_bytes_are_read_back_at_once(store: Store) -> None:
    store.append(SEGMENT, b"one")
    store.append(SEGMENT, memoryview(b"two"))
    assert store.size(SEGMENT) == 6
    buffer = bytearray(10)
    assert store.read(SEGMENT, 1, memoryview(buffer)) == 5
    assert buffer[:5] == b"netwo"
    store.append(SEGMENT, bytearray(b"three"))
    assert store.read(SEGMENT, 6, memoryview(buffer)) == 5
    assert store.read(SEGMENT, 100, memoryview(buffer)) == 0


def test_any_part_of_a_long_file_is_read(store: Store) -> None:
    for start in range(0, len(LONG), 1000):
        store.append(SEGMENT, LONG[start : start + 1000])
    store.append("journal/2.seg", LONG * 20)
    store.sync("journal/2.seg")
    assert read_all(store, SEGMENT) == LONG
    assert read_all(store, "journal/2.seg") == LONG * 20
    for offset in (0, 1, 3999, 4000, 4001, 8000, 10_006, 10_007):
        for wanted in (1, 2, 3999, 4000, 4001, 8001, 20_000):
            buffer = bytearray(wanted)
            count = store.read(SEGMENT, offset, memoryview(buffer))
            assert buffer[:count] == LONG[offset : offset + wanted]


def test_an_empty_append_makes_the_file(store: Store) -> None:
    store.append(SEGMENT, b"")
    assert store.list("journal") == [SEGMENT]
    assert store.size(SEGMENT) == 0
    assert store.read(SEGMENT, 0, memoryview(bytearray(1))) == 0


def test_appends_after_a_restart_go_to_the_end(open_store: Open) -> None:
    store = open_store()
    content = b""
    for part in (b"one", LONG, b"two", LONG[:993]):  # the last one fills a piece
        store.append(SEGMENT, part)
        store.sync(SEGMENT)
        content += part
        store.close()
        store = open_store()
        assert read_all(store, SEGMENT) == content
    store.append(SEGMENT, b"three")
    assert read_all(store, SEGMENT) == content + b"three"


def test_what_is_synced_is_there_for_others_at_once(open_store: Open) -> None:
    store = open_store()
    store.append(SEGMENT, b"one")
    store.sync(SEGMENT)
    store.append(SEGMENT, b"two")
    store.append("journal/2.seg", b"other")
    store.replace("checkpoint.0", b"checkpoint")
    again = open_store()
    assert read_all(again, SEGMENT)[:3] == b"one"
    assert read_all(again, "checkpoint.0") == b"checkpoint"


def test_a_file_that_is_absent_is_an_error_with_its_number(store: Store) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.size(SEGMENT),
        lambda: store.read(SEGMENT, 0, memoryview(bytearray(1))),
        lambda: store.sync(SEGMENT),
        lambda: store.remove(SEGMENT),
        lambda: store.move(SEGMENT, "quarantine/1"),
    ]
    for call in calls:
        with pytest.raises(FileNotFoundError) as caught:
            call()
        assert caught.value.errno == errno.ENOENT


def test_replace_makes_the_view_the_whole_content(open_store: Open) -> None:
    store = open_store()
    for content in (b"a long content", b"short", LONG, b"", LONG[:4000], LONG[:4001], b"x"):
        store.replace("checkpoint.0", memoryview(content))
        assert read_all(store, "checkpoint.0") == content
        store.close()
        store = open_store()
        assert read_all(store, "checkpoint.0") == content


def test_a_removed_name_can_be_used_again(store: Store) -> None:
    store.append(SEGMENT, b"old" * 3000)
    assert read_all(store, SEGMENT) == b"old" * 3000
    store.remove(SEGMENT)
    with pytest.raises(FileNotFoundError):
        store.size(SEGMENT)
    with pytest.raises(FileNotFoundError):
        store.read(SEGMENT, 0, memoryview(bytearray(1)))
    store.append(SEGMENT, b"new one")
    store.sync(SEGMENT)
    assert read_all(store, SEGMENT) == b"new one"


def test_move_makes_the_folder_and_never_overwrites(store: Store) -> None:
    store.append(SEGMENT, b"damaged")
    store.move(SEGMENT, "some/first")
    assert store.list("journal") == []
    assert store.list("some") == ["some/first"]
    assert read_all(store, "some/first") == b"damaged"
    store.append(SEGMENT, b"another")
    assert read_all(store, SEGMENT) == b"another"
    with pytest.raises(FileExistsError):
        store.move(SEGMENT, "some/first")
    assert read_all(store, "some/first") == b"damaged"
    assert read_all(store, SEGMENT) == b"another"


def test_a_moved_file_keeps_its_new_name_over_a_restart_and_grows_there(open_store: Open) -> None:
    store = open_store()
    store.append(SEGMENT, LONG)
    store.sync(SEGMENT)
    store.move(SEGMENT, "journal/1.bad")
    store.append("journal/1.bad", b"more")
    store.sync("journal/1.bad")
    store.close()
    store = open_store()
    assert store.list("journal") == ["journal/1.bad"]
    assert read_all(store, "journal/1.bad") == LONG + b"more"


def test_a_file_that_was_removed_by_others_does_not_count_as_durable(store: Store) -> None:
    store.append(SEGMENT, b"one")
    for path in Path(store.path).rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(FileNotFoundError):
        store.sync(SEGMENT)
    store.append("journal/2.seg", b"two")  # it goes on
    store.sync("journal/2.seg")
    assert store.list("journal") == ["journal/2.seg"]


def test_list_names_the_files_of_one_folder(store: Store) -> None:
    store.append("journal/1.seg", b"")
    store.append("journal/2.seg", b"x")
    store.append("dead/1.seg", b"x")
    assert sorted(store.list("journal")) == ["journal/1.seg", "journal/2.seg"]
    assert store.list("absent") == []


def test_parents_are_made_and_a_file_as_path_is_named(open_store: Open, tmp_path: Path) -> None:
    open_store(tmp_path / "a" / "b" / "cache").append(SEGMENT, b"one")
    (tmp_path / "file").write_text("not ours")
    for path in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(NotADirectoryError) as caught:
            open_store(path)
        assert str(tmp_path / "file") in str(caught.value)
    assert (tmp_path / "file").read_text() == "not ours"


def test_a_directory_without_permission_is_named(
    open_store: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may do all, and tests may run as root
    with pytest.raises(PermissionError, match=str(tmp_path)):
        open_store(tmp_path)


def test_the_path_stays_when_the_working_directory_changes(
    open_store: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("cache")
    monkeypatch.chdir("/")
    store.append(SEGMENT, b"one")
    store.sync(SEGMENT)
    assert read_all(open_store(tmp_path / "cache"), SEGMENT) == b"one"


def test_messages_are_not_for_everybody_s_eyes(store: Store) -> None:
    store.append(SEGMENT, b"one")
    store.sync(SEGMENT)
    store.replace("checkpoint.0", b"0")
    assert os.stat(store.path).st_mode & 0o777 == 0o750
    for path in Path(store.path).rglob("*"):
        assert path.stat().st_mode & 0o007 == 0, path


def test_free_bytes_and_close(store: Store) -> None:
    assert 0 < store.free_bytes() <= os.statvfs(store.path).f_bavail * os.statvfs(store.path).f_frsize
    store.append(SEGMENT, b"one")
    store.sync(SEGMENT)
    read_all(store, SEGMENT)
    before = len(os.listdir("/proc/self/fd"))
    store.close()
    store.close()
    assert len(os.listdir("/proc/self/fd")) <= before - 2
    with pytest.raises(OSError) as caught:
        store.append(SEGMENT, b"two")
    assert caught.value.errno == errno.EBADF


def test_one_thread_appends_while_another_reads_replaces_and_removes(store: Store) -> None:
    rounds = 200
    sealed: list[int] = []
    failures: list[BaseException] = []

    def publish() -> None:
        try:
            for number in range(rounds):
                name = "journal/%d.seg" % number
                for part in range(5):
                    store.append(name, b"%08d" % number)
                    if part % 2 == 0:
                        store.sync(name)
                sealed.append(number)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    done = 0
    while done < rounds:
        if done >= len(sealed):
            if not thread.is_alive() and done >= len(sealed):
                break
            continue
        name = "journal/%d.seg" % done
        assert read_all(store, name) == b"%08d" % done * 5
        store.replace("checkpoint.%d" % (done % 2), b"%d" % done)
        store.remove(name)
        done += 1
    thread.join()
    assert failures == []
    assert done == rounds


def test_what_one_side_commits_is_read_whole_while_the_other_goes_on(store: Store) -> None:
    """The reading side never sees less than what was synced before it asked, nor anything else in its place."""
    synced = [0]
    failures: list[BaseException] = []

    def publish() -> None:
        try:
            for number in range(400):
                store.append(SEGMENT, b"%08d" % number * 10)
                store.sync(SEGMENT)
                synced[0] = (number + 1) * 80
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    buffer = bytearray(40_000)
    while thread.is_alive():
        at_least = synced[0]
        if at_least:
            count = store.read(SEGMENT, 0, memoryview(buffer))
            assert count >= at_least
            whole = b"".join(b"%08d" % number * 10 for number in range(count // 80 + 1))
            assert buffer[:count] == whole[:count]
    thread.join()
    assert failures == []
    assert store.size(SEGMENT) == 32_000
