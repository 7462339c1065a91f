"""What the pods of a node leave in its metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.exposition import Family, parse
from support.fake_api import FakeApi, fake_cluster, status
from support.fake_provider import FakeProvider, running

from vnodectl import traces
from vnodectl.runtime import clock
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.facts import NodeFacts
from vnodectl.runtime.lookups import Lookups
from vnodectl.runtime.metrics import NodeMetrics
from vnodectl.runtime.pods import PodController
from vnodectl.runtime.provider import Rejected, Seen
from vnodectl.runtime.tracing import Tracer

JSON = dict[str, Any]


@asynccontextmanager
async def node(
    provider: FakeProvider, tracer: Tracer | None = None
) -> AsyncIterator[tuple[FakeApi, PodController, NodeMetrics]]:
    """A controller with one worker, so that pods are handled in order; events are recorded but not sent."""
    facts = NodeFacts("n1", ("10.0.0.4",), {})
    metrics = NodeMetrics("n1", tracer)
    async with fake_cluster() as (api, client):
        api.refuse = lambda method, *_: web.json_response({}) if method == "PATCH" else None
        lookups = Lookups(client, lambda: facts)
        controller = PodController(
            client,
            provider,
            lookups,
            EventRecorder(client, "test", "n1", clock.system),
            node=lambda: facts,
            clock=clock.system,
            on_health=lambda _: None,
            metrics=metrics,
        )
        tasks = [
            asyncio.create_task(controller.work(), name="worker"),
            asyncio.create_task(controller.observe(), name="observe"),
        ]
        try:
            async with asyncio.timeout(20):
                yield api, controller, metrics
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            controller.queue.close()
            await lookups.aclose()


def a_pod(name: str, phase: str = "Pending") -> JSON:
    return {
        "metadata": {"namespace": "default", "name": name, "uid": f"uid-{name}"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], "enableServiceLinks": False},
        "status": {"phase": phase},
    }


async def handled(api: FakeApi, controller: PodController, last: str = "last") -> None:
    """Wait until everything that was queued so far is done: a pod that comes last has been given a status."""
    controller.changed(a_pod(last))
    await api.until(lambda: f"PATCH /api/v1/namespaces/default/pods/{last}/status" in api.requests)


def total(families: dict[str, Family], family: str, **labels: str) -> float:
    """Of all series of the family that have these labels; of a histogram, what it has counted."""
    wanted = set(labels.items())
    name = f"{family}_count" if families[family].kind == "histogram" else family
    return sum(
        value
        for (sample, pairs), value in families[family].samples.items()
        if sample == name and wanted <= set(pairs)
    )


async def test_a_pods_start_is_timed_once():
    provider = FakeProvider()
    async with node(provider) as (api, controller, metrics):
        controller.replaced([a_pod("web")])
        await handled(api, controller)
        controller.changed(a_pod("web", "Running"))
        [web] = [pod for pod in provider.created if pod.key.name == "web"]
        controller.sighted(Seen(web.key, {**running(web), "podIP": "10.1.0.10"}))
        await handled(api, controller, "later")
        families = parse(metrics.text())
    assert api.requests.count("PATCH /api/v1/namespaces/default/pods/web/status") == 2
    assert total(families, "kubelet_pod_start_duration_seconds") == 2  # "web" and "last"
    assert total(families, "vnodectl_provider_calls_total", operation="create", outcome="ok") == 3
    assert total(families, "vnodectl_pods", phase="Running") == 1
    assert total(families, "vnodectl_pods") == 3
    assert total(families, "workqueue_work_duration_seconds") >= 5
    assert total(families, "vnodectl_pod_syncs_total", result="error") == 0


async def test_a_pod_that_ran_before_this_process_did_is_not_timed():
    provider = FakeProvider()
    async with node(provider) as (api, controller, metrics):
        controller.replaced([a_pod("old", "Running")])
        await handled(api, controller)
        families = parse(metrics.text())
    assert provider.created
    assert total(families, "kubelet_pod_start_duration_seconds") == 0


async def test_a_rejected_pod_is_counted_as_such():
    provider = FakeProvider()
    provider.fail.append(Rejected("TooBig", "needs more than there is"))
    async with node(provider) as (api, controller, metrics):
        controller.replaced([a_pod("big")])
        await handled(api, controller)
        families = parse(metrics.text())
    assert total(families, "vnodectl_provider_calls_total", outcome="rejected") == 1
    assert total(families, "vnodectl_pod_syncs_total", result="ok") >= 1
    assert total(families, "vnodectl_pod_syncs_total", result="error") == 0


async def test_trouble_with_the_api_server_and_bugs_are_told_apart():
    provider = FakeProvider()
    provider.fail.append(KeyError("bug"))  # type: ignore[arg-type]
    async with node(provider) as (api, controller, metrics):
        answer = api.refuse
        api.refuse = lambda method, plural, name: (
            status(403, "Forbidden") if name == "unlucky" else answer(method, plural, name)
        )
        controller.replaced([a_pod("buggy"), a_pod("unlucky")])
        await handled(api, controller)
        await handled(api, controller, "later")
        families = parse(metrics.text())
    assert total(families, "vnodectl_pod_syncs_total", result="error") == 1
    assert total(families, "vnodectl_provider_calls_total", outcome="error") == 1
    assert total(families, "vnodectl_pod_syncs_total", result="api_error") == 1


async def test_each_look_at_a_pod_is_a_span_with_the_providers_call_in_it():
    exporter = InMemorySpanExporter()
    traced = traces.provided(SimpleSpanProcessor(exporter), {})
    async with node(FakeProvider(), traces.SpanMaker(traced.get_tracer("test"))) as (api, controller, _):
        controller.replaced([a_pod("web")])
        await handled(api, controller)
    spans = exporter.get_finished_spans()
    syncs = {
        span.context.span_id: span.attributes["k8s.pod.name"] for span in spans if span.name == "pod sync"
    }
    creates = [syncs[span.parent.span_id] for span in spans if span.name == "provider create"]
    assert sorted(creates) == ["last", "web"]
