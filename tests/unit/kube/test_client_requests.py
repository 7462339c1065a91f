"""The client over a real socket: pages, errors by status, throttling, credentials, time-outs."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from aiohttp import web
from support.fake_api import client, serve, status

import vnodectl.kube.client
from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.client import MERGE_PATCH, KubeClient
from vnodectl.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    Throttled,
    Unauthorized,
)

SECRET = "s3cr3t-marker"


def url(server) -> str:
    return str(server.make_url("")).rstrip("/")


async def test_a_list_reads_every_page_and_says_where_to_watch_from():
    asked = []

    async def handle(request):
        asked.append(dict(request.query))
        start = int(request.query.get("continue") or 0)
        meta = {"resourceVersion": "77"} | ({"continue": str(start + 2)} if start < 4 else {})
        items = [{"metadata": {"name": f"p{number}"}} for number in (start, start + 1)]
        return web.json_response({"items": items, "metadata": meta})

    async with serve(handle) as server, client(url(server)) as kube:
        items, version = await kube.list(
            "/api/v1/pods", {"labelSelector": "a=b", "resourceVersion": "0"}, page=2
        )

    assert [item["metadata"]["name"] for item in items] == [f"p{number}" for number in range(6)]
    assert version == "77"
    assert [query["limit"] for query in asked] == ["2", "2", "2"]
    assert all(query["labelSelector"] == "a=b" for query in asked)
    # The API server refuses a resourceVersion beside a continue token.
    assert ["resourceVersion" in query for query in asked] == [True, False, False]


async def test_a_list_that_expires_between_pages_returns_nothing():
    async def handle(request):
        if "continue" in request.query:
            return status(410, "Expired", "the provided continue parameter is too old")
        return web.json_response({"items": [{}], "metadata": {"continue": "x"}})

    async with serve(handle) as server, client(url(server)) as kube:
        with pytest.raises(Expired):
            await kube.list("/api/v1/pods")


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", Invalid),
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Gone", Expired),
        (422, "Invalid", Invalid),
        (500, "InternalError", ApiError),
    ],
)
async def test_a_refusal_becomes_the_error_that_says_what_to_do(code, reason, kind):
    async def handle(request):
        return status(code, reason, "the words of the server")

    async with serve(handle) as server, client(url(server)) as kube:
        with pytest.raises(kind) as caught:
            await kube.get("/api/v1/nodes/x")
    assert (type(caught.value), caught.value.status, caught.value.reason) == (kind, code, reason)
    assert caught.value.message == "the words of the server"


async def test_throttling_is_waited_out_as_the_server_asks(mocker):
    sleep = mocker.patch("vnodectl.kube.client.asyncio.sleep", new=mocker.AsyncMock())
    answers = [("7", 429), ("900", 429), ("soon", 429), ("", 200)]

    async def handle(request):
        after, code = answers.pop(0)
        return web.json_response(
            {"kind": "Status", "code": code}, status=code, headers={"Retry-After": after}
        )

    async with serve(handle) as server, client(url(server)) as kube:
        await kube.get("/api/v1/nodes")
    waits = [call.args[0] for call in sleep.await_args_list if call.args[0]]
    # At most half a minute; a second where the header says nothing usable; and not all at the same moment.
    for wait, asked in zip(waits, (7.0, 30.0, 1.0), strict=True):
        assert asked <= wait <= 1.5 * asked
    assert waits != [7.0, 30.0, 1.0]


async def test_endless_throttling_is_given_back_to_the_caller(mocker):
    mocker.patch("vnodectl.kube.client.asyncio.sleep", new=mocker.AsyncMock())
    calls = 0

    async def handle(request):
        nonlocal calls
        calls += 1
        return status(429, "TooManyRequests")

    async with serve(handle) as server, client(url(server)) as kube:
        with pytest.raises(Throttled):
            await kube.get("/api/v1/nodes")
    assert calls == 5


def guarded(valid: list[str]):
    """A server that takes only the tokens in `valid`."""

    async def handle(request):
        if request.headers.get("Authorization") not in valid:
            return status(401, "Unauthorized")
        if request.query.get("watch"):
            return web.Response(text='{"type":"ADDED","object":{"metadata":{}}}\n')
        return web.json_response({"ok": True})

    return handle


async def test_refused_credentials_are_renewed_once_for_all_calls_that_used_them():
    renewals = 0
    valid = ["Bearer new"]

    async with serve(guarded(valid)) as server:

        async def renew():
            nonlocal renewals
            renewals += 1
            await asyncio.sleep(0)
            kube.configuration.api_key["BearerToken"] = "Bearer new"

        async with client(url(server), token="Bearer old", reauthenticate=renew) as kube:
            answers = await asyncio.gather(*(kube.get("/api/v1/nodes") for _ in range(8)))
    assert answers == [{"ok": True}] * 8
    assert renewals == 1


async def test_a_watch_renews_credentials_too():
    async with serve(guarded(["Bearer new"])) as server:

        async def renew():
            kube.configuration.api_key["BearerToken"] = "Bearer new"

        async with client(url(server), token="Bearer old", reauthenticate=renew) as kube:
            assert [event["type"] async for event in kube.watch("/api/v1/nodes")] == ["ADDED"]


async def test_credentials_that_stay_refused_end_the_call():
    renewals = 0

    async def renew():
        nonlocal renewals
        renewals += 1

    async with (
        serve(guarded([])) as server,
        client(url(server), token=f"Bearer {SECRET}", reauthenticate=renew) as kube,
    ):
        with pytest.raises(Unauthorized) as caught:
            await kube.get("/api/v1/nodes")
    assert renewals == 1
    assert SECRET not in repr(caught.value)


async def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = taken.getsockname()[1]
        async with client(f"http://127.0.0.1:{port}", token=f"Bearer {SECRET}") as kube:
            with pytest.raises(ClusterUnreachable, match=f"127.0.0.1:{port}") as caught:
                await kube.get("/api/v1/nodes")
            with pytest.raises(ClusterUnreachable):
                async with kube.websocket(
                    "/api/v1/x", [("command", SECRET)], protocols=("v5.channel.k8s.io",)
                ):
                    pass
    assert caught.value.exit_code == 5
    assert "kubectl cluster-info" in caught.value.hint
    assert SECRET not in caught.value.message


async def test_no_answer_in_time():
    never = asyncio.Event()

    async def handle(request):
        await never.wait()

    async with serve(handle) as server, client(url(server)) as kube:
        with pytest.raises(ClusterUnreachable, match="no answer in time"):
            await kube.get("/api/v1/nodes", timeout=0.05)
        never.set()


async def test_a_body_that_stops_in_the_middle():
    async def handle(request):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"items":')
        request.transport.close()
        return response

    async with serve(handle) as server, client(url(server)) as kube:
        with pytest.raises(ClusterUnreachable):
            await kube.list("/api/v1/pods")


async def test_the_callers_own_time_out_stays_its_own():
    async def handle(request):
        return web.Response(text="line\n")

    async with serve(handle) as server, client(url(server)) as kube:
        with pytest.raises(TimeoutError):
            async with kube.stream("GET", "/api/v1/log"):
                raise TimeoutError


@pytest.mark.parametrize("body", ["<html>log in here, {secret}</html>", '["no", "object"]', ""])
@pytest.mark.parametrize("verb", ["get", "patch_only", "delete"])
async def test_an_answer_that_no_api_server_gives(body, verb):
    async def handle(request):
        return web.Response(text=body.format(secret=SECRET))

    async with serve(handle) as server, client(url(server)) as kube:
        calls = {
            "get": lambda: kube.get("/api/v1/nodes"),
            "patch_only": lambda: kube.patch_only("/api/v1/nodes/n/status", {}),
            "delete": lambda: kube.delete("/api/v1/nodes/n"),
        }
        with pytest.raises(ClusterUnreachable, match="did not answer as a Kubernetes API") as caught:
            await calls[verb]()
    assert SECRET not in caught.value.message


@pytest.mark.parametrize("verb", ["patch_only", "delete"])
async def test_what_nobody_reads_is_not_parsed_but_refusals_are(verb):
    refuse = False

    async def handle(request):
        if refuse:
            return status(409, "Conflict", "the uid is another")
        return web.Response(text=' {"kind": "Pod", ...what only a parser would stumble over... }\n')

    async with serve(handle) as server, client(url(server)) as kube:
        calls = {
            "patch_only": lambda: kube.patch_only("/api/v1/pods/a/status", {"status": {}}),
            "delete": lambda: kube.delete("/api/v1/pods/a", uid="u"),
        }
        await calls[verb]()
        with pytest.raises(ClusterUnreachable):
            await kube.patch("/api/v1/pods/a/status", {"status": {}})  # as this one does
        refuse = True
        with pytest.raises(Conflict, match="the uid is another"):
            await calls[verb]()


async def test_errors_hold_neither_tokens_nor_bodies_nor_queries():
    async def handle(request):
        return web.Response(status=502, text=f"upstream said {SECRET}")

    async with serve(handle) as server, client(url(server), token=f"Bearer {SECRET}") as kube:
        errors = []
        for call in (
            kube.get("/api/v1/secrets", {"x": SECRET}),
            kube.create("/api/v1/secrets", {"data": {"key": SECRET}}),
        ):
            with pytest.raises(ApiError) as caught:
                await call
            errors.append(caught.value)
        with pytest.raises(ApiError) as caught:
            async with kube.websocket("/api/v1/x", [("command", SECRET)], protocols=("v5.channel.k8s.io",)):
                pass
        errors.append(caught.value)
    assert [error.status for error in errors] == [502] * 3
    for error in errors:
        assert SECRET not in f"{error} {error!r} {error.message} {error.hint}"
        assert error.message == "the Kubernetes API answered HTTP 502"


async def test_a_websocket_that_is_refused_says_why():
    async def handle(request):
        assert request.headers["Upgrade"] == "websocket"
        return status(404, "NotFound", 'pods "web-0" not found')

    async with serve(handle) as server, client(url(server)) as kube:
        with pytest.raises(NotFound, match='pods "web-0" not found'):
            async with kube.websocket("/api/v1/x", [], protocols=("v5.channel.k8s.io",)):
                pass


async def test_what_is_sent():
    seen = []

    async def handle(request):
        text = await request.text()
        seen.append(
            (request.method, request.path_qs, request.content_type, json.loads(text) if text else None)
        )
        return web.json_response({})

    async with serve(handle) as server, client(url(server)) as kube:
        await kube.get("/api/v1/pods", {"watch": True, "limit": 5})
        await kube.patch("/api/v1/pods/a/status", {"status": {}})
        await kube.patch_only("/api/v1/pods/a", {"metadata": {}}, content_type=MERGE_PATCH)
        await kube.delete("/api/v1/pods/a", uid="u-1", grace_seconds=0, propagation="Foreground")
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u-1"},
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
    }
    assert seen == [
        ("GET", "/api/v1/pods?watch=true&limit=5", "application/octet-stream", None),
        ("PATCH", "/api/v1/pods/a/status", "application/strategic-merge-patch+json", {"status": {}}),
        ("PATCH", "/api/v1/pods/a", "application/merge-patch+json", {"metadata": {}}),
        ("DELETE", "/api/v1/pods/a", "application/json", options),
    ]


async def test_connections_notice_a_peer_that_vanished(mocker):
    async def handle(request):
        return web.json_response({})

    made = mocker.spy(vnodectl.kube.client, "_socket")
    async with serve(handle) as server, client(url(server)) as kube:
        await kube.get("/api/v1/nodes")
        assert made.spy_return.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert made.spy_return.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


async def test_closing_twice_is_fine():
    async def handle(request):
        return web.json_response({})

    async with serve(handle) as server:
        kube: KubeClient = client(url(server))
        await kube.get("/x")
        await kube.aclose()
        await kube.aclose()
