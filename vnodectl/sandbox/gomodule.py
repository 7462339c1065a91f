"""The Go module of a control plane of any Kubernetes version, made from that version's own go.mod. Pure.

k8s.io/kubernetes is not meant to be required by others: it names its staging modules (k8s.io/api, …) at
v0.0.0 and replaces them by directories of its own repository. Each is also published, at
v0.<minor>.<patch>, so the module that requires it has to say that again. Its examples (k8s.io/sample-*) are
part of no program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MODULE = "vnodectl.dev/sandbox/controlplane"
KUBERNETES_MODULE = "k8s.io/kubernetes"
_ETCD_CLIENT, _ETCD_SERVER = "go.etcd.io/etcd/client/v3", "go.etcd.io/etcd/server/v3"
_BLOCK = re.compile(r"^(\w+)(?: \((?P<block>[^)]*)\)| (?P<line>[^(\n]+))$", re.MULTILINE)
_COMMENT = re.compile(r"\s*//.*")


UNUSED = "unused"
"""A directory with an empty module for each example."""


def published_as(version: str) -> str:
    """The version of the staging modules of Kubernetes `version`: v0.31.14 for v1.31.14."""
    return "v0." + version.removeprefix("v1.")


def staging(upstream: str) -> list[str]:
    """The staging modules that programs are made of. Raises ValueError where it is not Kubernetes' go.mod."""
    found = _staging(_statements(upstream))
    if not found:
        raise ValueError("not the go.mod of Kubernetes")
    return [name for name in found if not _is_example(name)]


def examples(upstream: str) -> list[str]:
    """The names of the directories in `UNUSED`."""
    return [name.removeprefix("k8s.io/") for name in _staging(_statements(upstream)) if _is_example(name)]


def go_mod(version: str, upstream: str, published: Mapping[str, str]) -> str:
    """The go.mod for Kubernetes `version` (v1.31.14), whose own one is `upstream`.

    `published` has a version for each of `staging`. All other dependencies are those that it was released
    with; etcd's server is that of its client.
    """
    statements = _statements(upstream)
    required = dict(line.split()[:2] for line in statements.get("require", ()))
    staging = _staging(statements)
    pinned = {name: text for name, text in required.items() if name not in staging}
    pinned[_ETCD_SERVER] = required[_ETCD_CLIENT]
    pinned[KUBERNETES_MODULE] = version
    lines = [f"module {MODULE}", "", f"go {statements['go'][0]}", ""]
    if "godebug" in statements:  # how Go's libraries behave is decided by the main module
        lines += ["godebug (", *(f"\t{line}" for line in statements["godebug"]), ")", ""]
    lines += ["require (", *(f"\t{name} {text}" for name, text in sorted(pinned.items()))]
    lines += [*(f"\t{name} v0.0.0" for name in staging), ")", "", "replace ("]
    lines += [f"\t{name} => {_replacement(name, published)}" for name in staging]
    others = [one for one in _replacements(statements) if one[0] not in staging]
    lines += [*(f"\t{name}{at} => {target}" for name, at, target in others), ")", ""]
    return "\n".join(lines)


def _staging(statements: dict[str, list[str]]) -> list[str]:
    return sorted(name for name, _, target in _replacements(statements) if target.startswith("./staging/"))


def _replacement(name: str, published: Mapping[str, str]) -> str:
    if _is_example(name):
        return f"./{UNUSED}/{name.removeprefix('k8s.io/')}"
    return f"{name} {published[name]}"


def _is_example(name: str) -> bool:
    return name.startswith("k8s.io/sample-")


def _statements(text: str) -> dict[str, list[str]]:
    """The lines of each kind of statement, without comments."""
    found: dict[str, list[str]] = {}
    for match in _BLOCK.finditer(text):
        for line in (match["block"] or match["line"]).splitlines():
            if stripped := _COMMENT.sub("", line).strip():
                found.setdefault(match[1], []).append(stripped)
    return found


def _replacements(statements: dict[str, list[str]]) -> list[tuple[str, str, str]]:
    """What is replaced, at which version (with a space before it, or ""), and by what."""
    found = []
    for line in statements.get("replace", ()):
        old, _, new = line.partition(" => ")
        name, _, version = old.partition(" ")
        found.append((name, f" {version}" if version else "", new))
    return found
