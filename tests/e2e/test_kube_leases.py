"""A Lease as a lock between programs, against a real API server."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from vnodectl.kube.config import connect
from vnodectl.kube.errors import NotFound
from vnodectl.kube.leases import Timing, exclusive
from vnodectl.kube.resources import LEASES

pytestmark = pytest.mark.e2e

TIMING = Timing(duration=2, deadline=1.2, period=0.1)


async def test_one_at_a_time_and_nothing_left(control_plane):
    name = f"lock-{uuid.uuid4().hex[:8]}"
    inside: list[str] = []
    most = 0
    told: list[str] = []

    async with await connect(control_plane.kubeconfig) as client:

        async def work(who: str) -> None:
            nonlocal most
            async with exclusive(client, "default", name, who, waiting=told.append, timing=TIMING):
                inside.append(who)
                most = max(most, len(inside))
                await asyncio.sleep(0.3)
                inside.remove(who)

        async with asyncio.timeout(60):
            await asyncio.gather(*(work(who) for who in ("a", "b", "c")))
        assert most == 1
        assert told
        with pytest.raises(NotFound):
            await client.get(LEASES.path("default", name))


async def test_a_holder_that_died_is_followed_and_one_that_lives_is_not(control_plane):
    name = f"lock-{uuid.uuid4().hex[:8]}"
    async with await connect(control_plane.kubeconfig) as client:
        spec = {"holderIdentity": "dead", "leaseDurationSeconds": 1}
        await client.create(LEASES.path("default"), {"metadata": {"name": name}, "spec": spec})
        told: list[str] = []
        async with (
            asyncio.timeout(30),
            exclusive(client, "default", name, "heir", waiting=told.append, timing=TIMING),
        ):
            assert told == ["dead"]
            # Longer than the duration: only renewing keeps it.
            with pytest.raises(TimeoutError):
                async with (
                    asyncio.timeout(TIMING.duration * 1.5),
                    exclusive(client, "default", name, "thief", waiting=told.append, timing=TIMING),
                ):
                    pass
        assert told == ["dead", "heir"]
