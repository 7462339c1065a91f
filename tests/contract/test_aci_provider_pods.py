"""What a pod asks of ACI beyond the ordinary, through the vendor's SDK to the emulated ARM."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.aci_cloud import CONNECTOR, NODE, AciCloud, aci_cloud
from support.aci_pods import make_pod
from support.azure_clients import GROUP

from vnodectl.clouds.azure.session import CONTAINER_INSTANCE_API, path_of
from vnodectl.engines.api import ContainerUsage, GroupPhase, Running
from vnodectl.providers.aci import AciSettings
from vnodectl.providers.aci.names import group_name
from vnodectl.runtime.provider import (
    Happened,
    HearsProbeFailures,
    NotFound,
    PodKey,
    ProbeKind,
    ReportsMetrics,
    Retryable,
    SupportsContainerRestart,
    SupportsDirectPreStop,
    SupportsDirectProbes,
    SupportsPersistentVolumes,
)


async def _sent(cloud: AciCloud, pod: Any) -> dict[str, Any]:
    """The group as ARM has it."""
    await cloud.provider.create(pod)
    kind = "Microsoft.ContainerInstance/containerGroups"
    path = path_of(cloud.session.subscription, GROUP, kind, group_name(pod.key))
    return await cloud.session.arm("GET", path, CONTAINER_INSTANCE_API)


def test_the_optional_abilities() -> None:
    from vnodectl.providers.aci import AciProvider

    for ability in (
        SupportsDirectProbes,
        SupportsContainerRestart,
        HearsProbeFailures,
        SupportsDirectPreStop,
        SupportsPersistentVolumes,
        ReportsMetrics,
    ):
        assert issubclass(AciProvider, ability)


async def test_settings_of_a_group_arrive() -> None:
    annotations = {
        "aci.vnodectl.io/zones": "1",
        "aci.vnodectl.io/sku": "Confidential",
        "aci.vnodectl.io/identity": "system",
        "aci.vnodectl.io/tags": "team=web",
        "virtualkubelet.io/dnsnamelabel": "my-label",
    }
    spec = {"containers": [{"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]}]}
    async with aci_cloud() as cloud:
        group = await _sent(cloud, make_pod(spec, annotations=annotations))
    assert group["zones"] == ["1"]
    assert group["tags"]["team"] == "web"
    assert group["properties"]["sku"] == "Confidential"
    assert group["identity"]["type"] == "SystemAssigned"
    assert group["properties"]["ipAddress"]["fqdn"].startswith("my-label.eastus.")


class Registry:
    """One image, whose entrypoint is /entry; `open` or not."""

    def __init__(self) -> None:
        self.open = True

    async def handle(self, request: web.Request) -> web.Response:
        if not self.open:
            return web.json_response({}, status=404)
        if "/blobs/" in request.path:
            return web.Response(body=self.config)
        kind = "application/vnd.oci.image.manifest.v1+json"
        return web.json_response({"mediaType": kind, "config": {"digest": self.digest}}, content_type=kind)

    config = b'{"config": {"Entrypoint": ["/entry"]}}'
    digest = "sha256:1aa4df1b9f8b05dcfdbfa1ff4ddac73da4d4d1d0aa8f1d4d8f9b1ee0d3e5b4e5"


async def test_arguments_alone_get_the_image_s_own_entrypoint() -> None:
    import hashlib

    registry = Registry()
    registry.digest = f"sha256:{hashlib.sha256(registry.config).hexdigest()}"
    app = web.Application()
    app.router.add_get("/{path:.*}", registry.handle)
    async with TestServer(app) as server:
        host = f"{server.host}:{server.port}"
        settings = AciSettings(GROUP, "eastus", insecure_registries=frozenset({host}))
        image = f"{host}/team/app:1"
        pod = make_pod({"containers": [{"name": "main", "image": image, "args": ["serve"]}]})
        async with aci_cloud(settings=settings) as cloud:
            registry.open = False
            closed = make_pod({"containers": [{"name": "main", "image": f"{host}/x", "args": ["serve"]}]})
            with pytest.raises(Retryable, match=r"ErrImagePull: spec\.containers\[0\]\.args needs"):
                await cloud.provider.create(closed)
            assert cloud.calls("PUT") == 0
            registry.open = True
            group = await _sent(cloud, pod)
            main = group["properties"]["containers"][0]["properties"]
            assert main["command"] == ["/entry", "serve"]


async def test_creates_beyond_the_service_s_limits_are_put_off_without_a_call() -> None:
    settings = AciSettings(GROUP, "eastus", creates=3, deletes=3)
    async with aci_cloud(settings=settings) as cloud:
        await cloud.provider.create(make_pod())
        other = make_pod(name="web-1", uid="1f1f1f1f-9f3c-4c5f-8a52-3f1f5a2b7c11")
        with pytest.raises(Retryable, match="CreatesPaced") as caught:
            await asyncio.wait_for(cloud.provider.create(other), 5)
        assert 290 < (caught.value.retry_after or 0) <= 300
        assert cloud.calls("PUT") == 1
        await cloud.provider.delete(other.key, grace=0)
        await cloud.said.gone(other.key)
        assert cloud.calls("DELETE") == 0, "what does not exist costs no turn"
        cloud.engine.holds_deletions = True
        await cloud.provider.delete(make_pod().key, grace=0)
        with pytest.raises(Retryable, match="DeletesPaced"):
            await cloud.provider.delete(make_pod().key, grace=0)
        assert cloud.calls("DELETE") == 1


async def test_a_container_is_restarted_with_its_group() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(make_pod())
        await cloud.said.state(make_pod().key, "running")
        await cloud.provider.restart_container(make_pod().key, "main", grace=30)
        assert cloud.calls("POST", "restart") == 1
        with pytest.raises(NotFound):
            await cloud.provider.restart_container(PodKey("a", "b", "c"), "main", grace=1)


async def test_a_container_that_may_not_be_restarted_ends_with_its_group() -> None:
    pod = make_pod({"restartPolicy": "Never", "containers": [{"name": "main", "image": "nginx"}]})
    async with aci_cloud() as cloud:
        await cloud.provider.create(pod)
        await cloud.said.state(pod.key, "running")
        await cloud.provider.restart_container(pod.key, "main", grace=30)
        await cloud.said.state(pod.key, "terminated")
        assert (cloud.calls("POST", "restart"), cloud.calls("POST", "stop")) == (0, 1)


async def test_a_failed_probe_is_worth_a_read() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(make_pod())
        await cloud.said.state(make_pod().key, "running")
        before = cloud.provider.metrics()[3].values["urgent",]
        cloud.provider.probe_failed(make_pod().key, "main", ProbeKind.READINESS)
        async with asyncio.timeout(10):
            while cloud.provider.metrics()[3].values["urgent",] == before:
                await cloud.said.listed()


@pytest.mark.parametrize("subnet", [False, True])
async def test_probes_are_the_connector_s_in_a_subnet(subnet: bool) -> None:
    place = f"/subscriptions/s/resourceGroups/{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/a"
    settings = AciSettings(GROUP, "eastus", subnet_id=place if subnet else "")
    http = {"httpGet": {"port": 80}}
    probes = {"readinessProbe": http, "livenessProbe": http, "startupProbe": {"exec": {"command": ["x"]}}}
    pod = make_pod({"containers": [{"name": "main", "image": "nginx", **probes}]})
    async with aci_cloud(settings=settings) as cloud:
        found = cloud.provider.direct_probes(pod.pod)
    assert found == ({"main": frozenset({ProbeKind.READINESS})} if subnet else {})


async def test_what_was_spent_is_reported() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(make_pod())
        await cloud.said.state(make_pod().key, "running")
        found = {one.name: one for one in cloud.provider.metrics()}
        assert found["vnodectl_azure_requests_total"].values["write",] == 1
        assert found["vnodectl_azure_remaining_requests"].values["read",] > 0
        assert found["vnodectl_azure_observations_total"].values["list",] >= 1
        assert all(len(key) == len(one.labels) for one in found.values() for key in one.values)


@pytest.mark.parametrize("batch", [True, False])
async def test_usage_of_containers(batch: bool) -> None:
    """Through both APIs of Azure Monitor: for many groups at once, and through ARM."""
    async with aci_cloud(metrics=batch) as cloud:
        await cloud.provider.create(make_pod())
        await cloud.said.state(make_pod().key, "running")
        (name,) = cloud.engine.seen
        started = time.time() - 3600
        cloud.engine.become(name, GroupPhase.RUNNING, Running(started), ready=True, started=True)
        cloud.engine.usages[name] = [ContainerUsage("main", 1800.0, 5_000_000, 4_000_000, started + 3600)]
        (found,) = await cloud.provider.stats([make_pod().key, PodKey("a", "b", "c")])
        assert found.key == make_pod().key
        usage = found.containers["main"]
        assert usage.working_set == 4_000_000
        assert usage.cpu_seconds == pytest.approx(30.0, rel=0.01), "half a core for a minute"
        assert time.time() - 180 < usage.time <= time.time() + 60
        assert cloud.calls("POST", "getBatch") == int(batch)
        assert cloud.calls("GET", "Microsoft.Insights") == int(not batch)


async def test_events_of_the_group_reach_the_pod() -> None:
    async with aci_cloud() as cloud:
        await cloud.provider.create(make_pod())
        found = await cloud.said.until(lambda one: isinstance(one, Happened) and one.reason == "Pulling")
        assert isinstance(found, Happened)
        assert (found.key, found.container) == (make_pod().key, "main")


async def test_kube_proxy_gets_the_token_of_the_moment(tmp_path: Path) -> None:
    from vnodectl.providers.aci.preparing import Preparer
    from vnodectl.providers.aci.settings import NodeIdentity
    from vnodectl.providers.image_registry import ImageRegistry
    from vnodectl.providers.timing import LoopTimer

    settings = AciSettings(
        GROUP,
        "eastus",
        cluster_cidr="10.0.0.0/8",
        api_server="https://api:443",
        kube_proxy_account=str(tmp_path),
    )
    (tmp_path / "ca.crt").write_bytes(b"CA")
    registry = ImageRegistry(lambda: None, LoopTimer())  # type: ignore[arg-type, return-value]
    preparer = Preparer(settings, NodeIdentity(NODE, CONNECTOR), registry)
    with pytest.raises(Retryable, match="KubeProxyTokenMissing"):
        await preparer.known(make_pod())
    for token in ("planted-first", "planted-second"):
        (tmp_path / "token").write_text(f"{token}\n")
        known = await preparer.known(make_pod())
        assert known.kube_proxy is not None
        assert f'"{token}"' in known.kube_proxy.kubeconfig


@pytest.mark.parametrize(("sku", "offered"), [("", None), ("V100", "7")])
async def test_a_node_offers_gpus_where_their_model_is_known(sku: str, offered: str | None) -> None:
    async with aci_cloud(settings=AciSettings(GROUP, "eastus", gpu_sku=sku, gpus=7)) as cloud:
        assert (await cloud.provider.node()).capacity.get("nvidia.com/gpu") == offered
