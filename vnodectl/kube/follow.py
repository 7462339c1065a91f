"""Following one object: as it is now, and again each time it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.errors import ApiError, Expired
from vnodectl.kube.resources import Resource

T = TypeVar("T")

_WATCH_SECONDS = 300
_PAUSE = 0.5
"""Before reading again after a watch ended, so that a server that ends them at once is not hammered."""


async def follow(
    client: KubeClient, resource: Resource, namespace: str | None, name: str
) -> AsyncGenerator[JSON | None, None]:
    """The object as it is (None: it does not exist), then each change, until closed.

    Level-based: after a lost watch the object is read again, so states may repeat and may be skipped.
    Close it with `contextlib.aclosing`. Raises what a read raises; a broken watch is not an error.
    """
    path = resource.path(namespace)
    only = {"fieldSelector": f"metadata.name={name}"}
    while True:
        items, version = await client.list(path, only)
        yield items[0] if items else None
        query: dict[str, str | int | bool] = {
            **only,
            "resourceVersion": version,
            "timeoutSeconds": _WATCH_SECONDS,
        }
        try:
            async with aclosing(client.watch(path, query)) as events:
                async for event in events:
                    if event["type"] == "DELETED":
                        yield None
                    elif event["type"] != "BOOKMARK":
                        yield event["object"]
        except (Expired, ClusterUnreachable):
            pass  # the next read tells
        except ApiError as error:
            if error.status < 500 and error.status != 429:
                raise
        await asyncio.sleep(_PAUSE)


async def until(
    client: KubeClient,
    resource: Resource,
    namespace: str | None,
    name: str,
    found: Callable[[JSON | None], T | None],
) -> T:
    """Wait, without a limit of its own, until `found` makes something of the object's state.

    `found` may raise to give up.
    """
    async with aclosing(follow(client, resource, namespace, name)) as states:
        async for state in states:
            result = found(state)
            if result is not None:
                return result
    raise AssertionError("follow never ends by itself")
