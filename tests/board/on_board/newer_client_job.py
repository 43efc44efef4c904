"""A second client on the same cache. Options: port."""

import board

board.mount()

from persistmq import ClientStopped, PersistClient  # noqa: E402

older = PersistClient("board", cache_path="/flash/cache")
older.publish("t", "older 1", 1)
elsewhere = PersistClient("elsewhere", cache_path="/flash/cache2")
newer = PersistClient("board", cache_path="/flash/cache/")
newer.publish("t", "newer 1", 1)
try:
    older.publish("t", "older 2", 1)
    raise RuntimeError("it has no cache any more")
except ClientStopped:
    pass
older.stop()
newer.publish("t", "newer 2", 1)
elsewhere.publish("t", "elsewhere", 1)
elsewhere.stop()
newer.connect_async("127.0.0.1", board.options["port"])
assert newer.flush(20)
newer.stop()
again = PersistClient("board", cache_path="/flash/cache")
status = again.get_status()
assert (status["accepted"], status["delivered"], status["damaged"]) == (3, 3, 0), status
again.stop()
print("all good")
