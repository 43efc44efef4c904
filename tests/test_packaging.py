"""What `pip install persistmq` would install: both packages, and a client that works without this checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.timeout(300)
def test_the_wheel_holds_the_core_and_the_port_and_works_by_itself(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("persistmq-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    expected = [f"persistmq_core/{path.name}" for path in ROOT.glob("persistmq_core/*.py")]
    expected += [f"persistmq/{path.name}" for path in ROOT.glob("ports/cpython/persistmq/*.py")]
    expected += [f"persistmq/receiver/{path.name}" for path in ROOT.glob("ports/cpython/persistmq/receiver/*.py")]
    assert set(expected) | {"persistmq/py.typed"} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "tools"))]
    (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
    assert b"persistmq-receive = persistmq.receiver.__main__:main" in zipfile.ZipFile(wheel).read(entry_points)

    subprocess.run([*pip, "install", "--target", str(tmp_path / "site"), str(wheel)], check=True)
    program = (
        "import persistmq; from persistmq.client import PersistClient; assert 'site' in persistmq.__file__;"
        "client = PersistClient('x', cache_path='cache');"
        "print(client.publish('t', 1).is_stored(), persistmq.__version__)"
    )
    environment = dict(os.environ, PYTHONPATH=str(tmp_path / "site"))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "True" and done.stdout.split()[1].startswith("0.")
