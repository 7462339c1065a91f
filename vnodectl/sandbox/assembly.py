"""Putting a sandbox together: what starts when, and when it counts as ready."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from vnodectl.emulator.azure.hosts import PUBLIC_HOSTS
from vnodectl.errors import TimedOut
from vnodectl.sandbox import components, environment, kubeconfig, metrics
from vnodectl.sandbox.children import Children
from vnodectl.sandbox.components import LOOPBACK, Certificates, Command
from vnodectl.sandbox.ground import stand
from vnodectl.sandbox.layout import Layout
from vnodectl.sandbox.pki import Authority, Pair, write_private
from vnodectl.sandbox.plan import Plan
from vnodectl.sandbox.ports import Ports
from vnodectl.sandbox.seed import alibaba_seed, azure_seed

_START_SECONDS = 120.0
_POLL = 0.1


class Assembly:
    """The start of one sandbox. Each step that is done is told with `say`, for people."""

    def __init__(self, layout: Layout, plan: Plan, children: Children, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._plan = plan
        self._children = children
        self._say = say
        self._ports = Ports()
        self._base_env = environment.for_components(os.environ, plan.run)
        self.address = ""
        self.network = ""
        self.environment: dict[str, str] = {}
        """What `vnodectl sandbox env` prints; complete when `start` has returned."""
        self.workers: list[str] = []
        """Components that run containers and clean up after themselves when told to end."""

    async def start(self, stack: AsyncExitStack) -> None:
        """Start all components; `stack` gets what must stay as long as they run.

        Raises TimedOut where something is not ready in time.
        """
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._start(stack)
        except TimeoutError as error:
            raise TimedOut(
                f"the sandbox was not ready after {_START_SECONDS:.0f} s",
                hint=f"look at the components' logs in {self._layout.logs}",
            ) from error

    async def _start(self, stack: AsyncExitStack) -> None:
        stack.enter_context(self._ports)
        ground = await stand(self._layout, self._plan)
        self.address, self.network = ground.address, ground.network
        if ground.network:
            self._say(f"network {ground.network}, address {ground.address}")
        self._base_env = environment.without_proxy(self._base_env, ground.address)
        variables = {"KUBECONFIG": str(self._layout.kubeconfig)}
        if self._plan.smoke_image:
            variables["VNODECTL_SMOKE_IMAGE"] = self._plan.smoke_image
        if self._plan.connector_image:
            variables["VNODECTL_IMAGE"] = self._plan.connector_image
        # The emulator only needs to know where the kubeconfig will be, so both start at once.
        _, clouds = await _together(self._cluster(), self._clouds())
        self.environment = {**variables, **clouds}

    # --- the cluster -------------------------------------------------------------------------------

    async def _cluster(self) -> None:
        if self._plan.control_plane is None:
            node_kubeconfig = self._layout.kubeconfig
            self._say("using the cluster of the kubeconfig")
        else:
            node_kubeconfig = await self._control_plane(Path(self._plan.control_plane))
        await self._nodes(node_kubeconfig)

    async def _control_plane(self, programs: Path) -> Path:
        """Start it; gives the kubeconfig for nodes."""
        layout, address = self._layout, self.address
        certificates = await asyncio.to_thread(components.make_certificates, layout.pki, address)
        etcd = components.etcd(programs, layout.root / "etcd", certificates, self._ports.shared(LOOPBACK))
        api = components.api_server(
            programs, certificates, etcd.endpoint, address, self._ports.shared(address)
        )
        roles = {
            "node": certificates.node,
            "controller-manager": certificates.controller_manager,
            "scheduler": certificates.scheduler,
            "metrics-server": certificates.metrics_client,
        }
        paths = {role: layout.pki / f"{role}.kubeconfig" for role in roles}
        context = f"vnodectl-{layout.name}"
        for path, client in ((layout.kubeconfig, certificates.admin), *((paths[r], roles[r]) for r in roles)):
            kubeconfig.write(
                path,
                name=context,
                server=api.endpoint,
                authority=certificates.cluster.certificate,
                client=client,
            )
        await self._launch(etcd)
        await self._launch(api)
        await _answers(api.health, certificates.cluster.certificate)
        self._say(f"Kubernetes API at {api.endpoint}")
        manager_port, scheduler_port = self._ports.shared(LOOPBACK), self._ports.shared(LOOPBACK)
        await self._launch(
            components.controller_manager(
                programs,
                certificates,
                paths["controller-manager"],
                manager_port,
                metrics=bool(self._plan.metrics_server),
            )
        )
        await self._launch(components.scheduler(programs, certificates, paths["scheduler"], scheduler_port))
        if self._plan.metrics_server:
            await self._metrics_server(certificates, paths["metrics-server"])
        return paths["node"]

    async def _metrics_server(self, certificates: Certificates, client_config: Path) -> None:
        from vnodectl.kube.config import connect

        address, program = self.address, self._plan.metrics_server
        port = self._ports.shared(address)
        await self._launch(
            metrics.command(program, certificates.metrics_server, client_config, address, port)
        )
        async with await connect(str(self._layout.kubeconfig)) as client:
            await metrics.register(client, address, port, certificates.cluster.certificate)
        self._say("metrics-server is registered")

    async def _launch(self, command: Command) -> None:
        await self._children.start(
            command.name, command.argv, env=self._base_env, cwd=self._layout.root, endpoint=command.endpoint
        )

    # --- nodes -------------------------------------------------------------------------------------

    async def _nodes(self, node_kubeconfig: Path) -> None:
        """Start the nodes and wait until pods can be made and, where there are nodes, run."""
        from vnodectl.kube.config import connect
        from vnodectl.kube.errors import NotFound
        from vnodectl.kube.resources import NODES, SERVICE_ACCOUNTS

        async with await connect(str(self._layout.kubeconfig)) as client:
            for name in self._plan.node_names:
                await self._node(name, node_kubeconfig, self._plan.api_server or client.server)
            # Without it, the API server refuses every pod.
            while True:
                try:
                    await client.get(SERVICE_ACCOUNTS.path("default", "default"))
                    break
                except NotFound:
                    await asyncio.sleep(_POLL)
            waiting = list(self._plan.node_names)
            while waiting:
                try:
                    node = await client.get(NODES.path(name=waiting[0]))
                except NotFound:
                    node = {}
                if _is_ready(node):
                    self._children.reached(_component(waiting[0]), _kubelet_url(node, self.address))
                    self._say(f"node {waiting.pop(0)} is Ready")
                else:
                    await asyncio.sleep(_POLL)

    async def _node(self, name: str, node_kubeconfig: Path, api_server: str) -> None:
        state = self._layout.root / "nodes" / name
        state.mkdir(mode=0o700, parents=True)
        env = environment.node(
            engine=self._plan.engine,
            name=name,
            kubeconfig=node_kubeconfig,
            address=self.address,
            state=state,
            scope=f"{self._layout.scope}-{name}",
            network=self.network,
            api_server=api_server,
        )
        component = _component(name)
        self.workers.append(component)
        await self._children.start(
            component,
            (sys.executable, "-m", "vnodectl", "agent"),
            env={**self._base_env, **env},
            cwd=self._layout.root,
        )

    # --- the clouds --------------------------------------------------------------------------------

    async def _clouds(self) -> dict[str, str]:
        """Start the emulated clouds, all with one authority; gives what points programs at them."""
        if not self._plan.clouds:
            return {}
        layout = self._layout
        authority = Authority(layout.pki, "cloud-ca")
        # Clients of the emulator's proxy find it under Microsoft's own host names.
        names = dict.fromkeys((self.address, LOOPBACK, "localhost", *PUBLIC_HOSTS))
        serving = authority.server("cloud", tuple(names))
        bundle, roots = authority.pair.certificate, layout.root / "ca-bundle.pem"
        roots.write_bytes(environment.system_roots() + bundle.read_bytes())
        starts = {"azure": self._azure, "alibaba": self._alibaba}
        found: list[dict[str, str]] = await _together(
            *(starts[cloud](serving, bundle, roots) for cloud in self._plan.clouds)
        )
        return {name: value for variables in found for name, value in variables.items()}

    async def _azure(self, serving: Pair, bundle: Path, roots: Path) -> dict[str, str]:
        plan = self._plan
        seed = azure_seed(plan.identity, self._layout.kubeconfig)
        endpoints = await self._emulator("azure", serving, seed, "armEndpoint")
        self._say(f"emulated Azure at {endpoints['armEndpoint']}, proxy for it {endpoints['proxyUrl']}")
        return environment.for_azure(
            plan.identity,
            arm=endpoints["armEndpoint"],
            authority=endpoints["authorityHost"],
            graph=endpoints["graphEndpoint"],
            metrics=endpoints["metricsEndpoint"],
            proxy=endpoints["proxyUrl"],
            control=endpoints["controlUrl"],
            bundle=bundle,
            roots=roots,
        )

    async def _alibaba(self, serving: Pair, bundle: Path, roots: Path) -> dict[str, str]:
        plan = self._plan
        keys = components.token_keys(self._layout.pki) if plan.control_plane is not None else None
        seed = alibaba_seed(plan.access_key, self._layout.kubeconfig, keys)
        endpoints = await self._emulator("alibaba", serving, seed, "endpoint")
        self._say(f"emulated Alibaba Cloud at {endpoints['endpoint']}")
        return environment.for_alibaba(
            plan.access_key,
            endpoint=endpoints["endpoint"],
            control=endpoints["controlUrl"],
            bundle=bundle,
            roots=roots,
        )

    async def _emulator(
        self, cloud: str, serving: Pair, seed: dict[str, Any], endpoint: str
    ) -> dict[str, Any]:
        """Start one; gives what it says of itself, of which `endpoint` names its main address."""
        layout = self._layout
        seeded = layout.root / f"{cloud}-seed.json"
        write_private(seeded, json.dumps(seed).encode())
        state, ready = layout.root / cloud, layout.root / f"{cloud}-endpoints.json"
        state.mkdir(mode=0o700)
        options = {
            "--cloud": cloud,
            "--bind": self.address,
            "--port": "0",
            "--control-port": "0",
            "--tls-cert": str(serving.certificate),
            "--tls-key": str(serving.key),
            "--engine": self._plan.engine,
            "--scope": f"{layout.scope}-{cloud}",
            "--state-dir": str(state),
            "--seed": str(seeded),
            "--ready-file": str(ready),
            **({"--network": self.network} if self.network else {}),
        }
        name = f"{cloud}-emulator"
        self.workers.append(name)
        await self._children.start(
            name,
            (sys.executable, "-m", "vnodectl", "emulator", "serve", *(w for o in options.items() for w in o)),
            env=self._base_env,
            cwd=layout.root,
        )
        endpoints = await _written(ready)
        self._children.reached(name, endpoints[endpoint])
        return endpoints


def _component(node: str) -> str:
    return f"node-{node}"


def _kubelet_url(node: dict[str, Any], address: str) -> str:
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    return f"https://{address}:{port}"


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


async def _written(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, as soon as it is there whole."""
    while True:
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            return content
        except (FileNotFoundError, ValueError):
            await asyncio.sleep(_POLL)


async def _answers(url: str, authority: Path) -> None:
    """Wait until `url` answers 200."""
    import aiohttp

    context = ssl.create_default_context(cafile=str(authority))
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            try:
                async with session.get(url, ssl=context) as response:
                    if response.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(_POLL)


async def _together(*steps: Awaitable[Any]) -> list[Any]:
    """Like `gather`, but the first error ends the others."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
