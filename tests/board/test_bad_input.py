"""What cannot be is said at once on a board too, with the value and the limit."""

from typing import Any

from tests.board.engine import Board

CLIENTS: list[tuple[dict[str, Any], str]] = [
    ({"drain_messages_per_s": -1}, "drain_messages_per_s must be 0 at least, not -1"),
    ({"drain_bytes_per_s": "1"}, "drain_bytes_per_s must be 0 at least, not '1'"),
    ({"full_timeout_ms": "x"}, "full_timeout_ms must be 0 at least, not 'x'"),
    ({"full_timeout_ms": -1}, "full_timeout_ms must be 0 at least, not -1"),
    ({"staged_bytes_max": -1}, "staged_bytes_max must be 0 at least, not -1"),
    ({"staged_bytes_max": None}, "staged_bytes_max must be 0 at least, not None"),
    ({"spill_after_ms": "5"}, "spill_after_ms must be 1 at least, not '5'"),
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
    cases = {"client": CLIENTS, "address": ADDRESSES, "message": MESSAGES}
    arguments = {name: [named for named, _ in each] for name, each in cases.items()}
    said = board.run("bad_input_job", **arguments).splitlines()
    assert said == [
        *[words for _, words in CLIENTS], "flash []", *[words for _, words in ADDRESSES + MESSAGES], "accepted 0"
    ]
