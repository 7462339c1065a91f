"""Leases as locks: at most one holder at a time, whatever the clocks of the holders say.

As in client-go's leader election, times in the Lease are for people: a candidate takes a lock over when it
has seen no change of it for the whole duration by its own monotonic clock, and a holder that could not
renew for a little less than that gives up by its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from vnodectl.errors import VnodectlError
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.errors import AlreadyExists, Conflict, Forbidden, NotFound
from vnodectl.kube.resources import LEASES, NAMESPACES

Monotonic = Callable[[], float]
Stamp = Callable[[], str]
"""Now, as a metav1.MicroTime."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A holder is replaced `duration` after its last renewal was seen, and has stopped
    `deadline` after its last renewal succeeded; `deadline` must be the smaller one."""

    duration: int = 10
    deadline: float = 7.0
    period: float = 2.0


@dataclass(slots=True)
class _Seen:
    version: str
    at: float


class Observed:
    """What is known of Leases from repeated reads, and how long each has not changed."""

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._seen: dict[str, _Seen] = {}

    def update(self, leases: list[JSON]) -> None:
        """A complete list. Leases that are not in it are forgotten."""
        now = self._monotonic()
        seen = {}
        for lease in leases:
            name, version = lease["metadata"]["name"], lease["metadata"]["resourceVersion"]
            before = self._seen.get(name)
            seen[name] = before if before is not None and before.version == version else _Seen(version, now)
        self._seen = seen

    def holder(self, lease: JSON) -> str:
        """Who holds it now, "" where nobody does (any more)."""
        spec = lease.get("spec") or {}
        identity = str(spec.get("holderIdentity") or "")
        seen = self._seen.get(lease["metadata"]["name"])
        idle = self._monotonic() - seen.at if seen is not None else 0.0
        return "" if idle >= float(spec.get("leaseDurationSeconds") or 0) else identity


class LeaseLock:
    """One Lease, seen by one candidate. Raises what a call raises; a lost race is only False."""

    def __init__(
        self, client: KubeClient, namespace: str, name: str, identity: str, *, timing: Timing, stamp: Stamp
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._path = LEASES.path(namespace, name)
        self._name = name
        self._identity = identity
        self._timing = timing
        self._stamp = stamp

    async def take(self, current: JSON | None, labels: dict[str, str]) -> bool:
        """Become the holder of a free lock. `current`: the Lease as it was read, None where there is none."""
        now = self._stamp()
        spec: JSON = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._timing.duration,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 0,
        }
        try:
            if current is None:
                meta = {"name": self._name, "namespace": self._namespace, "labels": labels}
                body: JSON = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": meta,
                    "spec": spec,
                }
                await self._client.create(LEASES.path(self._namespace), body)
            else:
                before = current.get("spec") or {}
                spec["leaseTransitions"] = int(before.get("leaseTransitions") or 0) + 1
                meta = {"resourceVersion": current["metadata"]["resourceVersion"], "labels": labels}
                await self._client.patch(self._path, {"metadata": meta, "spec": spec})
        except (AlreadyExists, Conflict, NotFound):
            return False
        return True

    async def renew(self, current: JSON) -> bool:
        """Renew a lock that this candidate holds according to `current`; False where it no longer does."""
        meta = {"resourceVersion": current["metadata"]["resourceVersion"]}
        try:
            await self._client.patch(self._path, {"metadata": meta, "spec": {"renewTime": self._stamp()}})
        except (Conflict, NotFound):
            return False
        return True

    async def release(self) -> None:
        """Let the next one have it at once. Only if it is still ours."""
        try:
            current = await self._client.get(self._path)
            if (current.get("spec") or {}).get("holderIdentity") == self._identity:
                meta = {"resourceVersion": current["metadata"]["resourceVersion"]}
                await self._client.patch(self._path, {"metadata": meta, "spec": {"holderIdentity": None}})
        except (Conflict, NotFound):
            return


@asynccontextmanager
async def exclusive(
    client: KubeClient,
    namespace: str,
    name: str,
    identity: str,
    *,
    waiting: Callable[[str], None],
    timing: Timing | None = None,
) -> AsyncIterator[None]:
    """Hold a Lease for as long as the block runs, so that only one program works on something at a time.

    Waits while another holds it, for as long as the caller lets it; `waiting` is told once who that is.
    A holder that died is followed after the Lease's duration. Losing the Lease midway is not
    noticed: it is renewed while the API server answers, and while it does not, nothing can be done anyway.
    Raises NotFound where there is no such namespace.
    """
    timing = timing or Timing()
    loop = asyncio.get_running_loop()
    observed = Observed(loop.time)
    path = LEASES.path(namespace, name)
    lock = LeaseLock(client, namespace, name, identity, timing=timing, stamp=_now)
    told = False
    while True:
        lease = await _read(client, path)
        observed.update([lease] if lease is not None else [])
        holder = observed.holder(lease) if lease is not None else ""
        if not holder and await lock.take(lease, {}):
            break
        if lease is None:  # else lost to somebody who was faster, or there is no place for it
            with suppress(Forbidden):
                await client.get(NAMESPACES.path(name=namespace))
        if holder and not told:
            waiting(holder)
            told = True
        await asyncio.sleep(timing.period)
    keeper = asyncio.create_task(_renew(client, path, lock, identity, timing), name=f"lease {name}")
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        with suppress(VnodectlError):  # it expires by itself
            lease = await _read(client, path)
            if lease is not None and lease["spec"].get("holderIdentity") == identity:
                await client.delete(path, uid=lease["metadata"]["uid"])


async def _renew(client: KubeClient, path: str, lock: LeaseLock, identity: str, timing: Timing) -> None:
    while True:
        await asyncio.sleep(timing.period)
        with suppress(VnodectlError):
            lease = await _read(client, path)
            if lease is not None and lease["spec"].get("holderIdentity") == identity:
                await lock.renew(lease)


async def _read(client: KubeClient, path: str) -> JSON | None:
    try:
        return await client.get(path, timeout=10)
    except NotFound:
        return None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
