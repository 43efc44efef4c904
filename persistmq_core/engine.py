"""The whole of it: one object that a port makes, feeds with time, and asks for status.

``step(now_ms)`` does what can be done now, and says how long it need not be called again. It connects, resumes, sends,
takes acknowledgements, stores, reclaims and waits: on storage before the wire, always. It never blocks for longer than
the store does, and never raises for what the network or the broker does.
"""

from .backoff import Backoff
from .contracts import DOWN, UP, Clock, Transport
from .dead_letters import CONNECTION_DROPPED
from .errors import ProtocolError
from .limits import RECONNECT_AFTER_REFUSAL_MS, STORE_RETRY_MS, const
from .poison import Poison
from .session import Session
from .window import SENT_2

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .delivery import Delivery
    from .lanes import Lanes
    from .opening import Opened
    from .payload_files import Stream
    from .spill import Spill

# Phases of the connection.
_OFFLINE = const(0)  # no connection; the next attempt is at _retry_at
_CONNECTING = const(1)
_ONLINE = const(2)

_CLOCK_WATCH_MS = const(1000)
_IDLE_MS = const(60000)  # the longest that step() says nothing will be due
_BUFFER_BYTES = const(1024)  # to begin with: a board's window of eight messages of 100 bytes
# DISCONNECT reason codes (5.0, 3.14.2.1) that speak of the connection or the server, never of a message.
_NOT_THE_MESSAGE = (0x04, 0x87, 0x88, 0x89, 0x8B, 0x8D, 0x8E, 0x93, 0x96, 0x97, 0x98, 0x9C, 0x9D, 0x9F, 0xA0)


class Engine:
    """One cache, delivered over one transport. All times are milliseconds."""

    def __init__(self, opened: "Opened", transport: Transport) -> None:
        options = opened.options
        self._transport = transport
        self._listener = opened.listener
        self._clock = options.clock or Clock()
        self._backoff = Backoff(options.reconnect_delay_ms_min, options.reconnect_delay_ms_max, opened.random)
        self._ack_timeout_ms = options.ack_timeout_ms
        self._connect_timeout_ms = options.connect_timeout_ms
        self._checkpoint_delay_ms = options.checkpoint_delay_ms
        self._session_marker = options.session_marker
        self._gather_ms = options.gather_ms
        self._gather_by = -1  # when a checkpoint that waits for more PUBRECs is to be written; -1: none waits
        self.lanes = opened.lanes
        self.spill = opened.spill
        lane = self.lanes[0]
        self.journal = lane.journal
        self.spool = lane.spool
        self.delivery: Delivery | Lanes = options.lanes or lane.delivery  # of all lanes
        self.connections = 0  # that came up since the start
        self.down_reason = "not connected yet"
        self.store_error = ""  # why the delivering side waits for the disk; "" when it does not
        self.draining = False  # finish handshakes, begin none
        self._clock_watch_at = 0
        self._expires = False  # while there is no connection a message becomes too old
        self._phase = _OFFLINE
        self._retry_at = 0
        self._opened_at = 0  # when the attempt began, or the connection came up
        self._session = Session(transport, self.delivery, self.lanes, options.trust_lost_session)
        self._is_told = False  # the listener knows of a connection
        # Filled again and again: it keeps its room. On a board there may be none in one piece later.
        send_bytes = options.send_bytes
        self._buffer = bytearray(send_bytes if options.bulk else min(send_bytes, _BUFFER_BYTES))
        self._nothing = bytearray()
        self._out: bytearray | memoryview = self._nothing  # what is being sent: the buffer, a piece, or nothing
        self._out_at = 0  # how much of it the transport has taken
        self._send_bytes = send_bytes
        self._waits_since = 0  # the broker answers nothing, or takes nothing
        self._unsaved_since = -1
        self._has_begun = False
        self._store_retry_at = 0
        self._reclaim_at = -1  # when files are to be removed that could not be; -1: there are none
        self._poison = Poison()
        self._refusals = 0  # when the connection came up

    # --- for the port ---

    def step(self, now_ms: int) -> int:
        """Do what is due; returns for how many milliseconds nothing is, unless bytes come or something is published.

        ``now_ms`` never goes back.
        """
        if not self._has_begun:
            self._has_begun = True
            self.delivery.begin(now_ms)
            self._reclaim(now_ms)  # what power kept from being removed
        is_due = now_ms >= self._clock_watch_at
        if is_due:
            self._clock_watch_at = now_ms + _CLOCK_WATCH_MS
        self.watch_clock(now_ms, is_due)
        state = self._transport.state()
        if self._phase == _ONLINE:
            self._receive(now_ms)
            if self._phase == _ONLINE and state != UP:
                self._ended(now_ms)
        elif self._phase == _CONNECTING:
            if state == UP:
                self._came_up(now_ms)
            elif state == DOWN:
                self._ended(now_ms)
            elif now_ms - self._opened_at >= self._connect_timeout_ms:
                self._end(now_ms, "no connection within %d ms" % self._connect_timeout_ms)
        if self._phase == _OFFLINE and not self.draining and now_ms >= self._retry_at:
            self._phase = _CONNECTING
            self._opened_at = now_ms
            if self._session.is_due():
                self._renew_session(now_ms)
            self._transport.open(self._session.is_renewing)
        more = False
        if self._phase == _ONLINE:
            more = self._send(now_ms)
            self._watch(now_ms)
        elif is_due:
            self._expire(now_ms)
        if self._phase == _ONLINE and self._session.has_resent() and self._is_idle():
            more = self._end_settling(now_ms) or more
        self._save_if_due(now_ms)
        if self.spill is not None:
            more = self._spill_if_due(self.spill, now_ms) or more
        return 0 if more else self._next_due(now_ms)

    def _expire(self, now_ms: int) -> None:
        """What is too old makes room, also while nothing is sent."""
        self._expires = False
        if self._disk_rests(now_ms):
            return
        try:
            for lane in self.lanes:
                if lane.spool.has_expiring:
                    from .too_old import expire  # noqa: PLC0415 - only here, as ClockJumps

                    self._expires = expire(lane.delivery, now_ms, self._clock) or self._expires
        except OSError as failure:
            self._disk_failed(now_ms, failure)
        if self.delivery.is_urgent():
            self._save(now_ms)

    def watch_clock(self, now_ms: int, is_due: bool = False) -> None:
        """A message that expires was accepted: from the first one on it is seen when the clock is set.

        ``step`` does it as well; a port calls this where that may be long after.
        """
        for lane in self.lanes:
            delivery = lane.delivery
            if lane.spool.has_expiring and (is_due or delivery.jumps is None):
                if delivery.jumps is None:
                    from .clock_jumps import ClockJumps  # noqa: PLC0415 - a board without expiry has no room for it

                    delivery.jumps = ClockJumps()
                delivery.jumps.watch(now_ms, self._clock.unix_ms())

    def online(self) -> bool:
        """The broker can be talked to."""
        return self._phase == _ONLINE

    def is_connected(self) -> bool:
        """What the listener was told: also while a connection is there to renew the broker's session."""
        return self._is_told

    def goes_ahead(self) -> bool:
        """Whether what is published now belongs into the second lane, also without priority. For any thread."""
        return self.delivery.goes_ahead(self.online())

    def wants_to_write(self) -> bool:
        """Bytes wait for the transport to take them: the port wakes when it can."""
        return self._phase == _ONLINE and self._out_at < len(self._out)

    def quiet(self) -> bool:
        """No handshake is under way, so stopping now repeats nothing; and nothing is only in RAM."""
        return self._is_idle() and (self.spill is None or self.spill.is_over())

    def _is_idle(self) -> bool:
        return self._phase != _ONLINE or (
            self.delivery.under_way() == 0 and not self.delivery.must_save() and not self.wants_to_write()
        )

    def close(self) -> None:
        """Disconnect and store where delivery stands. A store that fails loses nothing: the rest is repeated."""
        self._transport.close()
        self._tell_end("closed")
        self._phase = _OFFLINE
        self.draining = True
        self._end_delivery()
        try:
            if self.spill is not None:
                self.spill.leave()
            for lane in self.lanes:
                if lane.journal.end_seq > lane.delivery.checkpoint.end_seq:
                    lane.delivery.unsaved = True  # so that the next start sees whether the end is still there
            if self.delivery.unsaved or self.delivery.must_save():
                self.delivery.save()
                self.delivery.reclaim()
        except OSError as failure:
            self.store_error = str(failure)

    def reconnect(self, now_ms: int, reason: str) -> None:
        """End the connection, or the attempt at one, and begin another at the next step: the broker is a new one."""
        self._end(now_ms, reason)
        self._retry_at = now_ms

    def held_bytes(self) -> int:
        """Bytes of the journal's files."""
        return sum([lane.held_bytes() for lane in self.lanes])

    def make_room(self, now_ms: int, count: int, wanted_bytes: int) -> bool:
        """Evict the oldest messages until ``count`` more, ``wanted_bytes`` in all, have room; False if that cannot be.

        None that is in flight is evicted, nor one that may be: after a power cut the next connection shows that.
        """
        try:
            if self.spool.has_room(count, wanted_bytes):
                return True
            if self._disk_rests(now_ms):
                return False
            messages, lacking_bytes = self.spool.lacks(count, wanted_bytes)
            self.delivery.evict(messages, lacking_bytes)
            self._reclaim(now_ms)
            return self.spool.has_room(count, wanted_bytes)
        except OSError as failure:
            self._disk_failed(now_ms, failure)
            return False

    def fail(self, now_ms: int, reason: str, longest: bool = True) -> None:
        """Something in this program broke inside ``step``: begin again from the connection, after a delay."""
        self._end(now_ms, reason, longest)

    def accounts(self) -> "dict[str, int]":
        """Law 2: accepted == delivered + expired + evicted + refused + damaged + waiting."""
        total: dict[str, int] = {}
        for lane in self.lanes:
            lane.add_accounts(total)
        return total

    # --- the connection ---

    def _came_up(self, now_ms: int) -> None:
        transport = self._transport
        delivery = self.delivery
        known = delivery.session_known()
        if not self._session.begin():
            self._again(now_ms)
            return
        if not known or not transport.session_present or delivery.must_save():
            # On storage before the first byte: which session the numbers belong to, and what is sent as new.
            marker = delivery.know_session(True, self._session_marker)
            if not self._save(now_ms):
                # What was forgotten is forgotten in RAM only: the next connection may find a session, and must not
                # go on in it from there.
                delivery.know_session(known and transport.session_present, marker)
                self._end(now_ms, "the cache cannot be written: %s" % self.store_error)
                return
        self._session.go_on()
        self._phase = _ONLINE
        self._opened_at = now_ms
        self._poison.began()
        self._refusals = self._refused()
        self._moved(now_ms)
        self.down_reason = ""
        if not self._is_told:
            self._is_told = True
            self.connections += 1
            self._listener.connected(transport.session_present)

    def _end_settling(self, now_ms: int) -> bool:
        """Nothing of ours is in the broker's session any more. True if there may be more to do at once."""
        session = self._session
        if session.end_settling():
            self._renew_session(now_ms)
            # Else the application has subscribed in this connection: the next one goes on in the session as it is.
            if session.is_renewing or not session.may_renew():
                self._again(now_ms)
                return True
        return not session.is_settling

    def _renew_session(self, now_ms: int) -> None:
        """With the next connection, if that can be. What ended in the old one is on storage first."""
        if self._session.may_renew() and (not self.delivery.unsaved or self._save(now_ms)):
            self._session.renew()

    def _again(self, now_ms: int) -> None:
        if self._phase == _ONLINE:
            self._end_delivery()
        self._transport.close()
        self._phase = _OFFLINE
        self._retry_at = now_ms

    def _end(self, now_ms: int, reason: str, longest: bool = False) -> None:
        """This side ends the connection."""
        self._transport.close()
        self._close_phase(now_ms, reason, longest)

    def _ended(self, now_ms: int) -> None:
        """The transport says that it is down."""
        transport = self._transport
        self._session.broker_ended(self._phase == _ONLINE)
        if self._phase == _ONLINE and transport.dropped and transport.reason_code not in _NOT_THE_MESSAGE:
            seq = self.delivery.suspect()
            if self._poison.ended(seq):
                self.delivery.end_connection()
                if self.delivery.refuse(seq, CONNECTION_DROPPED):
                    self._poison.parked()
        self._close_phase(now_ms, transport.reason, transport.refused)

    def _close_phase(self, now_ms: int, reason: str, longest: bool) -> None:
        was_online = self._phase == _ONLINE
        self._phase = _OFFLINE
        self._end_delivery()
        if was_online:
            self._backoff.lasted(now_ms - self._opened_at)
            self._session.ended()
        delay_ms = self._backoff.longest_ms() if longest else self._backoff.next_ms()
        if was_online and not longest and self._refused() > self._refusals:
            delay_ms = min(delay_ms, RECONNECT_AFTER_REFUSAL_MS)
        self._retry_at = now_ms + delay_ms
        self.down_reason = reason
        self._tell_end(reason)

    def _refused(self) -> int:
        return sum([lane.delivery.refusals for lane in self.lanes])

    def _tell_end(self, reason: str) -> None:
        if self._is_told:
            self._is_told = False
            self._listener.disconnected(reason)

    def _end_delivery(self) -> None:
        self._out = self._nothing
        self._out_at = 0
        self.delivery.end_connection()

    # --- bytes ---

    def _receive(self, now_ms: int) -> None:
        came = self._transport.receive()
        if not came:
            return
        try:
            later = self.delivery.acknowledge(came)
        except ProtocolError as confusion:
            self._end(now_ms, "protocol error: %s" % confusion)
            return
        self._poison.answered()
        self._backoff.reset()
        if later:
            had_paused = self._session.pause()
            self._end(now_ms, "the broker asks for a pause (reason code 0x%02x)" % later, had_paused)
        else:
            self._session.answered()

    def _send(self, now_ms: int) -> bool:
        """True if there may be more to send at once."""
        had_to_wait = self.wants_to_write()
        if not self._pass_on(now_ms):
            return False
        if had_to_wait:
            self._moved(now_ms)  # the time of the oldest message begins with the last of these bytes
        stream = self.delivery.stream
        if stream is not None:
            return self._go_on(now_ms, stream)
        if self.delivery.must_save() and not self._gathers(now_ms) and not self._save(now_ms):
            return False
        if self._disk_rests(now_ms):
            return False
        limit = 1 if self._poison.is_probing else self.delivery.limit
        if self._transport.protocol == 5:
            limit = min(limit, self._transport.receive_maximum)
        out = self._buffer
        if len(out) > 2 * self._send_bytes:
            out = self._buffer = bytearray()  # the room of one large message is not kept
        out[:] = b""
        settled = self.delivery.progress()
        try:
            self.delivery.fill(out, self._transport, limit, not self.draining, now_ms, self._clock)
            if self._reclaim_at < 0:
                self.store_error = ""
        except OSError as failure:
            self._disk_failed(now_ms, failure)  # what stands in out is marked as sent, so it goes out
        if not out:
            # Nothing could be sent before a save: at once, for it may be long until something else happens. Or all that
            # was read was too old, and there may be more.
            must_save = self.delivery.must_save() and not self._gathers(now_ms)
            more = must_save or self.delivery.progress() != settled
            return more and not self._disk_rests(now_ms)
        self._out = out
        self._out_at = 0
        return self._pass_on(now_ms)

    def _go_on(self, now_ms: int, stream: "Stream") -> bool:
        """The next piece of a packet that was begun: nothing else may be sent before its end. True if there is more."""
        if self._disk_rests(now_ms):
            return False
        try:
            piece = stream.next_piece()
        except OSError as failure:
            self._disk_failed(now_ms, failure)
            return False
        if piece is None:
            # Before the packet is complete: no broker ever takes it.
            self._end(now_ms, "a payload on storage is damaged")
            return False
        self._out = piece
        return self._pass_on(now_ms)

    def _pass_on(self, now_ms: int) -> bool:
        """Hand the bytes that are ready to the transport; True if it took all."""
        stream = self.delivery.stream
        follows = stream.left if stream is not None else 0
        while self._out_at < len(self._out):
            out = memoryview(self._out)[self._out_at :] if self._out_at else self._out
            taken = self._transport.send(out, follows)
            if taken == 0:
                return False
            if taken < len(self._out) or stream is not None:
                self._moved(now_ms)  # the oldest message may be in these bytes: its time begins with the last of them
            self._out_at += taken
        self._out = self._nothing
        self._out_at = 0
        self.delivery.taken()
        return True

    def _watch(self, now_ms: int) -> None:
        """An acknowledgement that does not come ends the connection (law 9): the repeat follows the reconnect."""
        is_sending = self.wants_to_write() or self.delivery.stream is not None
        self._waits_since = self.delivery.watch(now_ms, is_sending)
        if now_ms - self._waits_since >= self._ack_timeout_ms:
            self._end(now_ms, "no acknowledgement for %d ms" % self._ack_timeout_ms)

    def _moved(self, now_ms: int) -> None:
        self._waits_since = now_ms
        self.delivery.moved(now_ms)

    # --- storage ---

    def _disk_rests(self, now_ms: int) -> bool:
        """After a failure the delivering side leaves the disk alone for a while."""
        return bool(self.store_error) and now_ms < self._store_retry_at

    def _disk_failed(self, now_ms: int, failure: OSError) -> None:
        self.store_error = str(failure) or "OSError"
        self._store_retry_at = now_ms + STORE_RETRY_MS

    def _gathers(self, now_ms: int) -> bool:
        """The PUBRECs that are to be saved may wait for others that are due."""
        if not self._gather_ms or self.delivery.is_urgent():
            return False
        if not any(lane.delivery.window.count(SENT_2) for lane in self.lanes):
            return False
        if self._gather_by < 0:
            self._gather_by = now_ms + self._gather_ms
        return now_ms < self._gather_by

    def _save(self, now_ms: int) -> bool:
        if self._disk_rests(now_ms):
            return False
        self._gather_by = -1
        try:
            self.delivery.save()
        except OSError as failure:
            self._disk_failed(now_ms, failure)
            return False
        self._reclaim(now_ms)
        return True

    def _reclaim(self, now_ms: int) -> None:
        if now_ms < self._reclaim_at:
            return
        try:
            self.delivery.reclaim()
        except OSError as failure:  # which keeps nothing from being sent
            self.store_error = str(failure) or "OSError"
            self._reclaim_at = now_ms + STORE_RETRY_MS
        else:
            self.store_error = ""
            self._reclaim_at = -1

    def _save_if_due(self, now_ms: int) -> None:
        if (self.store_error or self._reclaim_at >= 0) and not self._disk_rests(now_ms):
            self._reclaim(now_ms)
        if not self.delivery.unsaved:
            self._unsaved_since = -1
            return
        if self._unsaved_since < 0:
            self._unsaved_since = now_ms
        is_due = now_ms - self._unsaved_since >= self._checkpoint_delay_ms
        if (is_due or self.delivery.could_reclaim()) and self._save(now_ms):  # a small flash is full within the delay
            self._unsaved_since = -1

    def _spill_if_due(self, spill: "Spill", now_ms: int) -> bool:
        """True if there may be more to send at once."""
        if self._disk_rests(now_ms):
            return False
        waits_ms = max(0, self._waits_ms(now_ms))
        try:
            return spill.step(now_ms, self._phase == _ONLINE, waits_ms, self.draining and self._is_idle())
        except OSError as failure:
            self._disk_failed(now_ms, failure)
            return False

    def _waits_ms(self, now_ms: int) -> int:
        """For how long it has been the broker's turn, or the transport's; -1: it is not."""
        if self._phase == _ONLINE and (self.delivery.awaits() or self.wants_to_write()):
            return now_ms - self._waits_since
        return -1

    def _next_due(self, now_ms: int) -> int:
        due = _IDLE_MS
        if self._phase == _OFFLINE and not self.draining:
            due = min(due, self._retry_at - now_ms)
        elif self._phase == _CONNECTING:
            due = min(due, self._opened_at + self._connect_timeout_ms - now_ms)
        if self._phase != _ONLINE and self._expires:
            due = min(due, self._clock_watch_at - now_ms)
        waits_ms = self._waits_ms(now_ms)
        if waits_ms >= 0:
            due = min(due, self._ack_timeout_ms - waits_ms)
        if self._phase == _ONLINE:
            paced_ms = self.delivery.paced_ms(now_ms)
            if paced_ms >= 0:
                due = min(due, paced_ms)
            if self._gather_by > now_ms:  # else it is the transport or the disk that is waited for
                due = min(due, self._gather_by - now_ms)
            if self.spill is not None:
                due = min(due, self.spill.due_ms(now_ms, waits_ms))
        if self.store_error or self._reclaim_at >= 0:  # before that nothing is tried
            due = min(due, max(self._store_retry_at, self._reclaim_at) - now_ms)
        if not self.store_error and self._unsaved_since >= 0:
            due = min(due, self._unsaved_since + self._checkpoint_delay_ms - now_ms)
        return max(0, due)
