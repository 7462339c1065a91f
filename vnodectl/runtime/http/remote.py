"""/exec, /attach and /portForward: from a request to a session on streams."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from vnodectl.runtime.http.pods import PodSource, find_pod, has_container
from vnodectl.runtime.http.upgrade import (
    negotiate_channels,
    negotiate_spdy,
    requested_subprotocols,
    upgrade_to_spdy,
    upgrade_to_websocket,
    wants,
)
from vnodectl.runtime.metrics import NodeMetrics, Operation
from vnodectl.runtime.provider import (
    PodKey,
    PortConnection,
    Provider,
    Streams,
    SupportsAttach,
    SupportsPortForward,
    Unsupported,
)
from vnodectl.runtime.streams import remote_command
from vnodectl.runtime.streams.port_forward import (
    SPDY_PROTOCOL,
    TUNNEL_PROTOCOL,
    Forward,
    SpdyPortForward,
    ports_from_query,
)
from vnodectl.runtime.streams.port_forward import serve_websocket as serve_port_channels
from vnodectl.runtime.streams.port_forward import websocket_readable as port_channels_readable
from vnodectl.runtime.streams.session import SessionLimits, run
from vnodectl.runtime.streams.spdy_session import SpdySession
from vnodectl.runtime.streams.transport import ByteTransport, TunnelTransport
from vnodectl.runtime.streams.websocket import (
    PORT_FORWARD_PROTOCOLS,
    REMOTE_COMMAND_PROTOCOLS,
    WebSocketSession,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteHandlers:
    """The three paths. `{uid}` may be part of each of them."""

    pods: PodSource
    provider: Provider
    limits: SessionLimits
    calls: NodeMetrics

    async def exec(self, request: web.Request) -> web.StreamResponse:
        """GET or POST /exec/{namespace}/{pod}/[{uid}/]{container}?command=…&input=1&output=1&error=1&tty=1"""
        key, container = self._container(request)
        command = request.query.getall("command", [])
        if not command:
            raise web.HTTPBadRequest(text="you must specify a command")

        async def run_it(streams: Streams) -> int:
            with self.calls.call(Operation.EXEC):
                return await self.provider.exec(key, container, command, streams)

        return await self._command(request, run_it, f"exec in {key}, container {container}")

    async def attach(self, request: web.Request) -> web.StreamResponse:
        """GET or POST /attach/{namespace}/{pod}/[{uid}/]{container}?input=1&output=1&error=1&tty=1"""
        key, container = self._container(request)
        provider = self.provider

        async def run_it(streams: Streams) -> int:
            if not isinstance(provider, SupportsAttach):
                raise Unsupported(f"pods on a node of the provider {provider.name} cannot be attached to")
            with self.calls.call(Operation.ATTACH):
                await provider.attach(key, container, streams)
            return 0

        return await self._command(request, run_it, f"attach to {key}, container {container}")

    async def port_forward(self, request: web.Request) -> web.StreamResponse:
        """GET or POST /portForward/{namespace}/{pod}[/{uid}][?port=…]"""
        key, _ = find_pod(self.pods, request, "pod does not exist")
        provider, limits, calls = self.provider, self.limits, self.calls
        name = f"port-forward to {key}"

        async def forward(port: int, connection: PortConnection) -> None:
            if not isinstance(provider, SupportsPortForward):
                raise Unsupported(
                    f"ports of pods on a node of the provider {provider.name} cannot be forwarded"
                )
            with calls.call(Operation.PORT_FORWARD):
                await provider.port_forward(key, port, connection)

        async def serve(transport: ByteTransport) -> None:
            session = SpdySession(transport, limits)
            work = SpdyPortForward(session, forward, wait=limits.creation, name=name)
            await run(session, work.serve(), limits, name)

        if wants(request) != "websocket":
            chosen = negotiate_spdy(request, [SPDY_PROTOCOL])
            response, connection = await upgrade_to_spdy(request, chosen)
            await serve(connection)
            return response
        if TUNNEL_PROTOCOL in requested_subprotocols(request):
            socket, messages = await upgrade_to_websocket(request, TUNNEL_PROTOCOL, limits.linger)
            await serve(TunnelTransport(messages))
            return socket
        return await self._port_channels(request, forward, name)

    async def _port_channels(self, request: web.Request, forward: Forward, name: str) -> web.StreamResponse:
        ports = ports_from_query(request.query.getall("port", []))
        if ports is None:
            raise web.HTTPBadRequest(text='query parameter "port" must be one or more TCP ports')
        protocol = negotiate_channels(request, PORT_FORWARD_PROTOCOLS)
        socket, messages = await upgrade_to_websocket(request, protocol.name, self.limits.linger)
        session = WebSocketSession(
            messages,
            protocol,
            self.limits,
            count=2 * len(ports),
            readable=port_channels_readable(ports),
        )
        work = serve_port_channels(session, ports, forward, name=name)
        await run(session, work, self.limits, name)
        return socket

    def _container(self, request: web.Request) -> tuple[PodKey, str]:
        key, pod = find_pod(self.pods, request, "pod does not exist")
        container = request.match_info["container"]
        if not has_container(pod, container):
            raise web.HTTPNotFound(text=f'container not found ("{container}")')
        return key, container

    async def _command(
        self, request: web.Request, command: Callable[[Streams], Awaitable[int]], name: str
    ) -> web.StreamResponse:
        options = remote_command.StreamOptions.from_query(request.query)
        if options is None:
            raise web.HTTPBadRequest(text="you must specify at least 1 of stdin, stdout, stderr")
        limits = self.limits
        if wants(request) == "websocket":
            protocol = negotiate_channels(request, REMOTE_COMMAND_PROTOCOLS)
            socket, messages = await upgrade_to_websocket(request, protocol.name, limits.linger)
            session = WebSocketSession(
                messages,
                protocol,
                limits,
                count=remote_command.WEBSOCKET_CHANNELS,
                readable=remote_command.websocket_readable(options),
            )
            work = remote_command.serve_websocket(
                session, options, command, as_json=protocol.status_json, name=name
            )
            await run(session, work, limits, name)
            return socket
        chosen = negotiate_spdy(request, remote_command.SPDY_PROTOCOLS)
        response, connection = await upgrade_to_spdy(request, chosen)
        spdy = SpdySession(connection, limits)
        work = remote_command.serve_spdy(spdy, chosen, options, command, wait=limits.creation, name=name)
        await run(spdy, work, limits, name)
        return response
