"""Publish numbered messages; print each number when publish() has returned, and the figures in the end.

Options: port, count, first, name, qos, payload_bytes, drain_s, batch (publish so many between two steps),
flush_each (wait for all after so many), window, durability, topic, host, options of connect (user, password, ssl,
keepalive), trusts (the file of an authority), pause_ms (after each), counter_left_ms (until the counter of milliseconds
wraps, as a board's does).
"""

import gc
import json
import os
import sys
import time

import board

flash = board.mount()
options = board.options

from persistmq import PersistClient  # noqa: E402 - the import is part of what is measured

gc.collect()
after_import = gc.mem_alloc()

if "counter_left_ms" in options:
    import special  # only where it is needed: it costs memory

    special.let_the_counter_wrap_in(options["counter_left_ms"])
clients = {"reconnect_delay_ms_min": 20, "reconnect_delay_ms_max": 200, "connect_timeout_ms": 2000}
clients.update(options.get("client", {}))
client = PersistClient("board", cache_path="/flash/cache", **clients)
client.before_connect = None
if options.get("port"):
    connect = options.get("connect", {})
    if "trusts" in options:
        import special

        connect["ssl"] = special.trusting(client.mqtt_client, options["trusts"])
    client.connect_async(options.get("host", "127.0.0.1"), options["port"], **connect)

qos = options.get("qos", 2)
name = options.get("name", "a")
topic = options.get("topic", "t")
pad = options.get("payload_bytes", 100)
batch = options.get("batch", 1)
flush_each = options.get("flush_each", 1 << 30)
first = options.get("first", 0)
began = time.ticks_ms()
most = 0
for number in range(first, first + options.get("count", 0)):
    text = "%s-%d" % (name, number)
    try:
        client.publish(topic, text + " " * (pad - len(text)), qos)
    except (OSError, MemoryError) as failure:
        print("refused", text, type(failure).__name__, failure)
        if options.get("ends_when_refused"):
            break
        continue
    if not options.get("quiet"):
        print("accepted", text)
    if number % batch == 0:
        client.step()
    if number % flush_each == 0:
        client.flush(20)
    most = max(most, gc.mem_alloc())
    if options.get("pause_ms"):
        time.sleep_ms(options["pause_ms"])
drained = client.flush(options.get("drain_s", 20))
took_ms = time.ticks_diff(time.ticks_ms(), began)
status = client.get_status()
client.stop(options.get("stop_s", 1))
after = client.get_status()
gc.collect()
figures = {
    "drained": drained,
    "took_ms": took_ms,
    "erases": flash.erases,
    "programmed_bytes": flash.programmed_bytes,
    "heap_after_import": after_import,
    "heap_most": most,
    "heap_at_end": gc.mem_alloc(),
    "heap_free": gc.mem_free(),
    "journal_files": len(os.listdir("/flash/cache/journal")),
    "checkpoint_bytes": os.stat("/flash/cache/checkpoint.0")[6],
    "status": status,
    "after": after,
}
print("figures", json.dumps(figures))
sys.exit(0)
