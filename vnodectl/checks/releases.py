"""The names of what is to be installed, and what already carries them."""

from __future__ import annotations

from vnodectl.checks.context import Context
from vnodectl.checks.model import Answer, Check, Resource, failed, not_applicable, passed, warned
from vnodectl.checks.nodes import LEASE_SECONDS, lease_age
from vnodectl.checks.readers import JSON
from vnodectl.connector import names
from vnodectl.connector.names import Connector
from vnodectl.errors import UsageError
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import DEPLOYMENTS, NODES
from vnodectl.settings import RELEASE_LABEL

_PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback", "uninstalling"})


async def names_fit(context: Context) -> Answer:
    if not context.target.connectors:
        return not_applicable("the names depend on the region, which is not known: name it with -l")
    for connector in context.target.connectors:
        try:
            names.fitting(connector)
        except UsageError as error:
            return failed(error.message, evidence=connector.release, fix=error.hint)
    return passed(", ".join(connector.release for connector in context.target.connectors))


async def not_stuck(context: Context) -> Answer:
    """Helm refuses to touch a release whose last revision says that another operation is under way."""
    namespace = context.target.namespace
    states = _latest(await context.cluster_facts.helm_records())
    for connector in context.target.connectors:
        status, revision = states.get(connector.release, ("", 0))
        if status in _PENDING:
            again = status != "pending-install" and revision > 1
            return failed(
                f"release {connector.release} is {status}: an operation was interrupted, or is under way",
                evidence=f"revision {revision} in namespace {namespace}",
                fix=f"helm {'rollback' if again else 'uninstall'} {connector.release} -n {namespace}",
            )
    installed = [connector.release for connector in context.target.connectors if connector.release in states]
    return passed(f"installed: {', '.join(installed)}" if installed else "no such release yet")


async def names_free(context: Context) -> Answer:
    """A node of the name is either our own release's, or stands in the way."""
    states = _latest(await context.cluster_facts.helm_records())
    for connector in context.target.connectors:
        if connector.release in states:
            continue
        for name in connector.node_names:
            try:
                node = await context.kube.get(NODES.path(name=name))
            except NotFound:
                continue
            if await _lost_record(context, connector, node):
                continue
            # Whoever named the node is asked for another one; else its name follows the connector's.
            flag = "--node-name" if connector.node_name else "--connector-name"
            return await _node_in_the_way(context, name, node, flag)
    ours = sum(connector.release in states for connector in context.target.connectors)
    return passed(f"{len(context.target.connectors) - ours} free, {ours} our own")


async def _lost_record(context: Context, connector: Connector, node: JSON) -> bool:
    """Whether the node is our own, though Helm has forgotten its release: an installation adopts the rest."""
    if (node["metadata"].get("labels") or {}).get(RELEASE_LABEL) != connector.release:
        return False
    deployments, _ = await context.kube.list(DEPLOYMENTS.path(context.target.namespace))
    return any(
        one["metadata"]["name"] == connector.release
        and (one["metadata"].get("labels") or {}).get("app.kubernetes.io/part-of") == "vnodectl"
        for one in deployments
    )


async def _node_in_the_way(context: Context, name: str, node: JSON, flag: str) -> Answer:
    labels = node["metadata"].get("labels") or {}
    if labels.get("type") != "virtual-kubelet":
        return failed(
            f"a node {name} exists and is not a virtual one",
            evidence=f"kubelet {_kubelet(node)}",
            fix=f"choose another name with {flag}",
        )
    if await lease_age(context, name) < LEASE_SECONDS:
        return failed(
            f"another connector keeps the node {name} alive, but no release here does",
            evidence=f"kubelet {_kubelet(node)}, Lease fresh",
            fix=f"remove that connector, or choose another name with {flag}",
        )
    return warned(
        f"the node {name} is left over from a connector that is gone",
        evidence="its Lease is not renewed any more",
        fix=f"kubectl delete node {name}",
    )


def _latest(records: list[JSON]) -> dict[str, tuple[str, int]]:
    """Status and revision of each release's last record, by release name."""
    found: dict[str, tuple[str, int]] = {}
    for record in records:
        version = str(record.get("version") or "0")
        revision = int(version) if version.isdigit() else 0
        name = str(record.get("name") or "")
        if revision >= found.get(name, ("", 0))[1]:
            found[name] = (str(record.get("status") or ""), revision)
    return found


def _kubelet(node: JSON) -> str:
    info = (node.get("status") or {}).get("nodeInfo") or {}
    return str(info.get("kubeletVersion") or "of an unknown version")


_PLAN = frozenset({Resource.PLAN})
_PLANNED = frozenset({Resource.PLAN, Resource.KUBE})

CHECKS = (
    Check(
        "VN-REL-001",
        "release",
        "Do the names fit Helm and Kubernetes?",
        names_fit,
        resources=_PLAN,
        why="Helm allows 53 characters for a release, Kubernetes 63 for a label: longer names are refused.",
    ),
    Check(
        "VN-REL-002",
        "release",
        "Is no release stuck in an operation?",
        not_stuck,
        needs=("VN-REL-001", "VN-KUBE-003"),
        resources=_PLANNED,
        why="After an interrupted run Helm refuses the release until it is rolled back or uninstalled.",
    ),
    Check(
        "VN-REL-003",
        "release",
        "Are the names free, or our own?",
        names_free,
        needs=("VN-REL-002",),
        resources=_PLANNED,
        why="Two kubelets that are one node overwrite each other's status, and delete each other's pods.",
    ),
)
