"""Composes settings, one provider and the runtime into the node process (`vnodectl agent`)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from vnodectl import __version__
from vnodectl.errors import UsageError, VnodectlError
from vnodectl.kube.client import KubeClient
from vnodectl.kube.config import connect
from vnodectl.runtime.kubelet import Kubelet, KubeletConfig
from vnodectl.runtime.provider import Provider

log = logging.getLogger(__name__)


class ProviderName(StrEnum):
    ACI = "aci"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What `vnodectl agent` is told, whatever the provider. Capacity values are Kubernetes quantities.

    `node_ip` empty: the address from which this machine reaches the API server.
    """

    provider: ProviderName
    node_name: str
    connector: str = ""
    os_type: str = "Linux"
    node_ip: str = ""
    kubelet_port: int = 10250
    health_port: int | None = None
    capacity: Mapping[str, str] = field(default_factory=dict)
    api_server: str = ""
    taint: bool = True
    kubeconfig: str | None = None
    context: str | None = None


async def run(settings: AgentSettings, environ: Mapping[str, str] = os.environ) -> None:
    """Be the node until SIGTERM or SIGINT; pods keep running. Raises what makes a start impossible."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.info("vnodectl %s: node %s, provider %s", __version__, settings.node_name, settings.provider)
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
    async with await connect(settings.kubeconfig, settings.context) as client:
        address = settings.node_ip or _own_address(client)
        config = KubeletConfig(
            node_name=settings.node_name,
            addresses=(address,),
            kubelet_port=settings.kubelet_port,
            health_port=settings.health_port,
            taint=settings.taint,
            api_server=settings.api_server,
        )
        async with _provider(settings, environ) as provider:
            await Kubelet(client, provider, config).run()


@asynccontextmanager
async def _provider(settings: AgentSettings, environ: Mapping[str, str]) -> AsyncIterator[Provider]:
    if settings.provider is ProviderName.ACI:
        from vnodectl.clouds.azure import AzureSession, AzureSettings
        from vnodectl.providers.aci import AciSettings, create_provider

        async with AzureSession(AzureSettings.from_environment(environ)) as session:
            aci = create_provider(
                session,
                AciSettings.from_environment(environ),
                node_name=settings.node_name,
                connector=settings.connector or settings.node_name,
                os_type=settings.os_type,
                capacity=settings.capacity,
            )
            try:
                yield aci
            finally:
                await aci.aclose()
    else:
        from vnodectl.providers.local.opening import LocalSettings, open_provider

        if settings.os_type != "Linux":
            raise UsageError("the local provider runs Linux pods only", hint="leave out --os-type")
        here = LocalSettings.from_environment(environ, node_name=settings.node_name)
        async with open_provider(here, node_name=settings.node_name, capacity=settings.capacity) as local:
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
