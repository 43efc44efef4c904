"""The board: the MicroPython port on a real MicroPython, with a real littlefs and a real broker."""
