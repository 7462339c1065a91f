"""What a whole container group has beyond its containers: where it runs, as whom, and on what terms. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from vnodectl.providers.aci import annotations as table
from vnodectl.providers.aci.annotations import Asked, invalid
from vnodectl.providers.aci.names import group_tags
from vnodectl.providers.aci.settings import AciSettings, KubeProxy, NodeIdentity
from vnodectl.runtime.provider import JSON, Rejected, ResolvedPod

SDK_API = "2023-05-01"
"""What azure-mgmt-containerinstance 10.1 speaks, and what a group is written with unless it needs more."""

STANDBY_API = "2025-09-01"
"""The first stable version with standby pools and container group profiles; the SDK has no models for it."""


def api_version(body: JSON) -> str:
    """The version of the API that a group's body needs."""
    properties = body.get("properties") or {}
    newer = "standbyPoolProfile" in properties or "containerGroupProfile" in properties
    return STANDBY_API if newer else SDK_API


def subnet(asked: Asked, settings: AciSettings, node: NodeIdentity) -> str:
    """The subnet's resource ID, or ""."""
    own = asked.text(table.SUBNET)
    if own and node.windows:
        raise Rejected(
            "WindowsLimit", "a Windows container group is in no subnet", field=asked.path(table.SUBNET)
        )
    return own or settings.subnet_id


def tags(pod: ResolvedPod, asked: Asked, settings: AciSettings, node: NodeIdentity) -> dict[str, str]:
    """vnodectl's own tags cannot be overridden: they say whose the group is."""
    own = group_tags(pod.key, node.owner, pod.pod["metadata"].get("creationTimestamp") or "")
    found = {**settings.tags, **asked.tags(table.TAGS), **own}
    if len(found) > table.TAGS_MAX:
        raise Rejected(
            "TooManyTags",
            f"Azure takes {table.TAGS_MAX} tags, these are {len(found)}",
            field=asked.path(table.TAGS),
        )
    return found


def top(pod: ResolvedPod, asked: Asked, settings: AciSettings, node: NodeIdentity) -> JSON:
    """`location`, `tags`, `zones` and `identity` of the body."""
    body: JSON = {"location": settings.region, "tags": tags(pod, asked, settings, node)}
    zone = asked.text(table.ZONES)
    zones = [one.strip() for one in (settings.zone if zone is None else zone).split(";") if one.strip()]
    if len(zones) > 1:
        raise invalid(table.PREFIX + table.ZONES.name, "Azure Container Instances takes one zone")
    if zones:
        body["zones"] = zones
    identity = _identity(asked, settings)
    if identity:
        body["identity"] = identity
    return body


def _identity(asked: Asked, settings: AciSettings) -> JSON:
    """Everyone whom the group may be: those that were asked for, and those that pull images or read keys."""
    wanted = list(asked.identities(table.IDENTITY) if asked.has(table.IDENTITY) else settings.identities)
    wanted += filter(None, (registry_identity(asked, settings), asked.text(table.KEY_IDENTITY)))
    users = {one.lower(): one for one in wanted if one != "system"}
    kinds = [
        kind for kind, there in (("SystemAssigned", "system" in wanted), ("UserAssigned", users)) if there
    ]
    if not kinds:
        return {}
    body: JSON = {"type": ", ".join(kinds)}
    if users:
        body["userAssignedIdentities"] = {one: {} for one in users.values()}
    return body


def registry_identity(asked: Asked, settings: AciSettings) -> str:
    return asked.text(table.REGISTRY_IDENTITY) or settings.registry_identity


def terms(
    asked: Asked,
    settings: AciSettings,
    node: NodeIdentity,
    *,
    in_subnet: bool,
    gpu: bool,
    kube_proxy: KubeProxy | None,
) -> JSON:
    """`sku`, `priority`, confidential computing, encryption, diagnostics and extensions of the properties."""
    body: JSON = {}
    sku, policy = asked.text(table.SKU), asked.text(table.POLICY)
    if policy:
        if sku not in {None, "Confidential"}:
            raise invalid(table.PREFIX + table.SKU.name, f"a confidential policy contradicts sku {sku}")
        try:
            base64.b64decode(policy, validate=True)
        except ValueError:
            raise invalid(table.PREFIX + table.POLICY.name, "the policy is not base64") from None
        sku = "Confidential"
        body["confidentialComputeProperties"] = {"ccePolicy": policy}
    if sku:
        body["sku"] = sku
    if sku == "Confidential" and node.windows:
        raise Rejected(
            "WindowsLimit", "a Windows container group is not confidential", field=asked.path(table.SKU)
        )
    priority = asked.text(table.PRIORITY)
    if priority == "Spot":
        if in_subnet:
            raise Rejected(
                "SpotLimit", "a Spot container group is in no subnet", field=asked.path(table.PRIORITY)
            )
        if gpu or (sku or "Standard") != "Standard":
            raise Rejected(
                "SpotLimit",
                "a Spot container group has no GPU and no sku but Standard",
                field=asked.path(table.PRIORITY),
            )
        body["priority"] = priority
    if encryption := _encryption(asked):
        body["encryptionProperties"] = encryption
    if settings.log_analytics is not None:
        analytics = settings.log_analytics
        body["diagnostics"] = {
            "logAnalytics": {
                "workspaceId": analytics.workspace_id,
                "workspaceKey": analytics.workspace_key,
                "logType": "ContainerInsights",
            }
        }
    wanted = asked.yes(table.KUBE_PROXY)
    if kube_proxy is not None and in_subnet and wanted is not False and sku != "Confidential":
        body["extensions"] = [_kube_proxy(kube_proxy)]
    elif wanted and kube_proxy is None:
        raise Rejected(
            "NoKubeProxy",
            "this node is not set up for kube-proxy side-cars (VNODECTL_ACI_KUBE_PROXY)",
            field=asked.path(table.KUBE_PROXY),
        )
    return body


def _encryption(asked: Asked) -> JSON:
    parts = {
        "vaultBaseUrl": table.KEY_VAULT,
        "keyName": table.KEY_NAME,
        "keyVersion": table.KEY_VERSION,
    }
    found: JSON = {name: value for name, one in parts.items() if (value := asked.text(one))}
    identity = asked.text(table.KEY_IDENTITY)
    if not found and not identity:
        return {}
    for name, one in parts.items():
        if name not in found:
            raise invalid(table.PREFIX + one.name, "a customer-managed key needs vault, key and version")
    return {**found, "identity": identity} if identity else found


def _kube_proxy(proxy: KubeProxy) -> JSON:
    """The side-car that ACI brings along, as the azure-aci virtual kubelet asks for it."""
    return {
        "name": "kube-proxy",
        "properties": {
            "extensionType": "kube-proxy",
            "version": "1.0",
            "settings": {"clusterCidr": proxy.cluster_cidr, "kubeVersion": proxy.version},
            "protectedSettings": {"kubeConfig": base64.b64encode(proxy.kubeconfig.encode()).decode()},
        },
    }


def kubeconfig(server: str, ca: bytes, token: str) -> str:
    """A kubeconfig document (JSON) with a bearer token."""
    name = "virtual-kubelet"
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )


def standby(asked: Asked) -> JSON:
    """`standbyPoolProfile` and `containerGroupProfile`; {} for a group that is made anew."""
    pool, profile = asked.text(table.STANDBY_POOL), asked.text(table.PROFILE)
    for one, other in ((table.STANDBY_POOL, table.PROFILE), (table.PROFILE, table.STANDBY_POOL)):
        if asked.has(one) and not asked.has(other):
            raise invalid(table.PREFIX + other.name, f"it is needed together with {one.name}")
    if not pool or not profile:
        return {}
    body: JSON = {"id": pool}
    if asked.yes(table.STANDBY_ONLY):
        body["failContainerGroupCreateOnReuseFailure"] = True
    revision = asked.number(table.PROFILE_REVISION) or 1
    return {"standbyPoolProfile": body, "containerGroupProfile": {"id": profile, "revision": revision}}


def standby_containers(containers: Iterable[JSON], pod: ResolvedPod) -> list[JSON]:
    """A standby group's containers come from its profile; only their config maps can be given."""
    bodies: list[JSON] = []
    for index, container in enumerate(containers):
        if secret := next((one for one in pod.env.get(container["name"], ()) if one.secret), None):
            raise Rejected(
                "UnsupportedField",
                f"{secret.name} is from a Secret, but whoever can read the group can read its config maps",
                field=f"spec.containers[{index}].env",
            )
        pairs = {one.name: one.value for one in pod.env.get(container["name"], ()) if not one.late}
        properties: JSON = {"configMap": {"keyValuePairs": pairs}} if pairs else {}
        bodies.append({"name": container["name"], "properties": properties})
    return bodies
