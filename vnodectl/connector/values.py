"""A plan as values of the chart. Pure, and free of secrets: they reach the cluster on another way."""

from __future__ import annotations

from typing import Any

from vnodectl.connector.clouds.azure import filled
from vnodectl.connector.names import Connector
from vnodectl.connector.plan import Plan

JSON = dict[str, Any]


def values(plan: Plan, connector: Connector, *, secret_revision: str = "") -> JSON:
    """The values of one release. Whatever is left out takes the chart's default.

    `secret_revision` changes when the connector's credentials do, so that the pod starts again.
    """
    target = plan.target
    return {
        "cloud": plan.cloud,
        "osType": connector.os_type,
        "connector": {"name": connector.name},
        "nodes": connector.nodes,
        "replicas": plan.replicas,
        **target.values(plan.identity, connector, secret_revision),
        "webhook": {"enabled": plan.webhook},
        **filled(
            node=filled(name=connector.node_name),
            apiServer=plan.api_server,
            caBundle=target.ca_bundle,
            image=filled(repository=plan.image.repository, tag=plan.image.tag, digest=plan.image.digest),
        ),
    }
