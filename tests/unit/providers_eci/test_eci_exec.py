"""What goes over a WebSocket whose protocol ECI does not document."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support.fake_arm import certificate

from vnodectl.clouds.alibaba import AlibabaError, AlibabaNotFound, AlibabaThrottled
from vnodectl.errors import CloudUnreachable
from vnodectl.providers.eci import exec as eci_exec
from vnodectl.providers.eci.exec import exit_code
from vnodectl.runtime.provider import NotFound, ProviderError, Retryable, TerminalSize, Unsupported

Serve = Callable[[web.WebSocketResponse], Awaitable[None]]
SUCCESS = b'\x03{"status": "Success"}'


class Kubectl:
    def __init__(self, *stdin: bytes, tty: bool = False) -> None:
        self.tty = tty
        self.wants_stdin = bool(stdin)
        self.wants_stdout = True
        self.wants_stderr = not tty
        self.stdout = self.stderr = b""
        self._stdin = list(stdin)

    async def read_stdin(self) -> bytes:
        return self._stdin.pop(0) if self._stdin else b""

    async def write_stdout(self, data: bytes) -> None:
        self.stdout += data

    async def write_stderr(self, data: bytes) -> None:
        self.stderr += data

    async def resizes(self) -> AsyncIterator[TerminalSize]:
        yield TerminalSize(100, 30)


class FakeGroups:
    def __init__(self, uri: str, http: aiohttp.ClientSession | None = None) -> None:
        self.session = SimpleNamespace(http=http)
        self.uri = uri
        self.error: Exception | None = None
        self.asked: list[Any] = []

    async def exec(self, *arguments: Any, **options: Any) -> str:
        self.asked.append((arguments, options))
        if self.error is not None:
            raise self.error
        return self.uri


@asynccontextmanager
async def _server(
    directory: Path, serve: Serve, protocols: tuple[str, ...] = ()
) -> AsyncIterator[FakeGroups]:
    cert, key = certificate(directory)

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=protocols, timeout=1)
        await socket.prepare(request)
        await serve(socket)
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/exec/", handle)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    runner = web.AppRunner(app)
    await runner.setup()
    trusted = ssl.create_default_context(cafile=str(cert))
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as http:
            yield FakeGroups(f"wss://127.0.0.1:{runner.addresses[0][1]}/exec/?s=planted-ticket", http)
    finally:
        await runner.cleanup()


PLAIN = ("x",) * 17
"""Too many words for the shell that ends a command's stdin: what is sent is what was typed."""


async def _run(groups: FakeGroups, kubectl: Kubectl, *command: str) -> int:
    async with asyncio.timeout(15):
        return await eci_exec.run(groups, "eci-1", "main", command or PLAIN, kubectl)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_channels_of_an_agreed_protocol(tmp_path: Path, protocol: str) -> None:
    got: list[bytes] = []

    async def serve(socket: web.WebSocketResponse) -> None:
        got.append(await socket.receive_bytes())
        if protocol.startswith("v5"):
            got.append(await socket.receive_bytes())
        await socket.send_bytes(b"\x01")
        await socket.send_bytes(b"\x01out")
        await socket.send_bytes(b"\x02err")
        await socket.send_bytes(b"\x09unknown")
        await socket.send_bytes(SUCCESS)

    kubectl = Kubectl(b"typed")
    async with _server(tmp_path, serve, (protocol,)) as groups:
        assert await _run(groups, kubectl) == 0
        assert groups.asked == [(("eci-1", "main", PLAIN), {"tty": False, "stdin": True})]
    assert (kubectl.stdout, kubectl.stderr) == (b"out", b"err")
    assert got == [b"\x00typed", b"\xff\x00"][: len(got)]
    assert len(got) == (2 if protocol.startswith("v5") else 1)


async def test_channels_without_an_agreement_show_in_the_first_message(tmp_path: Path) -> None:
    got: list[bytes] = []

    async def serve(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01prompt")
        got.append(await socket.receive_bytes())
        await socket.send_bytes(SUCCESS)

    kubectl = Kubectl(b"typed")
    async with _server(tmp_path, serve) as groups:
        assert await _run(groups, kubectl) == 0
    assert (kubectl.stdout, got) == (b"prompt", [b"\x00typed"])


async def test_bytes_without_channels(tmp_path: Path) -> None:
    got: list[Any] = []

    async def serve(socket: web.WebSocketResponse) -> None:
        await socket.send_str("$ ")
        got.append(await socket.receive_bytes())
        await socket.send_bytes(b"bye")

    kubectl = Kubectl(b"exit\n", tty=True)
    async with _server(tmp_path, serve) as groups:
        assert await _run(groups, kubectl) == 0
    assert (kubectl.stdout, got) == (b"$ bye", [b"exit\n"])


async def test_a_silent_server_is_typed_to_in_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eci_exec, "_FIRST_MESSAGE", 0.05)
    got: list[bytes] = []

    async def serve(socket: web.WebSocketResponse) -> None:
        got.append(await socket.receive_bytes())
        await socket.send_bytes(SUCCESS)

    async with _server(tmp_path, serve) as groups:
        assert await _run(groups, Kubectl(b"typed")) == 0
    assert got == [b"\x00typed"]


async def test_the_terminal_s_size(tmp_path: Path) -> None:
    got: list[bytes] = []

    async def serve(socket: web.WebSocketResponse) -> None:
        got.append(await socket.receive_bytes())
        await socket.send_bytes(SUCCESS)

    async with _server(tmp_path, serve, ("v4.channel.k8s.io",)) as groups:
        assert await _run(groups, Kubectl(tty=True)) == 0
    assert got == [b'\x04{"Width": 100, "Height": 30}']


async def test_a_connection_that_breaks_is_no_success(tmp_path: Path) -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01half")

    async with _server(tmp_path, serve, ("v4.channel.k8s.io",)) as groups:
        with pytest.raises(ProviderError, match="ExecBroken"):
            await _run(groups, Kubectl())


@pytest.mark.parametrize("protocols", [(), ("channel.k8s.io",)])
async def test_the_oldest_form_says_nothing_of_a_command_that_ended_well(
    tmp_path: Path, protocols: tuple[str, ...]
) -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01whole")

    kubectl = Kubectl()
    async with _server(tmp_path, serve, protocols) as groups:
        assert await _run(groups, kubectl) == 0
    assert kubectl.stdout == b"whole"


async def test_the_oldest_form_says_how_a_command_failed_in_a_sentence(tmp_path: Path) -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x03command terminated with non-zero exit code: 41")

    async with _server(tmp_path, serve) as groups:
        assert await _run(groups, Kubectl()) == 41


async def test_a_connection_that_is_cut_without_a_word_is_no_success(tmp_path: Path) -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01half")
        transport = socket._req.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()

    async with _server(tmp_path, serve) as groups:
        with pytest.raises(ProviderError, match="ExecBroken"):
            await _run(groups, Kubectl())


async def test_an_address_without_tls_and_one_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="ExecInsecure"):
        await _run(FakeGroups("ws://x"), Kubectl())
    async with aiohttp.ClientSession() as http:
        with pytest.raises(Retryable) as caught:
            await _run(FakeGroups("wss://127.0.0.1:1/exec/?s=planted-ticket", http), Kubectl())
    assert "planted-ticket" not in str(caught.value)
    with pytest.raises(Unsupported):
        await eci_exec.run(FakeGroups(""), "e", "c", [], Kubectl())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (AlibabaNotFound(404, "InvalidParameter.NotFound", "no"), NotFound),
        (AlibabaThrottled(400, "Throttling.User", "slow"), Retryable),
        (AlibabaError(400, "IncorrectStatus", "not running"), ProviderError),
        (CloudUnreachable("gone"), Retryable),
    ],
)
async def test_refusals(error: Exception, raised: type[Exception]) -> None:
    groups = FakeGroups("")
    groups.error = error
    with pytest.raises(raised):
        await _run(groups, Kubectl())


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (b'{"status": "Success"}', 0),
        (b'{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}', 7),
        (b'{"status": "Failure", "details": {"causes": [{"reason": "ExitCode"}]}}', 1),
    ],
)
def test_exit_codes(status: bytes, code: int) -> None:
    assert exit_code(status) == code


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (b'{"status": "Failure", "message": "no such file"}', "no such file"),
        (b'{"status": "Failure"}', "the command failed"),
        (b"plain words", "plain words"),
        (b"[]", r"\[\]"),
        (
            b'{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "x"}]}}',
            "ExitCode",
        ),
    ],
)
def test_commands_that_could_not_be_started(status: bytes, message: str) -> None:
    with pytest.raises(ProviderError, match=message):
        exit_code(status)
