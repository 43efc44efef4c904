"""The core on the real littlefs, the file system of MicroPython's boards, over a flash whose power fails anywhere."""
