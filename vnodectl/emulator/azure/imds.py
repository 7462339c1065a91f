"""The metadata endpoint of a machine with managed identities: only its tokens.

`GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=…` with `Metadata: true`; one of
`client_id`, `object_id` or `msi_res_id` chooses an identity where several are assigned. Plain HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from vnodectl.emulator.azure.config import Principal
from vnodectl.emulator.azure.identities import identity_id
from vnodectl.emulator.azure.tokens import Tokens
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.faults import FaultRule
from vnodectl.emulator.gateway import Gateway, Trace

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

PATH = "/metadata/identity/oauth2/token"


class Imds:
    def __init__(self, world: World, tokens: Tokens, gateway: Gateway, knows: Callable[[str], bool]) -> None:
        self._world = world
        self._tokens = tokens
        self._gateway = gateway
        self._knows = knows

    def application(self) -> web.Application:
        from aiohttp import web

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        trace = Trace(PATH if request.path == PATH else "")
        return await self._gateway.run(
            request, trace, lambda found: self._answer(request, found), _fault_answer
        )

    async def _answer(self, request: web.Request, trace: Trace) -> web.StreamResponse:
        from aiohttp import web

        try:
            return web.json_response(self._token(request, trace))
        except _Refused as error:
            trace.code = error.code
            return _refusal(error.status, error.code, error.message)

    def _token(self, request: web.Request, trace: Trace) -> JSON:
        if request.path != PATH or request.method != "GET":
            log.warning("the emulated metadata endpoint has no %s %s", request.method, request.path)
            raise _Refused(404, "not_found", f"{request.path} is not emulated")
        if request.headers.get("Metadata", "").casefold() != "true":
            raise _Refused(400, "invalid_request", "Required metadata header not specified")
        if not request.query.get("api-version"):
            raise _Refused(400, "invalid_request", "Required query variable 'api-version' is missing")
        resource = request.query.get("resource", "")
        if not resource:
            raise _Refused(400, "invalid_request", "Required audience parameter not specified")
        if not self._knows(resource):
            raise _Refused(
                400,
                "invalid_resource",
                f"AADSTS500011: The resource principal named {resource} was not found in the tenant named "
                f"{self._world.tenant}.",
            )
        identity = self._identity(request.query)
        trace.principal = identity.client_id
        issued = self._tokens.issue(identity, resource)
        now = self._world.clock.now()
        return {
            "access_token": issued.token,
            "client_id": identity.client_id,
            "expires_in": str(int(issued.expires - now)),
            "expires_on": str(int(issued.expires)),
            "ext_expires_in": str(int(issued.expires - now)),
            "not_before": str(int(now)),
            "resource": resource,
            "token_type": "Bearer",
        }

    def _identity(self, query: Mapping[str, str]) -> Principal:
        assigned = [one for one in self._world.principals.values() if one.assigned]
        client, principal, resource = (
            query.get(name, "") for name in ("client_id", "object_id", "msi_res_id")
        )
        if client or principal or resource:
            wanted = (client or principal or resource).casefold()
            for one in assigned:
                names = (one.client_id, one.object_id, identity_id(self._world.subscription, one))
                if wanted in (name.casefold() for name in names):
                    return one
            raise _Refused(400, "invalid_request", "Identity not found")
        if len(assigned) > 1:
            raise _Refused(
                400,
                "invalid_request",
                "Multiple user assigned identities exist, please specify the clientId / resourceId of the "
                "identity in the token request",
            )
        if not assigned:
            raise _Refused(400, "invalid_request", "Identity not found")
        return assigned[0]


def _fault_answer(fault: FaultRule) -> web.Response:
    message = fault.message or "The emulator was told to fail this request."
    answer = _refusal(fault.status or 500, fault.code or "unknown", message)
    answer.headers.update(fault.headers)
    return answer


def _refusal(status: int, code: str, message: str) -> web.Response:
    from aiohttp import web

    return web.json_response({"error": code, "error_description": message}, status=status)


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
