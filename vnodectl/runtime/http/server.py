"""The kubelet's port: TLS, who may do what, and the table of routes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from aiohttp import web

from vnodectl.logs import about
from vnodectl.runtime.http.authn import Authenticator
from vnodectl.runtime.http.authz import Authorizer, attributes
from vnodectl.runtime.http.cadvisor import cadvisor_metrics
from vnodectl.runtime.http.health import HEALTH_PATHS, HealthChecks, add_health_routes
from vnodectl.runtime.http.identity import ANONYMOUS, Identity, Reviewer, ReviewUnavailable
from vnodectl.runtime.http.logs import container_logs
from vnodectl.runtime.http.metrics import node_metrics, probe_metrics, resource_metrics
from vnodectl.runtime.http.pods import PodSource, running_part, write_pod_list
from vnodectl.runtime.http.remote import RemoteHandlers
from vnodectl.runtime.http.serving import CertificateSource, PemSource, ServingTls, no_client_ca
from vnodectl.runtime.http.stats import stats_summary
from vnodectl.runtime.metrics import NodeMetrics
from vnodectl.runtime.prometheus import Reading
from vnodectl.runtime.provider import Provider
from vnodectl.runtime.streams.session import SessionLimits, end_tasks
from vnodectl.runtime.usage import NodeUsage

_log = logging.getLogger(__name__)

_IDLE_CONNECTION: Final = 90.0
"""Seconds for which a connection may wait for its next, or first, request (a kubelet's IdleTimeout)."""

JSON = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AuthorizationMode(StrEnum):
    """A kubelet's `authorization.mode`."""

    WEBHOOK = "Webhook"
    ALWAYS_ALLOW = "AlwaysAllow"


@dataclass(frozen=True)
class KubeletServerConfig:
    """How the kubelet's port is served.

    `port` 0 takes a free one. `anonymous_auth` and ALWAYS_ALLOW are for test clusters: whoever reaches
    the port can then run commands in every pod of the node.
    """

    node: str
    certificate: CertificateSource
    client_ca: PemSource = no_client_ca
    address: str = "0.0.0.0"  # noqa: S104 - the API server and metrics-server come from other machines
    port: int = 10250
    anonymous_auth: bool = False
    authorization_mode: AuthorizationMode = AuthorizationMode.WEBHOOK
    limits: SessionLimits = field(default_factory=SessionLimits)


class KubeletServer:
    """The HTTP API of one node.

    `metrics` gives the text for /metrics in the Prometheus format, `configz` the KubeletConfiguration
    for /configz, `usage` what /stats/summary, /metrics/resource and /metrics/cadvisor say, `probes` the
    counts for /metrics/probes; without them the paths answer 404. `calls` counts what is asked of the
    provider. `clock` in seconds, never going back.
    """

    def __init__(
        self,
        config: KubeletServerConfig,
        pods: PodSource,
        provider: Provider,
        reviewer: Reviewer,
        clock: Callable[[], float] = time.monotonic,
        *,
        health: HealthChecks | None = None,
        metrics: Callable[[], str] | None = None,
        configz: Callable[[], JSON] | None = None,
        usage: NodeUsage | None = None,
        probes: Callable[[], Reading] | None = None,
        calls: NodeMetrics | None = None,
    ) -> None:
        self._config = config
        self._pods = pods
        self._provider = provider
        self._authenticator = Authenticator(reviewer, clock)
        self._authorizer = Authorizer(reviewer, clock)
        self._health = health or HealthChecks()
        self._metrics = metrics
        self._configz = configz
        self._usage = usage
        self._probes = probes
        self._calls = calls or NodeMetrics()
        self._requests: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None
        self.port = config.port
        """Once started, the port that is really served: the node's `status.daemonEndpoints`."""

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises OSError or ValueError where the port, the certificate or the client CA cannot be used."""
        if self._config.anonymous_auth:
            _log.warning("anonymous requests to the kubelet API are accepted; use this in test clusters only")
        if self._config.authorization_mode is AuthorizationMode.ALWAYS_ALLOW:
            _log.warning("the kubelet API allows everything to everybody; use this in test clusters only")
        tls = ServingTls(self._config.certificate, self._config.client_ca)
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=_IDLE_CONNECTION,
            shutdown_timeout=1,
        )
        await runner.setup()
        self._runner = runner
        try:
            site = web.TCPSite(runner, self._config.address, self._config.port, ssl_context=tls.listener)
            await site.start()
        except OSError:
            await self.stop()
            raise
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and end every request and session, long ones included."""
        if self._runner is None:
            return
        for site in list(self._runner.sites):
            await site.stop()
        await end_tasks(*self._requests)
        await self._runner.cleanup()
        self._runner = None

    # --- routes -----------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._track, self._guard])
        add_health_routes(app, self._health)
        # With and without a slash at the end, as a kubelet: client-go takes it off what it sends on.
        for path, handler in {
            "/pods": self._list_pods,
            "/runningpods": self._list_running,
            "/containerLogs/{namespace}/{pod}/{container}": self._logs,
            "/stats/summary": self._show_stats,
            "/metrics": self._show_metrics,
            "/metrics/cadvisor": self._show_cadvisor,
            "/metrics/probes": self._show_probes,
            "/metrics/resource": self._show_resources,
            "/configz": self._show_configz,
        }.items():
            app.router.add_get(path, handler, allow_head=False)
            app.router.add_get(f"{path}/", handler, allow_head=False)
        remote = RemoteHandlers(self._pods, self._provider, self._config.limits, self._calls)
        for path, session in {
            "/exec/{namespace}/{pod}/{container}": remote.exec,
            "/exec/{namespace}/{pod}/{uid}/{container}": remote.exec,
            "/attach/{namespace}/{pod}/{container}": remote.attach,
            "/attach/{namespace}/{pod}/{uid}/{container}": remote.attach,
            "/portForward/{namespace}/{pod}": remote.port_forward,
            "/portForward/{namespace}/{pod}/{uid}": remote.port_forward,
        }.items():
            app.router.add_get(path, session, allow_head=False)
            app.router.add_post(path, session)
        return app

    async def _list_pods(self, request: web.Request) -> web.StreamResponse:
        return await write_pod_list(request, self._pods.list())

    async def _list_running(self, request: web.Request) -> web.StreamResponse:
        running = (running_part(pod) for pod in self._pods.list())
        return await write_pod_list(request, (pod for pod in running if pod is not None))

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        return await container_logs(request, self._pods, self._provider, self._calls)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        if self._metrics is None:
            raise web.HTTPNotFound
        return node_metrics(self._metrics)

    async def _show_resources(self, request: web.Request) -> web.StreamResponse:
        if self._usage is None:
            raise web.HTTPNotFound
        return await resource_metrics(request, self._usage)

    async def _show_cadvisor(self, request: web.Request) -> web.StreamResponse:
        if self._usage is None:
            raise web.HTTPNotFound
        return await cadvisor_metrics(request, self._usage)

    async def _show_probes(self, request: web.Request) -> web.StreamResponse:
        if self._probes is None:
            raise web.HTTPNotFound
        return await probe_metrics(request, self._probes())

    async def _show_stats(self, request: web.Request) -> web.StreamResponse:
        if self._usage is None:
            raise web.HTTPNotFound
        return await stats_summary(request, self._config.node, self._usage)

    async def _show_configz(self, _: web.Request) -> web.Response:
        if self._configz is None:
            raise web.HTTPNotFound
        return web.json_response({"kubeletconfig": self._configz()})

    # --- what holds for every request -------------------------------------------------------------

    @web.middleware
    async def _track(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has a task
        self._requests.add(task)
        try:
            with about():  # one task serves all requests of a connection
                return await handler(request)
        finally:
            self._requests.discard(task)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in HEALTH_PATHS:
            identity = await self._identify(request)
            await self._authorize(request, identity)
        return await handler(request)

    async def _identify(self, request: web.Request) -> Identity:
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        authorization = request.headers.get("Authorization")
        if self._config.anonymous_auth and not certificate and not authorization:
            return ANONYMOUS
        try:
            identity = await self._authenticator.identify(certificate, authorization)
        except ReviewUnavailable as error:
            _log.warning("a token cannot be reviewed: %s", error)
            raise web.HTTPServiceUnavailable(text="the API server cannot review the token now") from error
        except Exception as error:
            _log.exception("a token cannot be reviewed")
            raise web.HTTPInternalServerError(text="Authentication error") from error
        if identity is None:
            raise web.HTTPUnauthorized(text="Unauthorized")
        return identity

    async def _authorize(self, request: web.Request, identity: Identity) -> None:
        if self._config.authorization_mode is AuthorizationMode.ALWAYS_ALLOW:
            return
        choices = attributes(request.method, request.path, self._config.node)
        verb, names = choices[0].verb, [choice.subresource for choice in choices]
        asked = f"user={identity.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(names)}]"
        try:
            for choice in choices:
                if await self._authorizer.allowed(identity, choice):
                    return
        except ReviewUnavailable as error:
            _log.warning("access cannot be reviewed: %s", error)
            raise web.HTTPServiceUnavailable(text="the API server cannot review access now") from error
        except Exception as error:
            _log.exception("access cannot be reviewed")
            raise web.HTTPInternalServerError(text=f"Authorization error ({asked})") from error
        _log.info("forbidden: %s", asked)
        raise web.HTTPForbidden(text=f"Forbidden ({asked})\n")
