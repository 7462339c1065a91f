"""The smoke pod: what it is, and each thing that is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from vnodectl.errors import VnodectlError
from vnodectl.kube import exec as kube_exec
from vnodectl.kube.errors import ApiError, Forbidden, NotFound
from vnodectl.kube.follow import until
from vnodectl.kube.resources import EVENTS, PODS
from vnodectl.settings import TAINT_KEY

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]
T = TypeVar("T")

LABEL = "vnodectl.io/smoke"
LEFTOVER_AGE = timedelta(hours=1)
"""Older smoke pods belong to runs that were killed; younger ones may belong to somebody at work now."""

LINUX_IMAGE = "mcr.microsoft.com/cbl-mariner/busybox:2.0"
WINDOWS_IMAGE = "mcr.microsoft.com/windows/nanoserver:ltsc2022"

_CONTAINER = "smoke"
_LIFE_SECONDS = 3600
_GRACE_SECONDS = 2
_PAUSE = 0.5
_PATIENCE_SECONDS = 10.0
_MAX_LOG = 65536
_EVENTS = 3


class StepFailed(VnodectlError):
    """A step of the validation did not hold. `hint` is the fix."""


@dataclass(frozen=True, slots=True)
class SmokePod:
    """One pod for one node. `marker` is what it must write and answer; `os_type` is Linux or Windows."""

    namespace: str
    name: str
    node: str
    os_type: str
    image: str
    marker: str

    def manifest(self) -> JSON:
        """The pod. It goes through the scheduler, which may choose this one node only."""
        windows = self.os_type == "Windows"
        size = {"cpu": "1", "memory": "1536Mi"} if windows else {"cpu": "250m", "memory": "256Mi"}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": {"app.kubernetes.io/managed-by": "vnodectl", LABEL: "true"},
            },
            "spec": {
                "affinity": {"nodeAffinity": _only(self.node)},
                "tolerations": [{"key": TAINT_KEY, "operator": "Exists"}],
                "os": {"name": self.os_type.lower()},
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": _GRACE_SECONDS,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "containers": [
                    {
                        "name": _CONTAINER,
                        "image": self.image,
                        "command": self._life(),
                        "resources": {"requests": size, "limits": size},
                    }
                ],
            },
        }

    def _life(self) -> list[str]:
        """Say the marker, then live for an hour at most, and end at once when asked to."""
        if self.os_type == "Windows":
            return ["cmd", "/c", f"echo {self.marker}& ping -n {_LIFE_SECONDS} 127.0.0.1 >nul"]
        return ["sh", "-c", f"trap 'exit 0' TERM; echo {self.marker}; sleep {_LIFE_SECONDS} & wait"]

    def question(self) -> list[str]:
        """The command of the exec."""
        return ["cmd", "/c", f"echo {self.marker}"] if self.os_type == "Windows" else ["echo", self.marker]

    def answered(self, text: str) -> bool:
        """Whether `text` is what the pod should say. A simulated container cannot know the marker."""
        stand_in = simulated(text) or (self.os_type == "Windows" and bool(text.strip()))
        return self.marker in text or stand_in


def simulated(text: str) -> bool:
    """Whether a container says of itself that it is a stand-in."""
    return "simulated" in text.lower()


def _only(node: str) -> JSON:
    """Node affinity by the node's name, as the DaemonSet controller writes it: needs no label."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field]}]}
    }


async def create(kube: KubeClient, smoke: SmokePod) -> None:
    try:
        await kube.create(PODS.path(smoke.namespace), smoke.manifest())
    except ApiError as error:
        raise StepFailed(
            f"the smoke pod was refused: {error.message}", hint=_refused(error, smoke.namespace)
        ) from error


def _refused(error: ApiError, namespace: str) -> str:
    """What to do about a refusal. A right that is missing is a 403, and so is what admission says no to."""
    causes = {one.get("reason") for one in error.details.get("causes") or ()}
    if "NamespaceTerminating" in causes:
        return f"name another --namespace, or wait until it is gone: kubectl get namespace {namespace} -w"
    if isinstance(error, NotFound):
        return f"kubectl create namespace {namespace}, or name another --namespace"
    if isinstance(error, Forbidden):
        missing = f"kubectl auth can-i create pods -n {namespace}"
        return missing if error.hint else "name another --namespace, one that admits such a pod"
    return error.hint


async def scheduled(kube: KubeClient, smoke: SmokePod) -> str:
    """Wait until the scheduler has bound the pod to the node."""

    def bound(pod: JSON | None) -> str | None:
        node = _alive(pod)["spec"].get("nodeName")
        return f"on {node}" if node else None

    return await until(kube, PODS, smoke.namespace, smoke.name, bound)


async def running(kube: KubeClient, smoke: SmokePod) -> str:
    """Wait until the container runs."""

    def started(pod: JSON | None) -> str | None:
        status = _alive(pod).get("status") or {}
        states = [one.get("state") or {} for one in status.get("containerStatuses") or ()]
        if status.get("phase") in {"Failed", "Succeeded"}:
            raise StepFailed("the pod ended: " + "; ".join(_reasons(status)))
        if status.get("phase") == "Running" and any("running" in state for state in states):
            return f"pod IP {status['podIP']}" if status.get("podIP") else "no pod IP"
        return None

    return await until(kube, PODS, smoke.namespace, smoke.name, started)


async def logged(kube: KubeClient, smoke: SmokePod) -> str:
    """Wait until the pod's line is in its log; the line.

    A log has no watch: it is followed, and where the provider cannot follow, read again.
    """
    while True:
        line = await _patient(lambda: _log_line(kube, smoke))
        if line:
            return line
        await asyncio.sleep(_PAUSE)


async def _log_line(kube: KubeClient, smoke: SmokePod) -> str:
    """The first line that is the pod's own, or "" where the log ends without it."""
    path = PODS.path(smoke.namespace, smoke.name, "log")
    text = ""
    try:
        async with kube.stream("GET", path, params={"container": _CONTAINER, "follow": True}) as answer:
            async for chunk in answer.content.iter_any():
                text += chunk.decode(errors="replace")
                complete = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]
                found = next((line for line in complete if smoke.answered(line)), "")
                if found:
                    return found.strip()
                if len(text) > _MAX_LOG:
                    raise StepFailed("the log is full of something else than the smoke pod's line")
    except NotFound:
        _alive(await _read(kube, smoke))
    except ApiError as error:
        if error.status != 400:  # 400: the container is not started as far as the kubelet knows
            raise
    return ""


async def executed(kube: KubeClient, smoke: SmokePod, timeout: float) -> str:
    """Run a command in the container; what it answered. `timeout` in seconds."""
    result = await _patient(
        lambda: kube_exec.run(
            kube, smoke.namespace, smoke.name, smoke.question(), container=_CONTAINER, timeout=timeout
        )
    )
    text = result.stdout.decode(errors="replace").strip()
    if result.exit_code:
        said = (result.stderr.decode(errors="replace").strip() or text)[:200]
        raise StepFailed(f"the command ended with code {result.exit_code}" + (f": {said}" if said else ""))
    if not smoke.answered(text):
        raise StepFailed(f"the command answered {text[:200]!r} instead of the marker")
    return text.splitlines()[0]


async def _patient(call: Callable[[], Awaitable[T]]) -> T:
    """Try again for a few seconds where the API server says that the node did not answer (5xx).

    A cloud may say that a container runs a moment before its log and exec do.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE_SECONDS
    while True:
        try:
            return await call()
        except ApiError as error:
            if error.status < 500 or loop.time() + _PAUSE > deadline:
                raise
        await asyncio.sleep(_PAUSE)


async def remove(kube: KubeClient, smoke: SmokePod) -> None:
    """Ask for the pod's end. Idempotent; right even where its creation was never confirmed."""
    try:
        await kube.delete(PODS.path(smoke.namespace, smoke.name), timeout=10)
    except NotFound:
        return


async def removed(kube: KubeClient, smoke: SmokePod) -> str:
    """Remove the pod and wait until it is gone."""
    await remove(kube, smoke)
    return await until(kube, PODS, smoke.namespace, smoke.name, lambda pod: "gone" if pod is None else None)


async def sweep(kube: KubeClient, namespace: str, now: Callable[[], datetime]) -> tuple[str, ...]:
    """Remove the smoke pods of runs that were killed; their names."""
    pods, _ = await kube.list(PODS.path(namespace), {"labelSelector": f"{LABEL}=true"})
    old = []
    for pod in pods:
        meta = pod["metadata"]
        if now() - datetime.fromisoformat(meta["creationTimestamp"]) > LEFTOVER_AGE:
            try:
                await kube.delete(PODS.path(namespace, meta["name"]), uid=meta["uid"])
                old.append(str(meta["name"]))
            except NotFound:
                continue
    return tuple(old)


async def evidence(kube: KubeClient, smoke: SmokePod) -> str:
    """Why the pod does not do what it should: its states and its last events, in one line."""
    try:
        pod = await _read(kube, smoke)
        seen = _reasons(pod.get("status") or {}) if pod is not None else []
        events, _ = await kube.list(
            EVENTS.path(smoke.namespace), {"fieldSelector": f"involvedObject.name={smoke.name}"}
        )
    except VnodectlError:
        return ""  # the step's own error says more than this one would
    said = [
        f"{event.get('reason')}: {event.get('message')}"
        for event in events[-_EVENTS:]
        if event.get("message") not in seen
    ]
    return "; ".join(dict.fromkeys(seen + said))


async def _read(kube: KubeClient, smoke: SmokePod) -> JSON | None:
    try:
        return await kube.get(PODS.path(smoke.namespace, smoke.name))
    except NotFound:
        return None


def _alive(pod: JSON | None) -> JSON:
    if pod is None or pod["metadata"].get("deletionTimestamp"):
        raise StepFailed(
            "somebody else removed the smoke pod", hint="run it again, or in another --namespace"
        )
    return pod


def _reasons(status: JSON) -> list[str]:
    """Phase, an unscheduled pod's reason, and the reasons of containers that wait or ended."""
    phase = str(status.get("phase") or "Unknown")
    found = [": ".join(filter(None, (phase, status.get("reason"), status.get("message"))))]
    found += [
        str(condition.get("message") or condition.get("reason"))
        for condition in status.get("conditions") or ()
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
    ]
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        if "waiting" in state:
            waiting = state["waiting"]
            found.append(": ".join(filter(None, (waiting.get("reason"), waiting.get("message")))))
        if "terminated" in state:
            ended = state["terminated"]
            text = " ".join(filter(None, (ended.get("reason"), ended.get("message"))))
            found.append(f"exit code {ended.get('exitCode')} {text}".strip())
    return [reason for reason in found if reason]
