"""Watches over a real socket: however the bytes are cut, whatever the size, whatever ends them."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import aclosing

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_api import client, serve

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.errors import ApiError, Expired


def url(server) -> str:
    return str(server.make_url("")).rstrip("/")


def event(kind: str, **metadata) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": metadata}}).encode() + b"\n"


def sends(*chunks: bytes, die: bool = False):
    async def handle(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if die:
            request.transport.close()
        return response

    return handle


async def received(kube, into=None):
    events = [] if into is None else into
    async for item in kube.watch("/api/v1/pods", {"resourceVersion": "5"}):
        events.append(item)
    return events


@given(cuts=st.lists(st.integers(0, 400), max_size=8))
@settings(max_examples=15)
def test_events_do_not_depend_on_how_the_bytes_are_cut(cuts):
    stream = b"".join(event("ADDED", name=f"ä-{number}") for number in range(6)) + b"\n"
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    chunks = [stream[a:b] for a, b in itertools.pairwise(places)]

    async def check():
        async with serve(sends(*chunks)) as server, client(url(server)) as kube:
            assert [item["object"]["metadata"]["name"] for item in await received(kube)] == [
                f"ä-{number}" for number in range(6)
            ]

    asyncio.run(check())


async def test_an_object_larger_than_every_buffer():
    huge = "x" * 5_000_000
    async with (
        serve(
            sends(event("ADDED", name="a"), event("MODIFIED", blob=huge), event("DELETED", name="a"))
        ) as server,
        client(url(server)) as kube,
    ):
        events = await received(kube)
    assert [item["type"] for item in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[1]["object"]["metadata"]["blob"] == huge


async def test_bookmarks_are_asked_for_and_passed_on():
    asked = []

    async def handle(request):
        asked.append(dict(request.query))
        return web.Response(body=event("BOOKMARK", resourceVersion="9"))

    async with serve(handle) as server, client(url(server)) as kube:
        events = await received(kube)
    assert [item["type"] for item in events] == ["BOOKMARK"]
    assert asked == [{"watch": "1", "allowWatchBookmarks": "1", "resourceVersion": "5"}]


@pytest.mark.parametrize(("code", "kind"), [(410, Expired), (500, ApiError), (None, ApiError)])
async def test_an_error_event_is_raised_after_what_came_before(code, kind):
    error = {"type": "ERROR", "object": {"kind": "Status", "message": "too old", "reason": "Expired"}}
    if code:
        error["object"]["code"] = code
    got = []
    async with (
        serve(sends(event("ADDED", name="a"), json.dumps(error).encode() + b"\n")) as server,
        client(url(server)) as kube,
    ):
        with pytest.raises(kind, match="too old") as caught:
            await received(kube, got)
    assert [item["type"] for item in got] == ["ADDED"]
    assert type(caught.value) is kind


async def test_a_connection_that_dies_is_not_an_end():
    async with serve(sends(event("ADDED", name="a"), die=True)) as server, client(url(server)) as kube:
        got = []
        with pytest.raises(ClusterUnreachable):
            await received(kube, got)
    assert [item["type"] for item in got] == ["ADDED"]


async def test_half_an_event_at_the_end_is_no_event():
    async with serve(sends(event("ADDED", name="a"), b'{"type":"ADD')) as server, client(url(server)) as kube:
        assert [item["type"] for item in await received(kube)] == ["ADDED"]


async def test_a_silent_connection_ends_after_the_time_that_was_asked_for(mocker):
    mocker.patch("vnodectl.kube.client._WATCH_GRACE", -0.95)
    silent = asyncio.Event()

    async def handle(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await silent.wait()
        return response

    async with serve(handle) as server, client(url(server)) as kube:
        with pytest.raises(ClusterUnreachable, match="no answer in time"):
            async for _ in kube.watch("/api/v1/pods", {"timeoutSeconds": 1}):
                pass
        silent.set()


async def test_closing_a_watch_early_frees_its_connection():
    ended = asyncio.Event()

    async def handle(request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(event("MODIFIED", name="a"))
                await asyncio.sleep(0)
        finally:
            ended.set()

    async with serve(handle) as server, client(url(server)) as kube:
        async with aclosing(kube.watch("/api/v1/pods")) as events:
            async for _ in events:
                break
        await asyncio.wait_for(ended.wait(), 10)
