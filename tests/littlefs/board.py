"""A board: flash, core and link, at a broker that remembers. It knows what publish() returned for, and what must be."""

from persistmq_core.errors import StoreError
from tests.support.model_broker import ModelBroker
from tests.support.rng import Rng
from tests.support.world import World

from .flash import Flash, Watch
from .store import LittleFsStore

ENDS = ("delivered", "expired", "evicted", "refused", "damaged", "waiting")


class Board:
    """``image`` is its flash; a reboot makes a new ``flash`` and ``world`` on it and keeps the rest."""

    def __init__(self, image: bytearray, broker: "ModelBroker | None" = None, **options: object) -> None:
        self.image = image
        self.broker = broker or ModelBroker()
        self.options = {"segment_bytes_max": 4096, "read_bytes": 1024, "window": 16, "window_qos2": 8} | options
        self.published: dict[bytes, int] = {}  # payload -> QoS, of all that was tried, in order
        self.promised: list[bytes] = []  # publish() returned
        self.reboots = 0
        self.flash: Flash
        self.store: LittleFsStore
        self.world: World

    def boot(self, cut_at: "int | None" = None, cut_is_half: bool = False, before_each: "Watch | None" = None) -> None:
        """Raises PowerCut if the power fails meanwhile."""
        self.flash = Flash(self.image)
        self.flash.before_each = before_each
        self.flash.cut_at, self.flash.cut_is_half = cut_at, cut_is_half
        self.store = LittleFsStore(self.flash)
        self.world = World(store=self.store, broker=self.broker, **self.options)

    def die(self, rng: Rng) -> None:
        """The power is gone. Some of what was on the way to the broker arrives."""
        self.reboots += 1
        self.store.abandon()
        if self.broker.connected("model"):
            self.world.link.abandon(rng.below(self.world.link.on_the_way() + 1))

    def publish(self, count: int, qos: int, bytes_each: int) -> bool:
        """One group. False if it was refused for want of space."""
        group = [b"%d " % (len(self.published) + index) + b"." * bytes_each for index in range(count)]
        for payload in group:
            self.published[payload] = qos
            self.world.engine.spool.stage("t", payload, qos, False, 0)
        try:
            self.world.store_staged()
        except StoreError:
            return False
        self.promised += group
        return True

    def drain(self, limit_ms: int = 600_000) -> None:
        until_ms = self.world.now_ms + limit_ms
        while self.world.account("waiting"):
            self.world.run(200)
            assert self.world.now_ms < until_ms, ("not delivered", self.world.accounts(), self.world.engine.store_error)
        self.world.run(5000)  # and nothing comes after the end

    def check_accounts(self) -> None:
        accounts = self.world.engine.accounts()
        assert accounts["accepted"] == sum(accounts[name] for name in ENDS), accounts
        assert min(accounts.values()) >= 0, accounts
        assert accounts["damaged"] == 0, accounts
        assert self.world.violations() == [], self.world.violations()

    def judge(self) -> None:
        """After a drain: all that was promised is there, QoS 2 once, in order; nothing that was not published."""
        self.check_accounts()
        came = self.world.arrived()
        numbers = {payload: number for number, payload in enumerate(self.published)}
        assert set(came) <= set(numbers)
        lost = [payload for payload in self.promised if payload not in came]
        assert lost == [], ("lost", lost[0][:20], len(lost))
        for qos in (1, 2):
            of_it = [numbers[payload] for payload in came if self.published[payload] == qos]
            first_of_each = list(dict.fromkeys(of_it))
            assert first_of_each == sorted(first_of_each), ("out of order", qos, first_of_each)
            assert qos == 1 or of_it == first_of_each, ("twice", of_it)
