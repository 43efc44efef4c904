"""The arguments of PersistClient: what they may be, and what the engine is told of them.

All are looked at before the cache directory is made or opened.
"""

import zlib
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion

from persistmq_core.bulk_options import Bulk
from persistmq_core.bundles import FORMS
from persistmq_core.limits import BULK_BYTES_MAX, BULK_MSG_COUNT_MAX, REMAINING_LENGTH_MAX, SPILL_BYTES
from persistmq_core.options import Options
from persistmq_core.together import check_together

from .checks import bound, check_flag, check_number, one_of
from .delivery_here import gather_ms_of
from .ram_first import check_spill
from .two_lanes import check_drain, check_path, pace_of
from .worker_start import START_METHODS, check_start_method
from .zlib_compressor import Zlib

_AS_GIVEN = (
    "window",
    "window_qos2",
    "ack_timeout_ms",
    "connect_timeout_ms",
    "reconnect_delay_ms_min",
    "reconnect_delay_ms_max",
    "segment_bytes_max",
    "free_bytes_min",
)
# They do nothing without bundles; nor does bulk_topic_rewrite, but 0.1.4 takes that, too.
_OF_BUNDLES = (("bulk_form", FORMS[0]), ("bulk_compress", False), ("bulk_bytes_max", BULK_BYTES_MAX))
_FLAGS = ("bulk_compress", "identity", "drain_after_exit")


def engine_options(given: dict[str, Any], protocol: object) -> dict[str, Any]:
    """For ``Options``. ``given``: the arguments of PersistClient by their names. Raises ValueError or TypeError.

    ``protocol``: paho's.
    """
    _check(given, protocol)
    inline_bytes_max = given["inline_bytes_max"]
    options = {name: given[name] for name in _AS_GIVEN} | {
        "inline_bytes_max": REMAINING_LENGTH_MAX if inline_bytes_max is None else inline_bytes_max,
        "session_marker": zlib.crc32(given["client_id"].encode()),
        "trust_lost_session": given["on_session_lost"] == "trust",
        "cache_bytes_max": bound("cache_bytes_max", given["cache_bytes_max"]),
        "cache_messages_max": bound("cache_messages_max", given["cache_messages_max"]),
        "bulk": _bulk(given),
        "pace": pace_of(given["drain_messages_per_s"], given["drain_bytes_per_s"]),
        "identity": given["client_id"] if given["identity"] else "",
    }
    Options(**options)  # which looks at the numbers
    if given["drain"] is not None and given["window_qos2"] < 2:
        raise ValueError("window_qos2 must be 2 at least with drain=: each lane has half of it")
    return options | {"gather_ms": gather_ms_of(given["window_qos2"])}


def _check(given: dict[str, Any], protocol: object) -> None:
    worker, durability, drain = (given[name] for name in ("worker", "durability", "drain"))
    for name in _FLAGS:
        check_flag(name, given[name])
    one_of("durability", durability, ("sync", "async", "spill"))
    one_of("worker", worker, ("thread", "process"))
    one_of("on_session_lost", given["on_session_lost"], ("resend", "trust"))
    one_of("bulk_form", given["bulk_form"], FORMS)
    check_path(given["cache_path"])
    check_spill(durability, given["spill_bytes"], given["spill_after_ms"], drain, worker)
    check_drain(drain, given["backlog_share"], (given["drain_messages_per_s"], given["drain_bytes_per_s"]), worker)
    check_start_method(given["start_method"])
    check_number("full_timeout_ms", given["full_timeout_ms"], 0)
    for name in (*_AS_GIVEN, "inline_bytes_max", "spill_after_ms"):
        if isinstance(given[name], bool):
            raise ValueError(f"{name} must be a whole number, not {given[name]!r}")
    shortest, longest = given["reconnect_delay_ms_min"], given["reconnect_delay_ms_max"]
    if isinstance(shortest, int) and isinstance(longest, int) and longest < shortest:
        raise ValueError(f"reconnect_delay_ms_max must be reconnect_delay_ms_min ({shortest}) at least, not {longest}")
    if given["start_method"] != START_METHODS[0] and worker != "process":
        raise ValueError(f'start_method={given["start_method"]!r} needs worker="process": else it does nothing')
    if given["on_full"] == "drop_oldest" and worker == "process":
        raise ValueError('on_full="drop_oldest" needs worker="thread": while another process delivers none can go')
    check_together(given, SPILL_BYTES)
    if given["drain_after_exit"] and worker == "thread":
        raise ValueError('drain_after_exit=True needs worker="process": a thread ends with its process')
    if given["identity"]:
        if protocol != MQTTProtocolVersion.MQTTv5:
            raise ValueError("identity=True needs protocol=MQTTv5: it goes as a property, and MQTT 3.1.1 has none")
        if given["bulk_msg_count"] and given["bulk_form"] == "simple":
            raise ValueError('identity=True needs bulk_form="persistmq": in a bundle of the simple form there is none')


def _bulk(given: dict[str, Any]) -> Bulk | None:
    count, form = given["bulk_msg_count"], given["bulk_form"]
    is_off = type(count) is int and count == 0  # what else is false is a mistake, and Bulk says so
    if is_off:
        for name, default in _OF_BUNDLES:
            if given[name] != default:
                raise ValueError(f"{name}={given[name]!r} needs bulk_msg_count: else it does nothing")
    compressor = Zlib() if given["bulk_compress"] else None
    topic, bytes_max = given["bulk_topic_rewrite"], given["bulk_bytes_max"]
    # Without bundles it is made for what it says of the topic.
    bulk = Bulk(BULK_MSG_COUNT_MAX if is_off else count, topic, form, bytes_max, given["client_id"], compressor)
    return None if is_off else bulk
