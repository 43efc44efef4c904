"""Waking a thread that waits in poll, from another thread or a signal handler."""

import select
import socket


class WakeUp:
    """A descriptor that becomes readable on ``set``. Many ``set`` before a ``wait`` cost one system call."""

    def __init__(self) -> None:
        # Socket objects and not descriptors: after close a late ``set`` meets an error, not somebody else's file.
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._is_set = False
        self._mine = self._reader.fileno()
        self._poller = select.poll()
        self._poller.register(self._mine, select.POLLIN)
        self._other = -1  # what else the poller watches
        self._other_events = 0

    def set(self) -> None:
        """Wake. From any thread or a signal handler; takes no lock and never waits. Nothing after ``close``."""
        if self._is_set:
            return
        self._is_set = True
        try:
            self._writer.send(b"\0")
        except OSError:
            pass  # full, so it is readable; or closed, so nobody waits

    def wait(self, timeout_ms: int, descriptor: int = -1, wants_write: bool = False) -> bool:
        """Until ``set``, or until ``descriptor`` (if 0 or more) can be read or, if ``wants_write``, written.

        False after ``timeout_ms``.
        """
        self._watch(descriptor, select.POLLIN | (select.POLLOUT if wants_write else 0))
        found = self._poller.poll(timeout_ms)
        if not any(ready == self._mine for ready, _ in found):
            return bool(found)
        # Read first, then clear: who sees _is_set still True has left its work before the caller looks for it.
        try:
            self._reader.recv(64)
        except OSError:
            pass
        self._is_set = False
        return True

    def _watch(self, descriptor: int, events: int) -> None:
        if descriptor == self._other and events == self._other_events:
            return
        if descriptor != self._other and self._other >= 0:
            self._poller.unregister(self._other)
        self._other = descriptor
        self._other_events = events
        if descriptor >= 0:
            self._poller.register(descriptor, events)

    def close(self) -> None:
        self._writer.close()
        self._reader.close()
