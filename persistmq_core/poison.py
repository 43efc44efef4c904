"""A message over which the broker ends the connection each time: found by sending one at a time, then parked."""

from .limits import DROPS_BEFORE_PROBING, PROBES_BEFORE_PARKING


class Poison:
    """What the ends of connections say of the messages that were on the wire then."""

    def __init__(self) -> None:
        self._probed = 0
        self._probes = 0
        self.answered()

    def began(self) -> None:
        """A connection came up."""
        self._answered = False

    def answered(self) -> None:
        """The broker acknowledged something: it works."""
        self._answered = True
        self._drops = 0
        self.is_probing = False  # one message at a time is to be on the wire
        self._parkings = 0

    def ended(self, seq: int) -> bool:
        """The broker ended the connection while ``seq`` was the first on the wire; 0: none was. True: park it.

        If it does so each time before any answer, one message may be the cause. So after some such ends messages go one
        at a time, and one that never survives it is parked as a dead letter.
        """
        if self._answered or not seq:
            return False
        if not self.is_probing:
            self._drops += 1
            self.is_probing = self._drops >= DROPS_BEFORE_PROBING
            self._probes = 0
            return False
        self._probes = self._probes + 1 if seq == self._probed else 1
        self._probed = seq
        # A broker that ends every connection has nothing against this message: each parking without an answer between
        # makes the next one twice as hard, so that a broken broker costs a few letters and not the backlog.
        if self._probes < PROBES_BEFORE_PARKING << min(self._parkings, 16):
            return False
        self._probes = 0
        return True

    def parked(self) -> None:
        """What ``ended`` said was done."""
        self._parkings += 1
