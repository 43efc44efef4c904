"""umqtt.simple for the tests. What PyPI has of it has no build files, so pip cannot install it; one file is wanted."""

import io
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from pypi_simple import PyPISimple

PACKAGE = "micropython-umqtt.simple"
VERSION = "1.3.4"
SHA256 = "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f"


def umqtt_folder() -> Path:
    """A folder with ``umqtt/simple.py``, kept in this interpreter's environment."""
    folder = Path(sys.prefix) / ("umqtt.simple-" + VERSION)
    if not (folder / "umqtt" / "simple.py").exists():
        part = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
        (part / "umqtt").mkdir()
        (part / "umqtt" / "simple.py").write_bytes(_download())
        try:
            os.rename(part, folder)
        except OSError:  # another process was faster
            shutil.rmtree(part)
    return folder


def _download() -> bytes:
    with PyPISimple() as index, tempfile.TemporaryDirectory() as scratch:
        files = index.get_project_page(PACKAGE).packages
        sdist = next(file for file in files if file.filename == f"{PACKAGE}-{VERSION}.tar.gz")
        if sdist.digests.get("sha256") != SHA256:
            raise ValueError(f"{sdist.filename} is not the one that these tests were written with")
        path = Path(scratch, "sdist.tar.gz")
        index.download_package(sdist, path)  # checks the digest
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
            source = archive.extractfile(f"{PACKAGE}-{VERSION}/umqtt/simple.py")
            assert source is not None
            return source.read()
