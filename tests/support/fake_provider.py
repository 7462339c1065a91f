"""A provider in memory that does what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from vnodectl.runtime.provider import (
    Gone,
    Health,
    Listed,
    LogOptions,
    NodeInfo,
    NotFound,
    PodKey,
    ProviderError,
    ResolvedPod,
    Seen,
    Sighting,
    Streams,
)

STARTED = "2026-01-01T00:00:00Z"


def running(pod: ResolvedPod) -> dict:
    return {
        "podIP": "10.1.0.9",
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "containerID": f"fake://{container['name']}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": STARTED}},
                "lastState": {},
            }
            for container in pod.spec["containers"]
        ],
    }


class FakeProvider:
    """Groups run as soon as they are created, unless `hold` is set; `fail`: errors to raise, in order."""

    name = "local"

    def __init__(self, *, hold: bool = False) -> None:
        self.groups: dict[PodKey, ResolvedPod] = {}
        self.created: list[ResolvedPod] = []
        self.deleted: list[tuple[PodKey, float]] = []
        self.fail: list[ProviderError] = []
        self.hold = hold
        self.keep_deleted = False
        self._sightings: asyncio.Queue[Sighting] = asyncio.Queue()

    async def node(self) -> NodeInfo:
        return NodeInfo("linux", "amd64", {"cpu": "10k", "memory": "100Ti", "pods": "20k"})

    async def create(self, pod: ResolvedPod) -> None:
        if self.fail:
            raise self.fail.pop(0)
        if pod.key in self.groups:
            return
        self.created.append(pod)
        self.groups[pod.key] = pod
        if not self.hold:
            self.say(Seen(pod.key, running(pod)))

    async def delete(self, key: PodKey, *, grace: float) -> None:
        self.deleted.append((key, grace))
        if not self.keep_deleted:
            self.groups.pop(key, None)
            self.say(Gone(key))

    def say(self, sighting: Sighting) -> None:
        self._sightings.put_nowait(sighting)

    def list_now(self) -> None:
        self.say(Listed(frozenset(self.groups), asyncio.get_running_loop().time()))

    async def observe(self) -> AsyncIterator[Sighting]:
        yield Listed(frozenset(self.groups), asyncio.get_running_loop().time())
        yield Health(ok=True)
        while True:
            yield await self._sightings.get()

    async def logs(self, key: PodKey, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        if key not in self.groups:
            raise NotFound(f"no group for {key}")
        yield b"fake log\n"

    async def exec(self, key: PodKey, container: str, command: Sequence[str], streams: Streams) -> int:
        await streams.write_stdout(" ".join(command).encode())
        return 0

    async def aclose(self) -> None:
        return
