"""Arguments that cannot be, one after the other; what is said of each. Options: client, good, address, message."""

import os
import sys

import board

board.mount()

from persistmq import PersistClient  # noqa: E402

for named in board.options["client"]:
    try:
        PersistClient("x", cache_path="/flash/cache", **named)
        print("taken")
    except ValueError as error:
        print(error)
print("flash", os.listdir("/flash"))
client = PersistClient("x", cache_path="/flash/cache", **board.options["good"])
print("kept", [name for name in sys.modules if name.endswith((".start", ".together"))])
for named in board.options["address"]:
    try:
        client.connect_async(**named)
        print("taken")
    except ValueError as error:
        print(error)
for named in board.options["message"]:
    try:
        client.publish("t", "p", **named)
        print("taken")
    except (ValueError, TypeError) as error:
        print(error)
print("accepted", client.get_status()["accepted"])
client.stop()
