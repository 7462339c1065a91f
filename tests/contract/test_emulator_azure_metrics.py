"""Metrics of container groups through azure-mgmt-monitor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity.aio import ClientSecretCredential
from azure.monitor.querymetrics.aio import MetricsClient
from support.azure_clients import (
    CLIENT,
    GROUP,
    READER,
    SECRET,
    Clients,
    clients,
    container,
    container_group,
    identity_options,
    seed,
)
from support.scripted_engine import STARTED, ScriptedEngine

from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator
from vnodectl.emulator.clock import Clock
from vnodectl.engines.api import ContainerUsage

NOW = STARTED + 100  # 100 s after the containers have started
MIB = 1024 * 1024


@asynccontextmanager
async def azure() -> AsyncIterator[tuple[AzureEmulator, Clients, str]]:
    """One group of two containers: one has used 50 s of CPU and 10 MiB, the other 10 s and 30 MiB."""
    engine, config = ScriptedEngine(), AzureConfig.from_json(seed())
    clock = Clock(lambda: NOW)
    async with AzureEmulator(config, engine=engine, clock=clock) as emulator, clients(emulator) as sdk:
        side = container("side", ports=[])
        body = container_group(containers=[container(), side])
        made = await (await sdk.aci.container_groups.begin_create_or_update(GROUP, "web", body)).result()
        engine.usages[next(iter(engine.specs))] = [
            ContainerUsage("web", 50.0, 12 * MIB, 10 * MIB, NOW),
            ContainerUsage("side", 10.0, 40 * MIB, 30 * MIB, NOW),
        ]
        yield emulator, sdk, made.id


def span(begin: float, end: float) -> str:
    first, last = (datetime.fromtimestamp(one, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for one in (begin, end))
    return f"{first}/{last}"


async def values(sdk: Clients, resource: str, **options: Any) -> dict[str, dict[str, list[float | None]]]:
    """By metric and container ("": the whole), the averages in their order."""
    answer = await sdk.monitor.metrics.list(
        resource,
        **{"timespan": span(NOW - 180, NOW), "interval": "PT1M", "aggregation": "Average", **options},
    )
    return {
        metric.name.value: {
            (one.metadatavalues[0].value if one.metadatavalues else ""): [point.average for point in one.data]
            for one in metric.timeseries
        }
        for metric in answer.value
    }


async def test_each_container_has_its_own_series() -> None:
    async with azure() as (_, sdk, resource):
        found = await values(sdk, resource, metricnames="CpuUsage,MemoryUsage", filter="containerName eq '*'")
        assert found["CpuUsage"]["web"][-1] == 500
        assert found["CpuUsage"]["side"][-1] == 100
        assert found["MemoryUsage"]["web"][-1] == 10 * MIB
        # Nothing is known of the time before the containers started.
        assert found["CpuUsage"]["web"][0] is None
        one = await values(sdk, resource, metricnames="CpuUsage", filter="containerName eq 'side'")
        assert list(one["CpuUsage"]) == ["side"]
        first = await values(sdk, resource, metricnames="CpuUsage", filter="containerName eq '*'", top=1)
        assert list(first["CpuUsage"]) == ["side"]


@asynccontextmanager
async def batches(emulator: AzureEmulator, client: str = CLIENT) -> AsyncIterator[MetricsClient]:
    trust = identity_options(emulator)
    async with (
        ClientSecretCredential(emulator.world.tenant, client, SECRET, **trust) as credential,
        MetricsClient(
            emulator.metrics_endpoint, credential, connection_verify=str(emulator.ca_file), retry_total=0
        ) as monitor,
    ):
        yield monitor


def question(resource: str, *, names: tuple[str, ...] = ("CpuUsage",), **options: Any) -> dict[str, Any]:
    return {
        "resource_ids": [resource],
        "metric_namespace": "Microsoft.ContainerInstance/containerGroups",
        "metric_names": list(names),
        "timespan": (datetime.fromtimestamp(NOW - 180, UTC), datetime.fromtimestamp(NOW, UTC)),
        "granularity": timedelta(minutes=1),
        "aggregations": ["Average"],
        "filter": "containerName eq '*'",
        **options,
    }


async def test_many_groups_are_read_at_once() -> None:
    async with azure() as (emulator, sdk, resource), batches(emulator) as monitor:
        poller = await sdk.aci.container_groups.begin_create_or_update(GROUP, "other", container_group())
        other = (await poller.result()).id
        found = await monitor.query_resources(**question(resource, resource_ids=[resource, other]))
        first, second = (one.metrics[0].timeseries for one in found)
        assert [(one.metadata_values["containername"], one.data[-1].average) for one in first] == [
            ("side", 100),
            ("web", 500),
        ]
        assert second == []


async def test_a_batch_is_refused_as_a_whole() -> None:
    nobody = {"clientId": READER, "secret": SECRET, "roles": []}
    async with azure() as (emulator, _, resource):
        async with batches(emulator) as monitor:
            for options, status in (
                ({"resource_ids": [resource] * 51}, 400),
                ({"metric_names": ["Joy"]}, 400),
                ({"metric_namespace": "Microsoft.Compute/virtualMachines"}, 400),
                ({"resource_ids": [f"{resource}-none"]}, 404),
            ):
                with pytest.raises(HttpResponseError) as caught:
                    await monitor.query_resources(**question(resource, **options))
                assert caught.value.status_code == status, options
        emulator.seed({"servicePrincipals": [nobody]})
        async with batches(emulator, READER) as monitor:
            with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
                await monitor.query_resources(**question(resource))


async def test_without_a_filter_the_group_is_one_series() -> None:
    async with azure() as (_, sdk, resource):
        found = await values(sdk, resource, metricnames="CpuUsage,NetworkBytesReceivedPerSecond")
        assert found["CpuUsage"][""][-1] == 300
        assert found["NetworkBytesReceivedPerSecond"][""][-1] is None
        wide = await values(sdk, resource, metricnames="CpuUsage", interval="PT5M")
        assert len(wide["CpuUsage"][""]) < len(found["CpuUsage"][""])


async def test_reading_needs_the_right_and_nothing_more() -> None:
    async with azure() as (emulator, _, resource), clients(emulator, READER) as reader:
        assert await values(reader, resource, metricnames="CpuUsage")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"metricnames": "Joy"}, "Valid metrics: CpuUsage,MemoryUsage"),
        ({"interval": "PT7M"}, "time grain"),
        ({"timespan": span(NOW, NOW - 60)}, "Start time cannot be"),
        ({"timespan": "yesterday"}, "Invalid time interval"),
        ({"filter": "color eq 'red'"}, "not emulated"),
        (
            {"metricnames": "NetworkBytesReceivedPerSecond", "filter": "containerName eq '*'"},
            "does not support requested dimension",
        ),
    ],
)
async def test_what_cannot_be_asked(options: dict[str, Any], says: str) -> None:
    async with azure() as (_, sdk, resource):
        with pytest.raises(HttpResponseError, match=says) as caught:
            await values(sdk, resource, **options)
        assert caught.value.status_code == 400


async def test_what_has_no_metrics() -> None:
    async with azure() as (emulator, sdk, resource):
        with pytest.raises(ResourceNotFoundError):
            await values(sdk, resource.replace("/web", "/none"))
        with pytest.raises(ResourceNotFoundError, match="not emulated"):
            await values(sdk, f"/subscriptions/{emulator.world.subscription}/resourceGroups/{GROUP}")


async def test_definitions_name_metrics_and_dimensions() -> None:
    async with azure() as (_, sdk, resource):
        found = {one.name.value: one async for one in sdk.monitor.metric_definitions.list(resource)}
        assert [one.value for one in found["CpuUsage"].dimensions] == ["containerName"]
        assert found["MemoryUsage"].unit == "Bytes"
        assert len(found) == 4
