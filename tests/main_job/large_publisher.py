"""A publisher of large payloads, and what memory it took: python -m tests.main_job.large_publisher PORT CACHE ORDER...

Orders: "publish COUNT BYTES", "connect", "flush", "worker" (with a process of its own, only as the first). It says a
line for each: the highest resident memory so far in MB, and what flush returned. The payloads: ``payload(n, size)``.
"""

import resource
import sys

from persistmq import PersistClient


def payload(number: int, size: int) -> bytes:
    """Different in each message and at each place."""
    unit = b"".join(b"%d:%d;" % (number, place) for place in range(5000))
    return (unit * (size // len(unit) + 1))[:size]


def main() -> None:
    port, cache, *orders = sys.argv[1:]
    words = iter(orders)
    is_apart = "worker" in orders
    client = PersistClient(
        "large", cache_path=cache, worker="process" if is_apart else "thread", reconnect_delay_ms_min=20
    )
    for word in words:
        said = True
        if word == "publish":
            count, size = int(next(words)), int(next(words))
            for number in range(count):
                client.publish(f"large/{number}", payload(number, size))
        elif word == "connect":
            client.connect_async("127.0.0.1", int(port))
        elif word == "flush":
            said = client.flush(200)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, said, flush=True)
    client.stop()


if __name__ == "__main__":
    main()
