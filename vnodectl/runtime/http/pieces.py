"""Long answers, written piece by piece: thousands of pods must not stop the event loop or fill the memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aiohttp import web

_PIECE: Final = 64 * 1024


async def write_pieces(request: web.Request, content_type: str, parts: Iterable[str]) -> web.StreamResponse:
    """`parts` may be a generator that works its text out step by step; others get their turn in between."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    await response.prepare(request)
    piece = bytearray()
    for part in parts:
        piece += part.encode()
        if len(piece) >= _PIECE:
            await response.write(bytes(piece))
            piece.clear()
            await asyncio.sleep(0)  # writing waits only where the reader is slower
    await response.write(bytes(piece))
    await response.write_eof()
    return response


def json_list(head: str, items: Iterable[dict[str, Any]], tail: str) -> Iterator[str]:
    """The text of `items` between `head` and `tail`."""
    yield head
    separator = ""
    for item in items:
        yield separator + json.dumps(item, separators=(",", ":"))
        separator = ","
    yield tail
