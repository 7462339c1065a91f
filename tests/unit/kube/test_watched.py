"""One object, followed."""

from __future__ import annotations

import asyncio

from fake_api import fake_cluster

from vnodectl.kube.resources import CONFIG_MAPS
from vnodectl.kube.watched import WatchedObject


async def test_what_it_is_now_is_told_at_each_change_and_only_then() -> None:
    async with fake_cluster() as (api, client):
        told: list[str | None] = []
        changed = asyncio.Event()

        def tell(item) -> None:
            told.append(item and item["data"]["a"])
            changed.set()

        async def until(count: int) -> None:
            async with asyncio.timeout(10):
                while len(told) < count:
                    changed.clear()
                    await changed.wait()

        api.put("configmaps", {"metadata": {"name": "other"}, "data": {"a": "no"}}, namespace="kube-system")
        watched = WatchedObject(client, CONFIG_MAPS, "kube-system", "one", tell)
        task = asyncio.create_task(watched.run())
        try:
            await asyncio.wait_for(watched.synced.wait(), 10)
            assert told == [None]
            api.put("configmaps", {"metadata": {"name": "one"}, "data": {"a": "1"}}, namespace="kube-system")
            await until(2)
            api.cut_watches()
            api.put("configmaps", {"metadata": {"name": "one"}, "data": {"a": "2"}}, namespace="kube-system")
            await until(3)
            api.remove("configmaps", "one", "kube-system")
            await until(4)
            assert told == [None, "1", "2", None]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
