"""The ground that every command stands on: a `.venv` in the repository root with all it needs, made once.

Standard library only, and no syntax that an older python3 cannot read: it must get as far as saying so.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "set-up-done"

RECENT = "import sys; sys.exit(sys.version_info < (3, 11))"
WITH_VENV = "import ensurepip, venv; " + RECENT
# Told apart from a venv that was copied, half made, or left behind by an upgrade of the system's Python.
WHOLE = (
    "import os, sys; from importlib.util import find_spec as find; "
    "sys.exit(not (os.path.realpath(sys.prefix) == sys.argv[1] and all(map(find, sys.argv[2:]))))"
)
DEPENDENCIES = "import sys, tomllib; print(*tomllib.load(sys.stdin.buffer)['dependency-groups']['dev'], sep='\\n')"


def enter():
    """Return inside `.venv`: outside of it, make it if need be and run the same command again in it."""
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    if not is_ready():
        with alone():
            if not is_ready():  # the one we waited for may have made it
                make()
    script = os.path.realpath(sys.argv[0])
    sys.stdout.flush()
    os.execv(str(PYTHON), [str(PYTHON), script, *sys.argv[1:]])


def say(text):
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def alone():
    """One set-up at a time. The lock is on the root folder itself, so that no lock file is left about."""
    folder = os.open(str(ROOT), os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another command is setting up; waiting for it ...")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def wanted_stamp():
    """What .venv was made from. The path is in it because an editable install points there."""
    parts = [(ROOT / "pyproject.toml").read_bytes(), Path(__file__).read_bytes(), os.fsencode(str(ROOT))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def answers(python, code, *arguments):
    """Does this Python run this code and exit with 0? (A pyenv shim for a version not chosen exists and fails.)"""
    try:
        command = [str(python), "-c", code, *arguments]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    return done.returncode == 0


def is_whole():
    return answers(PYTHON, WHOLE, str(VENV.resolve()), "pip", "paho", "rich", "pytest", "persistmq_core")


def is_ready():
    try:
        stamp = STAMP.read_text()
    except OSError:
        return False
    return stamp == wanted_stamp() and is_whole()


def make():
    if not os.access(str(ROOT), os.W_OK):
        raise SystemExit("Cannot write to %s: the commands keep their .venv there." % ROOT)
    stamp = wanted_stamp()
    renew = STAMP.exists() and is_whole()  # only the list of packages changed
    say("Setting up %s (once; about a minute) ..." % VENV)
    if renew:
        STAMP.unlink()
    else:
        run([find_python(), "-m", "venv", "--clear", str(VENV)], "No virtual environment could be made.")
    with open(str(ROOT / "pyproject.toml"), "rb") as pyproject:
        # By .venv's own Python: the one that runs this may be too old for tomllib.
        listed = subprocess.run([str(PYTHON), "-c", DEPENDENCIES], stdin=pyproject, stdout=subprocess.PIPE, check=True)
    pip_install("--editable", str(ROOT), *listed.stdout.decode().split("\n")[:-1])
    if not is_whole():
        raise SystemExit("%s was made, but does not work. Is PYTHONHOME or PYTHONPATH set?" % VENV)
    STAMP.write_text(stamp)
    say("Set up.")


def pip_install(*arguments):
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    run(command + list(arguments), "pip could not install what is needed (its words are above). Is there a network?")


def run(command, words):
    try:
        subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit("%s (%s)" % (words, error)) from error


def find_python():
    """A Python of 3.11 or later that can make virtual environments."""
    names = ["python3.%d" % minor for minor in (14, 13, 12, 11)]
    found = [sys.executable, *filter(None, map(shutil.which, names))]
    for python in found:
        if answers(python, WITH_VENV):
            return python
    recent = [python for python in found if answers(python, RECENT)]
    if not recent:
        raise SystemExit(
            "PersistMQ needs Python 3.11 or later. python3 here is %d.%d, and no python3.11 to python3.14 "
            "was found on PATH." % sys.version_info[:2]
        )
    version = subprocess.check_output([recent[0], "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
    package = "python%s-venv" % version.decode().strip()  # Debian and Ubuntu keep ensurepip apart
    if apt_install(package) and answers(recent[0], WITH_VENV):
        return recent[0]
    raise SystemExit(
        "%s cannot make virtual environments: its module ensurepip is missing. On Debian and Ubuntu: "
        "sudo apt-get install %s" % (recent[0], package)
    )


def apt_install(package):
    """True if apt-get installed it. Only root can, so anybody else gets False at once."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    say("Installing %s with apt-get ..." % package)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    update = ["apt-get", "update", "-qq"]  # only if need be: a fresh container has no package lists
    return _apt(install) or (_apt(update) and _apt(install))


def _apt(command):
    quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    done = subprocess.run(command, env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    return done.returncode == 0
