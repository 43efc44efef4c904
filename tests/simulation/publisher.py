"""What publishes in a world: messages of both lanes, staged and stored in groups as a port does, or one alone."""

from persistmq_core.direct import Direct
from persistmq_core.errors import CacheFull, StoreError
from persistmq_core.limits import AHEAD_SEQ
from persistmq_core.prepared import Prepared
from persistmq_core.spool import IsLarge

from .laws import LawBroken, Laws

_UNIX_MS = 1_700_000_000_000
_SET_MS = 100_000_000


class Message:
    """What was published."""

    def __init__(self, number: int, qos: int, retain: bool, size: int, born_ms: int, expires_s_max: int) -> None:
        self.number = number
        self.goes_ahead = False
        self.topic = "t/%d" % (number % 3)
        self.payload = b"<%d>" % number + b"." * size
        self.qos = qos
        self.retain = retain
        self.born_ms = born_ms
        self.expires_s = 1 + number * 7 % expires_s_max if expires_s_max and number % 3 else 0


class Publisher:
    """Publishes into ``engine``, which whoever starts a process makes, and keeps in mind what it was told."""

    def __init__(self, settings: "dict[str, object]", laws: Laws) -> None:
        self.settings = settings
        self.laws = laws
        self.engine = None
        self.direct = None  # of this process
        self.starts = 0
        self.now_ms = 0
        self.messages = []
        self.sure = set()  # numbers of messages whose publish() returned: they must arrive
        self.staged = []  # numbers of messages that this process staged and has not written
        self.kept = {}  # spool -> a group that the disk refused, and the numbers of its messages

    def unix_ms(self) -> int:
        """The time of day, 0 if nobody has told the device."""
        clock = self.settings["clock"]
        if clock == "none" or (clock == "late" and self.now_ms < 60000):
            return 0
        return _UNIX_MS + self.now_ms + (_SET_MS if clock == "set" and self.now_ms >= 10000 else 0)

    def stage(self, qos: int, retain: bool, size: int) -> None:
        message = self.new_message(qos, retain, size)
        seq = self.accept(message)
        if seq == 0:
            return
        self.messages.append(message)
        self.laws.staged(seq, message.payload)
        self.staged.append(message.number)

    def new_message(self, qos: int, retain: bool, size: int) -> Message:
        message = Message(len(self.messages), qos, retain, size, self.now_ms, self.settings["expires_s_max"])
        message.life = self.starts
        return message

    def accept(self, message: Message, direct: "Direct | None" = None) -> int:
        """Its number, 0 if the cache is full, or a large payload could not be written."""
        stamp_ms = self.unix_ms() or self.now_ms
        spool = self.spool_for(message)
        fields = (message.topic, message.payload, message.qos, message.retain, stamp_ms, message.expires_s)
        for _ in range(2):
            try:
                try:
                    seq = spool.stage(*fields) if direct is None else direct.store(spool, *fields)
                except IsLarge:
                    seq = self.accept_large(spool, fields)
                    if seq and direct is not None:
                        self.write_now(spool)
                return seq and message.goes_ahead * AHEAD_SEQ + seq
            except CacheFull as full:
                if not self.settings["evicts"]:
                    break
                if not self.engine.make_room(self.now_ms, full.count, full.wanted_bytes):
                    break
        return 0

    def accept_large(self, spool: "object", fields: "tuple") -> int:
        prepared = Prepared(spool, [fields[:4]], fields[5])
        prepared.promise()
        try:
            prepared.write()
        except StoreError:
            prepared.give_up()
            return 0
        return prepared.stage(fields[4])

    def write_now(self, spool: "object") -> None:
        group = spool.take()
        group.write()
        spool.finish(group)
        if group.error is not None:
            spool.discard(group)
            raise group.error

    def spool_for(self, message: Message) -> "object":
        lanes = self.engine.lanes
        message.goes_ahead = len(lanes) > 1 and (message.number % 5 == 0 or self.engine.goes_ahead())
        return lanes[message.goes_ahead].spool

    def store_directly(self, qos: int, retain: bool, size: int) -> None:
        """Publish one message as a board does, while nothing is staged."""
        message = self.new_message(qos, retain, size)
        self.messages.append(message)  # before it is written: the power may fail meanwhile
        seq = self.spool_for(message).next_seq
        self.laws.staged(message.goes_ahead * AHEAD_SEQ + seq, message.payload)
        try:
            if self.accept(message, self.direct):
                self.sure.add(message.number)
                self.laws.stored([message.payload])
            else:
                self.messages.pop()
        except StoreError:
            pass  # it may be stored all the same

    def write(self, meanwhile: "tuple | None" = None) -> None:
        """Write one group of each lane, as a port does. ``meanwhile``: a message staged while the first one syncs."""
        for lane in self.engine.lanes:
            self.write_lane(lane.spool, meanwhile)
            meanwhile = None

    def write_lane(self, spool: "object", meanwhile: "tuple | None") -> None:
        group, numbers = self.kept.pop(spool, (None, []))
        if group is None:
            group = spool.take()
            numbers = [number for number in self.staged if self.lane_of(number) is spool]
            self.staged = [number for number in self.staged if number not in numbers]
        if group is None:
            return
        if meanwhile is not None:
            self.stage(*meanwhile)
        group.write()
        spool.finish(group)
        if group.error is None:
            self.sure.update(numbers)
            self.laws.stored([self.messages[number].payload for number in numbers])
        elif not isinstance(group.error, StoreError):
            raise LawBroken("errors: %r" % group.error)
        elif self.settings["keep_failed"]:
            group.error = None
            self.kept[spool] = group, numbers
        else:
            spool.discard(group)

    def lane_of(self, number: int) -> "object":
        """Where a message was staged."""
        return self.engine.lanes[self.messages[number].goes_ahead].spool
