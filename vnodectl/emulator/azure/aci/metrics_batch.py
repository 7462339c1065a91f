"""Azure Monitor's metrics of many resources at once, on a socket of its own as it is on a host of its own.

Microsoft has one host a region (REGION.metrics.monitor.azure.com); here one socket serves all regions. Tokens
are for https://metrics.monitor.azure.com; the caller must be allowed to read metrics of each resource.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vnodectl.emulator.azure.access import Access
from vnodectl.emulator.azure.aci.metrics import Metrics, Question
from vnodectl.emulator.azure.arm import fault_answer, response
from vnodectl.emulator.azure.config import CONTAINER_GROUPS
from vnodectl.emulator.azure.errors import ArmError, bad_request
from vnodectl.emulator.azure.tokens import Tokens
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.gateway import Gateway, Trace

if TYPE_CHECKING:
    from aiohttp import web

AUDIENCES = ("https://metrics.monitor.azure.com", "https://metrics.monitor.azure.com/")
PATH = "/subscriptions/{subscriptionId}/metrics:getBatch"
VERSIONS = ("2024-02-01", "2023-10-01")
MAX_RESOURCES = 50
_READ = "Microsoft.Insights/metrics/read"


class MetricsBatch:
    def __init__(
        self,
        world: World,
        tokens: Tokens,
        gateway: Gateway,
        access: Access,
        metrics: Metrics,
        own_audiences: Callable[[], tuple[str, ...]],
    ) -> None:
        self._world = world
        self._tokens = tokens
        self._gateway = gateway
        self._access = access
        self._metrics = metrics
        self._own_audiences = own_audiences

    def application(self) -> web.Application:
        from aiohttp import web

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        ours = request.method == "POST" and len(parts) == 3 and parts[2].casefold() == "metrics:getbatch"

        async def respond(trace: Trace) -> web.StreamResponse:
            headers = {"x-ms-request-id": str(uuid.uuid4())}
            try:
                if not ours:
                    raise ArmError(404, "NotFound", f"{request.method} {request.path} is not emulated.")
                return response(200, await self._answer(request, parts[1], trace), headers)
            except ArmError as error:
                trace.code = error.code
                return response(error.status, error.body(), headers | error.headers)

        return await self._gateway.run(request, Trace(PATH if ours else ""), respond, fault_answer)

    async def _answer(self, request: web.Request, subscription: str, trace: Trace) -> JSON:
        header = request.headers.get("Authorization", "")
        authority = f"{request.scheme}://{request.host}"
        claims = self._tokens.verify(header, (*AUDIENCES, *self._own_audiences()), authority)
        principal = self._world.principals.get(str(claims.get("appid", "")).casefold())
        if principal is None:
            raise ArmError(401, "InvalidAuthenticationToken", "The access token's application is gone.")
        trace.principal = principal.client_id
        if subscription.casefold() != self._world.subscription.casefold():
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{subscription}' was not found.")
        query = {name.casefold(): value for name, value in request.query.items()}
        if query.get("api-version") not in VERSIONS:
            supported = ",".join(VERSIONS)
            raise bad_request(
                "UnsupportedApiVersion",
                f"The api-version is not one of those that are supported: {supported}.",
            )
        if query.get("metricnamespace", "").casefold() != CONTAINER_GROUPS.casefold():
            raise bad_request(
                "BadRequest", f"Metrics of '{query.get('metricnamespace', '')}' are not emulated."
            )
        span = "/".join(query[name] for name in ("starttime", "endtime") if name in query)
        asked = Question.read(query, span, query.get("filter", ""), self._world.clock.now())
        groups = []
        for resource in _resources(await request.read()):
            if not self._access.allowed(principal, _READ, resource):
                raise ArmError(
                    403,
                    "AuthorizationFailed",
                    f"The client '{principal.client_id}' does not have authorization to perform action "
                    f"'{_READ}' over scope '{resource}'.",
                )
            groups.append(self._metrics.group(resource))
        if len({group.location for group in groups}) > 1:
            raise bad_request("BadRequest", "All resources of a batch must be in one region.")
        begin, _, end = asked.timespan.partition("/")
        return {
            "values": [
                {"starttime": begin, "endtime": end, "resourceid": group.id}
                | await self._metrics.read(group, asked)
                for group in groups
            ]
        }


def _resources(raw: bytes) -> list[str]:
    try:
        body: Any = json.loads(raw)
    except ValueError as error:
        raise bad_request("BadRequest", "The body is not JSON.") from error
    found = body.get("resourceids") if isinstance(body, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise bad_request("BadRequest", "resourceids must be a list of ids.")
    if len(found) > MAX_RESOURCES:
        raise bad_request("BadRequest", f"A batch has at most {MAX_RESOURCES} resources.")
    return found
