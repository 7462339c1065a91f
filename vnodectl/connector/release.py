"""Installing: render everything, then change the cluster, one release per OS, all at once."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vnodectl.connector import chart as charts
from vnodectl.connector import credentials, discovery, namespace, retirement, shares
from vnodectl.connector.drain import uncordon
from vnodectl.connector.helm import Helm
from vnodectl.connector.moving import refuse_to_leave_groups
from vnodectl.connector.names import LOCK, Connector
from vnodectl.connector.node import wait_connector
from vnodectl.connector.plan import Plan
from vnodectl.connector.redact import MASK, Redactor
from vnodectl.connector.values import values
from vnodectl.errors import EXIT_FAILED, EXIT_OK, TimedOut, VnodectlError
from vnodectl.kube.errors import Forbidden, NotFound
from vnodectl.kube.leases import exclusive
from vnodectl.kube.resources import DEPLOYMENTS, NAMESPACES, SECRETS

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]
Say = Callable[[Connector, str], None]


@dataclass(frozen=True, slots=True)
class Installed:
    """How one release came out. `exit_code` is 0 or that of the error.

    `node` says how its nodes were seen; `retired` are nodes that an upgrade to fewer took away.
    """

    connector: Connector
    exit_code: int
    revision: int = 0
    node: str = ""
    retired: tuple[str, ...] = ()
    message: str = ""
    hint: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.exit_code == EXIT_OK


async def render(plan: Plan, helm: Helm) -> list[JSON]:
    """Every manifest that an installation would create, secrets masked; the cluster is not asked.

    Raises UsageError where the chart refuses the values.
    """
    return await _render(plan, helm, await helm.chart(charts.reference(plan.chart)))


async def _render(plan: Plan, helm: Helm, chart: Any) -> list[JSON]:
    manifests: list[JSON] = []
    if not namespace.given(plan.namespace):
        manifests.append(namespace.namespace_manifest(plan.namespace))
    for connector in plan.connectors:
        if plan.identity.secrets:
            masked = dict.fromkeys(plan.identity.secrets, MASK)
            manifests.append(credentials.secret_manifest(connector, plan.namespace, masked, ""))
        manifests += await helm.render(
            connector.release, chart, values(plan, connector), namespace=plan.namespace
        )
    return manifests


async def install(
    plan: Plan, kube: KubeClient, helm: Helm, *, wait: bool, say: Say, redact: Redactor
) -> tuple[Installed, ...]:
    """Install or upgrade every release of the plan, concurrently, and report on each.

    Raises only before anything is changed: a chart that is not there or refuses the values, pods on nodes
    that would go, or whose container groups would be left behind. With `wait` each release counts as
    installed when its nodes are Ready with fresh Leases.
    """
    chart = await helm.chart(charts.reference(plan.chart))
    await _render(plan, helm, chart)
    await refuse_to_leave_groups(plan, kube)
    leaving = await _leaving(plan, kube)
    made = await namespace.ensure(kube, plan.namespace, timeout=plan.timeout)
    job = _Job(plan, kube, helm, chart, wait, say, redact, leaving)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(job.run(connector), name=f"install {connector.release}")
            for connector in plan.connectors
        ]
    results = tuple(task.result() for task in tasks)
    if made and not any(result.revision for result in results):
        with suppress(VnodectlError):  # the failure itself is what is reported
            await kube.delete(NAMESPACES.path(name=plan.namespace))
    return results


async def _leaving(plan: Plan, kube: KubeClient) -> Mapping[Connector, Sequence[str]]:
    """The nodes that each connector was until now and is no more. Raises where pods need them."""
    registered = await retirement.registered(kube)
    found = {connector: retirement.surplus(connector, registered) for connector in plan.connectors}
    if not plan.drain and not plan.force:
        hint = "the node goes with fewer --nodes: move its pods with --drain, or give them up with --force"
        going = [node for nodes in found.values() for node in nodes]
        await retirement.refuse_if_used(kube, going, hint=hint)
    return found


@asynccontextmanager
async def alone(
    kube: KubeClient, connector: Connector, namespace: str, *, timeout: float, say: Say
) -> AsyncIterator[None]:
    """One run at a time works on a release: a second one waits and then upgrades, rather than taking the
    first one's unfinished release for a broken one. `timeout` in seconds, for the wait. Raises TimedOut."""
    lock = exclusive(
        kube,
        namespace,
        connector.release + LOCK,
        f"{socket.gethostname()}/{os.getpid()}",
        waiting=lambda holder: say(connector, f"{holder} works on it; waiting"),
    )
    try:
        async with asyncio.timeout(timeout) as limit, lock:
            limit.reschedule(None)
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise TimedOut(
            f"another run works on release {connector.release}", hint="wait for it to end, and try again"
        ) from None


@dataclass(frozen=True, slots=True)
class _Job:
    """What the installations of one plan have in common."""

    plan: Plan
    kube: KubeClient
    helm: Helm
    chart: Any
    wait: bool
    say: Say
    redact: Redactor
    leaving: Mapping[Connector, Sequence[str]]

    async def run(self, connector: Connector) -> Installed:
        loop = asyncio.get_running_loop()
        began = loop.time()
        revision, seen = 0, ""
        leaving = tuple(self.leaving[connector])
        try:
            async with self._alone(connector):
                await self._vacate(connector, leaving)
                revision = await self._install(connector)
                for node in connector.node_names:
                    await uncordon(self.kube, node)
            if self.wait:
                seen = "; ".join(map(str, await self._ready(connector)))
            await self._retire(connector, leaving)
        except VnodectlError as error:
            return Installed(
                connector,
                error.exit_code or EXIT_FAILED,
                revision,
                message=self.redact(error.message),
                hint=self.redact(error.hint),
                seconds=loop.time() - began,
            )
        return Installed(
            connector, EXIT_OK, revision, node=seen, retired=leaving, seconds=loop.time() - began
        )

    @asynccontextmanager
    async def _alone(self, connector: Connector) -> AsyncIterator[None]:
        kube, where, timeout = self.kube, self.plan.namespace, self.plan.timeout
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(alone(kube, connector, where, timeout=timeout, say=self.say))
            except (NotFound, Forbidden):  # the removal that was waited for took the namespace away
                await namespace.ensure(kube, where, timeout=timeout)
                await stack.enter_async_context(alone(kube, connector, where, timeout=timeout, say=self.say))
            yield

    async def _vacate(self, connector: Connector, leaving: Sequence[str]) -> None:
        """Take the pods off the nodes that go, while the connector is there to end them."""
        plan = self.plan
        await retirement.cordon_all(self.kube, leaving)
        if plan.drain:
            await retirement.drain_all(
                self.kube, leaving, timeout=plan.timeout, say=lambda text: self.say(connector, text)
            )
        elif plan.force:
            await retirement.delete_pods(self.kube, leaving)
        else:
            await retirement.delete_finished(self.kube, leaving, timeout=plan.timeout)

    async def _retire(self, connector: Connector, leaving: Sequence[str]) -> None:
        """Take the Node objects away once no pod is left that could register them again."""
        if not leaving:
            return
        where = self.plan.namespace
        await shares.wait_relieved(self.kube, connector, where, timeout=self.plan.timeout)
        for node in leaving:
            self.say(connector, f"removing node {node}")
            await retirement.forget(self.kube, node)
            await shares.drop_share(self.kube, node, where)

    async def _install(self, connector: Connector) -> int:
        plan, helm, release = self.plan, self.helm, connector.release
        await self._before(release)
        stuck = await helm.recover(release, namespace=plan.namespace, timeout=plan.timeout)
        if stuck:
            self.say(connector, f"an earlier run left release {release} {stuck}: repaired")
        before = await self._before(release)
        secret_revision = ""
        try:
            if plan.identity.secrets:
                secret_revision = await credentials.put_secret(
                    self.kube, connector, plan.namespace, plan.identity.secrets
                )
            self.say(connector, f"installing release {release}")
            revision = await helm.install(
                release,
                self.chart,
                await self._values(connector, secret_revision, before=before),
                namespace=plan.namespace,
                timeout=plan.timeout,
            )
        except VnodectlError:
            if not before:
                await self._undo(connector)
            raise
        if secret_revision:
            await credentials.own_secret(self.kube, connector, plan.namespace)
        return revision

    async def _values(self, connector: Connector, secret_revision: str, *, before: bool) -> JSON:
        """The release's values. Groups that run already say whose they are, and must stay its own."""
        plan, release = self.plan, connector.release
        made = values(plan, connector, secret_revision=secret_revision)
        if "azure" not in made:
            return made
        try:
            deployment = await self.kube.get(DEPLOYMENTS.path(plan.namespace, release))
            made["azure"]["owner"] = discovery.owner_of(deployment)
        except NotFound:
            if before:
                now = await self.helm.current(release, namespace=plan.namespace)
                made["azure"]["owner"] = str((now.values.get("azure") or {}).get("owner") or "")
        return made

    async def _before(self, release: str) -> bool:
        """Whether the release exists. Raises VnodectlError where it is of somebody else's chart."""
        for one in await self.helm.releases(self.plan.namespace):
            if one.name == release:
                if not charts.made(one.chart):
                    raise VnodectlError(
                        f"release {release} is of another chart, {one.chart}",
                        hint=f"remove it first (helm uninstall {release} -n {self.plan.namespace}), "
                        "or choose another name",
                    )
                return True
        return False

    async def _undo(self, connector: Connector) -> None:
        """A first installation that failed leaves nothing; the error that made it fail is what counts."""
        plan = self.plan
        with suppress(VnodectlError):
            await self.helm.uninstall(connector.release, namespace=plan.namespace, timeout=plan.timeout)
        with suppress(VnodectlError):
            await self.kube.delete(SECRETS.path(plan.namespace, connector.secret))

    async def _ready(self, connector: Connector) -> Sequence[object]:
        return await wait_connector(
            self.kube,
            connector,
            namespace=self.plan.namespace,
            timeout=self.plan.timeout,
            say=lambda text: self.say(connector, text),
        )
