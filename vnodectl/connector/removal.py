"""Removing: find what install made, refuse while somebody would miss it, take it down, report what stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vnodectl.connector import chart as charts
from vnodectl.connector import discovery, leftovers, names, namespace, retirement, shares
from vnodectl.connector.clouds import CLOUDS, cloud_of
from vnodectl.connector.discovery import Existing
from vnodectl.connector.evidence import by_release
from vnodectl.connector.helm import Helm
from vnodectl.connector.names import Connector
from vnodectl.connector.plan import seconds
from vnodectl.connector.redact import Redactor
from vnodectl.connector.release import alone
from vnodectl.connector.settings import Settings
from vnodectl.errors import EXIT_OK, TimedOut, UsageError, VnodectlError
from vnodectl.kube.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from vnodectl.connector.clouds import Account
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]
Say = Callable[[Connector, str], None]

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """Which connectors to remove and how. `region` None: wherever they are found. `timeout` in seconds.

    `release` names the connector of one release instead. Container groups are looked for in
    `aci_resource_group` (Azure), else where the connector says it made them, else in
    `fallback_resource_group`: the place that the account knows. `owner` tells this cluster's groups from
    others' where clusters share a place.
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
    cloud: str = "azure"
    release: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A connector of which something exists. `nodes` are those of its nodes that are registered.

    `resource_group` is where its container groups are, if known: on Alibaba Cloud, the region. `owner` is
    which cluster they say they are of.
    """

    connector: Connector
    namespace: str
    release: bool = False
    deployment: bool = False
    nodes: tuple[str, ...] = ()
    resource_group: str = ""
    owner: str = ""

    @property
    def all_nodes(self) -> tuple[str, ...]:
        """Those it is meant to be, and those left over from when it was more."""
        return tuple(dict.fromkeys((*self.connector.node_names, *self.nodes)))


@dataclass(frozen=True, slots=True)
class Removed:
    """How one removal came out. `groups` are names of container groups that are still in the cloud, in
    `resource_group`.

    `nodes` are those that were there to be removed; `gone` says that nothing of it is left in the cluster,
    even where the cloud did not answer. `groups` is None where the cloud could
    not be asked, and `note` says why.
    """

    connector: Connector
    exit_code: int
    gone: bool = False
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
    cloud = cloud_of(settings)
    os_types = cloud.os_types(settings.os_type or "Linux")
    region = cloud.named_region(settings)
    if region:
        for os_type in os_types:
            cloud.connector(settings, os_type, region, 1)
    return RemovalPlan(
        connector_name=names.connector_name(settings.connector_name or cloud.connector_name),
        os_types=os_types,
        namespace=names.namespace_name(settings.namespace or cloud.namespace),
        region=region,
        aci_resource_group=settings.aci_resource_group if cloud.name == "azure" else None,
        drain=drain,
        force=force,
        delete_groups=delete_groups,
        timeout=seconds(settings.timeout),
        cloud=cloud.name,
        release=names.label(settings.release_name, "--release-name") if settings.release_name else "",
    )


async def find(plan: RemovalPlan, kube: KubeClient, helm: Helm) -> list[Found]:
    """What of the plan's connectors exists: a release, a Deployment, a node, or only one of them.

    UsageError where no region is given and one OS has connectors in several, or one is another cloud's;
    VnodectlError where somebody else's release has the name of a connector of which something is left.
    """
    records = await helm.releases(plan.namespace)
    releases = {one.name: one.namespace for one in records if charts.made(one.chart)}
    foreign = {one.name: one.chart for one in records if not charts.made(one.chart)}
    existing = discovery.existing(
        plan.connector_name,
        await discovery.deployments(kube, plan.connector_name, plan.release),
        await discovery.virtual_nodes(kube),
        releases=(*releases, *await leftovers.beginnings(kube, plan.namespace)),
        release=plan.release,
    )
    found: list[Found] = []
    for os_type in plan.os_types:
        ours = [one for one in existing if one.connector.os_type == os_type]
        regions = sorted({one.connector.region for one in ours})
        if len(ours) > 1 and plan.region is None:
            named = ", ".join(one.connector.release for one in ours)
            raise UsageError(
                f"{os_type} connectors {plan.connector_name!r} exist in {', '.join(regions)}",
                hint="name one region with -l/--location"
                if len(regions) > 1
                else f"name one with --release-name: {named}",
            )
        found += [
            _found(plan, one, releases) for one in ours if plan.region in (None, "", one.connector.region)
        ]
    for one in found:
        if one.connector.cloud != plan.cloud and one.deployment:
            raise UsageError(
                f"connector {one.connector.release} is not of the cloud {plan.cloud}",
                hint=f"use --cloud {one.connector.cloud}",
            )
        release = one.connector.release
        if release in foreign and one.namespace == plan.namespace and not one.deployment:
            raise VnodectlError(
                f"release {release} is of another chart, {foreign[release]}; nothing was removed",
                hint=f"what is left of the connector: {', '.join(one.nodes)}; kubectl delete node removes it",
            )
    return found


def _found(plan: RemovalPlan, one: Existing, releases: dict[str, str]) -> Found:
    connector = one.connector
    meta = (one.deployment or {}).get("metadata") or {}
    written = (meta.get("annotations") or {}).get("vnodectl.io/aci-resource-group", "")
    owner = plan.owner
    if connector.cloud == "alibaba":
        written = connector.region
    elif one.deployment is not None:
        owner = discovery.owner_of(one.deployment)
    return Found(
        connector,
        # A release is found in the plan's namespace; a Deployment says itself where it is.
        namespace=releases.get(connector.release) or meta.get("namespace") or plan.namespace,
        release=connector.release in releases or one.deployment is not None,
        deployment=one.deployment is not None,
        nodes=one.nodes,
        resource_group=plan.aci_resource_group or written or plan.fallback_resource_group,
        owner=owner,
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
    account: Account | None,
    *,
    say: Say,
    redact: Redactor,
) -> tuple[Removed, ...]:
    """Remove the connectors found, concurrently, and the namespace if nothing else is in it.

    Also where none is found: it is the first thing that an installation makes.
    """
    job = _Job(plan, kube, helm, account, say, redact)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job.run(one), name=f"remove {one.connector.release}") for one in found]
    results = tuple(task.result() for task in tasks)
    if all(result.gone for result in results):
        for name in sorted({one.namespace for one in found} or {plan.namespace}):
            if await namespace.drop(kube, name):
                with suppress(TimedOut):  # Kubernetes goes on with it by itself
                    await namespace.ended(kube, name, timeout=plan.timeout)
    return results


async def orphans(
    plan: RemovalPlan, account: Account | None, *, besides: Sequence[Connector]
) -> tuple[str, ...]:
    """Container groups of connectors of this name that are gone already; with `delete_groups` deleted now.

    Looked for where a place is known without a connector telling it; () where none is. `besides` has its
    own groups reported.
    """
    place = plan.aci_resource_group or plan.fallback_resource_group
    if account is None or not place:
        return ()
    if plan.release:
        connector = Connector(plan.connector_name, "Linux", plan.region or place, release_name=plan.release)
        left = await account.groups(place, connector, plan.owner)
    else:
        left = await account.orphans(place, plan.connector_name, plan.os_types, plan.region, plan.owner)
    for connector in besides if left else ():
        theirs = {one.id for one in await account.groups(place, connector, plan.owner)}
        left = [one for one in left if one.id not in theirs]
    if plan.delete_groups:
        for one in left:
            await account.delete(one)
    return tuple(one.name for one in left)


def _later(one: Found) -> str:
    """How to ask for a connector's container groups when it is gone."""
    made = one.connector
    flag = "--aci-resource-group" if made.cloud == "azure" else "--region"
    name = f"--release-name {made.release_name}" if made.release_name else f"--connector-name {made.name}"
    return (
        f"later: vnodectl remove-connector --cloud {made.cloud} {name} --os-type {made.os_type} "
        f"{flag} {one.resource_group} --delete-groups"
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What the removals of one plan have in common."""

    plan: RemovalPlan
    kube: KubeClient
    helm: Helm
    account: Account | None
    say: Say
    redact: Redactor

    async def run(self, one: Found) -> Removed:
        loop = asyncio.get_running_loop()
        began = loop.time()
        connector = one.connector
        gone = False
        try:
            async with self._alone(one):
                await self._take_down(one)
            gone = True
            groups, deleted, note = await self._groups(one)
        except VnodectlError as error:
            message, hint = error.message, error.hint
            if gone:  # and with it, what said where its container groups are
                message = f"it is removed; what it left in {one.resource_group} is not known: {message}"
                hint = "; ".join(filter(None, (hint, _later(one))))
            return Removed(
                connector,
                error.exit_code,
                gone,
                nodes=one.nodes,
                message=self.redact(message),
                hint=self.redact(hint),
                seconds=loop.time() - began,
            )
        return Removed(
            connector,
            EXIT_OK,
            gone,
            groups=groups,
            resource_group=one.resource_group,
            nodes=one.nodes,
            deleted_groups=deleted,
            note=note,
            seconds=loop.time() - began,
        )

    @asynccontextmanager
    async def _alone(self, one: Found) -> AsyncIterator[None]:
        """No installation or upgrade at the same time: it would put back what is taken away."""
        async with AsyncExitStack() as stack:
            # No namespace (any more), or one that only ends: nobody else is at work there.
            with suppress(NotFound, Forbidden):
                await stack.enter_async_context(
                    alone(self.kube, one.connector, one.namespace, timeout=self.plan.timeout, say=self.say)
                )
            yield

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
        """Names of the groups left, of those deleted, and a note where the cloud was not asked."""
        if self.account is None:
            title = CLOUDS[one.connector.cloud].title
            return None, (), f"container groups not looked at: nobody is signed in to {title}"
        if not one.resource_group:
            return None, (), "container groups not looked at: give --aci-resource-group"
        groups = await self.account.groups(one.resource_group, one.connector, one.owner)
        if not self.plan.delete_groups:
            return tuple(group.name for group in groups), (), ""
        for group in groups:
            self.say(one.connector, f"deleting container group {group.name}")
            await self.account.delete(group)
        return (), tuple(group.name for group in groups), ""
