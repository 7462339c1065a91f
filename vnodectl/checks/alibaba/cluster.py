"""The ACK cluster: its state, its network plug-in, its own virtual nodes."""

from __future__ import annotations

import json

from vnodectl.checks.alibaba.common import check
from vnodectl.checks.context import Context
from vnodectl.checks.model import Answer, Severity, failed, not_applicable, passed, warned
from vnodectl.checks.readers import JSON
from vnodectl.clouds.alibaba import AlibabaNotFound

_NO_CLUSTER = "no ACK cluster is named"


async def cluster_runs(context: Context) -> Answer:
    place = context.target.alibaba
    if not place.cluster:
        return not_applicable(_NO_CLUSTER)
    try:
        found = await context.alibaba_facts.cluster()
    except AlibabaNotFound as error:
        return failed(
            f"there is no ACK cluster {place.cluster}",
            evidence=error.message,
            fix="aliyun cs GET /api/v1/clusters  # and name one of them",
        )
    state = str(found.get("state") or "")
    evidence = f"{found.get('name')}: {state}, {found.get('current_version')}"
    if state not in {"running", "updating", "scaling", "upgrading"}:
        return failed(
            f"the cluster is {state}", evidence=evidence, fix=f"aliyun cs GET /clusters/{place.cluster}/logs"
        )
    region_id = str(found.get("region_id") or "")
    if region_id and region_id != context.alibaba.region:
        return failed(
            "the cluster is in another region than the container groups",
            evidence=f"the cluster is in {region_id}, groups in {context.alibaba.region}",
            fix=f"ALIBABA_CLOUD_REGION_ID={region_id}",
        )
    return passed(evidence)


async def network_plugin(context: Context) -> Answer:
    """ECI's guide for ACK: Terway in any mode, or Flannel, whose routes reach the VPC."""
    if not context.target.alibaba.cluster:
        return not_applicable(_NO_CLUSTER)
    found = await context.alibaba_facts.cluster()
    plugin = _network(found)
    if not plugin:
        return not_applicable("the cluster does not say which network plug-in it has")
    if plugin.startswith(("terway", "flannel")):
        return passed(plugin)
    return warned(
        f"only Terway and Flannel are known to work with container groups, not {plugin}",
        evidence=f"network plug-in {plugin}",
        fix="make sure that the VPC routes to the cluster's pods, or use a cluster with Terway",
    )


def _network(cluster: JSON) -> str:
    try:
        meta = json.loads(cluster.get("meta_data") or "{}")
    except ValueError:
        return ""
    return str((meta.get("Capabilities") or {}).get("Network") or "").lower()


async def addon(context: Context) -> Answer:
    cluster = context.target.alibaba.cluster
    if not cluster:
        return not_applicable(_NO_CLUSTER)
    path = f"/clusters/{cluster}/addon_instances"
    answer = await context.alibaba.roa("cs", "ListClusterAddonInstances", "2015-12-15", "GET", path)
    found = next((one for one in answer.get("addons") or () if one.get("name") == "ack-virtual-node"), None)
    if found is None:
        return passed("the add-on ack-virtual-node is not installed")
    return failed(
        "the cluster's own virtual-node add-on is installed: pods for virtual nodes could land on either",
        evidence=f"ack-virtual-node {found.get('version')}, {found.get('state')}",
        fix=(
            f"aliyun cs POST /clusters/{cluster}/components/uninstall"
            """ --body '[{"name":"ack-virtual-node"}]'"""
        ),
    )


CHECKS = (
    check(
        12,
        "Does the ACK cluster exist, and run?",
        cluster_runs,
        "A cluster that is not running refuses the connector; one of another region cannot reach its groups.",
    ),
    check(
        13,
        "Is the cluster's network plug-in known to work?",
        network_plugin,
        "Container groups reach the cluster's pods only where the VPC routes to them.",
        needs=("VN-ALI-012",),
        severity=Severity.WARNING,
    ),
    check(
        14,
        "Is the virtual-node add-on of ACK off?",
        addon,
        "Two virtual kubelets with the same taint share one cluster badly: pods land on either.",
        needs=("VN-ALI-012",),
    ),
)
