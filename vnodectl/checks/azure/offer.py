"""Where container groups go: the resource group, the region, what it sells and what is left of it."""

from __future__ import annotations

from typing import Any

from vnodectl.checks.azure.account import PROVIDER
from vnodectl.checks.azure.forgiving import forgiving
from vnodectl.checks.azure.ids import properties
from vnodectl.checks.context import CONTAINER_INSTANCE_API, Context
from vnodectl.checks.model import Answer, Check, Resource, failed, not_applicable, passed, warned
from vnodectl.checks.readers import JSON
from vnodectl.clouds.azure import AzureNotFound

_LOW = 0.9
"""Share of a quota from which on it is worth a warning."""


async def resource_group(context: Context) -> Answer:
    name = context.target.resource_group
    if not name:
        return not_applicable("no resource group is named (--aci-resource-group)")
    try:
        body = await context.azure_facts.resource_group()
    except AzureNotFound as error:
        place = context.target.region or "<region>"
        return failed(
            f"there is no resource group {name}",
            evidence=error.message,
            fix=f"az group create -n {name} -l {place}",
        )
    state = str(properties(body).get("provisioningState") or "Succeeded")
    location = str(body.get("location") or "")
    if state == "Deleting":
        return failed(
            "the resource group is being deleted",
            evidence=f"{name} in {location}",
            fix=f"az group create -n <another name> -l {location}",
        )
    return passed(f"{name} in {location}")


async def region(context: Context) -> Answer:
    wanted = context.target.region
    if not wanted:
        return not_applicable("no region is named (-l)")
    kinds = (await context.azure_facts.provider(PROVIDER)).get("resourceTypes") or []
    offered = sorted(
        {
            place.replace(" ", "").lower()
            for kind in kinds
            if str(kind.get("resourceType") or "").lower() == "containergroups"
            for place in kind.get("locations") or ()
        }
    )
    if not offered:
        return not_applicable("the provider does not say which regions it is in")
    if wanted not in offered:
        shown = ", ".join(offered[:12]) + (" …" if len(offered) > 12 else "")
        return failed(
            f"{wanted} has no Azure Container Instances",
            evidence=f"offered in {len(offered)} regions: {shown}",
            fix="choose one of them with -l/--location",
        )
    return passed(f"{wanted} is one of {len(offered)} regions with container groups")


async def capabilities(context: Context) -> Answer:
    """What the region sells, from the service itself (Location_ListCapabilities)."""
    target = context.target
    if not target.region:
        return not_applicable("no region is named (-l)")
    place = f"{context.azure.subscription}/providers/{PROVIDER}/locations/{target.region}"
    offers = await context.azure.pages(f"{place}/capabilities", CONTAINER_INSTANCE_API)
    network = "private" if target.subnet_id else "public"
    said: list[str] = []
    for system in target.os_types or ("Linux",):
        of_system = [one for one in offers if _is(one, "osType", system)]
        usable = [one for one in of_system if _is(one, "ipAddressType", network)] or of_system
        if not usable:
            return failed(
                f"{target.region} sells no {system} container groups",
                evidence=f"{len(offers)} offers, none for {system}",
                fix="choose another region with -l/--location",
            )
        plain = [one for one in usable if str(one.get("gpu") or "None").lower() == "none"]
        sizes = [_size(one) for one in plain]
        if not sizes:
            return failed(
                f"{target.region} sells no {system} container groups without GPU",
                evidence=f"{len(usable)} offers for {system}",
                fix="choose another region with -l/--location",
            )
        cpu, memory = max(one[0] for one in sizes), max(one[1] for one in sizes)
        said.append(f"{system}: up to {cpu:g} CPU and {memory:g} GB")
        if target.cpu > cpu or target.memory > memory:
            return failed(
                f"{target.region} sells no {system} group of {target.cpu:g} CPU and {target.memory:g} GB",
                evidence=said[-1],
                fix="ask for less, or choose another region with -l/--location",
            )
        if target.gpu and not any(_is(one, "gpu", target.gpu) for one in usable):
            kinds = sorted({str(one.get("gpu")) for one in usable} - {"None"})
            return failed(
                f"{target.region} sells no {system} groups with a {target.gpu}",
                evidence=f"GPUs: {', '.join(kinds) or 'none'}",
                fix="choose another region with -l/--location",
            )
    zones = _zones(await context.azure_facts.provider(PROVIDER), target.region)
    if target.zone and target.zone not in zones:
        return failed(
            f"{target.region} has no zone {target.zone} for container groups",
            evidence=f"zones: {', '.join(zones) or 'none'}",
            fix="choose one of them with --zone, or none",
        )
    return passed("; ".join([*said, f"zones {', '.join(zones) or 'none'}"]))


async def quota(context: Context) -> Answer:
    target = context.target
    if not target.region:
        return not_applicable("no region is named (-l)")
    place = f"{context.azure.subscription}/providers/{PROVIDER}/locations/{target.region}"
    usages = await context.azure.pages(f"{place}/usages", CONTAINER_INSTANCE_API)
    counts = {_name(one): (int(one.get("currentValue") or 0), int(one.get("limit") or 0)) for one in usages}
    wanted = [name for name in counts if name.lower() in {"containergroups", "standardcores"}]
    if target.gpu:
        wanted += [name for name in counts if target.gpu.lower() in name.lower()]
    if not wanted:
        return not_applicable("the service does not say what is used")
    evidence = ", ".join(f"{name} {counts[name][0]} of {counts[name][1]}" for name in wanted)
    ask = f"ask for more in {target.region}: https://portal.azure.com → Quotas → Container Instances"
    for name in wanted:
        used, limit = counts[name]
        if used >= limit:
            return failed(f"no {name} are left in {target.region}", evidence=evidence, fix=ask)
    close = [name for name in wanted if counts[name][0] >= _LOW * counts[name][1]]
    if close:
        return warned(f"{', '.join(close)} are nearly used up in {target.region}", evidence=evidence, fix=ask)
    return passed(evidence)


def _is(offer: JSON, field: str, value: str) -> bool:
    """Offers that do not care say NotSpecified, or nothing."""
    found = str(offer.get(field) or "").lower()
    return found == value.lower() or (field != "gpu" and found in {"", "notspecified"})


def _size(offer: JSON) -> tuple[float, float]:
    sizes: dict[str, Any] = offer.get("capabilities") or {}
    return float(sizes.get("maxCpu") or 0), float(sizes.get("maxMemoryInGB") or 0)


def _name(usage: JSON) -> str:
    return str((usage.get("name") or {}).get("value") or "")


def _zones(provider: JSON, region: str) -> list[str]:
    """Availability zones of container groups in a region, from the provider's zone mappings."""
    return sorted(
        {
            str(zone)
            for kind in provider.get("resourceTypes") or ()
            if str(kind.get("resourceType") or "").lower() == "containergroups"
            for mapping in kind.get("zoneMappings") or ()
            if str(mapping.get("location") or "").replace(" ", "").lower() == region
            for zone in mapping.get("zones") or ()
        }
    )


_PLANNED = frozenset({Resource.AZURE, Resource.PLAN})

CHECKS = (
    Check(
        "VN-AZ-006",
        "azure",
        "Does the resource group for container groups exist?",
        resource_group,
        needs=("VN-AZ-001",),
        resources=_PLANNED,
        why="Every container group is made in it; the connector never makes resource groups.",
    ),
    Check(
        "VN-AZ-007",
        "azure",
        "Does the region offer container groups?",
        region,
        needs=("VN-AZ-002",),
        resources=_PLANNED,
        why="Azure Container Instances is not in every region.",
    ),
    Check(
        "VN-AZ-014",
        "azure",
        "Does the region sell this system, size, GPU and zone?",
        forgiving(capabilities),
        needs=("VN-AZ-007",),
        resources=_PLANNED,
        why="Sizes, Windows, GPUs and zones differ by region; what is not sold stays Pending for ever.",
    ),
    Check(
        "VN-AZ-015",
        "azure",
        "Is quota left for container groups?",
        forgiving(quota),
        needs=("VN-AZ-007",),
        resources=_PLANNED,
        why="Groups beyond the subscription's quota are refused, and their pods stay Pending.",
    ),
)
