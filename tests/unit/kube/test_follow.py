"""Following one object through watches that end, expire and break."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from support.fake_api import fake_cluster, status

from vnodectl.kube.errors import ApiError, Forbidden
from vnodectl.kube.follow import follow, until
from vnodectl.kube.resources import NODES, PODS


@pytest.fixture(autouse=True)
def _no_pause(mocker):
    mocker.patch("vnodectl.kube.follow._PAUSE", 0)


def node(phase: str) -> dict:
    return {"metadata": {"name": "n"}, "phase": phase}


async def watched(api) -> None:
    await api.until(lambda: api.watches)


async def test_each_state_is_seen_once_it_is_there():
    seen = []
    async with fake_cluster() as (api, kube), aclosing(follow(kube, NODES, None, "n")) as states:
        seen.append(await anext(states))
        for change in (lambda: api.put("nodes", node("one")), lambda: api.put("nodes", node("two"))):
            pending = asyncio.ensure_future(anext(states))
            await watched(api)
            change()
            seen.append((await pending)["phase"])
        pending = asyncio.ensure_future(anext(states))
        await watched(api)
        api.remove("nodes", "n")
        seen.append(await pending)
    assert seen == [None, "one", "two", None]


async def test_only_the_named_object_counts():
    async with fake_cluster() as (api, kube):
        api.put("pods", {"metadata": {"name": "b"}}, namespace="x")
        api.put("pods", {"metadata": {"name": "a"}}, namespace="y")
        api.put("pods", {"metadata": {"name": "a"}, "mine": True}, namespace="x")
        assert await until(kube, PODS, "x", "a", lambda pod: pod)
    assert api.requests == ["GET /api/v1/namespaces/x/pods"]


async def test_a_watch_that_ends_is_taken_up_again():
    async with fake_cluster() as (api, kube):
        waiting = asyncio.create_task(
            until(kube, NODES, None, "n", lambda found: found if found and found["phase"] == "two" else None)
        )
        for phase in ("one", "two"):
            await watched(api)
            api.cut_watches()
            api.put("nodes", node(phase))
        assert (await waiting)["phase"] == "two"


@pytest.mark.parametrize("code", [410, 500, 429])
async def test_a_watch_that_is_refused_for_now_is_opened_again(code):
    async with fake_cluster() as (api, kube):
        refusals = 2

        def refuse(method, plural, name):
            nonlocal refusals
            if len(api.requests) % 2 == 0 and refusals:  # every second request is a watch
                refusals -= 1
                return status(code, "Expired" if code == 410 else "Trouble")
            return None

        api.refuse = refuse
        waiting = asyncio.create_task(until(kube, NODES, None, "n", lambda found: found))
        await watched(api)
        api.put("nodes", node("one"))
        await waiting
    assert refusals == 0


async def test_a_watch_that_is_forbidden_is_an_error():
    async with fake_cluster() as (api, kube):
        api.refuse = lambda *_: status(403, "Forbidden", "cannot watch") if len(api.requests) == 2 else None
        with pytest.raises(Forbidden, match="cannot watch"):
            await until(kube, NODES, None, "n", lambda found: found)


async def test_whoever_looks_may_give_up():
    async with fake_cluster() as (_, kube):

        def look(found):
            raise ApiError(0, "GaveUp", "enough")

        with pytest.raises(ApiError, match="enough"):
            await until(kube, NODES, None, "n", look)
