"""The forms in which messages are given."""

from collections.abc import Mapping
from typing import Any, BinaryIO

Payload = str | bytes | bytearray | memoryview | int | float | BinaryIO | None
Message = tuple[str, Payload] | tuple[str, Payload, int] | tuple[str, Payload, int, bool] | Mapping[str, Any]
