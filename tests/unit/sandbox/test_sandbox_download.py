"""Official releases: fetched, verified, or found unreachable; from a server on loopback."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from vnodectl.errors import Unreachable
from vnodectl.sandbox.download import ChecksumMismatch, Release, Sources, fetch_all, published_digest
from vnodectl.sandbox.versions import DEFAULT, HELM, KUBERNETES

Serve = Callable[[dict[str, bytes]], Awaitable[str]]


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[TestServer] = []

    async def start(files: dict[str, bytes]) -> str:
        async def answer(request: web.Request) -> web.Response:
            if request.path not in files:
                return web.Response(status=404)
            return web.Response(body=files[request.path])

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return str(server.make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


def _ignore(done: int, total: int, name: str) -> None:
    pass


def _sha(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _tar(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


async def test_a_program_is_fetched_verified_and_executable(serve: Serve, tmp_path: Path) -> None:
    url = await serve({"/p": b"program", "/p.sha256": _sha(b"program")})
    seen: list[tuple[int, int]] = []
    await fetch_all(
        [Release("p", f"{url}/p", f"{url}/p.sha256")],
        tmp_path,
        progress=lambda done, total, name: seen.append((done, total)),
    )
    assert (tmp_path / "p").read_bytes() == b"program"
    assert (tmp_path / "p").stat().st_mode & 0o111
    assert seen[-1] == (7, 7)


async def test_only_the_named_member_of_an_archive_is_kept(serve: Serve, tmp_path: Path) -> None:
    archive = _tar("linux-amd64/helm", b"helm!")
    sums = _sha(archive) + b"  helm.tar.gz\n"
    url = await serve({"/helm.tar.gz": archive, "/sums": _sha(b"other") + b"  other.tar.gz\n" + sums})
    release = Release("helm.tar.gz", f"{url}/helm.tar.gz", f"{url}/sums", (("linux-amd64/helm", "helm"),))
    await fetch_all([release], tmp_path, progress=_ignore)
    assert [path.name for path in tmp_path.iterdir()] == ["helm"]
    assert (tmp_path / "helm").read_bytes() == b"helm!"


async def test_a_wrong_checksum_keeps_nothing(serve: Serve, tmp_path: Path) -> None:
    url = await serve({"/p": b"evil", "/p.sha256": _sha(b"good")})
    with pytest.raises(ChecksumMismatch, match="SHA-256"):
        await fetch_all([Release("p", f"{url}/p", f"{url}/p.sha256")], tmp_path, progress=_ignore)
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_not_there_counts_as_unreachable(serve: Serve, tmp_path: Path) -> None:
    url = await serve({"/p": b"program"})
    with pytest.raises(Unreachable, match="404"):
        await fetch_all([Release("p", f"{url}/p", f"{url}/p.sha256")], tmp_path, progress=_ignore)


async def test_no_server_counts_as_unreachable(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        with pytest.raises(Unreachable):
            await fetch_all([Release("p", f"{url}/p", f"{url}/s")], tmp_path, progress=_ignore)


@pytest.mark.parametrize("text", ["ABCD\n", "abcd  p\n", "ffff  q\nabcd *p\n", "abcd  dir/p\n"])
def test_checksum_files_of_every_publisher_are_understood(text: str) -> None:
    assert published_digest(text, "p") == "abcd"


def test_a_checksum_file_without_the_program_is_refused() -> None:
    with pytest.raises(ChecksumMismatch):
        published_digest("ffff  q\n", "p")


def test_where_releases_are_published() -> None:
    releases = (*Sources().control_plane(DEFAULT, "arm64"), *Sources().helm_release("arm64"))
    urls = {release.url for release in releases}
    assert f"https://dl.k8s.io/release/{KUBERNETES}/bin/linux/arm64/kube-apiserver" in urls
    assert f"https://get.helm.sh/helm-{HELM}-linux-arm64.tar.gz" in urls
    etcd = f"https://github.com/etcd-io/etcd/releases/download/{DEFAULT.etcd}"
    assert f"{etcd}/etcd-{DEFAULT.etcd}-linux-arm64.tar.gz" in urls
