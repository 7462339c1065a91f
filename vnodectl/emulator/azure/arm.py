"""The front of Azure Resource Manager: everything between the socket and an operation's handler.

In ARM's order: authentication, routing and api-version, subscription, authorization, registration of
the resource provider, limits. What is not emulated is answered in ARM's own error shape and logged loudly.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from vnodectl.emulator.azure.access import Access
from vnodectl.emulator.azure.calls import Answer, Call, Handler
from vnodectl.emulator.azure.config import Principal
from vnodectl.emulator.azure.errors import ArmError, bad_request, error_body, invalid_content
from vnodectl.emulator.azure.throttle import Throttle
from vnodectl.emulator.azure.tokens import Tokens
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.faults import FaultRule
from vnodectl.emulator.gateway import Gateway, Trace
from vnodectl.emulator.router import Match, Router

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-(preview|beta|alpha|privatepreview))?", re.IGNORECASE)
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)", re.IGNORECASE)
_NAMESPACE = re.compile(r".*/providers/([^/]+)(?:/([^/]+))?", re.IGNORECASE)


class ArmFront:
    def __init__(
        self,
        world: World,
        tokens: Tokens,
        gateway: Gateway,
        router: Router[Handler],
        access: Access,
        audiences: Callable[[], tuple[str, ...]],
    ) -> None:
        self.throttle = Throttle(world.clock, world.subscription)
        self._world = world
        self._tokens = tokens
        self._gateway = gateway
        self._router = router
        self._access = access
        self._audiences = audiences

    async def handle(self, request: web.Request) -> web.StreamResponse:
        match = self._router.match(request.method, request.path)
        trace = Trace(match.route.template if match else "")
        return await self._gateway.run(
            request, trace, lambda found: self._respond(request, match, found), fault_answer
        )

    async def _respond(
        self, request: web.Request, match: Match[Handler] | None, trace: Trace
    ) -> web.StreamResponse:
        headers = _common_headers(request)
        try:
            answer = await self._serve(request, match, trace, headers)
            return response(answer.status, answer.body, headers | dict(answer.headers))
        except ArmError as error:
            trace.code = error.code
            headers |= {"x-ms-failure-cause": "gateway" if error.status in (401, 403, 429) else "service"}
            return response(error.status, error.body(), headers | error.headers)
        except Exception:
            log.exception("%s %s failed inside the emulator", request.method, request.path)
            trace.code = "InternalServerError"
            body = {"error": error_body(trace.code, "Encountered an internal server error of the emulator.")}
            return response(500, body, headers)

    async def _serve(
        self, request: web.Request, match: Match[Handler] | None, trace: Trace, headers: dict[str, str]
    ) -> Answer:
        base_url = f"{request.scheme}://{request.host}"
        claims = self._tokens.verify(request.headers.get("Authorization", ""), self._audiences(), base_url)
        principal = self._principal(claims)
        trace.principal = principal.client_id
        query = {name.casefold(): value for name, value in request.query.items()}
        version = query.get("api-version", "")
        if match is None:
            raise self._unknown(request.method, request.path, version)
        self._check_version(match, version)
        subscription = _subscription_of(match.params, self._world.subscription)
        if subscription.casefold() != self._world.subscription.casefold():
            raise ArmError(
                404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found."
            )
        self._access.authorize(principal, request.method, request.path, match.route.template, match.params)
        self._check_subscription(request.method, match.route.template)
        self._check_registration(match.route.template)
        headers |= self.throttle.take(request.method, principal.client_id, self._world.limits)
        call = Call(
            method=request.method,
            path=request.path,
            params=match.params,
            query=query,
            body=await _body(request),
            principal=principal,
            base_url=base_url,
            api_version=version,
        )
        return await match.route.handler(call)

    def _principal(self, claims: dict[str, Any]) -> Principal:
        principal = self._world.principals.get(str(claims.get("appid", "")).casefold())
        if principal is None:
            raise ArmError(
                401, "InvalidAuthenticationToken", "The access token's application no longer exists."
            )
        return principal

    def _check_version(self, match: Match[Handler], version: str) -> None:
        route = match.route
        if not version:
            raise bad_request(
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        supported = ",".join(route.versions)
        provider = _NAMESPACE.match(route.template)
        if not _VERSION.fullmatch(version):
            raise bad_request(
                "InvalidApiVersionParameter",
                f"The api-version '{version}' is invalid. The supported versions are '{supported}'.",
            )
        if not route.versions or version.casefold() in route.versions:
            return
        if provider is None or provider[1].startswith("{"):
            raise bad_request(
                "InvalidApiVersionParameter",
                f"The api-version '{version}' is invalid. The supported versions are '{supported}'.",
            )
        regions = ",".join(sorted(self._world.regions))
        raise bad_request(
            "NoRegisteredProviderFound",
            f"No registered resource provider found for location '{match.params.get('location', '')}' and "
            f"API version '{version}' for type '{provider[2]}'. The supported api-versions are "
            f"'{supported}'. The supported locations are '{regions}'.",
        )

    def _check_subscription(self, method: str, template: str) -> None:
        reading = method in ("GET", "HEAD")
        if template.casefold().startswith("/subscriptions/{") and not reading:
            state = self._world.subscription_state
            if state in ("Disabled", "Deleted"):
                raise ArmError(
                    409,
                    "ReadOnlyDisabledSubscription",
                    f"The subscription '{self._world.subscription}' is disabled and therefore marked as read "
                    "only. You cannot perform any write actions on this subscription until it is re-enabled.",
                )

    def _check_registration(self, template: str) -> None:
        provider = _NAMESPACE.match(template)
        if provider is None or not template.casefold().startswith("/subscriptions/"):
            return
        namespace = provider[1]
        if not namespace.startswith("{") and self._world.registration(namespace) != "Registered":
            raise ArmError(
                409,
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{namespace}'. See "
                "https://aka.ms/rps-not-found for how to register subscriptions.",
            )

    def _unknown(self, method: str, path: str, version: str) -> ArmError:
        log.error("not emulated: %s %s (api-version %s)", method, path, version or "none")
        if allowed := self._router.methods(path):
            return ArmError(
                405,
                "MethodNotAllowed",
                f"The requested resource does not support http method '{method}'.",
                headers={"Allow": ", ".join(allowed)},
            )
        provider = _NAMESPACE.match(path)
        if provider is None:
            return ArmError(
                404, "NotFound", f"No HTTP resource was found that matches the request URI '{path}'."
            )
        namespace = self._world.namespace(provider[1])
        if namespace is None:
            return ArmError(
                404, "InvalidResourceNamespace", f"The resource namespace '{provider[1]}' is invalid."
            )
        return ArmError(
            404,
            "InvalidResourceType",
            f"The resource type '{provider[2] or ''}' could not be found in the namespace '{namespace}' for "
            f"api version '{version}'. It is not emulated.",
        )


def _subscription_of(params: Mapping[str, str], default: str) -> str:
    """Of the path, also where it stands in a scope; `default` where it names none."""
    scope = _SUBSCRIPTION.match(params.get("scope", ""))
    return params.get("subscriptionId") or (scope[1] if scope else default)


def response(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    from aiohttp import web

    if body is None:
        return web.Response(status=status, headers=headers)
    return web.json_response(body, status=status, headers=headers)


def fault_answer(fault: FaultRule) -> web.Response:
    """A fault in ARM's error shape."""
    status = fault.status or 500
    code = fault.code or {429: "TooManyRequests", 503: "ServiceUnavailable"}.get(
        status, "InternalServerError"
    )
    headers = {"x-ms-request-id": str(uuid.uuid4())} | dict(fault.headers)
    message = fault.message or f"The emulator was told to fail this request ({fault.id})."
    return response(status, {"error": error_body(code, message)}, headers)


def _common_headers(request: web.Request) -> dict[str, str]:
    correlation = request.headers.get("x-ms-correlation-request-id") or str(uuid.uuid4())
    headers = {
        "Cache-Control": "no-cache",
        "x-ms-request-id": str(uuid.uuid4()),
        "x-ms-correlation-request-id": correlation,
        "x-ms-routing-request-id": f"EMULATOR:{correlation}",
    }
    if client := request.headers.get("x-ms-client-request-id"):
        headers["x-ms-client-request-id"] = client
    return headers


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise invalid_content(f"it is not JSON ({error}).") from error
