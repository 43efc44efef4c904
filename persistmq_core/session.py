"""The broker's session: whether to go on in it, or to have the broker begin a new one.

What a broker keeps of a session must be what is known of it here. Two things can part them. Both checkpoints are lost:
then the broker holds identifiers that nobody here knows. Or the broker comes back from an older save of its own: then
it holds handshakes that ended long ago. Mosquitto counts these against its bound; it loses as many messages (3.1.1), or
takes none any more (5.0). So behind a connection that was lost, what may be in flight is brought to its end and stored,
and then the broker is made to forget the session.
"""

from .contracts import Transport
from .limits import const

TYPE_CHECKING = False  # no module "typing" on a board
if TYPE_CHECKING:
    from .delivery import Delivery
    from .lane import Lane
    from .lanes import Lanes

_RECEIVE_MAXIMUM_EXCEEDED = const(0x93)


class Session:
    """``delivery``: of all ``lanes``. ``trusts``: believe the PUBRECs of a session that the broker lost."""

    def __init__(self, transport: Transport, delivery: "Delivery | Lanes", lanes: "list[Lane]", trusts: bool) -> None:
        self._transport = transport
        self._delivery = delivery
        self._lanes = lanes
        self._trusts = trusts
        in_doubt = any(lane.delivery.checkpoint.in_doubt for lane in lanes)
        # The next connection, or this one, is only there to make the broker forget the old session.
        self.is_renewing = in_doubt and not delivery.session_known()
        self._was_renewed = False  # the broker has just been made to: what it says of a session is of the new one
        self.is_settling = False  # this connection first ends what may be in flight; nothing is begun before
        self._distrusts = not self._is_behind()  # the broker may hold what is over
        self._had_to_pause = False  # the broker said so, and has taken nothing since

    def is_due(self) -> bool:
        """The next connection may be there to renew it: nothing is in flight."""
        return self._distrusts and self._is_behind()

    def may_renew(self) -> bool:
        """Nothing that the application subscribed to is lost with it, or the broker takes nothing in the old one."""
        return self._had_to_pause or self._transport.session_is_ours

    def renew(self) -> None:
        """With the next connection."""
        self.is_renewing = True
        self._distrusts = False

    def begin(self) -> bool:
        """A connection came up. False: connect again, for in this one nothing is to be sent."""
        delivery = self._delivery
        known = delivery.session_known()
        is_present = self._transport.session_present
        if self.is_renewing:
            self.is_renewing = False
            self._was_renewed = True
            if self._transport.protocol == 4:  # which cannot drop an old session and keep the new one in one CONNECT
                return False
        if not known and is_present and not self._was_renewed:
            # The broker holds identifiers of which nothing is known here; a new message under one of them would be
            # taken for a repeat and dropped. (5.0, 3.2.2.1.1: the client must not go on with such a session.)
            self.is_renewing = True
            return False
        if known and is_present:
            delivery.resume()
            self._settle(self._distrusts and self.may_renew())
        else:
            delivery.forget(self._trusts)
            self._settle(False)
        return True

    def go_on(self) -> None:
        """What had to be stored before the first byte is."""
        self._was_renewed = False

    def has_resent(self) -> bool:
        """All that may be in flight was sent again in this connection; with its handshakes over it is settled."""
        return self.is_settling and self._delivery.stream is None and all(
            lane.delivery.has_walked() for lane in self._lanes
        )

    def end_settling(self) -> bool:
        """It is settled. True: renew the session. False: it is known now that there was nothing of QoS 2, so go on."""
        if self._had_to_pause or self._has_released():
            return True
        self._settle(False)
        return False

    def broker_ended(self, was_online: bool) -> None:
        """The other side ended a connection, or the attempt at one, with the transport's reason code."""
        if self._transport.reason_code == _RECEIVE_MAXIMUM_EXCEEDED:
            # By the broker's count, not by ours. Said of what may be in flight it can come to no end in this session.
            self._had_to_pause = True
            self.is_renewing = self.is_renewing or (was_online and self.is_settling)

    def ended(self) -> None:
        """A connection that was up ended, whoever ended it."""
        if self.is_settling or self._has_released():
            self._distrusts = True

    def pause(self) -> bool:
        """The broker asks for a pause; True if it had before. The first time it may count what is over."""
        before = self._had_to_pause
        self._had_to_pause = self._distrusts = True
        return before

    def answered(self) -> None:
        """The broker took something."""
        if not self.is_settling:
            self._had_to_pause = False

    def _settle(self, is_settling: bool) -> None:
        self.is_settling = is_settling
        self._distrusts = False
        for lane in self._lanes:
            lane.delivery.only_resends = is_settling

    def _is_behind(self) -> bool:
        return all(lane.delivery.has_resent() for lane in self._lanes)

    def _has_released(self) -> bool:
        return any(lane.delivery.has_released for lane in self._lanes)
