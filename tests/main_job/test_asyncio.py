"""publish_async() and infos that are awaited, on a real broker."""

import asyncio
import errno
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from persistmq import ClientStopped, MessageDropped, PersistClient, PublishInfo, StoreError

from persistmq_core.dead_letters import CONNECTION_DROPPED
from tests.main_job.cache_files import before_each_sync
from tests.main_job.receiver import Receiver, until
from tests.main_job.test_publish_many import CountedSyncs
from tests.support.mosquitto import Mosquitto

BOTH_CACHE_TYPES = True

Make = Callable[..., PersistClient]


def nothing_is_left_in(client: PersistClient) -> bool:
    loops = client._loops._loops.values()
    return not any(loop.expected(what) for loop in loops for what in range(3)) and not client._commits._errors


async def publish_all(client: PersistClient, count: int) -> list[PublishInfo]:
    return await asyncio.gather(*(client.publish_async("a", number) for number in range(count)))


@pytest.mark.parametrize("durability", ["sync", "async", "spill"])
def test_a_thousand_tasks_at_once_share_a_few_syncs_and_arrive_once_and_in_order(
    make_client: Make, broker: Mosquitto, receiver: Receiver, durability: str
) -> None:
    client = make_client(durability=durability)
    syncs = CountedSyncs(client, delay_s=0.002)
    threads: set[str] = set()

    async def work() -> None:
        infos = await publish_all(client, 1000)
        threads.update(thread.name for thread in threading.enumerate())
        if durability != "async":
            assert all(info.is_stored() for info in infos)
        assert all(await asyncio.gather(*(info.stored() for info in infos)))
        assert syncs.count <= 5
        client.connect_async("127.0.0.1", broker.port)
        assert all(await asyncio.gather(*infos))
        assert all(info.is_published() for info in infos)

    before = threading.active_count()
    asyncio.run(work())
    assert before < len(threads) <= before + 2, threads  # the client's own, and its writer
    assert receiver.wait(1000) == [str(number) for number in range(1000)]
    assert nothing_is_left_in(client)


def test_the_loop_goes_on_while_the_disk_is_slow(make_client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client()
    disk_is_ready = threading.Event()
    before_each_sync(client, monkeypatch, lambda: disk_is_ready.wait(10))

    async def work() -> None:
        publishing = asyncio.ensure_future(client.publish_async("a", "b"))
        while not client._commits._leader:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not publishing.done()
        disk_is_ready.set()
        assert (await publishing).is_stored()

    asyncio.run(work())


def test_published_gives_up_at_its_timeout_and_when_the_client_stops(make_client: Make) -> None:
    client = make_client()

    async def work() -> None:
        info = await client.publish_async("a", "b")
        assert await info.published(timeout=0) is False
        assert await info.published(timeout=0.05) is False
        assert await client.flush_async(timeout=0.05) is False
        waiting = [asyncio.ensure_future(each) for each in (info.published(), client.flush_async())]
        await asyncio.sleep(0)
        await asyncio.to_thread(client.stop)
        assert [await each for each in waiting] == [False, False]
        assert await info.published() is False
        with pytest.raises(ClientStopped):
            await client.publish_async("a", "c")

    asyncio.run(work())
    assert nothing_is_left_in(client)


def test_flush_async_waits_for_what_was_accepted(make_client: Make, broker: Mosquitto, receiver: Receiver) -> None:
    client = make_client()

    async def work() -> None:
        await publish_all(client, 100)
        client.connect_async("127.0.0.1", broker.port)
        assert await client.flush_async(10)
        assert client.get_status()["waiting"] == 0
        assert await client.flush_async(0)

    asyncio.run(work())
    assert len(receiver.wait(100)) == 100


def test_async_with_stops_the_client(make_client: Make, broker: Mosquitto) -> None:
    async def work() -> None:
        async with make_client() as client:
            client.connect_async("127.0.0.1", broker.port)
            assert await (await client.publish_async("a", "b"))
        with pytest.raises(ClientStopped):
            await client.publish_async("a", "c")

    asyncio.run(work())
    make_client()  # the cache is free


def _refuse(client: PersistClient, seq: int) -> None:
    """As the engine's thread does for what the broker turned down."""
    client._engine.delivery.refuse(seq, CONNECTION_DROPPED)


def test_a_message_that_will_not_be_delivered_raises_in_all_who_wait_and_in_who_asks_later(
    make_client: Make, broker: Mosquitto
) -> None:
    client = make_client()

    async def work() -> None:
        info = await client.publish_async("a", "b")
        waiting = [asyncio.ensure_future(info.published()) for _ in range(3)]
        await asyncio.sleep(0)
        _refuse(client, info.seq)
        client.connect_async("127.0.0.1", broker.port)
        for each in waiting:
            with pytest.raises(MessageDropped) as caught:
                await each
            assert (caught.value.seq, caught.value.account) == (info.seq, "refused")
        with pytest.raises(MessageDropped):
            await info

    asyncio.run(work())
    assert nothing_is_left_in(client)


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space")


def test_a_disk_that_fails_raises_in_each_task_and_works_again_when_it_does(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()

    async def work() -> None:
        await client.publish_async("a", "before")
        with monkeypatch.context() as broken:
            broken.setattr(client._stores[0], "append", _no_space)
            outcomes = await asyncio.gather(
                *(client.publish_async("a", number) for number in range(50)), return_exceptions=True
            )
            assert {type(outcome) for outcome in outcomes} == {StoreError}
            assert {outcome.errno for outcome in outcomes if isinstance(outcome, StoreError)} == {errno.ENOSPC}
        assert (await client.publish_async("a", "after")).is_stored()

    asyncio.run(work())
    assert client.get_status()["accepted"] == 2
    assert nothing_is_left_in(client)


def test_in_async_a_full_staging_memory_is_waited_for_and_raises_if_the_disk_fails(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(durability="async")
    payload = bytes(10_000)

    async def work() -> None:
        infos = [await client.publish_async("a", payload) for _ in range(100)]  # four times what may be staged
        assert all([await info.stored() for info in infos])
        with monkeypatch.context() as broken:
            broken.setattr(client._stores[0], "append", _no_space)
            with pytest.raises(StoreError, match="staging memory is full") as full:
                for _ in range(100):
                    infos.append(await client.publish_async("a", payload))
            assert full.value.errno == errno.ENOSPC
            assert await infos[-1].stored(timeout=0.05) is False
        assert await infos[-1].stored()
        assert client.get_status()["accepted"] == len(infos)

    asyncio.run(work())
    assert nothing_is_left_in(client)


def test_a_task_that_is_cancelled_takes_no_message_back_and_leaves_nothing_behind(
    make_client: Make, broker: Mosquitto, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    disk_is_ready = threading.Event()
    real = client._stores[0].sync

    def slow(name: str) -> None:
        disk_is_ready.wait(10)
        real(name)

    async def work() -> None:
        monkeypatch.setattr(client._stores[0], "sync", slow)
        tasks = [asyncio.ensure_future(client.publish_async("a", number)) for number in range(20)]
        while not client._commits._leader:
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks[::2])
        disk_is_ready.set()
        infos = await asyncio.gather(*tasks[1::2])
        waiting = [asyncio.ensure_future(info.published()) for info in infos]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
        assert nothing_is_left_in(client)
        monkeypatch.setattr(client._stores[0], "append", _no_space)
        tasks = [asyncio.ensure_future(client.publish_async("a", "refused by the disk")) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    asyncio.run(work())  # and this loop is closed before the disk has refused them all, or not
    assert until(lambda: client.get_status()["staged"] == 0)
    monkeypatch.undo()
    client.connect_async("127.0.0.1", broker.port)
    assert client.flush(10)
    assert receiver.wait(20) == [str(number) for number in range(20)]
    assert until(lambda: nothing_is_left_in(client))


def test_several_loops_and_threads_publish_at_the_same_time(
    make_client: Make, broker: Mosquitto, receiver: Receiver
) -> None:
    client = make_client()
    client.connect_async("127.0.0.1", broker.port)
    failures: list[BaseException] = []

    async def chain(name: str) -> None:
        for number in range(25):
            await (await client.publish_async(name, number))

    async def chains(loop: int) -> None:
        await asyncio.gather(*(chain(f"{loop}/{task}") for task in range(4)))

    def in_a_loop(loop: int) -> None:
        try:
            asyncio.run(chains(loop))
        except BaseException as failure:  # noqa: BLE001 - it is the main thread's to raise
            failures.append(failure)

    def without_a_loop() -> None:
        for number in range(100):
            client.publish("thread", number)

    threads = [threading.Thread(target=in_a_loop, args=(loop,)) for loop in range(4)]
    threads.append(threading.Thread(target=without_a_loop))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert client.flush(10)
    assert len(receiver.wait(500)) == 500
    for topic in {arrival.topic for arrival in receiver.arrivals}:
        came = [int(arrival.payload) for arrival in receiver.arrivals if arrival.topic == topic]
        assert came == list(range(100 if topic == "thread" else 25))
    assert nothing_is_left_in(client)
    client.publish("thread", "one more").wait_for_publish(10)
    assert until(lambda: not client._loops._loops)  # closed loops are forgotten


def test_a_group_that_a_thread_writes_wakes_the_tasks_whose_messages_are_in_it(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    staged = threading.Event()
    real = client._stores[0].append

    def behind_the_task(*arguments: Any) -> None:
        staged.wait(10)
        real(*arguments)

    monkeypatch.setattr(client._stores[0], "append", behind_the_task)
    thread = threading.Thread(target=client.publish, args=("a", "of a thread"))

    async def work() -> None:
        thread.start()
        assert await asyncio.to_thread(until, lambda: client._commits._leader)
        asyncio.get_running_loop().call_later(0.05, staged.set)
        began = time.monotonic()
        assert (await client.publish_async("a", "of a task")).is_stored()
        assert time.monotonic() - began < 5

    asyncio.run(work())
    thread.join(5)


@pytest.mark.parametrize(
    ("wrong", "error"), [(("a/#", 1, 2), ValueError), (("a", [1], 2), TypeError), (("a", 1, 3), ValueError)]
)
def test_what_cannot_be_published_raises_and_writes_nothing(
    make_client: Make, wrong: tuple[Any, ...], error: type[Exception]
) -> None:
    client = make_client()
    with pytest.raises(error):
        asyncio.run(client.publish_async(*wrong))
    assert (client.get_status()["accepted"], client.get_status()["staged"]) == (0, 0)


def test_in_a_callback_of_the_client_asyncio_calls_raise_instead_of_waiting_for_ever(
    make_client: Make, broker: Mosquitto
) -> None:
    errors: list[Exception] = []

    def publish(who: PersistClient, _present: bool) -> None:
        try:
            asyncio.run(who.publish_async("a", "b"))
        except RuntimeError as error:
            errors.append(error)

    client = make_client()
    client.on_connection_up = publish
    client.connect_async("127.0.0.1", broker.port)
    assert until(lambda: errors)
    assert "in a callback" in str(errors[0])
