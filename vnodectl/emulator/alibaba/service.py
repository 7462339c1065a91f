"""An emulated Alibaba Cloud, ready to be called: its parts put together, and its sockets.

    async with AlibabaEmulator(config_of_file(path), engine=engine) as alibaba:
        alibaba.endpoint, alibaba.host, alibaba.control_url, alibaba.ca_file

All products share one TLS socket: RPC calls tell them apart by Action and Version, others by their path. The
engine is the caller's: it must have been started, and is not closed here. Several emulators may run in one
process; each needs an engine of its own.
"""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vnodectl.emulator.alibaba.calls import Catalogue, Operation
from vnodectl.emulator.alibaba.config import AlibabaConfig
from vnodectl.emulator.alibaba.cs import Clusters
from vnodectl.emulator.alibaba.eci import view
from vnodectl.emulator.alibaba.eci.containers import Containers
from vnodectl.emulator.alibaba.eci.handlers import ContainerGroups
from vnodectl.emulator.alibaba.eci.imagecaches import ImageCaches
from vnodectl.emulator.alibaba.eci.lifecycle import Lifecycle
from vnodectl.emulator.alibaba.eci.metrics import Metrics
from vnodectl.emulator.alibaba.eci.offer import Offer
from vnodectl.emulator.alibaba.eci.placement import Placement
from vnodectl.emulator.alibaba.eci.streams import PATH as STREAM_PATH
from vnodectl.emulator.alibaba.eci.streams import Streams
from vnodectl.emulator.alibaba.eci.tagging import Tagging
from vnodectl.emulator.alibaba.ecs import Compute
from vnodectl.emulator.alibaba.front import Front
from vnodectl.emulator.alibaba.idempotency import ClientTokens
from vnodectl.emulator.alibaba.ram import Ram
from vnodectl.emulator.alibaba.seed import config_of, quotas_of, regions_of, stock_of
from vnodectl.emulator.alibaba.sts import Sts
from vnodectl.emulator.alibaba.vpc import Networks
from vnodectl.emulator.alibaba.world import DEFAULT_QUOTA, World
from vnodectl.emulator.certificates import ServerCertificate
from vnodectl.emulator.clock import Clock
from vnodectl.emulator.control import Control
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.gateway import Gateway
from vnodectl.emulator.site import CONTROL, Site
from vnodectl.emulator.tasks import TaskOwner
from vnodectl.engines.api import Engine
from vnodectl.errors import UsageError

if TYPE_CHECKING:
    from aiohttp import web

SETTINGS = ("quotas", "regions", "stock")
LONGEST_LINE = 1024 * 1024
"""The SDKs put a whole container group into the query."""
LARGEST_BODY = 16 * 1024 * 1024


class AlibabaEmulator:
    """`state_dir` keeps the certificates and the directories that stand for NAS, OSS and disks; without it a
    temporary directory does, until the emulator is closed. `certificate` replaces the emulator's own.
    `bind` is the address of the products; the control API is always on 127.0.0.1.
    """

    def __init__(
        self,
        config: AlibabaConfig | None = None,
        *,
        engine: Engine,
        clock: Clock | None = None,
        state_dir: Path | None = None,
        certificate: ServerCertificate | None = None,
        bind: str = "127.0.0.1",
        port: int = 0,
        control_port: int = 0,
        chance: random.Random | None = None,
    ) -> None:
        self.clock = clock or Clock()
        ports = {"products": port, CONTROL: control_port}
        self._site = Site(bind, ports, state_dir=state_dir, certificate=certificate)
        self._tasks = TaskOwner()
        self._engine = engine
        # Chance decides about faults, delays, names and places, not about secrets.
        chance = chance or random.Random()  # noqa: S311
        self.world = World(config or AlibabaConfig(), self.clock)
        self.gateway = Gateway(self.clock, chance)
        self._tokens = ClientTokens(self.world)
        self._placement = Placement(self.world, chance)
        self.lifecycle = Lifecycle(
            self.world, self._placement, self._tasks, engine, self._site.directory / "shares"
        )
        self._caches = ImageCaches(self.world, self._tokens)
        self._streams = Streams(self.world)
        self._catalogue = Catalogue(
            operations(
                self.world, self._placement, self.lifecycle, self._caches, self._tokens, self._streams, chance
            )
        )
        self._front = Front(self.world, self.gateway, self._catalogue)

    # --- where it is ---

    @property
    def endpoint(self) -> str:
        """As a URL."""
        return self._site.url("products")

    @property
    def host(self) -> str:
        """The same as the SDKs take it: host:port."""
        return self.endpoint.partition("://")[2]

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
        tls, application, control = self._site.certified(), self._application(), Control(self, SETTINGS)
        try:
            await self.lifecycle.start()
            await self._site.listen("products", application, tls=tls, longest_line=LONGEST_LINE)
            await self._site.listen(CONTROL, control.application())
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop serving and all background work. The engine's groups stay: they are its owner's to remove."""
        await self._streams.aclose()
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

    def _application(self) -> web.Application:
        from aiohttp import web

        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_get(STREAM_PATH, self._streams.handle)
        app.router.add_route("*", "/{path:.*}", self._front.handle)
        return app

    # --- the control API's view ---

    def describe(self) -> JSON:
        """Where everything is, for people and for a ready file."""
        products = sorted({one.product.name.lower() for one in self._catalogue.operations})
        return {
            "cloud": "alibaba",
            "endpoint": self.endpoint,
            "endpoints": dict.fromkeys(products, self.host),
            "controlUrl": self.control_url,
            "caFile": str(self.ca_file) if self.ca_file else "",
            "account": self.world.account,
            "regions": list(self.world.regions),
            "engines": {"Linux": self._engine.name},
        }

    def state(self) -> JSON:
        world = self.world
        return {
            "account": world.account,
            "clock": {"now": self.clock.now(), "frozen": self.clock.frozen},
            "containerGroups": [
                view.render(group) | {"engine": {"kind": group.engine.name, "group": group.id}}
                for group in self.lifecycle.groups.values()
            ],
            "imageCaches": [cache.id for region in world.regions for cache in self._caches.in_region(region)],
            "users": [
                {"name": one.name, "policies": [policy.name for policy in one.policies]}
                for one in world.users.values()
            ],
            "roles": [
                {"name": one.name, "policies": [policy.name for policy in one.policies]}
                for one in world.roles.values()
            ],
            "oidcProviders": [
                {"name": one.name, "issuer": one.issuer} for one in world.oidc_providers.values()
            ],
            "vpcs": [asdict(one) for one in world.vpcs.values()],
            "vswitches": [
                asdict(one) | {"used": self._placement.addresses(one.id)} for one in world.vswitches.values()
            ],
            "securityGroups": [one.id for one in world.security_groups.values()],
            "eips": [asdict(one) for one in world.eips.values()],
            "clusters": [one.id for one in world.clusters.values()],
            "stock": self.setting("stock"),
            "timings": asdict(world.timings),
            "limits": asdict(world.limits),
        }

    def seed(self, document: Any) -> None:
        config = config_of(document)
        self.world.with_settings(config, set(document))
        self.world.add(config)
        if "limits" in document:
            self._front.throttle.clear()

    async def reset(self, document: Any | None = None) -> None:
        config = self.world.seeded if document is None else config_of(document)
        await self._tasks.aclose()
        await self.lifecycle.clear()
        self._caches.clear()
        self._tokens.clear()
        self.gateway.faults.clear()
        self.gateway.recorder.clear()
        self._front.throttle.clear()
        self._front.access.clear()
        self.world.reset(config)

    def routes_table(self) -> str:
        return _tables(self._catalogue)

    def setting(self, name: str) -> Any:
        world = self.world
        if name == "regions":
            return [asdict(region) for region in world.regions.values()]
        if name == "stock":
            return {
                zone: {"stock": stock, "used": self._placement.cpu(zone)}
                for zone, stock in world.stock.items()
            }
        return {
            region: {
                quota: {"limit": world.quota(region, quota), "used": self._used(region, quota)}
                for quota in DEFAULT_QUOTA
            }
            for region in world.regions
        }

    def change_setting(self, name: str, value: Any) -> None:
        if name == "regions":
            self.world.set_regions(regions_of(value))
        elif not isinstance(value, dict):
            raise UsageError(f"{name} must be a JSON object")
        elif name == "stock":
            self.world.stock.update(stock_of(value))
        else:
            for region, limits in quotas_of(value).items():
                self.world.quotas.setdefault(region, {}).update(limits)

    def _used(self, region: str, quota: str) -> float:
        return self._placement.cpu(region) if quota == "vcpu" else len(self._caches.in_region(region))


def operations(
    world: World,
    placement: Placement,
    lifecycle: Lifecycle,
    caches: ImageCaches,
    tokens: ClientTokens,
    streams: Streams,
    chance: random.Random,
) -> list[Operation]:
    """All that there are."""
    return [
        *ContainerGroups(world, placement, lifecycle, caches, tokens, chance).operations(),
        *Containers(world, lifecycle, streams).operations(),
        *Metrics(world, lifecycle).operations(),
        *caches.operations(),
        *Tagging(world, lifecycle, caches).operations(),
        *Offer(world, placement, caches).operations(),
        *Compute(world).operations(),
        *Networks(world, placement.addresses).operations(),
        *Clusters(world).operations(),
        *Sts(world).operations(),
        *Ram(world).operations(),
    ]


def routes_table() -> str:
    """What of Alibaba Cloud is emulated, as Markdown tables for the documentation."""
    from vnodectl.engines.simulated.engine import SimulatedEngine

    clock = Clock()
    # Nothing here is run: the parts are only asked what operations they have.
    world, chance = World(AlibabaConfig(), clock), random.Random()  # noqa: S311
    placement = Placement(world, chance)
    engine = SimulatedEngine(home=None, clock=clock)
    lifecycle = Lifecycle(world, placement, TaskOwner(), engine, Path())
    tokens = ClientTokens(world)
    caches = ImageCaches(world, tokens)
    return _tables(Catalogue(operations(world, placement, lifecycle, caches, tokens, Streams(world), chance)))


def _tables(catalogue: Catalogue) -> str:
    return (
        f"### Alibaba Cloud\n\n{catalogue.table()}\n"
        "### Streams\n\n| Product | Method | Path | What |\n|---|---|---|---|\n"
        f"| Eci | GET | `{STREAM_PATH}` | WebSocket of ExecContainerCommand: Kubernetes' channels, or raw |\n"
    )
