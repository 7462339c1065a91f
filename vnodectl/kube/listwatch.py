"""List, then watch, for ever: a local view of a collection that survives what API servers do.

A watch may end at any time, its version may expire (410), the server may restart or throttle. The view
resumes from the last version it saw, lists again when it must, and waits with jitter in between.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.client import JSON, KubeClient, Params
from vnodectl.kube.errors import ApiError, Expired, Throttled

log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]

_MAX_DELAY = 30.0
_WATCH_SECONDS = (300, 600)
_SHORT_SECONDS = 10.0
"""A watch that ends without a word is normal after minutes, but not at once."""


class Listener(Protocol):
    """Who is told. Calls are synchronous and must be quick: they note, they do not act."""

    def replaced(self, items: list[JSON]) -> None:
        """A complete list: what is not in it does not exist."""

    def changed(self, item: JSON) -> None:
        """Added or modified."""

    def deleted(self, item: JSON) -> None: ...


@dataclass(slots=True)
class WatchCounts:
    """How often so far: lists read whole, watches opened, and either of them failed."""

    lists: int = 0
    watches: int = 0
    failures: int = 0


class ListWatch:
    """Follows one collection, filtered by `params` (fieldSelector, labelSelector)."""

    def __init__(
        self,
        client: KubeClient,
        path: str,
        listener: Listener,
        *,
        params: Params | None = None,
        sleep: Sleep = asyncio.sleep,
        random_: random.Random | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._listener = listener
        self._params = dict(params or {})
        self._sleep = sleep
        self._random = random_ or random.Random()  # noqa: S311 - jitter, not a secret
        self.synced = asyncio.Event()
        """Set after the first complete list."""
        self.counts = WatchCounts()

    async def run(self) -> None:
        """Until cancelled."""
        version = ""
        failures = expired = 0
        loop = asyncio.get_running_loop()
        while True:
            try:
                if not version:
                    items, version = await self._client.list(self._path, self._params)
                    self.counts.lists += 1
                    self._listener.replaced(items)
                    self.synced.set()
                seconds = self._random.randint(*_WATCH_SECONDS)
                query = {**self._params, "resourceVersion": version, "timeoutSeconds": seconds}
                received, opened = 0, loop.time()
                self.counts.watches += 1
                async for event in self._client.watch(self._path, query):
                    received += 1
                    version = self._deliver(event)
                expired = 0
                failures = 0 if received or loop.time() - opened > _SHORT_SECONDS else failures + 1
                if failures:  # a server that ends quiet watches at once must not make this a busy loop
                    await self._sleep(self._delay(failures, None))
            except Expired as error:
                version = ""
                expired += 1
                if expired > 1:  # the first is what a list is for; a server that expires all of them is ill
                    await self._pause(expired, error)
            except (ClusterUnreachable, Throttled) as error:
                failures += 1
                await self._pause(failures, error)
            except (ApiError, ValueError) as error:  # ValueError: an event that is not JSON
                failures += 1
                version = ""
                await self._pause(failures, error)

    def _deliver(self, event: JSON) -> str:
        """Tell the listener; the version to resume from."""
        item = event["object"]
        if event["type"] == "DELETED":
            self._listener.deleted(item)
        elif event["type"] != "BOOKMARK":
            self._listener.changed(item)
        return str(item["metadata"]["resourceVersion"])

    async def _pause(self, failures: int, error: Exception) -> None:
        self.counts.failures += 1
        delay = self._delay(failures, error)
        log.warning("watch of %s: %s; again in %.1f s", self._path, error, delay)
        await self._sleep(delay)

    def _delay(self, failures: int, error: Exception | None) -> float:
        floor = error.retry_after if isinstance(error, Throttled) else 0.0
        backoff: float = min(_MAX_DELAY, 0.1 * 2.0 ** min(failures, 10))
        return max(floor, backoff * self._random.uniform(0.5, 1.0))
