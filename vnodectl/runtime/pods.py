"""The pods of one node: what the API server wants, what the provider has, and what to do about it.

Two flows of facts meet here: the watch of this node's pods and the provider's sightings. Both only note
what they say in a record per pod (by UID) and queue its key; a worker then compares both sides and takes
the next step. Nothing is decided on an event alone, so a missed one is harmless.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.errors import ApiError
from vnodectl.kube.interning import Interner
from vnodectl.runtime import provider as contract
from vnodectl.runtime.clock import Clock
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.facts import NodeFacts
from vnodectl.runtime.lookups import Lookups
from vnodectl.runtime.metrics import NodeMetrics, SyncResult
from vnodectl.runtime.podsync import PodSync
from vnodectl.runtime.prometheus import Reading
from vnodectl.runtime.provider import Gone, Happened, Health, Listed, PodKey, Provider, Seen
from vnodectl.runtime.queue import Backoff, WorkQueue
from vnodectl.runtime.record import Record, key_of, mirror, phase_of

log = logging.getLogger(__name__)

Items = list[JSON]

WORKERS = 64
_API_RETRY_MOST = 15.0  # seconds: an API server that is back must not be waited for long


class PodController:
    """`on_health` is called with each Health sighting. Run `work` and `observe` as tasks."""

    def __init__(
        self,
        client: KubeClient,
        provider: Provider,
        lookups: Lookups,
        events: EventRecorder,
        *,
        node: Callable[[], NodeFacts],
        clock: Clock,
        on_health: Callable[[Health], None],
        backoff: Backoff[PodKey] | None = None,
        metrics: NodeMetrics | None = None,
    ) -> None:
        self._provider = provider
        self._events = events
        self._on_health = on_health
        self._backoff = backoff or Backoff()
        self._api_backoff: Backoff[PodKey] = Backoff(cap=_API_RETRY_MOST)
        self._metrics = metrics or NodeMetrics()
        self.queue: WorkQueue[PodKey] = WorkQueue(self._metrics.queue)
        self._metrics.show_queue(lambda: len(self.queue), lambda: self.queue.delayed)
        self._metrics.show_pods(self._phases)
        self._strings = Interner()
        self._records: dict[PodKey, Record] = {}
        self._current: dict[tuple[str, str], PodKey] = {}
        self._sync = PodSync(
            client,
            provider,
            lookups,
            events,
            queue=self.queue,
            backoff=self._backoff,
            node=node,
            clock=clock,
            metrics=self._metrics,
            note=self._note,
            drop=self._drop,
        )

    async def aclose(self) -> None:
        """End what runs for the pods; call it when the workers have ended."""
        self.queue.close()
        await self._sync.aclose()

    # --- what the API server says (kube.listwatch.Listener) ---------------------------------------

    def replaced(self, items: Items) -> None:
        present = {self._note(item) for item in items if not mirror(item)}
        self._sync.pods_known = True
        for key, record in self._records.items():
            if key not in present:
                if record.pod is not None:
                    self._forget_pod(record)
                self.queue.add(key)

    def changed(self, item: JSON) -> None:
        if not mirror(item):
            self._note(item)

    def deleted(self, item: JSON) -> None:
        key = key_of(item)
        record = self._records.get(key)
        if record is not None:
            self._forget_pod(record)
            record.orphan_confirmed = True
            self.queue.add(key)

    def _note(self, item: JSON) -> PodKey:
        # Half of a pod's JSON is managedFields, which nothing here reads.
        item["metadata"].pop("managedFields", None)
        key = key_of(item)
        record = self._record(key)
        item = self._strings.intern(item, record.pod)
        before = self._current.get((key.namespace, key.name))
        if before is not None and before != key and before in self._records:
            self._forget_pod(self._records[before])
            self.queue.add(before)
        self._current[key.namespace, key.name] = key
        if record.pod is None and phase_of(item) == "Pending":
            record.waiting_since = asyncio.get_running_loop().time()
        record.pod = item
        self.queue.add(key)
        return key

    def _forget_pod(self, record: Record) -> None:
        record.pod = None
        name = (record.key.namespace, record.key.name)
        if self._current.get(name) == record.key:
            del self._current[name]

    def _record(self, key: PodKey) -> Record:
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = Record(key)
        return record

    def _drop(self, key: PodKey) -> None:
        self._records.pop(key, None)

    # --- for the kubelet's HTTP API ---------------------------------------------------------------

    def get(self, namespace: str, name: str) -> tuple[PodKey, JSON] | None:
        """The pod of that name on this node."""
        key = self._current.get((namespace, name))
        record = self._records.get(key) if key else None
        if key is None or record is None or record.pod is None:
            return None
        return key, record.pod

    def list(self) -> Items:
        """Every pod of this node."""
        return [record.pod for record in self._records.values() if record.pod is not None]

    def probe_results(self) -> Reading:
        """`Probing.results`"""
        return self._sync.probing.results()

    def _phases(self) -> Iterator[str]:
        return (phase_of(record.pod) for record in self._records.values() if record.pod is not None)

    # --- what the provider says -------------------------------------------------------------------

    async def observe(self) -> None:
        """Note the provider's sightings until cancelled."""
        async for sighting in self._provider.observe():
            self.sighted(sighting)
        raise RuntimeError(f"provider {self._provider.name} stopped observing")

    def sighted(self, sighting: contract.Sighting) -> None:
        match sighting:
            case Seen(key, status):
                record = self._record(key)
                record.seen, record.exists = status, True
                self.queue.add(key)
            case Gone(key):
                if key in self._records:
                    self._mark_gone(self._records[key])
            case Listed(keys, began):
                self._listed(keys, began)
            case Health():
                self._on_health(sighting)
                self._sync.health = sighting
                if not (sighting.ok or self._sync.groups_known):
                    for key in self._records:
                        self.queue.add(key)
            case Happened(key, kind, reason, message, container):
                about = self._records.get(key)
                if about is not None and about.pod is not None:
                    self._events.record(about.pod, kind, reason, message, container=container)

    def _listed(self, keys: frozenset[PodKey], began: float) -> None:
        first, self._sync.groups_known = not self._sync.groups_known, True
        for key in keys:
            record = self._record(key)
            if record.exists is not True:
                record.exists = True
                self.queue.add(key)
        for key, record in self._records.items():
            if key not in keys and record.exists is not False and record.accepted_at < began:
                self._mark_gone(record)
            elif first:
                self.queue.add(key)

    def _mark_gone(self, record: Record) -> None:
        record.exists = False
        self._sync.ended(record.key)
        self.queue.add(record.key)

    async def refresh(self) -> None:
        """Keep the files of running pods current, until cancelled."""
        await self._sync.files.run()

    # --- the work ---------------------------------------------------------------------------------

    async def work(self) -> None:
        """One worker, until cancelled."""
        while True:
            key = await self.queue.get()
            result = SyncResult.OK
            try:
                record = self._records.get(key)
                if record is not None:
                    with self._metrics.sync(key):
                        await self._sync.step(record)
            except (ApiError, ClusterUnreachable) as error:
                result = SyncResult.API_ERROR
                delay = self._api_backoff.next(key)
                log.warning("pod %s: %s; again in %.1f s", key, error, delay)
                self.queue.add_after(key, delay)
            except Exception:  # one pod's bug must not end the node
                result = SyncResult.ERROR
                delay = self._backoff.next(key)
                log.exception("pod %s: unexpected error; again in %.1f s", key, delay)
                self.queue.add_after(key, delay)
            else:
                self._api_backoff.forget(key)
            finally:
                self._metrics.syncs[result].value += 1
                self.queue.done(key)
