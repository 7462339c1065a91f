"""Taking the pods off a node as `kubectl drain` does: cordon, then evict, heeding disruption budgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vnodectl.errors import TimedOut
from vnodectl.kube.errors import ApiError, Conflict, NotFound, Throttled
from vnodectl.kube.resources import NODES, PODS

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]
Say = Callable[[str], None]

_CONCURRENT = 16
POLL_SECONDS = 1.0

CORDONED = "vnodectl.io/cordoned"
"""On a node that a removal cordoned: an installation takes that back, where the removal came to no end."""


async def pods_on(kube: KubeClient, node: str) -> list[JSON]:
    """Every pod that is bound to the node, in all namespaces."""
    pods, _ = await kube.list(PODS.path(), {"fieldSelector": f"spec.nodeName={node}"})
    return pods


def full_name(pod: JSON) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def finished(pod: JSON) -> bool:
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def resident(pod: JSON) -> bool:
    """A pod of a DaemonSet or of the node itself: it cannot be moved, and lives no longer than the node."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("kind") in {"DaemonSet", "Node"} for owner in owners)


def in_the_way(pods: Iterable[JSON]) -> list[JSON]:
    """The pods that somebody would miss: running or about to, and not resident."""
    return [pod for pod in pods if not finished(pod) and not resident(pod)]


async def cordon(kube: KubeClient, node: str) -> None:
    """Let no further pod be scheduled there, and note that it was us. A node that does not exist is fine."""
    path = NODES.path(name=node)
    with suppress(NotFound):
        if not _cordoned(await kube.get(path)):
            await kube.patch(path, {"metadata": {"annotations": {CORDONED: "true"}}, **_unschedulable(True)})


async def uncordon(kube: KubeClient, node: str) -> None:
    """Take `cordon` back. A node that somebody else cordoned stays so; one that does not exist is fine."""
    path = NODES.path(name=node)
    with suppress(NotFound):
        found = await kube.get(path)
        if CORDONED in (found["metadata"].get("annotations") or {}):
            await kube.patch(path, {"metadata": {"annotations": {CORDONED: None}}, **_unschedulable(None)})


def _cordoned(node: JSON) -> bool:
    return bool((node.get("spec") or {}).get("unschedulable"))


def _unschedulable(value: bool | None) -> JSON:
    return {"spec": {"unschedulable": value}}


async def drain(
    kube: KubeClient, node: str, *, timeout: float, say: Say, interval: float = POLL_SECONDS
) -> None:
    """Cordon, evict every pod but resident ones and wait until they are gone; `timeout` in seconds.

    Raises TimedOut naming the pods that stay and why; the node then remains cordoned.
    """
    await cordon(kube, node)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    told = -1
    while True:
        left = [pod for pod in await pods_on(kube, node) if not resident(pod)]
        if not left:
            return
        if len(left) != told:
            told = len(left)
            say(f"draining {node}: {told} pod{'s' if told > 1 else ''} left")
        blocked = await _evict(kube, [pod for pod in left if not pod["metadata"].get("deletionTimestamp")])
        if loop.time() + interval > deadline:
            raise TimedOut(
                "\n".join([f"after {timeout:.0f} s pods are still on node {node}:", *_lines(left, blocked)]),
                hint=f"the node stays cordoned: try again, use --force, or kubectl uncordon {node}",
            )
        await asyncio.sleep(interval)


def _lines(left: Sequence[JSON], blocked: dict[str, str]) -> list[str]:
    return [f"  {full_name(pod)}: {blocked.get(full_name(pod)) or 'is ending'}" for pod in left]


async def _evict(kube: KubeClient, pods: Sequence[JSON]) -> dict[str, str]:
    """Ask for each eviction once; why some were refused, by pod."""
    limit = asyncio.Semaphore(_CONCURRENT)
    refused: dict[str, str] = {}

    async def one(pod: JSON) -> None:
        meta = pod["metadata"]
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
            "deleteOptions": {"preconditions": {"uid": meta["uid"]}},
        }
        path = PODS.path(meta["namespace"], meta["name"], "eviction")
        async with limit:
            try:
                # One attempt: a refusal (429) by a disruption budget is tried again with the next round.
                async with kube.stream("POST", path, body=body, timeout=30) as answer:
                    await answer.read()
            except (NotFound, Conflict):
                return
            except Throttled as error:
                refused[full_name(pod)] = error.message or "a disruption budget forbids it for now"
            except ApiError as error:
                refused[full_name(pod)] = error.message

    async with asyncio.TaskGroup() as group:
        for pod in pods:
            group.create_task(one(pod), name=f"evict {full_name(pod)}")
    return refused
