"""What a program does, drawn from its seed before it begins: settings, and a list of plain tuples.

A tuple holds all that is random about its action, so that a list with some of them left out still means the same:
that is what makes a failure shrinkable, and replayable on another interpreter.
"""

from persistmq_core.limits import PACKET_ID_SPAN
from tests.support import mqtt_wire as wire
from tests.support.rng import Rng
from tests.support.write_list_store import EIO, ENOSPC

from . import damage

ENOMEM = 12
EMFILE = 24
_DISK_FAULTS = (("append", ENOSPC, 0), ("append", ENOSPC, 17), ("sync", EIO, 0), ("replace", ENOSPC, 0),
                ("replace", EIO, 9), ("remove", EIO, 0), ("read", EIO, 0), ("move", EIO, 0))  # fmt: skip
# Reason codes of MQTT 5: some are for the message, two ask to be left alone for a while.
_REFUSALS = (0x80, 0x83, 0x87, 0x90, 0x97, 0x91, 0x99)
FAULTS = (
    "crash", "disk", "link", "broker", "kinds", "full", "expiry", "lanes", "identity", "refuse", "poison", "damage",
    "slots", "spill", "bulk", "large", "starved",
)  # fmt: skip
IN_SETTINGS = ("kinds", "full", "expiry", "lanes", "spill", "identity", "bulk", "large")  # that are no actions


def draw_settings(rng: Rng, faults: "list[str]") -> "dict[str, object]":
    """A world; a broker of another kind than Mosquitto only with the fault "kinds"."""
    settings = {
        "protocol": rng.pick((4, 5)),
        "deliver_at": rng.pick(("pubrel", "pubrel", "publish")),
        "receive_maximum": rng.pick((65535, 65535, 1, 3)),
        "window": rng.pick((1, 2, 4, 8, 16)),
        "window_qos2": rng.pick((1, 2, 4, 8)),
        "segment_bytes_max": rng.pick((1024, 1024, 4096)),
        "checkpoint_delay_ms": rng.pick((0, 50, 1000)),
        "read_bytes": rng.pick((64, 300, 4096)),
        "latency_ms_max": rng.pick((0, 5, 200)),
        "busy_percent": rng.pick((0, 0, 20)),
        "short_percent": rng.pick((0, 0, 30)),
        "bytes_per_tick": rng.pick((None, None, 7)),
        "keep_failed": rng.one_in(3),
        "trust": rng.one_in(5),
    }
    settings["direct"] = settings["read_bytes"] == 300
    settings["gather_ms"] = 3 if settings["window_qos2"] > 2 and settings["window"] % 3 == 1 else 0  # and draw no more
    settings["session_is_ours"] = settings["window"] in (1, 4, 16)
    settings["subscribes"] = settings["window"] == 4
    settings["surveyed_max"] = 4 if settings["latency_ms_max"] == 5 else 64
    if "kinds" in faults:
        if "refuse" not in faults:
            settings["qos2_answer"] = rng.pick(("pubrec", "puback"))
        kind = rng.pick(("", "denies_session", "loses_above_max"))
        if kind == "loses_above_max" and ("poison" in faults or "refuse" in faults):
            kind = ""  # a message parked as poison, or whose repeat was refused, may stay unreleased at the broker
        if kind:
            settings[kind] = True
            if kind == "denies_session":
                settings["trust"] = False  # such a broker is not to be trusted with what it says it has lost
    if "expiry" in faults:
        settings["expires_s_max"] = rng.pick((1, 4, 20))
        settings["clock"] = rng.pick(("valid", "none", "late", "set"))
    if "lanes" in faults:
        settings["drain"] = rng.pick(("in_order", "live_first", "interleaved"))
        settings["window_qos2"] = max(2, settings["window_qos2"])  # each lane has half of it
    if "identity" in faults:
        settings["protocol"] = 5
        settings["identity"] = True
    if "full" in faults:
        settings["cache_messages_max"] = rng.pick((0, 4, 10, 40))
        settings["cache_bytes_max"] = rng.pick((0, 4096, 6000))
        settings["evicts"] = rng.one_in(2)
    if "spill" in faults:
        settings["spill_bytes"] = rng.pick((2048, 2048, 4096, 20000))
        settings["spill_after_ms"] = rng.pick((1, 50, 500))
        # The last: after one power cut numbers meet packet identifiers from just before it, as two of the real ones do.
        settings["spill_numbers"] = rng.pick((1, 20, 30000, PACKET_ID_SPAN - 10))
    if "bulk" in faults:
        settings["bulk"] = min(rng.pick((2, 3, 5, 12)), settings.get("cache_messages_max") or 12)
        settings["bulk_form"] = rng.pick(("simple", "persistmq"))
        settings["bulk_rewrite"] = rng.pick(("bulk", "mixed/bulk"))
        settings["bulk_bytes_max"] = rng.pick((256, 600, 4096))
        settings["bulk_changes"] = rng.one_in(4)
    if "large" in faults:
        settings["inline_bytes_max"] = rng.pick((5, 30, 200))
        settings["send_bytes"] = rng.pick((20, 90, 65536))
    return settings


def draw_action(rng: Rng, faults: "list[str]", is_calm: bool = False) -> "tuple":
    """One action; about every seventh is trouble, every twentieth if it ``is_calm``."""
    chance = rng.below(100)
    if chance < 40:
        shapes = [_shape(rng) for _ in range(rng.pick((1, 1, 1, 2, 5)))]
        how = rng.pick(("write", "write", "write", "write", "stage", "meanwhile"))
        return ("publish", how, tuple(shapes))
    if chance < (95 if is_calm else 85) or not faults:
        return ("time", tuple([rng.pick((0, 1, 10, 100, 1000)) for _ in range(rng.between(1, 6))]))
    return _trouble(rng, rng.pick(faults))


def _shape(rng: Rng) -> "tuple[int, bool, int]":
    """(QoS, retain, size) of a message."""
    size = rng.pick((0, 0, 10, 40, 300))
    return rng.pick((0, 1, 1, 2, 2, 2, 2)), rng.one_in(10), size


def _trouble(rng: Rng, kind: str) -> "tuple":
    if kind == "crash":
        if rng.one_in(2):
            return ("power", rng.between(1, 10), rng.word())
        # The last one: the power fails again, so many calls into the start.
        return ("restart", rng.one_in(2), rng.word(), rng.between(1, 12) if rng.one_in(8) else 0)
    if kind == "disk":
        return ("disk",) + rng.pick(_DISK_FAULTS) + (rng.pick((1, 1, 2)),)
    if kind == "link":
        return ("link", rng.pick(("cut", "reset", "freeze", "thaw")))
    if kind == "refuse":
        return ("refuse", rng.below(3), rng.pick(_REFUSALS), rng.pick((1, 1, 2, 5)))
    if kind == "poison":
        return ("poison", rng.below(3))
    if kind == "damage":
        return ("damage", rng.pick(damage.KINDS), rng.word())
    if kind == "starved":
        return ("starved", rng.pick(("list", "size", "read", "read")), rng.below(8), rng.pick((EMFILE, ENOMEM)))
    if kind == "slots":
        return ("damage", "checkpoint", rng.word())
    action = rng.pick(("restart", "forget", "away", "back", "refuse", "accept", "silent"))
    if action == "silent":
        return ("silent", rng.pick((wire.PUBACK, wire.PUBREC, wire.PUBCOMP, wire.CONNACK)))
    return ("broker", action)
