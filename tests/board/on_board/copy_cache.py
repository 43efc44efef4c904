"""Copy the cache between the flash and a folder of the host. Options: folder, to ("host" or "board")."""

import os

import board

board.mount()
HOST = board.options["folder"]
OWN = "/flash/cache"


def copy(source, target):
    try:
        os.mkdir(target)
    except OSError:
        pass  # it is there
    for entry in os.ilistdir(source):
        if entry[1] == 0x4000:
            copy(source + "/" + entry[0], target + "/" + entry[0])
        elif entry[0] != "lock":
            with open(source + "/" + entry[0], "rb") as old, open(target + "/" + entry[0], "wb") as new:
                while True:
                    piece = old.read(1024)
                    if not piece:
                        break
                    new.write(piece)


if board.options["to"] == "host":
    copy(OWN, HOST)
else:
    copy(HOST, OWN)
