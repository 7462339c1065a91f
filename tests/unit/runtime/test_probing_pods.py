"""Direct probes end to end: a provider that leaves them to the runtime, containers that answer on sockets."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from support.fake_provider import FakeProvider
from support.one_node import RUNNING, Node, a_node, fragment

from vnodectl.runtime.metrics import Operation
from vnodectl.runtime.provider import PodKey, ProbeKind, Seen

JSON = dict[str, Any]


class App:
    """A container's server: what it answers by path."""

    def __init__(self) -> None:
        self.codes = {"/started": 503, "/alive": 200, "/ready": 503}

    async def answer(self, request: web.Request) -> web.Response:
        return web.Response(status=self.codes[request.path])

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner


class Direct(FakeProvider):
    """Its cloud runs no probes, and restarts a container when it is told to: `app` is then well again."""

    def __init__(self, app: App) -> None:
        super().__init__(hold=True)
        self.app = app
        self.restarts = 0
        self.failures: list[ProbeKind] = []

    def direct_probes(self, pod: JSON) -> dict[str, frozenset[ProbeKind]]:
        return {"c": frozenset(ProbeKind)}

    async def restart_container(self, key: PodKey, container: str, *, grace: float) -> None:
        self.restarts += 1
        self.app.codes["/alive"] = 200
        self.run(key)

    def probe_failed(self, key: PodKey, container: str, kind: ProbeKind) -> None:
        self.failures.append(kind)

    def run(self, key: PodKey) -> None:
        status = fragment(state=RUNNING, container_id=f"x://{self.restarts}", restarts=self.restarts)
        self.say(Seen(key, {**status, "podIP": "127.0.0.1"}))


def ready(node: Node) -> str:
    return next(str(one["status"]) for one in node.status()["conditions"] if one["type"] == "Ready")


async def until(condition: Any) -> None:
    """The probes' own period is a second: what they find is seen soon after."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - a state in memory, written by the code under test
            await asyncio.sleep(0.02)


async def test_a_pod_follows_what_its_containers_answer():
    app = App()
    server = await app.serve()
    try:
        port = server.addresses[0][1]
        probes = {
            kind: {
                "httpGet": {"port": port, "path": path},
                "periodSeconds": 1,
                "timeoutSeconds": 20,
                "failureThreshold": limit,
            }
            for kind, path, limit in (
                ("startupProbe", "/started", 100),
                ("livenessProbe", "/alive", 1),
                ("readinessProbe", "/ready", 1),
            )
        }
        provider = Direct(app)
        async with a_node(provider) as node:
            key = node.create(containers=[{"name": "c", "image": "i", **probes}])
            await until(lambda: key in provider.groups)
            provider.run(key)
            await until(lambda: node.status()["phase"] == "Running")
            assert (node.container()["started"], node.container()["ready"]) == (False, False)
            assert ready(node) == "False"
            app.codes["/started"] = 200
            await until(lambda: node.container()["started"])
            assert ready(node) == "False"
            app.codes["/ready"] = 200
            await until(lambda: ready(node) == "True")
            app.codes["/ready"] = 500
            await until(lambda: ready(node) == "False")
            app.codes["/ready"] = 200
            await until(lambda: ready(node) == "True")
            assert provider.restarts == 0
            app.codes["/alive"] = 500
            await until(lambda: provider.restarts == 1)
            await until(lambda: node.container()["restartCount"] == 1 and ready(node) == "True")
            told = node.events()
            assert ("Normal", "Killing", "Container c failed liveness probe, will be restarted") in told
            message = "Readiness probe failed: HTTP probe failed with statuscode: 500"
            assert ("Warning", "Unhealthy", message) in told
            assert ProbeKind.LIVENESS in provider.failures
            assert node.calls(Operation.RESTART) == {"ok": 1}
            node.delete()
            await until(lambda: not node.exists())
    finally:
        await server.cleanup()
