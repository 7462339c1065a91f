"""Knowing when to look at a container again: the event stream, and a list every so often beside it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from vnodectl.engines.api import EngineError
from vnodectl.engines.docker_api.bodies import SCOPE
from vnodectl.engines.docker_api.client import get, translated
from vnodectl.engines.docker_api.service import DockerSocket, PodmanService

if TYPE_CHECKING:
    from aiodocker import Docker

log = logging.getLogger(__name__)

ENDINGS = ("die", "died", "remove", "destroy")
RESYNC = 10.0  # seconds between lists
RECONNECT = 1.0  # seconds before the stream is opened again


class Watch:
    """Wakes whoever waits for a container. Events are hints only: the waiter inspects it then.

    A wake-up may come for nothing, but none is missed for longer than the time between two lists.
    """

    def __init__(self, docker: Docker, service: PodmanService | DockerSocket, scope: str) -> None:
        self._docker = docker
        self._service = service
        self._scope = scope
        self._waiting: dict[str, asyncio.Event] = {}

    def expect(self, identity: str) -> asyncio.Event:
        """To be taken before the container is inspected; set at the next sign of a change."""
        return self._waiting.setdefault(identity, asyncio.Event())

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._events(), name="engine-events")
            tasks.create_task(self._lists(), name="engine-lists")

    async def _events(self) -> None:
        filters = json.dumps({"type": ["container"], "label": [f"{SCOPE}={self._scope}"]})
        while True:
            try:
                await self._service.ensure()
                async with get(self._docker, "events", stream="true", filters=filters) as response:
                    await self._look()
                    async for line in response.content:
                        event = json.loads(line)
                        if event.get("Action") in ENDINGS:
                            self._wake(str(event["Actor"]["ID"]))
            except (EngineError, ValueError) as error:
                # The service died or the stream broke within a line; the next list makes up for it.
                log.debug("the event stream broke: %s", error)
            except Exception:
                log.exception("the event stream")
            await asyncio.sleep(RECONNECT)

    async def _lists(self) -> None:
        while True:
            await asyncio.sleep(RESYNC)
            try:
                await self._look()
            except EngineError as error:
                log.debug("containers cannot be listed: %s", error)
            except Exception:
                log.exception("the list of containers")

    async def _look(self) -> None:
        """Wake the waiters of all containers that do not run."""
        filters = json.dumps({"status": ["running"], "label": [f"{SCOPE}={self._scope}"]})
        with translated():
            running = {str(one["Id"]) for one in await self._docker.containers.list(filters=filters)}
        for identity in [one for one in self._waiting if one not in running]:
            self._wake(identity)

    def _wake(self, identity: str) -> None:
        if (event := self._waiting.pop(identity, None)) is not None:
            event.set()
