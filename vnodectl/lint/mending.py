"""Taking what a translator rejected out of a copy of a pod, so that it goes on to the next thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vnodectl.lint.model import JSON, Step, Steps
from vnodectl.lint.paths import deepest, look, parse

_GPUS = ("nvidia.com/gpu", "aliyun.com/gpu")
_PROBES = frozenset({"livenessProbe", "readinessProbe", "startupProbe"})
_NEUTRAL = {"exec": {"command": ["true"]}}
_ANNOTATIONS = (
    *("InvalidAnnotation", "UnsupportedAnnotation", "TooManyTags", "SpotLimit", "NoKubeProxy"),
    "WindowsLimit",
)
"""Reasons that may be at an annotation."""

_KINDS = ("initContainers", "containers")


def mend(pod: JSON, reason: str, field: str) -> bool:
    """Change `pod` so that it is not rejected for this again; False where there is no way to."""
    before = repr(pod)
    steps = parse(field)
    special = _BY_REASON.get(reason)
    if special is None or not special(pod, steps):
        _plain(pod, steps)
    return repr(pod) != before


def _plain(pod: JSON, steps: Steps) -> None:
    """By the place: a volume becomes an empty directory, a probe one that always passes, else it goes."""
    spec = pod["spec"]
    if steps[:2] == ("spec", "volumes") and len(steps) > 2 and isinstance(steps[2], int):
        _empty(spec, steps[2])
    elif steps[:2] in {("spec", "containers"), ("spec", "initContainers")} and len(steps) == 2:
        (spec.get(steps[1]) or [None]).pop()
    elif steps[:2] == ("spec", "dnsConfig"):
        spec.pop("dnsConfig", None)
        spec["dnsPolicy"] = "Default"
    elif any(step in _PROBES for step in steps):
        _calm(pod, steps)
    else:
        there = deepest(pod, steps)
        if len(there) >= len(steps) - 1:  # else what is at fault is not in the pod at all
            _remove(pod, there)


def _empty(spec: JSON, index: int) -> None:
    """An empty directory instead; where even that is rejected, nothing mounts it."""
    volume = spec["volumes"][index]
    if "emptyDir" in volume and len(volume) == 2 and not volume["emptyDir"]:
        _unmount(spec, volume["name"])
        return
    name = volume["name"]
    volume.clear()
    volume.update({"name": name, "emptyDir": {}})


def _unmount(spec: JSON, name: str) -> None:
    for kind in _KINDS:
        for container in spec.get(kind) or ():
            mounts = container.get("volumeMounts") or []
            container["volumeMounts"] = [one for one in mounts if one.get("name") != name]


def _calm(pod: JSON, steps: Steps) -> None:
    """What is wrong in a probe goes; where it is the probe's action, another takes its place."""
    at = next(index for index, step in enumerate(steps) if step in _PROBES) + 1
    container, name = look(pod, steps[: at - 1]), steps[at - 1]
    inner = steps[at:]
    if steps[1] == "initContainers" or (name == "startupProbe" and not inner):
        container.pop(name)
    elif len(inner) > 1 and inner[-1] != "port":
        _remove(pod, deepest(pod, steps))
    else:
        container[name] = dict(_NEUTRAL)


def _remove(pod: JSON, steps: Steps) -> None:
    if len(steps) < 2:  # neither the whole spec nor nothing
        return
    parent: Any = look(pod, steps[:-1])
    last: Step = steps[-1]
    if isinstance(parent, dict):
        parent.pop(last)
    else:
        del parent[last]


# --- by the reason --------------------------------------------------------------------------------


def _without_gpu(pod: JSON, _: Steps) -> bool:
    for container in _containers(pod):
        for amounts in (container.get("resources") or {}).values():
            for name in _GPUS:
                if isinstance(amounts, dict):
                    amounts.pop(name, None)
    return True


def _unsized(pod: JSON, _: Steps) -> bool:
    for container in _containers(pod):
        container.pop("resources", None)
    return True


def _amount(pod: JSON, steps: Steps) -> bool:
    """ECI names `resources.cpu` for what may be a request or a limit."""
    if "resources" not in steps:
        return False
    resources = look(pod, steps[: steps.index("resources") + 1]) or {}
    for kind in ("requests", "limits"):
        (resources.get(kind) or {}).pop(steps[-1], None)
    return True


def _fewer_ports(pod: JSON, _: Steps) -> bool:
    for container in reversed(pod["spec"]["containers"]):
        if container.get("ports"):
            container["ports"] = container["ports"][:-1]
            return True
    return False


def _fewer_volumes(pod: JSON, _: Steps) -> bool:
    mounted = {one["name"] for container in _containers(pod) for one in container.get("volumeMounts") or ()}
    last = next((one for one in reversed(pod["spec"]["volumes"]) if one["name"] in mounted), None)
    if last is not None:
        _unmount(pod["spec"], last["name"])
    return last is not None


def _commanded(pod: JSON, steps: Steps) -> bool:
    """The container gets a command; where the pod itself asks for one, each has one."""
    one = look(pod, steps[:3]) if steps[1] in _KINDS else None
    for container in [one] if isinstance(one, dict) else _containers(pod):
        container.setdefault("command", ["true"])
    return True


def _annotation(pod: JSON, steps: Steps) -> bool:
    """One that is named; where it is missing, those that ask for it: they begin alike."""
    if steps[:2] != ("metadata", "annotations"):
        return False
    annotations = pod["metadata"].get("annotations") or {}
    name = str(steps[-1])
    if name in annotations:
        del annotations[name]
    else:
        for key in _kin(annotations, name):
            del annotations[key]
    return True


def _kin(annotations: JSON, name: str) -> list[str]:
    """Those whose names begin like `name`, as far as any does."""
    for length in range(len(name) - 1, name.find("/"), -1):
        found = [key for key in annotations if key.startswith(name[:length])]
        if found and name[length - 1] in "-/":
            return found
    return []


def _containers(pod: JSON) -> list[JSON]:
    return [one for kind in _KINDS for one in pod["spec"].get(kind) or ()]


_BY_REASON: Mapping[str, Callable[[JSON, Steps], bool]] = {
    "GpuSkuUnknown": _without_gpu,
    "GpuTypeUnknown": _without_gpu,
    "ArgsWithoutCommand": _commanded,
    "EntrypointUnknown": _commanded,
    "NoCommand": _commanded,
    **dict.fromkeys(_ANNOTATIONS, _annotation),
    "TooLarge": _unsized,
    "InvalidQuantity": _amount,
    "TooManyPorts": _fewer_ports,
    "TooManyVolumes": _fewer_volumes,
}
