"""The demo's publisher: the process that gets killed. It uses the client as any program would.

After each publish() that returned it writes one line to the ledger, before anything else; SIGKILL cannot take back
what is written. On its standard output it reports the client's status, a line of JSON ten times a second.
"""

import argparse
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from persistmq import PersistClient

REPORT_EVERY_S = 0.1


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, kind in (("port", int), ("cache", Path), ("ledger", Path), ("life", int), ("first", int), ("last", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--qos", type=int, required=True)
    options = parser.parse_args()

    asked_to_finish: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked_to_finish.append(number))
    ledger = os.open(options.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with PersistClient(
        client_id="demo-device",
        cache_path=options.cache,
        ack_timeout_ms=2000,
        reconnect_delay_ms_min=100,
        reconnect_delay_ms_max=1000,
    ) as client:
        client.connect_async("127.0.0.1", options.port)
        began = reported = time.monotonic()
        for reading in range(options.first, options.last + 1):
            value = round(20 + 5 * math.sin(reading / 50), 3)
            payload = json.dumps({"life": options.life, "reading": reading, "value": value})
            client.publish(options.topic, payload, qos=options.qos)
            os.write(ledger, b"%d %d\n" % (options.life, reading))
            due = began + (reading - options.first + 1) / options.per_second
            time.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() - reported > REPORT_EVERY_S:
                report(client.get_status())
                reported = time.monotonic()
            if asked_to_finish:
                break
        while client.get_status()["waiting"]:
            report(client.get_status())
            time.sleep(REPORT_EVERY_S)
        report(client.get_status() | {"drained": True})


def report(status: dict[str, Any]) -> None:
    # Nobody reads any more if the demo itself was killed: this then ends the publisher as well.
    sys.stdout.write(json.dumps(status, default=str) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
