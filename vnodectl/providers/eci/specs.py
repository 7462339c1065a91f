"""What ECI sells: pairs of vCPU and memory, and ECS instance types.

The tables are those of "Specify the number of vCPUs and memory size to create an elastic container
instance" and "Create a preemptible elastic container instance". What a pod asks for is rounded up to the
next pair: first to the fewest vCPUs that have enough memory, then to the least memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from vnodectl.providers.eci.annotations import USE_SPECS, rejected
from vnodectl.runtime import quantity
from vnodectl.runtime.provider import JSON, EnvVar, Rejected

GIB = Decimal(2) ** 30
SPECS_MAX = 5
FREE_STORAGE = 30
"""GiB of ephemeral storage that every group has."""

IGNORE = "__ECI_RESOURCE_IGNORE__"
"""An environment variable: TRUE leaves its container out of the sum ("Ignore specific containers")."""

_Table = Mapping[str, Sequence[str]]

EVERYWHERE: _Table = {
    "0.25": ("0.5", "1"),
    "0.5": ("1", "2"),
    "1": ("2", "4", "8"),
    "2": ("1", "2", "4", "8", "16"),
    "4": ("2", "4", "8", "16", "32"),
    "8": ("4", "8", "16", "32", "64"),
    "12": ("12", "24", "48", "96"),
    "16": ("16", "32", "64", "128"),
    "24": ("24", "48", "96", "192"),
    "32": ("32", "64", "128", "256"),
    "52": ("96", "192", "384"),
    "64": ("128", "256", "512"),
}
SOME_REGIONS: _Table = {
    "2": ("6", "10", "12", "14"),
    "4": tuple(str(gib) for gib in (6, 10, 12, 14, 18, 20, 22, 24, 26, 28, 30)),
    "6": tuple(str(gib) for gib in range(6, 50, 2)),
    "8": tuple(str(gib) for gib in (*range(10, 16, 2), *range(18, 32, 2), *range(34, 64, 2))),
}
"""Besides; not for preemptible instances."""

REGIONS = frozenset(
    {
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
    }
)
"""Where SOME_REGIONS can be had."""

PREEMPTIBLE: _Table = {
    "2": ("2", "4", "8", "16"),
    "4": ("4", "8", "16", "32"),
    "8": ("8", "16", "32", "64"),
    "12": ("12", "24", "48", "96"),
    "16": ("16", "32", "64", "128"),
    "24": ("24", "48", "96", "192"),
    "32": ("32", "64", "128", "256"),
    "52": ("96", "192", "384"),
    "64": ("128", "256", "512"),
}

_SPEC = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)Gi")
_TYPE = re.compile(r"ecs\.[a-z0-9.-]+")
_KNOWN = ("cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "hugepages-1Gi")
GPU_RESOURCES = ("nvidia.com/gpu", "aliyun.com/gpu")


@dataclass(frozen=True, slots=True, order=True)
class Spec:
    """`cpu` in vCPU, `memory` in GiB."""

    cpu: Decimal
    memory: Decimal

    def __str__(self) -> str:
        return f"{self.cpu.normalize():f}-{self.memory.normalize():f}Gi"


DEFAULT = Spec(Decimal(2), Decimal(4))
"""What a pod gets that asks for nothing."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one container has: limits that hold for it alone (None: as much as there is), and its GPUs."""

    cpu_limit: Decimal | None
    memory_limit: Decimal | None
    gpu: int

    def parameters(self) -> JSON:
        body: JSON = {}
        if self.cpu_limit is not None:
            body["Cpu"] = f"{self.cpu_limit.normalize():f}"
        if self.memory_limit is not None:
            body["Memory"] = f"{(self.memory_limit / GIB).normalize():f}"
        if self.gpu:
            body["Gpu"] = self.gpu
        return body


def pairs(region: str, *, preemptible: bool) -> list[Spec]:
    """Every pair that can be had there, the smallest first."""
    tables = [PREEMPTIBLE] if preemptible else [EVERYWHERE]
    if region in REGIONS and not preemptible:
        tables.append(SOME_REGIONS)
    return sorted(
        {
            Spec(Decimal(cpu), Decimal(memory))
            for table in tables
            for cpu, memories in table.items()
            for memory in memories
        }
    )


def round_up(wanted: Spec, region: str, *, preemptible: bool) -> Spec | None:
    """The next pair that has it all; None where ECI sells nothing that large."""
    for pair in pairs(region, preemptible=preemptible):
        if pair.cpu >= wanted.cpu and pair.memory >= wanted.memory:
            return pair
    return None


def instance_types(value: str) -> list[str]:
    """The specifications of `eci-use-specs`, in the order they are to be tried."""
    found = [part.strip() for part in value.split(",") if part.strip()]
    if not found or len(found) > SPECS_MAX:
        raise rejected(USE_SPECS, f"1 to {SPECS_MAX} specifications can be given, not {len(found)}")
    for part in found:
        if not _SPEC.fullmatch(part) and not _TYPE.fullmatch(part):
            raise rejected(
                USE_SPECS, f"{part!r} is neither vCPU-memory, as in 2-4Gi, nor an ECS instance type"
            )
    return found


def needs(containers: Sequence[JSON], path: str) -> list[Need]:
    """What each container has. Raises Rejected for a resource that ECI does not have."""
    return [_need(container, f"{path}[{index}]") for index, container in enumerate(containers)]


def total(
    containers: Sequence[JSON], init_containers: Sequence[JSON], env: Mapping[str, Sequence[EnvVar]]
) -> Spec:
    """What the group must have: the containers together, or the largest init container.

    A container counts with its limits, or with its requests where it has none, as the add-on counts.
    """
    together = [
        _amounts(container, f"spec.containers[{index}]")
        for index, container in enumerate(containers)
        if not _ignored(env.get(container["name"], ()))
    ]
    cpu = sum((one[0] for one in together), Decimal(0))
    memory = sum((one[1] for one in together), Decimal(0))
    for index, container in enumerate(init_containers):
        init_cpu, init_memory = _amounts(container, f"spec.initContainers[{index}]")
        cpu, memory = max(cpu, init_cpu), max(memory, init_memory)
    return Spec(cpu, memory / GIB)


def extra_storage(containers: Sequence[JSON], init_containers: Sequence[JSON]) -> int:
    """GiB of ephemeral storage besides what every group has, for what the containers ask for together, or the
    largest init container."""
    name = "ephemeral-storage"
    together = sum(
        (_of(one, name, f"spec.containers[{index}]") for index, one in enumerate(containers)), Decimal(0)
    )
    inits = (_of(one, name, f"spec.initContainers[{index}]") for index, one in enumerate(init_containers))
    wanted = max([together, *inits]) / GIB - FREE_STORAGE
    return max(0, int(wanted.to_integral_value(rounding=ROUND_CEILING)))


def size(wanted: Spec, region: str, *, preemptible: bool) -> Spec:
    """The pair that the group gets. Raises Rejected where ECI sells nothing that large."""
    if wanted.cpu == 0 and wanted.memory == 0:
        return DEFAULT
    found = round_up(wanted, region, preemptible=preemptible)
    if found is None:
        raise Rejected(
            "TooLarge",
            f"ECI has no specification with {wanted.cpu.normalize():f} vCPU and "
            f"{wanted.memory.normalize():f} GiB; the largest is {pairs(region, preemptible=preemptible)[-1]}",
            field="spec.containers[*].resources",
        )
    return found


def _need(container: JSON, path: str) -> Need:
    section = container.get("resources") or {}
    limits = section.get("limits") or {}
    for kind in ("requests", "limits"):
        for name in section.get(kind) or ():
            if name not in _KNOWN and name not in GPU_RESOURCES:
                raise Rejected(
                    "UnsupportedResource",
                    f"Elastic Container Instance has no resource {name}",
                    field=f"{path}.resources.{kind}[{name}]",
                )
            _amount(section[kind], name, f"{path}.resources.{kind}.{name}")
    gpu = sum((_amount(limits, name, f"{path}.resources.limits") for name in GPU_RESOURCES), Decimal(0))
    return Need(
        cpu_limit=_amount(limits, "cpu", f"{path}.resources.limits") or None,
        memory_limit=_amount(limits, "memory", f"{path}.resources.limits") or None,
        gpu=int(gpu),
    )


def _amounts(container: JSON, path: str) -> tuple[Decimal, Decimal]:
    """(vCPU, bytes)."""
    return _of(container, "cpu", path), _of(container, "memory", path)


def _of(container: JSON, name: str, path: str) -> Decimal:
    """The limit, or the request where there is none."""
    section = container.get("resources") or {}
    both = {**(section.get("requests") or {}), **(section.get("limits") or {})}
    return _amount(both, name, f"{path}.resources.{name}")


def _amount(values: JSON, name: str, path: str) -> Decimal:
    if name not in values:
        return Decimal(0)
    try:
        return max(Decimal(0), quantity.parse(values[name]))
    except ValueError as error:
        raise Rejected("InvalidQuantity", str(error), field=path) from error


def _ignored(env: Sequence[EnvVar]) -> bool:
    return any(one.name == IGNORE and one.value.upper() == "TRUE" for one in env)
