"""Does a connector work? Per virtual node: it is there, it is alive, and a pod really runs on it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vnodectl.connector import discovery, names, smoke
from vnodectl.connector.smoke import SmokePod, StepFailed
from vnodectl.connector.validation import NodeReport, NodeTarget, Observer, Step, Validation, Verdict
from vnodectl.errors import EXIT_OK, EXIT_TIMEOUT, VnodectlError
from vnodectl.kube.errors import ApiError, Forbidden
from vnodectl.kube.follow import until
from vnodectl.kube.resources import LEASES, NODE_LEASE_NAMESPACE, NODES
from vnodectl.settings import NODE_PREFIX

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

LEASE_SECONDS = 40.0
"""A kubelet renews its Lease every 10 s; after 40 s without, the node counts as dead."""

STEPS = ("node", "lease", "scheduled", "running", "log", "exec", "removed")
_EVIDENCE_SECONDS = 5.0
_REMOVAL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """`timeout` in seconds per node, for all its steps; `keep` leaves the smoke pods."""

    namespace: str = "default"
    linux_image: str = smoke.LINUX_IMAGE
    windows_image: str = smoke.WINDOWS_IMAGE
    timeout: float = 300.0
    keep: bool = False


async def find_targets(
    kube: KubeClient, connector: str, *, os_types: Sequence[str] = (), region: str = "", release: str = ""
) -> tuple[NodeTarget, ...]:
    """The virtual nodes of a connector, in every region or in one: those registered, and those that its
    Deployments are meant to be. `release` names the one connector of that release.

    Each OS of `os_types` must be there: where it is not, its target says so. Without any, every node of
    the connector counts, and there must be one.
    """
    nodes = await discovery.virtual_nodes(kube)
    try:
        deployments = await discovery.deployments(kube, connector, release)
    except Forbidden:
        deployments = []  # whoever may not look at Deployments validates what is registered
    existing = discovery.existing(connector, deployments, nodes, release=release)
    targets: list[NodeTarget] = []
    for os_type in os_types or names.OS_TYPES:
        found = {
            node: NodeTarget(node, os_type)
            for one in existing
            if one.connector.os_type == os_type and region in ("", one.connector.region)
            for node in (*one.nodes, *(one.connector.node_names if one.deployment else ()))
        }
        ordered = [found[node] for node in sorted(found, key=names.node_order)]
        targets += ordered or ([_missing(connector, os_type, region, release)] if os_types else [])
    return tuple(targets) or (_missing(connector, "Linux", region, release),)


def _missing(connector: str, os_type: str, region: str, release: str) -> NodeTarget:
    usual = f"{connector}-{os_type.lower()}-{region or '*'}"
    node = f"{NODE_PREFIX}{release or usual}"
    return NodeTarget(node, os_type, f"there is no virtual node {node}")


async def validate(
    kube: KubeClient,
    targets: Sequence[NodeTarget],
    options: Options,
    *,
    observer: Observer | None = None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: datetime.now(tz=UTC),
) -> Validation:
    """Validate every target at once. What a step finds is reported, never raised.

    Smoke pods are removed whatever happens, also when this is cancelled (unless `options.keep`).
    """
    began = clock()
    try:
        swept = await smoke.sweep(kube, options.namespace, now)
    except VnodectlError:
        swept = ()  # the steps will meet the same trouble, and say so
    async with asyncio.TaskGroup() as group:
        runs = [
            group.create_task(
                _Run(kube, target, options, observer, clock, now).all(), name=f"validate {target.node}"
            )
            for target in targets
        ]
    return Validation(tuple(run.result() for run in runs), clock() - began, swept)


class _Run:
    """The steps of one node, one after the other."""

    def __init__(
        self,
        kube: KubeClient,
        target: NodeTarget,
        options: Options,
        observer: Observer | None,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._target = target
        self._options = options
        self._observer = observer
        self._clock = clock
        self._now = now
        self._deadline = asyncio.get_running_loop().time() + options.timeout
        self._steps: list[Step] = []
        self._simulated = False
        self._failed = ""
        self._seen = ""
        """What the step under way saw last, for when its time runs out."""

    async def all(self) -> NodeReport:
        target, kube = self._target, self._kube
        token = secrets.token_hex(4)
        windows = target.os_type == "Windows"
        pod = SmokePod(
            namespace=self._options.namespace,
            name=f"vnodectl-smoke-{target.os_type.lower()}-{token}",
            node=target.node,
            os_type=target.os_type,
            image=self._options.windows_image if windows else self._options.linux_image,
            marker=f"vnodectl-{token}",
        )
        await self._step("node", self._ready)
        await self._step("lease", self._fresh)
        if self._failed:
            for name in STEPS[2:]:
                self._skip(name)
            return self._report()
        try:
            await self._step("scheduled", lambda: self._schedule(pod), pod)
            await self._step("running", lambda: smoke.running(kube, pod), pod)
            await self._step("log", lambda: self._said(smoke.logged(kube, pod)), pod)
            if self._simulated and not windows and not self._failed:
                self._end(Step("exec", Verdict.SKIPPED, cause="a simulated container has no shell"))
            else:
                await self._step("exec", lambda: self._said(smoke.executed(kube, pod, self._left())), pod)
        except BaseException:
            # Steps report their errors, so this is a cancellation. The task group passes on only the
            # first one: nothing interrupts the removal. One that fails is made good by a later run.
            if not self._options.keep:
                with suppress(VnodectlError):
                    await smoke.remove(kube, pod)
            raise
        if self._options.keep:
            self._end(Step("removed", Verdict.SKIPPED, cause=f"kept: pod {pod.namespace}/{pod.name}"))
        else:
            self._failed = ""  # removal is tried and reported whatever happened before
            self._deadline = asyncio.get_running_loop().time() + _REMOVAL_SECONDS
            await self._step("removed", lambda: smoke.removed(kube, pod), pod)
        return self._report()

    def _report(self) -> NodeReport:
        return NodeReport(self._target, tuple(self._steps), self._simulated)

    def _left(self) -> float:
        return max(1.0, self._deadline - asyncio.get_running_loop().time())

    # --- steps ------------------------------------------------------------------------------------

    async def _ready(self) -> str:
        if self._target.missing:
            raise StepFailed(
                self._target.missing,
                hint=f"vnodectl install-connector --os-type {self._target.os_type}, and kubectl get nodes",
            )

        def ready(node: JSON | None) -> str | None:
            if node is None:
                return None
            conditions = (node.get("status") or {}).get("conditions") or ()
            state: JSON = next((one for one in conditions if one.get("type") == "Ready"), {})
            if state.get("status") != "True":
                self._seen = f"not Ready: {state.get('reason', 'no condition')} {state.get('message', '')}"
                return None
            if (node.get("spec") or {}).get("unschedulable"):
                raise StepFailed("the node is cordoned", hint=f"kubectl uncordon {self._target.node}")
            version = ((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion") or ""
            return f"Ready {version}".strip()

        self._seen = f"there is no node {self._target.node}"
        return await until(self._kube, NODES, None, self._target.node, ready)

    async def _fresh(self) -> str:
        """Renewed lately by this machine's clock, or seen to be renewed: clocks may differ."""
        first: list[str] = []

        def fresh(lease: JSON | None) -> str | None:
            renewed = ((lease or {}).get("spec") or {}).get("renewTime")
            if not renewed:
                self._seen = "the node has no Lease"
                return None
            age = (self._now() - datetime.fromisoformat(renewed)).total_seconds()
            self._seen = f"renewed {age:.0f} s ago, and not since"
            if 0 <= age <= LEASE_SECONDS:
                return f"renewed {age:.0f} s ago"
            first.append(renewed)
            return "renewed just now; this machine's clock differs" if first[0] != renewed else None

        self._seen = "the node has no Lease"
        try:
            async with asyncio.timeout(LEASE_SECONDS):
                return await until(self._kube, LEASES, NODE_LEASE_NAMESPACE, self._target.node, fresh)
        except TimeoutError:
            raise StepFailed(
                f"the Lease is not kept: {self._seen}", hint="see the connector's log: is its pod running?"
            ) from None

    async def _schedule(self, pod: SmokePod) -> str:
        await smoke.create(self._kube, pod)
        return await smoke.scheduled(self._kube, pod)

    async def _said(self, words: Awaitable[str]) -> str:
        text = await words
        self._simulated = self._simulated or smoke.simulated(text)
        return text

    # --- the frame of a step ----------------------------------------------------------------------

    async def _step(self, name: str, act: Callable[[], Awaitable[str]], pod: SmokePod | None = None) -> None:
        if self._failed:
            self._skip(name)
            return
        if self._observer is not None:
            self._observer.started(self._target, name)
        began = self._clock()
        self._seen = ""
        try:
            async with asyncio.timeout_at(self._deadline):
                detail = await act()
            step = Step(name, Verdict.PASSED, self._clock() - began, detail)
        except TimeoutError:
            seconds = self._clock() - began
            cause = await self._why(pod) or self._seen or "nothing happened"
            step = Step(
                name,
                Verdict.TIMED_OUT,
                seconds,
                cause=f"after {seconds:.0f} s: {cause}",
                fix=self._look(pod),
                exit_code=EXIT_TIMEOUT,
            )
        except VnodectlError as error:
            seconds = self._clock() - began
            late = error.exit_code == EXIT_TIMEOUT
            cause = error.message
            if isinstance(error, (StepFailed, ApiError)):
                seen = await self._why(pod)
                cause = f"{cause} ({seen})" if seen and seen not in cause else cause
            step = Step(
                name,
                Verdict.TIMED_OUT if late else Verdict.FAILED,
                seconds,
                cause=cause,
                fix=error.hint or self._look(pod),
                exit_code=error.exit_code,
            )
        self._end(step)

    async def _why(self, pod: SmokePod | None) -> str:
        if pod is None:
            return ""
        try:
            async with asyncio.timeout(_EVIDENCE_SECONDS):
                return await smoke.evidence(self._kube, pod)
        except TimeoutError:
            return ""

    def _look(self, pod: SmokePod | None) -> str:
        if pod is None:
            return f"kubectl describe node {self._target.node}"
        return f"run again with --keep, then: kubectl describe pod -n {pod.namespace} -l {smoke.LABEL}"

    def _skip(self, name: str) -> None:
        self._end(Step(name, Verdict.SKIPPED, cause=f"step {self._failed!r} did not pass"))

    def _end(self, step: Step) -> None:
        self._steps.append(step)
        if step.exit_code != EXIT_OK and not self._failed:
            self._failed = step.name
        if self._observer is not None:
            self._observer.finished(self._target, step)
