"""What a container says about its own end, as much of it as a kubelet takes.

Source of the limits: the kubelet's MaxContainerTerminationMessageLength, -LogLength and -LogLines.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from vnodectl.engines.api import LogQuery

FILE_MAX = 4096  # bytes
LOG_MAX = 2048  # bytes
LOG_QUERY = LogQuery(tail=80)


def from_file(path: Path) -> str:
    """The end of the file that the container was given for it; "" for one that is empty or gone."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - FILE_MAX))
        return _text(file.read(FILE_MAX))
    return ""


async def from_log(chunks: AsyncGenerator[bytes, None]) -> str:
    """The end of what LOG_QUERY gave."""
    end = b""
    async with contextlib.aclosing(chunks):
        async for chunk in chunks:
            end = (end + chunk)[-LOG_MAX:]
    return _text(end)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
