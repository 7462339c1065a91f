"""Volumes and their mounts.

ECI has EmptyDirVolume, ConfigFileVolume (small files), NFSVolume and, as FlexVolume, disks, NAS and OSS.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping, Sequence

from vnodectl.runtime.expansion import expand
from vnodectl.runtime.provider import JSON, EmptyDir, External, Files, Rejected, ResolvedPod, Volume

VOLUMES_MAX = 20
FILE_MAX = 32 * 1024
FILES_MAX = 60 * 1024
"""Limits of ConfigFileVolume: bytes of one file, and of all files of a group."""

FILES = "ConfigFileVolume"

_MIB = 2**20
_DISK, _NAS, _OSS = "alicloud/disk", "alicloud/nas", "alicloud/oss"
_CSI = {
    "diskplugin.csi.alibabacloud.com": _DISK,
    "nasplugin.csi.alibabacloud.com": _NAS,
    "ossplugin.csi.alibabacloud.com": _OSS,
}
_ATTRIBUTES = {
    _DISK: (
        "volumeSize",
        "performanceLevel",
        "snapshotId",
        "tags",
        "kmsKeyId",
        "encrypted",
        "deleteWithInstance",
    ),
    _NAS: ("server", "path", "vers", "options"),
    _OSS: ("bucket", "url", "path", "otherOpts", "ramRole", "akId", "akSecret"),
}
_SECRETS = ("akId", "akSecret")
_KINDS = ("nfs", "flexVolume", "csi")
_ZONE_LABELS = ("topology.diskplugin.csi.alibabacloud.com/zone", "topology.kubernetes.io/zone")
_HAS = (
    "it has emptyDir, configMap, secret, projected, downwardAPI, nfs, and disks, NAS and OSS through "
    "flexVolume, csi or a claim"
)


def volumes(pod: ResolvedPod) -> list[JSON]:
    """`Volume` of the group: every volume that a container mounts. Raises Rejected with the field."""
    mounted = {
        mount["name"]
        for kind in ("initContainers", "containers")
        for container in pod.spec.get(kind) or ()
        for mount in container.get("volumeMounts") or ()
    }
    shared = (pod.spec.get("securityContext") or {}).get("fsGroup") is not None
    bodies: list[JSON] = []
    room = FILES_MAX
    for index, entry in enumerate(pod.spec.get("volumes") or ()):
        name, path = entry["name"], f"spec.volumes[{index}]"
        if name not in mounted:
            continue
        volume = pod.volumes[name]
        if isinstance(volume, Files):
            room -= sum(len(file.content) for file in volume.files)
            if room < 0:
                raise Rejected(
                    "UnsupportedVolume",
                    f"all files of a group together have at most {FILES_MAX // 1024} KiB",
                    field=path,
                )
        bodies.append({"Name": name, **_source(volume, path, shared=shared)})
    if len(bodies) > VOLUMES_MAX:
        raise Rejected(
            "TooManyVolumes", f"a container group has at most {VOLUMES_MAX} volumes", field="spec.volumes"
        )
    return bodies


def mounts(container: JSON, env: Mapping[str, str], path: str, locked: Collection[str] = ()) -> list[JSON]:
    """`VolumeMount` of one container; `env` are its variables, for `subPathExpr`. `locked` as of
    `read_only`."""
    if container.get("volumeDevices"):
        raise Rejected(
            "UnsupportedVolume",
            "there are no block devices in a container group",
            field=f"{path}.volumeDevices",
        )
    bodies: list[JSON] = []
    for mount in container.get("volumeMounts") or ():
        body: JSON = {"Name": mount["name"], "MountPath": mount["mountPath"]}
        sub_path = mount.get("subPath") or expand(mount.get("subPathExpr") or "", env)
        if sub_path:
            body["SubPath"] = sub_path
        if mount.get("readOnly") or mount["name"] in locked:
            body["ReadOnly"] = True
        if mount.get("mountPropagation") not in {None, "None"}:
            body["MountPropagation"] = mount["mountPropagation"]
        bodies.append(body)
    return bodies


def read_only(pod: ResolvedPod) -> frozenset[str]:
    """Names of the volumes that say of themselves that they are read only."""
    return frozenset(name for name, volume in pod.volumes.items() if _read_only(volume))


def _read_only(volume: Volume) -> bool:
    if not isinstance(volume, External):
        return False
    source = _source_of(volume)
    places = (volume.source.get("persistentVolumeClaim"), *(source.get(kind) for kind in _KINDS))
    return any(bool(place.get("readOnly")) for place in places if place)


def refreshed(pod: ResolvedPod, names: Collection[str]) -> list[JSON]:
    """`Volume` of UpdateContainerGroup: those of these volumes that have files. Raises Rejected.

    It takes no modes: files keep theirs.
    """
    bodies: list[JSON] = []
    for body in volumes(pod):
        files = (body.get(FILES) or {}).get("ConfigFileToPath")
        if files and body["Name"] in names:
            kept = [{"Path": one["Path"], "Content": one["Content"]} for one in files]
            bodies.append({**body, FILES: {"ConfigFileToPath": kept}})
    return bodies


def zone(pod: ResolvedPod) -> str:
    """The one zone where the disks of the pod's claims are; "" where there is none, or no say in it.

    Raises Rejected where two disks are in different zones.
    """
    found: dict[str, str] = {}
    for index, entry in enumerate(pod.spec.get("volumes") or ()):
        volume = pod.volumes.get(entry["name"])
        if isinstance(volume, External) and volume.persistent_volume:
            zones = _zones(volume.persistent_volume)
            if len(zones) == 1:
                found.setdefault(zones[0], f"spec.volumes[{index}].persistentVolumeClaim")
    if len(found) > 1:
        raise Rejected(
            "UnsupportedVolume",
            f"the claims' disks are in different zones: {', '.join(found)}",
            field=list(found.values())[1],
        )
    return next(iter(found), "")


def _zones(persistent_volume: JSON) -> list[str]:
    """From its node affinity, which the CSI driver of disks writes."""
    spec = persistent_volume.get("spec") or {}
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    return [
        value
        for term in terms
        for one in term.get("matchExpressions") or ()
        if one.get("key") in _ZONE_LABELS and one.get("operator") == "In"
        for value in one.get("values") or ()
    ]


def volume_secrets(persistent_volume: JSON, namespace: str) -> list[tuple[str, str]]:
    """(namespace, name) of the Secrets that a volume claimed from `namespace` needs."""
    spec = persistent_volume.get("spec") or {}
    references = [(spec.get("flexVolume") or {}).get("secretRef")]
    if _CSI.get((spec.get("csi") or {}).get("driver") or "") == _OSS:
        references.append(spec["csi"].get("nodePublishSecretRef"))
    return [(one.get("namespace") or namespace, one["name"]) for one in references if one and one.get("name")]


def secrets(bodies: list[JSON]) -> Iterator[str]:
    """Values in `Volume` that no message may repeat."""
    for body in bodies:
        for file in (body.get(FILES) or {}).get("ConfigFileToPath") or ():
            yield file["Content"]
            yield base64.b64decode(file["Content"]).decode(errors="replace")
        options = json.loads((body.get("FlexVolume") or {}).get("Options") or "{}")
        yield from (options[name] for name in _SECRETS if name in options)


def _source(volume: Volume, path: str, *, shared: bool) -> JSON:
    match volume:
        case EmptyDir():
            return _empty_dir(volume, path)
        case Files():
            return _files(volume, path, shared=shared)
        case External():
            return _external(volume, path)


def _empty_dir(volume: EmptyDir, path: str) -> JSON:
    if volume.medium not in {"", "Memory", "LocalRaid0"}:
        raise Rejected(
            "UnsupportedVolume",
            f"there is no medium {volume.medium}; there are the disk and Memory",
            field=f"{path}.emptyDir.medium",
        )
    body: JSON = {}
    if volume.medium:
        body["Medium"] = volume.medium
    if volume.size_limit:
        body["SizeLimit"] = f"{-(-volume.size_limit // _MIB)}Mi"
    return {"Type": "EmptyDirVolume", **({"EmptyDirVolume": body} if body else {})}


def _files(volume: Files, path: str, *, shared: bool) -> JSON:
    """`shared`: the pod has a group of its own for files (fsGroup), which ECI cannot give them; so everybody
    in its instance may read what the group could."""
    if not volume.files:
        return {"Type": "EmptyDirVolume"}
    bodies = []
    for file in volume.files:
        if len(file.content) > FILE_MAX:
            raise Rejected(
                "UnsupportedVolume",
                f"file {file.path!r} has {len(file.content)} bytes, more than {FILE_MAX // 1024} KiB",
                field=path,
            )
        mode = file.mode | ((file.mode & 0o070) >> 3) if shared else file.mode
        bodies.append(
            {
                "Path": file.path,
                "Content": base64.b64encode(file.content).decode(),
                # Written in octal digits, as documented.
                "Mode": f"{mode:04o}",
            }
        )
    return {"Type": FILES, FILES: {"ConfigFileToPath": bodies}}


def _external(volume: External, path: str) -> JSON:
    """Of a claim, what the PersistentVolume that it is bound to is."""
    source = volume.source
    if source.get("persistentVolumeClaim"):
        source, path = _source_of(volume), f"{path}.persistentVolumeClaim"
        if not any(source.get(kind) for kind in _KINDS):
            name = ((volume.persistent_volume or {}).get("metadata") or {}).get("name") or "of the claim"
            raise Rejected(
                "UnsupportedVolume",
                f"Elastic Container Instance cannot mount the PersistentVolume {name}; {_HAS}",
                field=path,
            )
    if source.get("nfs"):
        nfs = source["nfs"]
        body: JSON = {"Server": nfs.get("server") or "", "Path": nfs.get("path") or "/"}
        if nfs.get("readOnly"):
            body["ReadOnly"] = True
        return {"Type": "NFSVolume", "NFSVolume": body}
    if source.get("flexVolume"):
        return _flex(source["flexVolume"], volume, f"{path}.flexVolume")
    if source.get("csi"):
        return _csi(source["csi"], volume, f"{path}.csi")
    kind = next((key for key in source if key != "name"), "unknown")
    raise Rejected(
        "UnsupportedVolume",
        f"Elastic Container Instance has no {kind} volume; {_HAS}",
        field=f"{path}.{kind}",
    )


def _source_of(volume: External) -> JSON:
    """What the volume really is: its own entry, or the spec of the PersistentVolume behind a claim."""
    if volume.source.get("persistentVolumeClaim"):
        spec: JSON = (volume.persistent_volume or {}).get("spec") or {}
        return spec
    return volume.source


def _flex(source: JSON, volume: External, path: str) -> JSON:
    driver = source.get("driver") or ""
    if driver not in _ATTRIBUTES:
        raise Rejected(
            "UnsupportedVolume",
            f"there is no driver {driver!r}; there are {', '.join(_ATTRIBUTES)}",
            field=f"{path}.driver",
        )
    options = dict(source.get("options") or {})
    options |= _keys(volume, source.get("secretRef"))
    return _flex_volume(driver, options, source.get("fsType"), path)


def _csi(source: JSON, volume: External, path: str) -> JSON:
    """An inline CSI volume, or the `csi` section of a PersistentVolume (which has a volumeHandle)."""
    driver = _CSI.get(source.get("driver") or "")
    if driver is None:
        raise Rejected(
            "UnsupportedVolume",
            f"there is no driver {source.get('driver')!r}; there are {', '.join(_CSI)}",
            field=f"{path}.driver",
        )
    attributes = source.get("volumeAttributes") or {}
    options = {name: attributes[name] for name in _ATTRIBUTES[driver] if attributes.get(name)}
    if driver == _DISK and source.get("volumeHandle"):
        options = {"volumeId": source["volumeHandle"]}
    if driver == _OSS:
        options |= _keys(volume, source.get("nodePublishSecretRef"))
    if driver == _NAS:
        options = {**_nas_options(_source_of(volume).get("mountOptions") or ()), **options}
    return _flex_volume(driver, options, source.get("fsType"), path)


def _flex_volume(driver: str, options: Mapping[str, str], fs_type: str | None, path: str) -> JSON:
    needed = {_DISK: ("volumeId", "volumeSize"), _NAS: ("server",), _OSS: ("bucket",)}[driver]
    if not any(options.get(name) for name in needed):
        raise Rejected("InvalidVolume", f"{' or '.join(needed)} is needed", field=path)
    body: JSON = {"Driver": driver, "Options": json.dumps(dict(options), sort_keys=True)}
    if fs_type:
        body["FsType"] = fs_type
    return {"Type": "FlexVolume", "FlexVolume": body}


def _nas_options(mount_options: Sequence[str]) -> dict[str, str]:
    """Of a PersistentVolume: the version of NFS apart from the others."""
    vers = [one.partition("=")[2] for one in mount_options if one.startswith("vers=")]
    others = [one for one in mount_options if not one.startswith("vers=")]
    found = {"vers": vers[-1] if vers else "", "options": ",".join(others)}
    return {name: value for name, value in found.items() if value}


def _keys(volume: External, reference: JSON | None) -> dict[str, str]:
    """The access key that the source's Secret holds. Secrets of PersistentVolumes are named with their
    namespaces."""
    name = (reference or {}).get("name") or ""
    fitting = (one for one in volume.secrets if one == name or one.endswith(f"/{name}"))
    data = volume.secrets.get(next(fitting, "")) or {} if name else {}
    return {key: data[key].decode(errors="replace").strip() for key in _SECRETS if key in data}
