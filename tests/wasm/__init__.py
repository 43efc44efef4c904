"""A second MicroPython, as a second opinion: the official WebAssembly build, with integers as short as a board's."""
