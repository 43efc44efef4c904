"""Two lanes on a board: a backlog, alarms, live messages, a restart between. Options: port."""

import time

import board

board.mount()

from persistmq import PersistClient  # noqa: E402

options = {"cache_path": "/flash/cache", "window": 8, "window_qos2": 8}
client = PersistClient("lanes", drain="live_first", drain_messages_per_s=40, **options)
client.publish_many([("t", "old %d" % number) for number in range(40)])
alarm = client.publish("t", "alarm 0", priority=True)
client.publish_many([("t", "alarm 1")], priority=True)
assert alarm.is_stored() and not alarm.is_published() and alarm.mid > 60000
client.stop()

client = PersistClient("lanes", drain="live_first", drain_messages_per_s=40, **options)
assert client.get_status()["waiting"] == 42
client.connect_async("127.0.0.1", board.options["port"])
while client.get_status()["delivered"] < 4:
    client.step(10)
worst_ms = 0
for number in range(5):
    began_ms = time.ticks_ms()
    live = client.publish("t", "live %d" % number)
    assert live.wait_for_publish(10)
    worst_ms = max(worst_ms, time.ticks_diff(time.ticks_ms(), began_ms))
print("worst", worst_ms, "waiting", client.get_status()["waiting"])
assert client.get_status()["waiting"] > 0
assert client.flush(20)
client.stop()

client = PersistClient("lanes", durability="async", **options)  # the folder is there, so are two lanes
client.publish("t", "last alarm", priority=True)
client.publish("t", "last")
client.connect_async("127.0.0.1", board.options["port"])
assert client.flush(10)
status = client.get_status()
assert (status["accepted"], status["delivered"], status["waiting"]) == (49, 49, 0), status
client.stop()

client = PersistClient("one", cache_path="/flash/one")
try:
    client.publish("t", priority=True)
    raise AssertionError("taken")
except ValueError as error:
    assert "drain=" in str(error)
client.stop()
print("done")
