"""Certificates for brokers in tests, made by the openssl command."""

import subprocess
from pathlib import Path

from tests.support.mosquitto import HOST


def make_certificate(folder: Path, name: str) -> str:
    """Self-signed, for 127.0.0.1, so that it is its own authority. The key is beside it."""
    certificate = folder / (name + ".pem")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=" + name, "-addext", "subjectAltName=IP:" + HOST]
    command += ["-keyout", str(folder / (name + ".key")), "-out", str(certificate)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return str(certificate)
