"""What `vnodectl check --cloud alibaba` looks at: whatever of account and cluster can be opened."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from vnodectl.errors import UsageError, VnodectlError

if TYPE_CHECKING:
    from vnodectl.checks.context import Context
    from vnodectl.checks.target import Target
    from vnodectl.connector.clouds.facts import Facts
    from vnodectl.connector.settings import Settings

_SIGN_IN = "no cloud session: set ALIBABA_CLOUD_ACCESS_KEY_ID and …_SECRET, or run: aliyun configure"
_OTHER = "the connector is for Alibaba Cloud"


async def context(stack: AsyncExitStack, settings: Settings, *, offline: bool) -> Context:
    """UsageError where the user named a kubeconfig or context that is wrong, or a name that cannot be."""
    from vnodectl.checks.context import Context
    from vnodectl.checks.helm import HelmProgram
    from vnodectl.checks.model import Resource
    from vnodectl.cli.inputs import open_account
    from vnodectl.connector.clouds.alibaba_account import AlibabaAccount
    from vnodectl.connector.clouds.facts import Facts
    from vnodectl.connector.cluster import open_cluster

    absent = {Resource.AZURE: _OTHER}
    if offline:
        return Context(target=_target(settings, Facts()), helm=HelmProgram(), absent=absent)
    broken: dict[Resource, VnodectlError] = {}
    account = await stack.enter_async_context(open_account(settings))
    cluster, facts = None, Facts()
    try:
        cluster = await stack.enter_async_context(open_cluster(settings, account))
    except VnodectlError as error:
        if isinstance(error, UsageError) and (settings.kubeconfig or settings.context):
            raise
        broken[Resource.KUBE] = error
    session = None
    if isinstance(account, AlibabaAccount):
        try:
            facts = await account.facts(settings, cluster.described if cluster is not None else None)
            session = await account.session(settings.region or facts.cluster_region)
        except VnodectlError as error:
            broken[Resource.ALIBABA] = error
    else:
        absent[Resource.ALIBABA] = _SIGN_IN
    return Context(
        target=_target(settings, facts),
        kube=cluster.kube if cluster is not None else None,
        alibaba=session,
        helm=HelmProgram(),
        absent=absent,
        broken=broken,
    )


def _target(settings: Settings, facts: Facts) -> Target:
    """What would be installed, as far as it is known. Without a region nothing can be named."""
    from vnodectl.checks.target import AlibabaTarget, Target
    from vnodectl.connector import names
    from vnodectl.connector.clouds import cloud_of
    from vnodectl.connector.clouds.alibaba import vswitches

    cloud = cloud_of(settings)
    region = cloud.region(settings) or facts.cluster_region
    os_types = cloud.os_types(settings.os_type or "Linux")
    role = settings.ram_role or settings.environment_ram_role or ""
    return Target(
        connectors=tuple(cloud.connector(settings, each, region, 1) for each in os_types) if region else (),
        namespace=names.namespace_name(settings.namespace or cloud.namespace),
        region=region,
        cloud=cloud.name,
        alibaba=AlibabaTarget(
            region=region,
            vswitches=vswitches(settings.vswitch) or facts.vswitches,
            security_group=settings.security_group or facts.security_group,
            cluster=settings.cluster_id or "",
            role=role.rpartition("/")[2] or settings.ecs_role or "",
        ),
    )
