"""Which connectors exist: by their Deployments, their nodes and their Helm releases, or only one of these.

A Deployment says by its labels what it is, so releases and nodes may be called anything. Without one, names
must do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vnodectl.connector import names, shares
from vnodectl.connector.clouds.alibaba import NODE
from vnodectl.connector.names import Connector
from vnodectl.kube.resources import DEPLOYMENTS, NODES
from vnodectl.settings import NODE_PREFIX, RELEASE_LABEL

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

CONNECTOR_LABEL = "vnodectl.io/connector"
NODE_ANNOTATION = "vnodectl.io/node"
OWNER_ANNOTATION = "vnodectl.io/owner"
"""Of a Deployment: which cluster its container groups say they are of. One without says so of none."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A connector of which something exists. `nodes` are those of its nodes that are registered."""

    connector: Connector
    deployment: JSON | None = None
    nodes: tuple[str, ...] = ()


async def virtual_nodes(kube: KubeClient) -> dict[str, str]:
    """The release of every virtual node by its name ("" where neither label nor name tells), those of one
    connector together and by number."""
    found, _ = await kube.list(NODES.path(), {"labelSelector": "type=virtual-kubelet"})
    releases = {
        str(node["metadata"]["name"]): str(
            (node["metadata"].get("labels") or {}).get(RELEASE_LABEL)
            or names.release_of(str(node["metadata"]["name"]))
        )
        for node in found
    }
    return {node: releases[node] for node in sorted(releases, key=names.node_order)}


async def deployments(kube: KubeClient, name: str = "", release: str = "") -> list[JSON]:
    """The Deployments of the connectors of that name or, where a release is named, of that release; without
    either, of all connectors."""
    selector = "app.kubernetes.io/part-of=vnodectl"
    if name and not release:
        selector += f",{CONNECTOR_LABEL}={name}"
    found, _ = await kube.list(DEPLOYMENTS.path(), {"labelSelector": selector})
    return [one for one in found if not release or one["metadata"]["name"] == release]


def existing(
    name: str,
    deployments: Sequence[JSON],
    nodes: Mapping[str, str],
    *,
    releases: Iterable[str] = (),
    release: str = "",
) -> list[Existing]:
    """Every connector `name`, or the one of `release`. `nodes` are as `virtual_nodes` gives them, `releases`
    those that Helm knows.
    """
    by_release = {str(one["metadata"]["name"]): one for one in deployments}
    found = []
    for each in dict.fromkeys((*by_release, *releases, *nodes.values())):
        if not each or (release and each != release):
            continue
        deployment = by_release.get(each)
        mine = [node for node, of in nodes.items() if of == each]
        made = connector_of(deployment, name) if deployment else None
        made = made or _by_name(each, name, mine, asked=bool(release))
        if made is not None:
            # A node from before labels said so is known by its name.
            own = [node for node, of in nodes.items() if of == each or (made.owns(node) and of in ("", each))]
            found.append(Existing(made, deployment, tuple(own)))
    return found


def connector_of(deployment: JSON, name: str = "") -> Connector | None:
    """Which connector a Deployment of the chart is, by its labels; `name` is that of one without labels."""
    meta = deployment["metadata"]
    labels = meta.get("labels") or {}
    release, name = str(meta["name"]), str(labels.get(CONNECTOR_LABEL) or name)
    for os_type in names.OS_TYPES:
        region = names.region_in_release(release, name, os_type)
        if labels.get("vnodectl.io/os") == os_type.lower():
            region = str(labels.get("vnodectl.io/region") or region or "")
        if region:
            return Connector(
                name,
                os_type,
                region,
                shares.node_count((deployment.get("spec") or {}).get("template") or {"metadata": {}}),
                cloud=str(labels.get("vnodectl.io/cloud") or "azure"),
                release_name=_unless(release, Connector(name, os_type, region).release),
                node_name=_unless(
                    str((meta.get("annotations") or {}).get(NODE_ANNOTATION) or ""),
                    NODE_PREFIX + release,
                ),
            )
    return None


def owner_of(deployment: JSON) -> str:
    """Which cluster the container groups of a Deployment of the chart say they are of, "" for none."""
    return str((deployment["metadata"].get("annotations") or {}).get(OWNER_ANNOTATION) or "")


def _by_name(release: str, name: str, nodes: Sequence[str], *, asked: bool) -> Connector | None:
    for os_type in names.OS_TYPES:
        region = names.region_in_release(release, name, os_type)
        if region:
            cloud = "alibaba" if "-" in region else "azure"
            usual = ("", NODE) if cloud == "azure" else (NODE, "")
            made = [Connector(name, os_type, region, cloud=cloud, node_name=node) for node in usual]
            if nodes and not any(one.owns(nodes[0]) for one in made):
                return replace(made[0], node_name=nodes[0])
            return next((one for one in made if nodes and one.owns(nodes[0])), made[0])
    if asked:
        return Connector(name, "Linux", "", release_name=release, node_name=nodes[0] if nodes else NODE)
    return None


def _unless(said: str, usual: str) -> str:
    """What was said, or "" where it is the usual name anyway."""
    return "" if said == usual else said
