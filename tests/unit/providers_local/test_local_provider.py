"""The provider over the simulated engine: what the runtime asks for and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from manual_clock import ManualClock

from vnodectl import __version__
from vnodectl.engines.api import EngineError, GroupEvent, GroupSpec
from vnodectl.engines.select import open_engine
from vnodectl.engines.simulated.engine import SimulatedEngine
from vnodectl.providers.local.provider import LocalProvider, create_provider
from vnodectl.runtime.provider import (
    File,
    Files,
    Gone,
    Happened,
    Health,
    Listed,
    LogOptions,
    NotFound,
    PodKey,
    ProbeKind,
    Rejected,
    ResolvedPod,
    Retryable,
    Seen,
    Sighting,
    SupportsAttach,
    SupportsFileRefresh,
    SupportsPortForward,
    TerminalSize,
    Unsupported,
)


class FlakyEngine(SimulatedEngine):
    """Can be made to answer nothing."""

    broken = ""

    async def ping(self) -> None:
        if self.broken:
            raise EngineError(self.broken)

    async def create(self, spec: GroupSpec) -> None:
        await self.ping()
        await super().create(spec)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def engine(clock):
    engine = FlakyEngine(home=None, clock=clock)
    await engine.start()
    return engine


@pytest.fixture
async def provider(engine, clock) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(engine, node="node-1", capacity={"cpu": "2", "pods": "110"}, clock=clock)
    yield provider
    await provider.aclose()


class Observer:
    """Reads what a provider observes, one at a time."""

    def __init__(self, provider: LocalProvider) -> None:
        self.sightings = provider.observe()

    async def next(self) -> Sighting:
        async with asyncio.timeout(20):
            return await anext(self.sightings)

    async def __aenter__(self) -> Observer:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.sightings.aclose()


def pod(uid: str = "u1", **container) -> ResolvedPod:
    key = PodKey("default", f"web-{uid}", uid)
    spec = {"containers": [{"name": "web", "image": "app:1"} | container]}
    return ResolvedPod(key, {"metadata": {}, "spec": spec}, {}, {})


def test_it_has_the_optional_abilities():
    for ability in (SupportsAttach, SupportsFileRefresh, SupportsPortForward):
        assert isinstance(LocalProvider, type)
        assert issubclass(LocalProvider, ability)


async def test_the_node(provider):
    info = await provider.node()
    assert info.operating_system == "linux"
    assert info.architecture in ("amd64", "arm64")
    assert info.capacity == {"cpu": "2", "pods": "110"}
    assert info.container_runtime_version == f"simulated://{__version__}"


async def test_observing_begins_with_a_whole_list(provider):
    await provider.create(pod("u1"))
    async with Observer(provider) as observer:
        listed = await observer.next()
        assert isinstance(listed, Listed)
        assert listed.keys == {pod("u1").key}
        assert listed.began <= asyncio.get_running_loop().time()
        seen = await observer.next()
        assert isinstance(seen, Seen)
        assert seen.key == pod("u1").key
        assert seen.status["containerStatuses"][0]["ready"] is True
        assert await observer.next() == Health(True, message="simulated answers")


async def test_changes_are_told_at_once(provider):
    async with Observer(provider) as observer:
        await observer.next()
        await observer.next()
        await provider.create(pod("u2"))
        seen = await observer.next()
        assert isinstance(seen, Seen)
        assert seen.status["podIP"].startswith("198.18.")
        await provider.delete(pod("u2").key, grace=0)
        assert await observer.next() == Gone(pod("u2").key)


async def test_everything_is_told_again_later(provider, clock):
    await provider.create(pod("u1"))
    async with Observer(provider) as observer:
        first = [await observer.next() for _ in range(3)]
        await clock.advance(30)
        again = [await observer.next() for _ in range(2)]
        assert again[0].keys == first[0].keys
        assert again[1].status is first[1].status, "an unchanged pod costs nothing"


async def test_a_group_that_does_not_exist_is_gone(provider):
    async with Observer(provider) as observer:
        await observer.next()
        await observer.next()
        await provider.delete(PodKey("default", "never", "u9"), grace=30)
        assert await observer.next() == Gone(PodKey("default", "never", "u9"))


async def test_an_engine_that_is_away_makes_the_node_unwell_and_lists_nothing(provider, engine, clock):
    engine.broken = "podman does not answer"
    async with Observer(provider) as observer:
        assert await observer.next() == Health(False, "EngineUnavailable", "podman does not answer")
        with pytest.raises(Retryable):
            await provider.create(pod())
        engine.broken = ""
        await clock.advance(30)
        assert isinstance(await observer.next(), Listed)
        assert (await observer.next()).ok is True


async def test_groups_of_other_nodes_are_not_ours(provider, engine):
    other = LocalProvider(engine, node="node-2", capacity={})
    await other.create(pod("u1"))
    async with Observer(provider) as observer:
        assert (await observer.next()).keys == frozenset()


async def test_creating_is_idempotent_and_may_be_refused(provider, engine):
    await provider.create(pod())
    await provider.create(pod())
    assert len(await engine.groups()) == 1
    with pytest.raises(Rejected):
        await provider.create(pod("u2", lifecycle={"preStop": {}}))


async def test_logs_and_their_limit(provider):
    await provider.create(pod())

    async def log(**options) -> bytes:
        chunks = [chunk async for chunk in provider.logs(pod().key, "web", LogOptions(**options))]
        return b"".join(chunks)

    whole = await log()
    assert whole.startswith(b"simulated")
    assert await log(limit_bytes=12) == whole[:12]
    assert await log(limit_bytes=0) == b""
    async with asyncio.timeout(20):
        assert await log(limit_bytes=12, follow=True) == whole[:12]
    assert await log(since=0) != b""
    assert await log(since_time="2100-01-01T00:00:00Z") == b""
    for name, container in ((PodKey("a", "b", "c"), "web"), (pod().key, "other")):
        with pytest.raises(NotFound):
            await anext(provider.logs(name, container, LogOptions()))
    with pytest.raises(NotFound, match="previous"):
        await log(previous=True)


class Streams:
    tty = False
    wants_stdin = False
    wants_stdout = True
    wants_stderr = True

    def __init__(self) -> None:
        self.stdout = b""

    async def read_stdin(self) -> bytes:
        return b""

    async def write_stdout(self, data: bytes) -> None:
        self.stdout += data

    async def write_stderr(self, data: bytes) -> None: ...

    async def resizes(self) -> AsyncIterator[TerminalSize]:
        return
        yield


async def test_exec_and_attach(provider):
    await provider.create(pod())
    streams = Streams()
    assert await provider.exec(pod().key, "web", ["ls"], streams) == 0
    assert b"would run: ls" in streams.stdout
    await provider.attach(pod().key, "web", streams)
    silent = Streams()
    silent.wants_stdout = False
    await provider.exec(pod().key, "web", ["ls"], silent)
    assert silent.stdout == b""
    with pytest.raises(NotFound):
        await provider.exec(PodKey("a", "b", "c"), "web", ["ls"], streams)


async def test_a_simulated_pod_has_no_ports(provider):
    await provider.create(pod())
    with pytest.raises(Unsupported):
        await provider.port_forward(pod().key, 80, None)


async def test_refresh_writes_only_volumes_of_files(provider, engine, mocker):
    write = mocker.spy(engine, "write_files")
    base = pod()
    await provider.create(base)
    fresh = ResolvedPod(
        base.key, base.pod, {}, {"token": Files((File("token", b"new"),)), "other": Files(())}
    )
    await provider.refresh(fresh, frozenset({"token", "absent"}))
    [call] = write.call_args_list
    assert call.args[1] == "token"
    assert [(file.path, file.content) for file in call.args[2]] == [("token", b"new")]


async def test_five_thousand_pods_are_seen(provider):
    async with Observer(provider) as observer:
        await observer.next()
        await observer.next()
        for index in range(5000):
            await provider.create(pod(f"u{index}"))
        keys = {(await observer.next()).key for _ in range(5000)}
        assert len(keys) == 5000


async def test_a_provider_is_made_by_the_name_of_its_engine(tmp_path):
    provider = await create_provider(
        "simulated", scope="demo", state_dir=tmp_path, node="node-1", capacity={"cpu": "1"}
    )
    await provider.create(pod())
    await provider.aclose()
    again = await create_provider("simulated", scope="demo", state_dir=tmp_path, node="node-1", capacity={})
    async with Observer(again) as observer:
        assert (await observer.next()).keys == {pod().key}
    await again.aclose()


async def test_what_happens_to_a_group_is_told_once(provider, engine):
    first = GroupEvent(1.0, "Normal", "Pulled", "it is there", "web")
    second = GroupEvent(2.0, "Warning", "Unhealthy", "no answer", "web")
    async with Observer(provider) as observer:
        await observer.next()
        await observer.next()
        await provider.create(pod())
        await observer.next()
        (group,) = await engine.groups()
        for events in ((first,), (first,), (first, second)):
            engine._hub.publish(replace(group, events=events))
        told = [await observer.next() for _ in range(5)]
    key = pod().key
    assert [one for one in told if isinstance(one, Happened)] == [
        Happened(key, "Normal", "Pulled", "it is there", "web"),
        Happened(key, "Warning", "Unhealthy", "no answer", "web"),
    ]


async def test_a_container_is_restarted_for_the_runtime(provider, engine):
    await provider.create(pod())
    await provider.restart_container(pod().key, "web", grace=5)
    (group,) = await engine.groups()
    assert group.containers[0].restarts == 1
    with pytest.raises(NotFound):
        await provider.restart_container(pod("absent").key, "web", grace=5)


@pytest.mark.parametrize(
    ("kind", "image", "kinds"),
    [
        ("podman", "app:1", {"web": {ProbeKind.READINESS}}),
        ("simulated", "app:1", {}),
        ("process", "app:1", {}),
        ("process", "localhost/vnodectl:1", {"web": {ProbeKind.READINESS}}),
    ],
)
def test_grpc_probes_are_left_to_the_runtime_where_something_could_answer(kind, image, kinds, tmp_path):
    engine = open_engine(kind, scope="s", state_dir=tmp_path)
    left = LocalProvider(engine, node="node-1", capacity={})
    assert left.direct_probes(pod(image=image, readinessProbe={"grpc": {"port": 1}}).pod) == kinds


async def test_an_image_that_the_process_engine_does_not_know_is_simulated_and_has_no_ports(tmp_path):
    left = await create_provider("process", scope="s", state_dir=tmp_path, node="node-1", capacity={})
    try:
        await left.create(pod())
        with pytest.raises(Unsupported, match="simulated"):
            await left.port_forward(pod().key, 80, None)
    finally:
        await left.aclose()
