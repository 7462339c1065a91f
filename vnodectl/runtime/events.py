"""Events on pods and the node. Repeats become a count on the first one; a flood is cut, never queued up."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass

from vnodectl.errors import VnodectlError
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.resources import EVENTS
from vnodectl.runtime.clock import Clock, rfc3339
from vnodectl.runtime.provider import PodKey

log = logging.getLogger(__name__)

_QUEUE = 1000
_REMEMBERED = 2000
_MESSAGE_LIMIT = 1024  # of the API, in bytes
# As client-go's recorder: so many events about one object at once, then one in five minutes; so many other
# messages of one reason within ten minutes, then they are counted on one event.
_BURST = 25
_REFILL_SECONDS = 300.0
_SIMILAR = 10
_SIMILAR_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    about: JSON
    kind: str
    reason: str
    message: str
    container: str


@dataclass(slots=True)
class _Sent:
    name: str
    namespace: str
    count: int


@dataclass(slots=True)
class _Budget:
    """Of events about one object. Times are the event loop's."""

    tokens: float
    at: float


@dataclass(slots=True)
class _Similar:
    """The messages of one reason about one object."""

    messages: set[str]
    since: float


class EventRecorder:
    """Sends in the background; an event is help for people, and never a reason to fail or to wait."""

    def __init__(self, client: KubeClient, component: str, host: str, clock: Clock) -> None:
        self._client = client
        self._source = {"component": component, "host": host}
        self._clock = clock
        self._pending: deque[_Wanted] = deque(maxlen=_QUEUE)
        self._wake = asyncio.Event()
        self._sent: OrderedDict[tuple[str, str, str, str], _Sent] = OrderedDict()
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()
        self._similar: OrderedDict[tuple[str, str, str], _Similar] = OrderedDict()

    def record(self, about: JSON, kind: str, reason: str, message: str, *, container: str = "") -> None:
        """`about` is the object as plain JSON; `kind` is Normal or Warning; `container` one of the pod's."""
        self._pending.append(_Wanted(about, kind, reason, _cut(message), container))
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                wanted = self._pending.popleft()
                try:
                    await self._send(wanted)
                except VnodectlError as error:
                    pod = {"pod": _pod(wanted.about)}
                    log.warning("event %s not recorded: %s", wanted.reason, error, extra=pod)

    async def _send(self, wanted: _Wanted) -> None:
        about = wanted.about
        meta = about["metadata"]
        now = rfc3339(self._clock())
        who = str(meta.get("uid") or meta["name"])
        if not self._may(who):
            return
        message = self._aggregated(who, wanted)
        fingerprint = (who, wanted.container, wanted.reason, message)
        before = self._sent.get(fingerprint)
        if before is not None:
            before.count += 1
            self._sent.move_to_end(fingerprint)
            await self._client.patch_only(
                EVENTS.path(before.namespace, before.name), {"count": before.count, "lastTimestamp": now}
            )
            return
        namespace = meta.get("namespace") or "default"
        name = f"{meta['name'][:230]}.{uuid.uuid4().hex[:16]}"
        await self._client.create(
            EVENTS.path(namespace),
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace},
                "involvedObject": {
                    "apiVersion": about.get("apiVersion") or "v1",
                    "kind": about.get("kind") or "Pod",
                    "name": meta["name"],
                    "namespace": meta.get("namespace"),
                    "uid": meta.get("uid"),
                    "resourceVersion": meta.get("resourceVersion"),
                    **_field_path(about, wanted.container),
                },
                "type": wanted.kind,
                "reason": wanted.reason,
                "message": message,
                "source": self._source,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            },
        )
        self._sent[fingerprint] = _Sent(name, namespace, 1)
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)

    def _may(self, who: str) -> bool:
        """Whether one more event about the object is bearable."""
        now = asyncio.get_running_loop().time()
        budget = self._budgets.setdefault(who, _Budget(_BURST, now))
        budget.tokens = min(_BURST, budget.tokens + (now - budget.at) / _REFILL_SECONDS)
        budget.at = now
        self._budgets.move_to_end(who)
        if len(self._budgets) > _REMEMBERED:
            self._budgets.popitem(last=False)
        if budget.tokens < 1:
            return False
        budget.tokens -= 1
        return True

    def _aggregated(self, who: str, wanted: _Wanted) -> str:
        """The message, or one that stands for all of its kind where they become too many."""
        now = asyncio.get_running_loop().time()
        kind = (who, wanted.container, wanted.reason)
        similar = self._similar.get(kind)
        if similar is None or now - similar.since > _SIMILAR_SECONDS:
            similar = self._similar[kind] = _Similar(set(), now)
            if len(self._similar) > _REMEMBERED:
                self._similar.popitem(last=False)
        if wanted.message in similar.messages or len(similar.messages) < _SIMILAR:
            similar.messages.add(wanted.message)
            return wanted.message
        return f"(combined from similar events): {wanted.reason}"


def _field_path(about: JSON, container: str) -> JSON:
    """Where `kubectl describe` says that an event comes from, as a kubelet writes it."""
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        if any(one["name"] == container for one in (about.get("spec") or {}).get(kind) or ()):
            return {"fieldPath": f"spec.{kind}{{{container}}}"}
    return {}


def _pod(about: JSON) -> PodKey | None:
    """Which pod that is; None for another object."""
    meta = about["metadata"]
    namespace, uid = meta.get("namespace"), meta.get("uid")
    return PodKey(namespace, meta["name"], uid) if namespace and uid else None


def _cut(message: str) -> str:
    encoded = message.encode()
    if len(encoded) <= _MESSAGE_LIMIT:
        return message
    return encoded[: _MESSAGE_LIMIT - 4].decode(errors="ignore") + " …"
