"""How many bytes publish() and step() allocate for each message, one after the other. Options: port, count.

The collector is off meanwhile, so what is allocated is what the heap grows by.
"""

import gc
import json

import board

board.mount()

from persistmq import PersistClient  # noqa: E402

client = PersistClient("board", cache_path="/flash/cache", reconnect_delay_ms_min=5)
client.connect_async("127.0.0.1", board.options["port"])
count = board.options["count"]
payload = b"." * 100
WARM_UP = 20  # segments, buffers and names that are made once


def publish(qos):
    """One message: bytes in publish(), bytes in all steps until it is delivered, how many steps."""
    before = gc.mem_alloc()
    info = client.publish("sensors/volts", payload, qos)
    in_publish = gc.mem_alloc() - before
    in_steps = steps = delay_ms = 0
    while not info.is_published():
        before = gc.mem_alloc()
        delay_ms = client.step(delay_ms)
        in_steps += gc.mem_alloc() - before
        steps += 1
    return in_publish, in_steps, steps


def idle():
    before = gc.mem_alloc()
    client.step()
    return gc.mem_alloc() - before


figures = {}
for qos in (0, 1, 2):
    for _ in range(WARM_UP):
        publish(qos)
    sums = [0, 0, 0]
    for _ in range(count):
        gc.collect()
        gc.disable()
        for index, number in enumerate(publish(qos)):
            sums[index] += number
        gc.enable()
    figures["publish %d" % qos], figures["step %d" % qos], figures["steps %d" % qos] = [total / count for total in sums]
client.flush(5)
gc.collect()
gc.disable()
figures["idle"] = sum([idle() for _ in range(count)]) / count
print("figures", json.dumps(figures))
