"""Bytes on their way to a shell that decodes them line by line: a terminal or a protocol in between may not
be clean, and may not tell where they end."""

from __future__ import annotations

import base64
from collections.abc import Iterator


def base64_lines(data: bytes, size: int) -> Iterator[bytes]:
    """`data` as lines of base64, each of at most `size` bytes of it."""
    for start in range(0, len(data), size):
        yield base64.b64encode(data[start : start + size]) + b"\n"
