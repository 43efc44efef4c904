"""A real client at a broker that sends anything: it stays alive, and delivers all when a good broker comes."""

import os
import random
import time
from pathlib import Path

import pytest
from paho.mqtt.client import MQTTv5, MQTTv311
from persistmq import PersistClient

from .tcp_broker import TcpBroker

LONG = bool(os.environ.get("PERSISTMQ_LONG"))
BAD_S = 60.0 if LONG else 2.5
MESSAGES = 60


@pytest.mark.parametrize("hangs_up", [False, True], ids=["stays", "hangs-up"])
@pytest.mark.parametrize("protocol", [MQTTv311, MQTTv5], ids=["3.1.1", "5.0"])
def test_it_stays_alive_and_delivers_all_to_a_good_broker(protocol: int, hangs_up: bool, tmp_path: Path) -> None:
    seed = int(os.environ.get("PERSISTMQ_SEED") or (random.randrange(1 << 24) if LONG else 1))
    print("seed", seed)
    with (
        TcpBroker(seed, hangs_up) as broker,
        PersistClient(
            "fuzzed",
            cache_path=tmp_path / "cache",
            reconnect_delay_ms_min=1,
            reconnect_delay_ms_max=10,
            connect_timeout_ms=500,
            ack_timeout_ms=500,
            protocol=protocol,
        ) as client,
    ):
        client.connect_async("127.0.0.1", broker.port)
        until = time.monotonic() + BAD_S
        payloads = []
        while time.monotonic() < until:
            if len(payloads) < MESSAGES:
                payloads.append(b"%d" % len(payloads))
                client.publish("t", payloads[-1], qos=1 + len(payloads) % 2)
            time.sleep(BAD_S / MESSAGES / 2)
        bad_connections = broker.connections
        assert client.get_status()["delivered"] == 0, "seed %d" % seed
        broker.is_good = True
        assert client.flush(timeout=20), "seed %d: %s" % (seed, client.get_status())
        status = client.get_status()
    print("%d connections to the bad broker" % bad_connections)
    assert bad_connections > 1
    # A broker that hangs up at each message makes the client suspect the message: see "poison" in DESIGN.md.
    parked = len(list((tmp_path / "cache" / "dead").iterdir()))
    assert status["refused"] == parked, "seed %d" % seed
    assert hangs_up or parked == 0, "seed %d" % seed
    assert status["delivered"] == MESSAGES - parked, "seed %d" % seed
    arrived = [bytes(message[1]) for message in broker.model.deliveries]
    assert len(arrived) == len(set(arrived)) == MESSAGES - parked, "seed %d" % seed
    for of_one_qos in (payloads[::2], payloads[1::2]):
        came = [payload for payload in arrived if payload in of_one_qos]
        assert came == sorted(came, key=of_one_qos.index), "seed %d: out of order" % seed
    assert broker.model.violations == [], "seed %d" % seed
    assert status["store_error"] == "", "seed %d" % seed
