"""The disk is full, or fails, while what persistmq 0.1.4 left is taken over."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from persistmq import PersistClient, StoreError
from persistmq.store import FileStore

from persistmq_core.spill_store import STORED
from tests.main_job.cache_files import stored_payloads
from tests.main_job.older_cache import numbered, payloads, write_database, write_pickles
from tests.main_job.receiver import Receiver, until
from tests.main_job.takeover_case import FullDisk, deliver, left_of_0_1_4
from tests.support.forked import in_child
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


@pytest.mark.parametrize(
    ("worker", "durability"), [("thread", "sync"), ("thread", "async"), ("thread", "spill"), ("process", "sync")]
)
def test_while_the_disk_is_full_new_messages_wait_behind_the_old_ones(
    make_client: Make,
    broker: Mosquitto,
    receiver: Receiver,
    cache: Path,
    cache_type: str,
    worker: str,
    durability: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if (cache_type, worker) == ("sqlite", "process"):
        pytest.skip("there is no such client")
    monkeypatch.setattr("persistmq.takeover._RETRY_MS_MIN", 50)
    monkeypatch.setattr("persistmq.older_caches.BATCH_MESSAGES", 10)
    write_database(cache, numbered(35))
    disk = FullDisk(cache_type, monkeypatch, 2)
    quick: dict[str, Any] = {"spill_after_ms": 50} if durability == "spill" else {}
    quick |= {"start_method": "fork"} if worker == "process" else {}
    client = make_client(worker=worker, durability=durability, **quick)
    status = client.get_status()
    assert status["accepted"] == 20
    assert "wait to be taken over: " in status["takeover_error"]
    for publish in (lambda: client.publish("a", "x"), lambda: client.publish_many([("a", "x")])):
        with pytest.raises(StoreError, match="wait to be taken over") as caught:
            publish()
        assert caught.value.errno == errno.ENOSPC
    client.connect_async("127.0.0.1", broker.port)
    assert receiver.wait(20) == payloads(numbered(20))  # what is in the journal is delivered meanwhile
    time.sleep(0.2)  # and "spill" is not tempted by a link that is healthy: the rest must go to storage
    assert client._ram is None or client._ram.state == STORED
    disk.left = 1 << 30
    assert until(lambda: client.get_status()["takeover_error"] == "")
    client.publish("a", "new")
    assert client.flush(10)
    assert receiver.wait(36) == [*payloads(numbered(35)), "new"]
    assert client.get_status()["delivered"] == 36
    assert until(lambda: left_of_0_1_4(cache) == [])


def test_a_client_that_is_killed_while_the_disk_is_full_goes_on_where_it_was(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path, cache_type: str
) -> None:
    write_database(cache, numbered(35))
    for good_appends in (0, 1, 2, 3, 2):

        def life(good_appends: int = good_appends) -> None:
            patch = pytest.MonkeyPatch()
            patch.setattr("persistmq.older_caches.BATCH_MESSAGES", 3)
            patch.setattr("persistmq.takeover._RETRY_MS_MIN", 1)
            FullDisk(cache_type, patch, good_appends)
            client = PersistClient("tester", cache_path=cache, cache_type=cache_type)
            client.connect_async("127.0.0.1", broker.port)
            time.sleep(0.3)
            os._exit(0)  # which is a kill: nothing is stopped

        assert in_child(life) == 0
    client = make_client()
    client.publish("a", "new")
    deliver(client, broker)
    assert receiver.wait(36) == [*payloads(numbered(35)), "new"]


@pytest.mark.parametrize("cache_type", ["flat"])
def test_what_failed_and_is_found_whole_after_a_kill_is_not_taken_again(
    make_client: Make, cache: Path, cache_type: str
) -> None:
    """The group's sync failed. Its frames stand in the file all the same, and nothing behind them says otherwise."""
    write_database(cache, numbered(35))

    def life() -> None:
        patch = pytest.MonkeyPatch()
        patch.setattr("persistmq.older_caches.BATCH_MESSAGES", 10)
        patch.setattr("persistmq.takeover._RETRY_MS_MIN", 1)
        appends: list[str] = []
        syncs: list[str] = []
        real_append, real_sync = FileStore.append, FileStore.sync

        def append(store: FileStore, name: str, view: Any) -> None:
            appends.append(name)
            if len(appends) == 3:
                os._exit(9)  # the batch was marked anew, and not written
            real_append(store, name, view)

        def sync(store: FileStore, name: str) -> None:
            syncs.append(name)
            if len(syncs) == 2:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real_sync(store, name)

        patch.setattr(FileStore, "append", append)
        patch.setattr(FileStore, "sync", sync)
        client = PersistClient("tester", cache_path=cache)
        client._thread.start()
        time.sleep(10)

    assert in_child(life) == 9
    assert stored_payloads(make_client()) == payloads(numbered(35))


def test_originals_that_may_not_be_moved_do_not_keep_it_from_starting(
    make_client: Make, broker: Mosquitto, receiver: Receiver, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pickles(cache, numbered(5))
    real = os.rename

    def rename(old: str, new: str) -> None:
        if ".pkl" in str(old):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), old)
        real(old, new)

    monkeypatch.setattr(os, "rename", rename)
    for delivers in (False, False, True, False):
        client = make_client(segment_bytes_max=1024)
        assert "cannot be moved" in client.get_status()["takeover_error"]
        if delivers:
            client.publish("a", bytes(1000))  # so that the file with them ends, and is removed
            deliver(client, broker)
            assert until(lambda: len(client._stores[0].list("journal")) == 1)  # noqa: B023 - called here
        client.stop()
    monkeypatch.setattr(os, "rename", real)
    client = make_client()
    assert client.get_status()["takeover_error"] == ""
    deliver(client, broker)
    assert receiver.wait(6)[:5] == payloads(numbered(5))
    assert len(receiver.arrivals) == 6
    assert until(lambda: left_of_0_1_4(cache) == [])
