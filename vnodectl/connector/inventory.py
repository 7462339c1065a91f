"""What is installed, and how it really is: every connector of a cluster, its pods, its nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vnodectl.connector import discovery
from vnodectl.connector.drain import finished, pods_on
from vnodectl.connector.evidence import states
from vnodectl.connector.node import NodeState, node_state
from vnodectl.connector.shares import pods_of, shares
from vnodectl.kube.errors import Forbidden

if TYPE_CHECKING:
    from vnodectl.connector.helm import Helm, ReleaseRecord
    from vnodectl.connector.names import Connector
    from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

CHART = "vnode-connector"
_DEPLOYED = "deployed"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which connectors to look at; empty: whatever there is. `os_types` are Linux, Windows or both."""

    name: str = ""
    release: str = ""
    cloud: str = ""
    os_types: tuple[str, ...] = ()
    region: str = ""
    namespace: str = ""

    def takes(self, one: Installation) -> bool:
        """Of one whose Deployment is gone, its release's name is all there is to go by."""
        made = one.connector
        if self.release not in ("", one.release) or self.namespace not in ("", one.namespace):
            return False
        if made is None:
            oses = [f"-{os_type.lower()}-" for os_type in self.os_types]
            return (
                one.release.startswith(f"{self.name}-" if self.name else "")
                and one.release.endswith(self.region)
                and (not oses or any(part in one.release for part in oses))
            )
        return (
            self.name in ("", made.name)
            and self.cloud in ("", made.cloud)
            and (not self.os_types or made.os_type in self.os_types)
            and self.region in ("", made.region)
        )


@dataclass(frozen=True, slots=True)
class NodeView:
    """One of its nodes. `pods` counts those that have not ended; `holder` is the pod that is the node."""

    state: NodeState
    pods: int
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """One connector as it is found: a release, a Deployment, nodes, or only one of them.

    `connector` is None where no Deployment says what it is. `release_status` is Helm's (deployed, failed,
    pending-install …), "" where Helm knows no such release. `available` of `replicas` pods run. `problems`
    are lines for people.
    """

    release: str
    namespace: str
    connector: Connector | None = None
    release_status: str = ""
    version: str = ""
    image: str = ""
    replicas: int = 0
    available: int = 0
    nodes: tuple[NodeView, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Everything that should be there is, and every node is Ready with a fresh Lease."""
        return not self.problems


async def installations(kube: KubeClient, helm: Helm, choice: Choice) -> list[Installation]:
    """What the cluster has of the choice, in the order of releases. Changes nothing.

    Nodes whose connector is gone are an installation of their own: somebody has to remove them.
    """
    deployments = {str(one["metadata"]["name"]): one for one in await discovery.deployments(kube)}
    releases = {one.name: one for one in await helm.releases(None) if one.chart.startswith(f"{CHART}-")}
    registered = await discovery.virtual_nodes(kube)
    found = []
    for release in sorted({*releases, *deployments, *registered.values()} - {""}):
        nodes = [node for node, of in registered.items() if of == release]
        one = _described(release, releases.get(release), deployments.get(release), nodes)
        if choice.takes(one):
            found.append((one, nodes))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_seen(kube, one, nodes), name=f"look at {one.release}") for one, nodes in found
        ]
    return [task.result() for task in tasks]


def _described(
    release: str, record: ReleaseRecord | None, deployment: JSON | None, nodes: Sequence[str]
) -> Installation:
    """What the objects say of themselves."""
    meta: JSON = (deployment or {}).get("metadata") or {}
    spec: JSON = (deployment or {}).get("spec") or {}
    status: JSON = (deployment or {}).get("status") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    return Installation(
        release,
        str(meta.get("namespace") or (record.namespace if record else "")),
        connector=discovery.connector_of(deployment) if deployment else None,
        release_status=record.status if record else "",
        version=str((meta.get("labels") or {}).get("app.kubernetes.io/version") or ""),
        image=str(containers[0].get("image") or "") if containers else "",
        replicas=int(spec.get("replicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        problems=tuple(_missing(release, record, deployment, nodes)),
    )


def _missing(
    release: str, record: ReleaseRecord | None, deployment: JSON | None, nodes: Sequence[str]
) -> Iterator[str]:
    """Which of its parts are not as an installation leaves them."""
    if record is None and deployment is None:
        yield f"its connector is gone: remove-connector, or kubectl delete node {' '.join(nodes)}"
    elif record is None:
        yield f"Helm has no release {release}: install-connector makes one"
    elif record.status != _DEPLOYED:
        yield f"Helm's release is {record.status}: install-connector repairs it"
    elif deployment is None:
        yield f"Deployment {release} is gone: install-connector makes it again"


async def _seen(kube: KubeClient, one: Installation, registered: Sequence[str]) -> Installation:
    """The same with its pods and nodes looked at: those it is meant to be, and those that it left behind."""
    problems = list(one.problems)
    holders: Mapping[str, str] = {}
    meant: Sequence[str] = ()
    if one.connector is not None:
        meant = one.connector.node_names
        problems += await _pod_problems(kube, one, one.connector)
        with suppress(Forbidden):
            held = await shares(kube, one.connector, one.namespace)
            holders = {node: share.holder for node, share in held.items()}
    views = []
    for node in dict.fromkeys((*meant, *registered)):
        state = await node_state(kube, node)
        pods = [pod for pod in await pods_on(kube, node) if not finished(pod)]
        views.append(NodeView(state, len(pods), holders.get(node, "")))
        if not state.alive:
            problems.append(str(state))
        elif state.cordoned:
            problems.append(f"node {node} is cordoned, no new pod goes there: kubectl uncordon {node}")
        elif one.connector is not None and node not in meant:
            problems.append(f"node {node} is left over from when there were more: install-connector again")
    return replace(one, nodes=tuple(views), problems=tuple(problems))


async def _pod_problems(kube: KubeClient, one: Installation, connector: Connector) -> list[str]:
    if one.available >= one.replicas > 0:
        return []
    pods = await pods_of(kube, connector, one.namespace)
    lines = [f"{one.available} of {one.replicas} pods of the connector are available"]
    return lines + [f"  {line}" for pod in pods for line in states(pod)]
