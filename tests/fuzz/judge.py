"""An engine starts on a damaged cache, at a broker: what must hold whatever the bytes are."""

from collections.abc import Callable

from persistmq_core.contracts import Store
from tests.support.bad_blocks import BadBlockStore
from tests.support.rng import Rng
from tests.support.world import World

from .caches import COUNT, OPTIONS, make
from .mutations import Damaged, mutate

ENDS = ("delivered", "expired", "evicted", "refused", "damaged", "waiting")
_LIMIT_MS = 600_000
_MUTATIONS_MAX = 4


class Broken(AssertionError):
    """What was promised does not hold."""


def lay_in_ram(damaged: Damaged) -> Store:
    store = BadBlockStore()
    damaged.lay(store)
    return store


def one(rng: Rng, lay: Callable[[Damaged], Store] = lay_in_ram) -> None:
    """Damage a cache as ``rng`` says and start on it; ``lay`` makes the store. Raises Broken."""
    damaged = mutate(make(rng.below(COUNT)), rng, 1 + rng.below(_MUTATIONS_MAX))
    try:
        judge(damaged, lay(damaged), rng)
    except Exception as error:
        raise Broken("%s: %s, after %s" % (type(error).__name__, error, damaged.story)) from error


def judge(damaged: Damaged, store: Store, rng: Rng) -> None:
    """Raises Broken. ``store`` holds the files."""
    cache = damaged.cache
    broker = cache.broker()
    session_kept = bool(rng.below(3))
    if not session_kept:
        broker.restart(False)
    world = World(4 + rng.below(2), store, broker, **OPTIONS)  # that it starts at all is the first law
    check_accounts(world)
    published = dict(cache.published)
    new = [b"new %d" % number for number in range(3)]
    for payload in new[:1]:
        world.publish(payload, 2)
    drain(world)
    for payload in new[1:]:
        world.publish(payload, 2)
    drain(world)
    published.update(dict.fromkeys(new, 2))

    came = world.arrived()
    if damaged.is_hopeless or (damaged.foreign and len(damaged.checkpoints_lost) == 2):
        return  # it started, and it came to an end: without a checkpoint, which of two caches is the one?
    unknown = [payload for payload in came if payload not in published]
    if unknown:
        raise Broken("delivered and never published: %r" % unknown[0])
    owed = cache.owed() - damaged.may_cost
    # Where the journal's end is gone without a trace, new messages may get the numbers of others, which the broker
    # still holds: FORMAT.md, known downsides.
    numbers_are_new = damaged.end_is_whole or not session_kept
    if numbers_are_new:
        owed |= set(new)
    lost = [payload[:9] for payload in published if payload in owed and payload not in came]
    if lost:
        raise Broken("%d whole records were not delivered: %r" % (len(lost), lost))
    if not damaged.checkpoints_lost and session_kept:
        twice = [payload[:9] for payload, qos in published.items() if qos == 2 and came.count(payload) > 1]
        if twice:
            raise Broken("QoS 2 came twice: %r" % twice)
    accepted = len(published) - len(cache.refused)
    if damaged.knows_all_numbers() and not accepted <= world.account("accepted") <= len(published):
        raise Broken("%d were accepted: %r" % (accepted, world.engine.accounts()))
    if world.link.violations or (broker.violations and numbers_are_new):
        raise Broken("%r" % (broker.violations + world.link.violations))


def drain(world: World) -> None:
    until_ms = world.now_ms + _LIMIT_MS
    while world.account("waiting"):
        world.run(3000)
        check_accounts(world)
        if world.now_ms > until_ms:
            raise Broken("it stands still: %r %r" % (world.engine.accounts(), world.engine.store_error))
    world.run(3000)
    check_accounts(world)


def check_accounts(world: World) -> None:
    accounts = world.engine.accounts()
    if min(accounts.values()) < 0 or accounts["accepted"] != sum(accounts[name] for name in ENDS):
        raise Broken("law 2: %r" % accounts)
