"""Says on the API server what is known of a pod: one patch where something differs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

from vnodectl.kube.client import KubeClient
from vnodectl.kube.errors import Conflict, Invalid, NotFound
from vnodectl.kube.resources import PODS
from vnodectl.runtime import status as statuses
from vnodectl.runtime.clock import Clock, rfc3339
from vnodectl.runtime.facts import NodeFacts
from vnodectl.runtime.metrics import NodeMetrics
from vnodectl.runtime.probing import Probing
from vnodectl.runtime.provider import JSON, PodKey
from vnodectl.runtime.queue import Backoff, WorkQueue
from vnodectl.runtime.record import Record

log = logging.getLogger(__name__)

_SAME_STATUS = 10.0


class StatusWriter:
    """`write` raises ApiError and ClusterUnreachable."""

    def __init__(
        self,
        client: KubeClient,
        probing: Probing,
        *,
        provider: str,
        queue: WorkQueue[PodKey],
        backoff: Backoff[PodKey],
        node: Callable[[], NodeFacts],
        clock: Clock,
        metrics: NodeMetrics,
    ) -> None:
        self._client = client
        self._probing = probing
        self._provider = provider
        self._queue = queue
        self._backoff = backoff
        self._node = node
        self._clock = clock
        self._metrics = metrics

    async def write(self, record: Record, pod: JSON) -> None:
        """The status that the record amounts to, unless the API server says it already."""
        if (
            record.seen is None
            and record.trouble is None
            and (pod.get("status") or {}).get("containerStatuses")
        ):
            return  # an earlier life of this process knew more than this one does yet
        seen = self._probing.arrange(record.key, pod, record.seen) if record.exists else record.seen
        wanted = statuses.compute(
            pod,
            seen,
            now=rfc3339(self._clock()),
            host_ips=self._node().host_ips,
            trouble=record.trouble,
            provider=self._provider,
        )
        if not statuses.differs(pod, wanted):
            return
        now = asyncio.get_running_loop().time()
        print_ = hash(json.dumps(wanted, sort_keys=True))
        if print_ == record.sent and now - record.sent_at < _SAME_STATUS:
            # Either the watch has not caught up, or somebody else writes too: do not race.
            self._queue.add_after(record.key, _SAME_STATUS - (now - record.sent_at))
            return
        try:
            await self._client.patch_only(
                PODS.path(record.key.namespace, record.key.name, "status"), statuses.patch(pod, wanted)
            )
        except (NotFound, Conflict):
            return  # the watch will tell
        except Invalid as error:
            log.warning("pod %s: the API server refuses its status: %s", record.key, error)
            self._queue.add_after(record.key, self._backoff.next(record.key))
            return
        record.sent, record.sent_at = print_, now
        if record.waiting_since is not None and wanted.get("phase") == "Running":
            self._metrics.pod_starts.observe(asyncio.get_running_loop().time() - record.waiting_since)
            record.waiting_since = None
