"""The steps of tools/deploy, each one call of mpremote: it opens the port, and leaves the board at its prompt."""

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import _board

_EXAMPLE = _board.ROOT / "examples" / "esp32_sensor.py"
_HAS_UMQTT = "try:\n import umqtt.simple\n print('yes')\nexcept ImportError:\n print('no')"
# What an earlier version left: a .py would be imported in place of our .mpy.
_REMOVE_OLD = """
import os
for package in ("persistmq", "persistmq_core"):
    try:
        found = os.listdir(%r + "/" + package)
    except OSError:
        found = []
    for name in found:
        if name.endswith(".py") or name.endswith(".mpy"):
            os.remove(%r + "/" + package + "/" + name)
"""
_PATH = "import sys\nprint(*[p for p in sys.path if p.endswith('lib')])"
# One pass over all files, because a call of mpremote for each would take a second each.
_SHA256 = """
import hashlib, binascii
for name in %r:
    h = hashlib.sha256()
    with open(%r + '/' + name, 'rb') as f:
        while True:
            piece = f.read(512)
            if not piece:
                break
            h.update(piece)
    print(binascii.hexlify(h.digest()).decode(), name)
"""


def main(arguments):
    parser = argparse.ArgumentParser(prog="tools/deploy")
    parser.add_argument("port")
    parser.add_argument("--example", default=str(_EXAMPLE))
    parser.add_argument("--base", action="store_true", help="without the modules that only options need")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        names = _board.compile_library(folder, options.base)
        board = Board(options.port)
        lib = board.lib_folder()
        board.copy(Path(folder), lib)
        board.compare(Path(folder), names, lib)
    print(f"{len(names)} files are on the board under {lib}, their sha256 agree.", flush=True)
    if board.run("exec", _HAS_UMQTT).strip() != "yes":
        print("umqtt.simple is not on the board: installing it.", flush=True)
        board.run("mip", "install", "umqtt.simple")
    if options.example:
        board.run("cp", options.example, ":main.py")
        board.run("run", "--no-follow", options.example)
        print(f"{Path(options.example).name} is main.py on the board, and runs.", flush=True)


class Board:
    """What is at the other end of ``port``."""

    def __init__(self, port):
        self._port = port

    def run(self, *command):
        """What mpremote printed. Exits with its words if it failed."""
        whole = [sys.executable, "-m", "mpremote", "connect", self._port, *command]
        done = subprocess.run(whole, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(f"mpremote {' '.join(command)[:60]} failed on {self._port}: {done.stdout}{done.stderr}")
        return done.stdout

    def lib_folder(self):
        """Where imports look on this board: /lib, or the first that there is."""
        found = self.run("exec", _PATH).split()
        return found[0] if found else "/lib"

    def copy(self, folder, lib):
        steps = []
        for package in sorted(path for path in folder.iterdir() if path.is_dir()):
            steps += ["+", "cp", "-r", str(package), f":{lib}/"]
        make = f"import os\ntry:\n os.mkdir({lib!r})\nexcept OSError:\n pass"
        self.run("exec", make, "+", "exec", _REMOVE_OLD % (lib, lib), *steps)

    def compare(self, folder, names, lib):
        """Exits if a file on the board is not the one that was sent."""
        lines = self.run("exec", _SHA256 % (names, lib)).split("\n")
        there = {line.partition(" ")[2].strip(): line.partition(" ")[0] for line in lines if line}
        for name in names:
            if there.get(name) != hashlib.sha256((folder / name).read_bytes()).hexdigest():
                raise SystemExit(f"{name} on the board is not what was sent")
