"""The sizes that ECI sells, and how a request is rounded up to one. Pure.

From "Specify the number of vCPUs and memory size to create an elastic container instance" (2025-01-14).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vnodectl.emulator.alibaba.config import InstanceType
from vnodectl.emulator.alibaba.errors import ApiError, invalid_parameter
from vnodectl.emulator.alibaba.params import Params

MOST_SPECS = 5
_PAIR = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)Gi")
DEFAULT = (2.0, 4.0)
"""What a group gets that says nothing, in vCPUs and GiB."""

_EVERYWHERE: Mapping[float, tuple[float, ...]] = {
    0.25: (0.5, 1),
    0.5: (1, 2),
    1: (2, 4, 8),
    2: (1, 2, 4, 8, 16),
    4: (2, 4, 8, 16, 32),
    8: (4, 8, 16, 32, 64),
    12: (12, 24, 48, 96),
    16: (16, 32, 64, 128),
    24: (24, 48, 96, 192),
    32: (32, 64, 128, 256),
    52: (96, 192, 384),
    64: (128, 256, 512),
}
_IN_SOME: Mapping[float, range] = {
    2: range(6, 16, 2),
    4: range(6, 32, 2),
    6: range(6, 50, 2),
    8: range(10, 64, 2),
}
REGIONS_OF_MORE = frozenset(
    (
        "cn-hangzhou",
        "cn-shanghai",
        "cn-qingdao",
        "cn-beijing",
        "cn-zhangjiakou",
        "cn-huhehaote",
        "cn-wulanchabu",
        "cn-shenzhen",
        "cn-heyuan",
        "cn-guangzhou",
        "cn-chengdu",
        "ap-southeast-1",
    )
)
"""Where the finer steps of 2 to 8 vCPUs are sold too, though not as spot groups."""

IGNORE = "__ECI_RESOURCE_IGNORE__"
"""A container with this variable set to TRUE does not count."""


@dataclass(frozen=True, slots=True)
class Size:
    """In vCPUs and GiB; `type` where an ECS instance type was asked for."""

    cpu: float
    memory: float
    type: str = ""


def sizes_of(params: Params, region: str, types: Mapping[str, InstanceType]) -> list[Size]:
    """What a group may be given, in the order it is to be tried. Raises ApiError where nothing that is sold
    fits."""
    needed = _needed(params)
    finer = region in REGIONS_OF_MORE and params.text("SpotStrategy") in ("", "NoSpot")
    wanted = [name.strip() for name in params.text("InstanceType").split(",") if name.strip()]
    if len(wanted) > MOST_SPECS:
        raise invalid_parameter("InstanceType", f"must not name more than {MOST_SPECS} specifications")
    if wanted:
        known = [one for one in (_named(name, types, finer=finer) for name in wanted) if one is not None]
        if not known:
            raise ApiError(
                400,
                "InvalidInstanceTypeForEciBuy",
                "Sales of this current instance type is not supported in eci.",
            )
        fitting = [one for one in known if needed[0] <= one.cpu and needed[1] <= one.memory]
        if not fitting:
            raise _not_allowed()
        return fitting
    asked = params.number("Cpu", least=0), params.number("Memory", least=0)
    if any(asked):
        if (asked[0] and needed[0] > asked[0]) or (asked[1] and needed[1] > asked[1]):
            raise _not_allowed()
        needed = asked
    if not any(needed):
        return [Size(*DEFAULT)]
    return [Size(*rounded(*needed, finer=finer))]


def _named(name: str, types: Mapping[str, InstanceType], *, finer: bool) -> Size | None:
    """An ECS instance type, or vCPUs and memory as in 2-4Gi; None for one that is not sold."""
    if name in types:
        return Size(types[name].cpu, types[name].memory, name)
    match = _PAIR.fullmatch(name)
    if match is None:
        return None
    asked = float(match[1]), float(match[2])
    try:
        found = rounded(*asked, finer=finer)
    except ApiError:
        return None
    return Size(*found) if found == asked else None


def rounded(cpu: float, memory: float, *, finer: bool) -> tuple[float, float]:
    """The smallest that is sold and has as many vCPUs and as much memory. Raises ApiError."""
    sold = [(one, size) for one, sizes in _EVERYWHERE.items() for size in sizes]
    if finer:
        sold += [(one, float(size)) for one, sizes in _IN_SOME.items() for size in sizes]
    for size in sorted(sold):
        if size[0] >= cpu and size[1] >= memory:
            return float(size[0]), float(size[1])
    raise _not_allowed()


def _needed(params: Params) -> tuple[float, float]:
    """All containers together, or the largest init container where that is more."""
    sums, largest = [0.0, 0.0], [0.0, 0.0]
    for container in params.items("Container"):
        variables = {one.text("Key"): one.text("Value") for one in container.items("EnvironmentVar")}
        if variables.get(IGNORE, "").upper() != "TRUE":
            for index, name in enumerate(("Cpu", "Memory")):
                sums[index] += container.number(name, least=0)
    for container in params.items("InitContainer"):
        for index, name in enumerate(("Cpu", "Memory")):
            largest[index] = max(largest[index], container.number(name, least=0))
    return max(sums[0], largest[0]), max(sums[1], largest[1])


def _not_allowed() -> ApiError:
    return ApiError(400, "InvalidParameter.CPU.Memory", "The specified cpu and memory are not allowed")
