"""Whether a region can take a container group: what it sells, its quota, how fast groups may come and go."""

from __future__ import annotations

import math
import re

from vnodectl.emulator.azure.aci.group import Group
from vnodectl.emulator.azure.aci.lifecycle import Lifecycle
from vnodectl.emulator.azure.aci.validate import check_size, totals
from vnodectl.emulator.azure.config import CONTAINER_GROUPS, Region, Subnet
from vnodectl.emulator.azure.errors import ArmError, bad_request, throttled
from vnodectl.emulator.azure.network import network_id
from vnodectl.emulator.azure.world import World
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
        """Groups and whole cores used in a region."""
        groups, cores = self._lifecycle.used(region)
        return {"ContainerGroups": groups, "StandardCores": math.ceil(round(cores, 6))}

    def check(self, name: str, region: Region, properties: JSON, existing: Group | None) -> None:
        """Raises ArmError where the group cannot be placed."""
        system, (cpu, memory) = properties["osType"], totals(properties)
        subnets = properties.get("subnetIds") or []
        size = self._world.size(system)
        offered = (size.cpu, size.memory) if system == "Linux" or region.windows else (0.0, 0.0)
        check_size(region.name, system, cpu, memory, offered, bool(subnets))
        for subnet in subnets:
            self._check_subnet(name, str(subnet.get("id")))
        self._check_images(name, properties)
        if existing is None:
            self._check_quota(region.name, "ContainerGroups", 1)
            self._check_quota(region.name, "StandardCores", math.ceil(cpu))

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

    def _check_subnet(self, name: str, subnet_id: str) -> None:
        if not self._world.networks:
            return
        subnet = self._subnet(subnet_id)
        if subnet is None:
            raise bad_request(
                "InvalidResourceReference",
                f"Resource {subnet_id} referenced by resource {name} was not found. Please make sure that "
                "the referenced resource exists, and that both resources are in the same region.",
            )
        if CONTAINER_GROUPS.casefold() not in (service.casefold() for service in subnet.delegations):
            raise ArmError(
                400,
                "SubnetMissingRequiredDelegation",
                f"Subnet {subnet_id} requires any of the following delegation(s) [{CONTAINER_GROUPS}] to "
                f"reference service association link {subnet_id}/serviceAssociationLinks/acisal.",
            )

    def _subnet(self, subnet_id: str) -> Subnet | None:
        for network in self._world.networks.values():
            for subnet in network.subnets:
                own = f"{network_id(self._world.subscription, network)}/subnets/{subnet.name}"
                if own.casefold() == subnet_id.casefold():
                    return subnet
        return None
