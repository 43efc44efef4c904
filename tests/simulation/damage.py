"""A disk that forgets: bytes of what was synced change while no process runs, and files turn up that are not ours."""

from binascii import crc32
from struct import pack

from persistmq_core import checkpoint as checkpoints
from persistmq_core.bundles import COUNT, decode
from persistmq_core.payloads import FILE, payload_name
from persistmq_core.record import frame_bytes
from persistmq_core.segment import HEADER_BYTES, JOURNAL, PAYLOADS, encode_header, parse_name, read_header
from tests.support.rng import Rng

KINDS = ("record", "record", "header", "checkpoint", "checkpoints", "foreign segment", "foreign file")
_FOREIGN_ID = 0xF00DF00D
_FOREIGN_NAMES = ("journal/readme.txt", "journal/0000000000000001.seg", "notes")


def damage(world: "object", kind: str, rng: Rng) -> str:
    """Do it between two processes; says in words what was done, and notes in ``world`` what may be lost by it."""
    if kind == "foreign file":
        name = rng.pick(_FOREIGN_NAMES)
        world.disk.put(name, b"not ours")
        world.marks.append(b"not ours")
        return name
    if kind == "foreign segment":
        name = "%s/%016x-%08x.seg" % (JOURNAL, rng.between(1, 50), _FOREIGN_ID)
        content = encode_header(1, 0, _FOREIGN_ID) + b"another cache's"
        if world.laws.durable_checkpoint() is None or world.disk.content(name) is not None:
            return "nothing"  # a new cache, or one that cannot be told from it, would take it for its own
        world.disk.put(name, content)
        world.marks.append(content)
        return name
    segments = [name for name in world.disk.names(JOURNAL) if parse_name(name)]
    if kind in ("checkpoints", "header") and len(segments) < 2 and _numbers_at_stake(world):
        return "nothing"  # all that is known of the numbers would be gone, and so what was accepted
    if kind in ("checkpoint", "checkpoints"):
        return _checkpoints(world, kind == "checkpoints", rng)
    if not segments:
        return "nothing"
    name = rng.pick(segments)
    size = len(world.disk.content(name))
    if kind == "record":
        files = [each for each in world.disk.names(PAYLOADS) if each.endswith(FILE)]
        if files and rng.one_in(2):
            return _payload(world, rng.pick(files), rng)
        if size <= HEADER_BYTES:
            return "nothing"
        return _bytes(world, segments, name, rng.between(HEADER_BYTES, size - 1), rng)
    world.laws.header_damaged = True
    return _bytes(world, segments, name, rng.below(min(size, HEADER_BYTES)), rng)


def _numbers_at_stake(world: "object") -> bool:
    return world.laws.checkpoint_damaged or world.laws.header_damaged


def _checkpoints(world: "object", both: bool, rng: Rng) -> str:
    names = [name for name in checkpoints.NAMES if world.disk.content(name) is not None]
    if not names:
        return "nothing"
    for name in names if both else [rng.pick(names)]:
        size = len(world.disk.content(name))
        world.disk.corrupt(name, rng.below(max(1, size - 3)), rng.garbage(4))
    world.laws.checkpoint_damaged = True
    if world.laws.durable_checkpoint() is None:
        world.laws.forget_wire()
    return "checkpoints" if both else "a checkpoint"


def _bytes(world: "object", segments: "list[str]", name: str, at: int, rng: Rng) -> str:
    """One to four bytes of a segment; the messages whose frames they hit may be lost."""
    before = bytes(world.disk.content(name))
    noise = bytearray(before[at : at + rng.between(1, 4)])
    for index in range(len(noise)):
        noise[index] ^= rng.between(1, 255)
    met = False
    aside = []
    for number, message in enumerate(world.messages):
        body = message.topic.encode() + message.payload
        end = before.find(body)
        reference = b""
        if end < 0:
            reference = pack("<II", len(message.payload), crc32(message.payload, parse_name(name)[1]))
            body = reference + message.topic.encode()
            end = before.find(body)
        if end < 0:
            continue
        start = end - frame_bytes(b"", b"", message.expires_s)
        end += len(body)
        if start < at + len(noise) and at < end:
            if [1 for other in segments if other > name and message.payload in bytes(world.disk.content(other))]:
                continue  # the copy of a write that failed: the one that counts came later
            will_be_read = number in world.sure and _will_be_read(world, message)
            met = met or will_be_read
            whole = world.disk.content(payload_name(world.laws.seq_of(message.payload), parse_name(name)[1]))
            if reference and will_be_read and whole is not None:
                aside.append(bytes(whole))  # it has lost its record
            world.damaged.add(message.payload)
            world.laws.spoiled(message.payload)
            world.sure.discard(number)
    world.disk.corrupt(name, at, noise)
    after = bytes(world.disk.content(name))
    world.marks = [mark for mark in world.marks if mark in after or mark not in before]
    # The end of the last one may be a torn tail: silent. One that failed while it was made is removed at the start.
    if met and [1 for other in segments if other > name and world.disk.peep(read_header, other) is not None]:
        world.marks.append(after[max(0, at - 8) : at + len(noise) + 8])
        world.marks.extend(aside)
    return "%d bytes at %d of %s" % (len(noise), at, name)


def _payload(world: "object", name: str, rng: Rng) -> str:
    """A large payload's file is changed, cut short, or gone."""
    before = bytes(world.disk.content(name))
    what = rng.pick(("changed", "changed", "short", "gone"))
    if not before:  # it was cut short to nothing
        what = "gone"
    if what == "changed":
        at = rng.below(len(before))
        world.disk.corrupt(name, at, bytes((before[at] ^ rng.between(1, 255),)))
    elif what == "short":
        world.disk.truncate(name, rng.below(len(before)))
    else:
        world.disk.vanish(name)
    after = b"" if what == "gone" else bytes(world.disk.content(name))
    world.marks = [mark for mark in world.marks if mark in after or mark not in before]
    for number, message in enumerate(world.messages):
        if name != payload_name(world.laws.seq_of(message.payload), parse_payload_id(name)):
            continue
        if number in world.sure and _will_be_read(world, message) and not message.expires_s and after:
            world.marks.append(after)
        world.damaged.add(message.payload)
        world.laws.spoiled(message.payload)
        world.sure.discard(number)
    return "%s is %s" % (name, what)


def parse_payload_id(name: str) -> int:
    """The cache in its name."""
    return int(name[-len(FILE) - 8 : -len(FILE)], 16)


def _will_be_read(world: "object", message: "object") -> bool:
    """So that its damage will be met, and what did not read must be kept."""
    state = world.laws.durable_checkpoint()
    seq = world.laws.seq_of(message.payload)
    if state is None or seq >= state.cursor + len(state.places):
        return True
    if state.bundles:
        for first, entry in decode(state)[3].items():
            if first <= seq < first + (entry & COUNT):
                seq = first  # its place says how far the bundle is
    return seq >= state.cursor and state.places[seq - state.cursor] == checkpoints.PLACE_WAITING


def spoil(world: "object", number: int) -> None:
    """Change one byte in the middle of the stored message with this number, or of the first one that is stored."""
    for message in world.messages[number:]:
        for name in world.disk.names(JOURNAL):
            content = bytes(world.disk.content(name))
            at = content.find(message.payload)
            if at >= 0:
                segments = [each for each in world.disk.names(JOURNAL) if parse_name(each)]
                _bytes(world, segments, name, at + len(message.payload) // 2, Rng(3))
                return
        for name in world.disk.names(PAYLOADS):
            if world.disk.content(name) == message.payload:
                _payload(world, name, Rng(3))
                return


def wreck(world: "object") -> None:
    """Change the header of the last segment, and the beginning of the frame behind it."""
    segments = [each for each in world.disk.names(JOURNAL) if parse_name(each)]
    if segments:
        world.laws.header_damaged = True
        for at in (0, HEADER_BYTES):
            _bytes(world, segments, segments[-1], at, Rng(3))
