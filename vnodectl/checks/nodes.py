"""What is on the cluster's virtual nodes, and who else makes such nodes."""

from __future__ import annotations

import json
import shlex
from datetime import datetime

from vnodectl.checks import landing
from vnodectl.checks.clocks import clock_answer
from vnodectl.checks.context import Context
from vnodectl.checks.model import (
    Answer,
    Check,
    Resource,
    Severity,
    counted,
    failed,
    not_applicable,
    passed,
    warned,
)
from vnodectl.checks.readers import JSON
from vnodectl.kube.errors import Forbidden, NotFound
from vnodectl.kube.resources import DEPLOYMENTS, LEASES, NODE_LEASE_NAMESPACE
from vnodectl.settings import TAINT_VALUES

LEASE_SECONDS = 40.0
"""A kubelet's Lease is good for 40 s; older means that nobody renews it."""

_SHOWN = 5
_HELM = frozenset({"", "Helm"})


async def lease_age(context: Context, node: str) -> float:
    """Seconds since the node's Lease was renewed, by this machine's clock; infinite without one."""
    try:
        lease = await context.kube.get(LEASES.path(NODE_LEASE_NAMESPACE, node))
    except NotFound:
        return float("inf")
    renewed = (lease.get("spec") or {}).get("renewTime")
    if not renewed:
        return float("inf")
    return (context.now() - datetime.fromisoformat(renewed)).total_seconds()


async def dead_nodes(context: Context) -> Answer:
    """Virtual nodes whose Lease nobody renews: pods stay bound to them for ever."""
    ours = {name for connector in context.target.connectors for name in connector.node_names}
    nodes = [one["metadata"]["name"] for one in await context.cluster_facts.virtual_nodes()]
    try:
        leases, _ = await context.kube.list(LEASES.path(NODE_LEASE_NAMESPACE))
    except Forbidden:
        return not_applicable("the caller may not read the nodes' Leases")
    renewed = {
        one["metadata"]["name"]: datetime.fromisoformat(one["spec"]["renewTime"])
        for one in leases
        if (one.get("spec") or {}).get("renewTime")
    }
    dead = [
        name
        for name in sorted(nodes)
        if name not in ours
        and (name not in renewed or (context.now() - renewed[name]).total_seconds() > LEASE_SECONDS)
    ]
    if not dead:
        return passed(counted(len(nodes), "virtual node") if nodes else "no virtual node yet")
    return failed(
        f"left over from connectors that are gone: {counted(len(dead), 'virtual node')}",
        evidence=f"Leases are not renewed: {', '.join(dead[:_SHOWN])}{' …' if len(dead) > _SHOWN else ''}",
        fix=f"kubectl delete node {' '.join(dead)}",
    )


async def daemon_sets(context: Context) -> Answer:
    systems = context.target.os_types or ("Linux",)
    taint = TAINT_VALUES.get(context.target.cloud, "azure")
    found: list[tuple[JSON, JSON]] = []
    try:
        there = await context.cluster_facts.daemon_sets()
    except Forbidden:
        return not_applicable("the caller may not list the cluster's DaemonSets")
    for one in there:
        spec = one["spec"]["template"].get("spec") or {}
        if any(landing.lands(spec, landing.labels(system), taint) for system in systems):
            found.append((one, spec))
    if not found:
        return passed("no DaemonSet would land on a virtual node")
    commands = []
    for one, spec in found:
        meta = one["metadata"]
        patch = shlex.quote(json.dumps(landing.exclusion(spec), separators=(",", ":")))
        commands.append(
            f"kubectl patch daemonset {meta['name']} -n {meta['namespace']} --type merge -p {patch}"
        )
    names = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one, _ in found]
    return failed(
        f"{counted(len(found), 'DaemonSet')} would land on virtual nodes, where agents cannot work",
        evidence=f"they tolerate its taint and select it: {', '.join(names)}",
        fix=" && ".join(commands),
    )


async def clock(context: Context) -> Answer:
    return clock_answer("the API server", await context.kube.clock_skew())


async def other_managers(context: Context) -> Answer:
    """Who else makes virtual nodes here, or holds what is to be ours."""
    target = context.target
    try:
        deployments, _ = await context.kube.list(DEPLOYMENTS.path())
    except Forbidden:
        deployments, _ = await context.kube.list(DEPLOYMENTS.path(target.namespace))
    releases = {connector.release: connector for connector in target.connectors}
    for one in deployments:
        meta = one["metadata"]
        if meta.get("namespace") != target.namespace or meta["name"] not in releases:
            continue
        manager = _label(meta, "app.kubernetes.io/managed-by")
        release = (meta.get("annotations") or {}).get("meta.helm.sh/release-name") or ""
        if manager not in _HELM or (release and release != meta["name"]):
            flag = "--release-name" if releases[meta["name"]].release_name else "--connector-name"
            return failed(
                f"the Deployment {meta['name']} is managed by {manager if manager not in _HELM else release}",
                evidence=f"in namespace {target.namespace}",
                fix=f"remove it there, or choose another name with {flag}",
            )
    others = [f"{known} ({one['metadata']['namespace']})" for one in deployments if (known := _kind(one))]
    if others:
        return warned(
            f"other virtual kubelets run here: {', '.join(others)}",
            evidence="pods that tolerate virtual nodes may land on theirs as well",
            fix="select this connector's node by name (kubernetes.io/hostname), or remove the others",
        )
    return passed("nobody else makes virtual nodes here")


def _kind(deployment: JSON) -> str:
    """What makes virtual nodes, by the names and labels that it is known by; "" for anything else."""
    meta = deployment["metadata"]
    name, chart = meta["name"], _label(meta, "helm.sh/chart") or _label(meta, "chart")
    if name.startswith("aci-connector-linux") and meta.get("namespace") == "kube-system":
        return "the AKS virtual-node add-on"
    if name in {"ack-virtual-node-controller", "ack-virtual-node"}:
        return "ack-virtual-node"
    if chart.startswith("virtualnode"):
        return "virtual nodes on ACI (chart virtualnode)"
    if chart.startswith("virtual-kubelet") or _label(meta, "app") == "virtual-kubelet":
        return "virtual-kubelet (azure-aci)"
    return ""


def _label(meta: JSON, name: str) -> str:
    return str((meta.get("labels") or {}).get(name) or "")


_PLANNED = frozenset({Resource.KUBE, Resource.PLAN})

CHECKS = (
    Check(
        "VN-KUBE-006",
        "cluster",
        "Is no virtual node left from a connector that is gone?",
        dead_nodes,
        severity=Severity.WARNING,
        needs=("VN-KUBE-001",),
        resources=_PLANNED,
        why="Pods stay bound to a node that nobody serves, and count as running for days.",
    ),
    Check(
        "VN-KUBE-007",
        "cluster",
        "Do DaemonSets keep off virtual nodes?",
        daemon_sets,
        severity=Severity.WARNING,
        needs=("VN-KUBE-001",),
        resources=_PLANNED,
        why="A DaemonSet that tolerates everything gets a container group of its own, billed and useless.",
    ),
    Check(
        "VN-KUBE-008",
        "cluster",
        "Do this machine's and the API server's clocks agree?",
        clock,
        severity=Severity.WARNING,
        needs=("VN-KUBE-001",),
        resources=frozenset({Resource.KUBE}),
        why="Whether a node is alive is told by comparing its Lease with the clock here.",
    ),
    Check(
        "VN-KUBE-009",
        "cluster",
        "Does nobody else manage virtual nodes here?",
        other_managers,
        needs=("VN-KUBE-001",),
        resources=_PLANNED,
        why="Two managers of one Deployment undo each other; of two kinds of virtual nodes pods take either.",
    ),
)
