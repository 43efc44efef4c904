"""What an application and its worker process say to each other, over a pair of sockets that ends when either does."""

import errno
import pickle
import socket
from typing import Any, cast

Message = tuple[Any, ...]

# The accounts that a report has, in this order.
REPORTED = ("delivered", "expired", "evicted", "refused", "damaged", "repeated")
# The settings in one message: what a Unix socket takes in one piece, with room to spare.
MESSAGE_BYTES_MAX = 100_000
_BUFFER_BYTES = 1 << 18


class TooLarge(Exception):
    """More than the socket takes, or the other side has room for, in one message."""


class Link:
    """One end. Messages arrive whole and in order; ``send`` takes no lock and never waits, so any thread may call it.

    ``waits``: ``receive``, which is one thread's, waits for a message.
    """

    def __init__(self, sock: socket.socket, waits: bool) -> None:
        self._socket = sock
        sock.setblocking(waits)
        self._buffer = bytearray(_BUFFER_BYTES)

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """The sockets for two ends."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def send(self, *message: Any) -> bool:
        """False if the other side does not read, and there is no room for more. True as well if it is gone.

        Raises TooLarge.
        """
        content = pickle.dumps(message)
        if len(content) > _BUFFER_BYTES:
            raise TooLarge(f"a message of {len(content)} bytes")
        try:
            self._socket.send(content, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as failure:
            if failure.errno == errno.EMSGSIZE:
                raise TooLarge(f"a message of {len(content)} bytes") from None
            # Else ``receive`` says it.
        return True

    def receive(self) -> Message:
        """The next message. Raises EOFError when the other side is gone, BlockingIOError if there is none yet."""
        try:
            count = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            raise
        except OSError as error:
            raise EOFError(str(error)) from None
        if count == 0:
            raise EOFError("the other side is gone")
        return cast(Message, pickle.loads(memoryview(self._buffer)[:count]))

    def descriptor(self) -> int:
        """For poll; -1 when closed."""
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()
