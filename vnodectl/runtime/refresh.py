"""Files that change while a pod runs, kept as a kubelet keeps them: tokens are renewed at 80 % of their life,
ConfigMaps and Secrets follow within a minute or so, the downward API when labels or annotations change.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vnodectl.errors import VnodectlError
from vnodectl.kube.resources import CONFIG_MAPS, SECRETS, Resource
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.facts import Facts, Unresolved, mounted
from vnodectl.runtime.lookups import Lookups
from vnodectl.runtime.metrics import NodeMetrics, Operation
from vnodectl.runtime.provider import JSON, PodKey, Provider, ProviderError, SupportsFileRefresh
from vnodectl.runtime.queue import WorkQueue
from vnodectl.runtime.resolve import resolve

log = logging.getLogger(__name__)

POLL_SECONDS = 60.0
"""How often each ConfigMap and Secret in use is looked at; a kubelet's sync period."""
_RETRY_SECONDS = 60.0
_READERS = 8


@dataclass(frozen=True, slots=True)
class Reference:
    """A ConfigMap or Secret that a volume is made of."""

    resource: Resource
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Sources:
    """What the files of one volume come from."""

    references: frozenset[Reference]
    tokens: bool
    downward: bool


@dataclass(slots=True)
class _Followed:
    volumes: Mapping[str, Sources]
    metadata: int
    stale: set[str] = field(default_factory=set)
    retry_at: float = 0.0


@dataclass(slots=True)
class _Object:
    """`version` None: never read. "" is that of an object that does not exist."""

    version: str | None = None
    immutable: bool = False
    users: set[PodKey] = field(default_factory=set)


class FileRefresh:
    """`run` is its only task. Does nothing for a provider that is not `SupportsFileRefresh`."""

    def __init__(
        self,
        provider: Provider,
        lookups: Lookups,
        events: EventRecorder,
        *,
        queue: WorkQueue[PodKey],
        metrics: NodeMetrics,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._provider = provider if isinstance(provider, SupportsFileRefresh) else None
        self._lookups = lookups
        self._events = events
        self._queue = queue
        self._metrics = metrics
        self._random = rand
        self._pods: dict[PodKey, _Followed | None] = {}
        self._objects: dict[Reference, _Object] = {}

    def created(self, key: PodKey, pod: JSON, facts: Facts) -> None:
        """The pod's files were just made from `facts`."""
        if self._provider is None:
            return
        self.forget(key)
        self._read(self._follow(key, pod), facts)
        if (followed := self._pods[key]) is not None:
            followed.stale.clear()  # what others learnt just now, this pod has
        self._plan(key)

    async def keep(self, key: PodKey, pod: JSON) -> None:
        """Bring the pod's files up to date where that is due, and see to it that the next time comes."""
        if self._provider is None:
            return
        if key not in self._pods:
            # Adopted from an earlier life of this process: nobody knows how old its files are.
            volumes = self._follow(key, pod)
            if (followed := self._pods[key]) is not None:
                followed.stale |= volumes.keys()
        followed = self._pods[key]
        if followed is None:
            return
        if followed.metadata != (now := _metadata(pod)):
            followed.metadata = now
            followed.stale |= {name for name, sources in followed.volumes.items() if sources.downward}
        if self._due(key) <= asyncio.get_running_loop().time():
            followed.stale |= {name for name, sources in followed.volumes.items() if sources.tokens}
        if followed.stale and followed.retry_at <= asyncio.get_running_loop().time():
            await self._refresh(key, pod, followed)
        self._plan(key)

    def forget(self, key: PodKey) -> None:
        followed = self._pods.pop(key, None)
        if followed is None:
            return
        for reference in {one for sources in followed.volumes.values() for one in sources.references}:
            found = self._objects.get(reference)
            if found is not None:
                found.users.discard(key)
                if not found.users:
                    del self._objects[reference]

    async def run(self) -> None:
        """Look at every ConfigMap and Secret in use once a minute, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS * (0.9 + 0.2 * self._random()))
            await self.poll()

    async def poll(self) -> None:
        """Look at all of them once. What cannot be read is looked at again the next time."""
        limit = asyncio.Semaphore(_READERS)

        async def look(reference: Reference) -> None:
            async with limit:
                try:
                    found = await self._lookups.object(
                        reference.resource, reference.namespace, reference.name
                    )
                except VnodectlError as error:
                    log.warning(
                        "%s %s/%s: %s", reference.resource.plural, reference.namespace, reference.name, error
                    )
                    return
            if self._note(reference, found):
                self._changed(reference)

        mutable = [one for one, known in self._objects.items() if not known.immutable]
        async with asyncio.TaskGroup() as group:
            for reference in mutable:
                group.create_task(look(reference), name=f"look at {reference.name}")

    # --- inside -----------------------------------------------------------------------------------

    def _follow(self, key: PodKey, pod: JSON) -> Mapping[str, Sources]:
        volumes = sources_of(pod)
        self._pods[key] = _Followed(volumes, _metadata(pod)) if volumes else None
        for sources in volumes.values():
            for reference in sources.references:
                self._objects.setdefault(reference, _Object()).users.add(key)
        return volumes

    def _read(self, volumes: Mapping[str, Sources], facts: Facts) -> None:
        """What was read for one pod is news for all pods that have older files of the same object: the next
        look would find nothing new."""
        for reference in {one for sources in volumes.values() for one in sources.references}:
            known = facts.secrets if reference.resource is SECRETS else facts.config_maps
            if self._note(reference, known.get(reference.name)):
                self._changed(reference)

    def _note(self, reference: Reference, found: JSON | None) -> bool:
        """Whether the object is another than before."""
        known = self._objects.get(reference)
        if known is None:
            return False
        version = str(found["metadata"].get("resourceVersion") or "") if found else ""
        before, known.version = known.version, version
        known.immutable = bool(found and found.get("immutable"))
        return before is not None and before != version

    def _changed(self, reference: Reference) -> None:
        for key in self._objects[reference].users:
            followed = self._pods.get(key)
            if followed is not None:
                followed.stale |= {
                    name for name, sources in followed.volumes.items() if reference in sources.references
                }
                followed.retry_at = 0.0
                self._queue.add(key)

    async def _refresh(self, key: PodKey, pod: JSON, followed: _Followed) -> None:
        try:
            facts = await self._lookups.facts(key, pod)
            self._read(followed.volumes, facts)
            stale = frozenset(followed.stale)
            resolved, _ = resolve(key, pod, facts)
            if self._provider is not None:
                with self._metrics.call(Operation.REFRESH):
                    await self._provider.refresh(resolved, stale)
        except Unresolved as error:  # what it mounts stays as it was
            self._events.record(pod, "Warning", "FailedMount", f"files not refreshed: {error.notice.message}")
        except (ProviderError, VnodectlError) as error:
            log.warning("pod %s: files not refreshed: %s", key, error)
        else:
            followed.stale -= stale
            return
        followed.retry_at = asyncio.get_running_loop().time() + _RETRY_SECONDS

    def _due(self, key: PodKey) -> float:
        return self._lookups.tokens_due(key)

    def _plan(self, key: PodKey) -> None:
        followed = self._pods.get(key)
        if followed is None:
            return
        due = followed.retry_at if followed.stale else self._due(key)
        if due != float("inf"):
            self._queue.add_after(key, max(0.05, due - asyncio.get_running_loop().time()))


def sources_of(pod: JSON) -> dict[str, Sources]:
    """The volumes of the pod that are made of files which can change. Pure."""
    found = {}
    namespace = pod["metadata"]["namespace"]
    used = mounted(pod)
    for volume in pod["spec"].get("volumes") or ():
        if volume["name"] not in used:
            continue
        parts = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        references = set()
        for part in parts:
            if name := (part.get("configMap") or {}).get("name"):
                references.add(Reference(CONFIG_MAPS, namespace, name))
            secret = part.get("secret") or {}
            if name := secret.get("secretName") or secret.get("name"):
                references.add(Reference(SECRETS, namespace, name))
        tokens = any("serviceAccountToken" in part for part in parts)
        downward = any("downwardAPI" in part for part in parts)
        if references or tokens or downward:
            found[volume["name"]] = Sources(frozenset(references), tokens, downward)
    return found


def _metadata(pod: JSON) -> int:
    """What the downward API shows of a pod that can change."""
    meta = pod["metadata"]
    return hash(
        (
            tuple(sorted((meta.get("labels") or {}).items())),
            tuple(sorted((meta.get("annotations") or {}).items())),
        )
    )
