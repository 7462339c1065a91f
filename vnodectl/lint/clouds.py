"""The providers' own translators, behind one name: what they reject at run time, lint finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vnodectl.errors import UsageError
from vnodectl.lint.model import JSON
from vnodectl.lint.rule import ALIBABA, AZURE
from vnodectl.providers.images import ImageConfig
from vnodectl.runtime.provider import ResolvedPod
from vnodectl.settings import TAINT_VALUES

_NODE, _CONNECTOR = "virtual-kubelet-lint", "lint"


@dataclass(frozen=True, slots=True)
class Placement:
    """What of a connector's settings decides about pods. `os_type` is Linux or Windows.

    `images` are configs of images, as far as somebody has read them from their registry. `environment` are
    the settings of a connector that is there, as its pod has them, and `profile` the ConfigMap `eci-profile`
    (Alibaba Cloud); what is given besides wins.
    """

    cloud: str = AZURE
    os_type: str = "Linux"
    region: str = ""
    subnet: str = ""
    gpu_sku: str = ""
    cluster_dns: str = ""
    images: Mapping[str, ImageConfig] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    profile: JSON | None = None


@dataclass(frozen=True, slots=True)
class Cloud:
    """One cloud, as lint sees it.

    `taint` is the value of its nodes' taint, `os` in lower case. `translate` raises `Rejected`. `fills` are
    the late fields that a container group is given when it has them; `variables_max` bounds a container's
    environment, None where no limit is documented. `mountable` is a PersistentVolume that a group can mount,
    to stand for those that nobody has read; `volume_secrets` are (namespace, name) of what one needs.
    `images` are configs of images, as far as they are known.
    """

    name: str
    service: str
    taint: str
    os: str
    region: str
    translate: Callable[[ResolvedPod], JSON]
    mountable: JSON
    volume_secrets: Callable[[JSON, str], Sequence[tuple[str, str]]]
    fills: frozenset[str] = frozenset()
    variables_max: int | None = None
    images: Mapping[str, ImageConfig] = field(default_factory=dict)


def cloud(place: Placement) -> Cloud:
    """Raises UsageError for a cloud or an operating system that there is not."""
    if place.os_type not in {"Linux", "Windows"}:
        raise UsageError(f"bad OS type {place.os_type!r}", hint="use Linux or Windows")
    if place.cloud == AZURE:
        return _azure(place)
    if place.cloud == ALIBABA:
        return _alibaba(place)
    raise UsageError(f"unknown cloud {place.cloud!r}", hint="use azure or alibaba")


def _azure(place: Placement) -> Cloud:
    from vnodectl.providers.aci.settings import AciSettings, KubeProxy, NodeIdentity
    from vnodectl.providers.aci.shares import FILE_CSI, volume_secrets
    from vnodectl.providers.aci.translate import Known, translate

    if place.os_type == "Windows" and place.subnet:
        raise UsageError("Azure Container Instances has Windows groups outside virtual networks only")
    stand_ins = {"VNODECTL_ACI_RESOURCE_GROUP": "lint", "VNODECTL_ACI_REGION": "eastus"}
    said = {
        "VNODECTL_ACI_REGION": place.region,
        "VNODECTL_ACI_SUBNET_ID": place.subnet,
        "VNODECTL_ACI_GPU_SKU": place.gpu_sku,
        "VNODECTL_CLUSTER_DNS": place.cluster_dns,
    }
    settings = AciSettings.from_environment({**stand_ins, **place.environment, **_given(said)})
    node = NodeIdentity(_NODE, _CONNECTOR, place.os_type)
    proxy = KubeProxy("", settings.cluster_cidr) if settings.cluster_cidr else None
    known = Known(place.images, proxy)
    return Cloud(
        name=AZURE,
        service="Azure Container Instances",
        taint="azure",
        os=place.os_type.lower(),
        region=place.region or place.environment.get("VNODECTL_ACI_REGION", ""),
        translate=lambda pod: translate(pod, settings, node, known),
        mountable={
            "spec": {
                "csi": {
                    "driver": FILE_CSI,
                    "volumeHandle": "lint",
                    "volumeAttributes": {"shareName": "lint", "secretName": "lint"},
                }
            }
        },
        volume_secrets=volume_secrets,
        images=place.images,
    )


def _alibaba(place: Placement) -> Cloud:
    from vnodectl.providers.eci import profile
    from vnodectl.providers.eci.settings import EciSettings, NodeIdentity
    from vnodectl.providers.eci.translate import Place, translate
    from vnodectl.providers.eci.volumes import volume_secrets

    if place.os_type != "Linux":
        raise UsageError("Elastic Container Instance runs Linux pods only", hint="leave out --os-type")
    said = {"VNODECTL_CLUSTER_DNS": place.cluster_dns}
    region = place.region or place.environment.get("ALIBABA_CLOUD_REGION_ID", "")
    there = Place(
        EciSettings.from_environment({"ECI_VSWITCH": "vsw-lint", **place.environment, **_given(said)}),
        NodeIdentity(_NODE, _CONNECTOR),
        region or "cn-hangzhou",
        profile.parse(place.profile)[0],
    )
    return Cloud(
        name=ALIBABA,
        service="Elastic Container Instance",
        taint=TAINT_VALUES[ALIBABA],
        os="linux",
        region=region,
        translate=lambda pod: translate(pod, there),
        mountable={
            "spec": {
                "csi": {
                    "driver": "nasplugin.csi.alibabacloud.com",
                    "volumeHandle": "lint",
                    "volumeAttributes": {"server": "lint"},
                }
            }
        },
        volume_secrets=volume_secrets,
        fills=frozenset({"status.podIP", "status.podIPs"}),
        variables_max=240,
    )


def _given(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}
