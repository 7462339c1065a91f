"""Whether a region can take a container group: what it sells, its quota, how fast groups may come and go."""

from __future__ import annotations

import math
import re

from vnodectl.emulator.azure.aci.group import Group
from vnodectl.emulator.azure.aci.lifecycle import Lifecycle
from vnodectl.emulator.azure.aci.validate import check_size, cores_by_quota, totals
from vnodectl.emulator.azure.config import CONTAINER_GROUPS, Region, Subnet, VirtualNetwork
from vnodectl.emulator.azure.errors import ArmError, bad_request, throttled
from vnodectl.emulator.azure.subnets import capacity, subnet_id
from vnodectl.emulator.azure.world import DEFAULT_QUOTA, World
from vnodectl.emulator.buckets import SlidingWindow
from vnodectl.emulator.documents import JSON


class Placement:
    def __init__(self, world: World, lifecycle: Lifecycle) -> None:
        self._world = world
        self._lifecycle = lifecycle
        self._windows: dict[str, tuple[SlidingWindow, ...]] = {}

    def clear(self) -> None:
        """Forget how many groups were created and deleted, and read the limits again."""
        self._windows.clear()

    def usage(self, region: str) -> dict[str, int]:
        """Groups and whole cores used in a region, by quota."""
        used = self._lifecycle.used(region)
        return {name: math.ceil(round(used[name], 6)) for name in DEFAULT_QUOTA}

    def check(
        self, name: str, region: Region, properties: JSON, zones: list[str], existing: Group | None
    ) -> None:
        """Raises ArmError where the group cannot be placed."""
        system, (cpu, memory) = properties["osType"], totals(properties)
        vnet = bool(properties.get("subnetIds"))
        size = self._world.size(system, region)
        offered = (size.cpu, size.memory) if system == "Linux" or region.windows else (0.0, 0.0)
        check_size(region.name, system, cpu, memory, offered, vnet)
        self._check_offer(name, region, properties, zones)
        for subnet in properties.get("subnetIds") or []:
            self._check_subnet(name, region, str(subnet.get("id")), existing)
        self._check_images(name, properties)
        if existing is None:
            self._check_quota(region.name, "ContainerGroups", 1)
            for quota, cores in cores_by_quota(properties).items():
                self._check_quota(region.name, quota, math.ceil(cores))

    def count_create(self) -> None:
        """Raises ArmError 429 where too many groups were created lately."""
        limits = self._world.limits
        self._count("create", limits.group_creates_per_5_minutes, limits.group_creates_per_hour)

    def count_delete(self) -> None:
        """Raises ArmError 429 where too many groups were deleted lately."""
        limits = self._world.limits
        self._count("delete", limits.group_deletes_per_5_minutes, limits.group_deletes_per_hour)

    def _count(self, kind: str, per_5_minutes: int, per_hour: int) -> None:
        now = self._world.clock.now()
        windows = self._windows.get(kind)
        if windows is None:
            limits = ((per_5_minutes, 300.0), (per_hour, 3600.0))
            windows = tuple(SlidingWindow(limit, seconds) for limit, seconds in limits if limit)
            self._windows[kind] = windows
        wait = max((window.wait(now) for window in windows), default=0.0)
        if wait > 0:
            raise throttled(
                "TooManyRequests",
                f"The limit of container group {kind}s was reached. Please try again after '{{wait}}' "
                "seconds.",
                wait,
            )
        for window in windows:
            window.record(now)

    def _check_quota(self, region: str, name: str, requested: int) -> None:
        limit, used = self._world.quota(region, name), self.usage(region)[name]
        if used + requested > limit:
            raise bad_request(
                "ContainerGroupQuotaReached",
                f"Resource type '{CONTAINER_GROUPS}' container group quota '{name}' exceeded in region "
                f"'{region}'. Limit: '{limit}', Usage: '{used}' Requested: '{requested}'.",
            )

    def _check_images(self, name: str, properties: JSON) -> None:
        for container in (*properties["containers"], *properties["initContainers"]):
            image = container["properties"]["image"]
            if any(re.search(pattern, image) for pattern in self._world.inaccessible_images):
                raise bad_request(
                    "InaccessibleImage",
                    f"The image '{image}' in container group '{name}' is not accessible. Please check the "
                    "image and registry credential.",
                )

    def _check_offer(self, name: str, region: Region, properties: JSON, zones: list[str]) -> None:
        """Zones, GPUs, spot and confidential groups are not offered everywhere."""
        offered = region.zones_of(CONTAINER_GROUPS)
        if wrong := [zone for zone in zones if zone not in offered]:
            raise bad_request(
                "InvalidAvailabilityZone",
                f"The zone(s) '{','.join(wrong)}' for resource '{CONTAINER_GROUPS}/{name}' is not supported. "
                f"The supported zones for location '{region.name}' are '{','.join(offered)}'",
            )
        if properties.get("priority") == "Spot" and not region.spot:
            raise _not_offered(region, "Spot priority")
        if properties.get("sku") == "Confidential" and not region.confidential:
            raise _not_offered(region, "Confidential sku")
        for container in properties["containers"]:
            gpu = container["properties"]["resources"]["requests"].get("gpu")
            if gpu and gpu["sku"] not in region.gpus:
                raise _not_offered(region, f"GPU sku '{gpu['sku']}'")

    def _check_subnet(self, name: str, region: Region, wanted: str, existing: Group | None) -> None:
        if not self._world.networks:
            return
        network, subnet = self._subnet(wanted)
        if network is None or subnet is None or network.location != region.name:
            raise bad_request(
                "InvalidResourceReference",
                f"Resource {wanted} referenced by resource {name} was not found. Please make sure that "
                "the referenced resource exists, and that both resources are in the same region.",
            )
        if CONTAINER_GROUPS.casefold() not in (service.casefold() for service in subnet.delegations):
            raise ArmError(
                400,
                "SubnetMissingRequiredDelegation",
                f"Subnet {wanted} requires any of the following delegation(s) [{CONTAINER_GROUPS}] to "
                f"reference service association link {wanted}/serviceAssociationLinks/acisal.",
            )
        used = len(subnet.occupants) + self._lifecycle.in_subnet(wanted)
        if existing is None and used >= capacity(subnet):
            raise bad_request(
                "SubnetIsFull",
                f"Subnet {subnet.name} with address prefix {subnet.address_prefixes[0]} does not have enough "
                "capacity for 1 IP addresses.",
            )

    def _subnet(self, wanted: str) -> tuple[VirtualNetwork | None, Subnet | None]:
        for network in self._world.networks.values():
            for subnet in network.subnets:
                if subnet_id(self._world.subscription, network, subnet).casefold() == wanted.casefold():
                    return network, subnet
        return None, None


def _not_offered(region: Region, what: str) -> ArmError:
    return bad_request(
        "InvalidParameter", f"The {what} is not available for container groups in location '{region.name}'."
    )
