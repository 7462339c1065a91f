"""Where the contract of Azure is tested: the emulator, or a real subscription named by the environment.

    CONTRACT_AZURE_SUBSCRIPTION    the subscription; without it the emulator is used
    CONTRACT_AZURE_TENANT, CONTRACT_AZURE_CLIENT_ID, CONTRACT_AZURE_CLIENT_SECRET
                                   an Owner of it: roles are assigned
    CONTRACT_AZURE_LOCATION        default: eastus

Each test works in a resource group of its own, which is deleted behind it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.identity.aio import ClientSecretCredential
from support.azure_clients import OWNER, SECRET, Clients, clients, seed

from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator
from vnodectl.engines.select import open_engine

_PREFIX = "CONTRACT_AZURE_"


@dataclass(frozen=True, slots=True)
class Place:
    """`principal` is the client id of who makes the calls; `pause` in seconds between two looks."""

    sdk: Clients
    subscription: str
    tenant: str
    location: str
    group: str
    principal: str
    real: bool

    @property
    def pause(self) -> float:
        return 2.0 if self.real else 0.0

    def group_id(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def id(self, kind: str, name: str) -> str:
        return f"{self.group_id()}/providers/{kind}/{name}"


@asynccontextmanager
async def place(directory: Path) -> AsyncIterator[Place]:
    """`directory` is for the emulator's state."""
    group = f"vnodectl-contract-{uuid.uuid4().hex[:8]}"
    async with AsyncExitStack() as stack:
        found = (
            await _real(stack, group)
            if os.environ.get(f"{_PREFIX}SUBSCRIPTION")
            else await _emulated(stack, group, directory)
        )
        groups = found.sdk.resources.resource_groups
        await groups.create_or_update(group, {"location": found.location})
        try:
            yield found
        finally:
            poller = await groups.begin_delete(group)
            if not found.real:
                await poller.result()


async def _emulated(stack: AsyncExitStack, group: str, directory: Path) -> Place:
    engine = open_engine("simulated", scope="contract", state_dir=directory)
    await engine.start()
    stack.push_async_callback(engine.aclose, remove=True)
    config = AzureConfig.from_json(seed(resourceGroups=[]))
    emulator = await stack.enter_async_context(AzureEmulator(config, engine=engine))
    sdk = await stack.enter_async_context(clients(emulator, OWNER, SECRET))
    world = emulator.world
    return Place(sdk, world.subscription, world.tenant, "eastus", group, OWNER, real=False)


async def _real(stack: AsyncExitStack, group: str) -> Place:
    given = {
        name: os.environ.get(f"{_PREFIX}{name}", "") for name in ("TENANT", "CLIENT_ID", "CLIENT_SECRET")
    }
    credential = await stack.enter_async_context(
        ClientSecretCredential(given["TENANT"], given["CLIENT_ID"], given["CLIENT_SECRET"])
    )
    subscription = os.environ[f"{_PREFIX}SUBSCRIPTION"]
    options: dict[str, Any] = {"credential_scopes": ["https://management.azure.com/.default"]}
    sdk = Clients(credential, subscription, options)
    stack.push_async_callback(sdk.close)
    location = os.environ.get(f"{_PREFIX}LOCATION", "eastus")
    return Place(sdk, subscription, given["TENANT"], location, group, given["CLIENT_ID"], real=True)
