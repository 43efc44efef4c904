"""Large payloads: one from RAM, one from a file that is larger than the RAM.

Options: port, file_bytes, client (its options), order: "publish" (and stop), "deliver" (what is there), "both".
"""

import gc
import os

import board

flash = board.mount()

from persistmq import CacheFull, PersistClient, StoreError  # noqa: E402

options = board.options
client = PersistClient("board", cache_path="/flash/cache", **options["client"])
UNIT = b"0123456789abcdef" * 32
RAM = UNIT * 9


def write_file(path, size):
    with open(path, "wb") as file:
        for at in range(0, size, len(UNIT)):
            file.write(memoryview(UNIT)[: min(len(UNIT), size - at)])


if options["order"] != "deliver":
    seq = client.publish("small", "before").seq
    client.publish("ram", RAM)
    write_file("/flash/picture", options["file_bytes"])
    with open("/flash/picture", "rb") as file:
        info = client.publish("file", file)
    if client.get_status()["staged"] == 0:
        assert info.is_stored()
    os.remove("/flash/picture")
    infos = client.publish_many([("small", "behind"), ("ram", RAM), ("small", "last")])
    assert [info.seq for info in infos] == [seq + 3, seq + 4, seq + 5]
    for wrong, error in ((("a/#", RAM), ValueError), (("a", [1]), TypeError), (("a", RAM, 3), ValueError)):
        try:
            client.publish(*wrong)
            raise AssertionError(wrong)
        except error:
            pass
    try:
        for _ in range(100):
            client.publish("fills", RAM)
        raise AssertionError("a flash without an end")
    except (CacheFull, StoreError) as failure:
        print("full:", failure)
gc.collect()
status = client.get_status()
print("waiting %d held %d free %d" % (status["waiting"], status["cache_bytes"], gc.mem_free()))
if options["order"] != "publish":
    client.connect_async("127.0.0.1", options["port"])
    client.step()
    assert client.flush(30), client.get_status()
    status = client.get_status()
    assert status["waiting"] == status["damaged"] == 0, status
client.stop()
print("erases", flash.erases, "left", os.listdir("/flash/cache/payloads"))
print("all good")
