"""QoS 1 as fast as it goes, by PersistMQ (every message on littlefs) or by umqtt.simple's own publish.

Options: port, count, payload_bytes, umqtt (its own publish), nodelay (for it), batch (messages to a sync), client.
"""

import gc
import json
import time

import board
import vfs

BLOCK_BYTES = 4096
# On storage, so that there is always something to send: else the broker's TCP keeps answers back until ours, which has
# nothing to say, acknowledges the ones before, 40 ms later.
BATCHES = 3


class RamFlash:
    """A block device in RAM: the emulation of a flash in Python and in a file would be half of what is measured."""

    def __init__(self, blocks):
        self.erases = 0
        self._all = memoryview(bytearray(blocks * BLOCK_BYTES))

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK_BYTES + offset
        buffer[:] = self._all[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = block * BLOCK_BYTES + offset
        self._all[at : at + len(buffer)] = buffer

    def ioctl(self, operation, argument):
        if operation == 4:
            return len(self._all) // BLOCK_BYTES
        if operation == 5:
            return BLOCK_BYTES
        if operation == 6:
            self.erases += 1
        return 0


options = board.options
count = options["count"]
payload = b"x" * options.get("payload_bytes", 100)
figures = {}


def by_umqtt():
    from umqtt.simple import MQTTClient

    client = MQTTClient("peer", "127.0.0.1", options["port"])
    client.connect()
    if options.get("nodelay"):
        client.sock.setsockopt(6, 1, 1)
    began = time.ticks_us()
    for _ in range(count):
        client.publish(b"t", payload, False, 1)
    figures["us"] = time.ticks_diff(time.ticks_us(), began)
    client.disconnect()


def by_persistmq():
    flash = RamFlash(128)
    vfs.VfsLfs2.mkfs(flash)
    vfs.mount(vfs.VfsLfs2(flash), "/flash")
    from persistmq import PersistClient

    client = PersistClient("board", cache_path="/flash/cache", **options["client"])
    client.connect_async("127.0.0.1", options["port"])
    while not client.get_status()["connected"]:
        client.step(10)
    gc.collect()
    batch = options["batch"]
    began = time.ticks_us()
    messages = [("t", payload)] * batch
    waiting = []
    for _ in range(count // batch):
        waiting.append(client.publish_many(messages, 1)[-1])
        delay_ms = client.step()
        while len(waiting) >= BATCHES and not waiting[0].is_published():
            delay_ms = client.step(delay_ms)
        if len(waiting) >= BATCHES:
            waiting.pop(0)
    published = time.ticks_diff(time.ticks_us(), began)
    assert client.flush(60)
    figures["us"] = time.ticks_diff(time.ticks_us(), began)
    figures["published_us"] = published
    figures["erases"] = flash.erases
    status = client.get_status()
    assert status["delivered"] == status["accepted"] == count // batch * batch and status["connections"] == 1, status
    client.stop()


(by_umqtt if options.get("umqtt") else by_persistmq)()
figures["per_s"] = count * 1000000 // figures["us"]
print("figures", json.dumps(figures))
