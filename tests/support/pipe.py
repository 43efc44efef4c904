"""One direction of the simulated link: bytes that arrive later, in order."""


class Pipe:
    """Each ``put`` arrives after a latency drawn from ``rng``, and never before an earlier one."""

    def __init__(self, rng: "object", latency_ms_min: int, latency_ms_max: int) -> None:
        self._rng = rng
        self._latency_ms_min = latency_ms_min
        self._latency_ms_max = latency_ms_max
        self._chunks = []  # [due_ms, bytes]
        self.length = 0  # bytes on the way
        self.end_ms = None  # when the other side's end of the stream arrives

    def put(self, now_ms: int, view: "bytes | bytearray | memoryview") -> None:
        """Send bytes on their way."""
        if len(view):
            self._chunks.append([self._due_ms(now_ms), bytes(view)])
            self.length += len(view)

    def put_end(self, now_ms: int) -> None:
        """Nothing comes after what is on the way now."""
        if self.end_ms is None:
            self.end_ms = self._due_ms(now_ms)

    def due_ms(self) -> "int | None":
        """When the next thing arrives; None if nothing is on the way."""
        return self._chunks[0][0] if self._chunks else self.end_ms

    def take_due(self, now_ms: int, bytes_max: "int | None") -> bytes:
        """What has arrived, at most ``bytes_max``."""
        due = 0
        for chunk in self._chunks:
            if chunk[0] > now_ms:
                break
            due += len(chunk[1])
        return self.take(due if bytes_max is None else min(due, bytes_max))

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, arrived or not."""
        out = bytearray()
        while len(out) < count:
            chunk = self._chunks[0]
            wanted = count - len(out)
            out += chunk[1][:wanted]
            chunk[1] = chunk[1][wanted:]
            if not chunk[1]:
                self._chunks.pop(0)
        self.length -= count
        return bytes(out)

    def peek(self) -> bytes:
        """All that is on the way."""
        out = bytearray()
        for chunk in self._chunks:
            out += chunk[1]
        return bytes(out)

    def ended(self, now_ms: int) -> bool:
        """Everything has been taken and the end of the stream has arrived."""
        return not self._chunks and self.end_ms is not None and self.end_ms <= now_ms

    def _due_ms(self, now_ms: int) -> int:
        due_ms = now_ms + self._rng.between(self._latency_ms_min, self._latency_ms_max)
        return max(due_ms, self._chunks[-1][0]) if self._chunks else due_ms
