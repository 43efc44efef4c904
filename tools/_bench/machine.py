"""Where the figures come from: without it they say nothing."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import _setup


def describe(folder: Path, mosquitto: str, versions: dict[str, str]) -> dict[str, str]:
    return {
        "CPU": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(folder),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "persistmq": f"{version('persistmq')}, commit {_commit()}",
        "Mosquitto": _mosquitto_version(mosquitto),
        "paho-mqtt under persistmq": version("paho-mqtt"),
        **versions,
    }


def is_in_memory(folder: Path) -> bool:
    return _file_system(folder)[0] in ("tmpfs", "ramfs")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """Its kind, of the mount that is nearest above the folder."""
    path = folder.resolve()
    found = "unknown"
    longest = -1
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if (path == Path(point) or Path(point) in path.parents) and len(point) >= longest:
            longest = len(point)
            found = kind
    return found


def _commit() -> str:
    command = ["git", "-C", str(_setup.ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _mosquitto_version(program: str) -> str:
    words = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout.split()
    return words[words.index("version") + 1] if "version" in words else "unknown"
