"""What a real node tells of itself and its pods, read through the API server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.exposition import parse
from support.sandboxes import Sandbox

from vnodectl.runtime import metrics_page

pytestmark = pytest.mark.e2e

PROXY = "/api/v1/nodes/sandbox/proxy"


@pytest.fixture
def pod(sandbox: Sandbox) -> Iterator[str]:
    image = sandbox.environment["VNODECTL_SMOKE_IMAGE"]
    sandbox.run("kubectl", "run", "measured", f"--image={image}")
    sandbox.run("kubectl", "wait", "pod/measured", "--for=condition=Ready", "--timeout=120s")
    yield "measured"
    sandbox.run("kubectl", "delete", "pod", "measured", "--timeout=60s")


def _get(sandbox: Sandbox, path: str) -> str:
    return sandbox.run("kubectl", "get", "--raw", f"{PROXY}{path}").stdout


def test_usage_and_metrics_of_a_running_pod(sandbox: Sandbox, pod: str) -> None:
    labels = (("container", pod), ("pod", pod), ("namespace", "default"))
    resources = parse(_get(sandbox, "/metrics/resource"))
    for name in (
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "container_start_time_seconds",
    ):
        assert resources[name].samples[name, labels] > 0
    assert resources["node_memory_working_set_bytes"].samples["node_memory_working_set_bytes", ()] > 0
    assert resources["resource_scrape_error"].samples["resource_scrape_error", ()] == 0

    summary = json.loads(_get(sandbox, "/stats/summary"))
    assert summary["node"]["nodeName"] == "sandbox"
    [measured] = [one for one in summary["pods"] if one["podRef"]["name"] == pod]
    assert [one["name"] for one in measured["containers"]] == [pod]
    assert measured["cpu"]["usageCoreNanoSeconds"] > 0

    containers = parse(_get(sandbox, "/metrics/cadvisor"))
    image = sandbox.environment["VNODECTL_SMOKE_IMAGE"]
    name = "container_memory_working_set_bytes"
    for of in ((pod, image), ("", "")):
        labels = (*zip(("container", "image"), of, strict=True), ("namespace", "default"), ("pod", pod))
        assert containers[name].samples[name, labels] > 0
    assert containers["container_scrape_error"].samples["container_scrape_error", ()] == 0
    probes = parse(_get(sandbox, "/metrics/probes"))
    assert not probes["prober_probe_total"].samples  # the local provider runs its own
    for check in ("ping", "syncloop"):
        assert _get(sandbox, f"/healthz/{check}") == "ok"

    own = parse(_get(sandbox, "/metrics"))
    page = metrics_page.text()
    assert {name for name in (*own, *resources, *containers, *probes) if f"`{name}`" not in page} == set()
    created = (("operation", "create"), ("outcome", "ok"))
    assert own["vnodectl_provider_calls_total"].samples["vnodectl_provider_calls_total", created] >= 1
    assert (
        own["kubelet_pod_start_duration_seconds"].samples["kubelet_pod_start_duration_seconds_count", ()] >= 1
    )

    assert json.loads(_get(sandbox, "/configz"))["kubeletconfig"]["enableServer"] is True
