"""Resolved pods and places for tests of the ECI provider."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.aci_pods import UID, make_pod

from vnodectl.providers.eci.profile import Profile
from vnodectl.providers.eci.settings import EciSettings, NodeIdentity
from vnodectl.providers.eci.translate import Place
from vnodectl.runtime.provider import JSON, ResolvedPod

NODE = "virtual-kubelet"
CONNECTOR = "ack-virtual-node"
SETTINGS = EciSettings(vswitches=("vsw-1", "vsw-2"), security_group="sg-1")
IDENTITY = NodeIdentity(NODE, CONNECTOR)

__all__ = ["CONNECTOR", "IDENTITY", "NODE", "SETTINGS", "UID", "labelled", "make_pod", "place"]


def place(*, region: str = "cn-hangzhou", profile: Profile | None = None, **settings: Any) -> Place:
    return Place(replace(SETTINGS, **settings), IDENTITY, region, profile or Profile())


def labelled(pod: ResolvedPod, labels: dict[str, str]) -> ResolvedPod:
    metadata: JSON = {**pod.pod["metadata"], "labels": labels}
    return replace(pod, pod={**pod.pod, "metadata": metadata})
