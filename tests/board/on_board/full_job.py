"""Publish until the flash is full, and some more; then deliver, then publish again. Options: port, payload_bytes."""

import json
import os

import board

board.mount()

from persistmq import PersistClient, StoreError  # noqa: E402

client = PersistClient("board", cache_path="/flash/cache", reconnect_delay_ms_min=5, reconnect_delay_ms_max=50)
payload = "." * board.options["payload_bytes"]
stored = refused = 0
while refused < 60:
    try:
        client.publish("t", payload)
        stored += 1
    except StoreError:
        refused += 1
status = client.get_status()
figures = {"stored": stored, "waiting": status["waiting"], "staged": status["staged"]}
figures["files"] = len(os.listdir("/flash/cache/journal"))
client.connect_async("127.0.0.1", board.options["port"])
figures["drained"] = client.flush(15)
figures["then"] = client.get_status()
if not figures["drained"]:
    raise RuntimeError(figures)
for _ in range(50):
    client.publish("t", payload)
    client.step()
figures["drained_again"] = client.flush(10)
client.stop()
figures["after"] = client.get_status()
print("figures", json.dumps(figures))
