"""`vnodectl sample`: a Deployment that runs on a virtual node, ready for `kubectl apply -f -`."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from vnodectl.errors import UsageError
from vnodectl.settings import TAINT_KEY, TAINT_VALUES

JSON = dict[str, Any]


class SampleOs(StrEnum):
    LINUX = "linux"
    WINDOWS = "windows"


class SampleCloud(StrEnum):
    AZURE = "azure"
    ALIBABA = "alibaba"


_LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

_SAMPLES = {
    (SampleCloud.AZURE, SampleOs.LINUX): ("aci-helloworld", "mcr.microsoft.com/azuredocs/aci-helloworld"),
    (SampleCloud.AZURE, SampleOs.WINDOWS): ("iis-winsc", "mcr.microsoft.com/windows/servercore/iis"),
    (SampleCloud.ALIBABA, SampleOs.LINUX): (
        "eci-helloworld",
        "registry.cn-hangzhou.aliyuncs.com/eci_open/nginx:1.14.2",
    ),
}


def deployment(
    system: SampleOs, image: str = "", node: str = "", cloud: SampleCloud = SampleCloud.AZURE
) -> JSON:
    """The manifest. Without `node` any virtual node of that OS and cloud may run it.

    UsageError for an OS that the cloud does not run, and for an image or a node that can be none.
    """
    from vnodectl.connector.image import parse_image

    if (cloud, system) not in _SAMPLES:
        raise UsageError(
            "Elastic Container Instance runs Linux pods only", hint="use linux, or --cloud azure"
        )
    name, usual = _SAMPLES[cloud, system]
    selector = {
        "kubernetes.io/role": "agent",
        "kubernetes.io/os": system.value,
        "type": "virtual-kubelet",
    }
    if image:
        parse_image(image)
    if node and not _LABEL_VALUE.fullmatch(node):
        raise UsageError(f"bad --node {node!r}", hint="list them: kubectl get nodes -l type=virtual-kubelet")
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
                            "image": image or usual,
                            "ports": [{"containerPort": 80}],
                            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
                        }
                    ],
                    "nodeSelector": selector,
                    "tolerations": [
                        {
                            "key": TAINT_KEY,
                            "operator": "Equal",
                            "value": TAINT_VALUES[cloud],
                            "effect": "NoSchedule",
                        }
                    ],
                },
            },
        },
    }


def sample(
    system: Annotated[SampleOs, typer.Argument(metavar="linux|windows", help="Which operating system.")],
    image: Annotated[
        str,
        typer.Option("--image", metavar="IMAGE", help="Another image than the guide's.", show_default=False),
    ] = "",
    node: Annotated[
        str,
        typer.Option(
            "--node",
            metavar="NAME",
            help="Only this node, not any virtual node of the OS.",
            show_default=False,
        ),
    ] = "",
    cloud: Annotated[
        SampleCloud,
        typer.Option(
            "--cloud",
            metavar="CLOUD",
            envvar="VNODECTL_CLOUD",
            help="Whose virtual nodes: azure or alibaba. (default: azure; env: VNODECTL_CLOUD)",
            show_default=False,
            show_envvar=False,
        ),
    ] = SampleCloud.AZURE,
) -> None:
    """Print a Deployment for a virtual node.

    \b
    Examples:
      vnodectl sample linux | kubectl apply -f -
      vnodectl sample windows --node virtual-kubelet-aci-connector-windows-eastus
      vnodectl sample linux --cloud alibaba | kubectl apply -f -
    """
    import yaml

    sys.stdout.write(yaml.safe_dump(deployment(system, image, node, cloud), sort_keys=False))
