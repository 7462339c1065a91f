"""A probe carried out once, against real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from vnodectl.runtime.http.serving import SelfSigned
from vnodectl.runtime.probing import grpc
from vnodectl.runtime.probing.actions import SocketRunner
from vnodectl.runtime.probing.outcome import Verdict
from vnodectl.runtime.probing.spec import Grpc, HttpGet, Impossible, TcpSocket, probe_spec
from vnodectl.runtime.provider import ProbeKind

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest_asyncio.fixture
async def runner() -> AsyncIterator[SocketRunner]:
    made = SocketRunner()
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def serving(
    respond: Respond, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", respond)
    made = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await made.setup()
    site = web.TCPSite(made, host, 0, ssl_context=tls)
    await site.start()
    try:
        yield made.addresses[0][1]
    finally:
        await made.cleanup()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize(("code", "ok"), [(200, True), (204, True), (304, True), (399, True), (400, False),
                                          (404, False), (503, False)])  # fmt: skip
async def test_2xx_and_3xx_are_success(runner: SocketRunner, code: int, ok: bool):
    async def respond(_: web.Request) -> web.Response:
        return web.Response(status=code)

    async with serving(respond) as port:
        outcome = await runner.run(HttpGet(port), "127.0.0.1", 5)
    assert outcome.ok is ok
    assert outcome.message == ("" if ok else f"HTTP probe failed with statuscode: {code}")


async def test_the_request_is_the_kubelets(runner: SocketRunner):
    asked: list[web.Request] = []

    async def respond(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response()

    headers = (("X-One", "1"), ("X-One", "2"), ("Host", "shop.example"), ("Accept", ""))
    async with serving(respond) as port:
        assert (await runner.run(HttpGet(port), "127.0.0.1", 5)).ok
        assert (await runner.run(HttpGet(port, path="health?deep=1", headers=headers), "127.0.0.1", 5)).ok
    plain, special = asked
    assert plain.method == "GET"
    assert plain.path == "/"
    assert plain.headers["User-Agent"].startswith("kube-probe/")
    assert plain.headers["Accept"] == "*/*"
    assert plain.headers["Host"] == f"127.0.0.1:{port}"
    assert "Accept-Encoding" not in plain.headers
    assert special.path_qs == "/health?deep=1"
    assert special.headers.getall("X-One") == ["1", "2"]
    assert special.headers["Host"] == "shop.example"
    assert "Accept" not in special.headers


async def test_redirects_are_followed_on_the_same_host_and_no_further(runner: SocketRunner):
    async def respond(request: web.Request) -> web.Response:
        targets = {"/here": "/broken", "/away": "http://elsewhere.invalid/", "/loop": "/loop"}
        if target := targets.get(request.path):
            return web.Response(status=302, headers={"Location": target})
        return web.Response(status=500)

    async with serving(respond) as port:
        here = await runner.run(HttpGet(port, "/here"), "127.0.0.1", 5)
        away = await runner.run(HttpGet(port, "/away"), "127.0.0.1", 5)
        loop = await runner.run(HttpGet(port, "/loop"), "127.0.0.1", 5)
    assert here.message == "HTTP probe failed with statuscode: 500"
    assert (away.verdict, away.message) == (
        Verdict.WARNING,
        "Probe terminated redirects, Response code: 302",
    )
    assert away.ok
    assert not loop.ok
    assert "stopped after 10 redirects" in loop.message


async def test_https_is_not_verified_and_the_host_of_the_probe_wins(runner: SocketRunner, tmp_path: Path):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = SelfSigned("somebody-else", ("192.0.2.1",))()
    (tmp_path / "pem").write_bytes(pair.certificate + pair.key)
    tls.load_cert_chain(tmp_path / "pem")

    async def respond(_: web.Request) -> web.Response:
        return web.Response()

    async with serving(respond, tls=tls) as port:
        action = HttpGet(port, scheme="https", host="127.0.0.1")
        assert (await runner.run(action, "192.0.2.9", 5)).ok
        plain = await runner.run(HttpGet(port), "127.0.0.1", 5)
    assert not plain.ok


async def test_what_does_not_answer_in_time_or_not_at_all_fails(runner: SocketRunner):
    never = asyncio.Event()

    async def respond(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    async with serving(respond) as port:
        late = await runner.run(HttpGet(port), "127.0.0.1", 0.05)
        never.set()
    nobody = await runner.run(HttpGet(free_port()), "127.0.0.1", 5)
    assert late.verdict is nobody.verdict is Verdict.FAILURE
    assert "no answer within 0.05 s" in late.message
    assert "Connect call failed" in nobody.message or "refused" in nobody.message


async def test_an_answer_that_breaks_off_is_none(runner: SocketRunner):
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        outcome = await runner.run(HttpGet(server.sockets[0].getsockname()[1]), "127.0.0.1", 5)
    assert outcome.verdict is Verdict.FAILURE


async def test_a_port_that_accepts_is_a_success(runner: SocketRunner):
    async def nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(nothing, "127.0.0.1", 0)
    async with server:
        assert (await runner.run(TcpSocket(server.sockets[0].getsockname()[1]), "127.0.0.1", 5)).ok
    closed = await runner.run(TcpSocket(free_port()), "127.0.0.1", 5)
    assert closed.verdict is Verdict.FAILURE
    assert closed.message.startswith("dial tcp 127.0.0.1:")


class _Bytes(CodecBase):
    __content_subtype__ = "proto"

    def encode(self, message, message_type):
        return message

    def decode(self, data, message_type):
        return data


class _Health:
    """The health service as any gRPC server offers it: `states` by service."""

    def __init__(self, states: dict[bytes, int | GRPCError]):
        self.states = states

    async def check(self, stream: Stream) -> None:
        request = await stream.recv_message()
        state = self.states[request]
        if isinstance(state, GRPCError):
            raise state
        await stream.send_message(b"\x08" + bytes([state]) if state else b"")

    def __mapping__(self) -> dict[str, Handler]:
        return {"/grpc.health.v1.Health/Check": Handler(self.check, Cardinality.UNARY_UNARY, bytes, bytes)}


@asynccontextmanager
async def health(service: _Health) -> AsyncIterator[int]:
    server = Server([service], codec=_Bytes())
    port = free_port()
    await server.start("127.0.0.1", port)
    try:
        yield port
    finally:
        server.close()
        await server.wait_closed()


async def test_grpc_asks_the_health_service(runner: SocketRunner):
    states: dict[bytes, int | GRPCError] = {
        b"": 1,
        b"\x0a\x02db": 2,
        b"\x0a\x03new": 0,
        b"\x0a\x04none": GRPCError(Status.NOT_FOUND, "unknown service"),
    }
    async with health(_Health(states)) as port:
        answers = {
            name: await runner.run(Grpc(port, name), "127.0.0.1", 5) for name in ("", "db", "new", "none")
        }
    assert answers[""].ok
    assert answers["db"].message == 'service unhealthy (responded with "NOT_SERVING")'
    assert answers["new"].message == 'service unhealthy (responded with "UNKNOWN")'
    assert answers["none"].message == "health rpc probe failed: NOT_FOUND: unknown service"


async def test_grpc_without_a_health_service_or_a_server_fails(runner: SocketRunner):
    async with health(_Health({b"": GRPCError(Status.UNIMPLEMENTED)})) as port:
        without = await runner.run(Grpc(port), "127.0.0.1", 5)
    nobody = await runner.run(Grpc(free_port()), "127.0.0.1", 5)
    assert "does not implement the grpc health protocol" in without.message
    assert nobody.message.startswith("failed to connect service 127.0.0.1:")
    assert nobody.verdict is Verdict.FAILURE


async def test_a_grpc_server_that_hangs_fails_in_time(runner: SocketRunner):
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        outcome = await runner.run(Grpc(server.sockets[0].getsockname()[1]), "127.0.0.1", 0.1)
    assert outcome.message == "timeout: health rpc did not complete within 0.1s"


def test_the_two_messages_of_the_health_protocol():
    assert grpc.request("") == b""
    assert grpc.request("s" * 200) == b"\x0a\xc8\x01" + b"s" * 200
    assert [grpc.status(answer) for answer in (b"", b"\x08\x01", b"\x08\x96\x01", b"\x12\x01a")] == [
        0,
        1,
        150,
        0,
    ]


async def test_what_cannot_be_carried_out_says_nothing_about_the_container(runner: SocketRunner):
    outcome = await runner.run(Impossible("couldn't find port: 'http'"), "127.0.0.1", 1)
    assert (outcome.verdict, outcome.ok) == (Verdict.UNKNOWN, False)


def test_a_probe_is_read_with_the_apis_defaults():
    container = {
        "ports": [{"name": "web", "containerPort": 8080}],
        "livenessProbe": {"httpGet": {"port": "web"}},
        "readinessProbe": {
            "tcpSocket": {"port": 5432, "host": "db"},
            "initialDelaySeconds": 5,
            "periodSeconds": 2,
            "timeoutSeconds": 3,
            "successThreshold": 2,
            "failureThreshold": 4,
        },
        "startupProbe": {"grpc": {"port": 9000, "service": "s"}, "terminationGracePeriodSeconds": 0},
    }
    live = probe_spec(container, ProbeKind.LIVENESS)
    ready = probe_spec(container, ProbeKind.READINESS)
    start = probe_spec(container, ProbeKind.STARTUP)
    assert live is not None
    assert ready is not None
    assert start is not None
    assert live.action == HttpGet(8080, "/", "http")
    times = (live.initial_delay, live.period, live.timeout, live.success_threshold, live.failure_threshold)
    assert times == (0, 10, 1, 1, 3)
    assert live.grace is None
    assert ready.action == TcpSocket(5432, "db")
    assert (ready.initial_delay, ready.period, ready.timeout) == (5, 2, 3)
    assert (ready.success_threshold, ready.failure_threshold) == (2, 4)
    assert (start.action, start.grace) == (Grpc(9000, "s"), 0)


@pytest.mark.parametrize("port", ["nothing", 0, 70000, None])
def test_a_port_that_is_none_is_said(port):
    spec = probe_spec({"livenessProbe": {"httpGet": {"port": port}}}, ProbeKind.LIVENESS)
    assert spec is not None
    assert isinstance(spec.action, Impossible)


def test_an_exec_probe_is_the_providers():
    assert probe_spec({"livenessProbe": {"exec": {"command": ["true"]}}}, ProbeKind.LIVENESS) is None
    assert probe_spec({}, ProbeKind.LIVENESS) is None


def test_grpc_is_loaded_only_by_who_probes_with_it():
    program = "import sys, vnodectl.runtime.kubelet; print('grpclib' in sys.modules, 'h2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
