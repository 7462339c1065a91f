"""Requests and limits: from Kubernetes quantities to what ACI accepts, rounded up.

ACI takes cores in hundredths and memory in tenths of a GB; a group needs at least one core and 1 GB, one
container may have less ("Resource allocation" of ACI's container group documentation). A limit may
exceed the container's own request, but not what the group has in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from vnodectl.providers.aci.annotations import GPU, PREFIX
from vnodectl.runtime import quantity
from vnodectl.runtime.provider import JSON, Rejected

DEFAULT_CPU = Decimal(1)
DEFAULT_MEMORY = Decimal("1.5")
GROUP_MIN_CPU = Decimal(1)
GROUP_MIN_MEMORY = Decimal(1)
GPU_RESOURCES = ("nvidia.com/gpu",)

_CPU_STEP = Decimal("0.01")
_MEMORY_STEP = Decimal("0.1")
# A GB is taken as 10^9 bytes: if ACI means 2^30, a container only gets more than it asked for.
_GB = Decimal(10) ** 9
_IGNORED = ("ephemeral-storage", "hugepages-2Mi", "hugepages-1Gi")


@dataclass(frozen=True, slots=True)
class _Wanted:
    cpu: Decimal
    memory: Decimal
    cpu_limit: Decimal | None
    memory_limit: Decimal | None
    gpu: int


def resources(containers: Sequence[JSON], gpu_sku: str) -> list[JSON]:
    """`properties.resources` of each container, in order. `gpu_sku` is e.g. V100, or "" for none.

    Raises Rejected for a quantity that is none and for an extended resource that ACI does not have.
    """
    wanted = [_wanted(container, f"spec.containers[{index}]") for index, container in enumerate(containers)]
    if not wanted:
        return []
    cpu = [one.cpu for one in wanted]
    memory = [one.memory for one in wanted]
    cpu[0] += max(Decimal(0), GROUP_MIN_CPU - sum(cpu))
    memory[0] += max(Decimal(0), GROUP_MIN_MEMORY - sum(memory))
    total_cpu, total_memory = sum(cpu, Decimal(0)), sum(memory, Decimal(0))
    bodies: list[JSON] = []
    for index, one in enumerate(wanted):
        requests: JSON = {"cpu": _number(cpu[index]), "memoryInGB": _number(memory[index])}
        limits: JSON = {}
        if one.cpu_limit is not None:
            limits["cpu"] = _number(max(cpu[index], min(one.cpu_limit, total_cpu)))
        if one.memory_limit is not None:
            limits["memoryInGB"] = _number(max(memory[index], min(one.memory_limit, total_memory)))
        if one.gpu:
            if not gpu_sku:
                raise Rejected(
                    "GpuSkuUnknown",
                    f"a GPU needs a SKU: annotate the pod with {PREFIX}{GPU.name}",
                    field=f"spec.containers[{index}].resources.limits",
                )
            requests["gpu"] = {"count": one.gpu, "sku": gpu_sku}
        body: JSON = {"requests": requests}
        if limits:
            body["limits"] = limits
        bodies.append(body)
    return bodies


def _wanted(container: JSON, path: str) -> _Wanted:
    section = container.get("resources") or {}
    requests, limits = section.get("requests") or {}, section.get("limits") or {}
    for kind, values in (("requests", requests), ("limits", limits)):
        for name in values:
            if name not in {"cpu", "memory", *GPU_RESOURCES, *_IGNORED}:
                raise Rejected(
                    "UnsupportedResource",
                    f"Azure Container Instances has no resource {name}",
                    field=f"{path}.resources.{kind}[{name}]",
                )
    cpu_limit = _amount(limits, "cpu", _CPU_STEP, Decimal(1), f"{path}.resources.limits")
    memory_limit = _amount(limits, "memory", _MEMORY_STEP, _GB, f"{path}.resources.limits")
    cpu = _amount(requests, "cpu", _CPU_STEP, Decimal(1), f"{path}.resources.requests")
    memory = _amount(requests, "memory", _MEMORY_STEP, _GB, f"{path}.resources.requests")
    gpu = Decimal(0)
    for name in GPU_RESOURCES:
        gpu += _amount(limits, name, Decimal(1), Decimal(1), f"{path}.resources.limits") or Decimal(0)
    return _Wanted(
        # As in Kubernetes, a limit without a request is the request.
        cpu=cpu if cpu is not None else cpu_limit if cpu_limit is not None else DEFAULT_CPU,
        memory=memory if memory is not None else memory_limit if memory_limit is not None else DEFAULT_MEMORY,
        cpu_limit=cpu_limit,
        memory_limit=memory_limit,
        gpu=int(gpu),
    )


def _amount(values: JSON, name: str, step: Decimal, unit: Decimal, path: str) -> Decimal | None:
    """The value in `unit`s, rounded up to a whole `step`; None where absent or zero."""
    if name not in values:
        return None
    try:
        amount = quantity.parse(values[name]) / unit
    except ValueError as error:
        raise Rejected("InvalidQuantity", str(error), field=f"{path}.{name}") from error
    if amount <= 0:
        return None
    return (amount / step).to_integral_value(rounding=ROUND_CEILING) * step


def _number(value: Decimal) -> float | int:
    return int(value) if value == value.to_integral_value() else float(value)
