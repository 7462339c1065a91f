"""Probes over real sockets, and what detection says where nothing works."""

from __future__ import annotations

import asyncio
import socket
import stat
import sys
import tempfile
from pathlib import Path

import pytest
from aiohttp import web

from vnodectl.engines.api import EngineError
from vnodectl.engines.docker_api.service import PodmanService, socket_directory
from vnodectl.engines.select import Detection, detect
from vnodectl.engines.sockets import SocketNetwork


@pytest.fixture
async def server():
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await over.wait()
            return web.Response()
        if request.path == "/moved":
            raise web.HTTPFound("/200")
        if request.path == "/header":
            return web.Response(status=200 if request.headers.get("X-Probe") == "1" else 400)
        return web.Response(status=int(request.path.strip("/")))

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"http://{host}:{port}", port
    over.set()
    await runner.cleanup()


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


async def test_http(server):
    base, _ = server
    network = SocketNetwork()
    assert await network.http(f"{base}/200", (), 20) == 200
    assert await network.http(f"{base}/503", (), 20) == 503
    assert await network.http(f"{base}/moved", (), 20) == 302, "redirects are not followed"
    assert await network.http(f"{base}/header", (("X-Probe", "1"),), 20) == 200
    with pytest.raises(TimeoutError):
        await network.http(f"{base}/slow", (), 0.1)
    with pytest.raises(OSError, match="Cannot connect"):
        await network.http(f"http://127.0.0.1:{unused_port()}/", (), 20)


async def test_tcp(server):
    _, port = server
    await SocketNetwork().tcp("127.0.0.1", port, 20)
    with pytest.raises(ConnectionRefusedError):
        await SocketNetwork().tcp("127.0.0.1", unused_port(), 20)


async def test_without_container_engines_the_reasons_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    found = await detect()
    assert found.kind == "process"
    assert "podman: it is not installed" in found.reason
    assert "docker: " in found.reason
    assert await detect([]) == Detection("process")


async def test_a_service_that_cannot_start_says_why(tmp_path):
    failing = [sys.executable, "-c", "import sys; sys.exit('cannot clone: not permitted')"]
    service = PodmanService(tmp_path, failing)
    with pytest.raises(EngineError, match="cannot clone: not permitted"):
        await service.ensure()
    await service.stop()


# Instead of podman: a socket where the last word says, until it is killed; nobody listens as long as a file
# `wait` is there.
SERVICE = """
import pathlib, signal, socket, sys, time
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[-1].removeprefix("unix://"))
while pathlib.Path("wait").exists():
    time.sleep(0.01)
listening.listen()
signal.pause()
"""


@pytest.fixture
def short(monkeypatch):
    """A directory for temporary files with a path that leaves room."""
    with tempfile.TemporaryDirectory() as made:
        monkeypatch.setattr(tempfile, "tempdir", made)
        yield Path(made)


async def test_a_long_directory_gets_a_short_socket_that_is_found_again(tmp_path, short):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    service = PodmanService(deep, [sys.executable, "-c", SERVICE])
    await service.ensure()
    path = Path(service.url.removeprefix("unix://"))
    assert path.is_socket()
    assert len(str(path)) < 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    # As if it had been killed: the next one of that directory has the same place, and leaves nothing.
    again = PodmanService(deep, [sys.executable, "-c", SERVICE])
    assert again.url == service.url
    await again.ensure()
    await again.stop()
    await service.stop()
    assert list(short.iterdir()) == []


async def test_a_service_has_started_when_it_listens(tmp_path):
    wait = tmp_path / "wait"
    wait.touch()
    service = PodmanService(tmp_path, [sys.executable, "-c", SERVICE])
    path = service.url.removeprefix("unix://")
    starting = asyncio.create_task(service.ensure())
    async with asyncio.timeout(60):
        while not Path(path).exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        await asyncio.wait([starting], timeout=0.2)
        assert not starting.done()
        wait.unlink()
        await starting
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    await service.stop()


async def test_a_socket_directory_of_somebody_else_is_not_used(tmp_path, short):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    place = socket_directory(deep)
    place.symlink_to(deep)
    with pytest.raises(EngineError, match="somebody else's"):
        await PodmanService(deep, [sys.executable, "-c", SERVICE]).ensure()
