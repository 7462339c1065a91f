"""Sightings on their way to the runtime."""

from __future__ import annotations

import asyncio

from vnodectl.runtime.provider import Gone, Happened, Seen, Sighting


class Outbox:
    """Sightings not yet taken, the newest of each pod only: facts are level-based. What happened stays."""

    def __init__(self) -> None:
        self._waiting: dict[object, Sighting] = {}
        self._ready = asyncio.Event()
        self._error: BaseException | None = None

    def put(self, sighting: Sighting) -> None:
        slot: object = sighting.key if isinstance(sighting, (Seen, Gone)) else type(sighting)
        if isinstance(sighting, Happened):
            slot = object()
        self._waiting.pop(slot, None)
        self._waiting[slot] = sighting
        self._ready.set()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._ready.set()

    async def take(self) -> Sighting:
        while not self._waiting:
            if self._error is not None:
                raise self._error
            self._ready.clear()
            await self._ready.wait()
        return self._waiting.pop(next(iter(self._waiting)))
