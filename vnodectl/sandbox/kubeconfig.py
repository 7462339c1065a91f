"""Kubeconfig files: writing our own, and copying one context of somebody else's."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vnodectl.errors import UsageError
from vnodectl.sandbox.pki import Pair, write_private

_FILES = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}


def write(path: Path, *, name: str, server: str, authority: Path, client: Pair) -> None:
    """A kubeconfig of one context, with everything it needs inside; only its owner may read it."""
    cluster = {"server": server, "certificate-authority-data": _encoded(authority)}
    user = {
        "client-certificate-data": _encoded(client.certificate),
        "client-key-data": _encoded(client.key),
    }
    _write(path, name, cluster, user, {})


def copy_context(source: Path, context: str | None, target: Path) -> str:
    """Write one context of `source` to `target`, referenced files taken in; gives its server's URL.

    Raises UsageError where the file cannot be read or has no such context.
    """
    try:
        content = yaml.safe_load(source.read_text()) or {}
        name = context or content["current-context"]
        chosen = dict(_entry(content, "contexts", name)["context"])
        cluster = _inlined(_entry(content, "clusters", chosen.pop("cluster"))["cluster"], source.parent)
        user = _inlined(_entry(content, "users", chosen.pop("user"))["user"], source.parent)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"kubeconfig {source}: {type(error).__name__}: {error}",
            hint=f"list its contexts: kubectl config get-contexts --kubeconfig {source}",
        ) from error
    _write(target, name, cluster, user, chosen)
    return str(cluster["server"])


def _entry(content: Mapping[str, Any], kind: str, name: str) -> dict[str, Any]:
    for entry in content.get(kind) or ():
        if entry["name"] == name:
            return dict(entry)
    raise KeyError(f"{kind[:-1]} {name}")


def _inlined(entry: Mapping[str, Any], base: Path) -> dict[str, Any]:
    result = dict(entry)
    for by_path, by_value in _FILES.items():
        if named := result.pop(by_path, None):
            result.setdefault(by_value, _encoded(base / named))
    if named := result.pop("tokenFile", None):
        result["tokenFile"] = str(base / named)
    return result


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write(
    path: Path, name: str, cluster: Mapping[str, Any], user: Mapping[str, Any], context: Mapping[str, Any]
) -> None:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": dict(cluster)}],
        "users": [{"name": name, "user": dict(user)}],
        "contexts": [{"name": name, "context": {**context, "cluster": name, "user": name}}],
    }
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())
