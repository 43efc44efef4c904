"""Tests that run unchanged on CPython (pytest) and on MicroPython (``tests/run_portable.py``)."""
