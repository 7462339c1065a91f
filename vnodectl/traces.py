"""OpenTelemetry behind the runtime's `Tracer`: the optional extra `vnodectl[otel]`, imported when wanted.

Where spans go, and how many of them, is said by the SDK's own variables: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, …
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from vnodectl import __version__
from vnodectl.errors import UsageError
from vnodectl.runtime.tracing import Span, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace import TracerProvider as Provider
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer as OtelTracer

_END_SECONDS = 2.0


@asynccontextmanager
async def exported(environ: Mapping[str, str]) -> AsyncIterator[Tracer]:
    """A tracer whose spans go to an OTLP collector, over HTTP. Raises UsageError without the extra."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise UsageError(
            "traces need OpenTelemetry, which is not installed", hint="pip install 'vnodectl[otel]'"
        ) from error
    provider = provided(BatchSpanProcessor(OTLPSpanExporter()), environ)
    try:
        yield SpanMaker(provider.get_tracer("vnodectl", __version__))
    finally:
        # It sends what is left. A collector that does not answer must not hold up the end of the process.
        end = threading.Thread(target=provider.shutdown, name="end of traces", daemon=True)
        end.start()
        await asyncio.to_thread(end.join, _END_SECONDS)


def provided(processor: SpanProcessor, environ: Mapping[str, str]) -> Provider:
    """A provider of this process's own, not the global one."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    name = {} if named else {"service.name": "vnodectl-agent"}
    resource = Resource.create({**name, "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


class SpanMaker:
    """The runtime's `Tracer`."""

    def __init__(self, tracer: OtelTracer) -> None:
        self._tracer = tracer

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, str], *, current: bool = True) -> Iterator[Span]:
        if current:
            with self._tracer.start_as_current_span(name, attributes=dict(attributes)) as started:
                yield _Open(started)
        else:
            with self._tracer.start_span(name, attributes=dict(attributes)) as started:
                yield _Open(started)


class _Open:
    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    def say(self, name: str, value: str) -> None:
        self._span.set_attribute(name, value)
