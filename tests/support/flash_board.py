"""A board at a broker that remembers: its flash loses power again and again; what was promised must arrive.

Runs on CPython over littlefs-python (``tests/littlefs``) and on MicroPython over the port's own store
(``tests/board/on_board/lives_job.py``), with the same seeds.
"""

from persistmq_core.direct import Direct
from persistmq_core.errors import StoreError

from .model_broker import ModelBroker
from .world import World
from .write_list_store import PowerCut

ENDS = ("delivered", "expired", "evicted", "refused", "damaged", "waiting")


class FlashBoard:
    """What publish() returned for is in ``promised``. A reboot makes a new ``world`` and keeps the rest.

    To be derived from: ``power_on`` and ``power_off`` are the flash's.
    """

    def __init__(self, broker: "ModelBroker | None" = None, **options: object) -> None:
        self.broker = broker or ModelBroker()
        self.options = {"segment_bytes_max": 4096, "read_bytes": 1024, "window": 16, "window_qos2": 8}
        self.options.update(options)
        self.published = []  # (payload, QoS) of all that was tried, in order; a payload begins with its index
        self.promised = []  # payloads: publish() returned
        self.reboots = 0
        self.world = None

    def power_on(self, cut_at: "int | None", cut_is_half: bool) -> object:
        """The store on what the flash holds. ``cut_at``: the program or erase at which the power fails.

        From then on each call of the store raises PowerCut, as this one does if it fails meanwhile.
        """
        raise NotImplementedError

    def power_off(self) -> None:
        """Nothing reaches the flash any more."""
        raise NotImplementedError

    def boot(self, cut_at: "int | None" = None, cut_is_half: bool = False) -> None:
        """Raises PowerCut if the power fails meanwhile."""
        self.world = None
        store = self.power_on(cut_at, cut_is_half)
        self.world = World(store=store, broker=self.broker, **self.options)

    def die(self, rng: "object") -> None:
        """The power is gone. Some of what was on the way to the broker arrives."""
        self.reboots += 1
        self.power_off()
        if self.world is not None:
            self.world.link.abandon(rng.below(self.world.link.on_the_way() + 1))

    def publish(self, count: int, qos: int, bytes_each: int) -> bool:
        """One group, or one message as a board stores it. False if it was refused for want of space."""
        group = []
        if count == 1:
            return self._publish_one(qos, bytes_each)
        for _ in range(count):
            payload = b"%d " % len(self.published) + b"." * bytes_each
            group.append(payload)
            self.published.append((payload, qos))
            self.world.engine.spool.stage("t", payload, qos, False, 0)
        try:
            self.world.store_staged()
        except StoreError:
            return False
        self.promised += group
        return True

    def _publish_one(self, qos: int, bytes_each: int) -> bool:
        payload = b"%d " % len(self.published) + b"." * bytes_each
        self.published.append((payload, qos))
        engine = self.world.engine
        try:
            Direct().store(engine.spool, "t", payload, qos, False, 0)
        except StoreError:
            return False
        self.promised.append(payload)
        return True

    def drain(self, limit_ms: int = 600_000) -> None:
        until_ms = self.world.now_ms + limit_ms
        while self.world.account("waiting"):
            self.world.run(200)
            assert self.world.now_ms < until_ms, ("not delivered", self.world.accounts(), self.world.engine.store_error)
        self.world.run(5000)  # and nothing comes after the end

    def check_accounts(self) -> None:
        accounts = self.world.engine.accounts()
        assert accounts["accepted"] == sum([accounts[name] for name in ENDS]), accounts
        assert min(accounts.values()) >= 0, accounts
        assert accounts["damaged"] == 0, accounts
        assert self.world.violations() == [], self.world.violations()

    def judge(self) -> None:
        """After a drain: all that was promised is there, QoS 2 once, in order; nothing that was not published."""
        self.check_accounts()
        came = self.world.arrived()
        seen = set(came)
        lost = [payload for payload in self.promised if payload not in seen]
        assert lost == [], ("lost", lost[0][:20], len(lost))
        first_of = ([], [], [])  # by QoS: numbers, each once, in the order in which they came first
        known = set()
        for payload in came:
            number = int(payload.split()[0])
            published, qos = self.published[number]
            assert payload == published, ("never published", payload)
            if number in known:
                assert qos == 1, ("twice", number)
            else:
                known.add(number)
                first_of[qos].append(number)
        for numbers in first_of:
            assert numbers == sorted(numbers), ("out of order", numbers)
        accounts = self.world.engine.accounts()
        assert len(self.promised) <= accounts["delivered"] == len(known) == accounts["accepted"], (
            accounts,
            len(self.promised),
            len(known),
        )


def settings(rng: "object") -> "dict[str, object]":
    """Of one random program: the options of its engine."""
    return {"window": rng.pick((1, 4, 16)), "segment_bytes_max": rng.pick((1024, 4096, 16384))}


def live(board: FlashBoard, rng: "object", lives: int) -> None:
    """Many lives, one after the other on one flash, each cut somewhere, also while it boots; judged in the end."""
    board.broker.deliver_at = rng.pick(("pubrel", "publish"))
    while board.reboots < lives:
        try:
            board.boot(rng.between(1, rng.pick((5, 30, 200))), rng.one_in(2))
            while True:
                board.broker.listening = not rng.one_in(4)
                board.publish(rng.pick((1, 1, 3, 10)), rng.pick((1, 2, 2)), rng.pick((0, 100, 100, 700)))
                board.world.run(rng.pick((0, 1, 20, 300)))
                board.check_accounts()
        except PowerCut:
            board.die(rng)
    board.broker.listening = True
    board.boot()
    board.drain()
    board.judge()
