"""Exec over a real WebSocket: streams, exit codes, refusals, ends."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from support.fake_api import client, exec_answer, serve, status

from vnodectl.errors import ClusterUnreachable, TimedOut
from vnodectl.kube import exec as kube_exec
from vnodectl.kube.errors import ApiError, Forbidden, NotFound


def url(server) -> str:
    return str(server.make_url("")).rstrip("/")


def kubelet(talk, protocols=("v5.channel.k8s.io", "v4.channel.k8s.io")):
    async def handle(request):
        socket = web.WebSocketResponse(protocols=protocols)
        await socket.prepare(request)
        await talk(request, socket)
        await socket.close()
        return socket

    return handle


async def execute(handler, command=("true",), **options):
    async with serve(handler) as server, client(url(server)) as kube:
        return await kube_exec.run(kube, "default", "web-0", list(command), **options)


async def test_streams_are_kept_apart_whatever_their_order():
    async def talk(request, socket):
        for message in (b"\x01", b"\x02", b"\x01out-", b"\x02err-", b"\x01put", b"\x02or", b"\x09?"):
            await socket.send_bytes(message)
        await socket.send_bytes(b"\x03" + json.dumps({"status": "Success"}).encode())

    result = await execute(kubelet(talk))
    assert (result.exit_code, result.stdout, result.stderr) == (0, b"out-put", b"err-or")


async def test_the_request_is_what_an_api_server_expects():
    seen = {}

    async def talk(request, socket):
        seen.update(path=request.path, query=list(request.query.items()), protocol=socket.ws_protocol)
        await exec_answer(socket, b"")

    await execute(kubelet(talk), ["echo", "a b", "-n"], container="main")
    assert seen == {
        "path": "/api/v1/namespaces/default/pods/web-0/exec",
        "query": [
            ("command", "echo"),
            ("command", "a b"),
            ("command", "-n"),
            ("stdout", "true"),
            ("stderr", "true"),
            ("container", "main"),
        ],
        "protocol": "v5.channel.k8s.io",
    }


async def test_an_older_server_speaks_v4():
    async def talk(request, socket):
        assert socket.ws_protocol == "v4.channel.k8s.io"
        await exec_answer(socket, b"hello\n")

    assert (await execute(kubelet(talk, ("v4.channel.k8s.io",)))).stdout == b"hello\n"


async def test_an_exit_code_is_a_result():
    async def talk(request, socket):
        await exec_answer(socket, b"partial", code=137)

    result = await execute(kubelet(talk))
    assert (result.exit_code, result.stdout) == (137, b"partial")


async def test_large_output_in_many_messages():
    async def talk(request, socket):
        for _ in range(200):
            await socket.send_bytes(b"\x01" + b"x" * 65536)
        await socket.send_bytes(b'\x03{"status":"Success"}')

    assert len((await execute(kubelet(talk))).stdout) == 200 * 65536


async def test_a_command_that_could_not_be_run():
    async def talk(request, socket):
        end = {"status": "Failure", "reason": "InternalError", "message": "no such container", "code": 500}
        await socket.send_bytes(b"\x03" + json.dumps(end).encode())

    with pytest.raises(ApiError, match="no such container"):
        await execute(kubelet(talk))


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [(404, "NotFound", NotFound), (403, "Forbidden", Forbidden), (500, "Internal", ApiError)],
)
async def test_a_refused_connection_says_why(code, reason, kind):
    async def handle(request):
        return status(code, reason, "the words of the server")

    with pytest.raises(kind, match="the words of the server"):
        await execute(handle)


async def test_a_connection_that_ends_early_is_no_success():
    async def talk(request, socket):
        await socket.send_bytes(b"\x01half")

    with pytest.raises(ClusterUnreachable, match="ended before the command did"):
        await execute(kubelet(talk))


@pytest.mark.parametrize("last", [b"\x03not json", b"\x03[1]"])
async def test_a_last_word_that_is_no_status(last):
    async def talk(request, socket):
        await socket.send_bytes(last)

    with pytest.raises(ApiError, match="no Status"):
        await execute(kubelet(talk))


@pytest.mark.filterwarnings("ignore:Client protocols")
async def test_a_server_that_speaks_another_protocol():
    async def talk(request, socket):
        await socket.receive()

    with pytest.raises(ApiError, match="speaks none of v5"):
        await execute(kubelet(talk, ("other",)))


async def test_a_command_that_does_not_end():
    gone = asyncio.Event()

    async def talk(request, socket):
        await socket.receive()  # the client closes
        gone.set()

    with pytest.raises(TimedOut, match=r"did not end within 0\.05 s"):
        await execute(kubelet(talk), timeout=0.05)
    assert gone.is_set()


async def test_nobody_is_there():
    async with client("http://127.0.0.1:1") as kube:
        with pytest.raises(ClusterUnreachable):
            await kube_exec.run(kube, "default", "web-0", ["true"])
