"""TLS on the board: a certificate that is good, one that is not, and the one that comes in its place."""

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.board.conftest import figures
from tests.board.engine import NEWER_UMQTT, Board
from tests.main_job.receiver import until
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.timeout(60)
VERSIONS = {"1.3.4": None, "newer": NEWER_UMQTT}
each_umqtt = pytest.mark.parametrize("umqtt", VERSIONS.values(), ids=VERSIONS)


class Certificates:
    """Two authorities, ``mine`` and ``other``; the broker shows what stands in ``cert.pem``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        for name in ("mine", "other"):
            files = ["-keyout", str(folder / (name + ".key")), "-out", str(folder / (name + ".pem"))]
            subprocess.run([*command.split(), "-subj", "/CN=localhost", *files], check=True, capture_output=True)
        self.broker_shows("mine")
        self.broker_lines = ("certfile %s" % (folder / "cert.pem"), "keyfile %s" % (folder / "cert.key"))

    def broker_shows(self, name: str) -> None:
        """From its next start."""
        for suffix in (".pem", ".key"):
            shutil.copy(self.folder / (name + suffix), self.folder / ("cert" + suffix))

    def authority(self, name: str) -> str:
        """As a board takes it."""
        path = self.folder / (name + ".der")
        path.write_bytes(ssl.PEM_cert_to_DER_cert((self.folder / (name + ".pem")).read_text()))
        return str(path)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_board(board: Board) -> Board:
    board.heap = "400k"
    return board


def job(broker: Mosquitto, **more: Any) -> dict[str, Any]:
    """Options: the host by the name that the certificates have."""
    return {"host": "localhost", "port": broker.port, "count": 30, "drain_s": 5} | more


def handshakes_that_failed(broker: Mosquitto) -> int:
    return broker.log_text().count("tlsv1 alert") + broker.log_text().count("sslv3 alert")


@each_umqtt
def test_encrypted_without_a_check(tls_board: Board, certificates: Certificates, umqtt: Path | None) -> None:
    certificates.broker_shows("mine")
    with Mosquitto(config_lines=certificates.broker_lines) as broker:
        found = figures(tls_board.run("main_job", umqtt, **job(broker, connect={"ssl": True})))
    assert found["drained"], found
    assert found["after"]["delivered"] == 30
    assert found["after"]["connections"] == 1


@each_umqtt
def test_a_certificate_of_the_right_authority(tls_board: Board, certificates: Certificates, umqtt: Path | None) -> None:
    certificates.broker_shows("mine")
    with Mosquitto(config_lines=certificates.broker_lines) as broker:
        found = figures(tls_board.run("main_job", umqtt, **job(broker, trusts=certificates.authority("mine"))))
    assert found["drained"], found
    assert found["after"]["connections"] == 1


@each_umqtt
def test_a_wrong_certificate_is_said_and_waits_for_the_longest_delay(
    tls_board: Board, certificates: Certificates, umqtt: Path | None
) -> None:
    certificates.broker_shows("other")
    with Mosquitto(config_lines=certificates.broker_lines) as broker:
        client = {"reconnect_delay_ms_min": 10, "reconnect_delay_ms_max": 60000}
        more = {"trusts": certificates.authority("mine"), "drain_s": 0.4, "stop_s": 0, "client": client, "count": 3}
        status = figures(tls_board.run("main_job", umqtt, **job(broker, **more)))["status"]
        assert until(lambda: handshakes_that_failed(broker))
        assert handshakes_that_failed(broker) == 1, "it tried again at once"
    assert "localhost:%d The certificate is not correctly signed" % broker.port in status["down_reason"]
    assert "\n" not in status["down_reason"]
    assert status["waiting"] == 3
    assert status["connections"] == 0


@each_umqtt
def test_delivery_goes_on_when_the_right_certificate_is_there(
    tls_board: Board, certificates: Certificates, umqtt: Path | None
) -> None:
    certificates.broker_shows("other")
    with Mosquitto(config_lines=certificates.broker_lines) as broker:
        client = {"reconnect_delay_ms_min": 10, "reconnect_delay_ms_max": 100}
        more = {"trusts": certificates.authority("mine"), "drain_s": 20, "client": client}
        with tls_board.start("main_job", umqtt, **job(broker, **more)) as process:
            assert until(lambda: handshakes_that_failed(broker) > 1)
            certificates.broker_shows("mine")
            broker.restart()
            output, _ = process.communicate(timeout=40)
    found = figures(output)
    assert found["drained"], found
    assert found["after"]["delivered"] == found["after"]["accepted"] == 30
    assert found["after"]["repeated"] == 0
