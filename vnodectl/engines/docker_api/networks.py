"""Bridge networks of a scope, made when first needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vnodectl.engines.api import EngineError
from vnodectl.engines.docker_api.bodies import JSON, SCOPE
from vnodectl.engines.docker_api.client import ApiError, translated

if TYPE_CHECKING:
    from aiodocker import Docker

NOT_FOUND, CONFLICT = 404, 409


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge network. `gateway` is this machine's address in it, `subnet` in CIDR notation."""

    name: str
    gateway: str
    subnet: str


async def ensure_bridge(docker: Docker, scope: str, name: str) -> Bridge:
    """The network, created with the scope's label if it is not there. The engine picks a free subnet."""
    try:
        return await _bridge(docker, name)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
    body = {"Name": name, "Driver": "bridge", "CheckDuplicate": True, "Labels": {SCOPE: scope}}
    try:
        with translated():
            await docker.networks.create(body)
    except ApiError as error:
        # Another engine of the same sandbox may have been faster.
        if error.status != CONFLICT and "already" not in str(error):
            raise
    return await _bridge(docker, name)


async def remove_bridge(docker: Docker, name: str) -> None:
    """Idempotent. Raises EngineError while containers use it."""
    try:
        with translated():
            await (await docker.networks.get(name)).delete()
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise


async def remove_bridges(docker: Docker, scope: str) -> None:
    """Remove the networks that the scope has made."""
    with translated():
        mine = await docker.networks.list(filters={"label": [f"{SCOPE}={scope}"]})
    for network in mine:
        await remove_bridge(docker, str(network["Name"]))


async def _bridge(docker: Docker, name: str) -> Bridge:
    with translated():
        shown: JSON = await (await docker.networks.get(name)).show()
    for config in shown.get("IPAM", {}).get("Config") or ():
        if config.get("Gateway") and ":" not in config["Gateway"]:
            return Bridge(name, str(config["Gateway"]), str(config["Subnet"]))
    raise EngineError(f"network {name} has no IPv4 gateway")
