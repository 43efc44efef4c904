"""The store on littlefs keeps ports/PORTING.md."""

import pytest

from tests.support.write_list_store import PowerCut

from .flash import Flash, blank
from .store import LittleFsStore

NAME = "journal/1.seg"
ENOENT, ENOSPC = 2, 28


def make_store(blocks: int = 32) -> LittleFsStore:
    return LittleFsStore(Flash(blank(blocks)))


def content(store: LittleFsStore, name: str = NAME) -> bytes:
    buffer = bytearray(1 << 16)
    return bytes(buffer[: store.read(name, 0, memoryview(buffer))])


def reboot(store: LittleFsStore) -> LittleFsStore:
    image = bytearray(store.flash.image)
    store.abandon()
    return LittleFsStore(Flash(image))


def test_append_creates_the_file_and_sync_makes_it_last() -> None:
    store = make_store()
    store.append(NAME, b"one")
    store.sync(NAME)
    store.append(NAME, b"two")
    assert store.size(NAME) == 6
    assert store.list("journal") == [NAME]
    store = reboot(store)
    assert content(store) == b"one"
    store.append(NAME, b"2")
    store.sync(NAME)
    assert content(store) == b"one2"


def test_another_file_can_be_appended_to_and_read_meanwhile() -> None:
    store = make_store()
    store.append(NAME, b"one")
    store.append("journal/2.seg", b"two")
    store.sync("journal/2.seg")
    assert content(store) == b"one"
    assert content(store, "journal/2.seg") == b"two"
    buffer = bytearray(2)
    assert store.read("journal/2.seg", 1, memoryview(buffer)) == 2
    assert bytes(buffer) == b"wo"
    assert store.read("journal/2.seg", 3, memoryview(buffer)) == 0


def test_replace_is_whole_or_not_at_all() -> None:
    for size in (100, 5000):
        for cut_at in range(1, 100):
            store = make_store()
            store.replace("checkpoint.0", b"a" * size)
            store.flash.operations = 0
            store.flash.cut_at, store.flash.cut_is_half = cut_at, cut_at % 2 == 0
            try:
                store.replace("checkpoint.0", b"b" * size)
            except PowerCut:
                assert content(reboot(store), "checkpoint.0") in (b"a" * size, b"b" * size)
            else:
                assert cut_at > 1
                assert content(reboot(store), "checkpoint.0") == b"b" * size
                break


def test_move_remove_and_what_is_not_there() -> None:
    store = make_store()
    store.append(NAME, b"one")
    store.sync(NAME)
    store.move(NAME, "quarantine/x")
    assert content(store, "quarantine/x") == b"one"
    assert store.list("journal") == []
    assert store.list("dead") == []
    store.remove("quarantine/x")
    calls = (
        lambda: store.size(NAME),
        lambda: store.read(NAME, 0, memoryview(bytearray(1))),
        lambda: store.remove(NAME),
        lambda: store.move(NAME, "x"),
    )
    for call in calls:
        with pytest.raises(OSError) as raised:
            call()
        assert raised.value.args[0] == ENOENT


def test_a_full_flash_says_so_and_keeps_what_was_synced() -> None:
    store = make_store(8)
    store.append(NAME, b"x" * 5000)
    store.sync(NAME)
    with pytest.raises(OSError) as raised:
        for _ in range(100):
            store.append(NAME, b"y" * 5000)
            store.sync(NAME)
    assert raised.value.args[0] == ENOSPC
    assert store.free_bytes() < 16384
    assert content(reboot(store))[:5000] == b"x" * 5000
