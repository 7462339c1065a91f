"""The control API: how a test or a demonstration steers an emulated cloud. Plain HTTP and JSON on loopback.

    GET    /              what is emulated, and where it is served
    GET    /state         everything that exists, without secrets
    POST   /seed          {…a seed…}: add or replace what it names; settings it gives are taken over
    POST   /reset         delete everything and go back to the seed; with a body: to that seed
    GET    /clock         {"now": seconds since the epoch, "iso": "…", "frozen": false}
    POST   /clock         {"advance": seconds} and/or {"frozen": true|false}
    GET    /latency       {"seconds": 0, "jitter": 0}
    PUT    /latency       the same fields; real time added to every call
    GET    /faults        the rules in force with their hits
    POST   /faults        {"method", "template", "path", "rate", "skip", "times", "delay", "drop", "status",
                          "code", "message", "headers", "after"}, all optional: see `faults.FaultRule`
    DELETE /faults        all of them; DELETE /faults/{id} one
    GET    /calls         what was called; ?method=&template=&status=&since= narrow it
    DELETE /calls         forget the calls and the counters
    GET    /counters      calls by method, path template and status
    GET    /routes        what is emulated, as a Markdown table
    GET    /quotas        limits and usage by region;    PUT {"eastus": {"ContainerGroups": 5}} changes some
    GET    /regions       the regions;                   PUT […] replaces them, as in a seed
    GET    /providers     Azure's registration states;   PUT {"Microsoft.ContainerInstance": "NotRegistered"}
    GET    /stock         Alibaba's vCPUs by zone;       PUT {"cn-hangzhou-h": 0} sells one out, null never is

A mistake in a request is answered with 400 and `{"error": "…"}`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from vnodectl.emulator.clock import Clock
from vnodectl.emulator.documents import JSON, Reader
from vnodectl.emulator.gateway import Gateway
from vnodectl.emulator.recorder import as_json
from vnodectl.errors import UsageError

if TYPE_CHECKING:
    from aiohttp import web


class Controlled(Protocol):
    """A cloud, as the control API sees it. Whatever is wrong in a document is raised as UsageError."""

    clock: Clock
    gateway: Gateway

    def describe(self) -> JSON: ...

    def state(self) -> JSON: ...

    def seed(self, document: Any) -> None: ...

    async def reset(self, document: Any | None) -> None: ...

    def routes_table(self) -> str: ...

    def setting(self, name: str) -> Any:
        """One of the settings that the cloud has."""

    def change_setting(self, name: str, value: Any) -> None: ...


SETTINGS = ("quotas", "regions", "providers")
"""Of Azure; what else a cloud offers to be read and changed, it says itself."""


class Control:
    def __init__(self, cloud: Controlled, settings: tuple[str, ...] = SETTINGS) -> None:
        self._cloud = cloud
        self._settings = settings

    def application(self) -> web.Application:
        from aiohttp import web

        app = web.Application()
        add = app.router.add_route
        add("GET", "/", self._answer(self._describe))
        add("GET", "/state", self._answer(self._state))
        add("POST", "/seed", self._answer(self._seed))
        add("POST", "/reset", self._answer(self._reset))
        add("GET", "/clock", self._answer(self._clock))
        add("POST", "/clock", self._answer(self._move_clock))
        add("GET", "/latency", self._answer(self._latency))
        add("PUT", "/latency", self._answer(self._set_latency))
        add("GET", "/faults", self._answer(self._faults))
        add("POST", "/faults", self._answer(self._add_fault))
        add("DELETE", "/faults", self._answer(self._clear_faults))
        add("DELETE", "/faults/{id}", self._answer(self._remove_fault))
        add("GET", "/calls", self._answer(self._calls))
        add("DELETE", "/calls", self._answer(self._clear_calls))
        add("GET", "/counters", self._answer(self._counters))
        add("GET", "/routes", self._routes)
        for name in self._settings:
            add("GET", f"/{name}", self._answer(self._setting(name)))
            add("PUT", f"/{name}", self._answer(self._change(name)))
        return app

    def _answer(
        self, work: Callable[[web.Request], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        from aiohttp import web

        async def handle(request: web.Request) -> web.Response:
            try:
                return web.json_response(await work(request))
            except UsageError as error:
                text = f"{error.message} ({error.hint})" if error.hint else error.message
                return web.json_response({"error": text}, status=400)

        return handle

    async def _describe(self, _request: web.Request) -> Any:
        return self._cloud.describe()

    async def _state(self, _request: web.Request) -> Any:
        return self._cloud.state()

    async def _seed(self, request: web.Request) -> Any:
        self._cloud.seed(await _document(request))
        return {}

    async def _reset(self, request: web.Request) -> Any:
        await self._cloud.reset(await _document(request) if request.can_read_body else None)
        return {}

    async def _clock(self, _request: web.Request) -> Any:
        clock = self._cloud.clock
        return {"now": clock.now(), "iso": clock.iso(), "frozen": clock.frozen}

    async def _move_clock(self, request: web.Request) -> Any:
        wanted, clock = Reader(await _document(request), "clock"), self._cloud.clock
        if wanted.has("frozen"):
            if wanted.flag("frozen", False):
                clock.freeze()
            else:
                clock.thaw()
        clock.advance(wanted.number("advance", 0))
        wanted.done()
        return await self._clock(request)

    async def _latency(self, _request: web.Request) -> Any:
        return asdict(self._cloud.gateway.latency)

    async def _set_latency(self, request: web.Request) -> Any:
        wanted, latency = Reader(await _document(request), "latency"), self._cloud.gateway.latency
        seconds, jitter = wanted.number("seconds", latency.seconds), wanted.number("jitter", latency.jitter)
        wanted.done()
        latency.seconds, latency.jitter = seconds, jitter
        return asdict(latency)

    async def _faults(self, _request: web.Request) -> Any:
        return [asdict(rule) | {"hits": hits} for rule, hits in self._cloud.gateway.faults.listed()]

    async def _add_fault(self, request: web.Request) -> Any:
        document = await _document(request)
        if not isinstance(document, dict):
            raise UsageError("a fault must be a JSON object")
        try:
            return asdict(self._cloud.gateway.faults.add(document))
        except (ValueError, TypeError) as error:
            raise UsageError(str(error)) from error

    async def _clear_faults(self, _request: web.Request) -> Any:
        self._cloud.gateway.faults.clear()
        return {}

    async def _remove_fault(self, request: web.Request) -> Any:
        if not self._cloud.gateway.faults.remove(request.match_info["id"]):
            raise UsageError(f"there is no fault {request.match_info['id']}")
        return {}

    async def _calls(self, request: web.Request) -> Any:
        query = request.query
        try:
            status = int(query["status"]) if "status" in query else None
            since = float(query.get("since", "0"))
        except ValueError as error:
            raise UsageError("status and since must be numbers") from error
        calls = self._cloud.gateway.recorder.calls(
            method=query.get("method", ""), template=query.get("template", ""), status=status, since=since
        )
        return [as_json(call) for call in calls]

    async def _clear_calls(self, _request: web.Request) -> Any:
        self._cloud.gateway.recorder.clear()
        return {}

    async def _counters(self, _request: web.Request) -> Any:
        return self._cloud.gateway.recorder.counters()

    async def _routes(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(text=self._cloud.routes_table(), content_type="text/markdown")

    def _setting(self, name: str) -> Callable[[web.Request], Awaitable[Any]]:
        async def read(_request: web.Request) -> Any:
            return self._cloud.setting(name)

        return read

    def _change(self, name: str) -> Callable[[web.Request], Awaitable[Any]]:
        async def write(request: web.Request) -> Any:
            self._cloud.change_setting(name, await _document(request))
            return self._cloud.setting(name)

        return write


async def _document(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise UsageError(f"the body is not JSON: {error}") from error
