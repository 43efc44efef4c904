"""Why a message was refused, in words. A file of its own: a board loads it when it is needed."""

from .dead_letters import CONNECTION_DROPPED, PACKET_TOO_LARGE, QOS_NOT_SUPPORTED, RETAIN_NOT_SUPPORTED

_WORDS = {
    CONNECTION_DROPPED: "the broker ended the connection over it each time",
    PACKET_TOO_LARGE: "larger than the broker's maximum packet size",
    QOS_NOT_SUPPORTED: "QoS above the broker's maximum",
    RETAIN_NOT_SUPPORTED: "the broker does not keep retained messages",
    0x80: "unspecified error",
    0x83: "implementation specific error",
    0x87: "not authorized",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x97: "quota exceeded",
    0x99: "payload format invalid",
}


def reason_words(reason_code: int) -> str:
    """The reason for a person, with the code."""
    return "%s (0x%02x)" % (_WORDS.get(reason_code, "refused by the broker"), reason_code)
