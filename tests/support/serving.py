"""`vnodectl emulator serve` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


async def start(*options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vnodectl", "emulator", "serve", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def serving(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """The process, and what it says of itself once it serves."""
    process = await start(*options)
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert line, (await process.communicate())[1].decode()
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def refused(*options: str) -> tuple[int | None, str]:
    """The exit code and what is said where it cannot serve; nothing of it is a result or a traceback."""
    process = await start(*options)
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert output == b""
    assert "Traceback" not in errors.decode()
    return process.returncode, errors.decode()
