"""What the demo shows of each cloud: the same acts, with the cloud's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vnodectl.sandbox.plan import (
    ALIBABA,
    AZURE,
    DEMO_ACI_GROUP,
    DEMO_ALIBABA_REGION,
    DEMO_CLUSTER,
    DEMO_CLUSTER_GROUP,
    DEMO_CLUSTER_ID,
    DEMO_REGION,
)
from vnodectl.settings import DEFAULT_CONNECTOR_NAME, NODE_PREFIX


@dataclass(frozen=True, slots=True)
class Scene:
    """`cluster` names the cluster, `place` where groups are made, `systems` what runs there: words of
    commands. `nodes` are those that must come; the workload runs on the first. `groups` lists what is in the
    cloud, with the vendor's own SDK. `label` sends a namespace's pods to the nodes; "" where none does.
    """

    title: str
    connectors: str
    cluster: tuple[str, ...]
    place: tuple[str, ...]
    systems: tuple[str, ...]
    sample: tuple[str, ...]
    nodes: tuple[str, ...]
    workload: str
    groups: tuple[str, ...]
    label: str = ""


SCENES: Mapping[str, Scene] = {
    AZURE: Scene(
        title="Azure",
        connectors="a connector for Linux and one for Windows",
        cluster=("-g", DEMO_CLUSTER_GROUP, "-n", DEMO_CLUSTER),
        place=("--aci-resource-group", DEMO_ACI_GROUP),
        systems=("--os-type", "Both"),
        sample=("linux",),
        nodes=tuple(
            f"{NODE_PREFIX}{DEFAULT_CONNECTOR_NAME}-{system}-{DEMO_REGION}" for system in ("linux", "windows")
        ),
        workload="deployment/aci-helloworld",
        groups=("python", "-m", "vnodectl.sandbox.groups", DEMO_ACI_GROUP),
    ),
    ALIBABA: Scene(
        title="Alibaba Cloud",
        connectors="a connector",
        cluster=("--cloud", "alibaba", "--cluster-id", DEMO_CLUSTER_ID),
        place=("--region", DEMO_ALIBABA_REGION),
        systems=(),
        sample=("linux", "--cloud", "alibaba"),
        nodes=("virtual-kubelet",),
        workload="deployment/eci-helloworld",
        groups=("python", "-m", "vnodectl.sandbox.eci_groups"),
        label="virtual-node-affinity-injection=enabled",
    ),
}
