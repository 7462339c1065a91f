"""Spans of pods and provider calls, by OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
import builtins
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from vnodectl import traces
from vnodectl.errors import UsageError
from vnodectl.runtime.metrics import NodeMetrics, Operation
from vnodectl.runtime.provider import PodKey, Rejected

KEY = PodKey("default", "web", "u1")


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def metrics(exporter: InMemorySpanExporter) -> NodeMetrics:
    provider = traces.provided(SimpleSpanProcessor(exporter), {})
    return NodeMetrics("vn", traces.SpanMaker(provider.get_tracer("test")))


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_call_of_the_provider_is_part_of_its_pods_span(
    metrics: NodeMetrics, exporter: InMemorySpanExporter
):
    with metrics.sync(KEY), metrics.call(Operation.CREATE):
        pass
    spans = by_name(exporter)
    call, sync = spans["provider create"], spans["pod sync"]
    assert call.parent is not None
    assert call.parent.span_id == sync.context.span_id
    assert dict(sync.attributes or {}) == {
        "k8s.node.name": "vn",
        "k8s.namespace.name": "default",
        "k8s.pod.name": "web",
        "k8s.pod.uid": "u1",
    }
    assert (call.attributes or {})["vnodectl.outcome"] == "ok"
    assert sync.resource.attributes["service.name"] == "vnodectl-agent"


def test_an_error_is_told(metrics: NodeMetrics, exporter: InMemorySpanExporter):
    with pytest.raises(Rejected), metrics.call(Operation.CREATE):
        raise Rejected("TooBig", "no")
    span = by_name(exporter)["provider create"]
    assert (span.attributes or {})["vnodectl.outcome"] == "rejected"
    assert span.status.status_code is StatusCode.ERROR


async def test_a_stream_may_be_ended_by_another_task(
    metrics: NodeMetrics, exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
):
    async def chunks():
        with metrics.call(Operation.LOGS):
            yield b"one"
            yield b"two"

    stream = chunks()
    await asyncio.create_task(anext(stream))
    await stream.aclose()
    assert (by_name(exporter)["provider logs"].attributes or {})["vnodectl.outcome"] == "cancelled"
    assert caplog.text == ""


def test_the_services_name_is_the_users_to_choose():
    processor = SimpleSpanProcessor(InMemorySpanExporter())
    found = traces.provided(processor, {"OTEL_SERVICE_NAME": "mine"})
    assert found.resource.attributes["service.name"] != "vnodectl-agent"


async def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def missing(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError) as caught:
        async with traces.exported({}):
            pass
    assert "vnodectl[otel]" in caught.value.hint


@asynccontextmanager
async def collector(answer: Callable[[], Awaitable[None]]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An OTLP collector over HTTP: its address, and what it was sent."""
    sent: list[bytes] = []

    async def receive(request: web.Request) -> web.Response:
        sent.append(await request.read())
        await answer()
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", receive)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/"), sent


async def test_spans_reach_a_collector_at_the_latest_at_the_end(monkeypatch: pytest.MonkeyPatch):
    async def at_once() -> None: ...

    async with collector(at_once) as (address, sent):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        async with traces.exported({}) as tracer:
            with NodeMetrics("vn", tracer).sync(KEY):
                pass
        assert b"pod sync" in b"".join(gzipped(one) for one in sent)


def gzipped(body: bytes) -> bytes:
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


async def test_a_collector_that_does_not_answer_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch):
    released = asyncio.Event()

    async def never() -> None:
        await released.wait()

    monkeypatch.setattr(traces, "_END_SECONDS", 0.2)
    async with collector(never) as (address, sent):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")  # nor does the exporter's own patience
        async with traces.exported({}) as tracer:
            with tracer.span("x", {}):
                pass
        assert sent
        released.set()
