"""What cannot be is said at once on a board too, with the value and the limit."""

from typing import Any

from tests.board.engine import Board

BLOCKING = {"on_full": "block", "cache_messages_max": 9}
CLIENTS: list[tuple[dict[str, Any], str]] = [
    ({"drain_messages_per_s": -1}, "drain_messages_per_s must be 0 at least, not -1"),
    ({"drain_bytes_per_s": "1"}, "drain_bytes_per_s must be 0 at least, not '1'"),
    (BLOCKING | {"full_timeout_ms": "x"}, "full_timeout_ms must be 0 at least, not 'x'"),
    (BLOCKING | {"full_timeout_ms": -1}, "full_timeout_ms must be 0 at least, not -1"),
    ({"staged_bytes_max": -1}, "staged_bytes_max must be 0 at least, not -1"),
    ({"staged_bytes_max": None}, "staged_bytes_max must be 0 at least, not None"),
    ({"durability": "spill", "spill_after_ms": "5"}, "spill_after_ms must be 1 at least, not '5'"),
    ({"cache_type": "sqlite"}, "cache_type must be 'flat' or None, not 'sqlite'"),
    ({"spill_bytes": 4096}, 'spill_bytes=4096 needs durability="spill": else it does nothing'),
    ({"spill_after_ms": 50}, 'spill_after_ms=50 needs durability="spill": else it does nothing'),
    ({"full_timeout_ms": 5}, 'full_timeout_ms=5 needs on_full="block": else it does nothing'),
    (
        {"backlog_share": 0.25, "drain": "in_order"},
        'backlog_share=0.25 needs drain="live_first" or "interleaved": else it does nothing',
    ),
    (
        {"on_full": "drop_oldest"},
        "on_full='drop_oldest' needs cache_bytes_max, cache_messages_max or free_bytes_min: else it does nothing",
    ),
    ({"on_full": "explode"}, "on_full must be one of 'reject', 'block', 'drop_oldest', not 'explode'"),
    ({"cache_messages_max": 0}, "cache_messages_max is 0: nothing could be published; None is no bound"),
    (
        {"bulk_topic_rewrite": "a/#"},
        "bulk_topic_rewrite: topic 'a/#' has a wildcard: + and # are for subscriptions only (MQTT 4.7.1)",
    ),
]
ADDRESSES: list[tuple[dict[str, Any], str]] = [
    ({"mqtt_host": "x", "mqtt_port": "1883"}, "port is a whole number from 1 to 65535, not '1883'"),
    ({"mqtt_host": "x", "mqtt_port": 65536}, "port is a whole number from 1 to 65535, not 65536"),
    ({"mqtt_host": "x", "keepalive": -1}, "keepalive is a whole number from 0 to 65535, not -1"),
    ({"mqtt_host": "x", "keepalive": None}, "keepalive is a whole number from 0 to 65535, not None"),
]
MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"retain": "false"}, "retain must be True or False, not 'false'"),
    ({"retain": None}, "retain must be True or False, not None"),
    ({"expires_after": "60"}, "expires_after is a number of seconds, not '60'"),
    ({"expires_after": True}, "expires_after is a number of seconds, not True"),
    ({"expires_after": 0}, "expires_after is 0: more than 0 and at most 4294967295 seconds"),
]


def test_what_cannot_be_is_said_and_nothing_is_written(board: Board) -> None:
    board.heap = "256k"  # for the code of all these options at once
    cases = {"client": CLIENTS, "address": ADDRESSES, "message": MESSAGES}
    arguments: dict[str, Any] = {name: [named for named, _ in each] for name, each in cases.items()}
    arguments["good"] = BLOCKING | {"cache_type": None, "full_timeout_ms": 0, "spill_bytes": 8192}
    said = board.run("bad_input_job", **arguments).splitlines()
    assert said == [
        *[words for _, words in CLIENTS],
        *("flash []", "kept []"),
        *[words for _, words in ADDRESSES + MESSAGES],
        "accepted 0",
    ]
