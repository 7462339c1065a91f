"""The environment's proxy, as every program knows it: asked for once, and not for what it is not for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from kubernetes.aio.client import Configuration

from vnodectl.kube.client import KubeClient, proxy_for

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("server", "excluded", "proxy"),
    [
        ("https://api.example:6443", "", "http://secure.proxy:1"),
        ("http://api.example", "", "http://plain.proxy:1"),
        ("https://api.example:6443", "other.example,.example", ""),
        ("https://10.0.0.1", "10.0.0.1", ""),
        ("https://10.0.0.1", "*", ""),
        ("https://[fd00::1]:6443", "10.0.0.1", "http://secure.proxy:1"),
        ("", "", ""),
    ],
)
def test_which_proxy(monkeypatch: pytest.MonkeyPatch, server: str, excluded: str, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", "http://secure.proxy:1")
    monkeypatch.setenv("http_proxy", "http://plain.proxy:1")
    monkeypatch.setenv("no_proxy", excluded)
    assert proxy_for(server) == proxy


def test_without_a_proxy_there_is_none() -> None:
    assert proxy_for("https://api.example") == ""


@asynccontextmanager
async def proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """Answers everything itself; gives its URL and the request lines that it got."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.splitlines()[0])
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def client(host: str, proxy: str = "") -> KubeClient:
    configuration = type.__call__(Configuration)
    configuration.host, configuration.proxy = host, proxy or None
    return KubeClient(configuration)


async def test_calls_go_through_it_and_need_no_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy() as (url, asked):
        monkeypatch.setenv("http_proxy", url)
        before = threading.active_count()
        async with client("http://api.example:6443") as kube:
            for _ in range(3):
                assert await kube.get("/version") == {}
        assert threading.active_count() == before
    assert asked == ["GET http://api.example:6443/version HTTP/1.1"] * 3


async def test_the_kubeconfigs_proxy_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with proxy() as (url, asked), client("http://api.example", url) as kube:
        await kube.get("/version")
    assert len(asked) == 1
