"""What Azure Container Instances offers in a region: capabilities, usage and cached images."""

from __future__ import annotations

from collections.abc import Callable

from vnodectl.emulator.azure.calls import Answer, Call
from vnodectl.emulator.azure.config import CONTAINER_GROUPS, Region
from vnodectl.emulator.azure.world import DEFAULT_QUOTA, World
from vnodectl.emulator.documents import JSON

_TITLES = {
    "ContainerGroups": "Container Groups",
    "StandardCores": "Standard Cores",
    "StandardSpotCores": "Standard Spot Cores",
    "StandardK80Cores": "Standard K80 Cores",
    "StandardP100Cores": "Standard P100 Cores",
    "StandardV100Cores": "Standard V100 Cores",
}
_GPUS_AT_MOST = 4
"""Cards in one container group."""


class Locations:
    """`usage` gives what is used in a region by quota name."""

    def __init__(self, world: World, usage: Callable[[str], dict[str, int]]) -> None:
        self._world = world
        self._usage = usage

    async def usages(self, call: Call) -> Answer:
        region = self._world.region(call.params["location"], CONTAINER_GROUPS)
        used = self._usage(region.name)
        base = f"/subscriptions/{self._world.subscription}/providers/Microsoft.ContainerInstance/locations"
        return Answer(
            200,
            {
                "value": [
                    {
                        "id": f"{base}/{region.name}/usages/{name}",
                        "unit": "Count",
                        "currentValue": used[name],
                        "limit": self._world.quota(region.name, name),
                        "name": {"value": name, "localizedValue": _TITLES[name]},
                    }
                    for name in DEFAULT_QUOTA
                ]
            },
        )

    async def capabilities(self, call: Call) -> Answer:
        region = self._world.region(call.params["location"], CONTAINER_GROUPS)
        systems = {"Linux": ("Public", "Private")} | ({"Windows": ("Public",)} if region.windows else {})
        value = [
            self._capability(region, system, address, "None")
            for system, addresses in systems.items()
            for address in addresses
        ]
        # GPUs are for Linux groups outside of virtual networks.
        value += [self._capability(region, "Linux", "Public", gpu) for gpu in region.gpus]
        return Answer(200, {"value": value})

    def _capability(self, region: Region, system: str, address: str, gpu: str) -> JSON:
        size = self._world.size(system, region)
        return {
            "resourceType": "containerGroups",
            "osType": system,
            "location": region.display_name,
            "ipAddressType": address,
            "gpu": gpu,
            "capabilities": {
                "maxMemoryInGB": size.memory,
                "maxCpu": size.cpu,
                "maxGpuCount": 0 if gpu == "None" else _GPUS_AT_MOST,
            },
        }

    async def cached_images(self, call: Call) -> Answer:
        region = self._world.region(call.params["location"], CONTAINER_GROUPS)
        systems = ("Linux", "Windows") if region.windows else ("Linux",)
        images = [
            {"osType": system, "image": image}
            for system in systems
            for image in self._world.cached_images.get(system, ())
        ]
        return Answer(200, {"value": images})
