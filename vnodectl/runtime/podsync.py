"""One look at one pod: compare what the API server wants with what the provider has; take the next step."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.errors import Conflict, NotFound
from vnodectl.kube.resources import PODS
from vnodectl.runtime import ending
from vnodectl.runtime import provider as contract
from vnodectl.runtime.clock import Clock, rfc3339
from vnodectl.runtime.ending import EXPIRED
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.facts import NodeFacts, Notice, Unresolved
from vnodectl.runtime.hooks import LEAST_GRACE, PreStopHooks
from vnodectl.runtime.lookups import Lookups
from vnodectl.runtime.metrics import NodeMetrics, Operation
from vnodectl.runtime.probing import Probing
from vnodectl.runtime.provider import Health, InjectsLateFields, PodKey, Provider, ResolvedPod
from vnodectl.runtime.queue import Backoff, WorkQueue
from vnodectl.runtime.record import NEVER, Record, phase_of, terminal
from vnodectl.runtime.refresh import FileRefresh
from vnodectl.runtime.resolve import resolve
from vnodectl.runtime.status import NOT_SUPPORTED, Trouble, no_debugging
from vnodectl.runtime.status_writer import StatusWriter

log = logging.getLogger(__name__)

_MISSING_RETRY = 3.0  # a Secret that appears must unblock its pod within 5 s
_QUIET_CREATE = 1.0  # a group that starts sooner needs no "ContainerCreating" status
_QUIET_DELETE = (
    1.0  # nor one that goes sooner a status of its last moment: `_finish` says what somebody reads
)
_DELETE_AGAIN = 120.0
_TOKEN_AGE = 300.0  # of a token that a new group is made with: not every provider can renew it
_ORPHAN_GRACE = 1.0
_GROUP_GONE = "ContainerGroupGone"


class PodSync:
    """`step` is safe to repeat at any time. Raises ApiError and ClusterUnreachable."""

    def __init__(
        self,
        client: KubeClient,
        provider: Provider,
        lookups: Lookups,
        events: EventRecorder,
        *,
        queue: WorkQueue[PodKey],
        backoff: Backoff[PodKey],
        node: Callable[[], NodeFacts],
        clock: Clock,
        metrics: NodeMetrics,
        note: Callable[[JSON], PodKey],
        drop: Callable[[PodKey], None],
    ) -> None:
        self._client = client
        self._provider = provider
        self._lookups = lookups
        self._events = events
        self._queue = queue
        self._backoff = backoff
        self._node = node
        self._clock = clock
        self._metrics = metrics
        self._note = note
        self._drop = drop
        self.pods_known = False
        self.groups_known = False
        self.health: Health | None = None
        self.probing = Probing(provider, events, clock=clock, changed=queue.add, metrics=metrics)
        self._hooks = PreStopHooks(provider, events, done=queue.add, metrics=metrics)
        self.files = FileRefresh(provider, lookups, events, queue=queue, metrics=metrics)
        self._status = StatusWriter(
            client,
            self.probing,
            provider=provider.name,
            queue=queue,
            backoff=backoff,
            node=node,
            clock=clock,
            metrics=metrics,
        )

    async def aclose(self) -> None:
        await self.probing.aclose()
        await self._hooks.aclose()

    def ended(self, key: PodKey) -> None:
        """Nothing of the pod runs (any more)."""
        self.probing.forget(key)
        self._hooks.forget(key)
        self.files.forget(key)

    async def step(self, record: Record) -> None:
        if record.pod is not None:
            self._refuse_debugging(record, record.pod)
        if record.pod is None:
            await self._remove_orphan(record)
        elif record.pod["metadata"].get("deletionTimestamp"):
            await self._terminate(record, record.pod)
        elif terminal(record.pod):
            await self._wind_down(record, record.pod)
        elif self._expired(record, record.pod):
            await self._expire(record, record.pod)
        elif record.exists:
            await self._keep(record, record.pod)
        elif self.groups_known:
            await self._create(record, record.pod)
        elif self.health is not None and not self.health.ok:
            await self._wait_for_the_cloud(record, record.pod, self.health)

    def _refuse_debugging(self, record: Record, pod: JSON) -> None:
        """Say once of each ephemeral container that nothing comes of it; its status says so for good."""
        ephemeral = pod["spec"].get("ephemeralContainers") or ()
        said = {one["name"] for one in (pod.get("status") or {}).get("ephemeralContainerStatuses") or ()}
        for name in [one["name"] for one in ephemeral if one["name"] not in said | record.refused]:
            record.refused |= {name}
            message = f"container {name}: {no_debugging(self._provider.name)}"
            self._events.record(pod, "Warning", NOT_SUPPORTED, message, container=name)

    async def _wait_for_the_cloud(self, record: Record, pod: JSON, health: Health) -> None:
        """Nobody knows yet which groups there are: a pod that was never told of says why it waits. Of others
        an earlier life of this process knew more."""
        if record.trouble is not None or not (pod.get("status") or {}).get("containerStatuses"):
            await self._trouble(record, pod, Trouble(health.reason, health.reason, health.message))

    # --- going away -------------------------------------------------------------------------------

    async def _remove_orphan(self, record: Record) -> None:
        """A group whose pod is gone. Only when the API server itself says that there is no such pod."""
        if record.exists is False or (record.exists is None and not record.create_called):
            if self.groups_known or record.exists is False:
                self.ended(record.key)
                self._lookups.forget(record.key)
                self._backoff.forget(record.key)
                self._drop(record.key)
            return
        if not self.pods_known:
            return
        if not record.orphan_confirmed:
            found = await self._read(record.key)
            if found is not None:
                self._note(found)
                return
            record.orphan_confirmed = True
        if record.delete_again_at == NEVER:
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
        if self._surely_absent(record):
            await self._finish(record, pod)
            return
        if record.exists is None and not self.groups_known:
            return  # the first list will tell
        await self._stop(record, pod)
        now = asyncio.get_running_loop().time()
        if record.ending_at == NEVER:
            record.ending_at = now
        if (left := record.ending_at + _QUIET_DELETE - now) > 0:
            self._queue.add_after(record.key, left)
            return
        await self._status.write(record, pod)

    async def _wind_down(self, record: Record, pod: JSON) -> None:
        """A pod that has ended, by itself or because somebody said so: what still runs of it must not.

        Nothing is taken away from one that ended by itself: its logs are read as long as the pod is there.
        """
        if record.exists and record.seen is not None and ending.runs_on(record.seen):
            await self._stop(record, pod)
        await self._status.write(record, pod)

    async def _expire(self, record: Record, pod: JSON) -> None:
        """`activeDeadlineSeconds` is over. As in a kubelet, the pod is Failed once nothing of it runs."""
        if record.exists is None and not self.groups_known:
            return
        absent = self._surely_absent(record)
        if absent or (record.seen is not None and ending.over(pod, record.seen)):
            if record.seen is not None or not absent:
                record.seen = ending.ended(pod, record.seen, rfc3339(self._clock()))
            await self._trouble(record, pod, EXPIRED, kind="Normal")
            return
        await self._stop(record, pod)
        await self._status.write(record, pod)

    def _expired(self, record: Record, pod: JSON) -> bool:
        deadline = ending.deadline_of(pod)
        if deadline is None:
            return False
        left = deadline - self._clock()
        if left > 0:
            self._queue.add_after(record.key, left)
        return left <= 0

    def _surely_absent(self, record: Record) -> bool:
        never_made = record.exists is None and not record.create_called and self.groups_known
        return record.exists is False or never_made

    async def _stop(self, record: Record, pod: JSON) -> None:
        """First the hooks, then the group; what the hooks took is taken off the grace."""
        grace = ending.grace_of(pod)
        if self._hooks.finished(record.key, pod, record.seen, grace):
            left = max(min(LEAST_GRACE, grace), grace - self._hooks.took(record.key))
            sooner = record.asked_grace is not None and grace < record.asked_grace
            record.asked_grace = grace
            await self._ask_delete(record, left, sooner=sooner)

    async def _ask_delete(self, record: Record, grace: float, *, sooner: bool = False) -> None:
        """Ask once, and again where nothing came of it, or `sooner` where people have become less patient."""
        now = asyncio.get_running_loop().time()
        if now < record.delete_again_at and not sooner:
            self._queue.add_after(record.key, record.delete_again_at - now)
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
        self._queue.add_after(record.key, delay)

    async def _finish(self, record: Record, pod: JSON) -> None:
        """The group is gone: let the API object go, with the final states where somebody will read them."""
        outlives = bool(pod["metadata"].get("finalizers"))
        if (outlives or pod["spec"].get("restartPolicy") != "Always") and not terminal(pod):
            record.seen = ending.ended(pod, record.seen, rfc3339(self._clock()))
            await self._status.write(record, pod)
        if outlives and pod["metadata"].get("deletionGracePeriodSeconds") == 0:
            return  # all that is left to do is up to whoever put the finalizers there
        # NotFound: somebody was faster. Conflict: the name belongs to another pod by now.
        with suppress(NotFound, Conflict):
            await self._client.delete(
                PODS.path(record.key.namespace, record.key.name), uid=record.key.uid, grace_seconds=0
            )

    # --- being there ------------------------------------------------------------------------------

    async def _keep(self, record: Record, pod: JSON) -> None:
        self._backoff.forget(record.key)
        if record.seen is not None:
            record.trouble = None
        now = asyncio.get_running_loop().time()
        if record.accepted_at == NEVER:
            record.accepted_at = now
        await self.files.keep(record.key, pod)
        if record.seen is None and now - record.accepted_at < _QUIET_CREATE:
            self._queue.add_after(record.key, _QUIET_CREATE)
            return
        await self._status.write(record, pod)

    async def _create(self, record: Record, pod: JSON) -> None:
        if (wait := record.create_again_at - asyncio.get_running_loop().time()) > 0:
            self._queue.add_after(record.key, wait)
            await self._status.write(record, pod)
            return
        if record.exists is False and _has_run(record, pod):
            if (pod["spec"].get("restartPolicy") or "Always") == "Never":
                record.seen = ending.ended(pod, record.seen, rfc3339(self._clock()))
                gone = "the container group no longer exists at the provider"
                await self._trouble(record, pod, Trouble(_GROUP_GONE, _GROUP_GONE, gone, fatal=True))
                return
            self._events.record(pod, "Warning", _GROUP_GONE, "the group is gone; creating it again")
            record.seen = None
        try:
            facts = await self._lookups.facts(record.key, pod, token_age=_TOKEN_AGE)
            resolved, notices = resolve(record.key, pod, facts)
            told = (*notices, *self._too_late(resolved))
            for notice in told if told != record.told else ():  # not again at each try
                self._events.record(pod, notice.type, notice.reason, notice.message)
            record.told = told
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
            if record.exists is False:
                record.exists = None  # it may have come about all the same
            delay = _retry_after(error) or self._backoff.next(record.key)
            trouble = Trouble(error.reason, error.reason, error.message)
            await self._trouble(record, pod, trouble, again=delay)
            return
        record.exists, record.trouble = True, None
        record.create_again_at = record.delete_again_at = NEVER
        record.asked_grace = None
        record.accepted_at = asyncio.get_running_loop().time()
        self.files.created(record.key, pod, facts)
        self._queue.add_after(record.key, _QUIET_CREATE)

    def _too_late(self, resolved: ResolvedPod) -> list[Notice]:
        """Variables whose value comes into being with the group, where the provider cannot put them in."""
        if not any(one.late for variables in resolved.env.values() for one in variables):
            return []
        known = self._provider.late_fields if isinstance(self._provider, InjectsLateFields) else frozenset()
        return [
            Notice(
                "Warning",
                "FieldNotAvailable",
                f"variable {one.name} of container {name} is empty: {one.late} is known only once the pod "
                f"runs, and the {self._provider.name} provider cannot put it in then",
            )
            for name, variables in resolved.env.items()
            for one in variables
            if one.late and one.late not in known
        ]

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
            self._queue.add_after(record.key, again)
        await self._status.write(record, pod)


def _has_run(record: Record, pod: JSON) -> bool:
    return record.seen is not None or phase_of(pod) == "Running"


def _retry_after(error: contract.ProviderError) -> float | None:
    return error.retry_after if isinstance(error, contract.Retryable) else None
