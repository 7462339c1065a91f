"""exec, attach and port-forward through TLS and HTTP, on both transports."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.kubelet_api import (
    Authority,
    Pods,
    Reviews,
    client_tls,
    pod,
    session,
    spdy,
    until_idle,
    until_running,
)
from support.process_provider import ProcessProvider
from support.spdy_client import SpdyClient

from vnodectl.runtime.http.server import KubeletServer, KubeletServerConfig
from vnodectl.runtime.http.upgrade import abort
from vnodectl.runtime.provider import LogOptions, PodKey, Streams
from vnodectl.runtime.streams.session import SessionLimits

V4 = "v4.channel.k8s.io"
V5 = "v5.channel.k8s.io"


class Kubelet:
    def __init__(self, directory: Path, provider: object = None, limits: SessionLimits | None = None) -> None:
        authority = Authority()
        pair = authority.issue("server")
        self.provider = ProcessProvider()
        self.tls: ssl.SSLContext = client_tls(directory, authority.issue("apiserver", "system:masters"))
        config = KubeletServerConfig(
            "n1",
            lambda: pair,
            lambda: authority.pem,
            address="127.0.0.1",
            port=0,
            limits=limits or SessionLimits(linger=1),
        )
        self.server = KubeletServer(
            config,
            Pods(pod("web")),
            provider or self.provider,  # type: ignore[arg-type]
            Reviews(),
        )

    @asynccontextmanager
    async def spdy(
        self, path: str, *protocols: str
    ) -> AsyncIterator[tuple[SpdyClient, asyncio.StreamWriter, str]]:
        async with spdy(self.server.port, path, self.tls, *(protocols or (V4,))) as opened:
            yield opened

    @asynccontextmanager
    async def websocket(
        self, path: str, *protocols: str, autoping: bool = True
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        url = f"https://127.0.0.1:{self.server.port}{path}"
        async with (
            session(self.tls) as client,
            client.ws_connect(url, protocols=protocols or (V5,), max_msg_size=0, autoping=autoping) as socket,
        ):
            yield socket

    async def status(self, path: str, **headers: str) -> tuple[int, str]:
        async with session(self.tls) as client:
            url = f"https://127.0.0.1:{self.server.port}{path}"
            async with client.post(url, headers=headers) as answer:
                return answer.status, await answer.text()


@asynccontextmanager
async def running(kubelet: Kubelet) -> AsyncIterator[Kubelet]:
    await kubelet.server.start()
    try:
        yield kubelet
    finally:
        await kubelet.server.stop()


@pytest.fixture
async def kubelet(tmp_path: Path) -> AsyncIterator[Kubelet]:
    async with running(Kubelet(tmp_path)) as one:
        yield one


def sh(script: str, *streams: str) -> str:
    asked = "&".join(f"{stream}=1" for stream in streams or ("output", "error"))
    return f"/exec/default/web/main?command=sh&command=-c&command={script}&{asked}"


async def streams(client: SpdyClient, *kinds: str) -> list[int]:
    opened = [await client.open(streamtype=kind) for kind in kinds]
    await client.until(lambda: client.replied >= set(opened))
    return opened


async def collected(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """Everything that comes, by channel, to the end."""
    channels: dict[int, bytes] = {}
    async with asyncio.timeout(20):
        async for message in socket:
            channels[message.data[0]] = channels.get(message.data[0], b"") + message.data[1:]
    return channels


# --- SPDY -----------------------------------------------------------------------------------------


async def test_exec_over_spdy(kubelet: Kubelet) -> None:
    path = sh("cat;echo%20oops%3E%262;exit%207", "input", "output", "error")
    async with kubelet.spdy(path, "v9.channel.k8s.io", V4) as (client, _, head):
        assert head.startswith("HTTP/1.1 101")
        assert "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n" in head
        assert "Upgrade: SPDY/3.1\r\n" in head
        error, stdin, stdout, stderr = await streams(client, "error", "stdin", "stdout", "stderr")
        await client.write(stdin, b"hello", fin=True)
        await client.to_the_end()
    assert (client.data[stdout], client.data[stderr]) == (b"hello", b"oops\n")
    assert json.loads(client.data[error])["details"]["causes"][0]["message"] == "7"


async def test_two_megabytes_each_way_over_spdy(kubelet: Kubelet) -> None:
    payload = bytes(range(256)) * 8192
    async with kubelet.spdy(sh("cat", "input", "output")) as (client, _, _):
        error, stdin, stdout = await streams(client, "error", "stdin", "stdout")

        async def feed() -> None:
            for at in range(0, len(payload), 50_000):
                await client.write(stdin, payload[at : at + 50_000])
            await client.write(stdin, fin=True)

        feeding = asyncio.create_task(feed())
        await client.to_the_end()
        await feeding
    assert client.data[stdout] == payload
    assert json.loads(client.data[error])["status"] == "Success"


async def test_a_client_that_vanishes_kills_the_command(kubelet: Kubelet) -> None:
    async with kubelet.spdy(sh("sleep%20600")) as (client, writer, _):
        await streams(client, "error", "stdout", "stderr")
        await until_running(kubelet.provider, 1)
        writer.transport.abort()
        await until_idle(kubelet.provider)


async def test_a_client_that_vanishes_while_its_input_is_held_back_is_noticed(tmp_path: Path) -> None:
    """Nothing is read from the socket then, so only a heartbeat that fails can tell."""
    limits = SessionLimits(inbound=1000, heartbeat=0.05, linger=0.1)
    path = sh("sleep%20600", "input", "output")
    async with (
        running(Kubelet(tmp_path, limits=limits)) as kubelet,
        kubelet.spdy(path) as (client, writer, _),
    ):
        _, stdin, _ = await streams(client, "error", "stdin", "stdout")
        flood = Flood(client, stdin)
        flooding = asyncio.create_task(flood.run())
        await until_running(kubelet.provider, 1)
        await until_stalled(lambda: flood.sent)
        flooding.cancel()
        writer.transport.abort()
        await until_idle(kubelet.provider)


class Flood:
    """Sends as much as the other end takes."""

    def __init__(self, client: SpdyClient, stream: int) -> None:
        self.sent = 0
        self._client = client
        self._stream = stream

    async def run(self) -> None:
        while True:
            await self._client.write(self._stream, b"x" * 100_000)
            self.sent += 100_000


async def until_stalled(progress: Callable[[], int]) -> None:
    """Wait until nothing moves any more: the kernel's buffers do not tell when they are full."""
    async with asyncio.timeout(20):
        before = -1
        while progress() != before:
            before = progress()
            await asyncio.sleep(0.5)


class Talker(ProcessProvider):
    """Its commands talk and talk."""

    written = 0
    enough = 100_000_000

    async def exec(self, key: PodKey, container: str, command: Sequence[str], streams: Streams) -> int:
        while self.written < self.enough:
            await streams.write_stdout(b"x" * 50_000)
            self.written += 50_000
        return 0


async def test_a_spdy_client_that_does_not_read_stops_the_command(tmp_path: Path) -> None:
    talker = Talker()
    async with running(Kubelet(tmp_path, talker)) as kubelet, kubelet.spdy(sh("true")) as (client, writer, _):
        for kind in ("error", "stdout", "stderr"):
            await client.open(streamtype=kind)
        await until_stalled(lambda: talker.written)
        assert 0 < talker.written < talker.enough
        writer.transport.abort()


async def test_a_websocket_client_that_does_not_read_stops_the_command(tmp_path: Path) -> None:
    talker = Talker()
    async with running(Kubelet(tmp_path, talker)) as kubelet, kubelet.websocket(sh("true")):
        await until_stalled(lambda: talker.written)
        assert 0 < talker.written < talker.enough


async def test_a_ping_of_a_websocket_client_is_answered(kubelet: Kubelet) -> None:
    async with kubelet.websocket(sh("exec%20sleep%20600"), autoping=False) as socket:
        await socket.ping(b"are you there")
        async with asyncio.timeout(20):
            while (message := await socket.receive()).type is not aiohttp.WSMsgType.PONG:
                assert message.type in (aiohttp.WSMsgType.PING, aiohttp.WSMsgType.BINARY)
        assert message.data == b"are you there"
    await until_idle(kubelet.provider)


async def test_the_tail_reaches_a_client_whose_input_nobody_reads(tmp_path: Path) -> None:
    script = "head%20-c%20300000%20/dev/zero;echo%20end"
    limits = SessionLimits(inbound=1000)
    path = sh(script, "input", "output")
    async with running(Kubelet(tmp_path, limits=limits)) as kubelet, kubelet.spdy(path) as (client, _, _):
        error, stdin, stdout = await streams(client, "error", "stdin", "stdout")
        flooding = asyncio.create_task(Flood(client, stdin).run())
        await client.until(lambda: client.goodbye is not None)
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
    assert len(client.data[stdout]) == 300_004
    assert json.loads(client.data[error])["status"] == "Success"


async def test_stopping_the_server_ends_sessions(tmp_path: Path) -> None:
    kubelet = Kubelet(tmp_path)
    async with running(kubelet), kubelet.spdy(sh("sleep%20600")) as (client, _, _):
        await streams(client, "error", "stdout", "stderr")
        await kubelet.server.stop()
        assert kubelet.provider.running == 0
        await client.to_the_end()


async def test_attach_over_spdy(kubelet: Kubelet) -> None:
    async with kubelet.spdy("/attach/default/web/uid-web/main?input=1&output=1") as (client, _, _):
        _, stdin, stdout = await streams(client, "error", "stdin", "stdout")
        await client.write(stdin, b"hi", fin=True)
        await client.to_the_end()
    assert client.data[stdout] == b"attached\nHI"


async def echo_server() -> tuple[asyncio.Server, int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_port_forward_over_spdy(kubelet: Kubelet) -> None:
    server, port = await echo_server()
    kubelet.provider.ports[80] = port
    async with server, kubelet.spdy("/portForward/default/web", "portforward.k8s.io") as (client, _, _):
        error = await client.open(streamtype="error", port="80", requestid="0")
        data = await client.open(streamtype="data", port="80", requestid="0")
        await client.until(lambda: client.replied >= {error, data})
        await client.write(data, b"ping", fin=True)
        await client.until(lambda: client.ended >= {error, data})
    assert client.data[data] == b"PING"
    await until_idle(kubelet.provider)


# --- WebSocket ------------------------------------------------------------------------------------


async def test_exec_over_a_v5_websocket(kubelet: Kubelet) -> None:
    path = sh("cat;echo%20oops%3E%262;exit%207", "input", "output", "error")
    async with kubelet.websocket(path, V5, V4) as socket:
        assert socket.protocol == V5
        await socket.send_bytes(b"\x00hello")
        await socket.send_bytes(b"\xff\x00")
        channels = await collected(socket)
        assert socket.close_code == 1000
    assert (channels[1], channels[2]) == (b"hello", b"oops\n")
    assert json.loads(channels[3])["details"]["causes"][0]["message"] == "7"


async def test_two_megabytes_over_a_websocket_that_pings(kubelet: Kubelet) -> None:
    payload = bytes(range(256)) * 8192
    async with kubelet.websocket(sh("cat", "input", "output")) as socket:

        async def feed() -> None:
            for at in range(0, len(payload), 50_000):
                await socket.send_bytes(b"\x00" + payload[at : at + 50_000])
                await socket.ping()
            await socket.send_bytes(b"\xff\x00")

        feeding = asyncio.create_task(feed())
        channels = await collected(socket)
        await feeding
    assert channels[1] == payload


async def test_a_websocket_that_vanishes_kills_the_command(kubelet: Kubelet) -> None:
    async with kubelet.websocket(sh("echo%20up;sleep%20600")) as socket:
        while (await socket.receive_bytes()) != b"\x01up\n":
            pass
    await until_idle(kubelet.provider)


async def test_a_terminal_over_a_v4_websocket(kubelet: Kubelet) -> None:
    async with kubelet.websocket(sh("read%20x;stty%20size", "input", "output", "tty"), V4) as socket:
        await socket.send_bytes(b'\x04{"Width":91,"Height":33}')
        await socket.send_bytes(b"\x00go\n")
        channels = await collected(socket)
    assert b"33 91" in channels[1]


async def test_port_forward_on_websocket_channels(kubelet: Kubelet) -> None:
    kubelet.provider.ports[80] = 1  # nothing listens there
    async with kubelet.websocket("/portForward/default/web?port=80", "v4.base64.channel.k8s.io") as socket:
        texts = [message.data async for message in socket]
    assert texts[:2] == ["0UAA=", "1UAA="]
    assert texts[2].startswith("1")


async def test_port_forward_tunnelled_through_a_websocket(kubelet: Kubelet) -> None:
    server, port = await echo_server()
    kubelet.provider.ports[80] = port
    tunnel = "SPDY/3.1+portforward.k8s.io"
    async with server, kubelet.websocket("/portForward/default/web", tunnel) as socket:
        assert socket.protocol == tunnel

        async def receive() -> bytes:
            message = await socket.receive()
            return message.data if message.type is aiohttp.WSMsgType.BINARY else b""

        async def send(data: bytes) -> None:
            for at in range(0, len(data), 7):  # messages and frames know nothing of each other
                await socket.send_bytes(data[at : at + 7])

        client = SpdyClient(send, receive)
        error = await client.open(streamtype="error", port="80", requestid="0")
        data = await client.open(streamtype="data", port="80", requestid="0")
        await client.until(lambda: client.replied >= {error, data})
        await client.write(data, b"ping", fin=True)
        await client.until(lambda: client.ended >= {error, data})
    assert client.data[data] == b"PING"
    await until_idle(kubelet.provider)


# --- refusals -------------------------------------------------------------------------------------

UPGRADE = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": V4}


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/exec/default/nope/main?command=x&output=1", 404, "pod does not exist"),
        ("/exec/default/web/other-uid/main?command=x&output=1", 404, "pod not found"),
        ("/exec/default/web/nope?command=x&output=1", 404, 'container not found ("nope")'),
        ("/exec/default/web/main?output=1", 400, "you must specify a command"),
        ("/exec/default/web/main?command=x", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("/attach/default/web/main", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("/portForward/default/nope", 404, "pod does not exist"),
    ],
)
async def test_requests_that_make_no_sense(kubelet: Kubelet, path: str, status: int, text: str) -> None:
    assert await kubelet.status(path, **UPGRADE) == (status, text)


@pytest.mark.parametrize(
    "path", [sh("true"), "/attach/default/web/main?output=1", "/portForward/default/web"]
)
async def test_requests_that_do_not_upgrade(kubelet: Kubelet, path: str) -> None:
    assert await kubelet.status(path) == (400, "Upgrade request required")
    h2c = {"Connection": "Upgrade", "Upgrade": "h2c"}
    assert await kubelet.status(path, **h2c) == (400, "Upgrade request required")


async def test_versions_nobody_knows(kubelet: Kubelet) -> None:
    status, text = await kubelet.status(sh("true"), **{**UPGRADE, "X-Stream-Protocol-Version": "v9"})
    assert status == 403
    assert text.startswith(
        "unable to upgrade: unable to negotiate protocol: client supports v9, server accepts"
    )
    without = {key: value for key, value in UPGRADE.items() if not key.startswith("X-")}
    assert (await kubelet.status(sh("true"), **without))[0] == 400
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with kubelet.websocket(sh("true"), "v9.channel.k8s.io"):
            pass
    assert refused.value.status == 400
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with kubelet.websocket("/portForward/default/web?port=x", V4):
            pass


class Minimal:
    """A provider with none of the optional abilities."""

    name = "azure"

    async def logs(self, key: PodKey, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        yield b""


async def test_what_the_provider_cannot_do_is_said(tmp_path: Path) -> None:
    async with running(Kubelet(tmp_path, Minimal())) as kubelet:
        async with kubelet.websocket("/attach/default/web/main?output=1") as socket:
            channels = await collected(socket)
        assert "azure cannot be attached to" in json.loads(channels[3])["message"]
        async with kubelet.spdy("/portForward/default/web", "portforward.k8s.io") as (client, _, _):
            error = await client.open(streamtype="error", port="80", requestid="0")
            await client.open(streamtype="data", port="80", requestid="0")
            await client.until(lambda: error in client.ended)
        assert b"azure cannot be forwarded" in client.data[error]


def test_a_connection_that_is_gone_is_cut_in_peace() -> None:
    """A kubectl that was interrupted left a stack trace in the log of every agent on an older Python 3.11."""

    class ClosedTwice(asyncio.Transport):
        def abort(self) -> None:
            raise AttributeError("'NoneType' object has no attribute '_abort'")

    abort(ClosedTwice())
