"""What pods use, from the provider's samples to what metrics-server and kubectl read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.exposition import parse
from support.kubelet_api import Authority, Pods, Reviews, client_tls, session
from support.process_provider import ProcessProvider

from vnodectl.runtime.http.authn import TOKEN_TTL
from vnodectl.runtime.http.configz import configuration, duration
from vnodectl.runtime.http.identity import Identity
from vnodectl.runtime.http.server import KubeletServer, KubeletServerConfig
from vnodectl.runtime.http.stats import node_stats, pod_stats
from vnodectl.runtime.metrics import NodeMetrics
from vnodectl.runtime.provider import (
    Interface,
    PodKey,
    PodStats,
    Retryable,
    SupportsStats,
    Usage,
)
from vnodectl.runtime.usage import NodeUsage, UsageLimits

NOW = 1_700_000_000.0
STARTED = "2023-11-14T22:00:00Z"
JSON = dict[str, Any]


def a_pod(name: str, *containers: str, waiting: tuple[str, ...] = (), limit: str = "") -> JSON:
    names = containers or ("main",)
    resources = {"limits": {"memory": limit}} if limit else {}
    state = {one: {"running": {"startedAt": STARTED}} for one in names}
    state |= {one: {"waiting": {"reason": "ContainerCreating"}} for one in waiting}
    return {
        "metadata": {"namespace": "default", "name": name, "uid": f"uid-{name}"},
        "spec": {
            "containers": [{"name": one, "image": "i", "resources": resources} for one in (*names, *waiting)]
        },
        "status": {
            "phase": "Running",
            "startTime": STARTED,
            "containerStatuses": [{"name": one, "state": its} for one, its in state.items()],
        },
    }


class Sampler(ProcessProvider):
    """`cpu` is the core-seconds of every container by pod, `errors` what reading a pod raises, `stuck` never
    answers. Every read is a new sample unless the clock stands still."""

    stats_batch = 1

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.cpu: dict[str, dict[str, float]] = {}
        self.errors: dict[str, Exception] = {}
        self.stuck: set[str] = set()
        self.reads: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    async def stats(self, keys: Sequence[PodKey]) -> list[PodStats]:
        assert len(keys) <= self.stats_batch
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            found = [await self._one(key) for key in keys]
        finally:
            self.at_once -= 1
        return [one for one in found if one is not None]

    async def _one(self, key: PodKey) -> PodStats | None:
        self.reads.append(key.name)
        if key.name in self.stuck:
            await asyncio.Event().wait()
        if key.name in self.errors:
            raise self.errors[key.name]
        cpu = self.cpu.get(key.name)
        if cpu is None:
            return None
        containers = {name: Usage(self.clock(), used, 1000, 1500) for name, used in cpu.items()}
        return PodStats(key, containers, (Interface("eth0", 1, 2, 3, 4), Interface("eth1", 5, 6, 7, 8)))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sampler(clock: Clock) -> Sampler:
    return Sampler(clock)


def usage_of(sampler: Sampler, pods: Pods, **limits: Any) -> NodeUsage:
    """All times are the test's; only the limits of calls are real ones."""
    return NodeUsage(
        sampler,
        pods,
        clock=sampler.clock,
        limits=replace(UsageLimits(), **limits),
        timer=sampler.clock,
    )


def shown(usage: NodeUsage, name: str) -> JSON:
    [found] = [pod_stats(pod) for pod in usage.pods() if pod.key.name == name]
    return found


# --- samples --------------------------------------------------------------------------------------


async def test_the_first_sample_has_no_rate_and_the_second_has(clock, sampler):
    usage = usage_of(sampler, Pods(a_pod("web", "main", "side")))
    sampler.cpu["web"] = {"main": 3.0, "side": 1.0}
    await usage.refresh()
    first = shown(usage, "web")
    assert first["containers"][0] == {
        "name": "main",
        "startTime": STARTED,
        "cpu": {"time": "2023-11-14T22:13:20Z", "usageCoreNanoSeconds": 3_000_000_000},
        "memory": {"time": "2023-11-14T22:13:20Z", "usageBytes": 1500, "workingSetBytes": 1000},
    }
    clock.now += 10
    sampler.cpu["web"] = {"main": 8.0, "side": 1.0}
    await usage.refresh()
    second = shown(usage, "web")
    assert [one["cpu"].get("usageNanoCores") for one in second["containers"]] == [500_000_000, 0]
    assert second["cpu"] == {
        "time": "2023-11-14T22:13:30Z",
        "usageCoreNanoSeconds": 9_000_000_000,
        "usageNanoCores": 500_000_000,
    }
    assert second["memory"]["workingSetBytes"] == 2000
    assert second["podRef"] == {"name": "web", "namespace": "default", "uid": "uid-web"}
    assert second["startTime"] == STARTED


async def test_what_is_fresh_is_not_read_again(clock, sampler):
    usage = usage_of(sampler, Pods(a_pod("web")))
    sampler.cpu["web"] = {"main": 1.0}
    await asyncio.gather(usage.refresh(), usage.refresh(), usage.refresh())
    clock.now += 4.9
    await usage.refresh()
    assert sampler.reads == ["web"]
    clock.now += 0.2
    await usage.refresh()
    assert sampler.reads == ["web", "web"]


async def test_a_new_pod_is_read_at_once(sampler):
    pods = Pods(a_pod("old"))
    sampler.cpu = {"old": {"main": 1.0}, "new": {"main": 1.0}}
    usage = usage_of(sampler, pods)
    await usage.refresh()
    pods.items.append(a_pod("new"))
    await usage.refresh()
    assert sampler.reads == ["old", "new"]
    assert shown(usage, "new")["cpu"]["usageCoreNanoSeconds"] == 1_000_000_000


async def test_a_sample_that_the_cloud_repeats_changes_nothing(clock, sampler):
    usage = usage_of(sampler, Pods(a_pod("web")))
    sampler.cpu["web"] = {"main": 1.0}
    await usage.refresh()
    measured = Clock()
    sampler.clock = measured  # the cloud has not measured again
    clock.now += 30
    await usage.refresh()
    assert len(sampler.reads) == 2
    assert shown(usage, "web")["cpu"]["usageCoreNanoSeconds"] == 1_000_000_000
    measured.now, sampler.cpu["web"] = NOW + 60, {"main": 7.0}
    clock.now += 30
    await usage.refresh()
    assert shown(usage, "web")["cpu"]["usageNanoCores"] == 100_000_000


async def test_sums_never_shrink_when_containers_restart_or_end(clock, sampler):
    pods = Pods(a_pod("web", "main"), a_pod("job", "main"))
    usage = usage_of(sampler, pods)
    sampler.cpu = {"web": {"main": 10.0}, "job": {"main": 5.0}}
    await usage.refresh()
    clock.now += 10
    sampler.cpu["web"] = {"main": 2.0}  # restarted
    pods.items.pop()  # the job is gone
    await usage.refresh()
    web = shown(usage, "web")
    assert web["containers"][0]["cpu"] == {
        "time": "2023-11-14T22:13:30Z",
        "usageCoreNanoSeconds": 2_000_000_000,
    }
    assert web["cpu"]["usageCoreNanoSeconds"] == 12_000_000_000
    assert usage.cpu_seconds == 17.0
    assert [pod.key.name for pod in usage.pods()] == ["web"]


async def test_only_what_runs_is_shown(sampler):
    pods = Pods(a_pod("half", "main", waiting=("slow",)), a_pod("none", waiting=("main",)))
    pods.items.append({**a_pod("new"), "status": {}})
    sampler.cpu = {"half": {"main": 1.0, "ended": 9.0}}
    usage = usage_of(sampler, pods)
    await usage.refresh()
    assert [[one.name for one in pod.containers] for pod in usage.pods()] == [["main"]]
    assert sampler.reads == ["half"]


async def test_available_memory_is_what_the_limit_leaves(sampler):
    sampler.cpu = {"small": {"main": 1.0}, "tiny": {"main": 1.0}}
    usage = usage_of(sampler, Pods(a_pod("small", limit="4Ki"), a_pod("tiny", limit="500")))
    await usage.refresh()
    assert shown(usage, "small")["containers"][0]["memory"]["availableBytes"] == 3096
    assert shown(usage, "tiny")["containers"][0]["memory"]["availableBytes"] == 0


async def test_the_network_is_told_unless_only_cpu_and_memory_are_wanted(sampler):
    sampler.cpu["web"] = {"main": 1.0}
    usage = usage_of(sampler, Pods(a_pod("web")))
    await usage.refresh()
    network = shown(usage, "web")["network"]
    assert (network["name"], network["rxBytes"], network["txErrors"]) == ("eth0", 1, 4)
    assert [one["name"] for one in network["interfaces"]] == ["eth0", "eth1"]
    [pod] = usage.pods()
    assert "network" not in pod_stats(pod, brief=True)


# --- slow and broken pods -------------------------------------------------------------------------


async def test_a_slow_and_a_broken_pod_cost_the_others_nothing(clock, sampler):
    names = [f"pod-{number}" for number in range(40)]
    sampler.cpu = {name: {"main": 1.0} for name in names}
    sampler.stuck = {"pod-3"}
    sampler.errors = {"pod-5": Retryable("Busy", "later"), "pod-7": RuntimeError("bug")}
    usage = usage_of(sampler, Pods(*(a_pod(name) for name in names)), call=0.02, scrape=3600.0, calls=4)
    async with asyncio.timeout(10):
        await usage.refresh()
    assert usage.failures == 3
    missing = {pod.key.name for pod in usage.pods() if pod.cpu_seconds is None}
    assert missing == {"pod-3", "pod-5", "pod-7"}
    assert sampler.most_at_once == 4
    assert shown(usage, "pod-3")["containers"] == [{"name": "main", "startTime": STARTED}]


async def test_those_that_failed_are_tried_last(clock, sampler):
    sampler.cpu = {"a": {"main": 1.0}, "b": {"main": 1.0}}
    sampler.errors = {"a": Retryable("Busy", "later"), "b": Retryable("Busy", "later")}
    usage = usage_of(sampler, Pods(a_pod("a"), a_pod("b")), calls=1)
    await usage.refresh()
    failed_first = sampler.reads[0]
    del sampler.errors["a" if failed_first == "b" else "b"]
    clock.now += 10
    await usage.refresh()
    sampler.reads.clear()
    clock.now += 10
    await usage.refresh()
    assert sampler.reads[-1] == failed_first


async def test_a_scrape_ends_in_time_whatever_hangs(sampler):
    names = [f"pod-{number}" for number in range(20)]
    sampler.stuck = set(names)
    usage = usage_of(sampler, Pods(*(a_pod(name) for name in names)), calls=2, call=60.0, scrape=0.02)
    async with asyncio.timeout(10):
        await usage.refresh()
    assert usage.failures == 20
    assert sampler.at_once == 0


async def test_the_last_sample_is_shown_until_it_is_stale(clock, sampler):
    sampler.cpu["web"] = {"main": 1.0}
    usage = usage_of(sampler, Pods(a_pod("web")))
    await usage.refresh()
    sampler.errors["web"] = Retryable("Busy", "later")
    clock.now += 60
    await usage.refresh()
    assert usage.failures == 1
    assert shown(usage, "web")["cpu"]["time"] == "2023-11-14T22:13:20Z"
    clock.now += 1
    assert "cpu" not in shown(usage, "web")
    del sampler.errors["web"]
    clock.now += 10
    await usage.refresh()
    assert usage.failures == 0
    assert "cpu" in shown(usage, "web")


async def test_a_pod_without_a_sample_is_no_failure(sampler):
    usage = usage_of(sampler, Pods(a_pod("ended")))
    await usage.refresh()
    assert usage.failures == 0


async def test_trouble_is_logged_once(clock, sampler, caplog):
    sampler.cpu["web"] = {"main": 1.0}
    sampler.errors["web"] = Retryable("Busy", "the engine is busy")
    usage = usage_of(sampler, Pods(a_pod("web")))
    for _ in range(3):
        await usage.refresh()
        clock.now += 10
    assert [record.message for record in caplog.records] == [
        "the usage of 1 pods cannot be read: default/web: the engine is busy"
    ]


async def test_pods_are_read_in_the_batches_that_the_provider_takes(sampler):
    names = [f"pod-{number}" for number in range(7)]
    sampler.stats_batch = 3
    sampler.cpu = {name: {"main": 1.0} for name in names}
    metrics = NodeMetrics()
    usage = NodeUsage(sampler, Pods(*(a_pod(name) for name in names)), clock=sampler.clock, metrics=metrics)
    await usage.refresh()
    assert usage.cpu_seconds == 7.0
    calls = parse(metrics.text())["vnodectl_provider_calls_total"].samples
    [count] = [
        value
        for (_, labels), value in calls.items()
        if dict(labels) == {"operation": "stats", "outcome": "ok"}
    ]
    assert count == 3


async def test_a_provider_that_measures_nothing_is_no_error(clock):
    provider = ProcessProvider()
    assert not isinstance(provider, SupportsStats)
    usage = NodeUsage(provider, Pods(a_pod("web")), clock=clock)
    await usage.refresh()
    assert usage.failures == 0
    [pod] = usage.pods()
    assert pod_stats(pod)["containers"] == [{"name": "main", "startTime": STARTED}]
    assert node_stats("n1", NOW, 0.0, usage.pods()) == {
        "nodeName": "n1",
        "startTime": "2023-11-14T22:13:20Z",
    }


# --- over HTTPS -----------------------------------------------------------------------------------


@asynccontextmanager
async def served(
    directory: Path, pods: Pods, provider: ProcessProvider, usage: NodeUsage | None, **more: Any
) -> AsyncIterator[Any]:
    """A function that gets a path."""
    authority, reviews = Authority(), Reviews()
    reviews.tokens["metrics-server"] = Identity("system:serviceaccount:kube-system:metrics-server")
    reviews.allow = lambda _, attributes: attributes.subresource in ("metrics", "stats")
    pair = authority.issue("server")
    config = KubeletServerConfig("n1", lambda: pair, lambda: authority.pem, address="127.0.0.1", port=0)
    metrics = NodeMetrics("n1")
    server = KubeletServer(
        config, pods, provider, reviews, metrics=metrics.text, usage=usage, calls=metrics, **more
    )
    await server.start()
    try:
        async with session(client_tls(directory)) as client:

            async def get(path: str) -> tuple[int, str, str]:
                url = f"https://127.0.0.1:{server.port}{path}"
                headers = {"Authorization": "Bearer metrics-server"}
                async with client.get(url, headers=headers) as response:
                    return response.status, response.headers["Content-Type"], await response.text()

            yield get
    finally:
        await server.stop()


async def test_what_metrics_server_reads(tmp_path, sampler):
    pods = Pods(a_pod("web", "main", "side"), a_pod("broken"), a_pod('we"ird\\'))
    sampler.cpu = {"web": {"main": 2.5, "side": 0.5}, 'we"ird\\': {"main": 1.0}}
    sampler.errors["broken"] = Retryable("Busy", "later")
    async with served(tmp_path, pods, sampler, usage_of(sampler, pods)) as get:
        status, kind, text = await get("/metrics/resource")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = parse(text)
    main = (("container", "main"), ("pod", "web"), ("namespace", "default"))
    cpu = families["container_cpu_usage_seconds_total"]
    assert cpu.kind == "counter"
    assert cpu.samples["container_cpu_usage_seconds_total", main] == 2.5
    assert cpu.times["container_cpu_usage_seconds_total", main] == NOW * 1000
    assert len(cpu.samples) == 3
    memory = families["container_memory_working_set_bytes"].samples
    assert memory["container_memory_working_set_bytes", main] == 1000
    starts = families["container_start_time_seconds"]
    assert starts.samples["container_start_time_seconds", main] == 1_699_999_200
    assert len(starts.samples) == 4
    assert not starts.times
    web = (("namespace", "default"), ("pod", "web"))
    assert families["pod_cpu_usage_seconds_total"].samples["pod_cpu_usage_seconds_total", web] == 3.0
    assert families["pod_memory_working_set_bytes"].samples["pod_memory_working_set_bytes", web] == 2000
    assert families["node_cpu_usage_seconds_total"].samples["node_cpu_usage_seconds_total", ()] == 4.0
    assert families["node_memory_working_set_bytes"].samples["node_memory_working_set_bytes", ()] == 3000
    assert families["scrape_error"].samples == {("scrape_error", ()): 1.0}
    assert families["resource_scrape_error"].samples == {("resource_scrape_error", ()): 1.0}


async def test_what_dashboards_read_of_a_kubelet_s_containers(tmp_path, sampler):
    pods = Pods(a_pod("web", "main", "side", waiting=("late",)), a_pod("broken"), a_pod("unmeasured"))
    sampler.cpu = {"web": {"main": 2.5, "side": 0.5}}
    sampler.errors["broken"] = Retryable("Busy", "later")
    async with served(tmp_path, pods, sampler, usage_of(sampler, pods)) as get:
        status, kind, text = await get("/metrics/cadvisor")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = parse(text)

    def labels(pod: str, container: str = "") -> tuple[tuple[str, str], ...]:
        image = "i" if container else ""
        return (("container", container), ("image", image), ("namespace", "default"), ("pod", pod))

    name, total = "container_cpu_usage_seconds_total", ("cpu", "total")
    cpu = families[name]
    assert cpu.kind == "counter"
    assert cpu.samples == {
        (name, (*labels("web"), total)): 3.0,
        (name, (*labels("web", "main"), total)): 2.5,
        (name, (*labels("web", "side"), total)): 0.5,
    }
    assert set(cpu.times.values()) == {NOW * 1000}
    for name, each in {
        "container_memory_working_set_bytes": 1000,
        "container_memory_usage_bytes": 1500,
    }.items():
        assert families[name].samples == {
            (name, labels("web")): 2 * each,
            (name, labels("web", "main")): each,
            (name, labels("web", "side")): each,
        }
    starts = families["container_start_time_seconds"].samples
    assert {dict(one)["pod"] for _, one in starts} == {"web", "broken", "unmeasured"}
    assert {dict(one)["container"] for _, one in starts} == {"", "main", "side"}
    assert set(starts.values()) == {1_699_999_200}
    name = "container_network_transmit_bytes_total"
    assert families[name].samples == {
        (name, (*labels("web"), ("interface", "eth0"))): 3,
        (name, (*labels("web"), ("interface", "eth1"))): 7,
    }
    name = "container_network_receive_errors_total"
    assert families[name].samples[name, (*labels("web"), ("interface", "eth1"))] == 6
    assert families["container_scrape_error"].samples == {("container_scrape_error", ()): 1.0}


async def test_counts_of_probes_are_a_valid_page_with_and_without_any(tmp_path, sampler):
    counts: dict[tuple[str, ...], float] = {}
    async with served(tmp_path, Pods(), sampler, None, probes=lambda: counts) as get:
        status, kind, text = await get("/metrics/probes")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        family = parse(text)["prober_probe_total"]
        assert (family.kind, family.samples) == ("counter", {})
        counts["Liveness", "failed", "main", "web", "default", "uid-web"] = 3
        found = parse((await get("/metrics/probes"))[2])["prober_probe_total"].samples
    [((_, labels), count)] = found.items()
    assert count == 3
    assert dict(labels) == {
        "probe_type": "Liveness",
        "result": "failed",
        "container": "main",
        "pod": "web",
        "namespace": "default",
        "pod_uid": "uid-web",
    }


async def test_a_scrape_without_pods_or_errors(tmp_path, sampler):
    pods = Pods()
    async with served(tmp_path, pods, sampler, usage_of(sampler, pods)) as get:
        families = parse((await get("/metrics/resource"))[2])
        summary = json.loads((await get("/stats/summary"))[2])
    assert families["resource_scrape_error"].samples == {("resource_scrape_error", ()): 0.0}
    assert summary == {"node": {"nodeName": "n1", "startTime": "2023-11-14T22:13:20Z"}, "pods": []}


async def test_the_summary(tmp_path, sampler):
    names = [f"pod-{number}" for number in range(300)]  # more than one piece on the wire
    pods = Pods(*(a_pod(name) for name in names))
    sampler.cpu = {name: {"main": 0.5} for name in names}
    async with served(tmp_path, pods, sampler, usage_of(sampler, pods)) as get:
        status, kind, text = await get("/stats/summary")
        brief = json.loads((await get("/stats/summary?only_cpu_and_memory=true"))[2])
    assert (status, kind) == (200, "application/json")
    summary = json.loads(text)
    assert summary["node"]["nodeName"] == "n1"
    assert summary["node"]["cpu"]["usageCoreNanoSeconds"] == 150_000_000_000
    assert summary["node"]["memory"]["workingSetBytes"] == 300_000
    assert [pod["podRef"]["name"] for pod in summary["pods"]] == names
    assert "network" in summary["pods"][0]
    assert "network" not in brief["pods"][0]


async def test_the_nodes_own_metrics_count_scrapes(tmp_path, sampler):
    pods = Pods(a_pod("web"))
    sampler.cpu["web"] = {"main": 1.0}
    async with served(tmp_path, pods, sampler, usage_of(sampler, pods)) as get:
        status, _, text = await get("/metrics")
        assert status == 200
        assert "vnodectl_provider_calls_total" in parse(text)
        assert (await get("/pods"))[0] == 403


async def test_without_usage_the_paths_do_not_exist(tmp_path, sampler):
    async with served(tmp_path, Pods(), sampler, None) as get:
        assert (await get("/stats/summary"))[0] == 404
        for path in ("resource", "cadvisor", "probes"):
            assert (await get(f"/metrics/{path}"))[0] == 404


# --- configz --------------------------------------------------------------------------------------


def test_configz_tells_what_holds():
    config = KubeletServerConfig(
        "n1", lambda: Authority().issue("n1"), address="10.0.0.4", port=0, anonymous_auth=True
    )
    told = configuration(config, port=10250, capacity={"pods": "200", "cpu": "10"})
    assert (told["address"], told["port"], told["maxPods"]) == ("10.0.0.4", 10250, 200)
    assert told["authentication"]["anonymous"] == {"enabled": True}
    assert told["authentication"]["webhook"]["cacheTTL"] == duration(TOKEN_TTL) == "2m0s"
    assert told["authorization"]["mode"] == "Webhook"
    assert told["streamingConnectionIdleTimeout"] == "4h0m0s"
    assert "maxPods" not in configuration(config, port=1, capacity={"pods": "20k"})
    json.dumps(told)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (1.5, "1.5s"), (40, "40s"), (240, "4m0s"), (3661, "1h1m1s")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
