"""How both coverage-guided scripts run atheris: for a time, and without leaving a file behind."""

import sys
from collections.abc import Callable

import atheris

_OPTIONS = (
    "-max_len=400",
    "-timeout=20",
    "-rss_limit_mb=1000",
    "-print_final_stats=1",
    "-exact_artifact_path=/dev/null",
)


def run(judge: Callable[[bytes], None], seconds: int) -> None:
    """Feed ``judge``; does not return. What breaks is printed, with the bytes that did it (in base64)."""
    atheris.Setup([sys.argv[0], *_OPTIONS, "-max_total_time=%d" % seconds], judge)
    atheris.Fuzz()
