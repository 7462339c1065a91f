"""A plan as values of the chart. Pure, and free of secrets: they reach the cluster on another way."""

from __future__ import annotations

from typing import Any

from vnodectl.connector.identity import ManagedIdentity, ServicePrincipal
from vnodectl.connector.names import Connector
from vnodectl.connector.plan import Plan

JSON = dict[str, Any]


def values(plan: Plan, connector: Connector, *, secret_revision: str = "") -> JSON:
    """The values of one release. Whatever is left out takes the chart's default.

    `secret_revision` changes when the service principal's secret does, so that the pod starts again.
    """
    azure = plan.azure
    return {
        "cloud": plan.cloud,
        "osType": connector.os_type,
        "connector": {"name": connector.name},
        "nodes": connector.nodes,
        "replicas": plan.replicas,
        "azure": _filled(
            subscriptionId=azure.subscription_id,
            tenantId=azure.tenant_id,
            resourceGroup=azure.resource_group,
            region=azure.region,
            subnetId=azure.subnet_id,
            armEndpoint=azure.arm_endpoint,
            authorityHost=azure.authority_host,
            identity=_identity(plan, connector, secret_revision),
        ),
        **_filled(
            apiServer=plan.api_server,
            caBundle=azure.ca_bundle,
            image=_filled(repository=plan.image.repository, tag=plan.image.tag, digest=plan.image.digest),
        ),
    }


def _identity(plan: Plan, connector: Connector, secret_revision: str) -> JSON:
    identity = plan.identity
    if isinstance(identity, ServicePrincipal):
        return _filled(
            type="servicePrincipal",
            clientId=identity.client_id,
            existingSecret=connector.secret,
            secretRevision=secret_revision,
        )
    kind = "managedIdentity" if isinstance(identity, ManagedIdentity) else "workloadIdentity"
    return _filled(type=kind, clientId=identity.client_id)


def _filled(**entries: Any) -> JSON:
    return {key: value for key, value in entries.items() if value}
