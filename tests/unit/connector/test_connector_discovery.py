"""Connectors are found again whatever they are called, and by whatever is left of them."""

from __future__ import annotations

from typing import Any

from vnodectl.connector.discovery import existing, virtual_nodes
from vnodectl.connector.names import Connector

ECI = "eci-connector-linux-cn-hangzhou"


def deployment(release: str, node: str, **labels: str) -> dict[str, Any]:
    named = {
        "vnodectl.io/connector": "eci-connector",
        "vnodectl.io/os": "linux",
        "vnodectl.io/cloud": "alibaba",
    }
    return {
        "metadata": {
            "name": release,
            "labels": {**named, "vnodectl.io/region": "cn-hangzhou", **labels},
            "annotations": {"vnodectl.io/node": node},
        },
        "spec": {"template": {"metadata": {"labels": {"vnodectl.io/nodes": "2"}}}},
    }


def test_by_its_deployment_s_labels() -> None:
    nodes = {"virtual-kubelet": "ack-virtual-node", "virtual-kubelet-other": "other"}
    (found,) = existing("eci-connector", [deployment("ack-virtual-node", "virtual-kubelet")], nodes)
    assert found.connector == Connector(
        "eci-connector",
        "Linux",
        "cn-hangzhou",
        2,
        cloud="alibaba",
        release_name="ack-virtual-node",
        node_name="virtual-kubelet",
    )
    assert found.nodes == ("virtual-kubelet",)
    assert found.connector.node_names == ("virtual-kubelet", "virtual-kubelet-2")


def test_usual_names_are_not_written_down() -> None:
    (found,) = existing("eci-connector", [deployment(ECI, f"virtual-kubelet-{ECI}")], {})
    assert (found.connector.release_name, found.connector.node_name) == ("", "")


def test_by_a_node_alone() -> None:
    """Its Deployment has been deleted by hand: the node's label says whose it was."""
    (found,) = existing("eci-connector", [], {"virtual-kubelet-2": ECI, "virtual-kubelet-3": ECI})
    assert (found.connector.release, found.connector.node) == (ECI, "virtual-kubelet")
    assert found.connector.cloud == "alibaba"
    assert found.nodes == ("virtual-kubelet-2", "virtual-kubelet-3")
    (named,) = existing("eci-connector", [], {"my-node": ECI})
    assert named.connector.node == "my-node"


def test_by_a_release_of_any_name() -> None:
    assert existing("eci-connector", [], {"n": "mine"}) == [], "nobody says that it is"
    (found,) = existing("eci-connector", [], {"n": "mine", "m": "other"}, release="mine")
    assert (found.connector.release, found.nodes) == ("mine", ("n",))
    (helm,) = existing("eci-connector", [], {}, releases=[ECI, "other"])
    assert (helm.connector.release, helm.deployment, helm.nodes) == (ECI, None, ())


def test_azure_s_by_names_as_before_labels() -> None:
    release = "aci-connector-linux-eastus"
    nodes = {f"virtual-kubelet-{release}": release, f"virtual-kubelet-{release}-2": release}
    (found,) = existing("aci-connector", [], nodes)
    assert found.connector == Connector("aci-connector", "Linux", "eastus")
    assert found.nodes == tuple(nodes)


async def test_nodes_say_whose_they_are(kube: Any) -> None:
    for name, labels in (
        ("virtual-kubelet", {"vnodectl.io/release": "rel"}),
        ("virtual-kubelet-aci-linux-eastus-2", {}),
        ("strange", {}),
    ):
        kube.put(f"/api/v1/nodes/{name}", metadata={"labels": {"type": "virtual-kubelet", **labels}})
    assert await virtual_nodes(kube) == {
        "strange": "",
        "virtual-kubelet": "rel",
        "virtual-kubelet-aci-linux-eastus-2": "aci-linux-eastus",
    }
