"""Small stories in which every call and every byte is a place to cut. An action that was cut is done again."""

from tests.support.write_list_store import EIO

# name: (settings, actions). The actions are those of ``actions.py``, and some of ``cuts.Scene``.
_ONE = ((2, False, 3),)
_LARGE = ((2, False, 300),)
_FILLS = ((2, False, 600),)
_SOON = ("time", (0, 0, 0, 0, 0))
_INTO_RAM = [
    ("time", (1000, 0, 0, 0, 100)),
    ("publish", "write", _ONE),
    ("time", (0, 0, 0, 0, 0, 0)),
    ("publish", "write", _ONE),
    ("time", (0, 0, 0, 0, 0, 0, 0)),
]
_OUT_OF_RAM = [("publish", "write", _ONE), ("link", "reset"), ("time", (0,))]
_IN_FILES = {"inline_bytes_max": 40, "send_bytes": 40}

SCENARIOS = {
    # A whole handshake: the journal, PUBLISH, PUBREC, the checkpoint, PUBREL, PUBCOMP, the checkpoint.
    "qos2": ({}, [("publish", "write", _ONE), _SOON]),
    # The same in MQTT 5 with one at a time, at a broker that delivers at the PUBLISH.
    "qos2v5": (
        {"protocol": 5, "receive_maximum": 1, "deliver_at": "publish"},
        [("publish", "write", _ONE + _ONE), _SOON],
    ),
    # Acknowledgements of QoS 1 may be stored late.
    "qos1": (
        {"checkpoint_delay_ms": 50},
        [("publish", "write", ((1, False, 0), (1, True, 40), (1, False, 3))), _SOON],
    ),
    # Two segments are filled, delivered and removed.
    "roll": (
        {},
        [
            ("publish", "write", _LARGE),
            ("publish", "write", _LARGE),
            ("publish", "write", _LARGE),
            _SOON,
            ("publish", "write", _ONE),
            ("publish", "write", _LARGE),
            _SOON,
        ],
    ),
    # The same as small as it can be: each message fills a segment.
    "reclaim": (
        {},
        [("publish", "write", _FILLS), ("publish", "write", _FILLS), _SOON, ("publish", "write", _ONE)],
    ),
    # Two segments filled by a board, which stores one message at once: its pieces one after the other, and one sync.
    "direct": (
        {"direct": True},
        [
            ("publish", "write", _LARGE),
            ("publish", "write", _LARGE),
            ("publish", "write", _ONE),
            _SOON,
            ("publish", "write", _ONE),
        ],
    ),
    # The broker forgets the session in the middle of a handshake.
    "session": (
        {},
        [("publish", "write", _ONE + _ONE), ("time", (0, 0, 0, 0)), ("broker", "forget"), ("time", (200, 0, 0))],
    ),
    "trust": (
        {"trust": True},
        [("publish", "write", _ONE + _ONE), ("time", (0, 0, 0, 0)), ("broker", "forget"), ("time", (200, 0, 0))],
    ),
    # A publish that the full disk refuses, then room again.
    "full": (
        {},
        [
            ("publish", "write", _ONE),
            ("room", 40),
            ("publish", "write", ((2, False, 40),)),
            _SOON,
            ("room", 1 << 20),
            ("publish", "write", _ONE),
            _SOON,
        ],
    ),
    # A sync that fails; the group is kept in RAM and written to a new segment.
    "async": (
        {"keep_failed": True},
        [
            ("publish", "write", _ONE),
            ("disk", "sync", EIO, 0, 1),
            ("publish", "write", _ONE),
            ("publish", "stage", _ONE),
            _SOON,
            ("publish", "write", _ONE),
        ],
    ),
    # The second of three is refused and parked.
    "refused": (
        {"protocol": 5},
        [("refuse", 1, 0x87, None), ("publish", "write", ((2, False, 0), (2, False, 0), (1, False, 0))), _SOON],
    ),
    # The same, and receivers are told: of the second by the fourth, and of one that a failed write leaves out.
    "told": (
        {"protocol": 5, "identity": True},
        [
            ("refuse", 1, 0x87, None),
            ("publish", "write", ((2, False, 0), (2, False, 0), (1, False, 0))),
            _SOON,
            ("disk", "sync", EIO, 0, 1),
            ("publish", "write", _ONE),
            ("publish", "write", _ONE),
            _SOON,
        ],
    ),
    # A backlog, and a restart in order.
    "backlog": (
        {"window": 2},
        [
            ("broker", "away"),
            ("publish", "write", _ONE),
            ("publish", "write", ((1, False, 0), (2, False, 0))),
            ("close",),
            ("publish", "write", _ONE),
            ("broker", "back"),
            ("time", (4000, 0, 0, 0)),
        ],
    ),
    # Several publishers in one group, and one more while it is synced.
    "group": (
        {},
        [
            ("publish", "stage", ((0, False, 3), (1, False, 3))),
            ("publish", "meanwhile", ((2, False, 3), (1, True, 0), (2, False, 0))),
            _SOON,
        ],
    ),
    # A record that is damaged before it was sent: quarantined, counted, and the rest delivered.
    "damaged": (
        {"window": 4},
        [
            ("broker", "away"),
            ("publish", "write", _LARGE + _LARGE + _ONE),
            ("publish", "write", _LARGE),
            ("spoil", 0),
            ("broker", "back"),
            ("time", (4000, 0, 0, 0)),
            ("publish", "write", _ONE),
        ],
    ),
    # A segment of which nothing reads any more, while its message is on the wire.
    "wreck": (
        {},
        [
            ("publish", "write", _FILLS),
            _SOON,
            _SOON,
            ("publish", "write", _FILLS),
            ("time", (0,)),
            ("wreck",),
            ("publish", "write", _ONE),
        ],
    ),
    # Durability "spill": RAM is entered, a message goes through it, the next ones are written when the link breaks.
    "spill": (
        {"spill_bytes": 2048, "spill_after_ms": 50, "spill_numbers": 1},
        [
            ("time", (0, 0, 100)),
            ("publish", "write", _ONE),
            ("time", (0, 0, 0, 0, 0, 0)),
            ("publish", "write", _ONE),
            ("time", (0, 0, 0, 0, 0, 0, 0)),
            ("publish", "write", _LARGE),
            ("time", (0,)),
            ("link", "reset"),
            ("publish", "write", _ONE),
            ("time", (4000, 0, 0, 0, 0)),
        ],
    ),
    # RAM that is full is written; then it is entered again, and left in good order.
    "spillfull": (
        {"spill_bytes": 2048, "spill_after_ms": 50},
        [
            ("time", (0, 0, 100)),
            ("publish", "write", _ONE),
            ("time", (0, 0, 0, 0, 0, 0)),
            ("publish", "write", ((1, False, 1500), (2, False, 3))),
            ("publish", "write", ((2, False, 1500),)),
            ("time", (0, 0, 0, 0, 100)),
            ("publish", "write", _ONE),
            ("time", (0, 0, 0, 0, 0)),
            ("publish", "write", _ONE),
            ("time", (0, 0)),
            ("close",),
        ],
    ),
    # One of the checkpoints is damaged: the device is in RAM, or has just left it with a message that waits.
    "spillslot": (
        {"spill_bytes": 2048, "spill_after_ms": 50},
        _INTO_RAM
        + [("damage", "checkpoint", 0)]
        + _INTO_RAM
        + [("damage", "checkpoint", 1)]
        + _INTO_RAM
        + _OUT_OF_RAM
        + [("damage", "checkpoint", 0)]
        + _INTO_RAM
        + _OUT_OF_RAM
        + [("damage", "checkpoint", 1)],
    ),
    # Three that wait become one; a fourth goes alone.
    "bulk": (
        {"bulk": 3},
        [("broker", "away"), ("publish", "write", _ONE * 4), ("broker", "back"), ("time", (4000, 0, 0, 0, 0))],
    ),
    # The second of three is refused, so their bundle is taken apart.
    "bulk-apart": (
        {"protocol": 5, "bulk": 3, "bulk_form": "persistmq"},
        [("refuse", 1, 0x87, None), ("publish", "write", _ONE * 3), _SOON],
    ),
    # The first of a bundle is damaged after it was sent, before it is sent again.
    "bulk-damaged": (
        {"bulk": 3, "bulk_form": "persistmq"},
        [
            ("silent", 0x50),
            ("publish", "write", _LARGE * 3),
            ("time", (0, 0, 0)),
            ("spoil", 0),
            ("publish", "write", _ONE),
            ("time", (4000, 0, 0, 0)),
        ],
    ),
    # A large payload between two small messages: its file, its record, its pieces, and its end.
    "large": (
        _IN_FILES,
        [("publish", "write", _ONE), ("publish", "write", ((2, False, 90),)), ("publish", "write", _ONE), _SOON, _SOON],
    ),
    # One that is refused: its file goes to the dead letters.
    "large-refused": (
        dict(_IN_FILES, protocol=5),
        [("refuse", 0, 0x87, None), ("publish", "write", ((2, False, 90), (1, False, 0))), _SOON, _SOON],
    ),
    # One whose file is damaged before it is sent.
    "large-damaged": (
        _IN_FILES,
        [
            ("broker", "away"),
            ("publish", "write", ((2, False, 90), (1, False, 90))),
            ("spoil", 0),
            ("broker", "back"),
            ("time", (4000, 0, 0, 0)),
            ("publish", "write", _ONE),
        ],
    ),
    # A cache without room for a third: the first makes room.
    "large-evicted": (
        dict(_IN_FILES, send_bytes=800, cache_bytes_max=4096, evicts=True, window=1, window_qos2=1),
        [
            ("broker", "away"),
            ("publish", "write", ((1, False, 1500),)),
            ("publish", "write", ((2, False, 1500),)),
            ("publish", "write", ((1, False, 1500),)),
            ("broker", "back"),
            ("time", (4000, 0, 0, 0)),
        ],
    ),
    # A message over which the broker ends the connection, until it is parked.
    "poison": (
        {},
        [("poison", 1), ("publish", "write", ((2, False, 0), (1, False, 0), (2, False, 0))), ("time", (5000,) * 30)],
    ),
}
PAIRS = ("qos2", "reclaim")  # these matter most: in them every cut is followed by every other cut
