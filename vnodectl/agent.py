"""Composes settings, one provider and the runtime into the node process (`vnodectl agent`)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from vnodectl import __version__
from vnodectl.agent_settings import azure_aci
from vnodectl.agent_settings.layers import Values
from vnodectl.errors import UsageError, VnodectlError
from vnodectl.kube.client import KubeClient
from vnodectl.kube.config import connect
from vnodectl.logs import about
from vnodectl.runtime import clock as clocks
from vnodectl.runtime.http.certificates import CertificateMode
from vnodectl.runtime.http.health import HealthChecks, HealthServer
from vnodectl.runtime.http.server import AuthorizationMode
from vnodectl.runtime.kubelet import Kubelet, KubeletConfig
from vnodectl.runtime.provider import Provider
from vnodectl.runtime.sharing import NodeShares, Place
from vnodectl.runtime.tracing import Tracer
from vnodectl.settings import RELEASE_LABEL, TAINT_KEY, TAINT_VALUES

log = logging.getLogger(__name__)


class ProviderName(StrEnum):
    ACI = "aci"
    ECI = "eci"
    LOCAL = "local"


TAINTS = {
    ProviderName.ACI: TAINT_VALUES["azure"],
    ProviderName.ECI: TAINT_VALUES["alibaba"],
    ProviderName.LOCAL: "local",
}
"""What each provider calls itself, in its nodes' taint, before one is open."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What `vnodectl agent` is told, whatever the provider; see `vnodectl.agent_settings.table`. Capacity
    values are Kubernetes quantities.

    `nodes` above 1 adds nodes `<node_name>-2` and so on; the kubelet ports count up from `kubelet_port`.
    With a `lease_namespace` replicas share the nodes out by Leases there, this one under the name
    `replica`; without, this process is all the nodes by itself. `node_ip` empty: the address from which
    this machine reaches the API server. `cluster` tells this cluster's container groups from others' where
    they share a place. With a `webhook_port` pods are sent to the nodes by labels: see `webhook`.
    """

    provider: ProviderName
    node_name: str
    nodes: int = 1
    lease_namespace: str = ""
    replica: str = ""
    connector: str = ""
    cluster: str = ""
    os_type: str = "Linux"
    node_ip: str = ""
    kubelet_port: int = 10250
    health_port: int | None = None
    capacity: Mapping[str, str] = field(default_factory=dict)
    api_server: str = ""
    taint: bool = True
    taint_key: str = TAINT_KEY
    taint_value: str = ""
    taint_effect: str = "NoSchedule"
    certificate: CertificateMode = CertificateMode.AUTO
    certificate_files: tuple[Path, Path] | None = None
    client_ca_file: Path | None = None
    anonymous_auth: bool = False
    authorization_mode: AuthorizationMode = AuthorizationMode.WEBHOOK
    traces: str = "off"
    webhook_port: int | None = None
    kubeconfig: str | None = None
    context: str | None = None

    @classmethod
    def of(cls, values: Values) -> AgentSettings:
        text = values.text
        files = (text("serving-cert-file"), text("serving-key-file"))
        return cls(
            provider=ProviderName(text("provider")),
            node_name=text("node-name"),
            nodes=values.number("nodes") or 1,
            lease_namespace=text("lease-namespace"),
            replica=text("replica") or socket.gethostname(),
            connector=text("connector"),
            cluster=text("cluster"),
            os_type=text("os-type"),
            node_ip=text("node-ip"),
            kubelet_port=values.number("kubelet-port") or 0,
            health_port=values.number("health-port"),
            capacity={name: text(f"node-{name}") for name in ("cpu", "memory", "ephemeral-storage", "pods")},
            api_server=text("api-server"),
            taint=values.yes("taint"),
            taint_key=text("taint-key"),
            taint_value=text("taint-value"),
            taint_effect=text("taint-effect"),
            certificate=CertificateMode(text("serving-certificate")),
            certificate_files=(Path(files[0]), Path(files[1])) if files[0] else None,
            client_ca_file=Path(text("client-ca-file")) if text("client-ca-file") else None,
            anonymous_auth=values.yes("anonymous-auth"),
            authorization_mode=AuthorizationMode(text("authorization-mode")),
            traces=text("traces"),
            webhook_port=values.number("webhook-port"),
            kubeconfig=text("kubeconfig") or None,
            context=text("context") or None,
        )

    @property
    def node_names(self) -> tuple[str, ...]:
        further = (f"{self.node_name}-{number}" for number in range(2, self.nodes + 1))
        return (self.node_name, *further)


async def run(settings: AgentSettings, environ: Mapping[str, str] = os.environ) -> None:
    """Be the node until SIGTERM or SIGINT; pods keep running. Raises what makes a start impossible."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.info("vnodectl %s: node %s, provider %s", __version__, settings.node_name, settings.provider)
    for note in azure_aci.notes(environ):
        log.warning("%s", note)
    node = asyncio.create_task(_serve(settings, environ), name="node process")
    stopped = asyncio.create_task(stop.wait(), name="signal")
    try:
        await asyncio.wait({node, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not node.done():
            log.info("stopping; pods keep running")
    finally:
        stopped.cancel()
        node.cancel()
        results = await asyncio.gather(node, stopped, return_exceptions=True)
    error = results[0]
    if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
        raise _cause(error)


def _cause(error: BaseException) -> BaseException:
    """What made the node's tasks end: the first error meant for people, else the first of all."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    meant, _ = error.split(VnodectlError)
    found: BaseException = meant or error
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


async def _serve(settings: AgentSettings, environ: Mapping[str, str]) -> None:
    async with (
        await connect(settings.kubeconfig, settings.context) as client,
        _opener(settings, environ, client) as open_,
        _tracer(settings, environ) as tracer,
    ):
        nodes = _Nodes(settings, client, open_, settings.node_ip or _own_address(client), tracer)
        shares = None
        if settings.lease_namespace:
            place = Place(
                settings.lease_namespace, settings.connector or settings.node_name, settings.replica
            )
            shares = NodeShares(client, place, settings.node_names, nodes.run, clock=clocks.system)
        checks = {"nodes": nodes.unready} | ({"leases": shares.unready} if shares else {})
        async with _probes(settings, HealthChecks(ready=checks)), _webhook(settings, client):
            if shares is not None:
                await shares.run()
                return
            async with asyncio.TaskGroup() as group:
                for name in settings.node_names:
                    group.create_task(nodes.run(name), name=f"node {name}")


class _Nodes:
    """The nodes that this process is at the moment."""

    def __init__(
        self,
        settings: AgentSettings,
        client: KubeClient,
        opener: Opener,
        address: str,
        tracer: Tracer | None,
    ) -> None:
        self._settings = settings
        self._client = client
        self._opener = opener
        self._address = address
        self._tracer = tracer
        self._running: dict[str, Kubelet] = {}

    async def run(self, name: str) -> None:
        """Be that node until cancelled."""
        settings = self._settings
        port = settings.kubelet_port
        config = KubeletConfig(
            node_name=name,
            addresses=(self._address,),
            kubelet_port=port and port + settings.node_names.index(name),
            taint=settings.taint,
            taint_key=settings.taint_key,
            taint_value=settings.taint_value,
            taint_effect=settings.taint_effect,
            labels={RELEASE_LABEL: settings.connector} if settings.connector else {},
            api_server=settings.api_server,
            certificate=settings.certificate,
            certificate_files=settings.certificate_files,
            client_ca_file=settings.client_ca_file,
            anonymous_auth=settings.anonymous_auth,
            authorization_mode=settings.authorization_mode,
        )
        with about(node=name):
            await self._be(name, config)

    async def _be(self, name: str, config: KubeletConfig) -> None:
        async with self._opener(name) as provider:
            kubelet = self._running[name] = Kubelet(self._client, provider, config, tracer=self._tracer)
            try:
                await kubelet.run()
            finally:
                del self._running[name]

    def unready(self) -> str:
        """What the nodes lack; a replica that is no node at the moment lacks nothing."""
        if not self._running and not self._settings.lease_namespace:
            return "not started yet"
        lacking = ((name, kubelet.unready()) for name, kubelet in self._running.items())
        return "; ".join(f"{name}: {what}" for name, what in lacking if what)


@asynccontextmanager
async def _probes(settings: AgentSettings, checks: HealthChecks) -> AsyncIterator[None]:
    """The plain HTTP port for the probes of this process's own pod, where one is wanted."""
    if settings.health_port is None:
        yield
        return
    server = HealthServer(settings.node_ip or "0.0.0.0", settings.health_port, checks)  # noqa: S104
    await server.start()
    try:
        yield
    finally:
        await server.stop()


@asynccontextmanager
async def _tracer(settings: AgentSettings, environ: Mapping[str, str]) -> AsyncIterator[Tracer | None]:
    if settings.traces == "off":
        yield None
        return
    from vnodectl import traces

    async with traces.exported(environ) as tracer:
        yield tracer


@asynccontextmanager
async def _webhook(settings: AgentSettings, client: KubeClient) -> AsyncIterator[None]:
    """The admission webhook, where one is wanted: every replica serves it, with one certificate."""
    if settings.webhook_port is None:
        yield
        return
    from vnodectl.webhook import Place as WebhookPlace
    from vnodectl.webhook import Rule, serving

    if not settings.connector or not settings.lease_namespace:
        raise UsageError("a webhook needs --connector and --lease-namespace, which name its objects")
    place = WebhookPlace(settings.lease_namespace, settings.connector)
    rule = Rule(
        provider=settings.taint_value or TAINTS[settings.provider],
        os_type=settings.os_type.lower(),
        taint_key=settings.taint_key,
        effect=settings.taint_effect,
    )
    address = settings.node_ip or "0.0.0.0"  # noqa: S104
    async with AsyncExitStack() as stack:
        wishes = None
        if settings.provider is ProviderName.ECI:
            from vnodectl.agent_eci import selecting

            wishes = await stack.enter_async_context(selecting(client))
        await stack.enter_async_context(
            serving(client, place, rule, address, settings.webhook_port, wishes=wishes)
        )
        yield


Opener = Callable[[str], AbstractAsyncContextManager[Provider]]
"""Opens the provider of a node, by the node's name."""


@asynccontextmanager
async def _opener(
    settings: AgentSettings, environ: Mapping[str, str], client: KubeClient | None = None
) -> AsyncIterator[Opener]:
    """What the nodes of this process share of their cloud: credentials, connections, read budgets."""
    if settings.provider is ProviderName.ACI:
        from vnodectl.clouds.azure import AzureSession, AzureSettings
        from vnodectl.clouds.ownership import scoped
        from vnodectl.providers.aci import AciSettings, create_provider, shared_limits
        from vnodectl.providers.aci.preparing import image_registry
        from vnodectl.providers.timing import LoopTimer

        place = AciSettings.from_environment(environ)
        async with AzureSession(AzureSettings.from_environment(environ)) as session:
            limits = shared_limits(session, place, LoopTimer())
            registry = image_registry(session, LoopTimer(), place.insecure_registries)

            @asynccontextmanager
            async def aci(name: str) -> AsyncIterator[Provider]:
                provider = create_provider(
                    session,
                    place,
                    node_name=name,
                    connector=scoped(settings.connector or settings.node_name, settings.cluster),
                    os_type=settings.os_type,
                    capacity=settings.capacity,
                    limits=limits,
                    registry=registry,
                )
                try:
                    yield provider
                finally:
                    await provider.aclose()

            yield aci
    elif settings.provider is ProviderName.ECI:
        from vnodectl.agent_eci import opener as eci_opener
        from vnodectl.clouds.ownership import scoped

        if settings.os_type != "Linux":
            raise UsageError("Elastic Container Instance runs Linux pods only", hint="leave out --os-type")
        async with eci_opener(
            environ,
            connector=scoped(settings.connector or settings.node_name, settings.cluster),
            component=settings.node_name,
            capacity=settings.capacity,
            client=client,
        ) as eci:
            yield eci
    else:
        from vnodectl.providers.local.opening import LocalSettings, open_provider

        if settings.os_type != "Linux":
            raise UsageError("the local provider runs Linux pods only", hint="leave out --os-type")

        def local(name: str) -> AbstractAsyncContextManager[Provider]:
            here = LocalSettings.from_environment(environ, node_name=settings.node_name)
            if name != settings.node_name:  # an engine is one node's alone
                here = replace(here, scope=f"{here.scope}-{settings.node_names.index(name) + 1}")
            return open_provider(here, node_name=name, capacity=settings.capacity)

        yield local


def _own_address(client: KubeClient) -> str:
    """The source address of packets to the API server; nothing is sent to find it."""
    server = urlsplit(client.server)
    host, port = server.hostname or "localhost", server.port or 443
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise VnodectlError(
            f"cannot tell this node's address towards {host}: {error}", hint="name it with --node-ip"
        ) from error
