"""`vnodectl sample`: a Deployment that runs on a virtual node, ready for `kubectl apply -f -`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from vnodectl.settings import TAINT_KEY

JSON = dict[str, Any]


class SampleOs(StrEnum):
    LINUX = "linux"
    WINDOWS = "windows"


_NAMES = {SampleOs.LINUX: "aci-helloworld", SampleOs.WINDOWS: "iis-winsc"}
_IMAGES = {
    SampleOs.LINUX: "mcr.microsoft.com/azuredocs/aci-helloworld",
    SampleOs.WINDOWS: "mcr.microsoft.com/windows/servercore/iis",
}


def deployment(system: SampleOs, image: str = "", node: str = "") -> JSON:
    """The manifest. Without `node` any virtual node of that OS may run it."""
    name = _NAMES[system]
    selector = {
        "kubernetes.io/role": "agent",
        "kubernetes.io/os": system.value,
        "type": "virtual-kubelet",
    }
    if node:
        selector["kubernetes.io/hostname"] = node
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [
                        {
                            "name": name,
                            "image": image or _IMAGES[system],
                            "ports": [{"containerPort": 80}],
                            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
                        }
                    ],
                    "nodeSelector": selector,
                    "tolerations": [{"key": TAINT_KEY, "operator": "Exists", "effect": "NoSchedule"}],
                },
            },
        },
    }


def sample(
    system: Annotated[SampleOs, typer.Argument(metavar="linux|windows", help="Which operating system.")],
    image: Annotated[str, typer.Option("--image", help="Another image than the guide's.")] = "",
    node: Annotated[str, typer.Option("--node", help="Only this node, not any virtual node of the OS.")] = "",
) -> None:
    """Print a Deployment for a virtual node.

    \b
    Examples:
      vnodectl sample linux | kubectl apply -f -
      vnodectl sample windows --node virtual-kubelet-aci-connector-windows-eastus
    """
    import yaml

    sys.stdout.write(yaml.safe_dump(deployment(system, image, node), sort_keys=False))
