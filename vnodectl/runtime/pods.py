"""The pods of one node: what the API server wants, what the provider has, and what to do about it.

Two flows of facts meet here: the watch of this node's pods and the provider's sightings. Both only note
what they say in a record per pod (by UID) and queue its key; a worker then compares both sides and takes
the next step. Nothing is decided on an event alone, so a missed one is harmless.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.errors import ApiError, Conflict, Invalid, NotFound
from vnodectl.kube.interning import Interner
from vnodectl.kube.resources import PODS
from vnodectl.runtime import provider as contract
from vnodectl.runtime import status as statuses
from vnodectl.runtime.clock import Clock, rfc3339
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.facts import NodeFacts, Unresolved, needs
from vnodectl.runtime.lookups import Lookups
from vnodectl.runtime.metrics import NodeMetrics, Operation, SyncResult
from vnodectl.runtime.provider import (
    Gone,
    Happened,
    Health,
    Listed,
    PodKey,
    Provider,
    Seen,
    SupportsFileRefresh,
)
from vnodectl.runtime.queue import Backoff, WorkQueue
from vnodectl.runtime.resolve import resolve
from vnodectl.runtime.status import Trouble

log = logging.getLogger(__name__)

Items = list[JSON]

WORKERS = 64
_MISSING_RETRY = 3.0  # a Secret that appears must unblock its pod within 5 s
_QUIET_CREATE = 1.0  # a group that starts sooner needs no "ContainerCreating" status
_DELETE_AGAIN = 120.0
_SAME_STATUS = 10.0
_ORPHAN_GRACE = 1.0
_REFRESH_AGAIN = 60.0
_GROUP_GONE = "ContainerGroupGone"


@dataclass(slots=True)
class Record:
    """Both sides of one pod. `exists` is None while nobody knows whether the cloud has its group.

    `waiting_since` is when the pod was first seen, until it is shown running.
    """

    key: PodKey
    pod: JSON | None = None
    seen: JSON | None = None
    exists: bool | None = None
    waiting_since: float | None = None
    accepted_at: float = float("-inf")
    create_called: bool = False
    orphan_confirmed: bool = False
    create_again_at: float = float("-inf")
    delete_again_at: float = float("-inf")
    refresh_at: float | None = None
    trouble: Trouble | None = None
    sent: int = 0
    sent_at: float = float("-inf")


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
        self._client = client
        self._provider = provider
        self._lookups = lookups
        self._events = events
        self._node = node
        self._clock = clock
        self._on_health = on_health
        self._backoff = backoff or Backoff()
        self._metrics = metrics or NodeMetrics()
        self.queue: WorkQueue[PodKey] = WorkQueue(self._metrics.queue)
        self._metrics.show_queue(lambda: len(self.queue), lambda: self.queue.delayed)
        self._metrics.show_pods(self._phases)
        self._strings = Interner()
        self._records: dict[PodKey, Record] = {}
        self._current: dict[tuple[str, str], PodKey] = {}
        self._pods_known = False
        self._groups_known = False

    # --- what the API server says (kube.listwatch.Listener) ---------------------------------------

    def replaced(self, items: Items) -> None:
        present = {self._note(item) for item in items}
        self._pods_known = True
        for key, record in self._records.items():
            if key not in present:
                if record.pod is not None:
                    self._forget_pod(record)
                self.queue.add(key)

    def changed(self, item: JSON) -> None:
        self._note(item)

    def deleted(self, item: JSON) -> None:
        key = _key(item)
        record = self._records.get(key)
        if record is not None:
            self._forget_pod(record)
            record.orphan_confirmed = True
            self.queue.add(key)

    def _note(self, item: JSON) -> PodKey:
        # Half of a pod's JSON is managedFields, which nothing here reads.
        item["metadata"].pop("managedFields", None)
        item = self._strings.intern(item)
        key = _key(item)
        before = self._current.get((key.namespace, key.name))
        if before is not None and before != key and before in self._records:
            self._forget_pod(self._records[before])
            self.queue.add(before)
        self._current[key.namespace, key.name] = key
        record = self._record(key)
        if record.pod is None and _phase(item) == "Pending":
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

    def _phases(self) -> Iterator[str]:
        return (_phase(record.pod) for record in self._records.values() if record.pod is not None)

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
            case Happened(key, kind, reason, message, container):
                about = self._records.get(key)
                if about is not None and about.pod is not None:
                    self._events.record(about.pod, kind, reason, message, container=container)

    def _listed(self, keys: frozenset[PodKey], began: float) -> None:
        first, self._groups_known = not self._groups_known, True
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
        self.queue.add(record.key)

    # --- the work ---------------------------------------------------------------------------------

    async def work(self) -> None:
        """One worker, until cancelled."""
        while True:
            key = await self.queue.get()
            result = SyncResult.OK
            try:
                with self._metrics.sync(key):
                    await self._reconcile(key)
            except (ApiError, ClusterUnreachable) as error:
                result = SyncResult.API_ERROR
                delay = self._backoff.next(key)
                log.warning("pod %s: %s; again in %.1f s", key, error, delay)
                self.queue.add_after(key, delay)
            except Exception:  # one pod's bug must not end the node
                result = SyncResult.ERROR
                delay = self._backoff.next(key)
                log.exception("pod %s: unexpected error; again in %.1f s", key, delay)
                self.queue.add_after(key, delay)
            finally:
                self._metrics.syncs[result].value += 1
                self.queue.done(key)

    async def _reconcile(self, key: PodKey) -> None:
        record = self._records.get(key)
        if record is None:
            return
        if record.pod is None:
            await self._remove_orphan(record)
        elif record.pod["metadata"].get("deletionTimestamp"):
            await self._terminate(record, record.pod)
        elif _terminal(record.pod):
            await self._sync_status(record, record.pod)
        elif record.exists:
            await self._keep(record, record.pod)
        elif self._groups_known:
            await self._create(record, record.pod)

    async def _remove_orphan(self, record: Record) -> None:
        """A group whose pod is gone. Only when the API server itself says that there is no such pod."""
        if record.exists is False or (record.exists is None and not record.create_called):
            if self._groups_known or record.exists is False:
                self._records.pop(record.key, None)
                self._backoff.forget(record.key)
            return
        if not self._pods_known:
            return
        if not record.orphan_confirmed:
            found = await self._read(record.key)
            if found is not None:
                self._note(found)
                return
            record.orphan_confirmed = True
        log.info("pod %s (%s) does not exist: deleting its group", record.key, record.key.uid)
        await self._ask_delete(record, _ORPHAN_GRACE)

    async def _read(self, key: PodKey) -> JSON | None:
        """The very pod, if it exists and belongs to this node."""
        try:
            pod = await self._client.get(PODS.path(key.namespace, key.name))
        except NotFound:
            return None
        ours = pod["metadata"]["uid"] == key.uid and pod["spec"].get("nodeName") == self._node().name
        return pod if ours else None

    async def _terminate(self, record: Record, pod: JSON) -> None:
        never_made = record.exists is None and not record.create_called and self._groups_known
        if record.exists is False or never_made:
            await self._finish(record, pod)
            return
        if record.exists is None and not self._groups_known:
            return  # the first list will tell
        grace = pod["metadata"].get("deletionGracePeriodSeconds")
        await self._ask_delete(record, float(30 if grace is None else grace))
        await self._sync_status(record, pod)

    async def _ask_delete(self, record: Record, grace: float) -> None:
        now = asyncio.get_running_loop().time()
        if now < record.delete_again_at:
            self.queue.add_after(record.key, record.delete_again_at - now)
            return
        try:
            with self._metrics.call(Operation.DELETE):
                await self._provider.delete(record.key, grace=grace)
        except contract.ProviderError as error:
            delay = _retry_after(error) or self._backoff.next(record.key)
            log.warning("pod %s: delete: %s; again in %.1f s", record.key, error, delay)
            if record.pod is not None:
                self._events.record(record.pod, "Warning", "FailedDelete", error.message)
        else:
            self._backoff.forget(record.key)
            delay = _DELETE_AGAIN + grace
        record.delete_again_at = now + delay
        self.queue.add_after(record.key, delay)

    async def _finish(self, record: Record, pod: JSON) -> None:
        """The group is gone: let the API object go, with the final states where somebody will read them."""
        outlives = bool(pod["metadata"].get("finalizers"))
        if (outlives or pod["spec"].get("restartPolicy") != "Always") and not _terminal(pod):
            record.seen = _ended(pod, record.seen, rfc3339(self._clock()))
            await self._sync_status(record, pod)
        # NotFound: somebody was faster. Conflict: the name belongs to another pod by now.
        with suppress(NotFound, Conflict):
            await self._client.delete(
                PODS.path(record.key.namespace, record.key.name), uid=record.key.uid, grace_seconds=0
            )

    async def _keep(self, record: Record, pod: JSON) -> None:
        self._backoff.forget(record.key)
        if record.seen is not None:
            record.trouble = None
        now = asyncio.get_running_loop().time()
        if record.accepted_at == float("-inf"):
            # Adopted from an earlier life of this process: nobody knows how old its tokens are.
            record.accepted_at = now
            self._plan_refresh(record, pod, now, at_once=True)
        if record.refresh_at is not None and record.refresh_at <= now:
            await self._refresh(record, pod)
        elif record.refresh_at is not None:
            self.queue.add_after(record.key, record.refresh_at - now)
        if record.seen is None and now - record.accepted_at < _QUIET_CREATE:
            self.queue.add_after(record.key, _QUIET_CREATE)
            return
        await self._sync_status(record, pod)

    async def _create(self, record: Record, pod: JSON) -> None:
        if (wait := record.create_again_at - asyncio.get_running_loop().time()) > 0:
            self.queue.add_after(record.key, wait)
            await self._sync_status(record, pod)
            return
        if record.exists is False and _has_run(record, pod):
            if (pod["spec"].get("restartPolicy") or "Always") == "Never":
                record.seen = _ended(pod, record.seen, rfc3339(self._clock()))
                gone = "the container group no longer exists at the provider"
                await self._trouble(record, pod, Trouble(_GROUP_GONE, _GROUP_GONE, gone, fatal=True))
                return
            self._events.record(pod, "Warning", _GROUP_GONE, "the group is gone; creating it again")
            record.seen = None
        try:
            facts = await self._lookups.facts(record.key, pod)
            resolved, notices = resolve(record.key, pod, facts)
            for notice in notices:
                self._events.record(pod, notice.type, notice.reason, notice.message)
            record.create_called = True
            record.accepted_at = asyncio.get_running_loop().time()
            with self._metrics.call(Operation.CREATE):
                await self._provider.create(resolved)
        except Unresolved as error:
            notice = error.notice
            trouble = Trouble("CreateContainerConfigError", notice.reason, notice.message)
            await self._trouble(record, pod, trouble, kind=notice.type, again=_MISSING_RETRY)
            return
        except contract.Rejected as error:
            await self._trouble(record, pod, Trouble(error.reason, error.reason, error.message, fatal=True))
            return
        except contract.ProviderError as error:
            delay = _retry_after(error) or self._backoff.next(record.key)
            trouble = Trouble(error.reason, error.reason, error.message)
            await self._trouble(record, pod, trouble, again=delay)
            return
        record.exists, record.trouble = True, None
        record.create_again_at = record.delete_again_at = float("-inf")
        record.accepted_at = now = asyncio.get_running_loop().time()
        self._plan_refresh(record, pod, now)
        self.queue.add_after(record.key, _QUIET_CREATE)

    async def _trouble(
        self,
        record: Record,
        pod: JSON,
        trouble: Trouble,
        *,
        kind: str = "Warning",
        again: float | None = None,
    ) -> None:
        if record.trouble != trouble:
            self._events.record(pod, kind, trouble.reason, trouble.message)
        record.trouble = trouble
        if again is not None:
            # The status that is written next comes back as a change: that must not end the wait.
            record.create_again_at = asyncio.get_running_loop().time() + again
            self.queue.add_after(record.key, again)
        await self._sync_status(record, pod)

    # --- files that change while a pod runs -------------------------------------------------------

    def _plan_refresh(self, record: Record, pod: JSON, now: float, *, at_once: bool = False) -> None:
        """Tokens are renewed at 80 % of their life, as kubelets do."""
        tokens = needs(pod).tokens
        if tokens and isinstance(self._provider, SupportsFileRefresh):
            record.refresh_at = now if at_once else now + 0.8 * min(token.expiration for token in tokens)
            self.queue.add_after(record.key, record.refresh_at - now)

    async def _refresh(self, record: Record, pod: JSON) -> None:
        now = asyncio.get_running_loop().time()
        try:
            resolved, _ = resolve(record.key, pod, await self._lookups.facts(record.key, pod))
            if isinstance(self._provider, SupportsFileRefresh):
                volumes = frozenset(token.volume for token in needs(pod).tokens)
                with self._metrics.call(Operation.REFRESH):
                    await self._provider.refresh(resolved, volumes)
        except (Unresolved, contract.ProviderError, ApiError) as error:
            log.warning("pod %s: tokens not renewed: %s", record.key, error)
            record.refresh_at = now + _REFRESH_AGAIN
            self.queue.add_after(record.key, _REFRESH_AGAIN)
            return
        self._plan_refresh(record, pod, now)

    # --- status -----------------------------------------------------------------------------------

    async def _sync_status(self, record: Record, pod: JSON) -> None:
        if (
            record.seen is None
            and record.trouble is None
            and (pod.get("status") or {}).get("containerStatuses")
        ):
            return  # an earlier life of this process knew more than this one does yet
        wanted = statuses.compute(
            pod,
            record.seen,
            now=rfc3339(self._clock()),
            host_ips=self._node().host_ips,
            trouble=record.trouble,
        )
        if not statuses.differs(pod, wanted):
            return
        now = asyncio.get_running_loop().time()
        print_ = hash(json.dumps(wanted, sort_keys=True))
        if print_ == record.sent and now - record.sent_at < _SAME_STATUS:
            # Either the watch has not caught up, or somebody else writes too: do not race.
            self.queue.add_after(record.key, _SAME_STATUS - (now - record.sent_at))
            return
        try:
            await self._client.patch(
                PODS.path(record.key.namespace, record.key.name, "status"), statuses.patch(pod, wanted)
            )
        except (NotFound, Conflict):
            return  # the watch will tell
        except Invalid as error:
            log.warning("pod %s: the API server refuses its status: %s", record.key, error)
            self.queue.add_after(record.key, self._backoff.next(record.key))
            return
        record.sent, record.sent_at = print_, now
        if record.waiting_since is not None and wanted.get("phase") == "Running":
            self._metrics.pod_starts.observe(asyncio.get_running_loop().time() - record.waiting_since)
            record.waiting_since = None


def _key(pod: JSON) -> PodKey:
    meta = pod["metadata"]
    return PodKey(meta["namespace"], meta["name"], meta["uid"])


def _terminal(pod: JSON) -> bool:
    return _phase(pod) in ("Succeeded", "Failed")


def _phase(pod: JSON) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _has_run(record: Record, pod: JSON) -> bool:
    return record.seen is not None or (pod.get("status") or {}).get("phase") == "Running"


def _retry_after(error: contract.ProviderError) -> float | None:
    return error.retry_after if isinstance(error, contract.Retryable) else None


def _ended(pod: JSON, seen: JSON | None, now: str) -> JSON:
    """The last fragment, with every container that was not seen to end marked so, as kubelets do."""
    fragment: JSON = dict(seen or {})
    known = {one["name"]: one for one in fragment.get("containerStatuses") or ()}
    ended = []
    for container in pod["spec"]["containers"]:
        one = dict(known.get(container["name"]) or _blank(container))
        if "terminated" not in (one.get("state") or {}):
            one["state"] = {
                "terminated": {
                    "exitCode": 137,
                    "reason": "ContainerStatusUnknown",
                    "message": "The container could not be located when the pod was terminated",
                    "startedAt": None,
                    "finishedAt": now,
                }
            }
        ended.append(one | {"ready": False, "started": False})
    fragment["containerStatuses"] = ended
    failed = any(one["state"]["terminated"].get("exitCode") != 0 for one in ended)
    fragment["phase"] = "Failed" if failed else "Succeeded"
    return fragment


def _blank(container: JSON) -> JSON:
    return {
        "name": container["name"],
        "image": container.get("image") or "",
        "imageID": "",
        "restartCount": 0,
        "lastState": {},
    }
