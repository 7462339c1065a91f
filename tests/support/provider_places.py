"""The same node in front of three clouds: this machine, an emulated Azure, an emulated Alibaba Cloud.

Nothing runs for real (the engines simulate): what is seen is what the runtime and the providers do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from support.aci_cloud import BRISK as ACI_BRISK
from support.aci_cloud import azure_settings
from support.aci_cloud import seed as azure_seed
from support.azure_clients import GROUP, LOCATION
from support.cut_line import CutLine, line_to
from support.eci_cloud import BRISK as ECI_BRISK
from support.eci_cloud import SETTINGS, alibaba_settings
from support.eci_cloud import seed as alibaba_seed

from vnodectl.clouds.alibaba import AlibabaSession
from vnodectl.clouds.azure import AzureSession
from vnodectl.emulator.alibaba.seed import config_of
from vnodectl.emulator.alibaba.service import AlibabaEmulator
from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator
from vnodectl.engines.api import EngineError
from vnodectl.engines.backoff import BackoffPolicy
from vnodectl.engines.clock import SystemClock
from vnodectl.engines.simulated.engine import SimulatedEngine
from vnodectl.providers import eci
from vnodectl.providers.aci import AciSettings
from vnodectl.providers.aci import create_provider as aci_provider
from vnodectl.providers.local.provider import LocalProvider
from vnodectl.runtime.provider import Listed, PodKey, Provider

CAPACITY = {"cpu": "800", "memory": "4Ti", "pods": "500"}
RESTARTS = BackoffPolicy(initial=0.3, cap=1.0)
PLACES = ("local", "aci", "eci")

Open = Callable[[str], Provider]


@dataclass
class Place:
    """A cloud that nodes can be put in front of. `fail(True)` makes every read of it fail. Without
    `addresses`, its pods have none (ACI's outside of subnets, unless they open ports). `line`, where there
    is one, leads to the cloud: cut, nobody reaches it."""

    name: str
    open: Open
    fail: Callable[[bool], None]
    addresses: bool = True
    line: CutLine | None = None

    async def keys(self, node: str) -> frozenset[PodKey]:
        """The groups of a node, as a fresh provider lists them."""
        provider = self.open(node)
        try:
            async with asyncio.timeout(20), aclosing(provider.observe()) as sightings:  # type: ignore[type-var]
                async for sighting in sightings:
                    if isinstance(sighting, Listed):
                        return sighting.keys
        finally:
            await self.close(provider)
        raise AssertionError("nothing was listed")

    async def vanish(self, node: str, key: PodKey) -> None:
        """Somebody deletes a group behind the runtime's back."""
        provider = self.open(node)
        try:
            await provider.delete(key, grace=0)
        finally:
            await self.close(provider)

    async def close(self, provider: Provider) -> None:
        if not isinstance(provider, LocalProvider):  # its engine is the cloud, and goes on
            await provider.aclose()


class FailingEngine(SimulatedEngine):
    """A simulated engine that can be away."""

    away = False

    async def ping(self) -> None:
        if self.away:
            raise EngineError("the engine does not answer")


def _engine() -> FailingEngine:
    return FailingEngine(home=None, clock=SystemClock(), restart=RESTARTS)


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[Place]:
    """`name` is one of PLACES."""
    async with AsyncExitStack() as stack:
        engine = _engine()
        await engine.start()
        stack.push_async_callback(engine.aclose)
        yield await {"local": _local, "aci": _aci, "eci": _eci}[name](engine, stack)


async def _local(engine: FailingEngine, stack: AsyncExitStack) -> Place:
    def fail(on: bool) -> None:
        engine.away = on

    def open_(node: str) -> Provider:
        return LocalProvider(engine, node=node, capacity=CAPACITY, relist=0.5)

    return Place("local", open_, fail)


async def _aci(engine: FailingEngine, stack: AsyncExitStack) -> Place:
    emulator = await stack.enter_async_context(
        AzureEmulator(AzureConfig.from_json(azure_seed()), engine=engine)
    )
    arm = urlsplit(emulator.arm_endpoint)
    line = await stack.enter_async_context(line_to(arm.hostname or "", arm.port or 443))
    settings = azure_settings(emulator, arm_endpoint=f"https://127.0.0.1:{line.port}")
    session = await stack.enter_async_context(AzureSession(settings))

    def fail(on: bool) -> None:
        emulator.gateway.faults.clear()
        if on:
            emulator.gateway.faults.add({"method": "GET", "status": 503, "code": "ServerBusy"})

    def open_(node: str) -> Provider:
        return aci_provider(
            session,
            AciSettings(GROUP, LOCATION),
            node_name=node,
            connector="connector",
            os_type="Linux",
            capacity=CAPACITY,
            budget=ACI_BRISK,
        )

    return Place("aci", open_, fail, addresses=False, line=line)


async def _eci(engine: FailingEngine, stack: AsyncExitStack) -> Place:
    emulator = await stack.enter_async_context(AlibabaEmulator(config_of(alibaba_seed()), engine=engine))
    session = await stack.enter_async_context(AlibabaSession(alibaba_settings(emulator)))

    def fail(on: bool) -> None:
        emulator.gateway.faults.clear()
        for action in ("DescribeContainerGroups", "DescribeContainerGroupStatus") if on else ():
            fault: dict[str, Any] = {"template": f"eci:{action}", "status": 503, "code": "ServiceUnavailable"}
            emulator.gateway.faults.add(fault)

    def open_(node: str) -> Provider:
        return eci.create_provider(
            session,
            SETTINGS,
            node_name=node,
            connector="connector",
            capacity=CAPACITY,
            pacing=ECI_BRISK,
        )

    return Place("eci", open_, fail)
