"""One contestant in a process of its own: `python -m _bench.contestant MODULE`.

A clean interpreter each time, so that nobody pays for what another one imported, allocated or left running, and the
process's own CPU time is the contestant's. The task comes on standard input, the result goes to standard output.
"""

import importlib
import json
import logging
import sys


def main() -> None:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    task = json.load(sys.stdin)
    module = importlib.import_module("_bench.contestants." + sys.argv[1])
    # Libraries that print must not stand in the result's way.
    result_stream, sys.stdout = sys.stdout, sys.stderr
    result = getattr(module, task.pop("function"))(**task)
    result_stream.write(json.dumps(result) + "\n")
    result_stream.flush()


if __name__ == "__main__":
    main()
