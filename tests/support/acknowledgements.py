"""All acknowledgements in some bytes, as the core decodes them."""

from persistmq_core.packets import acknowledgement


def acknowledgements(content: "bytes | bytearray | memoryview") -> "list[tuple[int, int, int]]":
    """(kind, identifier, reason code) of each. Raises ProtocolError as the core does."""
    found = []
    at = 0
    while at < len(content):
        kind, identifier, reason, at = acknowledgement(content, at)
        found.append((kind, identifier, reason))
    return found
