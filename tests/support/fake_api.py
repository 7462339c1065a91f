"""A small Kubernetes API server in memory, over a real socket: reads, writes, watches, logs and exec."""

from __future__ import annotations

import asyncio
import json
import queue
import re
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import WSCloseCode, web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from vnodectl.kube.client import KubeClient

JSON = dict[str, Any]

_PATH = re.compile(
    r"(?P<prefix>/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<subresource>.+))?"
)


def status(code: int, reason: str, message: str = "", causes: Sequence[str] = ()) -> web.Response:
    """An error as the API server words it; `causes` are the reasons in its details."""
    body: JSON = {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message or reason,
    }
    if causes:
        body["details"] = {"causes": [{"reason": one} for one in causes]}
    return web.json_response(body, status=code)


class FakeApi:
    """Objects by (plural, namespace, name). Hooks say what the rest of a cluster would do.

    `created(plural, object)` runs after a create, as a controller would; `refuse(method, plural, name)` may
    answer instead; `allowed(attributes)` decides access reviews; `execute(pod, command, socket)` is the
    exec endpoint; `logs` is text by pod name.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], JSON] = {}
        self.version: JSON = {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}
        self.logs: dict[str, str] = {}
        self.created: Callable[[str, JSON], Awaitable[None]] | None = None
        self.refuse: Callable[[str, str, str], web.StreamResponse | None] = lambda *_: None
        self.allowed: Callable[[JSON], bool] = lambda _: True
        self.anybody: Callable[[JSON], bool] = lambda _: False
        """Decides access reviews about others."""
        self.documents: dict[str, JSON] = {
            "/apis/rbac.authorization.k8s.io/v1": {"kind": "APIResourceList", "resources": []}
        }
        """What else is served, by path."""
        self.date = ""
        """The Date header of answers; "" leaves it to the server."""
        self.execute: Callable[[str, list[str], web.WebSocketResponse], Awaitable[None]] | None = None
        self.deleting: Callable[[str, JSON], bool] = lambda *_: True
        """Whether a deleted object goes away at once."""
        self.before: Callable[[str], Awaitable[None]] | None = None
        """Awaited with `METHOD path` before a request is looked at."""
        self.requests: list[str] = []
        self.changed = asyncio.Event()
        self._clock = 0
        self._watchers: dict[asyncio.Queue[tuple[str, JSON]], Callable[[str, JSON], bool]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the cluster's side -----------------------------------------------------------------------

    def put(self, plural: str, body: JSON, *, namespace: str = "") -> JSON:
        """Create or replace an object; watchers see it."""
        meta = body.setdefault("metadata", {})
        if namespace:
            meta["namespace"] = namespace
        key = (plural, meta.get("namespace", ""), meta["name"])
        self._clock += 1
        meta["resourceVersion"] = str(self._clock)
        meta.setdefault("uid", f"uid-{self._clock}")
        kind = "MODIFIED" if key in self.objects else "ADDED"
        self.objects[key] = json.loads(json.dumps(body))
        self._tell(kind, plural, self.objects[key])
        return self.objects[key]

    def remove(self, plural: str, name: str, namespace: str = "") -> None:
        gone = self.objects.pop((plural, namespace, name))
        self._clock += 1
        gone["metadata"]["resourceVersion"] = str(self._clock)
        self._tell("DELETED", plural, gone)

    def names(self, plural: str) -> list[str]:
        return [name for kind, _, name in self.objects if kind == plural]

    @property
    def watches(self) -> int:
        """How many are open."""
        return len(self._watchers)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that a request or a change of an object brings about."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def cut_watches(self) -> None:
        """End every open watch, as servers do whenever they like."""
        for events in self._watchers:
            events.put_nowait(("END", {}))

    def spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work, name="fake cluster")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, kind: str, plural: str, body: JSON) -> None:
        for events, wants in self._watchers.items():
            if wants(plural, body):
                events.put_nowait((kind, json.loads(json.dumps(body))))
        self.changed.set()

    # --- the wire ---------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        self.changed.set()
        if self.before is not None:
            await self.before(self.requests[-1])
        if request.path == "/version":
            headers = {"Date": self.date} if self.date else {}
            return self.refuse("GET", "version", "") or web.json_response(self.version, headers=headers)
        if request.path in self.documents:
            return self.refuse("GET", request.path, "") or web.json_response(self.documents[request.path])
        match = _PATH.fullmatch(request.path)
        if match is None:
            return status(404, "NotFound")
        plural, namespace, name = match["plural"], match["namespace"] or "", match["name"] or ""
        refusal = self.refuse(request.method, plural, name)
        if refusal is not None:
            return refusal
        if plural == "selfsubjectaccessreviews":
            review = await request.json()
            review["status"] = {"allowed": self.allowed(review["spec"]["resourceAttributes"])}
            return web.json_response(review, status=201)
        if plural == "subjectaccessreviews":
            review = await request.json()
            review["status"] = {"allowed": self.anybody(review["spec"])}
            return web.json_response(review, status=201)
        if match["subresource"] == "exec":
            return await self._exec(request, name)
        if match["subresource"] == "log":
            return web.Response(text=self.logs.get(name, ""))
        if request.method == "POST":
            return await self._create(request, plural, namespace)
        if request.method == "DELETE":
            return self._delete(plural, namespace, name)
        if name:
            found = self.objects.get((plural, namespace, name))
            return (
                web.json_response(found) if found else status(404, "NotFound", f'{plural} "{name}" not found')
            )
        if request.query.get("watch"):
            return await self._watch(request, plural, namespace)
        wants = _selector(request, plural, namespace)
        items = [body for (kind, _, _), body in self.objects.items() if wants(kind, body)]
        return web.json_response({"items": items, "metadata": {"resourceVersion": str(self._clock)}})

    async def _create(self, request: web.Request, plural: str, namespace: str) -> web.StreamResponse:
        body = await request.json()
        if request.query.get("dryRun") == "All":
            return web.json_response(body, status=201)
        made = self.put(plural, body, namespace=namespace)
        if self.created is not None:
            self.spawn(self.created(plural, made))
        return web.json_response(made, status=201)

    def _delete(self, plural: str, namespace: str, name: str) -> web.StreamResponse:
        body = self.objects.get((plural, namespace, name))
        if body is None:
            return status(404, "NotFound")
        if self.deleting(plural, body):
            self.remove(plural, name, namespace)
        return web.json_response(body)

    async def _watch(self, request: web.Request, plural: str, namespace: str) -> web.StreamResponse:
        response = web.StreamResponse()
        events: asyncio.Queue[tuple[str, JSON]] = asyncio.Queue()
        wants = _selector(request, plural, namespace)
        since = int(request.query.get("resourceVersion") or 0)
        for (kind, _, _), body in self.objects.items():  # what changed between the list and this watch
            if wants(kind, body) and int(body["metadata"]["resourceVersion"]) > since:
                events.put_nowait(("MODIFIED", json.loads(json.dumps(body))))
        self._watchers[events] = wants
        self.changed.set()
        try:
            await response.prepare(request)
            while True:
                kind, body = await events.get()
                if kind == "END":
                    return response
                await response.write(json.dumps({"type": kind, "object": body}).encode() + b"\n")
        finally:
            del self._watchers[events]

    async def _exec(self, request: web.Request, pod: str) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await socket.prepare(request)
        if self.execute is not None:
            await self.execute(pod, request.query.getall("command"), socket)
        await socket.close(code=WSCloseCode.OK)
        return socket

    async def close(self) -> None:
        self.cut_watches()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def exec_answer(socket: web.WebSocketResponse, stdout: bytes, code: int = 0) -> None:
    """What a kubelet sends for a command that wrote `stdout` and ended with `code`."""
    for channel in (1, 2, 3):
        await socket.send_bytes(bytes([channel]))
    await socket.send_bytes(b"\x01" + stdout)
    end: JSON = {"kind": "Status", "status": "Success"}
    if code:
        causes = [{"reason": "ExitCode", "message": str(code)}]
        end = {
            "kind": "Status",
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "details": {"causes": causes},
        }
    await socket.send_bytes(b"\x03" + json.dumps(end).encode())


def _selector(request: web.Request, plural: str, namespace: str) -> Callable[[str, JSON], bool]:
    fields = dict(part.split("=", 1) for part in request.query.get("fieldSelector", "").split(",") if part)
    labels = dict(part.split("=", 1) for part in request.query.get("labelSelector", "").split(",") if part)

    def wants(kind: str, body: JSON) -> bool:
        if kind != plural or (namespace and body["metadata"].get("namespace", "") != namespace):
            return False
        has = defaultdict(str, body["metadata"].get("labels") or {})
        return all(_field(body, path) == value for path, value in fields.items()) and all(
            has[key] == value for key, value in labels.items()
        )

    return wants


def _field(body: JSON, path: str) -> Any:
    value: Any = body
    for part in path.split("."):
        value = (value or {}).get(part)
    return value


@asynccontextmanager
async def serve(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[TestServer]:
    """`handler` for every path, on a free port of the loopback address."""
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=1)
    try:
        yield server
    finally:
        await server.close()


def client(url: str, **options: Any) -> KubeClient:
    """A client of the server at `url`, with a bearer token."""
    configuration = type.__call__(Configuration)
    configuration.host = url
    configuration.api_key["BearerToken"] = options.pop("token", "Bearer test-token")
    return KubeClient(configuration, **options)


@asynccontextmanager
async def fake_cluster() -> AsyncIterator[tuple[FakeApi, KubeClient]]:
    """A running FakeApi and a client of it."""
    api = FakeApi()
    async with serve(api.handle) as server:
        try:
            async with client(str(server.make_url("")).rstrip("/")) as kube:
                yield api, kube
        finally:
            await api.close()


@contextmanager
def threaded_cluster() -> Iterator[tuple[FakeApi, str]]:
    """A FakeApi in a thread of its own, and its URL: for programs that bring their own event loop."""
    loop = asyncio.new_event_loop()
    started: queue.Queue[tuple[FakeApi, str] | BaseException] = queue.Queue()
    stop = asyncio.Event()

    async def main() -> None:
        api = FakeApi()
        async with serve(api.handle) as server:
            started.put((api, str(server.make_url("")).rstrip("/")))
            await stop.wait()
            await api.close()

    def work() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:
            started.put(error)
        finally:
            loop.close()

    thread = threading.Thread(target=work, name="fake cluster")
    thread.start()
    ready = started.get(timeout=30)
    if isinstance(ready, BaseException):
        raise ready
    try:
        yield ready
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
