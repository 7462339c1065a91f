"""Asking on the terminal, in a way that Ctrl-C, SIGTERM and a closed terminal end like any other wait."""

from __future__ import annotations

import asyncio
import os
import sys

import typer

_ANSWERS = {"y": True, "yes": True, "n": False, "no": False, "": False}


async def confirm(question: str) -> bool:
    """Whether the answer is yes; nothing but Enter means no. Asks again until it is one of them.

    Reads standard input, which is to be a terminal. Raises typer.Abort where that ends.
    """
    while True:
        sys.stderr.write(f"{question} [y/N]: ")
        sys.stderr.flush()
        try:
            answer = await _line()
        except BaseException:
            sys.stderr.write("\n")  # what is said next does not belong into the question's line
            raise
        found = _ANSWERS.get(answer.strip().lower())
        if found is not None:
            return found
        sys.stderr.write("answer y or n\n")


async def _line() -> str:
    """A terminal gives whole lines. A blocking read would hold up the signals' handlers with the loop."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    line = os.read(descriptor, 4096)
    if not line:
        raise typer.Abort
    return line.decode(errors="replace")
