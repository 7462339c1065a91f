"""What one node counts about itself: its queue, its provider's answers, its pods.

Names follow what dashboards know: `workqueue_*` as client-go has them, `kubelet_*` where it is the same
thing as a kubelet's, `process_*` as every client library, and `vnodectl_*` for the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from types import TracebackType

from vnodectl import __version__
from vnodectl.kube.listwatch import ListWatch, WatchCounts
from vnodectl.logs import about
from vnodectl.runtime import provider as contract
from vnodectl.runtime.process import add_process_metrics
from vnodectl.runtime.prometheus import Counter, Histogram, Reading, Registry
from vnodectl.runtime.provider import PodKey
from vnodectl.runtime.tracing import Span, Tracer, pod_attributes

_LATENCY = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0)
_CALL = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_START = (0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1800.0)


class Operation(StrEnum):
    """What the runtime asks of a provider. PRE_STOP: an exec of its own accord, for a hook."""

    CREATE = "create"
    DELETE = "delete"
    REFRESH = "refresh"
    RESTART = "restart_container"
    PRE_STOP = "pre_stop"
    STATS = "stats"
    LOGS = "logs"
    EXEC = "exec"
    ATTACH = "attach"
    PORT_FORWARD = "port_forward"


_ENDLESS = frozenset(
    {Operation.LOGS, Operation.EXEC, Operation.ATTACH, Operation.PORT_FORWARD, Operation.PRE_STOP}
)
"""These take as long as their user, or the workload, likes: how long says nothing about the provider."""


class Outcome(StrEnum):
    """How the provider answered. CANCELLED: the one who asked did not wait; ERROR: a bug."""

    OK = "ok"
    REJECTED = "rejected"
    RETRYABLE = "retryable"
    NOT_FOUND = "not_found"
    UNSUPPORTED = "unsupported"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ERROR = "error"


_OUTCOMES: tuple[tuple[type[BaseException], Outcome], ...] = (
    (contract.Rejected, Outcome.REJECTED),
    (contract.Retryable, Outcome.RETRYABLE),
    (contract.NotFound, Outcome.NOT_FOUND),
    (contract.Unsupported, Outcome.UNSUPPORTED),
    (TimeoutError, Outcome.TIMEOUT),
    (asyncio.CancelledError, Outcome.CANCELLED),
    (GeneratorExit, Outcome.CANCELLED),
)


def outcome_of(error: BaseException | None) -> Outcome:
    if error is None:
        return Outcome.OK
    return next((outcome for kind, outcome in _OUTCOMES if isinstance(error, kind)), Outcome.ERROR)


class SyncResult(StrEnum):
    """How one look at a pod ended. API_ERROR: the API server could not be reached, or refused."""

    OK = "ok"
    API_ERROR = "api_error"
    ERROR = "error"


class Call:
    """One call of the provider: `with metrics.call(Operation.CREATE): …`. Errors pass through."""

    __slots__ = ("_began", "_counts", "_durations", "_span", "_traced")

    def __init__(
        self,
        counts: Mapping[Outcome, Counter],
        durations: Histogram | None,
        traced: AbstractContextManager[Span] | None = None,
    ) -> None:
        self._counts = counts
        self._durations = durations
        self._began = 0.0
        self._traced = traced
        self._span: Span | None = None

    def __enter__(self) -> None:
        if self._traced is not None:
            self._span = self._traced.__enter__()
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = outcome_of(error)
        self._counts[outcome].value += 1
        if self._durations is not None:
            self._durations.observe(time.perf_counter() - self._began)
        if self._traced is not None and self._span is not None:
            self._span.say("vnodectl.outcome", outcome)
            self._traced.__exit__(kind, error, trace)


class QueueMetrics:
    """What `runtime.queue` tells about itself, in client-go's names."""

    __slots__ = ("adds", "waits", "works")

    def __init__(self, registry: Registry, name: str) -> None:
        label = {"name": (name,)}
        self.adds = registry.counter(
            "workqueue_adds_total", "Total number of adds handled by workqueue.", **label
        ).labels(name)
        self.waits = registry.histogram(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
            _LATENCY,
            **label,
        ).labels(name)
        self.works = registry.histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            _LATENCY,
            **label,
        ).labels(name)


class NodeMetrics:
    """The metrics of one node. `text` is what /metrics answers. `tracer` is told of the same things."""

    def __init__(self, node: str = "", tracer: Tracer | None = None) -> None:
        self._node = node
        self._tracer = tracer
        self.registry = registry = Registry()
        info: Reading = {(node, __version__): 1}
        registry.read(
            "vnodectl_node_info",
            "gauge",
            "Which node this is, and the version that runs it. Always 1.",
            lambda: info,
            ("node", "version"),
        )
        self.queue = QueueMetrics(registry, "pods")
        counts = registry.counter(
            "vnodectl_provider_calls_total",
            "Calls of the provider by operation and outcome.",
            operation=tuple(Operation),
            outcome=tuple(Outcome),
        )
        durations = registry.histogram(
            "vnodectl_provider_call_duration_seconds",
            "How long calls of the provider took, in seconds, whatever their outcome.",
            _CALL,
            operation=tuple(one for one in Operation if one not in _ENDLESS),
        )
        self._counts = {
            operation: {outcome: counts.labels(operation, outcome) for outcome in Outcome}
            for operation in Operation
        }
        self._durations = {
            operation: None if operation in _ENDLESS else durations.labels(operation)
            for operation in Operation
        }
        self.pod_starts = registry.histogram(
            "kubelet_pod_start_duration_seconds",
            "Duration in seconds from the node seeing a pod for the first time to the pod shown running.",
            _START,
        ).labels()
        syncs = registry.counter(
            "vnodectl_pod_syncs_total",
            "How often a pod was compared with its group, by result.",
            result=tuple(SyncResult),
        )
        self.syncs = {result: syncs.labels(result) for result in SyncResult}
        add_process_metrics(registry)

    def call(self, operation: Operation) -> Call:
        """Counts and times what its `with` block asks of the provider."""
        traced = None
        if self._tracer is not None:
            attributes = {"k8s.node.name": self._node, "vnodectl.operation": operation}
            current = operation not in _ENDLESS  # some are generators, which other tasks may finish
            traced = self._tracer.span(f"provider {operation}", attributes, current=current)
        return Call(self._counts[operation], self._durations[operation], traced)

    @contextmanager
    def sync(self, key: PodKey) -> Iterator[None]:
        """Around one look at a pod: what is logged and traced inside is about that pod."""
        with about(key):
            if self._tracer is None:
                yield
                return
            with self._tracer.span("pod sync", pod_attributes(key, self._node)):
                yield

    def show_queue(self, waiting: Callable[[], int], delayed: Callable[[], int]) -> None:
        """Keys that wait for a worker, and keys that wait for their time."""
        self.registry.read(
            "workqueue_depth",
            "gauge",
            "Current depth of workqueue.",
            lambda: {("pods",): waiting()},
            ("name",),
        )
        self.registry.read(
            "vnodectl_workqueue_delayed",
            "gauge",
            "Items that will be added to the workqueue at a later time.",
            lambda: {("pods",): delayed()},
            ("name",),
        )

    def show_pods(self, phases: Callable[[], Iterable[str]]) -> None:
        """`phases`: the phase of every pod of the node."""

        def read() -> Reading:
            tally = Tally(phases())
            named = {phase: tally.pop(phase, 0) for phase in ("Pending", "Running", "Succeeded", "Failed")}
            return {(phase,): count for phase, count in (*named.items(), ("Unknown", tally.total()))}

        self.registry.read("vnodectl_pods", "gauge", "Pods of this node by phase.", read, ("phase",))

    def show_watches(self, watches: Mapping[str, ListWatch]) -> None:
        """By the name of what is watched. A watch that is opened again is one more start."""

        def show(name: str, text: str, of: Callable[[WatchCounts], int]) -> None:
            def read() -> Reading:
                return {(what,): of(watch.counts) for what, watch in watches.items()}

            self.registry.read(name, "counter", text, read, ("resource",))

        show("vnodectl_watch_starts_total", "Watches that were opened.", lambda counts: counts.watches)
        show("vnodectl_watch_lists_total", "Whole collections that were read.", lambda counts: counts.lists)
        show(
            "vnodectl_watch_failures_total", "Lists and watches that failed.", lambda counts: counts.failures
        )

    def show_health(self, well: Callable[[], bool]) -> None:
        self.registry.read(
            "vnodectl_provider_healthy",
            "gauge",
            "1 while the provider can do its work, else 0.",
            lambda: {(): int(well())},
        )

    def show_provider(self, provider: contract.ReportsMetrics) -> None:
        """The provider's own numbers. Raises ValueError for a name that exists already."""

        def show(name: str) -> Callable[[], Reading]:
            return lambda: next(one.values for one in provider.metrics() if one.name == name)

        for one in provider.metrics():
            self.registry.read(one.name, one.kind, one.help, show(one.name), one.labels)

    def text(self) -> str:
        return self.registry.text()
