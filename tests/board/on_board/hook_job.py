"""before_connect says no twice, breaks once, and says yes. Options: port."""

import board

board.mount()

from persistmq import ClientStopped, PersistClient  # noqa: E402

asked = []


def ready():
    asked.append(1)
    if len(asked) == 3:
        raise RuntimeError("no radio")
    return len(asked) > 3


client = PersistClient("board", cache_path="/flash/cache", reconnect_delay_ms_min=5, reconnect_delay_ms_max=10)
client.before_connect = ready
client.connect_async("127.0.0.1", board.options["port"])
client.publish("t", "after the hook")
while len(asked) < 3:
    assert client.step() <= 250
    assert not client.get_status()["connected"]
client.step()
assert "no radio" in client.get_status()["down_reason"], client.get_status()
assert client.flush(5)
assert len(asked) == 4
up = []
client.on_connection_down = lambda client, reason: up.append(reason)
client.stop()
assert up == ["closed"]
client.stop()
try:
    client.publish("t", "late")
    raise RuntimeError("it was stopped")
except ClientStopped:
    pass

# A callback may publish and stop; it cannot wait for what comes after itself.
client = None  # there is no room for two
client = PersistClient("board", cache_path="/flash/cache")
client.connect_async("127.0.0.1", board.options["port"])
heard = []


def waits(client, seq):
    heard.append(client.publish("t", "from a callback").seq if not heard else seq)
    if len(heard) == 2:
        client.stop()
    client.flush(5)


client.on_delivered = waits
client.publish("t", "calls back")
assert client.flush(5)  # until that one is settled; then there is another
assert client.flush(5)  # it was stopped
assert len(heard) == 2, heard
status = client.get_status()
assert "RuntimeError" in status["store_error"], status
assert (status["delivered"], status["waiting"]) == (3, 0), status
try:
    client.publish("t", "late")
    raise RuntimeError("it was stopped")
except ClientStopped:
    pass
print("all good")
