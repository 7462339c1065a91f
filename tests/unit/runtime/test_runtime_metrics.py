"""What a node counts, and the text that Prometheus reads."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

import pytest
from support.exposition import Family, parse

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.errors import Expired
from vnodectl.kube.listwatch import ListWatch
from vnodectl.runtime import metrics_page
from vnodectl.runtime.metrics import NodeMetrics, Operation, Outcome, outcome_of
from vnodectl.runtime.process import add_process_metrics
from vnodectl.runtime.prometheus import Registry, header, number, sample
from vnodectl.runtime.provider import NotFound, Rejected, Retryable, Unsupported
from vnodectl.runtime.queue import WorkQueue


def value(families: dict[str, Family], name: str, /, **labels: str) -> float:
    """Of the series with exactly these labels; `name` may end in _bucket, _sum or _count."""
    found = [
        number
        for family in families.values()
        for (sample_name, pairs), number in family.samples.items()
        if sample_name == name and dict(pairs) == labels
    ]
    assert len(found) == 1, f"{name}{labels}: {found}"
    return found[0]


# --- the text -------------------------------------------------------------------------------------


def test_label_values_and_help_are_escaped():
    nasty = 'back\\slash "quote" new\nline, comma={}'
    registry = Registry()
    registry.read(
        "nasty", "gauge", "two\nlines and a \\", lambda: {(nasty, "plain"): 1.5, ("", ""): -1}, ("a", "b")
    )
    family = parse(registry.text())["nasty"]
    assert family.help == r"two\nlines and a \\"
    assert family.samples == {
        ("nasty", (("a", nasty), ("b", "plain"))): 1.5,
        ("nasty", (("a", ""), ("b", ""))): -1.0,
    }


@pytest.mark.parametrize(
    ("given", "text"),
    [(1, "1"), (0.5, "0.5"), (1e-07, "1e-07"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")],
)
def test_numbers(given, text):
    assert number(given) == text
    parse(header("x", "gauge", "X.") + sample("x", (), given))


def test_times_are_milliseconds():
    text = header("x", "gauge", "X.") + sample("x", [("a", "b")], 1, 1_700_000_000.1234)
    assert parse(text)["x"].times == {("x", (("a", "b"),)): 1_700_000_000_123}


def test_a_histogram_counts_up_to_and_including_each_bound():
    registry = Registry()
    histogram = registry.histogram("h", "H.", (0.1, 1, 2.5)).labels()
    for observed in (0.05, 0.1, 1, 2, 100):
        histogram.observe(observed)
    family = parse(registry.text())["h"]
    buckets = {
        dict(labels)["le"]: count for (name, labels), count in family.samples.items() if name == "h_bucket"
    }
    assert buckets == {"0.1": 2, "1": 3, "2.5": 4, "+Inf": 5}
    assert family.samples["h_sum", ()] == pytest.approx(103.15)


def test_a_label_takes_no_value_that_was_not_declared():
    counter = Registry().counter("c", "C.", color=("red", "blue"))
    counter.labels("red").inc()
    with pytest.raises(KeyError):
        counter.labels("green")


def test_a_name_is_taken_once():
    registry = Registry()
    registry.counter("c", "C.")
    with pytest.raises(ValueError, match="exists already"):
        registry.counter("c", "C.")


@pytest.mark.parametrize(
    "wrong",
    [
        "x 1",
        "x 1\n",
        "# TYPE x gauge\nx 1\n",
        "# HELP x X.\n# TYPE x gauge\nx 1\nx 2\n",
        '# HELP x X.\n# TYPE x gauge\nx{a="\\t"} 1\n',
        '# HELP x X.\n# TYPE x gauge\nx{a="1",b="2"} 1\nx{b="2",a="1"} 1\n',
        "# HELP x X.\n# TYPE x gauge\nx one\n",
        "# HELP x X.\n# TYPE x gauge\n# HELP y Y.\n# TYPE y gauge\ny 1\nx 1\n",
        '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
        '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
    ],
)
def test_the_reader_of_these_tests_is_strict(wrong):
    with pytest.raises(AssertionError):
        parse(wrong)


# --- the node's own -------------------------------------------------------------------------------


def test_everything_is_there_from_the_beginning_and_stays_bounded():
    metrics = NodeMetrics('node-"1"')
    families = parse(metrics.text())
    assert value(families, "vnodectl_provider_calls_total", operation="create", outcome="ok") == 0
    [info] = families["vnodectl_node_info"].samples
    assert dict(info[1])["node"] == 'node-"1"'
    before = metrics.text().count("\n")
    for operation in Operation:
        with pytest.raises(ZeroDivisionError), metrics.call(operation):
            _ = 1 / 0
    assert metrics.text().count("\n") == before


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Outcome.OK),
        (Rejected("No", "never"), Outcome.REJECTED),
        (Retryable("Busy", "later"), Outcome.RETRYABLE),
        (NotFound("gone"), Outcome.NOT_FOUND),
        (Unsupported("cannot"), Outcome.UNSUPPORTED),
        (TimeoutError(), Outcome.TIMEOUT),
        (asyncio.CancelledError(), Outcome.CANCELLED),
        (GeneratorExit(), Outcome.CANCELLED),
        (KeyError("bug"), Outcome.ERROR),
    ],
)
def test_outcomes(error, outcome):
    assert outcome_of(error) is outcome


def test_calls_are_counted_by_outcome_and_timed():
    metrics = NodeMetrics()
    with metrics.call(Operation.CREATE):
        pass
    with pytest.raises(Retryable), metrics.call(Operation.CREATE):
        raise Retryable("Busy", "later")
    with metrics.call(Operation.EXEC):
        pass
    families = parse(metrics.text())
    name = "vnodectl_provider_calls_total"
    assert value(families, name, operation="create", outcome="ok") == 1
    assert value(families, name, operation="create", outcome="retryable") == 1
    assert value(families, name, operation="exec", outcome="ok") == 1
    durations = families["vnodectl_provider_call_duration_seconds"]
    assert value(families, "vnodectl_provider_call_duration_seconds_count", operation="create") == 2
    assert not [labels for _, labels in durations.samples if ("operation", "exec") in labels]


async def test_the_queue_tells_how_long_keys_wait_and_work():
    now = 0.0

    def tick(seconds: float) -> None:
        nonlocal now
        now += seconds

    metrics = NodeMetrics()
    queue: WorkQueue[str] = WorkQueue(metrics.queue, lambda: now)
    metrics.show_queue(lambda: len(queue), lambda: queue.delayed)
    queue.add("a")
    tick(1)
    queue.add("a")  # is there already
    queue.add("b")
    queue.add_after("c", 1000)
    tick(1)
    await queue.get()
    tick(0.25)
    queue.add("a")  # while it is handled: counts once it is put back
    queue.done("a")
    families = parse(metrics.text())
    assert value(families, "workqueue_adds_total", name="pods") == 3
    assert value(families, "workqueue_depth", name="pods") == 2
    assert value(families, "vnodectl_workqueue_delayed", name="pods") == 1
    assert value(families, "workqueue_queue_duration_seconds_sum", name="pods") == 2
    assert value(families, "workqueue_work_duration_seconds_sum", name="pods") == 0.25
    assert value(families, "workqueue_work_duration_seconds_count", name="pods") == 1
    queue.close()


def test_pods_by_phase_have_a_fixed_set_of_series():
    metrics = NodeMetrics()
    metrics.show_pods(lambda: iter(["Running", "Running", "Pending", "Strange"]))
    samples = parse(metrics.text())["vnodectl_pods"].samples
    assert {dict(labels)["phase"]: count for (_, labels), count in samples.items()} == {
        "Pending": 1,
        "Running": 2,
        "Succeeded": 0,
        "Failed": 0,
        "Unknown": 1,
    }


class Listener:
    def replaced(self, items: list) -> None: ...

    def changed(self, item: dict) -> None: ...

    def deleted(self, item: dict) -> None: ...


async def test_restarts_of_watches_are_counted():
    endings: list[Exception] = [ClusterUnreachable("cut"), Expired(410, "Expired", "too old")]
    last = asyncio.Event()

    class Client:
        async def list(self, path: str, params: dict) -> tuple[list, str]:
            return [], "1"

        async def watch(self, path: str, params: dict):
            if endings:
                raise endings.pop(0)
            last.set()
            await asyncio.Event().wait()
            yield {}

    async def no_wait(_: float) -> None: ...

    watch = ListWatch(Client(), "/pods", Listener(), sleep=no_wait)  # type: ignore[arg-type]
    metrics = NodeMetrics()
    metrics.show_watches({"pods": watch})
    task = asyncio.create_task(watch.run(), name="watch")
    try:
        async with asyncio.timeout(5):
            await last.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    families = parse(metrics.text())
    assert value(families, "vnodectl_watch_starts_total", resource="pods") == 3
    assert value(families, "vnodectl_watch_lists_total", resource="pods") == 2
    assert value(families, "vnodectl_watch_failures_total", resource="pods") == 1


def test_the_process_tells_what_it_uses():
    registry = Registry()
    add_process_metrics(registry)
    families = parse(registry.text())
    assert value(families, "process_cpu_seconds_total") > 0
    assert value(families, "process_resident_memory_bytes") > 5_000_000
    assert value(families, "process_virtual_memory_bytes") > value(families, "process_resident_memory_bytes")
    assert 0 <= time.time() - value(families, "process_start_time_seconds") < 24 * 3600
    assert 3 <= value(families, "process_open_fds") <= value(families, "process_max_fds")


def test_health_that_changes():
    health = [False]
    metrics = NodeMetrics()
    metrics.show_health(lambda: health[-1])
    assert value(parse(metrics.text()), "vnodectl_provider_healthy") == 0
    health.append(True)
    assert value(parse(metrics.text()), "vnodectl_provider_healthy") == 1


def test_the_page_of_metrics_is_what_the_node_serves(repository: Path) -> None:
    assert (repository / "docs" / "metrics.md").read_text() == metrics_page.text(), "make docs"
