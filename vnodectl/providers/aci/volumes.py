"""Volumes and their mounts.

ACI has emptyDir, secret (flat file names, base64, one fixed mode), azureFile and gitRepo, on Linux only.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from vnodectl.runtime.provider import JSON, EmptyDir, External, Files, Rejected, ResolvedPod, Volume

VOLUMES_MAX = 20
"""Volumes per group."""

SERVICE_ACCOUNT_PREFIX = "kube-api-access-"
"""How the API server names the token volume that it adds to every pod."""

_FILE_NAME = re.compile(r"[-._a-zA-Z0-9]+")
_FILE_CSI = "file.csi.azure.com"


@dataclass(frozen=True, slots=True)
class Volumes:
    """`bodies` is the group's `volumes`; `names` maps a pod's volume name to the group's."""

    bodies: list[JSON]
    names: Mapping[str, str]
    left_out: frozenset[str] = frozenset()


def volumes(pod: ResolvedPod, *, windows: bool) -> Volumes:
    """Every volume that a container mounts. Raises Rejected with the field for what ACI does not have."""
    mounted = {
        mount["name"]
        for kind in ("initContainers", "containers")
        for container in pod.spec.get(kind) or ()
        for mount in container.get("volumeMounts") or ()
    }
    bodies: list[JSON] = []
    names: dict[str, str] = {}
    left_out: set[str] = set()
    for index, entry in enumerate(pod.spec.get("volumes") or ()):
        name, path = entry["name"], f"spec.volumes[{index}]"
        if name not in mounted:
            continue
        if windows:
            if name.startswith(SERVICE_ACCOUNT_PREFIX):
                left_out.add(name)
                continue
            raise Rejected("UnsupportedVolume", "Windows container groups have no volumes", field=path)
        # ACI wants 5 to 63 characters; the index makes cut names unique.
        group_volume = f"v{index:02d}-{name}"[:63].rstrip("-")
        bodies.append({"name": group_volume, **_source(pod.volumes[name], path)})
        names[name] = group_volume
    if len(bodies) > VOLUMES_MAX:
        raise Rejected(
            "TooManyVolumes", f"a container group has at most {VOLUMES_MAX} volumes", field="spec.volumes"
        )
    return Volumes(bodies, names, frozenset(left_out))


def mounts(container: JSON, made: Volumes, path: str) -> list[JSON]:
    """`properties.volumeMounts` of one container."""
    if container.get("volumeDevices"):
        raise Rejected(
            "UnsupportedVolume",
            "there are no block devices in a container group",
            field=f"{path}.volumeDevices",
        )
    bodies: list[JSON] = []
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{index}]"
        if mount["name"] in made.left_out:
            continue
        for key in ("subPath", "subPathExpr"):
            if mount.get(key):
                raise Rejected(
                    "UnsupportedMount",
                    "Azure Container Instances mounts whole volumes only",
                    field=f"{where}.{key}",
                )
        if mount.get("mountPropagation") == "Bidirectional":
            raise Rejected(
                "UnsupportedMount", "mounts do not propagate to a host", field=f"{where}.mountPropagation"
            )
        body: JSON = {"name": made.names[mount["name"]], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            body["readOnly"] = True
        bodies.append(body)
    return bodies


def _source(volume: Volume, path: str) -> JSON:
    match volume:
        case EmptyDir():
            return {"emptyDir": {}}
        case Files():
            return _files(volume, path)
        case External():
            return _external(volume, path)


def _files(volume: Files, path: str) -> JSON:
    if not volume.files:
        return {"emptyDir": {}}
    for file in volume.files:
        if not _FILE_NAME.fullmatch(file.path):
            raise Rejected(
                "UnsupportedVolume",
                f"file {file.path!r}: a volume of files is flat in Azure Container Instances",
                field=path,
            )
        if file.mode & 0o111:
            raise Rejected(
                "UnsupportedVolume",
                f"file {file.path!r} wants mode {file.mode:o}, but files of a volume cannot be executable in "
                "Azure Container Instances; start it through its interpreter and use mode 644",
                field=path,
            )
    return {"secret": {file.path: base64.b64encode(file.content).decode() for file in volume.files}}


def _external(volume: External, path: str) -> JSON:
    source = volume.source
    if source.get("azureFile"):
        return _azure_file(source["azureFile"], volume, f"{path}.azureFile")
    csi = source.get("csi") or {}
    if csi.get("driver") == _FILE_CSI:
        attributes = csi.get("volumeAttributes") or {}
        share = {
            "secretName": attributes.get("secretName"),
            "shareName": attributes.get("shareName"),
            "readOnly": csi.get("readOnly"),
        }
        return _azure_file(share, volume, f"{path}.csi.volumeAttributes")
    if source.get("gitRepo"):
        git = source["gitRepo"]
        body = {
            "repository": git.get("repository"),
            "directory": git.get("directory"),
            "revision": git.get("revision"),
        }
        return {"gitRepo": {key: value for key, value in body.items() if value}}
    kind = next((key for key in source if key != "name"), "unknown")
    raise Rejected(
        "UnsupportedVolume",
        f"Azure Container Instances has no {kind} volume; it has emptyDir, configMap, secret, projected, "
        "downwardAPI, azureFile and gitRepo",
        field=f"{path}.{kind}",
    )


def _azure_file(source: JSON, volume: External, path: str) -> JSON:
    secret_name, share = source.get("secretName"), source.get("shareName")
    if not secret_name or not share:
        raise Rejected("InvalidVolume", "secretName and shareName are both needed", field=path)
    secret = volume.secrets.get(secret_name) or {}
    try:
        account = secret["azurestorageaccountname"].decode().strip()
        key = secret["azurestorageaccountkey"].decode().strip()
    except (KeyError, UnicodeDecodeError):
        raise Rejected(
            "InvalidVolume",
            f"Secret {secret_name} has no azurestorageaccountname and azurestorageaccountkey",
            field=path,
        ) from None
    body: JSON = {"shareName": share, "storageAccountName": account, "storageAccountKey": key}
    if source.get("readOnly"):
        body["readOnly"] = True
    return {"azureFile": body}
