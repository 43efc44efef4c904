"""TLS and websockets: what is delivered through them, and a certificate that is not trusted."""

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from persistmq import PersistClient

from tests.main_job.receiver import Receiver, until
from tests.support.mosquitto import HOST, Mosquitto, free_port

Make = Callable[..., PersistClient]
COUNT = 300


class Links(NamedTuple):
    broker: Mosquitto
    receiver: Receiver
    certificate: str
    ports: "dict[str, int]"


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Links]:
    folder = tmp_path_factory.mktemp("links")
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    # Self-signed, so that it is its own authority.
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=broker"]
    command += ["-addext", "subjectAltName=IP:" + HOST, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    ports = {"tls": free_port(), "websockets": free_port()}
    lines = ["listener %d %s" % (ports["tls"], HOST), "certfile " + certificate, "keyfile " + key]
    lines += ["listener %d %s" % (ports["websockets"], HOST), "protocol websockets"]
    with Mosquitto(config_lines=lines) as broker, Receiver(broker.port) as receiver:
        yield Links(broker, receiver, certificate, ports)


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
@pytest.mark.parametrize("link", ["tls", "websockets"])
def test_messages_of_all_sizes_arrive_once_and_in_order(
    make_client: Make, links: Links, link: str, protocol: MQTTProtocolVersion
) -> None:
    client = make_client(protocol=protocol, transport="websockets" if link == "websockets" else "tcp")
    if link == "tls":
        client.mqtt_client.tls_set(ca_certs=links.certificate)
    before = len(links.receiver.arrivals)
    payloads = [("%d " % number) * (1 + number**2 % 5000) for number in range(COUNT)]
    for payload in payloads[: COUNT // 2]:
        client.publish(link, payload)
    client.connect_async(HOST, links.ports[link])
    for payload in payloads[COUNT // 2 :]:
        client.publish(link, payload)
    assert client.flush(20), client.get_status()
    assert links.receiver.wait(before + COUNT)[before:] == payloads
    assert client.get_status()["connections"] == 1


def test_a_certificate_that_is_not_trusted_is_said_and_nothing_is_sent(make_client: Make, links: Links) -> None:
    client = make_client(reconnect_delay_ms_max=60_000)
    client.mqtt_client.tls_set_context(ssl.create_default_context())
    client.publish("tls", "secret")
    client.connect_async(HOST, links.ports["tls"])
    assert until(lambda: "certificate" in client.get_status()["down_reason"])
    assert client.get_status()["waiting"] == 1


def test_plain_mqtt_to_a_tls_port_waits_and_says_why(make_client: Make, links: Links, tmp_path: Path) -> None:
    client = make_client(connect_timeout_ms=1000)
    client.publish("tls", "secret")
    client.connect_async(HOST, links.ports["tls"])
    assert until(lambda: client.get_status()["down_reason"] not in ("", "not connected yet"))
    status = client.get_status()
    assert (status["connected"], status["waiting"]) == (False, 1)
    assert str(links.ports["tls"]) in status["down_reason"]
