"""The node process on Alibaba Cloud: one session for all nodes, and the cluster's `eci-profile` as it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from vnodectl.clouds.alibaba import AlibabaSession, AlibabaSettings
from vnodectl.errors import VnodectlError
from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.resources import CONFIG_MAPS, NAMESPACES
from vnodectl.kube.watched import WatchedObject
from vnodectl.providers.eci import ApiLimits, EciSettings, LiveProfile, create_provider
from vnodectl.providers.eci import profile as profiles
from vnodectl.providers.timing import LoopTimer
from vnodectl.runtime import clock as clocks
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.provider import Provider
from vnodectl.webhook.patch import Wish
from vnodectl.webhook.server import Wishes

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that the first node waits for the profile, so that no pod is made without it."""

NAMESPACE_SECONDS = 10.0
NAMESPACE_TIMEOUT = 1.0
"""A webhook has two seconds by the chart's default."""

Opener = Callable[[str], AbstractAsyncContextManager[Provider]]


@asynccontextmanager
async def opener(
    environ: Mapping[str, str],
    *,
    connector: str,
    component: str,
    capacity: Mapping[str, str],
    client: KubeClient | None,
) -> AsyncIterator[Opener]:
    """Opens the provider of a node, by its name. Without a `client` there is no profile.

    `component` is who events name as their source. Raises `UsageError` for settings that cannot be right.
    """
    settings = EciSettings.from_environment(environ)
    limits = ApiLimits(LoopTimer())
    live = LiveProfile()
    async with (
        AlibabaSession(AlibabaSettings.from_environment(environ)) as session,
        followed(live, client, component),
    ):

        @asynccontextmanager
        async def open_(name: str) -> AsyncIterator[Provider]:
            provider = create_provider(
                session,
                settings,
                node_name=name,
                connector=connector,
                capacity=capacity,
                profile=lambda: live.current,
                limits=limits,
            )
            try:
                yield provider
            finally:
                await provider.aclose()

        yield open_


@asynccontextmanager
async def selecting(client: KubeClient) -> AsyncIterator[Wishes]:
    """What the profile's selectors say of new pods, for the admission webhook."""
    live, labels = LiveProfile(), NamespaceLabels(client)

    async def wishes(pod: JSON, namespace: str) -> Wish:
        profile, own = live.current, (pod.get("metadata") or {}).get("labels") or {}
        by_namespace = any(one.namespace_labels for one in profile.selectors)
        around = await labels.of(namespace) if by_namespace else {}
        if profile.selects(own, around) is None:
            return Wish(selected=False)
        return Wish(True, *profile.effects(own, around))

    # Whoever opens the nodes' providers tells what is wrong in it.
    async with followed(live, client, ""):
        yield wishes


class NamespaceLabels:
    """Labels of namespaces, read when they are asked for and good for a few seconds."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._read: dict[str, tuple[float, Mapping[str, str]]] = {}

    async def of(self, namespace: str) -> Mapping[str, str] | None:
        """None where they cannot be read."""
        now = asyncio.get_running_loop().time()
        self._read = {name: one for name, one in self._read.items() if now - one[0] < NAMESPACE_SECONDS}
        if namespace not in self._read:
            try:
                found = await self._client.get(NAMESPACES.path(name=namespace), timeout=NAMESPACE_TIMEOUT)
            except VnodectlError as error:
                log.warning("the labels of namespace %s cannot be read: %s", namespace, error)
                return None
            self._read[namespace] = (now, found["metadata"].get("labels") or {})
        return self._read[namespace][1]


@asynccontextmanager
async def followed(live: LiveProfile, client: KubeClient | None, component: str) -> AsyncIterator[None]:
    """`live` is kept up to date; what is wrong in the ConfigMap is logged, and told by an event on it where
    `component`, its source, is given."""
    if client is None:
        yield
        return
    events = EventRecorder(client, "vnodectl", component, clocks.system)

    def told(config_map: JSON | None) -> None:
        before = live.current
        live.take(config_map)
        if config_map is None:
            log.info("there is no ConfigMap %s/%s", profiles.NAMESPACE, profiles.NAME)
            return
        if not component:
            return
        about = {"apiVersion": "v1", "kind": "ConfigMap", **config_map}
        if live.problems:
            wrong = "; ".join(live.problems)
            log.warning("ConfigMap %s/%s: %s", profiles.NAMESPACE, profiles.NAME, wrong)
            events.record(about, "Warning", "InvalidProfile", f"{wrong} (ignored; the rest is used)")
        elif live.current != before:
            events.record(about, "Normal", "ProfileLoaded", "new pods get these settings")
        for one in live.current.without_effect():
            log.info("ConfigMap %s/%s: %s", profiles.NAMESPACE, profiles.NAME, one)

    watched = WatchedObject(client, CONFIG_MAPS, profiles.NAMESPACE, profiles.NAME, told)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(watched.run(), name="watch eci-profile"),
            group.create_task(events.run(), name="events of eci-profile"),
        ]
        try:
            async with asyncio.timeout(PATIENCE):
                await watched.synced.wait()
        except TimeoutError:
            log.warning("ConfigMap %s cannot be read; starting without it", profiles.NAME)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
