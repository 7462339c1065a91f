"""Registering a resource provider, which Azure wants once for each subscription."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from vnodectl.errors import TimedOut

if TYPE_CHECKING:
    from vnodectl.clouds.azure import AzureSession

CONTAINER_INSTANCE = "Microsoft.ContainerInstance"
POLL_SECONDS = 5.0


async def register(
    azure: AzureSession,
    namespace: str = CONTAINER_INSTANCE,
    *,
    timeout: float,
    say: Callable[[str], None],
    interval: float = POLL_SECONDS,
) -> None:
    """Register the provider if it is not, and wait until it is; `timeout` in seconds. Raises TimedOut."""
    state = await azure.provider_state(namespace)
    if state == "Registered":
        return
    if state != "Registering":
        await azure.register_provider(namespace)
    deadline = asyncio.get_running_loop().time() + timeout
    while (state := await azure.provider_state(namespace)) != "Registered":
        say(f"registering {namespace}: {state}")
        if asyncio.get_running_loop().time() + interval > deadline:
            raise TimedOut(
                f"after {timeout:.0f} s {namespace} is still {state}",
                hint=f"watch it: az provider show -n {namespace} --query registrationState",
            )
        await asyncio.sleep(interval)
