"""An emulated Azure, ready to be called: its parts put together, and its sockets.

    async with AzureEmulator(AzureConfig.from_file(path), engine=engine) as azure:
        azure.arm_endpoint, azure.authority_host, azure.graph_endpoint, azure.imds_endpoint
        azure.proxy_url, azure.control_url, azure.ca_file

ARM and the token endpoint share one TLS socket, Microsoft Graph has one of its own. The proxy gives clients
that know only Microsoft's own names these sockets. The engine is the caller's: it must have been started,
and is not closed here. Several emulators may run in one process; each needs engines of its own.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vnodectl.emulator.azure import aks, authorization, identities, network
from vnodectl.emulator.azure import resources as arm_resources
from vnodectl.emulator.azure.access import Access
from vnodectl.emulator.azure.aci import handlers as aci
from vnodectl.emulator.azure.aci.lifecycle import Lifecycle
from vnodectl.emulator.azure.aci.metrics import Metrics
from vnodectl.emulator.azure.aci.metrics_batch import PATH as BATCH_PATH
from vnodectl.emulator.azure.aci.metrics_batch import MetricsBatch
from vnodectl.emulator.azure.aci.placement import Placement
from vnodectl.emulator.azure.aci.profiles import Profiles
from vnodectl.emulator.azure.aci.render import render
from vnodectl.emulator.azure.aci.standby import StandbyPools
from vnodectl.emulator.azure.aci.streams import PATH as STREAM_PATH
from vnodectl.emulator.azure.aci.streams import Streams
from vnodectl.emulator.azure.arm import ArmFront
from vnodectl.emulator.azure.calls import ArmRoute, Handler
from vnodectl.emulator.azure.config import AzureConfig
from vnodectl.emulator.azure.entra import ROUTES as ENTRA_ROUTES
from vnodectl.emulator.azure.entra import Entra
from vnodectl.emulator.azure.graph import ROUTES as GRAPH_ROUTES
from vnodectl.emulator.azure.graph import Graph
from vnodectl.emulator.azure.hosts import (
    ARM_HOSTS,
    GRAPH_HOSTS,
    LOGIN_HOSTS,
    METRICS_DOMAIN,
    PUBLIC_HOSTS,
)
from vnodectl.emulator.azure.imds import PATH as IMDS_PATH
from vnodectl.emulator.azure.imds import Imds
from vnodectl.emulator.azure.operations import Operations
from vnodectl.emulator.azure.seed import parse_providers, parse_quotas, parse_regions
from vnodectl.emulator.azure.stored import StoredResources
from vnodectl.emulator.azure.tokens import PUBLIC_ARM, Tokens
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.certificates import ServerCertificate
from vnodectl.emulator.clock import Clock
from vnodectl.emulator.connect import ConnectProxy
from vnodectl.emulator.control import Control
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.gateway import Gateway
from vnodectl.emulator.jose import SigningKey
from vnodectl.emulator.router import Router
from vnodectl.emulator.site import CONTROL, Site
from vnodectl.emulator.tasks import TaskOwner
from vnodectl.engines.api import Engine
from vnodectl.errors import UsageError

if TYPE_CHECKING:
    from aiohttp import web


class AzureEmulator:
    """`windows_engine` runs Windows groups; without it `engine` does, which should then be a simulated one.

    `state_dir` keeps the signing key, the certificates and the emulated file shares; without it a
    temporary directory does, until the emulator is closed. `certificate` replaces the emulator's own.
    `bind` is the address of ARM, the token endpoint and IMDS; the control API is always on 127.0.0.1.
    """

    def __init__(
        self,
        config: AzureConfig | None = None,
        *,
        engine: Engine,
        windows_engine: Engine | None = None,
        clock: Clock | None = None,
        state_dir: Path | None = None,
        certificate: ServerCertificate | None = None,
        bind: str = "127.0.0.1",
        port: int = 0,
        imds_port: int = 0,
        graph_port: int = 0,
        metrics_port: int = 0,
        proxy_port: int = 0,
        control_port: int = 0,
        chance: random.Random | None = None,
    ) -> None:
        self.clock = clock or Clock()
        ports = {
            "arm": port,
            "imds": imds_port,
            "graph": graph_port,
            "metrics": metrics_port,
            CONTROL: control_port,
        }
        self._site = Site(bind, ports, state_dir=state_dir, certificate=certificate)
        self._proxy_port = proxy_port
        self._proxy: ConnectProxy | None = None
        self._tasks = TaskOwner()
        self._engines = {"Linux": engine, "Windows": windows_engine or engine}
        self.world = World(config or AzureConfig(), self.clock)
        # Chance decides about faults and delays, not about secrets.
        self.gateway = Gateway(self.clock, chance or random.Random())  # noqa: S311
        self.operations = Operations(self.world)
        self.lifecycle = Lifecycle(
            self.world, self.operations, self._tasks, self._engines, self._site.directory / "shares"
        )
        self._placement = Placement(self.world, self.lifecycle)
        self._streams = Streams(self.clock)
        self._profiles = Profiles(self.world)
        self._pools = StandbyPools(self.world, self.operations, self._profiles)
        self._access = Access(self.world)
        self._router = make_router(
            Services(
                self.world,
                self.operations,
                self.lifecycle,
                self._placement,
                self._streams,
                self._profiles,
                self._pools,
                self._tasks,
            )
        )
        self._front: ArmFront | None = None

    # --- where it is ---

    @property
    def arm_endpoint(self) -> str:
        return self._site.url("arm")

    @property
    def authority_host(self) -> str:
        return self._site.url("arm")

    @property
    def imds_endpoint(self) -> str:
        """What azure-identity takes as AZURE_POD_IDENTITY_AUTHORITY_HOST."""
        return self._site.url("imds")

    @property
    def graph_endpoint(self) -> str:
        return self._site.url("graph")

    @property
    def metrics_endpoint(self) -> str:
        """Azure Monitor's metrics in batches, of all regions."""
        return self._site.url("metrics")

    @property
    def proxy_url(self) -> str:
        """What HTTPS_PROXY is set to by clients that call Microsoft's own host names."""
        return self._proxy.url if self._proxy else ""

    @property
    def control_url(self) -> str:
        return self._site.url(CONTROL)

    @property
    def ca_file(self) -> Path | None:
        """What clients must trust; None where the caller brought a certificate."""
        return self._site.ca_file

    # --- life ---

    async def start(self) -> None:
        """Raises VnodectlError where an address is taken, EngineError where the engine does not answer."""
        tls = self._site.certified(*PUBLIC_HOSTS)
        key = SigningKey.load_or_make(self._site.directory / "token-key.pem")
        tokens = Tokens(key, self.world)
        entra = Entra(self.world, tokens, self.gateway, self._own_endpoints)
        imds = Imds(self.world, tokens, self.gateway, entra.knows)
        graph = Graph(self.world, tokens, self.gateway, lambda: self._audiences_of("graph"))
        batches = MetricsBatch(
            self.world,
            tokens,
            self.gateway,
            self._access,
            Metrics(self.world, self.lifecycle),
            lambda: self._audiences_of("metrics"),
        )
        front = ArmFront(self.world, tokens, self.gateway, self._router, self._access, self._audiences)
        self._front = front
        try:
            await self.lifecycle.start()
            await self._site.listen("arm", self._application(front, entra), tls=tls)
            await self._site.listen("graph", graph.application(), tls=tls)
            await self._site.listen("metrics", batches.application(), tls=tls)
            await self._start_proxy()
            await self._site.listen("imds", imds.application())
            await self._site.listen(CONTROL, Control(self).application())
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop serving and all background work. The engine's groups stay: they are its owner's to remove."""
        await self._streams.aclose()
        if self._proxy is not None:
            await self._proxy.aclose()
        await self._site.hang_up()
        await self._tasks.aclose()
        await self.lifecycle.aclose()
        self._site.remove()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _start_proxy(self) -> None:
        arm, graph, metrics = (self._site.address(name) for name in ("arm", "graph", "metrics"))
        hosts = dict.fromkeys((*ARM_HOSTS, *LOGIN_HOSTS), arm) | dict.fromkeys(GRAPH_HOSTS, graph)
        # One label in place of the region, as the certificate has it.
        hosts |= {f"*.{METRICS_DOMAIN}": metrics}
        self._proxy = ConnectProxy(hosts, host=self._site.bind, port=self._proxy_port)
        await self._proxy.start()

    def _application(self, front: ArmFront, entra: Entra) -> web.Application:
        from aiohttp import web

        app = web.Application(client_max_size=16 * 1024 * 1024)
        entra.add_routes(app)
        app.router.add_get(STREAM_PATH, self._streams.handle)
        app.router.add_route("*", "/{path:.*}", front.handle)
        return app

    def _audiences(self) -> tuple[str, ...]:
        own = self.arm_endpoint
        return (*PUBLIC_ARM, own, f"{own}/")

    def _own_endpoints(self) -> set[str]:
        return {self._site.url(name) for name in ("arm", "graph", "metrics")}

    def _audiences_of(self, listener: str) -> tuple[str, ...]:
        own = self._site.url(listener)
        return (own, f"{own}/")

    # --- the control API's view ---

    def describe(self) -> JSON:
        """Where everything is, for people and for a ready file."""
        return {
            "cloud": "azure",
            "armEndpoint": self.arm_endpoint,
            "authorityHost": self.authority_host,
            "graphEndpoint": self.graph_endpoint,
            "metricsEndpoint": self.metrics_endpoint,
            "imdsEndpoint": self.imds_endpoint,
            "proxyUrl": self.proxy_url,
            "controlUrl": self.control_url,
            "caFile": str(self.ca_file) if self.ca_file else "",
            "subscription": self.world.subscription,
            "tenant": self.world.tenant,
            "engines": {system: engine.name for system, engine in self._engines.items()},
        }

    def state(self) -> JSON:
        world = self.world
        return {
            "subscription": world.subscription,
            "tenant": world.tenant,
            "clock": {"now": self.clock.now(), "frozen": self.clock.frozen},
            "resourceGroups": [asdict(group) for group in world.resource_groups.values()],
            "containerGroups": [
                render(group) | {"engine": {"kind": group.engine.name, "group": group.engine_name}}
                for group in self.lifecycle.in_group("")
            ],
            "clusters": [cluster.name for cluster in world.clusters.values()],
            "networks": [
                {"name": one.name, "subnets": [subnet.name for subnet in one.subnets]}
                for one in world.networks.values()
            ],
            "resources": [f"{one.type}/{one.name}" for one in world.stored.values()],
            "principals": [
                {
                    "clientId": one.client_id,
                    "name": one.name,
                    "managed": one.managed,
                    "roles": [
                        {"role": given.role.name, "scope": given.scope} for given in world.assigned(one)
                    ],
                }
                for one in world.principals.values()
            ],
            "providers": self.setting("providers"),
            "timings": asdict(world.timings),
            "limits": asdict(world.limits),
        }

    def seed(self, document: Any) -> None:
        config = AzureConfig.from_json(document)
        self.world.with_settings(config, set(document))
        self.world.add(config)

    async def reset(self, document: Any | None = None) -> None:
        config = self.world.seeded if document is None else AzureConfig.from_json(document)
        await self._tasks.aclose()
        await self.lifecycle.clear()
        self.operations.clear()
        self.gateway.faults.clear()
        self.gateway.recorder.clear()
        self._placement.clear()
        self._profiles.clear()
        self._pools.clear()
        if self._front is not None:
            self._front.throttle.clear()
        self.world.reset(config)

    def routes(self) -> tuple[ArmRoute, ...]:
        """All operations of ARM."""
        return self._router.routes

    def routes_table(self) -> str:
        return _tables(self._router)

    def setting(self, name: str) -> Any:
        if name == "providers":
            return {one: self.world.registration(one) for one in self.world.namespaces()}
        if name == "regions":
            return [asdict(region) for region in self.world.regions.values()]
        return {
            region: {
                quota: {"limit": self.world.quota(region, quota), "used": used}
                for quota, used in self._placement.usage(region).items()
            }
            for region in self.world.regions
        }

    def change_setting(self, name: str, value: Any) -> None:
        if name == "regions":
            regions = parse_regions(value)
            self.world.regions = {region.name: region for region in regions}
        elif not isinstance(value, dict):
            raise UsageError(f"{name} must be a JSON object")
        elif name == "providers":
            for namespace, state in parse_providers(value).items():
                self.world.set_registration(namespace, state)
        else:
            for region, limits in parse_quotas(value).items():
                self.world.quotas.setdefault(region, {}).update(limits)


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that operations of ARM work on."""

    world: World
    operations: Operations
    lifecycle: Lifecycle
    placement: Placement
    streams: Streams
    profiles: Profiles
    pools: StandbyPools
    tasks: TaskOwner


def make_router(parts: Services) -> Router[Handler]:
    """All operations of ARM."""
    world, operations = parts.world, parts.operations
    groups = aci.ContainerGroups(
        world,
        operations,
        parts.lifecycle,
        parts.placement,
        parts.streams,
        Access(world),
        parts.profiles,
        parts.pools,
    )
    services = (
        groups,
        parts.profiles,
        parts.pools,
        aks.ManagedClusters(world),
        network.Networks(world, operations, parts.lifecycle.in_subnet),
        StoredResources(world, operations),
        identities.Identities(world),
    )
    routes = [route for service in services for route in service.routes()]
    routes += authorization.Authorization(world).routes()
    routes += Metrics(world, parts.lifecycle).routes()
    types = arm_resources.resource_types(routes)
    resources = arm_resources.Resources(world, operations, parts.tasks, services, types)
    return Router([*resources.routes(), *routes])


def routes_table() -> str:
    """What of Azure is emulated, as Markdown tables for the documentation."""
    clock = Clock()
    world, tasks = World(AzureConfig(), clock), TaskOwner()
    operations = Operations(world)
    lifecycle = Lifecycle(world, operations, tasks, {}, Path())
    profiles = Profiles(world)
    pools = StandbyPools(world, operations, profiles)
    placement = Placement(world, lifecycle)
    parts = Services(world, operations, lifecycle, placement, Streams(clock), profiles, pools, tasks)
    return _tables(make_router(parts))


def _tables(router: Router[Handler]) -> str:
    others = (
        *(("Entra ID", *route) for route in ENTRA_ROUTES),
        *(("Microsoft Graph", *route) for route in GRAPH_ROUTES),
        ("Azure Monitor", "POST", BATCH_PATH, "Metrics of up to 50 container groups"),
        ("IMDS", "GET", IMDS_PATH, "Tokens for managed identities"),
        ("ACI", "GET", STREAM_PATH, "WebSocket of exec and attach: password first, then bytes both ways"),
    )
    rows = "".join(
        f"| {service} | {method} | `{path}` | {what} |\n" for service, method, path, what in others
    )
    return (
        f"### Azure Resource Manager\n\n{router.table()}\n"
        f"### Identity and streams\n\n| Service | Method | Path | What |\n|---|---|---|---|\n{rows}"
    )
