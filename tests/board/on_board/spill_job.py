"""durability="spill" on a board. Options: port, how, count, payload_bytes, first, client.

Publishes until messages wait in RAM, then ``count`` more; says what that has written. Then, with ``how``: "stop": it
stops. "sleep": the same with messages that wait, as before a deep sleep. "cut": it is cut with messages that wait.
"frozen": says so, publishes ten more when it gets a line, has them written (``wants_it``: at once), and is cut.
"""

import gc
import json
import sys
import time

import board

flash = board.mount()
options = board.options

from persistmq import PersistClient  # noqa: E402 - the flash comes first

clients = {"reconnect_delay_ms_min": 20, "reconnect_delay_ms_max": 200, "connect_timeout_ms": 2000}
clients.update({"durability": "spill", "spill_after_ms": 100})
clients.update(options.get("client", {}))
client = PersistClient("board", cache_path="/flash/cache", **clients)
first_status = client.get_status()
client.connect_async("127.0.0.1", options["port"])
pad = options.get("payload_bytes", 100)
numbers = iter(range(options.get("first", 0), 1 << 30))


def publish():
    text = "m-%d" % next(numbers)
    info = client.publish("t", text + " " * (pad - len(text)), 2)
    print("accepted", text)
    return info


def written():
    return [flash.erases, flash.programmed_bytes]


def step_for(ms):
    end = time.ticks_add(time.ticks_ms(), ms)
    while time.ticks_diff(end, time.ticks_ms()) > 0:
        client.step(5)


while publish().is_stored():
    step_for(20)
assert client.flush(10)
before = written()
most = 0
for _ in range(options.get("count", 0)):
    publish()
    client.step()
    while client.get_status()["waiting"] > 8:
        client.step(5)
    most = max(most, gc.mem_alloc())
assert client.flush(20)
after = written()
figures = {
    "erases": after[0] - before[0],
    "programmed_bytes": after[1] - before[1],
    "first_status": first_status,
    "heap_most": most,
}
how = options.get("how", "stop")
if how == "frozen":
    print("in RAM")
    sys.stdin.readline()  # the broker is frozen meanwhile
    infos = [publish() for _ in range(10)]
    client.step(5)
    figures["waiting"] = client.get_status()["in_ram"]
    assert not infos[-1].is_stored()
    if options.get("wants_it"):
        assert infos[-1].wait_for_stored()
    while not infos[-1].is_stored():
        client.step(5)
    assert not infos[-1].is_published()
    figures["spilled"] = [written()[0] - after[0], written()[1] - after[1]]
    print("figures", json.dumps(figures))
    board.cut()
if how == "cut":
    for _ in range(5):
        publish()  # without a step: they wait in RAM
    print("figures", json.dumps(figures))
    board.cut()
if how == "sleep":
    for _ in range(5):
        publish()
    client.stop(0)  # as before a deep sleep; no answer came for these
    figures["status"] = client.get_status()
    print("figures", json.dumps(figures))
    board.cut()
client.stop()
figures["status"] = client.get_status()
gc.collect()
figures["heap_at_end"] = gc.mem_alloc()
print("figures", json.dumps(figures))
