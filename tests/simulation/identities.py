"""What a receiver makes of the identities that messages carry: law 10 of the simulation.

A number means one message for ever; a message that the broker lost is missed; one that was given up is not.
"""

from .laws import LawBroken


def read(said: "tuple") -> "tuple[int, int, int, list[tuple[int, int]]]":
    """(epoch, number, number before it that was sent, [(first, last) that never come]) of user properties."""
    words = dict(said)
    epoch, seq, prev, client_id = words["pmq"].split(" ")
    if client_id != "me" or len(epoch) != 8:
        raise LawBroken("10: %r" % (said,))
    never = []
    for run in words.get("pmq-never", "").split(" "):
        if run:
            first, _, last = run.partition("-")
            never.append((int(first), int(last)))
    return int(epoch, 16), int(seq), int(prev), never


class Identities:
    """Of one world, from its first start to its end."""

    def __init__(self) -> None:
        self._payload_of = {}  # (epoch, number) -> payload
        self._numbers_of = {}  # payload -> (epoch, number) of each sending
        self._anonymous = set()  # payloads that were sent without: nobody can miss them
        self._doubtful_end = {}  # epoch -> numbers before it may have been given up, and no checkpoint says so

    def copy(self) -> "Identities":
        other = Identities()
        other._payload_of = dict(self._payload_of)
        other._numbers_of = dict(self._numbers_of)
        other._anonymous = set(self._anonymous)
        other._doubtful_end = dict(self._doubtful_end)
        return other

    def key(self) -> "tuple":
        return tuple(sorted(self._doubtful_end.items())), tuple(sorted(self._payload_of.items()))

    def started_in_doubt(self, epoch: int, cursor: int) -> None:
        """A checkpoint slot did not read: recovery took what is gone for acknowledged."""
        self._doubtful_end[epoch] = max(self._doubtful_end.get(epoch, 1), cursor)

    def on_wire(self, said: "tuple", payload: bytes, seq: int) -> None:
        if not said:
            self._anonymous.add(payload)  # in a bundle of the simple form, or alone in MQTT 3.1.1
            return
        epoch, number, prev, _ = read(said)
        if number != seq or not 0 <= prev < seq:
            raise LawBroken("10: message %d says that it is %d, behind %d" % (seq, number, prev))
        if self._payload_of.get((epoch, seq), payload) != payload:
            other = self._payload_of[(epoch, seq)]
            raise LawBroken("10: in epoch %08x number %d is %r and %r" % (epoch, seq, other, payload))
        self._payload_of[(epoch, seq)] = payload
        self._numbers_of[payload] = self._numbers_of.get(payload, ()) + ((epoch, seq),)

    def judge(self, world: "object", parked: "dict") -> None:
        """At the end, when all is delivered, and all is told."""
        came = {}  # epoch -> numbers
        never = {}  # epoch -> [(first, last)]
        for _, said in world.broker.heard:
            if not said:
                continue
            epoch, seq, prev, runs = read(said)
            came.setdefault(epoch, set()).add(seq)
            never.setdefault(epoch, []).extend(runs + [(prev + 1, seq - 1)])

        def explained(epoch: int, seq: int) -> bool:
            return seq in came[epoch] or any(first <= seq <= last for first, last in never[epoch])

        given_up = world.expired | world.evicted | world.damaged | set(parked)
        for payload in world.excused - given_up - self._anonymous:
            for epoch, seq in self._numbers_of.get(payload, ()):
                if epoch in came and seq < max(came[epoch]) and seq not in came[epoch] and explained(epoch, seq):
                    raise LawBroken("10: number %d was lost, and the receiver is told that it never was" % seq)
        if self._may_miss_more(world):
            return
        not_sure = [number for message in world.messages if not message.qos
                    for number in self._numbers_of.get(message.payload, ())]  # fmt: skip
        for epoch, numbers in came.items():
            for seq in range(self._doubtful_end.get(epoch, 1), max(numbers)):
                if not explained(epoch, seq) and (epoch, seq) not in not_sure:
                    raise LawBroken("10: the receiver misses number %d, and nothing is lost" % seq)
        if len(came) > len(world.engine.lanes):
            raise LawBroken("10: a new epoch, and nothing was wrong with the last one")

    @staticmethod
    def _may_miss_more(world: "object") -> bool:
        """What told of given up numbers may be lost itself."""
        lost_in_ram = world.laws.may_spill and world.starts > 1
        return bool(world.excused or world.laws.checkpoint_damaged or world.broker.denies_session or lost_in_ram)
