"""How many bytes publish() and step() allocate for each message, one after the other. Options: port, count, client.

The collector is off meanwhile, so what is allocated is what the heap grows by.
"""

import gc
import json

import board

board.mount()

from persistmq import PersistClient  # noqa: E402

client = PersistClient("board", cache_path="/flash/cache", reconnect_delay_ms_min=5, **board.options["client"])
client.connect_async("127.0.0.1", board.options["port"])
count = board.options["count"]
WARM_UP = 20  # segments, buffers and names that are made once


def publish(number, topic, payload, qos, expires_after):
    """One message: bytes in publish(), bytes in all steps until it is delivered, how many steps."""
    before = gc.mem_alloc()
    if expires_after:
        info = client.publish(topic, payload, qos, expires_after=expires_after)
    else:
        info = client.publish(topic, payload, qos)
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


def measure(topics, payloads, qos, expires_after=None):
    """Of publish() and of the steps: the median and the mean of many messages; and how many steps they took."""
    gc.collect()
    rows = []
    for number in range(WARM_UP + count):
        gc.collect()
        gc.disable()
        row = publish(number, topics[number % len(topics)], payloads[number % len(payloads)], qos, expires_after)
        gc.enable()
        if number >= WARM_UP:
            rows.append(row)
    found = {}
    for index, name in enumerate(("publish", "step", "steps")):
        column = sorted([row[index] for row in rows])
        found[name] = column[count // 2]
        found["mean " + name] = sum(column) / count
    return found


ONE = ("sensors/volts",)
PLAIN = (b"." * 100,)
figures = {}
for qos in (0, 1, 2):
    figures["QoS %d" % qos] = measure(ONE, PLAIN, qos)
figures["four topics"] = measure(["sensors/%d" % number for number in range(4)], PLAIN, 2)
figures["lengths that vary"] = measure(ONE, [b"." * (90 + number) for number in range(20)], 2)
figures["text"] = measure(ONE, ["." * 100], 2)
figures["bytearray"] = measure(ONE, [bytearray(100)], 2)
figures["expires"] = measure(ONE, PLAIN, 2, 60)
client.flush(5)
gc.collect()
gc.disable()
figures["idle"] = sum([idle() for _ in range(count)]) / count
figures["a hundred bytes"] = 0
kept = before = after = None
before = gc.mem_alloc()
kept = bytearray(100)
after = gc.mem_alloc()
figures["a hundred bytes"] = after - before
print("figures", json.dumps(figures))
