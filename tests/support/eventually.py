"""Waiting for what a cluster will say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from vnodectl.kube.errors import NotFound


async def eventually(
    look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], Any] = bool, *, seconds: float = 30.0
) -> Any:
    """What `look` gives once it is `wanted`; NotFound counts as not yet."""
    seen: object = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    seen = await look()
                    if wanted(seen):
                        return seen
                except NotFound:
                    seen = "not found"
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not in time; last seen: {json.dumps(seen, indent=1, default=str)}") from None
