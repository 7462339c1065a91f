"""/healthz, /livez and /readyz: open to everybody, on the kubelet's port and on one of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

Check = Callable[[], str]
"""What is wrong, in a few words without secrets; "" where nothing is. Must not wait."""


@dataclass(frozen=True)
class HealthChecks:
    """By name. `live`: a restart would help. `ready`: work can be done now."""

    live: Mapping[str, Check] = field(default_factory=dict)
    ready: Mapping[str, Check] = field(default_factory=dict)


HEALTH_PATHS = frozenset({"/healthz", "/livez", "/readyz"})


def add_health_routes(app: web.Application, checks: HealthChecks) -> None:
    async def live(request: web.Request) -> web.Response:
        return _answer(checks.live, verbose="verbose" in request.query)

    async def ready(request: web.Request) -> web.Response:
        return _answer(checks.ready, verbose="verbose" in request.query)

    async def ping(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app.router.add_get("/healthz", live)
    # A kubelet has its checks under their names too. These are not open on its port, as others' are not.
    app.router.add_get("/healthz/ping", ping)
    app.router.add_get("/healthz/syncloop", live)
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)


def _answer(checks: Mapping[str, Check], *, verbose: bool) -> web.Response:
    problems = {name: check() for name, check in checks.items()}
    failed = any(problems.values())
    if not failed and not verbose:
        return web.Response(text="ok")
    lines = [f"[-]{name} failed: {why}" if why else f"[+]{name} ok" for name, why in problems.items()]
    lines.append("check failed" if failed else "check passed")
    return web.Response(status=500 if failed else 200, text="\n".join(lines) + "\n")


class HealthServer:
    """Plain HTTP for the probes of the connector's own pod, whose kubelet has no credentials here.

    `port` may be 0; `self.port` says which one it is after `start`.
    """

    def __init__(self, address: str, port: int, checks: HealthChecks) -> None:
        self.address = address
        self.port = port
        self._checks = checks
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        app = web.Application()
        add_health_routes(app, self._checks)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        self._runner = runner
        try:
            await web.TCPSite(runner, self.address, self.port).start()
        except OSError:
            await self.stop()
            raise
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
