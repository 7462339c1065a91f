"""The kubelet API over real TLS: who gets in, and what the plain paths answer."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from support.kubelet_api import Authority, Pods, Reviews, client_tls, pod, session, until_idle
from support.process_provider import ProcessProvider

from vnodectl.kube.errors import Forbidden
from vnodectl.runtime.http.health import HealthChecks, HealthServer
from vnodectl.runtime.http.identity import Identity
from vnodectl.runtime.http.logs import limited
from vnodectl.runtime.http.server import AuthorizationMode, KubeletServer, KubeletServerConfig
from vnodectl.runtime.provider import Retryable

API_SERVER = ("kube-apiserver-kubelet-client", "system:masters")


class Kubelet:
    """A server, everything it stands on, and a URL."""

    def __init__(self, directory: Path, **changes: object) -> None:
        self.directory = directory
        self.authority = Authority()
        self.pods = Pods(pod("web", "main", "silent"))
        self.provider = ProcessProvider()
        self.reviews = Reviews()
        self.problems = {"live": "", "ready": ""}
        self.config = replace(
            KubeletServerConfig(
                "n1",
                lambda: self._pair,
                lambda: self.authority.pem,
                address="127.0.0.1",
                port=0,
            ),
            **changes,  # type: ignore[arg-type]
        )
        self._pair = self.authority.issue("server")
        self.server = KubeletServer(
            self.config,
            self.pods,
            self.provider,
            self.reviews,
            health=HealthChecks(
                live={"loop": lambda: self.problems["live"]}, ready={"pods": lambda: self.problems["ready"]}
            ),
            metrics=lambda: "up 1\n",
            configz=lambda: {"address": "127.0.0.1"},
        )

    def tls(self, *subject: str) -> ssl.SSLContext:
        return client_tls(self.directory, self.authority.issue(*subject) if subject else None)

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.server.port}{path}"

    async def get(self, path: str, token: str = "", method: str = "GET") -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            session(self.tls(*(() if token else API_SERVER))) as client,
            client.request(method, self.url(path), headers=headers) as answer,
        ):
            return answer.status, await answer.text()


@asynccontextmanager
async def running(kubelet: Kubelet) -> AsyncIterator[Kubelet]:
    await kubelet.server.start()
    try:
        yield kubelet
    finally:
        await kubelet.server.stop()


@asynccontextmanager
async def following(kubelet: Kubelet) -> AsyncIterator[aiohttp.ClientResponse]:
    url = kubelet.url("/containerLogs/default/web/main?follow=true")
    async with session(kubelet.tls(*API_SERVER)) as client, client.get(url) as answer:
        yield answer


@pytest.fixture
async def kubelet(tmp_path: Path) -> AsyncIterator[Kubelet]:
    async with running(Kubelet(tmp_path)) as one:
        yield one


# --- who gets in ----------------------------------------------------------------------------------


async def test_nobody_gets_in_without_credentials(kubelet: Kubelet) -> None:
    for path in ("/pods", "/exec/default/web/main", "/metrics", "/nothing"):
        async with session(kubelet.tls()) as client, client.get(kubelet.url(path)) as answer:
            assert (answer.status, await answer.text()) == (401, "Unauthorized")
    assert kubelet.reviews.asked == []


async def test_a_client_certificate_is_a_user(kubelet: Kubelet) -> None:
    status, _ = await kubelet.get("/pods")
    assert status == 200
    assert kubelet.reviews.asked == ["kube-apiserver-kubelet-client get pods"]


async def test_a_token_is_reviewed_and_then_the_access(kubelet: Kubelet) -> None:
    kubelet.reviews.tokens["t1"] = Identity("system:serviceaccount:monitoring:prometheus")
    assert (await kubelet.get("/metrics", "t1")) == (200, "up 1\n")
    assert (await kubelet.get("/metrics", "t2")) == (401, "Unauthorized")
    assert kubelet.reviews.asked == [
        "token t1",
        "system:serviceaccount:monitoring:prometheus get metrics",
        "token t2",
    ]


async def test_the_fine_grained_right_is_asked_for_before_the_general_one(kubelet: Kubelet) -> None:
    kubelet.reviews.allow = lambda _, wanted: wanted.subresource == "proxy"
    assert (await kubelet.get("/pods"))[0] == 200
    assert [entry.split()[-1] for entry in kubelet.reviews.asked] == ["pods", "proxy"]


async def test_who_may_not_is_told_so(kubelet: Kubelet) -> None:
    kubelet.reviews.allow = lambda *_: False
    status, text = await kubelet.get("/pods")
    assert status == 403
    assert text == (
        "Forbidden (user=kube-apiserver-kubelet-client, verb=get, resource=nodes, "
        "subresource(s)=[pods proxy])\n"
    )


async def test_without_the_api_server_the_answer_is_later(kubelet: Kubelet) -> None:
    kubelet.reviews.fail()
    assert (await kubelet.get("/pods", "token"))[0] == 503
    assert (await kubelet.get("/pods"))[0] == 503


async def test_being_refused_reviews_is_our_own_fault(kubelet: Kubelet) -> None:
    kubelet.reviews.down = Forbidden(403, "Forbidden", "cannot create tokenreviews: token=abc")
    for token in ("", "some"):
        status, text = await kubelet.get("/pods", token)
        assert status == 500
        assert "abc" not in text


async def test_only_the_health_paths_are_open(kubelet: Kubelet) -> None:
    async with session(kubelet.tls()) as client:
        for path, problem in {"/healthz": "live", "/livez": "live", "/readyz": "ready"}.items():
            async with client.get(kubelet.url(path)) as answer:
                assert (answer.status, await answer.text()) == (200, "ok")
            kubelet.problems[problem] = "stuck"
            async with client.get(kubelet.url(path)) as answer:
                assert answer.status == 500
                assert "failed: stuck" in await answer.text()
            kubelet.problems[problem] = ""
        async with client.get(kubelet.url("/healthz/loop")) as answer:
            assert answer.status == 401
    assert kubelet.reviews.asked == []


async def test_the_checks_that_a_kubelet_has_by_name(kubelet: Kubelet) -> None:
    for path in ("/healthz/ping", "/healthz/syncloop"):
        assert await kubelet.get(path) == (200, "ok")
        async with session(kubelet.tls()) as client, client.get(kubelet.url(path)) as answer:
            assert answer.status == 401
    kubelet.problems["live"] = "stuck"
    assert (await kubelet.get("/healthz/syncloop"))[0] == 500
    assert await kubelet.get("/healthz/ping") == (200, "ok")


async def test_anonymous_requests_where_they_are_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Kubelet(tmp_path, anonymous_auth=True)) as kubelet:
        async with session(kubelet.tls()) as client, client.get(kubelet.url("/pods")) as answer:
            assert answer.status == 200
        assert kubelet.reviews.asked == ["system:anonymous get pods"]
        assert (await kubelet.get("/pods", "wrong"))[0] == 401, "wrong credentials are not anonymous"
    assert "test clusters only" in caplog.text


async def test_everything_is_allowed_where_that_is_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mode = AuthorizationMode.ALWAYS_ALLOW
    async with running(Kubelet(tmp_path, authorization_mode=mode)) as kubelet:
        kubelet.reviews.fail()
        assert (await kubelet.get("/pods"))[0] == 200
        async with session(kubelet.tls()) as client, client.get(kubelet.url("/pods")) as answer:
            assert answer.status == 401
    assert "test clusters only" in caplog.text


async def test_the_defaults_warn_of_nothing(kubelet: Kubelet, caplog: pytest.LogCaptureFixture) -> None:
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# --- plain paths ----------------------------------------------------------------------------------


async def test_the_pods_of_the_node(kubelet: Kubelet) -> None:
    kubelet.pods.items = [pod("a"), pod("b")]
    _, text = await kubelet.get("/pods")
    assert json.loads(text) == {
        "kind": "PodList",
        "apiVersion": "v1",
        "metadata": {},
        "items": kubelet.pods.items,
    }
    kubelet.pods.items = []
    _, text = await kubelet.get("/pods")
    assert json.loads(text)["items"] == []


@pytest.mark.parametrize("path", ["/runningpods/", "/runningpods"])
async def test_the_pods_that_run(kubelet: Kubelet, path: str) -> None:
    kubelet.pods.items = [pod("a"), pod("b", state={"waiting": {}})]
    _, text = await kubelet.get(path)
    assert json.loads(text)["items"] == [
        {
            "metadata": {"name": "a", "namespace": "default", "uid": "uid-a"},
            "spec": {"containers": [{"name": "main", "image": "busybox", "resources": {}}]},
            "status": {},
        }
    ]


async def test_configz_and_unknown_paths(kubelet: Kubelet) -> None:
    assert json.loads((await kubelet.get("/configz"))[1]) == {"kubeletconfig": {"address": "127.0.0.1"}}
    assert (await kubelet.get("/nothing"))[0] == 404
    assert (await kubelet.get("/pods", method="POST"))[0] == 405


# --- logs -----------------------------------------------------------------------------------------


async def test_a_log_and_its_options(kubelet: Kubelet) -> None:
    kubelet.provider.log = [b"1\n", b"2\n", b"3\n"]
    query = "tailLines=2&limitBytes=3&timestamps=true&sinceTime=2026-01-01T00:00:00Z&previous=false&follow=0"
    assert await kubelet.get(f"/containerLogs/default/web/main?{query}") == (200, "2\n3")
    options = kubelet.provider.asked[0]
    assert (options.tail, options.limit_bytes, options.timestamps) == (2, 3, True)
    assert (options.since_time, options.follow, options.previous) == ("2026-01-01T00:00:00Z", False, False)


async def test_an_empty_log(kubelet: Kubelet) -> None:
    assert await kubelet.get("/containerLogs/default/web/main") == (200, "")


async def test_a_log_that_is_followed_comes_as_it_is_written(kubelet: Kubelet) -> None:
    kubelet.provider.log = [b"old\n"]
    async with following(kubelet) as answer:
        assert await answer.content.readline() == b"old\n"
        kubelet.provider.say(b"new\n")
        assert await answer.content.readline() == b"new\n"
        assert kubelet.provider.running == 1
    await until_idle(kubelet.provider)


async def test_following_a_silent_container_answers_at_once(kubelet: Kubelet) -> None:
    async with following(kubelet) as answer:
        assert answer.status == 200
        kubelet.provider.say(b"finally\n")
        assert await answer.content.readline() == b"finally\n"
    await until_idle(kubelet.provider)


async def test_a_reader_that_stops_reading_stops_the_provider(kubelet: Kubelet) -> None:
    kubelet.provider.log = [b"x" * 100_000] * 1000
    taken = 0

    class Counting(list[bytes]):
        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            nonlocal taken
            taken = max(taken, index)
            return super().__getitem__(index)

    kubelet.provider.log = Counting(kubelet.provider.log)
    async with following(kubelet) as answer:
        await answer.content.readexactly(1000)
        before = -1
        while taken != before:
            before = taken
            await asyncio.sleep(0.1)  # the kernel's buffers fill; nothing tells when they are full
        assert taken < 500
    await until_idle(kubelet.provider)


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/containerLogs/default/nope/main", 404, 'pod "nope" does not exist'),
        ("/containerLogs/default/web/nope", 404, 'container "nope" not found in pod "web"'),
        ("/containerLogs/default/web/silent", 400, "the cloud has no log of this container"),
        (
            "/containerLogs/default/web/main?previous=true",
            400,
            'previous terminated container "main" in pod "web" not found',
        ),
        ("/containerLogs/default/web/main?tailLines=x", 400, '{"message": "Unable to decode query."}'),
        ("/containerLogs/default/web/main?sinceTime=noon", 400, '{"message": "Unable to decode query."}'),
        ("/containerLogs/default/web/main?tailLines=-1", 422, '{"message": "Invalid request."}'),
        ("/containerLogs/default/web/main?limitBytes=0", 422, '{"message": "Invalid request."}'),
        ("/containerLogs/default/web/main?sinceSeconds=0", 422, '{"message": "Invalid request."}'),
        (
            "/containerLogs/default/web/main?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
            422,
            '{"message": "Invalid request."}',
        ),
        ("/containerLogs/default/web/main?stream=Both", 422, '{"message": "Invalid request."}'),
        (
            "/containerLogs/default/web/main?stream=Stderr",
            400,
            'unable to return the given log stream: "Stderr"',
        ),
    ],
)
async def test_errors_of_logs_are_a_kubelets(kubelet: Kubelet, path: str, status: int, text: str) -> None:
    assert await kubelet.get(path) == (status, text)


@pytest.mark.parametrize(
    ("state", "last", "text"),
    [
        ({"waiting": {"reason": "ContainerCreating"}}, {}, " is waiting to start: ContainerCreating"),
        ({"waiting": {"reason": "ErrImagePull"}}, {}, " is waiting to start: image can't be pulled"),
        (
            {"waiting": {"reason": "ImagePullBackOff"}},
            {},
            " is waiting to start: trying and failing to pull image",
        ),
        ({}, {}, " is waiting to start - no logs yet"),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": {}}, ""),
        ({"terminated": {}}, {}, ""),
    ],
)
async def test_a_container_that_has_not_started_has_no_log(
    kubelet: Kubelet, state: dict, last: dict, text: str
) -> None:
    item = pod("web")
    item["status"]["containerStatuses"][0] |= {"state": state, "lastState": last}
    kubelet.pods.items = [item]
    expected = (400, f'container "main" in pod "web"{text}') if text else (200, "")
    assert await kubelet.get("/containerLogs/default/web/main") == expected
    item["status"] = {}
    assert await kubelet.get("/containerLogs/default/web/main") == (
        400,
        'container "main" in pod "web" is not available',
    )


async def test_a_log_that_breaks_off_does_not_look_complete(
    kubelet: Kubelet, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> AsyncIterator[bytes]:
        yield b"begin\n"
        raise Retryable("Throttled", "the cloud throttles")

    kubelet.provider.logs = broken  # type: ignore[method-assign]
    with pytest.raises(aiohttp.ClientError):
        await kubelet.get("/containerLogs/default/web/main")
    assert "broke off: the cloud throttles" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("limit", "expected"), [(3, b"123"), (4, b"1234"), (9, b"123456"), (None, b"123456")]
)
async def test_a_limit_ends_the_providers_iterator_too(limit: int | None, expected: bytes) -> None:
    closed = False

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            for chunk in (b"12", b"34", b"56"):
                yield chunk
        finally:
            closed = True

    source = chunks()
    assert b"".join([chunk async for chunk in limited(source, limit)]) == expected
    assert closed


async def test_a_bug_of_the_provider_is_a_500(kubelet: Kubelet, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*_: object) -> AsyncIterator[bytes]:
        raise ValueError("hunter2")
        yield b""

    kubelet.provider.logs = broken  # type: ignore[method-assign]
    status, text = await kubelet.get("/containerLogs/default/web/main")
    assert (status, "hunter2" in text, "hunter2" in caplog.text) == (500, False, True)


# --- life -----------------------------------------------------------------------------------------


async def test_stopping_ends_followers(tmp_path: Path) -> None:
    kubelet = Kubelet(tmp_path)
    async with running(kubelet):
        kubelet.provider.log = [b"x\n"]
        async with following(kubelet) as answer:
            await answer.content.readline()
            await kubelet.server.stop()
            assert kubelet.provider.running == 0
            with pytest.raises(aiohttp.ClientError):
                await answer.content.read()


async def test_a_port_that_is_taken_is_an_error(kubelet: Kubelet, tmp_path: Path) -> None:
    second = Kubelet(tmp_path, port=kubelet.server.port)
    with pytest.raises(OSError, match="in use"):
        await second.server.start()
    await second.server.stop()


async def test_probes_have_a_port_of_their_own() -> None:
    problem = ""
    server = HealthServer(
        "127.0.0.1", 0, HealthChecks(live={"loop": lambda: problem}, ready={"a": lambda: ""})
    )
    await server.start()
    try:
        async with aiohttp.ClientSession() as client:
            base = f"http://127.0.0.1:{server.port}"
            async with client.get(f"{base}/readyz?verbose") as answer:
                assert (answer.status, await answer.text()) == (200, "[+]a ok\ncheck passed\n")
            problem = "stuck for 60 s"
            async with client.get(f"{base}/livez") as answer:
                assert answer.status == 500
                assert await answer.text() == "[-]loop failed: stuck for 60 s\ncheck failed\n"
            async with client.get(f"{base}/pods") as answer:
                assert answer.status == 404
    finally:
        await server.stop()
