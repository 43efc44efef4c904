"""publish_many: each form of a message, all or none, one write for all of them. Options: port, durability."""

import board

flash = board.mount()

from persistmq import PersistClient  # noqa: E402

client = PersistClient("board", cache_path="/flash/cache", durability=board.options["durability"])
assert len(client.publish_many([])) == 0
for wrong, error in (
    (("a/#", 1), ValueError),
    (("a", [1]), TypeError),
    (("a", 1, 3), ValueError),
    (("a", 1, 1, "no"), TypeError),
    (("a",), TypeError),
    ("ab", TypeError),
    ({"payload": 1}, ValueError),
    ({"topic": "a", "paylod": 1}, ValueError),
):
    try:
        client.publish_many([("a", 1), wrong, ("a", 2)])
        raise AssertionError(wrong)
    except error:
        pass
status = client.get_status()
assert (status["accepted"], status["staged"]) == (0, 0), status

forms = [("m", 0), ("m", 1, 0), ("m", 2, 2, False), ["m", 3], {"topic": "m", "payload": 4}, {"topic": "m", "qos": 0}]
infos = client.publish_many(forms, qos=1)
assert [info.seq for info in infos] == [1, 2, 3, 4, 5, 6]
assert infos[-1].seq == 6 and len(infos) == 6
for index in (6, -7):
    try:
        infos[index]
        raise AssertionError(index)
    except IndexError:
        pass
before = flash.erases
many = client.publish_many(("m", "%d %s" % (number, "x" * 60)) for number in range(10))
assert many[0].seq == 7
if board.options["durability"] == "sync":
    assert infos[0].is_stored() and many[-1].is_stored()
    assert 1 <= flash.erases - before <= 2  # for each alone it is one
client.connect_async("127.0.0.1", board.options["port"])
assert client.flush(10)
assert many[-1].is_published() and infos[0].wait_for_publish(0)
client.stop()
print("all good")
