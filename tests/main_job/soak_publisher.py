"""The process that gets killed: python -m tests.main_job.soak_publisher PORT CACHE LEDGER DURABILITY SEED WORKER TYPE F

F: the form of bundles, "" for none.

It is a nursery, so that a life does not begin with the import of half the standard library: each life is a fork of it.
It reads from its standard input "begin LIFE", "kill", "drain LIFE" (a last life, which ends when all is delivered) and
answers each with one line: the pid, or the exit status. When its input ends, so do its child and it.
"""

import json
import os
import random
import signal
import sys
import time
import traceback

from persistmq import PersistClient

LAW_BROKEN = 3  # exit status
LIFE_S_MAX = 120  # nobody lives on if nobody kills
ENDS = ("delivered", "expired", "evicted", "refused", "damaged", "waiting")


class Publisher:
    def __init__(
        self,
        life: int,
        port: int,
        cache: str,
        ledger: str,
        durability: str,
        seed: int,
        worker: str,
        cache_type: str,
        bulk_form: str,
    ) -> None:
        self._life = life
        self._rng = random.Random(seed * 10_000 + life)
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._is_async = durability == "async"
        self._run = 10 if bulk_form else 1  # so many of one QoS, or there would be small bundles only
        bundles = {"bulk_msg_count": 5, "bulk_form": bulk_form, "bulk_topic_rewrite": "bulk"} if bulk_form else {}
        self._client = PersistClient(
            "soak",
            cache_path=cache,
            cache_type=cache_type,
            durability=durability,
            worker=worker,
            start_method="fork" if worker == "process" else "spawn",  # the others take longer than a life
            ack_timeout_ms=5000,
            reconnect_delay_ms_min=10,
            reconnect_delay_ms_max=100,
            segment_bytes_max=8192,  # many segments, so that kills meet the making and removing of them
            **bundles,
        )
        self._client.connect_async("127.0.0.1", port)

    def publish_for_ever(self) -> None:
        number = 0
        qos = 2
        while True:
            number += 1
            if number % self._run == 0:
                qos = self._rng.choice((1, 2))
            payload = "%d %d %d %s" % (self._life, number, qos, "x" * self._rng.randrange(300))
            info = self._client.publish("soak", payload, qos)
            if not self._is_async:
                os.write(self._ledger, b"%d %d\n" % (self._life, number))
            elif self._rng.random() < 0.05:
                info.wait_for_stored()
                os.write(self._ledger, b"%d %d\n" % (self._life, number))
            self._check()
            # In bursts, and with pauses in which the backlog is drained to nothing.
            time.sleep(self._rng.choice((0.0, 0.0, 0.0, 0.0, 0.0, 0.002, 0.01)))

    def drain(self) -> dict[str, object]:
        while not self._client.flush(timeout=0.05):
            self._check()
        self._check()
        return self._client.get_status()

    def _check(self) -> None:
        status = self._client.get_status()
        if status["accepted"] != sum(status[name] for name in ENDS) or status["waiting"] < 0:
            print("the accounts do not add up:", status, file=sys.stderr, flush=True)
            os._exit(LAW_BROKEN)


def live(life: int, last: bool) -> None:
    """In the child; does not return."""
    try:
        signal.alarm(LIFE_S_MAX)
        port, cache, ledger, durability, seed, worker, cache_type, form = sys.argv[1:]
        publisher = Publisher(life, int(port), cache, ledger, durability, int(seed), worker, cache_type, form)
        if not last:
            publisher.publish_for_ever()
        os.write(1, json.dumps(publisher.drain()).encode() + b"\n")
        os._exit(0)
    except BaseException:  # noqa: BLE001 - it is a fork: nothing may get out of here
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def main() -> None:
    child = 0
    for line in sys.stdin:
        order, _, life = line.strip().partition(" ")
        if order == "kill":
            os.kill(child, signal.SIGKILL)
            answer, child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0
        else:
            child = answer = os.fork()
            if child == 0:
                live(int(life), order == "drain")
            if order == "drain":
                answer, child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0
        os.write(1, b"%d\n" % answer)
    if child:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
