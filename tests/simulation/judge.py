"""What must be true when all is delivered: what the broker's subscribers saw, against what was published."""

from persistmq_core.dead_letters import FOLDER
from persistmq_core.payloads import FILE
from persistmq_core.segment import JOURNAL, PAYLOADS, parse_name

from .laws import LANES, LawBroken


def judge(world: "object") -> None:
    """All of the judgements below."""
    parked = dead_letters(world)
    counts = _as_published(world)
    _nothing_is_lost(world, counts, parked)
    _nothing_comes_twice(world, counts)
    _accounts(world, counts, parked)
    _nothing_unread_is_deleted(world)
    if world.laws.identities is not None:
        world.laws.identities.judge(world, parked)
    _room_comes_back(world)


def may_repeat(world: "object") -> bool:
    """The broker lost the session, or says so, or what the client knew of it is damaged: it is sent again as new."""
    return world.laws.sessions_lost or world.laws.checkpoint_damaged or world.broker.denies_session


def dead_letters(world: "object") -> "dict[bytes, int]":
    """Payload -> sequence number of what is parked."""
    found = {}
    for lane in LANES:
        for name in world.disk.names(lane + FOLDER):
            content = bytes(world.disk.content(name))
            beside = world.disk.content(name[: -len(FILE)] + FILE)  # a large payload
            if beside is not None and not name.endswith(FILE):
                content = content + bytes(beside)
            for message in world.messages:
                if content.endswith(message.topic.encode() + message.payload):
                    if int(name[-6:-4], 16) >= 0x80 and message.topic not in world.refused_topics:
                        raise LawBroken("2: %r is parked, and the broker has nothing against it" % message.payload)
                    found[message.payload] = lane, int(name[len(lane + FOLDER) + 1 :].split("-")[0], 16)
    return found


def _as_published(world: "object") -> "dict[bytes, int]":
    """Law 6, never delivered wrong; and the original order within a QoS. Payload -> how often it was delivered."""
    counts = {}
    last = [[-1, -1, -1], [-1, -1, -1]]  # of each lane
    numbers = {message.payload: index for index, message in enumerate(world.messages)}
    repeats = world.unordered or may_repeat(world)
    for topic, payload, qos, retain in world.broker.deliveries:
        number = numbers.get(payload, -1)
        message = world.messages[number]
        if number < 0 or message.topic != topic or message.qos != qos or message.retain != retain:
            raise LawBroken("6: delivered and never published: %r" % ((topic, payload, qos, retain),))
        if payload in world.damaged:
            continue  # the PUBREL that frees its identifier may make the broker deliver it after all
        behind = last[message.goes_ahead]
        if payload not in counts and number < behind[qos] and not repeats:
            raise LawBroken("order: %d after %d at QoS %d" % (number, behind[qos], qos))
        counts[payload] = counts.get(payload, 0) + 1
        behind[qos] = max(behind[qos], number)
    return counts


def _nothing_is_lost(world: "object", counts: "dict", parked: "dict") -> None:
    """The purpose of it all."""
    untold = 0
    for number in sorted(world.sure):
        message = world.messages[number]
        if message.qos == 0 or message.payload in counts or message.payload in parked:
            continue
        if message.payload in world.evicted or message.payload in world.expired:
            continue
        if message.payload in world.excused or message.payload in world.damaged:
            continue
        if message.expires_s and world.now_ms - message.born_ms >= message.expires_s * 1000:
            untold += 1  # power failed between the checkpoint and the telling
        else:
            raise LawBroken("lost: %r at QoS %d" % (message.payload, message.qos))
    told = len(world.expired - world.uncounted)
    if untold > world.engine.accounts()["expired"] - told and not world.laws.checkpoint_damaged:
        raise LawBroken("lost: %d messages, and they are not told to be too old" % untold)


def _nothing_comes_twice(world: "object", counts: "dict") -> None:
    """QoS 2 means once, unless the broker lost the session, or what the client knew was damaged."""
    if may_repeat(world):
        return
    if world.broker.qos2_answer == "puback":
        return  # such a broker does QoS 1 under another name
    if world.refusals and world.broker.deliver_at == "publish":
        return  # it delivers at the PUBLISH, and then refuses the repeat of it
    for message in world.messages:
        if message.payload in world.apart:
            continue
        if message.qos == 2 and counts.get(message.payload, 0) > 1:
            raise LawBroken("twice: %r was delivered %d times" % (message.payload, counts[message.payload]))


def _accounts(world: "object", counts: "dict", parked: "dict") -> None:
    """Law 2, at the end: each account against what happened outside."""
    accounts = world.engine.accounts()
    if accounts["refused"] > len(set(parked.values())):
        raise LawBroken("2: %d refused, %d parked" % (accounts["refused"], len(parked)))
    # A group that power tore in its middle looks damaged; no publish() of it had returned.
    unsure = len(world.messages) - len(world.sure)
    if accounts["damaged"] > unsure and not world.laws.header_damaged and not world.laws.checkpoint_damaged:
        raise LawBroken("2: %d damaged, and no such number was" % accounts["damaged"])
    for payload in parked:
        if payload in counts and world.laws.times_sent.get(payload, 0) < 2 and not world.laws.checkpoint_damaged:
            raise LawBroken("2: %r was delivered and parked" % payload)
    evicted_min = len(world.evicted - world.uncounted)
    if not evicted_min <= accounts["evicted"] <= len(world.evicted) and not world.laws.checkpoint_damaged:
        raise LawBroken("2: %d evicted, %d such messages" % (accounts["evicted"], len(world.evicted)))
    if accounts["expired"] < len(world.expired - world.uncounted) and not world.laws.checkpoint_damaged:
        raise LawBroken("2: %d expired, %d such messages" % (accounts["expired"], len(world.expired)))
    given_up = world.expired - world.uncounted
    if [payload for payload in given_up if payload in counts] and not may_repeat(world):
        raise LawBroken("2: an expired message was delivered")
    given_up = world.evicted - world.uncounted
    if [payload for payload in given_up if payload in counts] and not may_repeat(world):
        raise LawBroken("2: an evicted message was delivered")
    unconfirmed = [message for message in world.messages if message.qos == 0 and message.payload not in counts]
    possible = len(counts) + len(unconfirmed) + len(world.excused) + len(world.damaged)
    if accounts["delivered"] > possible and not world.laws.checkpoint_damaged:
        raise LawBroken("2: %d delivered, the broker has %d" % (accounts["delivered"], len(counts)))


def _nothing_unread_is_deleted(world: "object") -> None:
    """Law 6: what did not read is moved aside, with all its bytes; what is evicted goes without being read."""
    if not world.marks or world.evicted:
        return
    files = [bytes(world.disk.content(name)) for name in world.disk.names("")]
    for mark in world.marks:
        if not [1 for content in files if mark in content]:
            raise LawBroken("6: damaged bytes were deleted: %r" % mark)


def _room_comes_back(world: "object") -> None:
    """No large payload is left when all is settled, and what counts as held is what is there."""
    world.disk.crash_at = None  # an order for a power cut that never came
    for _ in range(1000):
        if not (world.engine.delivery.unsaved or world.engine.store_error):
            break
        world.step(5000)
    there = 0
    for lane in world.engine.lanes:
        store = lane.journal._store
        left = [name for name in store.list(PAYLOADS) if name.endswith(FILE)]
        if left:
            raise LawBroken("room: %r is left" % left)
        # But for what could not be removed, until the next try.
        names = [name for name in store.list(JOURNAL) if parse_name(name) and name != lane.journal._litter]
        there += sum([store.size(name) for name in names])
    if world.engine.held_bytes() != there:
        raise LawBroken("room: %d bytes are held, %d are there" % (world.engine.held_bytes(), there))
