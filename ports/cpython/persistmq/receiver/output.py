"""Where messages go, and the ledger with them: both become durable in one step, or neither does."""

import os
from typing import Any, NamedTuple

from persistmq_core.errors import PersistError

from .identities import Identity
from .ledger import Batch, Ledger
from .state import LedgerFiles


class Received(NamedTuple):
    """One message, new to the receiver.

    ``identity``: None if it came without one: then it may be one that came before. ``qos``, ``retain``: as published,
    where a bundle says so, else as it came. ``accepted_ms``, ``expires_s``: only out of a bundle; when ``publish()``
    took it (Unix time; less than 2^40: the milliseconds since that device started), and how long it may live, 0: for
    ever.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    identity: Identity | None = None
    accepted_ms: int | None = None
    expires_s: int | None = None
    received_ms: int = 0


class OutputError(PersistError):
    """The output does not take messages now. None of those that it was given counts; it may be tried again."""


class Superseded(PersistError):
    """Another receiver works on this output now. This one must end."""


class Output:
    """Makes messages durable, together with the ledger. By one thread."""

    ledger: Ledger

    def write(self, messages: "list[Received]", batch: Batch) -> None:
        """Make both durable in one step. The ledger is settled by the caller. Raises OutputError or StoreError: then
        nothing of it counts, or nobody knows, and ``reload`` comes next. Raises Superseded."""
        raise NotImplementedError

    def tidy(self) -> None:
        """The batch is settled: something may be cleared away."""

    def reload(self) -> None:
        """``write`` failed: let ``ledger`` say what is durable. Raises OutputError."""
        raise NotImplementedError

    def put_aside(self, name: str, head: "dict[str, Any]", payload: bytes) -> bool:
        """Keep what cannot be handed out, durably. ``name`` is made of the content; False if it was there already.

        Raises OutputError or OSError.
        """
        raise NotImplementedError

    def aside(self) -> "tuple[int, int]":
        """How many such there are, and their bytes."""
        raise NotImplementedError

    def close(self) -> None:
        """A second call does nothing."""
        raise NotImplementedError


class Callback(Output):
    """The ledger alone, in files: somebody else has made the messages durable when ``write`` is called."""

    def __init__(self, state_path: "str | os.PathLike[str]", expects_all: bool = False) -> None:
        self._files = LedgerFiles(state_path, expects_all)
        self.ledger = self._files.ledger

    def write(self, messages: "list[Received]", batch: Batch) -> None:
        if batch:
            self._files.write(batch)

    def tidy(self) -> None:
        self._files.tidy()

    def reload(self) -> None:
        """A write that failed does not count: the ledger is as it was."""

    def put_aside(self, name: str, head: "dict[str, Any]", payload: bytes) -> bool:
        return self._files.put_aside(name, head, payload)

    def aside(self) -> "tuple[int, int]":
        return self._files.aside()

    def close(self) -> None:
        self._files.close()
