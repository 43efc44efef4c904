"""Processes of their own, for what a test cannot do to itself."""

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str, temporary: "str | None" = None, **options: object) -> "subprocess.Popen[str]":
    """This Python with ``arguments``, with its standard streams as pipes, and what can be imported here."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, sys.path)])}
    if temporary is not None:
        environment["TMPDIR"] = temporary
    settings = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *arguments], env=environment, **(settings | options))  # type: ignore[call-overload, no-any-return]


def run(*arguments: str, timeout_s: float = 20.0) -> "subprocess.CompletedProcess[str]":
    """The same, to its end. Raises subprocess.TimeoutExpired after ``timeout_s``, and then it was killed."""
    with start(*arguments) as process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)
