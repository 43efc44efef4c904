"""Which message is sent when: the walk along the journal, from the cursor to what is durable.

Each place of the window is looked at once in a connection: sent, released, or settled without being sent.
"""

from . import packets
from .contracts import Clock, Transport
from .journal import GAP, MESSAGE
from .limits import EXPIRED_MAX, const
from .record import Record
from .settling import Settling
from .window import (
    ABANDON,
    ORPHAN,
    ORPHAN_RELEASING,
    RELEASED,
    SEND_0,
    SEND_PUBREL,
    SENT_0,
    SETTLE,
    WAITING,
)

_PROPERTIES_LENGTH_BYTES = const(3)  # in four bytes instead of one
_PUBREL_IS_DUE = (RELEASED, ORPHAN)
# What _bundle() did.
SINGLY = const(0)  # nothing: the message goes as it is
WENT = const(1)  # the walk went on
WAITS = const(2)  # nothing may be sent now


class Walk(Settling):
    """See ``fill``."""

    def under_way(self) -> int:
        """Messages whose handshake has begun in this connection and has not ended."""
        count = self.window.count
        return self.window.in_flight() + count(SENT_0) + count(RELEASED) + count(ORPHAN_RELEASING)

    def fill(
        self,
        out: bytearray,
        transport: Transport,
        in_flight_max: int,
        publish: bool,
        now_ms: int,
        clock: Clock,
    ) -> None:
        """Put what may be sent now into ``out``: PUBRELs first, then the walk. Raises OSError.

        If there is a ``stream`` then, what stands in ``out`` goes on with its pieces.
        ``publish``: False sends only what ends handshakes that were begun. ``clock``: for those that expire.
        """
        window = self.window
        id_first = self._id_first
        id_span = self._id_span
        makes_bundles = self.makes_bundles
        only_resends = self.only_resends
        if self._release:
            for seq in self._release:
                window.move(seq, SEND_PUBREL)
                packets.pubrel(out, id_first + seq % id_span)
            self._release.clear()
        journal = self._journal
        # One look for the whole walk, at this first: see Journal. What is appended meanwhile has its turn next time.
        end_seq = journal.end_seq
        active_seq = journal.active_seq
        skipped = journal.skipped
        reader = self.reader
        record = reader.record
        spill = self.spill_store
        mqtt5 = transport.protocol == 5
        qos_max = transport.qos_max
        packet_bytes_max = transport.packet_bytes_max
        send_bytes = self._send_bytes
        dup_end = self._dup_end
        evicted_end = self.checkpoint.evicted_end
        identity = self.identity
        in_flight = window.in_flight()
        unreleased = window.unreleased()
        unreleased_max = min(self.limit_qos2, in_flight_max)
        in_flight_qos1_max = min(self.limit_qos1, in_flight_max)
        properties = b""
        pace = self.pace
        if pace is not None:
            pace.holds = False
        while len(out) < send_bytes:
            seq = self._next
            if seq >= window.cursor + window.span:
                break
            state = WAITING
            if seq < window.end:
                state = window.state(seq)
            elif seq >= end_seq:
                break
            if state == WAITING:
                if not publish or in_flight >= in_flight_max or (spill is not None and spill.keeps_back(seq)):
                    break
                if only_resends and seq >= dup_end:
                    break
                if pace is not None and seq < self.backlog_end and pace.due_ms(now_ms):
                    break
                if seq < evicted_end and self._eviction().covers(seq):
                    self._next = self._eviction().passes(seq)
                    self._never(seq, min(self._next, evicted_end))
                    self.unsaved = True
                    continue
                if makes_bundles:
                    did = self._bundle(seq, out, transport, in_flight_max, now_ms, clock)
                    if did == WAITS:
                        break
                    if did == WENT:
                        in_flight = window.in_flight()
                        unreleased = window.unreleased()
                        continue
                if reader.failures and reader.gives_up(seq):
                    self.save()  # on a device that is gone altogether this raises, and nothing is given up
                found = reader.peek(seq, end_seq, active_seq, skipped)
                if found == GAP:
                    self._settle_gap(seq)
                    continue
                if found != MESSAGE:
                    break
                expires_s = apart_bytes = reason = 0
                if record.extra_bytes:
                    if record.is_apart():
                        self._payload_files().note(seq)
                        apart_bytes = record.apart_bytes
                    if record.expires_s:
                        expires_s = self._left_s(record, now_ms, clock)
                        if expires_s <= 0 and seq >= dup_end:  # what may be in flight is brought to its end
                            self._expire(seq)
                            self._next = seq + 1
                            if len(self._expired) >= EXPIRED_MAX:
                                break
                            continue
                        expires_s = max(1, expires_s)
                if seq >= self._sent_bound:
                    self._bound_reached = True
                    break
                if self._expired:
                    break  # to be saved first, or a restart with another clock might send it behind this one
                qos = record.qos
                # QoS 1 waits as well: while so many are unreleased Mosquitto answers it with "quota exceeded", which in
                # 3.1.1 looks like any PUBACK, and throws it away.
                if (qos and unreleased >= unreleased_max) or (qos != 2 and in_flight >= in_flight_qos1_max):
                    break
                retain = record.retain
                # The 24 bytes of a frame's header are more than what PUBLISH has beside topic and payload.
                bytes_max = record.frame_bytes + apart_bytes
                if identity is not None:
                    if mqtt5:
                        properties = identity.properties(seq, qos > 0 and seq >= dup_end)
                        bytes_max += len(properties) + _PROPERTIES_LENGTH_BYTES
                    else:
                        self._never(seq, seq + 1)  # under its number: it cannot say which it is
                if qos > qos_max or bytes_max > packet_bytes_max or (retain and not transport.retain_available):
                    from .unsendable import why  # noqa: PLC0415 - only here: most messages are far from such limits

                    reason = why(record, transport, expires_s, properties)
                if reason:
                    self.refuse(seq, reason)
                elif apart_bytes and not self._open_stream(seq, record):
                    continue
                else:
                    window.move(seq, SEND_0 + qos)
                    if seq >= self._sent_end:
                        self._sent_end = seq + 1
                    if qos == 0:
                        self._handed.append(seq)
                    else:
                        in_flight += 1
                        if qos == 2:
                            unreleased += 1
                    topic = record.topic
                    payload = record.payload
                    if pace is not None and seq < self.backlog_end:
                        pace.spend(now_ms, len(topic) + len(payload) + apart_bytes)
                    dup = qos > 0 and seq < dup_end
                    identifier = id_first + seq % id_span
                    packets.publish(
                        out, topic, payload, qos, retain, dup, identifier, mqtt5, expires_s, properties, apart_bytes
                    )
                    if apart_bytes:
                        self._next = seq + 1
                        break
            elif state in _PUBREL_IS_DUE and seq >= self._walked:
                if self.under_way() - window.count(RELEASED) >= in_flight_max:
                    break
                in_flight += state == RELEASED
                window.move(seq, SEND_PUBREL)
                packets.pubrel(out, id_first + seq % id_span)
            self._next = seq + 1

    def _bundle(
        self, seq: int, out: bytearray, transport: Transport, in_flight_max: int, now_ms: int, clock: Clock
    ) -> int:
        """Send what begins at ``seq``, if it is a bundle. Here none is: see BulkDelivery."""
        return SINGLY

    def _left_s(self, record: Record, now_ms: int, clock: Clock) -> int:
        """Seconds until a message that expires does so; 0 or less if it has."""
        unix_ms = clock.unix_ms()
        age_ms = record.age_ms(now_ms, unix_ms, self._boot_ms, self._boot_seq)
        if self.jumps is not None and record.seq >= self._boot_seq:
            self.jumps.watch(now_ms, unix_ms)
            age_ms = max(0, age_ms - self.jumps.behind_ms(record.accepted_ms()))
        return (record.expires_s * 1000 - age_ms + 999) // 1000

    def _open_stream(self, seq: int, record: Record) -> bool:
        """False if its payload is lost, or was parked before: then it is not to be sent."""
        files = self._payload_files()
        self.stream = files.open(seq, record)
        if self.stream is not None:
            return True
        reason = files.parked(seq, -1)
        if reason >= 0:  # and power failed before the checkpoint
            self.refuse(seq, reason)
        else:
            self.checkpoint.damaged += 1
            self._listener.dropped(seq, "damaged", 0)
            self.window.move(seq, ABANDON if seq < self._dup_end else SETTLE)
            self._never(seq, seq + 1)
            self.window.advance()
            self.unsaved = True
        self._next = max(seq, self.window.cursor)
        return False

    def _expire(self, seq: int) -> None:
        self.window.move(seq, SETTLE)
        self.window.advance()
        self.checkpoint.expired += 1
        self._never(seq, seq + 1)
        self._expired.append(seq)

    def _settle_gap(self, seq: int) -> None:
        """Numbers from ``seq`` on have no record: lost ones, then skipped ones. As many as the window has room for."""
        state = self.checkpoint
        window = self.window
        gap_end = self.reader.gap_end
        gap_skipped = self.reader.gap_skipped
        if seq < state.evicted_first < gap_end:  # what comes then has its account already
            gap_end = state.evicted_first
            gap_skipped -= state.evicted_skipped
        self._set_aside(seq, gap_end)
        unsettled = 0
        for place in range(seq, min(gap_end, window.cursor + window.span)):
            unsettled += window.state(place) == WAITING
        beyond = max(0, gap_end - (window.cursor + window.span))
        skipped = min(max(0, gap_skipped - state.skipped), unsettled + beyond)
        lost = unsettled + beyond - skipped  # these come first: numbers are skipped at the end of a segment only
        if beyond and seq >= self._dup_end and window.cursor == seq and window.jump(gap_end):
            state.damaged += lost
            for place in range(seq, seq + lost):
                self._listener.dropped(place, "damaged", 0)
            state.skipped += skipped
            self._never(seq, gap_end)
            self._next = gap_end
            self.unsaved = True
            return
        place = seq
        while place < gap_end and window.has_room(place):
            if window.state(place) == WAITING:
                if lost:
                    lost -= 1
                    state.damaged += 1
                    self._listener.dropped(place, "damaged", 0)
                else:
                    state.skipped += 1
                # The broker may hold the identifier of what is lost; PUBREL makes it forget (law 4). The walk sends it.
                window.move(place, ABANDON if place < self._dup_end else SETTLE)
                self._never(place, place + 1)
                self.unsaved = True
            place += 1
        if window.advance() and self._next < window.cursor:
            self._next = window.cursor
