"""Find Mosquitto, the broker of the demo and the tests; where there is none, fetch it from the distribution."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from _setup import ROOT, alone, apt_install, say

OWN = ROOT / ".mosquitto"
# A wrapper that names the libraries beside it. It is written last, so that it marks a finished unpacking.
OWN_PROGRAM = OWN / "usr" / "sbin" / "mosquitto"
UNPACKED = OWN / "unpacked"

NOT_FOUND = (
    "Mosquitto was not found and could not be fetched. Install it (Debian, Ubuntu: sudo apt-get install mosquitto) "
    "or name the program in the environment variable PERSISTMQ_MOSQUITTO."
)


def get() -> "str | None":
    """The path of a Mosquitto that runs, or None where there is none and none can be had."""
    found = find()
    if found:
        return found
    if system_allowed() and apt_install("mosquitto"):
        say("(Its own service may run now. It is not used here: each broker gets a free port of its own.)")
        return find()
    if shutil.which("apt-get") and shutil.which("dpkg"):
        with alone():
            if not runs(OWN_PROGRAM):
                unpack()
    return find()


def find() -> "str | None":
    named = os.environ.get("PERSISTMQ_MOSQUITTO")
    if named:
        if not runs(named):
            raise SystemExit(f"PERSISTMQ_MOSQUITTO names {named}, which does not run.")
        return named
    system = [shutil.which("mosquitto"), "/usr/sbin/mosquitto"] if system_allowed() else []
    for program in [*system, OWN_PROGRAM]:
        if program and runs(program):
            return str(program)
    return None


def system_allowed() -> bool:
    """The variable makes a machine that has Mosquitto look like one that has not; for trying this file."""
    return not os.environ.get("PERSISTMQ_NO_SYSTEM_MOSQUITTO")


def runs(program: "str | Path") -> bool:
    """Mosquitto has no --version; -h prints its version and its usage."""
    try:
        done = subprocess.run([program, "-h"], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return "mosquitto version" in done.stdout


def unpack() -> None:
    """Without root: download the packages and unpack them in the repository; nothing is installed."""
    say(f"Fetching Mosquitto into {OWN} ...")
    shutil.rmtree(OWN, ignore_errors=True)
    UNPACKED.mkdir(parents=True)
    options: list[str] = []
    if not download("mosquitto", options):
        # No package lists here, or old ones: with lists of one's own nobody has to be root.
        (OWN / "lists" / "partial").mkdir(parents=True)
        options = ["-o", f"Dir::State::lists={OWN}/lists", "-o", f"Dir::Cache={OWN}/cache"]
        updated = subprocess.run(["apt-get", *options, "-qq", "update"], stdin=subprocess.DEVNULL, check=False)
        if updated.returncode or not download("mosquitto", options):
            return
    program = UNPACKED / "usr" / "sbin" / "mosquitto"
    tried: set[str] = set()
    while missing := missing_libraries(program) - tried:
        tried |= missing
        packages = dependencies(options)
        for library in sorted(missing):
            for package in packages:
                if package_stem(package) == library_stem(library):
                    download(package, options)
    OWN_PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    part = OWN_PROGRAM.with_suffix(".part")
    folders = ":".join(f"$here/{folder.relative_to(OWN)}" for folder in lib_folders())
    part.write_text(
        "#!/bin/sh\n"
        'here=$(dirname "$(readlink -f "$0")")/../..\n'
        f'LD_LIBRARY_PATH="{folders}" exec "$here/{program.relative_to(OWN)}" "$@"\n'
    )
    part.chmod(0o755)
    part.replace(OWN_PROGRAM)
    for folder in ("lists", "cache", "packages"):
        shutil.rmtree(OWN / folder, ignore_errors=True)


def download(package: str, options: list[str]) -> bool:
    folder = OWN / "packages" / package
    folder.mkdir(parents=True, exist_ok=True)
    command = ["apt-get", *options, "-qq", "download", package]
    if subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
        return False
    return all(
        subprocess.run(["dpkg", "-x", archive, UNPACKED], check=False).returncode == 0 for archive in folder.iterdir()
    )


def dependencies(options: list[str]) -> list[str]:
    """Every package that Mosquitto needs, and those that they need."""
    leave_out = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    command = ["apt-cache", *options, "depends", "--recurse", *leave_out, "mosquitto"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    return sorted({line.strip() for line in listed.splitlines() if line[:1].isalnum() and ":" not in line})


def package_stem(package: str) -> str:
    return package.removesuffix("t64").replace("-", "")  # t64: the packages whose time is 64 bits wide


def library_stem(library: str) -> str:
    """Debian names a library's package after it: libwebsockets.so.17 is in libwebsockets17."""
    return re.sub(r"[-_]", "", library.lower().replace(".so.", ""))


def missing_libraries(program: Path) -> set[str]:
    paths = dict(os.environ, LD_LIBRARY_PATH=":".join(map(str, lib_folders())))
    listed = subprocess.run(["ldd", program], env=paths, capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(\S+) => not found", listed))


def lib_folders() -> list[Path]:
    return sorted({library.parent for library in UNPACKED.rglob("lib*.so.*")})
