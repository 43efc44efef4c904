"""MQTT 3.1.1 by hand, for the floor: all packets of one size, encoded before the clock runs."""

import socket
import struct

HOST = "127.0.0.1"
TOPIC = "bench/measurement"
PACKET_ID_SPAN = 60000

PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70
ACK_BYTES = 4


def remaining_length(length: int) -> bytes:
    out = bytearray()
    while True:
        length, low = divmod(length, 128)
        out.append(low | (0x80 if length else 0))
        if not length:
            return bytes(out)


def connect_packet(client_id: str) -> bytes:
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack(">H", len(client_id)) + client_id.encode()
    return b"\x10" + remaining_length(len(body)) + body


def connected_socket(port: int, client_id: str) -> socket.socket:
    """Connected, with a clean session and CONNACK read."""
    sock = socket.create_connection((HOST, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(connect_packet(client_id))
    if read_exactly(sock, 4) != b"\x20\x02\x00\x00":
        raise ConnectionError("the broker refused the connection")
    return sock


def read_exactly(sock: socket.socket, count: int) -> bytes:
    came = b""
    while len(came) < count:
        part = sock.recv(count - len(came))
        if not part:
            raise ConnectionError("the broker closed the connection")
        came += part
    return came


def publish_packet(payload: bytes, qos: int, packet_id: int = 0, topic: str = TOPIC) -> bytes:
    body = struct.pack(">H", len(topic)) + topic.encode()
    if qos:
        body += struct.pack(">H", packet_id)
    body += payload
    return bytes((0x30 | qos << 1,)) + remaining_length(len(body)) + body


def packet_id(number: int) -> int:
    """Of message 0, 1, 2 ..."""
    return 1 + number % PACKET_ID_SPAN


def acks(kind: int, count: int) -> bytes:
    """`count` of PUBACK, PUBREC, PUBREL or PUBCOMP one behind the other, for messages 0, 1, 2 ..."""
    return b"".join(struct.pack(">BBH", kind, 2, packet_id(number)) for number in range(count))
