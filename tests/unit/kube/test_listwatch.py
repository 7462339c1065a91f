"""A view of a collection that survives what API servers do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fake_api import FakeApi, client, serve, status
from support import virtual_time
from support.memory_api import MemoryApi

from vnodectl.kube.errors import Expired
from vnodectl.kube.listwatch import ListWatch
from vnodectl.kube.resources import PODS


class View:
    """A listener that keeps names and says when it was told something."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.lists = 0
        self.told = asyncio.Event()

    def replaced(self, items) -> None:
        self.names = {item["metadata"]["name"] for item in items}
        self.lists += 1
        self.told.set()

    def changed(self, item) -> None:
        self.names.add(item["metadata"]["name"])
        self.told.set()

    def deleted(self, item) -> None:
        self.names.discard(item["metadata"]["name"])
        self.told.set()

    async def until(self, names: set[str]) -> None:
        async with asyncio.timeout(5):
            while self.names != names:
                self.told.clear()
                await self.told.wait()


class Pauses:
    """Stands in for sleeping: notes how long, and lets the loop go on."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    async def __call__(self, delay: float) -> None:
        self.delays.append(delay)
        await asyncio.sleep(0)


@pytest.fixture
def view() -> View:
    return View()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@asynccontextmanager
async def following(api: FakeApi, view: View, pauses: Pauses) -> AsyncIterator[ListWatch]:
    async with serve(api.handle) as server, client(str(server.make_url("")).rstrip("/")) as kube:
        watch = ListWatch(kube, PODS.path("n"), view, sleep=pauses, random_=random.Random(1))  # noqa: S311
        task = asyncio.create_task(watch.run(), name="list-watch under test")
        try:
            async with asyncio.timeout(5):
                await watch.synced.wait()
                await api.until(lambda: api.watches == 1)
            yield watch
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await api.close()


def pod(name: str) -> dict:
    return {"metadata": {"name": name}}


async def test_it_lists_then_follows(view, pauses):
    api = FakeApi()
    api.put("pods", pod("a"), namespace="n")
    async with following(api, view, pauses):
        assert view.names == {"a"}
        api.put("pods", pod("b"), namespace="n")
        await view.until({"a", "b"})
        api.remove("pods", "a", "n")
        await view.until({"b"})
    assert view.lists == 1


async def test_a_watch_that_ends_is_resumed_without_listing_again(view, pauses):
    api = FakeApi()
    async with following(api, view, pauses):
        for name in ("a", "b", "c"):
            api.put("pods", pod(name), namespace="n")
            api.cut_watches()
        await view.until({"a", "b", "c"})
    assert view.lists == 1


async def test_an_expired_version_means_a_new_list(view, pauses):
    api = FakeApi()
    expired = []

    def refuse(method, plural, name):
        return None

    async with following(api, view, pauses):
        api.put("pods", pod("kept"), namespace="n")
        await view.until({"kept"})
        # What happens while no watch is open, and before the oldest version the server still knows.
        del api.objects["pods", "n", "kept"]

        def once(method, plural, name):
            if not expired:
                expired.append(True)
                return status(410, "Expired", "too old resource version")
            return None

        api.refuse = once
        api.cut_watches()
        await view.until(set())
        api.refuse = refuse
    assert view.lists == 2


@pytest.mark.parametrize("code", [500, 503, 429, 403])
async def test_a_server_in_trouble_is_given_time_and_nothing_is_forgotten(view, pauses, code):
    api = FakeApi()
    api.put("pods", pod("a"), namespace="n")
    failures = []

    def refuse(method, plural, name):
        failures.append(code)
        return status(code, "Trouble") if len(failures) <= 5 else None

    async with following(api, view, pauses):
        api.refuse = refuse
        api.cut_watches()
        async with asyncio.timeout(30):
            await api.until(lambda: len(failures) >= 6 and api.watches == 1)
        assert view.names == {"a"}
    grown = [delay for delay in pauses.delays if delay > 0]
    assert len(grown) >= 1
    assert max(grown) > min(grown) or code == 429


async def test_a_server_that_ends_every_watch_at_once_is_not_hammered(view, pauses):
    api = FakeApi()
    async with following(api, view, pauses):
        for _ in range(5):
            before = len(pauses.delays)
            api.cut_watches()
            async with asyncio.timeout(5):
                await api.until(lambda seen=before: len(pauses.delays) > seen and api.watches == 1)
    assert pauses.delays[-1] > pauses.delays[0]


def test_a_quiet_watch_that_ends_in_its_time_is_no_failure():
    """Else a node that nothing happens on would look away longer and longer."""

    async def main() -> None:
        api, view = MemoryApi(), View()
        pauses: list[float] = []

        async def sleep(delay: float) -> None:
            pauses.append(delay)
            await asyncio.sleep(delay)

        watch = ListWatch(api.client(), PODS.path("n"), view, sleep=sleep)  # type: ignore[arg-type]
        task = asyncio.create_task(watch.run(), name="list-watch under test")
        await asyncio.sleep(24 * 3600)
        assert pauses == []
        assert watch.counts.watches > 100
        api.put("pods", pod("a"), "n")
        await asyncio.sleep(0.1)
        assert view.names == {"a"}
        assert view.lists == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(main())


def test_a_server_that_expires_every_version_is_asked_less_and_less():
    async def main() -> None:
        api, view = MemoryApi(), View()
        lists: list[float] = []

        def trouble(verb: str, path: str) -> tuple[str, Exception] | None:
            if verb == "LIST":
                lists.append(asyncio.get_running_loop().time())
            return ("before", Expired(410, "Expired", "too old")) if verb == "WATCH" else None

        api.trouble = trouble
        task = asyncio.create_task(
            ListWatch(api.client(), PODS.path("n"), view).run(),  # type: ignore[arg-type]
            name="list-watch under test",
        )
        await asyncio.sleep(600)
        assert len(lists) < 40
        api.trouble = lambda *_: None
        await asyncio.sleep(60)
        api.put("pods", pod("a"), "n")
        await asyncio.sleep(0.1)
        assert view.names == {"a"}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(main())
