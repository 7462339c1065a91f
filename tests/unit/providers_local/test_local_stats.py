"""What the local provider tells of its groups' usage."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.manual_clock import ManualClock
from support.scripted_engine import ScriptedEngine

from vnodectl.engines.api import ContainerUsage, EngineError, NoSuchGroup
from vnodectl.providers.local.names import group_name
from vnodectl.providers.local.provider import LocalProvider
from vnodectl.runtime.provider import PodKey, PodStats, Retryable, SupportsStats, Usage

WEB = PodKey("default", "web", "u1")
GONE = PodKey("default", "gone", "u2")


class MeasuredEngine(ScriptedEngine):
    """Every group has the usage in `used`, by the group's name."""

    def __init__(self, used: dict[str, list[ContainerUsage] | Exception]) -> None:
        super().__init__()
        self.used = used

    async def usage(self, name: str) -> list[ContainerUsage]:
        found = self.used.get(name, NoSuchGroup(name))
        if isinstance(found, Exception):
            raise found
        return found


def provider(used: dict[str, list[ContainerUsage] | Exception]) -> LocalProvider:
    return LocalProvider(MeasuredEngine(used), node="n1", capacity={}, clock=ManualClock())  # type: ignore[arg-type]


async def stats(used: dict[str, list[ContainerUsage] | Exception], *keys: PodKey) -> Sequence[PodStats]:
    return await provider(used).stats(keys)


def test_it_has_the_ability():
    assert isinstance(provider({}), SupportsStats)


async def test_each_container_by_name():
    used = [ContainerUsage("a", 1.5, 300, 200, 1000.0), ContainerUsage("b", 0.0, 30, 20, 1001.0)]
    assert await stats({group_name(WEB): used}, WEB) == [
        PodStats(WEB, {"a": Usage(1000.0, 1.5, 200, 300), "b": Usage(1001.0, 0.0, 20, 30)})
    ]


async def test_a_group_that_is_gone_is_left_out():
    used = {group_name(WEB): [ContainerUsage("a", 1.0, 2, 1, 1000.0)]}
    assert [one.key for one in await stats(used, GONE, WEB)] == [WEB]


async def test_an_engine_that_does_not_answer_may_later():
    with pytest.raises(Retryable, match="podman does not answer"):
        await stats({group_name(WEB): EngineError("podman does not answer")}, WEB)
