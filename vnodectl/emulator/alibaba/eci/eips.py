"""Public addresses of container groups: one of the account's, or one made for the group."""

from __future__ import annotations

import secrets

from vnodectl.emulator.alibaba.config import Eip
from vnodectl.emulator.alibaba.errors import ApiError
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.alibaba.world import World

_RANGES = ("203.0.113", "198.51.100", "192.0.2")
"""Set aside for documentation: nothing answers there."""


def check_eip(world: World, params: Params, region: str) -> None:
    """Raises ApiError where an address that the group names cannot be bound."""
    if not params.has("EipInstanceId"):
        return
    if params.flag("AutoCreateEip"):
        raise ApiError(
            400,
            "InvalidParameter.Conflict",
            "The specified parameters EipInstanceId and AutoCreateEip cannot be used together.",
        )
    if world.eip(params.text("EipInstanceId"), region).instance:
        raise ApiError(
            400, "IncorrectEipStatus", "Current elastic IP status does not support this operation."
        )


def eip_of(world: World, params: Params, region: str) -> tuple[Eip | None, bool]:
    """The checked group's address, and whether it was made for it."""
    if params.has("EipInstanceId"):
        return world.eip(params.text("EipInstanceId"), region), False
    if not params.flag("AutoCreateEip"):
        return None, False
    eip = Eip(f"eip-{secrets.token_hex(8)}", region, _address(world), params.text("EipBandwidth") or "5")
    world.eips[eip.id] = eip
    return eip, True


def _address(world: World) -> str:
    taken = {eip.address for eip in world.eips.values()}
    for network in _RANGES:
        for host in range(1, 255):
            if (address := f"{network}.{host}") not in taken:
                return address
    raise ApiError(403, "QuotaExceeded", "Eip quota exceeded.")
