"""Which engine this is, with a board's sizes and without what boards lack; ends with 3."""

import sys
import time

if sys.argv[1:]:
    raise ValueError("as told")
ticks_span = (time.ticks_add(0, -1) & ((1 << 31) - 1)) + 1
try:
    import functools  # noqa: F401

    has_more = True
except ImportError:
    has_more = False
version = ".".join([str(number) for number in sys.implementation.version[:3]])
print(sys.implementation.name, version, sys.maxsize, ticks_span, has_more)
sys.exit(3)
