"""A cache with bounds on a board, and messages that expire. Options: port."""

import time

import board

board.mount()

from persistmq import CacheFull, PersistClient  # noqa: E402

payload = "." * 90
client = PersistClient("full", cache_path="/flash/rejecting", window=4, window_qos2=4, cache_messages_max=16)
for number in range(16):
    client.publish("t", "a%d" % number)
try:
    client.publish("t", "refused")
    raise AssertionError("taken")
except CacheFull as full:
    print("refused", full)
client.connect_async("127.0.0.1", board.options["port"])
assert client.flush(10)
client.publish("t", "a16")
assert client.flush(10)
client.stop()

evicted = []
client = PersistClient(
    "full",
    cache_path="/flash/evicting",
    window=4,
    window_qos2=4,
    cache_bytes_max=16384,
    on_full="drop_oldest",
    expires_after=0.3,
)
client.on_dropped = lambda client, seq, account, reason: evicted.append((account, seq))
for number in range(300):
    client.publish("t", "b%d" % number + payload, expires_after=float("inf"))
    assert client.get_status()["cache_bytes"] <= 16384
status = client.get_status()
print("evicted", status["evicted"], "waiting", status["waiting"])
assert evicted == [("evicted", seq) for seq in range(1, status["evicted"] + 1)]
client.publish("t", "too old")
time.sleep_ms(1100)
client.publish("t", "b300", expires_after=60)
client.connect_async("127.0.0.1", board.options["port"])
assert client.flush(20)
status = client.get_status()
assert (status["expired"], status["waiting"]) == (1, 0), status
assert evicted[-1][0] == "expired"
client.stop()

client = PersistClient("full", cache_path="/flash/blocking", window=4, cache_messages_max=16, on_full="block")
client.connect_async("127.0.0.1", board.options["port"])
for number in range(100):
    client.publish("t", "c%d" % number)
assert client.flush(10)
client.stop()
print("done")
