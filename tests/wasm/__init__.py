"""A second MicroPython, as a second opinion: the official WebAssembly build, whose integers are 31 bits as a board's."""
