"""What a program did, in one line: to compare two interpreters, or the core before and after a change."""

from binascii import crc32

from .program import run


def digest(seed: int, steps: int, faults: str) -> str:
    """Seed, number of events, and sums over the trace, over what was delivered, and over every byte on the disk."""
    program = run(seed, steps, faults)
    trace = "\n".join(program.trace).encode()
    deliveries = 0
    for topic, payload, qos, retain in program.broker.deliveries:
        deliveries = crc32(payload, crc32(b"%s %d %d " % (topic.encode(), qos, retain), deliveries))
    disk = 0
    files = program.store.snapshot()
    for name in sorted(files):
        disk = crc32(files[name], crc32(name.encode(), disk))
    return "%d: %d trace %08x deliveries %08x disk %08x" % (seed, len(program.trace), crc32(trace), deliveries, disk)
