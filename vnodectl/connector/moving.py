"""A connector's container groups stay where they were made: it finds only those of the place it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vnodectl.connector.drain import full_name, pods_on, resident
from vnodectl.errors import VnodectlError
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import DEPLOYMENTS

if TYPE_CHECKING:
    from vnodectl.connector.plan import Plan
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]


async def refuse_to_leave_groups(plan: Plan, kube: KubeClient) -> None:
    """Raise VnodectlError where the plan moves a connector to another place while pods are on its nodes.

    It would make their groups there again, and those that run would go on, unseen and paid for.
    """
    wanted = _wanted(plan)
    for connector in plan.connectors:
        try:
            before = _place(await kube.get(DEPLOYMENTS.path(plan.namespace, connector.release)), plan.cloud)
        except NotFound:
            continue
        if not before or before.lower() == wanted.lower():
            continue
        pods = [
            full_name(pod)
            for node in connector.node_names
            for pod in await pods_on(kube, node)
            if not resident(pod)
        ]
        if pods:
            raise VnodectlError(
                f"{connector.release} makes its container groups in {before}; in {wanted} it would not find "
                f"those of {len(pods)} pods, {pods[0]} for one, which would go on there",
                hint="first remove-connector --drain, then install; or another --connector-name besides",
            )


def _wanted(plan: Plan) -> str:
    if plan.azure is not None:
        return f"{plan.azure.subscription_id}/{plan.azure.resource_group}"
    return plan.target.region


def _place(deployment: JSON, cloud: str) -> str:
    """Where a Deployment of the chart makes its groups, "" where it does not say."""
    if cloud != "azure":
        return str((deployment["metadata"].get("labels") or {}).get("vnodectl.io/region") or "")
    spec = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
    said = {
        str(one.get("name")): str(one.get("value") or "")
        for container in spec.get("containers") or ()
        for one in container.get("env") or ()
    }
    subscription, group = said.get("AZURE_SUBSCRIPTION_ID"), said.get("VNODECTL_ACI_RESOURCE_GROUP")
    return f"{subscription}/{group}" if subscription and group else ""
