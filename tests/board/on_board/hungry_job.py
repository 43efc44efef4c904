"""Publish while something else eats the memory, each time to another rest. Options: port, count, free_bytes_max."""

import gc
import random

import board

board.mount()

from persistmq import PersistClient  # noqa: E402

client = PersistClient("board", cache_path="/flash/cache", reconnect_delay_ms_min=5, reconnect_delay_ms_max=10)
client.connect_async("127.0.0.1", board.options["port"])
random.seed(1)
pieces = [None] * 300


def eat(free_bytes):
    for index in range(len(pieces)):
        pieces[index] = None
    gc.collect()
    index = 0
    size = 1024
    while size >= 32 and index < len(pieces):
        if gc.mem_free() < free_bytes:
            break
        try:
            pieces[index] = bytearray(size)
            index += 1
        except MemoryError:
            size //= 2


for number in range(board.options["count"]):
    text = "h-%d" % number
    payload = text + " " * random.randrange(200)
    # To open the first file takes some hundred bytes in one piece, which so small a heap may never have.
    eat(random.randrange(board.options["free_bytes_max"]) if number else 20000)
    accepted = False
    error = ""
    try:
        client.publish("t", payload)
        accepted = True
    except (OSError, MemoryError) as failure:
        error = failure
    client.step()
    client.step()
    eat(8000)
    print("accepted" if accepted else "refused", text, type(error).__name__)
