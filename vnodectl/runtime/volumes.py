"""A pod's volumes, resolved as a kubelet does: files with contents and modes, empty directories, or
whatever only the provider understands."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from vnodectl.runtime import quantity
from vnodectl.runtime.env import field_value, resource_value
from vnodectl.runtime.facts import Claimed, Facts, Notice, Unresolved, missing, secrets_of, token_request
from vnodectl.runtime.provider import JSON, EmptyDir, External, File, Files, Rejected, Volume

_DEFAULT_MODE = 0o644


def resolve(
    pod: JSON, facts: Facts, only: frozenset[str] | None = None
) -> tuple[dict[str, Volume], list[Notice]]:
    """Every volume of the pod by name, and events about optional things that are missing. With `only`, of the
    others those that depend on nothing.

    Raises Unresolved for a mandatory ConfigMap, Secret or key that is not there, and Rejected for a source
    that is not known, with its path.
    """
    notices: list[Notice] = []
    volumes = {
        volume["name"]: _volume(pod, volume, f"spec.volumes[{index}]", facts, notices)
        for index, volume in enumerate(pod["spec"].get("volumes") or ())
        if only is None or volume["name"] in only or "emptyDir" in volume
    }
    return volumes, notices


def _volume(pod: JSON, volume: JSON, path: str, facts: Facts, notices: list[Notice]) -> Volume:
    if "emptyDir" in volume:
        source = volume["emptyDir"] or {}
        limit = source.get("sizeLimit")
        return EmptyDir(
            medium=source.get("medium") or "", size_limit=int(quantity.parse(limit)) if limit else None
        )
    if "configMap" in volume:
        source = volume["configMap"]
        mode = _mode(source, "defaultMode", _DEFAULT_MODE)
        return Files(_config_map(source, mode, facts, notices))
    if "secret" in volume:
        source = {**volume["secret"], "name": volume["secret"].get("secretName")}
        mode = _mode(source, "defaultMode", _DEFAULT_MODE)
        return Files(_secret(source, mode, facts, notices), secret=True)
    if "downwardAPI" in volume:
        source = volume["downwardAPI"]
        mode = _mode(source, "defaultMode", _DEFAULT_MODE)
        return Files(_downward(pod, source, f"{path}.downwardAPI", mode, facts))
    if "projected" in volume:
        return _projected(pod, volume, f"{path}.projected", facts, notices)
    claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    if claim is not None and claim in facts.claims:
        return _claimed(volume, claim, facts.claims[claim])
    return External(volume, _external_secrets(volume, facts))


def _claimed(volume: JSON, name: str, found: Claimed) -> External:
    if found.claim is None:
        text = f"PersistentVolumeClaim {name!r} not found"
        raise Unresolved(Notice("Warning", "FailedMount", text))
    if found.volume is None:
        text = f"PersistentVolumeClaim {name!r} is not bound to a PersistentVolume yet"
        raise Unresolved(Notice("Warning", "FailedMount", text))
    for secret, content in found.secrets.items():
        if content is None:
            raise Unresolved(missing("Secret", secret, optional=False))
    secrets = {secret: secret_data(content) for secret, content in found.secrets.items() if content}
    return External(volume, secrets, found.volume)


def _mode(source: JSON, name: str, default: int) -> int:
    """0 is a mode like any other."""
    mode = source.get(name)
    return default if mode is None else int(mode)


def _projected(pod: JSON, volume: JSON, path: str, facts: Facts, notices: list[Notice]) -> Files:
    projected = volume["projected"]
    mode = _mode(projected, "defaultMode", _DEFAULT_MODE)
    files: dict[str, File] = {}
    secret = False
    for index, source in enumerate(projected.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        if "configMap" in source:
            found = _config_map(source["configMap"], mode, facts, notices)
        elif "secret" in source:
            found = _secret(source["secret"], mode, facts, notices)
            secret = True
        elif "downwardAPI" in source:
            found = _downward(pod, source["downwardAPI"], f"{at}.downwardAPI", mode, facts)
        elif "serviceAccountToken" in source:
            request = token_request(volume["name"], source["serviceAccountToken"])
            found = (File(request.path, facts.tokens[request].encode(), _token_mode(pod, mode)),)
            secret = True
        else:
            kind = next(iter(source), "")
            raise Rejected(
                "UnsupportedVolumeSource",
                f"a projection of {kind or 'nothing'} is not supported",
                field=f"{at}.{kind}" if kind else at,
            )
        for file in found:  # a later source wins where two name the same path
            files[file.path] = file
    return Files(tuple(files.values()), secret=secret)


def _token_mode(pod: JSON, mode: int) -> int:
    """Kubelets write tokens 0600, or 0640 with fsGroup, unless containers run as several users, when
    they stay at the volume's mode so that each can read them."""
    context = pod["spec"].get("securityContext") or {}
    if context.get("fsGroup") is not None:
        return 0o640
    return mode


def _config_map(source: JSON, mode: int, facts: Facts, notices: list[Notice]) -> tuple[File, ...]:
    name = source.get("name") or ""
    found = facts.config_maps.get(name)
    data: dict[str, bytes] | None = None
    if found is not None:
        data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
        data |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return _keys("ConfigMap", name, data, source, mode, notices)


def _secret(source: JSON, mode: int, facts: Facts, notices: list[Notice]) -> tuple[File, ...]:
    name = source.get("name") or ""
    found = facts.secrets.get(name)
    data = None if found is None else secret_data(found)
    return _keys("Secret", name, data, source, mode, notices)


def secret_data(secret: JSON) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def _keys(
    kind: str, name: str, data: Mapping[str, bytes] | None, source: JSON, mode: int, notices: list[Notice]
) -> tuple[File, ...]:
    optional = bool(source.get("optional"))
    if data is None:
        notice = missing(kind, name, optional=optional)
        if not optional:
            raise Unresolved(notice)
        notices.append(notice)
        return ()
    items = source.get("items")
    if not items:
        return tuple(File(key, data[key], mode) for key in sorted(data))
    files = []
    for item in items:
        key = item["key"]
        if key not in data:
            notice = missing(kind, name, optional=optional, key=key)
            if not optional:
                raise Unresolved(notice)
            notices.append(notice)
            continue
        files.append(File(item["path"], data[key], _mode(item, "mode", mode)))
    return tuple(files)


def _downward(pod: JSON, source: JSON, path: str, mode: int, facts: Facts) -> tuple[File, ...]:
    files = []
    for index, item in enumerate(source.get("items") or ()):
        if "fieldRef" in item:
            where = f"{path}.items[{index}].fieldRef.fieldPath"
            text = field_value(pod, item["fieldRef"]["fieldPath"], facts, where)
        else:
            text = resource_value(pod, {}, item["resourceFieldRef"], facts)
        files.append(File(item["path"], text.encode(), _mode(item, "mode", mode)))
    return tuple(files)


def _external_secrets(volume: JSON, facts: Facts) -> dict[str, dict[str, bytes]]:
    secrets = {}
    for name in secrets_of(volume):
        found = facts.secrets.get(name)
        if found is None:
            raise Unresolved(missing("Secret", name, optional=False))
        secrets[name] = secret_data(found)
    return secrets
