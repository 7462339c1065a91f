"""The ECI provider in front of an emulated Alibaba Cloud, over sockets, and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from support.aci_cloud import Said
from support.eci_pods import CONNECTOR, NODE
from support.scripted_engine import ScriptedEngine

from vnodectl.clouds.alibaba import AlibabaSession, AlibabaSettings
from vnodectl.emulator.alibaba.seed import config_of
from vnodectl.emulator.alibaba.service import AlibabaEmulator
from vnodectl.engines.api import Engine, GroupPhase, Terminated
from vnodectl.providers.eci import EciProvider, EciSettings, Pacing, Profile, create_provider
from vnodectl.runtime.provider import PodKey

REGION = "cn-hangzhou"
KEY, SECRET = "LTAI5tConnector", "planted-secret-of-the-connector"
READER, READER_SECRET = "LTAI5tReader", "planted-secret-of-the-reader"
BRISK = Pacing(
    busy_interval=0.03,
    calm_interval=0.1,
    list_interval=0.3,
    list_pages=10_000,
    detail_interval=0.05,
    busy_events=0.1,
    calm_events=0.3,
    list_lag=0.5,
    retry_first=0.2,
    retry_most=0.5,
)
SETTINGS = EciSettings(vswitches=("vsw-1", "vsw-2"), security_group="sg-1")


def seed(**changes: Any) -> dict[str, Any]:
    return {
        "users": [
            {
                "name": "connector",
                "policies": ["AliyunECIFullAccess"],
                "accessKeys": [{"id": KEY, "secret": SECRET}],
            },
            {
                "name": "reader",
                "policies": [{"name": "nothing", "actions": ["eci:DescribeRegions"]}],
                "accessKeys": [{"id": READER, "secret": READER_SECRET}],
            },
        ],
        "vpcs": [{"id": "vpc-1", "region": REGION}],
        "vswitches": [
            {"id": "vsw-1", "vpc": "vpc-1", "zone": f"{REGION}-h"},
            {"id": "vsw-2", "vpc": "vpc-1", "zone": f"{REGION}-i"},
        ],
        "securityGroups": [{"id": "sg-1", "vpc": "vpc-1"}],
        "timings": {"scheduling": 0.05, "deleting": 0.05},
        **changes,
    }


def alibaba_settings(emulator: AlibabaEmulator, **changes: Any) -> AlibabaSettings:
    given: dict[str, Any] = {
        "access_key_id": KEY,
        "access_key_secret": SECRET,
        "region": REGION,
        "endpoint": emulator.host,
        "ca_bundle": str(emulator.ca_file),
    }
    return AlibabaSettings(**{**given, **changes})


@dataclass
class EciCloud:
    emulator: AlibabaEmulator
    engine: Any
    session: AlibabaSession
    provider: EciProvider
    said: Said
    profile: list[Profile] = field(default_factory=lambda: [Profile()])

    def another(self, session: AlibabaSession | None = None, **options: Any) -> EciProvider:
        """The provider of the same node after a restart (unless `options` say otherwise)."""
        given: dict[str, Any] = {
            "node_name": NODE,
            "connector": CONNECTOR,
            "capacity": {"cpu": "800", "memory": "4Ti", "pods": "1000"},
            "pacing": BRISK,
            "profile": lambda: self.profile[0],
        }
        return create_provider(session or self.session, SETTINGS, **{**given, **options})

    @property
    def groups(self) -> list[Any]:
        """The emulator's groups."""
        return list(self.emulator.lifecycle.groups.values())

    def end(self, code: int, reason: str = "Error") -> None:
        """Every container of the only group ends with `code`."""
        (name,) = self.engine.seen
        phase = GroupPhase.SUCCEEDED if code == 0 else GroupPhase.FAILED
        self.engine.become(name, phase, Terminated(code, reason, 1_800_000_000.0, 1_800_000_005.0))

    def fault(self, action: str, **rule: Any) -> None:
        """The next calls of an API fail as `rule` says."""
        self.emulator.gateway.faults.add({"template": f"eci:{action}", **rule})

    def calls(self, action: str) -> int:
        counters = self.emulator.gateway.recorder.counters()
        return sum(one["count"] for one in counters if one["template"] == f"eci:{action}")


@asynccontextmanager
async def eci_cloud(
    engine: Engine | None = None,
    *,
    config: dict[str, Any] | None = None,
    pacing: Pacing = BRISK,
    settings: EciSettings = SETTINGS,
    observing: bool = True,
    made: Callable[[AlibabaEmulator], None] | None = None,
) -> AsyncIterator[EciCloud]:
    """An observed provider of one node, and the cloud behind it."""
    engine = engine or ScriptedEngine()
    async with (
        AlibabaEmulator(config_of(seed(**(config or {}))), engine=engine) as emulator,
        AlibabaSession(alibaba_settings(emulator)) as session,
    ):
        profile = [Profile()]
        provider = create_provider(
            session,
            settings,
            node_name=NODE,
            connector=CONNECTOR,
            capacity={"cpu": "800", "memory": "4Ti", "pods": "1000"},
            pacing=pacing,
            profile=lambda: profile[0],
        )
        said = Said()
        task = asyncio.create_task(said.collect(provider), name="test-collect") if observing else None
        try:
            yield EciCloud(emulator, engine, session, provider, said, profile)
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await provider.aclose()


__all__ = ["BRISK", "EciCloud", "PodKey", "alibaba_settings", "eci_cloud", "seed"]
