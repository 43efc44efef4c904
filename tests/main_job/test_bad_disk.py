"""A cache that cannot be used, or a disk that fills up: an error with its number, and what was stored stays."""

import errno
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from persistmq import PersistClient, StoreError

from tests.main_job.cache_files import nothing_changes_in
from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


class SmallDisk:
    """A disk of some 200 kB: a file system of its own where that is allowed, else writes that fail like on one.

    For a database it has 4 MB more: SqliteStore leaves room for the removing of messages.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, cache_type: str) -> None:
        self.folder = folder
        folder.mkdir()
        self._more_kb = 0 if cache_type == "flat" else 4000
        self._room = 200_000
        self.is_real = os.geteuid() == 0 and self._mount("size=%dk" % (self._more_kb + 200)) == 0
        if cache_type != "flat" and not self.is_real:
            pytest.skip("SQLite writes past what can be replaced here: only root can make a small disk for it")
        if not self.is_real:
            self._write = os.write
            monkeypatch.setattr(os, "write", self._write_some)

    def make_room(self) -> None:
        self._room += 1_000_000
        if self.is_real:
            assert self._mount("remount,size=%dk" % (self._more_kb + 2000)) == 0

    def _mount(self, options: str) -> int:
        command = ["mount", "-t", "tmpfs", "-o", options, "persistmq-test", str(self.folder)]
        return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode

    def _write_some(self, descriptor: int, content: bytes) -> int:
        if self._room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = self._write(descriptor, memoryview(content)[: self._room])
        self._room -= count
        return count

    def close(self) -> None:
        if self.is_real:
            subprocess.run(["umount", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_type: str) -> Iterator[SmallDisk]:
    made = SmallDisk(tmp_path / "disk", monkeypatch, cache_type)
    yield made
    made.close()


@pytest.fixture
def make(disk: SmallDisk, make_client: Make) -> Make:
    # After the disk, so that the clients are stopped before it goes.
    return make_client


def fill(client: PersistClient, payload_bytes: int = 1000) -> list[str]:
    """Publish until the disk is full; what was accepted."""
    accepted: list[str] = []
    while True:
        payload = ("%d " % len(accepted)).ljust(payload_bytes, "x")
        try:
            client.publish("a", payload, qos=1 + len(accepted) % 2)
        except StoreError as error:
            assert error.errno == errno.ENOSPC
            assert "No space left on device" in str(error)
            return accepted
        accepted.append(payload)


def test_on_a_full_disk_publish_raises_what_was_stored_stays_and_with_room_it_goes_on(
    disk: SmallDisk, make: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make(cache_path=disk.folder / "cache", segment_bytes_max=16384)
    accepted = fill(client)
    assert len(accepted) > 100
    for _ in range(3):
        with pytest.raises(StoreError):
            client.publish("a", bytes(5000))
    status = client.get_status()
    assert status["accepted"] == status["waiting"] == len(accepted)
    assert "No space left" in status["store_error"]
    client.stop()

    client = make(cache_path=disk.folder / "cache", segment_bytes_max=16384)
    assert client.get_status()["waiting"] == len(accepted)
    disk.make_room()
    client.publish("a", "after")
    assert client.get_status()["store_error"] == ""
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert sorted(receiver.wait(len(accepted) + 1)) == sorted([*accepted, "after"])


def test_a_disk_that_is_full_of_our_own_messages_empties_itself_when_the_broker_comes(
    disk: SmallDisk, make: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make(cache_path=disk.folder / "cache", segment_bytes_max=16384)
    accepted = fill(client)
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(15), client.get_status()
    assert sorted(receiver.wait(len(accepted))) == sorted(accepted)
    if disk.is_real:  # the other one counts what is written, and never gets it back
        assert until(lambda: publishes(client))


def publishes(client: PersistClient) -> bool:
    try:
        return client.publish("a", "after").is_stored()
    except StoreError:
        return False


def test_in_async_a_disk_that_fills_up_keeps_the_messages_in_ram_and_says_so(
    disk: SmallDisk, make: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make(cache_path=disk.folder / "cache", segment_bytes_max=16384, durability="async")
    accepted = 0
    with pytest.raises(StoreError, match="staging memory is full") as full:  # RAM is bounded too
        while True:
            accepted += client.publish("a", "%d " % accepted + "x" * 1000).rc == 0
    assert full.value.errno == errno.ENOSPC
    assert str(full.value).count("No space left") == str(full.value).count("Errno") == 1
    assert accepted > 200
    assert "No space left" in client.get_status()["store_error"]
    disk.make_room()
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(15), client.get_status()
    assert [int(payload.split()[0]) for payload in receiver.wait(accepted)] == list(range(accepted))
    assert client.get_status()["store_error"] == ""


def test_who_waits_for_storage_that_fails_until_the_client_is_stopped_is_told(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(durability="async")
    assert client.publish("t", "stored").wait_for_stored(10)

    def is_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(client._stores[0], "append", is_full)
    info = client.publish("t", "not stored")
    told: list[bool] = []
    waiter = threading.Thread(target=lambda: told.append(info.wait_for_stored()), daemon=True)
    waiter.start()
    assert until(lambda: client.get_status()["store_error"])
    client.stop(timeout=0.5)
    waiter.join(10)
    assert told == [False]
    assert info.wait_for_stored() is False


def test_a_cache_path_that_is_a_file_or_below_one_is_refused_by_name(make_client: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    for path in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(NotADirectoryError, match="file"):
            make_client(cache_path=path)
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_a_cache_that_may_not_be_written_to_is_refused_and_works_when_it_may_be(
    make_client: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_client().stop()
    with monkeypatch.context() as patch:
        forbid_writing_below(tmp_path, patch)
        with nothing_changes_in(tmp_path / "cache"), pytest.raises(PermissionError, match="cache"):
            make_client()
    make_client().publish("a", "b")


@pytest.mark.parametrize("cache_type", ["flat"])  # a database is open all the time
def test_a_journal_that_may_not_be_written_to_any_more_makes_publish_raise_with_the_number(
    make_client: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    with monkeypatch.context() as patch:
        forbid_writing_below(tmp_path, patch)
        with nothing_changes_in(tmp_path / "cache"), pytest.raises(StoreError, match="Permission denied") as caught:
            client.publish("a", "b")
        assert caught.value.errno == errno.EACCES
    client.publish("a", "c")
    assert client.get_status()["accepted"] == 1


def forbid_writing_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As permissions would, which root does not have to obey."""
    real_open = os.open

    def checked_open(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if str(path).startswith(str(folder)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real_open(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", checked_open)
