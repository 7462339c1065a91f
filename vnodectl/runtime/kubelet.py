"""One virtual node: its object, its lease, its pods and its HTTP API, run as one owned set of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from vnodectl.errors import VnodectlError
from vnodectl.kube.client import KubeClient
from vnodectl.kube.listwatch import ListWatch
from vnodectl.kube.resources import NODES, PODS
from vnodectl.runtime import clock as clocks
from vnodectl.runtime.client_ca import ClusterClientCa
from vnodectl.runtime.clock import Clock
from vnodectl.runtime.events import EventRecorder
from vnodectl.runtime.facts import NodeFacts
from vnodectl.runtime.http.certificates import CertificateMode, Serving, serving
from vnodectl.runtime.http.configz import configuration
from vnodectl.runtime.http.health import HealthChecks
from vnodectl.runtime.http.identity import KubeReviewer
from vnodectl.runtime.http.server import AuthorizationMode, KubeletServer, KubeletServerConfig
from vnodectl.runtime.http.serving import FilePem
from vnodectl.runtime.lookups import Lookups
from vnodectl.runtime.metrics import NodeMetrics
from vnodectl.runtime.node import NodeConfig, NodeController
from vnodectl.runtime.node_events import NodeEvents
from vnodectl.runtime.pods import WORKERS, PodController
from vnodectl.runtime.provider import (
    Health,
    NodeInfo,
    Provider,
    ReportsMetrics,
    SupportsPersistentVolumes,
)
from vnodectl.runtime.tracing import Tracer
from vnodectl.runtime.usage import NodeUsage
from vnodectl.settings import TAINT_KEY


@dataclass(frozen=True, slots=True)
class KubeletConfig:
    """`addresses` are the node's IPs, the first is where the API server reaches it; the API is served on
    it alone where `bind` is empty, else on `bind`. `kubelet_port` 0 takes a free one.

    `taint` is false for a node that takes any pod; `taint_value` is by default the provider's name.
    `api_server` is the URL at which this node's pods reach the API server, by default the one used here.

    `certificate_files`, a certificate and its key, win over `certificate`. `client_ca_file` is used instead
    of the client CA that the cluster publishes.
    """

    node_name: str
    addresses: tuple[str, ...]
    bind: str = ""
    kubelet_port: int = 10250
    taint: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    api_server: str = ""
    taint_key: str = TAINT_KEY
    taint_value: str = ""
    taint_effect: str = "NoSchedule"
    certificate: CertificateMode = CertificateMode.AUTO
    certificate_files: tuple[Path, Path] | None = None
    client_ca_file: Path | None = None
    anonymous_auth: bool = False
    authorization_mode: AuthorizationMode = AuthorizationMode.WEBHOOK


class Kubelet:
    """`run` until cancelled. Workloads keep running afterwards."""

    def __init__(
        self,
        client: KubeClient,
        provider: Provider,
        config: KubeletConfig,
        *,
        clock: Clock = clocks.system,
        tracer: Tracer | None = None,
    ) -> None:
        self._client = client
        self._provider = provider
        self._config = config
        self._clock = clock
        self._tracer = tracer
        self._well = False
        self._node: NodeController | None = None

    def unready(self) -> str:
        """Empty while the node is registered and its Lease fresh, else what is missing."""
        if self._node is None or not self._node.registered.is_set():
            return "the node is not registered yet"
        return "" if self._node.alive else "the node's lease was not renewed in time"

    async def run(self) -> None:
        """Everything, until cancelled. Raises what makes a start impossible: credentials, rights, ports."""
        config, client, provider = self._config, self._client, self._provider
        version = await client.get("/version")
        info = await provider.node()
        events = EventRecorder(client, "vnodectl", config.node_name, self._clock)
        lookups = Lookups(
            client,
            self._facts,
            provider.volume_secrets if isinstance(provider, SupportsPersistentVolumes) else None,
        )
        metrics = NodeMetrics(config.node_name, self._tracer)
        metrics.show_health(lambda: self._well)
        if isinstance(provider, ReportsMetrics):
            metrics.show_provider(provider)
        pods = PodController(
            client,
            provider,
            lookups,
            events,
            node=self._facts,
            clock=self._clock,
            on_health=self._set_health,
            metrics=metrics,
        )
        client_ca = None
        if config.client_ca_file is None:
            client_ca = ClusterClientCa(client)
            await client_ca.read()
        certificate = serving(
            config.certificate,
            config.certificate_files,
            client,
            config.node_name,
            config.addresses,
            clock=self._clock,
            uid=self._uid,
        )
        try:
            async with self._served(pods, client_ca, certificate, info, metrics) as port:
                node = NodeController(
                    client,
                    self._node_config(port),
                    info,
                    self._clock,
                    str(version["gitVersion"]),
                    events=NodeEvents(events, config.node_name),
                    offers=provider.node,
                )
                self._node = node
                watch_node, watch_pods = self._watch_node(node), self._watch_pods(pods)
                metrics.show_watches({"nodes": watch_node, "pods": watch_pods})
                async with asyncio.TaskGroup() as group:
                    if client_ca is not None:
                        group.create_task(client_ca.run(), name="client CA")
                    if certificate.renew is not None:
                        renewal = self._renewal(node, certificate.renew)
                        group.create_task(renewal, name="serving certificate")
                    group.create_task(node.run(), name="node")
                    group.create_task(node.renew(), name="lease")
                    group.create_task(events.run(), name="events")
                    group.create_task(watch_node.run(), name="watch node")
                    group.create_task(watch_pods.run(), name="watch pods")
                    group.create_task(pods.observe(), name="observe")
                    group.create_task(pods.refresh(), name="refresh files")
                    for number in range(WORKERS):
                        group.create_task(pods.work(), name=f"worker {number}")
        finally:
            await pods.aclose()
            await lookups.aclose()

    @asynccontextmanager
    async def _served(
        self,
        pods: PodController,
        client_ca: ClusterClientCa | None,
        certificate: Serving,
        info: NodeInfo,
        metrics: NodeMetrics,
    ) -> AsyncIterator[int]:
        """The kubelet's API, open; gives its port."""
        config = self._config
        settings = KubeletServerConfig(
            node=config.node_name,
            certificate=certificate.source,
            client_ca=client_ca or FilePem(config.client_ca_file or Path()),
            address=config.bind or config.addresses[0],
            port=config.kubelet_port,
            anonymous_auth=config.anonymous_auth,
            authorization_mode=config.authorization_mode,
        )
        server = KubeletServer(
            settings,
            pods,
            self._provider,
            KubeReviewer(self._client),
            health=HealthChecks(ready={"node": self.unready}),
            metrics=metrics.text,
            configz=lambda: configuration(settings, port=server.port, capacity=info.capacity),
            usage=NodeUsage(self._provider, pods, clock=self._clock, metrics=metrics),
            probes=pods.probe_results,
            calls=metrics,
        )
        try:
            await server.start()
        except (OSError, ValueError) as error:
            raise VnodectlError(
                f"node {config.node_name}: the kubelet API cannot be served: {error}"
            ) from error
        try:
            yield server.port
        finally:
            await server.stop()

    def _node_config(self, port: int) -> NodeConfig:
        config = self._config
        server = urlsplit(config.api_server or self._client.server)
        return NodeConfig(
            name=config.node_name,
            addresses=config.addresses,
            kubelet_port=port,
            taint=(config.taint_value or self._provider.name) if config.taint else "",
            taint_key=config.taint_key,
            taint_effect=config.taint_effect,
            labels=config.labels,
            api_host=server.hostname or "",
            api_port=str(server.port or 443),
        )

    def _watch_node(self, node: NodeController) -> ListWatch:
        params = {"fieldSelector": f"metadata.name={self._config.node_name}"}
        return ListWatch(self._client, NODES.path(), node, params=params)

    def _watch_pods(self, pods: PodController) -> ListWatch:
        params = {"fieldSelector": f"spec.nodeName={self._config.node_name}"}
        return ListWatch(self._client, PODS.path(), pods, params=params)

    @staticmethod
    async def _renewal(node: NodeController, renew: Callable[[], Awaitable[None]]) -> None:
        await node.registered.wait()
        await renew()

    def _uid(self) -> str:
        return str(self._node.node["metadata"].get("uid") or "") if self._node is not None else ""

    def _facts(self) -> NodeFacts:
        if self._node is None:
            return NodeFacts(self._config.node_name, self._config.addresses, {})
        return self._node.facts()

    def _set_health(self, health: Health) -> None:
        self._well = health.ok
        if self._node is not None:
            self._node.set_health(health)
