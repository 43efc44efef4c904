"""Delivery that sends runs of messages as bundles: one PUBLISH, one handshake, for many.

A bundle is a range of numbers. Its first number has the handshake and the packet identifier; the others are CARRIED
until that ends. The range is on storage before the first byte goes, so that after a restart the same messages are sent
under the same identifier.
"""

from .bundles import COUNT, HEAD_LOST, QOS_2, decode, encode, make_form
from .contracts import Clock, Listener, Store, Transport
from .dead_letters import PACKET_TOO_LARGE, QOS_NOT_SUPPORTED
from .delivery import Delivery
from .journal import MESSAGE, Journal
from .limits import BUNDLES_MAX, PUBLISH_OVERHEAD_BYTES, REMAINING_LENGTH_MAX
from .packets import publish
from .record import Record
from .walk import SINGLY, WAITS, WENT
from .window import (
    ABANDON,
    CARRIED,
    CARRY,
    DONE,
    LOSE,
    REFUSE,
    RELEASED,
    SEND_0,
    SENT_1,
    SENT_2,
    SETTLE,
    UNPACK,
    WAITING,
)

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .bulk_options import Bulk
    from .recovery import Recovered

# Beside topic, payload and properties: the fixed header has at most five bytes, the length of properties three more.
_PUBLISH_BYTES_MAX = PUBLISH_OVERHEAD_BYTES + 5 + 3


class _Packet:
    """What was read from the journal to be sent: a bundle, or a message that goes alone."""

    def __init__(self, first: int, end: int, topic: bytes, payload: "bytes | bytearray", qos: int) -> None:
        self.first = first
        self.end = end
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = False
        self.left_s = 0
        self.properties = b""

    def bytes(self) -> int:
        """On the wire, at most."""
        return len(self.topic) + len(self.payload) + len(self.properties) + _PUBLISH_BYTES_MAX


class BulkDelivery(Delivery):
    """``bulk``: None if no bundles are to be made; those that the checkpoint has are brought to their end."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        found: "Recovered",
        listener: Listener,
        window: int,
        window_qos2: int,
        read_bytes: int,
        send_bytes: int,
        id_first: int,
        id_span: int,
        bulk: "Bulk | None",
    ) -> None:
        super().__init__(
            store, journal, found, listener, window, window_qos2, read_bytes, send_bytes, id_first, id_span
        )
        self.makes_bundles = True
        state = self.checkpoint
        self._msg_count = bulk.msg_count if bulk else 0
        self._bytes_max = bulk.bytes_max if bulk else 0
        self._ranges: dict[int, int] = {}  # in flight: first number -> COUNT and flags; all of them in this form
        wanted = make_form(bulk.form, bulk.topic, bulk.client_id, bulk.compressor) if bulk is not None else None
        if state.bundles or wanted is None:
            number, topic, client_id, self._ranges = decode(state)
            self._form = make_form(number, topic, client_id, bulk.compressor if bulk else None)
        else:
            self._form = wanted
        self._wanted = wanted or self._form  # of the next ones
        # Of a form whose messages say which they are: then all others have to.
        self.client_id = (self._wanted.client_id or self._form.client_id).decode()
        # Numbers before it go singly: they did before this start, or were in a bundle that was taken apart.
        self._singly_end = self._sent_end
        self._bundle_bytes = 0  # of the last one
        self._is_new = False  # the ranges are not on storage as they are now

    # --- what becomes of all messages of a bundle ---

    def forget(self, trust: bool) -> None:
        """As in Delivery. Bundles stay as they are, and what went singly does so again.

        For there are brokers that say they have no session, and know the identifiers all the same.
        """
        sent_end = self._sent_end
        self._singly_end = max(self._singly_end, sent_end)
        super().forget(trust)
        window = self.window
        for seq in range(window.cursor, min(window.end, sent_end)):
            self.checkpoint.repeated += window.state(seq) == CARRIED

    def refuse(self, seq: int, reason_code: int) -> bool:
        """As in Delivery. A bundle is taken apart instead, and False is returned: its messages are sent singly.

        One that the broker has taken, and dies of, cannot be: all its messages are refused.
        """
        entry = self._ranges.get(seq)
        if entry is None:
            return super().refuse(seq, reason_code)
        window = self.window
        state = window.state(seq)
        if state not in (WAITING, SENT_1, SENT_2, RELEASED):
            return False
        self._ranges.pop(seq)
        self._is_new = self._in_both = True  # a damaged slot must not bring the bundle back
        end = seq + (entry & COUNT)
        is_sent = window.move(seq, LOSE) == WAITING
        if entry & HEAD_LOST:
            if state == RELEASED:
                window.move(seq, REFUSE)
                window.move(seq, SETTLE)
            else:
                # The broker may hold the identifier, unless it has just refused it.
                window.move(seq, ABANDON if seq < self._dup_end and not is_sent else SETTLE)
        elif state == RELEASED:
            super().refuse(seq, reason_code)
        for place in range(seq + 1, end):
            if window.state(place) == CARRIED:
                if state == RELEASED:
                    super().refuse(place, reason_code)
                else:
                    window.move(place, UNPACK)
        if state != RELEASED:
            self._singly_end = max(self._singly_end, end)
            self.reader.rewind()
            if self._next > seq:
                self._walked = max(self._walked, self._next)
                self._next = seq
        window.advance()
        return state == RELEASED

    def _delivered(self, seq: int) -> None:
        entry = self._ranges.pop(seq, 0)
        if not entry & HEAD_LOST:
            super()._delivered(seq)
        elif self.identity is not None:
            self.identity.delivered(seq)
        for place in range(seq + 1, seq + (entry & COUNT)):
            if self.window.move(place, SETTLE) == DONE:
                super()._delivered(place)
        self.unsaved = True

    # --- storage ---

    def is_urgent(self) -> bool:
        return self._is_new or super().is_urgent()

    def _save(self) -> None:
        some = self._msg_count or self._ranges
        self.checkpoint.bundles = encode(self._form, self._ranges, self.window.cursor) if some else b""
        super()._save()
        self._is_new = False

    def _bound(self) -> int:
        # Close by: after a restart all before it goes singly, but for the bundles that the checkpoint has.
        bound = max(self._sent_end, self.window.cursor)
        if self._connected:
            bound += self._count()
        return max(bound, self._singly_end)

    def _settle_gap(self, seq: int) -> None:
        for first in self._ranges:
            if seq < first < self.reader.gap_end:
                self.reader.gap_end = first  # a bundle sees to its own
        super()._settle_gap(seq)

    # --- sending ---

    def _bundle(
        self, seq: int, out: bytearray, transport: Transport, in_flight_max: int, now_ms: int, clock: Clock
    ) -> int:
        """Send what begins at ``seq``: a bundle that is on storage, or new ones. Raises OSError."""
        window = self.window
        unreleased_max = min(self.limit_qos2, in_flight_max)
        room = min(in_flight_max, self.limit_qos1) - window.in_flight()
        room = min(room, unreleased_max - window.unreleased())
        if seq in self._ranges:
            if room <= 0 or self._expired or self._is_full(out, 0):
                return WAITS
            return self._send_again(seq, out, transport, now_ms, clock)
        if room <= 0 or self._expired or seq < self._singly_end or seq < self._dup_end or not self._is_due(seq):
            return SINGLY
        room = min(room, BUNDLES_MAX - len(self._ranges))
        if room <= 0 or not self._has_room(seq) or self._is_full(out, 0):
            return WAITS
        mqtt5 = transport.protocol == 5
        new: list[_Packet] = []
        new_bytes = 0
        at = seq
        while len(new) < room and self._is_due(at) and self._has_room(at) and not self._is_full(out, new_bytes):
            try:
                packet = self._collect(at, seq, transport, now_ms, clock)
            except MemoryError:  # a board's heap has holes
                self.reader.rewind()
                break
            if packet is None:
                break
            self._identify(packet, mqtt5)
            if packet.properties and packet.bytes() > transport.packet_bytes_max:
                self.reader.rewind()
                break  # the walk refuses it
            new.append(packet)
            new_bytes += len(packet.payload)
            at = packet.end
            if self._spend(packet.first, at, len(packet.payload), now_ms):
                break
        if not new:
            return SINGLY
        self._fix(new)
        for packet in new:
            self._put(out, packet, False, mqtt5)
        self._next = at
        return WAITS if self._release else WENT  # what the save released goes out before more is begun

    def _put(self, out: bytearray, packet: "_Packet", dup: bool, mqtt5: bool) -> None:
        """Into what the transport takes next."""
        first = packet.first
        self.window.move(first, SEND_0 + packet.qos)
        identifier = self._id_first + first % self._id_span
        topic, payload, qos, retain = packet.topic, packet.payload, packet.qos, packet.retain
        publish(out, topic, payload, qos, retain, dup, identifier, mqtt5, packet.left_s, packet.properties)

    def _identify(self, packet: "_Packet", mqtt5: bool) -> None:
        """A message that goes alone says which it is, if it can. Before the next one tells what it knows of others."""
        if self.identity is None:
            return
        if packet.end > packet.first + 1:
            if not self._form.has_identity:
                self._never(packet.first, packet.end)  # under their numbers
        elif mqtt5:
            packet.properties = self.identity.properties(packet.first, True)
        else:
            self._never(packet.first, packet.end)

    def _spend(self, first: int, end: int, payload_bytes: int, now_ms: int) -> bool:
        """The pace of the backlog: each message counts. True if the next one has to wait."""
        pace = self.pace
        if pace is None or first >= self.backlog_end:
            return False
        count = end - first
        for _ in range(count):
            pace.spend(now_ms, payload_bytes // count)
        return end < self.backlog_end and pace.due_ms(now_ms) > 0

    def _count(self) -> int:
        return min(self._msg_count or self.limit_qos1, self.window.span)

    def _is_due(self, seq: int) -> bool:
        """So many messages wait that the next ones go as a bundle."""
        if not self._msg_count or self._journal.end_seq - seq < self._msg_count:
            return False
        if self.spill_store is not None and not self.spill_store.is_over():
            return False  # the link is healthy, and the checkpoint is not on storage
        if not self._ranges:
            self._form = self._wanted
        return self._form is self._wanted  # else those of other settings have to go first

    def _has_room(self, seq: int) -> bool:
        return seq + self._count() <= self.window.cursor + self.window.span

    def _is_full(self, out: bytearray, more_bytes: int) -> bool:
        """What the transport takes next has no room for a bundle like the last one: it would need RAM in one piece."""
        return bool(out or more_bytes) and len(out) + more_bytes + self._bundle_bytes > self._send_bytes

    def _begin(self, first: int, counts: bool) -> int:
        """Of the form; returns the number before the first one that was sent. ``counts``: see Identity.tell."""
        form = self._form
        if not form.has_identity or self.identity is None:
            form.begin(0, [])
            return first - 1
        prev, never = self.identity.tell(first, counts)
        form.begin(self.identity.epoch, never)
        return prev

    def _collect(
        self, first: int, batch_first: int, transport: Transport, now_ms: int, clock: Clock
    ) -> "_Packet | None":
        """Read messages from ``first`` on, as many as go together. None if the first is nothing for a bundle."""
        form = self._form
        state = self.checkpoint
        bytes_max = min(self._bytes_max, transport.packet_bytes_max - _PUBLISH_BYTES_MAX)
        packet = None
        seq = first
        prev = 0
        end = first + self._count()
        while seq < end and self.window.state(seq) == WAITING and seq not in self._ranges:
            if state.evicted_first <= seq < state.evicted_end:
                break
            try:
                record = None if self.reader.gives_up(seq) else self._look(seq)
            except OSError:
                if seq == batch_first:
                    raise
                break  # what was read goes out first
            if record is None or record.is_apart() or not 0 < record.qos <= transport.qos_max:
                break
            if record.retain and not transport.retain_available:
                break
            if seq == first:
                prev = self._begin(first, True)
            left_s = self._left_s(record, now_ms, clock) if record.expires_s else 0
            if (record.expires_s and left_s <= 0) or not form.add(record, left_s, prev, bytes_max):
                break
            if packet is None:
                # Kept, because looking at the next one takes it away, and it may be alone.
                packet = _Packet(seq, seq + 1, bytes(record.topic), bytes(record.payload), record.qos)
                packet.retain = record.retain
            prev = seq
            seq += 1
        if packet is not None:
            packet.left_s = form.left_s
            if seq > first + 1:
                packet.end = seq
                packet.topic = form.bundle_topic()
                packet.payload = form.payload()
                packet.retain = False
                self._bundle_bytes = len(packet.payload)
        return packet

    def _look(self, seq: int) -> "Record | None":
        """The record, None if it is lost or not there yet."""
        journal = self._journal
        found = self.reader.peek(seq, journal.end_seq, journal.active_seq, journal.skipped)
        return self.reader.record if found == MESSAGE else None

    def _fix(self, new: "list[_Packet]") -> None:
        """Bundles are what they are from now on. Raises OSError; then they are sent when they are on storage."""
        for packet in new:
            count = packet.end - packet.first
            if count > 1:
                self._ranges[packet.first] = count | (QOS_2 if packet.qos == 2 else 0)
                self._is_new = True
                try:
                    for seq in range(packet.first + 1, packet.end):
                        self.window.move(seq, CARRY)
                except BaseException:  # a signal: all of it or nothing, for what it ends is delivered together
                    for seq in range(packet.first, packet.end):
                        self.window.move(seq, UNPACK)
                    self._ranges.pop(packet.first)
                    raise
        end = new[-1].end
        self._sent_end = max(self._sent_end, end)
        if self._is_new or end > self._sent_bound:
            try:
                self._save()
            except OSError:
                self.reader.rewind()
                raise

    def _send_again(self, first: int, out: bytearray, transport: Transport, now_ms: int, clock: Clock) -> int:
        """Send a bundle that is on storage, put together as before. What of it is lost is in its account then."""
        form = self._form
        window = self.window
        entry = self._ranges[first]
        end = first + (entry & COUNT)
        dup = first < self._dup_end
        prev = self._begin(first, not dup)
        lost = []
        for seq in range(first, end):
            if (entry & HEAD_LOST) if seq == first else window.state(seq) != CARRIED:
                continue  # known to be lost
            if self.reader.gives_up(seq):
                self.save()  # on a device that is gone altogether this raises, and nothing is given up
            record = self._look(seq)
            if record is None:
                lost.append(seq)
                continue
            left_s = max(1, self._left_s(record, now_ms, clock)) if record.expires_s else 0
            form.add(record, left_s, prev, REMAINING_LENGTH_MAX)
            prev = seq
        for seq in lost:
            self._lose(first, seq)
        if not form.count:
            self._ranges.pop(first)
            window.move(first, ABANDON if dup else SETTLE)
            window.advance()
            return WENT
        packet = _Packet(first, end, form.bundle_topic(), form.payload(), 2 if entry & QOS_2 else 1)
        if packet.qos > transport.qos_max or packet.bytes() > transport.packet_bytes_max:
            self.refuse(first, QOS_NOT_SUPPORTED if packet.qos > transport.qos_max else PACKET_TOO_LARGE)
            return WAITS
        packet.left_s = form.left_s
        self._bundle_bytes = len(packet.payload)
        self._identify(packet, transport.protocol == 5)
        self._spend(first, end, len(packet.payload), now_ms)
        self._put(out, packet, dup, transport.protocol == 5)
        self._sent_end = max(self._sent_end, end)
        self._next = first + 1
        return WENT

    def _lose(self, first: int, seq: int) -> None:
        """The record of a message in a bundle does not read any more."""
        if seq == first:
            self._ranges[first] |= HEAD_LOST  # its place goes on having the handshake
        else:
            self.window.move(seq, SETTLE)
        self._never(seq, seq + 1)
        self.checkpoint.damaged += 1
        self.unsaved = True
        self._listener.dropped(seq, "damaged", 0)
