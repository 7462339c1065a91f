"""A cloud with a will of its own, and a provider in front of it: what clouds do wrong, by a seed."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from support import virtual_time

from vnodectl.runtime.clock import rfc3339
from vnodectl.runtime.provider import (
    Gone,
    Health,
    Listed,
    LogOptions,
    NodeInfo,
    PodKey,
    ProviderError,
    ResolvedPod,
    Retryable,
    Seen,
    Sighting,
    Streams,
)

JSON = dict[str, Any]

POLL = 5.0


@dataclass
class Group:
    """`ready_at` and `gone_at` in loop time."""

    pod: JSON
    ip: str
    serial: int
    ready_at: float
    gone_at: float = float("inf")
    exit_code: int | None = None


class FlakyCloud:
    """What exists, by pod. `chaos` is the probability that a call goes wrong; `down` makes all of them."""

    def __init__(self, rand: random.Random, *, deleting: Callable[[PodKey], None]) -> None:
        self.groups: dict[PodKey, Group] = {}
        self.foreign = {"somebody-elses-group"}
        self.chaos = 0.0
        self.down = False
        self.random = rand
        self.made: list[PodKey] = []
        self._deleting = deleting
        self._serial = itertools.count(1)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def sweep(self) -> None:
        """What was to go by now is gone."""
        for key in [key for key, one in self.groups.items() if one.gone_at <= self.now()]:
            del self.groups[key]

    async def create(self, key: PodKey, pod: JSON) -> None:
        await self._slow()
        self._maybe_fail()
        self.sweep()
        if key not in self.groups:
            serial = next(self._serial)
            ready = self.now() + self.random.uniform(0, 8)
            self.groups[key] = Group(pod, f"10.0.{serial // 250}.{serial % 250 + 1}", serial, ready)
            self.made.append(key)
        await self._slow()
        self._maybe_fail()

    async def delete(self, key: PodKey) -> None:
        self._deleting(key)
        await self._slow()
        self._maybe_fail()
        self.sweep()
        if key in self.groups:
            group = self.groups[key]
            group.gone_at = min(group.gone_at, self.now() + self.random.uniform(0, 10))
        self._maybe_fail()

    def vanish(self, key: PodKey) -> None:
        self.groups.pop(key, None)

    async def _slow(self) -> None:
        await asyncio.sleep(self.random.uniform(0, 1.5) if self.chaos else 0.01)

    def _maybe_fail(self) -> None:
        if self.down or self.random.random() < self.chaos:
            raise Retryable("CloudTrouble", "the cloud said 500")


class FlakyProvider:
    """One life of a provider: the runtime's restart makes a new one for the same cloud."""

    name = "flaky"

    def __init__(self, cloud: FlakyCloud) -> None:
        self.cloud = cloud
        self._known: set[PodKey] = set()

    async def node(self) -> NodeInfo:
        return NodeInfo("linux", "amd64", {"pods": "100"})

    async def create(self, pod: ResolvedPod) -> None:
        await self.cloud.create(pod.key, pod.pod)
        self._known.add(pod.key)

    async def delete(self, key: PodKey, *, grace: float) -> None:
        self._known.add(key)
        await self.cloud.delete(key)

    async def observe(self) -> AsyncIterator[Sighting]:
        cloud = self.cloud
        while True:
            began = cloud.now()
            try:
                cloud._maybe_fail()
                cloud.sweep()
                listed = frozenset(cloud.groups)
                await asyncio.sleep(cloud.random.uniform(0, 2))
                cloud._maybe_fail()  # a page failed: nothing of it counts
            except ProviderError as error:
                yield Health(False, "CloudTrouble", error.message)
            else:
                yield Listed(listed, began)
                for key in self._known - listed:
                    if cloud.random.random() < 0.5 and key not in cloud.groups:
                        yield Gone(key)
                        self._known.discard(key)
                self._known |= listed
                for key in listed:
                    group = cloud.groups.get(key)
                    if group is not None and cloud.random.random() >= cloud.chaos:
                        yield Seen(key, fragment(group, cloud.now()))
                yield Health(True)
            await asyncio.sleep(POLL)

    async def logs(self, key: PodKey, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        yield b""

    async def exec(self, key: PodKey, container: str, command: Sequence[str], streams: Streams) -> int:
        return 0

    async def aclose(self) -> None: ...


def fragment(group: Group, now: float) -> JSON:
    """What the cloud shows of a group."""
    started = rfc3339(virtual_time.EPOCH + group.ready_at)
    state: JSON = {"waiting": {"reason": "ContainerCreating"}}
    if group.exit_code is not None:
        reason = "Completed" if group.exit_code == 0 else "Error"
        ended = {"exitCode": group.exit_code, "reason": reason, "startedAt": started, "finishedAt": started}
        state = {"terminated": ended}
    elif now >= group.ready_at:
        state = {"running": {"startedAt": started}}
    runs = "running" in state
    status: JSON = {
        "name": "c",
        "image": "i",
        "imageID": "",
        "ready": runs,
        "started": runs,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }
    if "waiting" not in state:
        status["containerID"] = f"flaky://{group.serial}"
    return {"podIP": group.ip, "containerStatuses": [status]}
