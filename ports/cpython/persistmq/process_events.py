"""What happens to clients when the process forks or ends without having stopped them."""

import atexit
import os
import weakref
from typing import Protocol


class Watched(Protocol):
    """A client, as far as this module is concerned."""

    def _at_fork(self) -> None: ...

    def _at_exit(self) -> None: ...


_clients: "weakref.WeakSet[Watched]" = weakref.WeakSet()


def watch(client: Watched) -> None:
    """Tell ``client`` of a fork (in the child) and of the end of the process."""
    _clients.add(client)


def _after_fork_in_child() -> None:
    for client in list(_clients):
        client._at_fork()


def _at_exit() -> None:
    for client in list(_clients):
        client._at_exit()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
