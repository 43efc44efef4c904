"""An application with a worker process: python -m tests.main_job.worker_application PORT CACHE START_METHOD [drain].

Orders come by standard input, one a line, each answered with one line:
"publish COUNT" (stored when answered), "connect", "flush", "worker" (its pid), "status", "delivered" (how many the
callback saw), "exit" (without stop), "stop"; "hang" (the interpreter is never given back) and "fork" (a child that
stays) are answered before.
"""

import json
import os
import re
import signal
import sys
import time

from persistmq import PersistClient

LIFE_S_MAX = 90


class Application:
    def __init__(self) -> None:
        port, cache, method, *rest = sys.argv[1:]
        self._port = int(port)
        self._published = 0
        self._delivered: list[int] = []
        self._client = PersistClient(
            "tester",
            cache_path=cache,
            worker="process",
            start_method=method,
            drain_after_exit="drain" in rest,
            reconnect_delay_ms_min=20,
            reconnect_delay_ms_max=100,
        )
        self._client.on_delivered = lambda _client, seq: self._delivered.append(seq)

    def publish(self, count: str) -> str:
        numbers = range(self._published, self._published + int(count))
        self._client.publish_many([("a", number) for number in numbers])
        self._published += int(count)
        return "done"

    def connect(self) -> str:
        self._client.connect_async("127.0.0.1", self._port)
        return "done"

    def flush(self) -> str:
        return str(self._client.flush(20))

    def worker(self) -> str:
        while not self._client.get_status()["worker_pid"]:
            time.sleep(0.01)
        return str(self._client.get_status()["worker_pid"])

    def status(self) -> str:
        return json.dumps(self._client.get_status())

    def delivered(self) -> str:
        return "%d %d" % (len(self._delivered), len(set(self._delivered)))

    def fork(self) -> str:
        child = os.fork()
        if child == 0:
            time.sleep(LIFE_S_MAX)
            os._exit(0)
        return str(child)

    def stop(self) -> str:
        self._client.stop()
        return "done"


def main() -> None:
    signal.alarm(LIFE_S_MAX)  # nobody lives on if nobody kills
    application = Application()
    print("ready", flush=True)
    for line in sys.stdin:
        order, *arguments = line.split()
        if order == "exit":
            return
        if order == "hang":
            print("hangs", flush=True)
            re.match(r"(a|a)*b", "a" * 200)  # until the end of the world, with the interpreter's lock held
        print(getattr(application, order)(*arguments), flush=True)


if __name__ == "__main__":
    main()
