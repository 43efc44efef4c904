"""The algorithm of PersistMQ: cache, retry policy and QoS handshakes. No I/O, no clock, no threads.

Runs unchanged on CPython and MicroPython. DESIGN.md says why it is so, FORMAT.md every byte on storage.
"""
