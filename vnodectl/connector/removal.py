"""Removing: find what install made, refuse while somebody would miss it, take it down, report what stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vnodectl.connector import leftovers, names, namespace, retirement, shares
from vnodectl.connector.evidence import by_release
from vnodectl.connector.helm import Helm
from vnodectl.connector.names import Connector
from vnodectl.connector.plan import DEFAULT_NAMESPACE, seconds
from vnodectl.connector.redact import Redactor
from vnodectl.connector.settings import Settings
from vnodectl.errors import EXIT_OK, TimedOut, UsageError, VnodectlError
from vnodectl.kube.resources import DEPLOYMENTS
from vnodectl.settings import DEFAULT_CONNECTOR_NAME

if TYPE_CHECKING:
    from vnodectl.clouds.azure import AzureSession
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]
Say = Callable[[Connector, str], None]

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """Which connectors to remove and how. `region` None: wherever they are found. `timeout` in seconds.

    Container groups are looked for in `aci_resource_group`, else where the connector says it made them,
    else in `fallback_resource_group`.
    """

    connector_name: str
    os_types: tuple[str, ...]
    namespace: str
    region: str | None = None
    aci_resource_group: str | None = None
    fallback_resource_group: str = ""
    drain: bool = False
    force: bool = False
    delete_groups: bool = False
    timeout: float = 300.0


@dataclass(frozen=True, slots=True)
class Found:
    """A connector of which something exists. `nodes` are those of its nodes that are registered.

    `resource_group` is where its container groups are, if known.
    """

    connector: Connector
    namespace: str
    release: bool = False
    deployment: bool = False
    nodes: tuple[str, ...] = ()
    resource_group: str = ""

    @property
    def all_nodes(self) -> tuple[str, ...]:
        """Those it is meant to be, and those left over from when it was more."""
        return tuple(dict.fromkeys((*self.connector.node_names, *self.nodes)))


@dataclass(frozen=True, slots=True)
class Removed:
    """How one removal came out. `groups` are names of container groups that are still in the cloud, in
    `resource_group`.

    `nodes` are those that were there to be removed. `groups` is None where the cloud could
    not be asked, and `note` says why.
    """

    connector: Connector
    exit_code: int
    groups: tuple[str, ...] | None = None
    resource_group: str = ""
    nodes: tuple[str, ...] = ()
    deleted_groups: tuple[str, ...] = ()
    note: str = ""
    message: str = ""
    hint: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.exit_code == EXIT_OK


def make_removal_plan(
    settings: Settings, *, drain: bool = False, force: bool = False, delete_groups: bool = False
) -> RemovalPlan:
    """The plan of a removal, by the same rules for names as an installation's. UsageError otherwise."""
    if drain and force:
        raise UsageError("--drain and --force exclude each other")
    name = names.connector_name(settings.connector_name or DEFAULT_CONNECTOR_NAME)
    os_types = names.os_types(settings.os_type or "Linux")
    region = names.azure_region(settings.location) if settings.location else None
    if region:
        for os_type in os_types:
            names.connector(name, os_type, region)
    return RemovalPlan(
        connector_name=name,
        os_types=os_types,
        namespace=names.namespace_name(settings.namespace or DEFAULT_NAMESPACE),
        region=region,
        aci_resource_group=settings.aci_resource_group,
        drain=drain,
        force=force,
        delete_groups=delete_groups,
        timeout=seconds(settings.timeout),
    )


async def find(plan: RemovalPlan, kube: KubeClient, helm: Helm) -> list[Found]:
    """What of the plan's connectors exists: a release, a Deployment, a node, or only one of them.

    UsageError where no region is given and one OS has connectors in several.
    """
    releases = {one.name: one.namespace for one in await helm.releases(plan.namespace)}
    selector = f"app.kubernetes.io/part-of=vnodectl,vnodectl.io/connector={plan.connector_name}"
    listed, _ = await kube.list(DEPLOYMENTS.path(), {"labelSelector": selector})
    deployments = {one["metadata"]["name"]: one for one in listed}
    registered = await retirement.registered(kube)
    known = {*releases, *deployments, *map(names.release_of, registered)}
    found: list[Found] = []
    for os_type in plan.os_types:
        regions = [plan.region] if plan.region else _regions(known, plan.connector_name, os_type)
        if len(regions) > 1:
            raise UsageError(
                f"{os_type} connectors {plan.connector_name!r} exist in {', '.join(regions)}",
                hint="name one region with -l/--location",
            )
        for region in regions:
            connector = Connector(plan.connector_name, os_type, region)
            one = _found(plan, connector, releases, deployments, registered)
            if one.release or one.deployment or one.nodes:
                found.append(one)
    return found


def _regions(known: set[str], name: str, os_type: str) -> list[str]:
    regions = {names.region_in_release(release, name, os_type) for release in known}
    return sorted(region for region in regions if region)


def _found(
    plan: RemovalPlan,
    connector: Connector,
    releases: dict[str, str],
    deployments: dict[str, JSON],
    registered: Sequence[str],
) -> Found:
    deployment = deployments.get(connector.release)
    template = ((deployment or {}).get("spec") or {}).get("template")
    meta = (deployment or {}).get("metadata") or {}
    written = (meta.get("annotations") or {}).get("vnodectl.io/aci-resource-group", "")
    return Found(
        replace(connector, nodes=shares.node_count(template)) if template else connector,
        # A release is found in the plan's namespace; a Deployment says itself where it is.
        namespace=releases.get(connector.release) or meta.get("namespace") or plan.namespace,
        release=connector.release in releases or deployment is not None,
        deployment=deployment is not None,
        nodes=tuple(filter(connector.owns, registered)),
        resource_group=plan.aci_resource_group or written or plan.fallback_resource_group,
    )


async def refuse_if_used(plan: RemovalPlan, found: list[Found], kube: KubeClient) -> None:
    """Raise VnodectlError, with nothing changed, while pods run on a node and nobody said what to do."""
    if plan.drain or plan.force:
        return
    hint = "move them first with --drain, or give them up with --force"
    await retirement.refuse_if_used(kube, [node for one in found for node in one.all_nodes], hint=hint)


async def remove(
    plan: RemovalPlan,
    found: list[Found],
    kube: KubeClient,
    helm: Helm,
    azure: AzureSession | None,
    *,
    say: Say,
    redact: Redactor,
) -> tuple[Removed, ...]:
    """Remove the connectors found, concurrently, and the namespace if nothing else is in it."""
    job = _Job(plan, kube, helm, azure, say, redact)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job.run(one), name=f"remove {one.connector.release}") for one in found]
    results = tuple(task.result() for task in tasks)
    if all(result.ok for result in results):
        for name in sorted({one.namespace for one in found}):
            if await namespace.drop(kube, name):
                with suppress(TimedOut):  # Kubernetes goes on with it by itself
                    await namespace.ended(kube, name, timeout=plan.timeout)
    return results


async def orphans(
    plan: RemovalPlan, azure: AzureSession | None, *, besides: list[Connector]
) -> tuple[str, ...]:
    """Container groups of connectors of this name that are gone already; with `delete_groups` deleted now.

    Looked for where a resource group is known without a connector telling it; () where none is.
    """
    group = plan.aci_resource_group or plan.fallback_resource_group
    if azure is None or not group:
        return ()
    left = [
        one
        for one in await leftovers.groups_of(azure, group, plan.connector_name, plan.os_types, plan.region)
        if not any(leftovers.owned(one, connector) for connector in besides)
    ]
    if plan.delete_groups:
        for one in left:
            await leftovers.delete_group(azure, one)
    return tuple(str(one["name"]) for one in left)


@dataclass(frozen=True, slots=True)
class _Job:
    """What the removals of one plan have in common."""

    plan: RemovalPlan
    kube: KubeClient
    helm: Helm
    azure: AzureSession | None
    say: Say
    redact: Redactor

    async def run(self, one: Found) -> Removed:
        loop = asyncio.get_running_loop()
        began = loop.time()
        connector = one.connector
        try:
            await self._take_down(one)
            groups, deleted, note = await self._groups(one)
        except VnodectlError as error:
            return Removed(
                connector,
                error.exit_code,
                nodes=one.nodes,
                message=self.redact(error.message),
                hint=self.redact(error.hint),
                seconds=loop.time() - began,
            )
        return Removed(
            connector,
            EXIT_OK,
            groups=groups,
            resource_group=one.resource_group,
            nodes=one.nodes,
            deleted_groups=deleted,
            note=note,
            seconds=loop.time() - began,
        )

    async def _take_down(self, one: Found) -> None:
        connector, plan = one.connector, self.plan
        await retirement.cordon_all(self.kube, one.nodes)
        if plan.drain:
            await retirement.drain_all(
                self.kube, one.nodes, timeout=plan.timeout, say=lambda text: self.say(connector, text)
            )
        elif one.deployment:
            await retirement.delete_finished(self.kube, one.nodes, timeout=plan.timeout)
        self.say(connector, f"uninstalling release {connector.release}")
        await self.helm.uninstall(connector.release, namespace=one.namespace, timeout=plan.timeout)
        await leftovers.sweep(self.kube, connector, one.namespace)
        # A connector that still runs would register its nodes again.
        await self._wait_gone(connector, one.namespace)
        await shares.drop_shares(self.kube, connector, one.namespace)
        for node in one.all_nodes:
            await retirement.forget(self.kube, node)

    async def _wait_gone(self, connector: Connector, where: str) -> None:
        deadline = asyncio.get_running_loop().time() + self.plan.timeout
        while await shares.pods_of(self.kube, connector, where):
            if asyncio.get_running_loop().time() > deadline:
                raise TimedOut(
                    f"the pod of {connector.release} does not end",
                    hint=f"kubectl -n {where} delete pod -l {by_release(connector.release)} --force",
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _groups(self, one: Found) -> tuple[tuple[str, ...] | None, tuple[str, ...], str]:
        """Names of the groups left, of those deleted, and a note where Azure was not asked."""
        if self.azure is None:
            return None, (), "container groups not looked at: nobody is signed in to Azure"
        if not one.resource_group:
            return None, (), "container groups not looked at: give --aci-resource-group"
        groups = await leftovers.container_groups(self.azure, one.resource_group, one.connector)
        if not self.plan.delete_groups:
            return tuple(group["name"] for group in groups), (), ""
        for group in groups:
            self.say(one.connector, f"deleting container group {group['name']}")
            await leftovers.delete_group(self.azure, group)
        return (), tuple(group["name"] for group in groups), ""
