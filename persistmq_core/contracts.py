"""What the core asks of a port: a store and a transport. ``ports/PORTING.md`` says each promise in full.

Plain base classes, so that both interpreters and the type checker read the same text.
"""

# Transport.state()
DOWN = 0
CONNECTING = 1
UP = 2


class Store:
    """Named byte files under one cache directory. Raises ``OSError`` and nothing else.

    A ``view`` belongs to the core again when the call returns: what is to be kept of it must be copied.
    Names are relative with one slash at most, e.g. ``journal/0000000000000001.seg`` or ``checkpoint.0``.
    Two threads may call at once, one that appends and syncs, one that does everything else.
    """

    def list(self, folder: str) -> "list[str]":
        """Full names (``folder/...``) of the regular files in ``folder``, in any order; none if it is absent."""
        raise NotImplementedError

    def size(self, name: str) -> int:
        """Bytes in ``name``, appended ones included."""
        raise NotImplementedError

    def read(self, name: str, offset: int, buffer: memoryview) -> int:
        """Fill ``buffer`` from ``offset``; return the count, which is short only at the end of the file."""
        raise NotImplementedError

    def append(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        """Add all of ``view`` at the end, creating the file. After a failure any prefix may be there."""
        raise NotImplementedError

    def sync(self, name: str) -> None:
        """All that was appended to ``name``, and the name itself, survive a power cut from now on."""
        raise NotImplementedError

    def replace(self, name: str, view: "bytes | bytearray | memoryview") -> None:
        """Make ``view`` the whole content, durably. Cut in the middle: old, new or damaged, never another file."""
        raise NotImplementedError

    def move(self, name: str, new_name: str) -> None:
        """Rename, durably; ``new_name`` is not there yet, its folder may be missing."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Remove. Need not be durable: a file that comes back after a power cut is removed again."""
        raise NotImplementedError

    def free_bytes(self) -> int:
        """Bytes that could still be written."""
        raise NotImplementedError


class Transport:
    """One MQTT connection at a time and the bytes on it. Never blocks, never retries, never calls back, never raises.

    Whatever goes wrong on the network is ``state() == DOWN`` with a ``reason``.
    """

    # Valid while UP (from CONNACK).
    session_present = False
    protocol = 4  # 4 is MQTT 3.1.1, 5 is MQTT 5
    receive_maximum = 65535
    packet_bytes_max = 268435460  # the broker's Maximum Packet Size
    qos_max = 2
    retain_available = True
    # The session holds nothing of the application's (no subscription): the broker may be made to forget it.
    session_is_ours = False
    # Valid while DOWN.
    reason = "not connected"  # words for a person
    reason_code = 0  # of the broker's CONNACK or DISCONNECT, 0 where there was none
    refused = False  # CONNECT was answered with a refusal: only a person can mend it
    dropped = False  # a connection that was UP was ended by the other side

    def open(self, clean_session: bool) -> None:
        """Begin to connect (any connection there was is closed first). True asks the broker to forget the session."""
        raise NotImplementedError

    def state(self) -> int:
        """DOWN, CONNECTING or UP, after doing whatever connecting, keep-alive and reading is due.

        Goes DOWN by itself, and only ``open`` leaves DOWN: a lost connection is always seen.
        """
        raise NotImplementedError

    def send(self, view: "bytearray | memoryview", follows: int = 0) -> int:
        """Take bytes from the front of ``view``, return how many (0: busy).

        ``view`` ends with a whole packet, or so many bytes before the end of one (``follows``): these come in the next
        calls, before anything else. After a short count the next call begins with exactly the rest. Not UP: returns 0.
        """
        raise NotImplementedError

    def receive(self) -> "bytes | memoryview":
        """What came since: whole PUBACK, PUBREC and PUBCOMP packets for identifiers 1..64000, nothing else.

        Valid until the next call of ``state``, ``receive`` or ``open``: it may look at a buffer that is filled again.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End the connection (with DISCONNECT where it can be sent) and be DOWN at once."""
        raise NotImplementedError


class Random:
    """Where jitter and the cache's own number come from."""

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1."""
        raise NotImplementedError


class Clock:
    """The time of day, for messages that expire."""

    def unix_ms(self) -> int:
        """Unix time in milliseconds, 0 where no clock is valid."""
        return 0


class Compressor:
    """What makes bundles smaller."""

    def compress(self, content: bytes) -> bytes:
        """The same in zlib's format (RFC 1950), or ``content`` itself where there is no memory for that."""
        raise NotImplementedError


class Listener:
    """Told by the engine, inside ``step``, what became of messages and of the connection. Must not raise."""

    def delivered(self, seq: int) -> None:
        """The broker has it: PUBACK or PUBCOMP came, or the connection took all of a QoS 0 message."""

    def dropped(self, seq: int, account: str, reason_code: int) -> None:
        """It will not be delivered. ``account``: "refused", "damaged", "expired" or "evicted"."""

    def connected(self, session_present: bool) -> None:
        """The handshakes can go on."""

    def disconnected(self, reason: str) -> None:
        """The connection, or the attempt at one, ended."""
