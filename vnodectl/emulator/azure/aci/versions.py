"""API versions of Microsoft.ContainerInstance, and what each knows of a container group. Pure.

The service ignores what a version does not know, and does not show it to clients of that version: a standby
pool asked for with 2023-05-01 is not an error, it is not seen.
"""

from __future__ import annotations

from vnodectl.emulator.documents import JSON

VERSIONS = (
    "2025-09-01",
    "2024-11-01-preview",
    "2024-10-01-preview",
    "2024-05-01-preview",
    "2023-05-01",
    "2022-10-01-preview",
    "2022-09-01",
    "2021-10-01",
    "2021-09-01",
    "2021-07-01",
    "2021-03-01",
    "2019-12-01",
    "2018-10-01",
)
PROFILE_VERSIONS = VERSIONS[: VERSIONS.index("2024-05-01-preview") + 1]
"""Those with container group profiles."""

_GROUP = {
    "sku": "2019-12-01",
    "initContainers": "2019-12-01",
    "encryptionProperties": "2019-12-01",
    "subnetIds": "2021-07-01",
    "extensions": "2022-10-01",
    "confidentialComputeProperties": "2022-10-01",
    "priority": "2022-10-01",
    "containerGroupProfile": "2024-05-01",
    "standbyPoolProfile": "2024-05-01",
    "isCreatedFromStandbyPool": "2024-05-01",
    "identityAcls": "2024-11-01",
    "secretReferences": "2024-11-01",
}
_CONTAINER = {"securityContext": "2022-10-01", "configMap": "2024-05-01"}
_ZONES = "2021-09-01"
_ALL = max((*_GROUP.values(), *_CONTAINER.values(), _ZONES))


def known(body: JSON, version: str) -> JSON:
    """The same group, as a request or as an answer, without what `version` does not know."""
    day = version[:10]
    if day >= _ALL:
        return body
    shown = body if day >= _ZONES else {name: value for name, value in body.items() if name != "zones"}
    properties = shown.get("properties")
    if not isinstance(properties, dict):
        return shown
    kept = {name: value for name, value in properties.items() if day >= _GROUP.get(name, "")}
    for name in ("containers", "initContainers"):
        if isinstance(kept.get(name), list):
            kept[name] = [_container(entry, day) for entry in kept[name]]
    return shown | {"properties": kept}


def _container(entry: object, day: str) -> object:
    properties = entry.get("properties") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(properties, dict):
        return entry
    kept = {name: value for name, value in properties.items() if day >= _CONTAINER.get(name, "")}
    return entry | {"properties": kept}
