"""Installing: render everything, then change the cluster, one release per OS, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vnodectl.connector import chart as charts
from vnodectl.connector import credentials, namespace
from vnodectl.connector.helm import Helm
from vnodectl.connector.identity import ServicePrincipal
from vnodectl.connector.names import Connector
from vnodectl.connector.node import wait_connector
from vnodectl.connector.plan import Plan
from vnodectl.connector.redact import MASK, Redactor
from vnodectl.connector.values import values
from vnodectl.errors import EXIT_FAILED, EXIT_OK, VnodectlError
from vnodectl.kube.resources import NAMESPACES, SECRETS

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]
Say = Callable[[Connector, str], None]


@dataclass(frozen=True, slots=True)
class Installed:
    """How one release came out. `exit_code` is 0 or that of the error; `node` says how the node was seen."""

    connector: Connector
    exit_code: int
    revision: int = 0
    node: str = ""
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
    manifests: list[JSON] = [namespace.namespace_manifest(plan.namespace)]
    for connector in plan.connectors:
        if isinstance(plan.identity, ServicePrincipal):
            secret = credentials.secret_manifest(connector, plan.namespace, "", "")
            manifests.append({**secret, "data": {credentials.SECRET_KEY: MASK}})
        manifests += await helm.render(
            connector.release, chart, values(plan, connector), namespace=plan.namespace
        )
    return manifests


async def install(
    plan: Plan, kube: KubeClient, helm: Helm, *, wait: bool, say: Say, redact: Redactor
) -> tuple[Installed, ...]:
    """Install or upgrade every release of the plan, concurrently, and report on each.

    Raises only before anything is changed: a chart that is not there or refuses the values. With `wait`
    each release counts as installed when its node is Ready with a fresh Lease.
    """
    chart = await helm.chart(charts.reference(plan.chart))
    await _render(plan, helm, chart)
    made = await namespace.ensure(kube, plan.namespace, timeout=plan.timeout)
    job = _Job(plan, kube, helm, chart, wait, say, redact)
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

    async def run(self, connector: Connector) -> Installed:
        loop = asyncio.get_running_loop()
        began = loop.time()
        revision, seen = 0, ""
        try:
            revision = await self._install(connector)
            if self.wait:
                seen = str(await self._ready(connector))
        except VnodectlError as error:
            return Installed(
                connector,
                error.exit_code or EXIT_FAILED,
                revision,
                message=self.redact(error.message),
                hint=self.redact(error.hint),
                seconds=loop.time() - began,
            )
        return Installed(connector, EXIT_OK, revision, node=seen, seconds=loop.time() - began)

    async def _install(self, connector: Connector) -> int:
        plan, helm, release = self.plan, self.helm, connector.release
        stuck = await helm.recover(release, namespace=plan.namespace, timeout=plan.timeout)
        if stuck:
            self.say(connector, f"an earlier run left release {release} {stuck}: repaired")
        before = any(one.name == release for one in await helm.releases(plan.namespace))
        secret_revision = ""
        try:
            if isinstance(plan.identity, ServicePrincipal):
                secret_revision = await credentials.put_secret(
                    self.kube, connector, plan.namespace, plan.identity.client_secret
                )
            self.say(connector, f"installing release {release}")
            revision = await helm.install(
                release,
                self.chart,
                values(plan, connector, secret_revision=secret_revision),
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

    async def _undo(self, connector: Connector) -> None:
        """A first installation that failed leaves nothing; the error that made it fail is what counts."""
        plan = self.plan
        with suppress(VnodectlError):
            await self.helm.uninstall(connector.release, namespace=plan.namespace, timeout=plan.timeout)
        with suppress(VnodectlError):
            await self.kube.delete(SECRETS.path(plan.namespace, connector.secret))

    async def _ready(self, connector: Connector) -> object:
        return await wait_connector(
            self.kube,
            connector,
            namespace=self.plan.namespace,
            timeout=self.plan.timeout,
            say=lambda text: self.say(connector, text),
        )
