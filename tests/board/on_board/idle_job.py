"""One message, then nothing to do until the connection is found dead and made again; then one more. Options: port."""

import board

board.mount()

from persistmq import PersistClient  # noqa: E402

client = PersistClient("board", cache_path="/flash/cache", reconnect_delay_ms_min=5, reconnect_delay_ms_max=10)
client.on_connection_down = lambda client, reason: print("down:", reason)
client.connect_async("127.0.0.1", board.options["port"], keepalive=1)
client.publish("t", "first", 1)
assert client.flush(5)
delay_ms = 0
while client.get_status()["connections"] < 2:
    delay_ms = client.step(delay_ms)
client.publish("t", "second", 1)
assert client.flush(5)
client.stop()
print("all good")
