"""Beginning a worker process, by each of the three ways in which Python begins one."""

import multiprocessing
import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any

from .worker import main

_SPAWNED = "import sys; from persistmq.worker import main; main(int(sys.argv[1]))"
START_METHODS = ("spawn", "forkserver", "fork")


def start_worker(method: str, sock: socket.socket, cache_path: str) -> "subprocess.Popen[bytes] | None":
    """Begin a worker that talks over ``sock``, of which it has a copy of its own. Raises OSError.

    "spawn" is a fresh interpreter, which does not import the application's main module; the object is for waiting for
    its end. The others are nobody's children, so that nothing waits for them when the application ends.
    """
    if method == "spawn":
        # -P: what lies in the working directory is imported only if it would be here, too. The path is for who looks
        # at ps.
        command = [sys.executable, "-P", "-c", _SPAWNED, str(sock.fileno()), cache_path]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
        return subprocess.Popen(
            command, pass_fds=(sock.fileno(),), stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
    if method == "fork":
        # Not by multiprocessing, which closes sys.stdin in the child: if a thread here is reading, that never ends.
        child = os.fork()
        if child == 0:
            _leave_behind(sock)
            os._exit(0)
        os.waitpid(child, 0)
        return None
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=_leave_behind, args=(sock,), name="persistmq")
    process.start()
    process.join()
    return None


def _leave_behind(sock: socket.socket) -> None:
    if os.fork() == 0:
        try:
            keep = sock.detach()
            # Of a forked application: another worker's link among them would hide that application's end.
            for descriptor in map(int, os.listdir("/proc/self/fd")):
                if descriptor > 2 and descriptor != keep:
                    with suppress(OSError):  # the one that listed them is closed already
                        os.close(descriptor)
            os.setsid()
            main(keep)
        finally:
            os._exit(1)


def check_start_method(method: str) -> None:
    """Raises ValueError for one that there is not, or not here."""
    if method not in START_METHODS:
        raise ValueError(f"start_method must be one of {', '.join(map(repr, START_METHODS))}, not {method!r}")
    if method == "forkserver" and multiprocessing.current_process().daemon:
        raise ValueError(f"start_method {method!r}: not in a daemonic process of multiprocessing")
