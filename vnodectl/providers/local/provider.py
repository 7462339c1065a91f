"""A node whose pods run on this machine, in whatever engine there is."""

from __future__ import annotations

import asyncio
import contextlib
import platform
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from vnodectl.engines.api import (
    ContainerUsage,
    Engine,
    EngineError,
    GroupEvent,
    GroupGone,
    GroupStatus,
    LogQuery,
    NoSuchGroup,
    NotSupported,
)
from vnodectl.engines.clock import Clock, SystemClock
from vnodectl.engines.hub import Hub, Subscription
from vnodectl.engines.select import open_engine
from vnodectl.engines.tasks import background
from vnodectl.providers.carrying import carry
from vnodectl.providers.local.names import group_name, pod_of
from vnodectl.providers.local.probes import direct
from vnodectl.providers.local.status import pod_status
from vnodectl.providers.local.streams import StreamsSession
from vnodectl.providers.local.translate import Options, translate
from vnodectl.providers.local.volumes import contents
from vnodectl.runtime.provider import (
    JSON,
    Files,
    Gone,
    Happened,
    Health,
    Listed,
    LogOptions,
    NodeInfo,
    NotFound,
    PodKey,
    PodStats,
    PortConnection,
    ProbeKind,
    ResolvedPod,
    Retryable,
    Seen,
    Sighting,
    Streams,
    Unsupported,
    Usage,
)

RELIST = 30.0  # seconds
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class LocalProvider:
    """The runtime's Provider over an engine that is started, and that it closes."""

    name = "local"
    stats_batch = 1
    """An engine is asked container by container, so nothing is won by asking for several pods at once."""
    late_fields = frozenset({"status.podIP", "status.podIPs"})

    def __init__(
        self,
        engine: Engine,
        *,
        node: str,
        capacity: Mapping[str, str],
        operating_system: str = "linux",
        options: Options | None = None,
        clock: Clock | None = None,
        relist: float = RELIST,
    ) -> None:
        self._engine = engine
        self._relist = relist
        self._node = node
        self._capacity = dict(capacity)
        self._operating_system = operating_system
        self._options = options or Options()
        self._clock = clock or SystemClock()
        self._well: bool | None = None
        self._sightings: Hub[Sighting] = Hub()
        self._fragments: dict[str, tuple[GroupStatus, JSON]] = {}
        self._told: dict[str, GroupEvent] = {}

    async def node(self) -> NodeInfo:
        machine = platform.machine()
        return NodeInfo(
            operating_system=self._operating_system,
            architecture=ARCHITECTURES.get(machine, machine),
            capacity=self._capacity,
            os_image=_os_image(),
            kernel_version=platform.release(),
            container_runtime_version=f"{self._engine.name}://{self._engine.version}",
        )

    async def create(self, pod: ResolvedPod) -> None:
        spec = translate(pod, self._node, self._options)
        with _translated():
            await self._engine.create(spec)

    async def delete(self, key: PodKey, *, grace: float) -> None:
        name = group_name(key)
        with _translated():
            try:
                await self._engine.get(name)
            except NoSuchGroup:
                self._sightings.publish(Gone(key))
                return
            await self._engine.delete(name, grace=grace)

    async def observe(self) -> AsyncGenerator[Sighting, None]:
        """Changes at once, and everything again every 30 s."""
        sightings = self._sightings.subscribe()
        # Watched before it is listed, so that nothing falls between the two.
        watch = self._engine.watch()
        async with (
            contextlib.aclosing(sightings),
            background(self._observe(watch, sightings), name="local-observe"),
        ):
            async for sighting in sightings:
                yield sighting

    async def logs(self, key: PodKey, container: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        query = _log_query(options, self._clock.now())
        left = options.limit_bytes
        with _translated():
            async with contextlib.aclosing(self._engine.logs(group_name(key), container, query)) as chunks:
                async for chunk in chunks:
                    if left is not None:
                        chunk, left = chunk[:left], left - len(chunk[:left])
                    if chunk:
                        yield chunk
                    if left == 0:
                        return

    async def exec(self, key: PodKey, container: str, command: Sequence[str], streams: Streams) -> int:
        with _translated():
            return await self._engine.exec(group_name(key), container, command, StreamsSession(streams))

    async def attach(self, key: PodKey, container: str, streams: Streams) -> None:
        with _translated():
            await self._engine.attach(group_name(key), container, StreamsSession(streams))

    async def port_forward(self, key: PodKey, port: int, connection: PortConnection) -> None:
        with _translated():
            status = await self._engine.get(group_name(key))
        if self._engine.simulates(one.image for one in status.containers + status.init_containers):
            raise Unsupported("a simulated pod has no ports")
        if not status.ip:
            raise Retryable("NoAddress", "the pod has no address yet")
        try:
            await carry(status.ip, port, connection)
        except OSError as error:
            raise Retryable("PortNotReached", f"port {port} of the pod: {error.strerror or error}") from error

    async def stats(self, keys: Sequence[PodKey]) -> list[PodStats]:
        """A group that is gone is left out, and so are containers that do not run."""
        found = []
        for key in keys:
            try:
                containers = await self._engine.usage(group_name(key))
            except NoSuchGroup:
                continue
            except EngineError as error:
                raise Retryable("EngineError", str(error)) from error
            found.append(PodStats(key, {one.name: _usage(one) for one in containers}))
        return found

    async def refresh(self, pod: ResolvedPod, volumes: frozenset[str]) -> None:
        name = group_name(pod.key)
        with _translated():
            for volume_name in sorted(volumes):
                volume = pod.volumes.get(volume_name)
                if isinstance(volume, Files):
                    await self._engine.write_files(name, volume_name, contents(volume))

    def direct_probes(self, pod: JSON) -> dict[str, frozenset[ProbeKind]]:
        """A simulated container answers nobody; what it is said to be is what it is."""
        spec = pod["spec"]
        everything = [*(spec.get("initContainers") or ()), *spec["containers"]]
        if self._engine.simulates(one["image"] for one in everything):
            return {}
        return {one["name"]: kinds for one in everything if (kinds := direct(one))}

    async def restart_container(self, key: PodKey, container: str, *, grace: float) -> None:
        with _translated():
            await self._engine.end_container(group_name(key), container, grace=grace)

    async def aclose(self) -> None:
        self._sightings.close()
        await self._engine.aclose()

    # --- inside -----------------------------------------------------------------------------------

    async def _observe(
        self, watch: AsyncIterator[GroupStatus | GroupGone], sightings: Subscription[Sighting]
    ) -> None:
        try:
            await self._look()
            async with background(self._look_again(), name="local-relist"):
                await self._follow(watch)
        finally:
            # So that `observe` ends, with the error if there is one, instead of waiting for ever.
            sightings.end()

    async def _follow(self, watch: AsyncIterator[GroupStatus | GroupGone]) -> None:
        async for change in watch:
            if (key := pod_of(change.labels, self._node)) is None:
                continue
            if isinstance(change, GroupGone):
                self._fragments.pop(change.name, None)
                self._told.pop(change.name, None)
                self._sightings.publish(Gone(key))
            else:
                self._sightings.publish(Seen(key, self._fragment(change)))
                self._tell(key, change)

    def _tell(self, key: PodKey, group: GroupStatus) -> None:
        """What happened to the group since it was last looked at."""
        if not group.events or self._told.get(group.name) is group.events[-1]:
            return
        for event in _since(group.events, self._told.get(group.name)):
            happened = Happened(key, event.type, event.reason, event.message, event.container)
            self._sightings.publish(happened)
        self._told[group.name] = group.events[-1]

    async def _look_again(self) -> None:
        while True:
            await self._clock.sleep(self._relist)
            await self._look()

    async def _look(self) -> None:
        """List everything, or say why that is not possible."""
        began = asyncio.get_running_loop().time()
        try:
            await self._engine.ping()
            groups = await self._engine.groups()
        except EngineError as error:
            self._well = False
            self._sightings.publish(Health(False, "EngineUnavailable", str(error)))
            return
        mine = [(key, group) for group in groups if (key := pod_of(group.labels, self._node)) is not None]
        self._sightings.publish(Listed(frozenset(key for key, _ in mine), began))
        for key, group in mine:
            self._sightings.publish(Seen(key, self._fragment(group)))
        if not self._well:
            self._well = True
            self._sightings.publish(Health(True, message=f"{self._engine.name} answers"))

    def _fragment(self, group: GroupStatus) -> JSON:
        """Built once per state: thousands of pods that do not change cost next to nothing."""
        known = self._fragments.get(group.name)
        if known is not None and (known[0] is group or known[0] == group):
            return known[1]
        fragment = pod_status(group)
        self._fragments[group.name] = (group, fragment)
        return fragment


async def create_provider(
    kind: str,
    *,
    scope: str,
    state_dir: Path,
    node: str,
    capacity: Mapping[str, str],
    network: str | None = None,
    operating_system: str = "linux",
    options: Options | None = None,
) -> LocalProvider:
    """A provider on a freshly started engine; see `vnodectl.engines.select.open_engine` for its arguments.

    Raises EngineError if the engine cannot be started.
    """
    engine = open_engine(kind, scope=scope, state_dir=state_dir, network=network)
    await engine.start()
    return LocalProvider(
        engine, node=node, capacity=capacity, operating_system=operating_system, options=options
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NoSuchGroup as error:
        raise NotFound(str(error)) from error
    except NotSupported as error:
        raise Unsupported(str(error)) from error
    except EngineError as error:
        raise Retryable("EngineError", str(error)) from error


def _since(events: Sequence[GroupEvent], last: GroupEvent | None) -> Sequence[GroupEvent]:
    for index in range(len(events) - 1, -1, -1):
        if events[index] is last:
            return events[index + 1 :]
    return events


def _usage(one: ContainerUsage) -> Usage:
    return Usage(one.time, one.cpu_seconds, one.memory_working_set, one.memory_usage)


def _log_query(options: LogOptions, now: float) -> LogQuery:
    since = None
    if options.since_time is not None:
        since = datetime.fromisoformat(options.since_time).timestamp()
    elif options.since is not None:
        since = now - options.since
    return LogQuery(options.follow, options.previous, options.timestamps, options.tail, since)


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return platform.system()
