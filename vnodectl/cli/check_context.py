"""What checks are to look at: whatever sessions can be opened, and what would be installed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vnodectl.cli.inputs import open_account
from vnodectl.errors import CloudUnreachable, UsageError, VnodectlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vnodectl.checks.context import Context
    from vnodectl.checks.model import Resource
    from vnodectl.checks.target import IdentityRef, Target
    from vnodectl.clouds.alibaba import AlibabaSession
    from vnodectl.clouds.azure import AzureSession
    from vnodectl.connector.clouds import Account
    from vnodectl.connector.clouds.facts import Facts
    from vnodectl.connector.cluster import Cluster
    from vnodectl.connector.plan import Plan
    from vnodectl.connector.settings import Settings

_SIGN_IN = {
    "azure": "no cloud session: az login, or set AZURE_SUBSCRIPTION_ID and credentials",
    "alibaba": "no cloud session: aliyun configure, or set ALIBABA_CLOUD_ACCESS_KEY_ID and its secret",
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """Of the largest pod that is to run: see `checks.target.Target`."""

    gpu: str = ""
    zone: str = ""
    cpu: float = 0.0
    memory: float = 0.0


async def open_context(
    stack: AsyncExitStack, settings: Settings, *, offline: bool, wishes: Wishes | None = None
) -> Context:
    """Whatever can be opened. UsageError where the user named a kubeconfig or names that are wrong."""
    from vnodectl.checks.context import Context
    from vnodectl.checks.helm import HelmProgram
    from vnodectl.checks.model import Resource
    from vnodectl.checks.registry import open_registries
    from vnodectl.connector.clouds import cloud_of
    from vnodectl.connector.clouds.facts import Facts
    from vnodectl.connector.cluster import open_cluster

    wanted = _target(settings, wishes or Wishes(), Facts())
    if offline:
        return Context(target=wanted, helm=HelmProgram())
    account = await stack.enter_async_context(open_account(settings))
    broken: dict[Resource, VnodectlError] = {}
    cluster: Cluster | None = None
    try:
        cluster = await stack.enter_async_context(open_cluster(settings, account))
    except UsageError as error:
        if settings.kubeconfig or settings.context:
            raise
        # Nobody named it: that there is none is what was found, not what was asked wrongly.
        broken[Resource.KUBE] = VnodectlError(error.message, hint=error.hint)
    except VnodectlError as error:
        broken[Resource.KUBE] = error
    # A cloud that did not answer for its cluster is not waited for once more: its own check says so.
    silent = isinstance(broken.get(Resource.KUBE), CloudUnreachable)
    facts = Facts() if silent else await _facts(settings, cluster, account)
    plan, sure = _plan(settings, facts) if cluster is not None else (None, False)
    wanted = _target(settings, wishes or Wishes(), facts)
    azure, alibaba = await _sessions(account, plan)
    kube = cluster.kube if cluster is not None else None
    cloud = cloud_of(settings).name
    absent: Mapping[Resource, str] = {
        Resource.AZURE: _SIGN_IN["azure"] if cloud == "azure" else "the connector is for Alibaba Cloud",
        Resource.ALIBABA: _SIGN_IN["alibaba"] if cloud == "alibaba" else "the connector is for Azure",
    }
    return Context(
        target=_complete(wanted, plan, azure, sure=sure),
        kube=kube,
        azure=azure,
        alibaba=alibaba,
        helm=HelmProgram(plan=plan),
        registry=await stack.enter_async_context(open_registries(kube, ca_bundle=settings.ca_bundle or "")),
        absent={
            resource: reason
            for resource, reason in absent.items()
            if (azure if resource is Resource.AZURE else alibaba) is None
        },
        broken=broken,
    )


async def _facts(settings: Settings, cluster: Cluster | None, account: Account | None) -> Facts:
    """What cloud and cluster know; nothing where they do not say: checks of their own ask for it."""
    from vnodectl.connector.clouds.facts import Facts
    from vnodectl.connector.cluster import look_up

    try:
        if cluster is not None:
            return await look_up(settings, cluster, account)
        return await account.facts(settings, None) if account is not None else Facts()
    except VnodectlError:
        return Facts()


def _plan(settings: Settings, facts: Facts) -> tuple[Plan | None, bool]:
    """What would be installed, None where that cannot be said yet; and whether its identity is the true one.

    Somebody stands in for an identity that nobody named: whether the cluster would take the connector's pod
    does not depend on it.
    """
    from vnodectl.connector.clouds import cloud_of
    from vnodectl.connector.plan import make_plan

    if cloud_of(settings).name == "alibaba":
        substitute = replace(settings, access_key=None, ram_role=None, ecs_role="unknown")
    else:
        substitute = replace(
            settings, service_principal=None, workload_identity=None, managed_identity="system"
        )
    for somebody, sure in ((settings, True), (substitute, False)):
        try:
            return make_plan(somebody, facts), sure
        except UsageError:
            continue
    return None, False


async def _sessions(
    account: Account | None, plan: Plan | None
) -> tuple[AzureSession | None, AlibabaSession | None]:
    from vnodectl.connector.clouds.alibaba_account import AlibabaAccount
    from vnodectl.connector.clouds.azure_account import AzureAccount

    if isinstance(account, AlibabaAccount):
        region = plan.alibaba.region if plan is not None and plan.alibaba is not None else ""
        return None, await account.session(region)
    return (account.session if isinstance(account, AzureAccount) else None), None


def _target(settings: Settings, wishes: Wishes, facts: Facts) -> Target:
    """As far as the settings alone say. Without a region nothing can be named; UsageError for wrong names."""
    from vnodectl.checks.target import AlibabaTarget, Target
    from vnodectl.connector import names
    from vnodectl.connector.clouds import cloud_of
    from vnodectl.connector.clouds.alibaba import vswitches
    from vnodectl.connector.clouds.azure import subnet_id
    from vnodectl.connector.plan import aks_cluster

    cloud = cloud_of(settings)
    systems = cloud.os_types(settings.os_type or "Linux")
    names.connector_name(settings.connector_name or cloud.connector_name)
    region = cloud.region(settings) or facts.cluster_region or ""
    if not region and facts.resource_group_location:
        region = names.azure_region(facts.resource_group_location)
    aks = aks_cluster(settings)
    return Target(
        connectors=(
            tuple(cloud.connector(settings, system, region, 1) for system in systems) if region else ()
        ),
        namespace=names.namespace_name(settings.namespace or cloud.namespace),
        cluster_resource_group=aks.resource_group if aks else "",
        cluster=aks.name if aks else "",
        resource_group=settings.aci_resource_group or facts.node_resource_group or "",
        region=region,
        cloud=cloud.name,
        subnet_id=subnet_id(settings),
        tenant=settings.tenant or "",
        identity=_identity(settings),
        chart=settings.chart_url or "",
        gpu=wishes.gpu,
        zone=wishes.zone,
        cpu=wishes.cpu,
        memory=wishes.memory,
        alibaba=AlibabaTarget(
            region=region if cloud.name == "alibaba" else "",
            vswitches=vswitches(settings.vswitch) or facts.vswitches,
            security_group=settings.security_group or facts.security_group,
            cluster=settings.cluster_id or "",
            role=_role(settings.ram_role or settings.environment_ram_role or settings.ecs_role or ""),
        ),
    )


def _identity(settings: Settings) -> IdentityRef:
    """Who the connector is to be, whether its secret is given here or not."""
    from vnodectl.checks.target import (
        MANAGED_IDENTITY,
        SERVICE_PRINCIPAL,
        WORKLOAD_IDENTITY,
        IdentityRef,
    )

    if settings.workload_identity:
        return IdentityRef(WORKLOAD_IDENTITY, settings.workload_identity)
    if settings.managed_identity:
        system = settings.managed_identity.lower() == "system"
        return IdentityRef(MANAGED_IDENTITY, "" if system else settings.managed_identity)
    if settings.service_principal:
        certificate = bool(settings.client_certificate_file)
        return IdentityRef(SERVICE_PRINCIPAL, settings.service_principal, certificate)
    return IdentityRef()


def _role(text: str) -> str:
    """A role's name, of an ARN or of itself."""
    return text.rpartition("role/")[2]


def _complete(wanted: Target, plan: Plan | None, azure: AzureSession | None, *, sure: bool) -> Target:
    """As planned, where there is a plan; what the user said of pods and identity stays."""
    from vnodectl.checks.target import Target

    caller = azure.settings.client_id if azure is not None else ""
    if plan is None:
        return replace(wanted, caller=caller)
    known = Target.from_plan(plan, caller=caller)
    return replace(
        known,
        identity=known.identity if sure else wanted.identity,
        gpu=wanted.gpu,
        zone=wanted.zone,
        cpu=wanted.cpu,
        memory=wanted.memory,
        alibaba=known.alibaba if sure else replace(known.alibaba, role=wanted.alibaba.role),
    )
