"""The counting subscriber: `python -m _bench.subscriber PORT PAYLOAD_BYTES WAIT_S`, a process of its own.

It subscribes with QoS 0 and divides what comes by the size of one message, so that it costs the machine next to
nothing. Each line on its standard input is a count to wait for; it answers with what has come by then, or when nothing
has come for WAIT_S.
"""

import socket
import struct
import sys
import time

from _bench.wire import TOPIC, connected_socket, publish_packet, read_exactly, remaining_length

_BUFFER_BYTES = 1 << 20


def main() -> None:
    port, payload_bytes, wait_s = map(int, sys.argv[1:])
    message_bytes = len(publish_packet(bytes(payload_bytes), qos=0))
    sock = connected_socket(port, "bench-subscriber")
    body = struct.pack(">HH", 1, len(TOPIC)) + TOPIC.encode() + b"\x00"
    sock.sendall(b"\x82" + remaining_length(len(body)) + body)
    read_exactly(sock, 5)  # SUBACK
    print("subscribed", flush=True)
    came_bytes = 0
    buffer = bytearray(_BUFFER_BYTES)
    for line in sys.stdin:
        wanted_bytes = int(line) * message_bytes
        deadline = time.monotonic() + wait_s
        sock.settimeout(0.2)
        while came_bytes < wanted_bytes and time.monotonic() < deadline:
            try:
                count = sock.recv_into(buffer)
            except TimeoutError:
                continue
            if not count:
                break
            came_bytes += count
            deadline = time.monotonic() + wait_s
        whole, rest = divmod(came_bytes, message_bytes)
        print(whole if not rest else -1, flush=True)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


if __name__ == "__main__":
    main()
