"""The store on files: how it keeps its promises, and what it does about a directory that others have been in.

The promises themselves are in test_stores.py.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from persistmq import store as store_module
from persistmq.store import FileStore

from tests.support.store_files import read_all

SEGMENT = "journal/0000000000000001.seg"


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "cache")


def test_an_append_goes_on_after_a_short_write(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, view: whole_write(fd, bytes(view[:3])))
    store.append(SEGMENT, b"0123456789")
    assert read_all(store, SEGMENT) == b"0123456789"


def record_syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    synced: list[str] = []

    def recorder(real: Callable[[int], None]) -> Callable[[int], None]:
        def record(fd: int) -> None:
            synced.append(os.path.basename(os.readlink("/proc/self/fd/%d" % fd)))
            real(fd)

        return record

    monkeypatch.setattr(store_module, "_sync_bytes", recorder(os.fdatasync))
    monkeypatch.setattr(os, "fsync", recorder(os.fsync))
    return synced


def test_the_first_sync_makes_the_name_durable_too(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = record_syncs(monkeypatch)
    store.append(SEGMENT, b"one")
    assert synced == []
    store.sync(SEGMENT)
    assert synced == [os.path.basename(SEGMENT), "journal"]
    store.append(SEGMENT, b"two")
    store.sync(SEGMENT)
    assert synced[2:] == [os.path.basename(SEGMENT)]


def test_a_file_that_is_not_the_active_one_can_be_synced(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(SEGMENT, b"one")
    store.append("journal/2.seg", b"two")
    synced = record_syncs(monkeypatch)
    store.sync(SEGMENT)
    assert synced == [os.path.basename(SEGMENT), "journal"]
    with pytest.raises(FileNotFoundError):
        store.sync("journal/3.seg")


def test_replace_makes_the_view_the_whole_content(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = record_syncs(monkeypatch)
    store.replace("checkpoint.0", b"a long content")
    assert synced == ["checkpoint.0", os.path.basename(store.path)]
    store.replace("checkpoint.0", memoryview(b"short"))
    assert synced[2:] == ["checkpoint.0"]
    assert read_all(store, "checkpoint.0") == b"short"


def test_a_sync_that_failed_is_told_and_not_tried_again(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    store.append(SEGMENT, b"one")
    monkeypatch.setattr(store_module, "_sync_bytes", fail)
    with pytest.raises(OSError, match="input/output error"):
        store.sync(SEGMENT)
    with pytest.raises(OSError, match="input/output error"):
        store.replace("checkpoint.0", b"content")


def test_list_names_regular_files_only(store: FileStore) -> None:
    store.append("journal/1.seg", b"")
    store.append("journal/2.seg", b"x")
    folder = Path(store.path, "journal")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("/nowhere")
    os.mkfifo(folder / "fifo")
    assert sorted(store.list("journal")) == ["journal/1.seg", "journal/2.seg"]
    assert store.list("absent") == []


def test_a_fifo_under_our_name_is_an_error_and_not_a_hang(store: FileStore) -> None:
    os.mkfifo(os.path.join(store.path, SEGMENT))
    with pytest.raises(OSError):
        store.append(SEGMENT, b"one")
    with pytest.raises(OSError):
        store.read(SEGMENT, 0, memoryview(bytearray(1)))


def test_what_stands_in_the_way_goes_to_quarantine(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    (path / "checkpoint.0" / "inside").mkdir(parents=True)
    (path / "checkpoint.1").symlink_to("/nowhere")
    for name in ("journal", "dead", "quarantine"):
        (path / name).write_text(name)
    store = FileStore(path)
    store.replace("checkpoint.0", b"0")
    store.replace("checkpoint.1", b"1")
    store.append(SEGMENT, b"one")
    kept = sorted(os.listdir(path / "quarantine"))
    assert kept == ["checkpoint.0.0", "checkpoint.1.0", "dead.0", "journal.0", "quarantine.0"]
    assert (path / "quarantine" / "journal.0").read_text() == "journal"
    assert (path / "quarantine" / "checkpoint.0.0" / "inside").is_dir()


def test_a_folder_named_like_a_segment_goes_to_quarantine_under_a_free_name(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    (path / SEGMENT).mkdir(parents=True)
    (path / "quarantine").mkdir()
    (path / "quarantine" / "0000000000000001.seg.0").write_text("earlier")
    FileStore(path).append(SEGMENT, b"one")
    assert (path / "quarantine" / "0000000000000001.seg.1").is_dir()
    assert (path / "quarantine" / "0000000000000001.seg.0").read_text() == "earlier"
