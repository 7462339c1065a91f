"""Microsoft Graph, on a socket of its own as it is on a host of its own: applications and service principals.

Only what somebody needs who looks after the credentials of an application: reading, and its federated
credentials. Tokens are for https://graph.microsoft.com; reading needs Application.Read.All, changing needs
Application.ReadWrite.All. Errors have Graph's shape.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vnodectl.emulator.azure.appcertificates import AppCertificate, certificates_of
from vnodectl.emulator.azure.config import FederatedCredential, Principal
from vnodectl.emulator.azure.errors import ArmError
from vnodectl.emulator.azure.tokens import Tokens
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.clock import iso
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.faults import FaultRule
from vnodectl.emulator.gateway import Gateway, Trace
from vnodectl.emulator.router import Route, Router

if TYPE_CHECKING:
    from aiohttp import web

AUDIENCES = (
    "https://graph.microsoft.com",
    "https://graph.microsoft.com/",
    "00000003-0000-0000-c000-000000000000",
)
READ, WRITE = "Application.Read.All", "Application.ReadWrite.All"
_SECRET_LIFE = 365 * 86400.0
"""Of secrets whose seed names no end."""

_CREDENTIALS = "/v1.0/applications/{id}/federatedIdentityCredentials"
ROUTES = (
    ("GET", "/v1.0/applications", "application_list"),
    ("GET", "/v1.0/applications/{id}", "application_get"),
    ("GET", _CREDENTIALS, "application_listFederatedIdentityCredentials"),
    ("POST", _CREDENTIALS, "application_postFederatedIdentityCredential"),
    ("DELETE", f"{_CREDENTIALS}/{{name}}", "federatedIdentityCredential_delete"),
    ("GET", "/v1.0/servicePrincipals", "servicePrincipal_list"),
    ("GET", "/v1.0/servicePrincipals/{id}", "servicePrincipal_get"),
)
"""Method, path and the name of the operation in Graph's reference."""

GraphHandler = Callable[["_Call"], Awaitable[tuple[int, Any]]]


class Graph:
    def __init__(
        self, world: World, tokens: Tokens, gateway: Gateway, own_audiences: Callable[[], tuple[str, ...]]
    ) -> None:
        self._world = world
        self._tokens = tokens
        self._gateway = gateway
        self._own_audiences = own_audiences
        self._made = world.clock.now()
        self._router = Router(self.routes())

    def routes(self) -> list[Route[GraphHandler]]:
        handlers: dict[str, GraphHandler] = {
            "application_list": self.list_applications,
            "application_get": self.get_application,
            "application_listFederatedIdentityCredentials": self.list_credentials,
            "application_postFederatedIdentityCredential": self.add_credential,
            "federatedIdentityCredential_delete": self.remove_credential,
            "servicePrincipal_list": self.list_principals,
            "servicePrincipal_get": self.get_principal,
        }
        return [Route(method, path, operation, handlers[operation]) for method, path, operation in ROUTES]

    def application(self) -> web.Application:
        from aiohttp import web

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    # --- around every operation ---

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        # OData's way to name an object by another key: applications(appId='…').
        path = re.sub(r"\((appId='[^']*')\)", r"/\1", request.path)
        match = self._router.match(request.method, path)
        trace = Trace(match.route.template if match else "")

        async def respond(found: Trace) -> web.StreamResponse:
            try:
                if match is None:
                    raise GraphError(
                        400,
                        "BadRequest",
                        f"Resource not found for the segment '{request.path}': not emulated.",
                    )
                call = await self._call(request, match.params, found)
                status, body = await match.route.handler(call)
                return _response(status, body)
            except GraphError as error:
                found.code = error.code
                return _failure(error.status, error.code, error.message)

        return await self._gateway.run(request, trace, respond, _fault_answer)

    async def _call(self, request: web.Request, params: dict[str, str], trace: Trace) -> _Call:
        audiences = (*AUDIENCES, *self._own_audiences())
        header = request.headers.get("Authorization", "")
        try:
            claims = self._tokens.verify(header, audiences, f"{request.scheme}://{request.host}")
        except ArmError as error:
            raise GraphError(401, "InvalidAuthenticationToken", error.message) from error
        principal = self._world.principals.get(str(claims.get("appid", "")).casefold())
        if principal is None:
            raise GraphError(
                401, "Authorization_IdentityNotFound", "The identity of the caller was not found."
            )
        trace.principal = principal.client_id
        wanted = (WRITE,) if request.method != "GET" else (READ, WRITE)
        if not set(wanted) & set(principal.graph_roles):
            raise GraphError(
                403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
            )
        raw = await request.read()
        try:
            body = json.loads(raw) if raw else {}
        except ValueError as error:
            raise GraphError(400, "BadRequest", "Unable to read JSON request payload.") from error
        return _Call(params, dict(request.query), body)

    # --- applications ---

    async def list_applications(self, call: _Call) -> tuple[int, Any]:
        return 200, _collection(call, "applications", map(self._application, self._applications()))

    async def get_application(self, call: _Call) -> tuple[int, Any]:
        return 200, _selected(call, self._application(self._find(call.params["id"])))

    async def list_credentials(self, call: _Call) -> tuple[int, Any]:
        found = self._find(call.params["id"])
        return 200, _collection(call, "federatedIdentityCredentials", map(_credential, found.federated))

    async def add_credential(self, call: _Call) -> tuple[int, Any]:
        found, body = self._find(call.params["id"]), call.body
        texts = [body.get(name) for name in ("name", "issuer", "subject")]
        audiences = body.get("audiences")
        if not all(isinstance(text, str) and text for text in texts) or not isinstance(audiences, list):
            raise GraphError(
                400,
                "Request_BadRequest",
                "name, issuer, subject and audiences of the credential are required.",
            )
        made = FederatedCredential(str(texts[1]), str(texts[2]), tuple(map(str, audiences)), str(texts[0]))
        for one in found.federated:
            if one.name == made.name or (one.issuer, one.subject) == (made.issuer, made.subject):
                raise GraphError(
                    409,
                    "Request_MultipleObjectsWithSameKeyValue",
                    "FederatedIdentityCredential with name, or issuer and subject, already exists.",
                )
        self._keep(replace(found, federated=(*found.federated, made)))
        return 201, _credential(made)

    async def remove_credential(self, call: _Call) -> tuple[int, Any]:
        found, wanted = self._find(call.params["id"]), call.params["name"]
        kept = tuple(one for one in found.federated if wanted not in (one.name, _credential(one)["id"]))
        if len(kept) == len(found.federated):
            raise _no_such(wanted)
        self._keep(replace(found, federated=kept))
        return 204, None

    # --- service principals ---

    async def list_principals(self, call: _Call) -> tuple[int, Any]:
        return 200, _collection(
            call, "servicePrincipals", map(self._principal, self._world.principals.values())
        )

    async def get_principal(self, call: _Call) -> tuple[int, Any]:
        wanted = _key(call.params["id"])
        for one in self._world.principals.values():
            if wanted in (one.object_id.casefold(), f"appid={one.client_id}".casefold()):
                return 200, _selected(call, self._principal(one))
        raise _no_such(call.params["id"])

    # --- ours ---

    def _applications(self) -> list[Principal]:
        return [one for one in self._world.principals.values() if not one.managed]

    def _find(self, key: str) -> Principal:
        wanted = _key(key)
        for one in self._applications():
            if wanted in (application_object_id(one).casefold(), f"appid={one.client_id}".casefold()):
                return one
        raise _no_such(key)

    def _keep(self, principal: Principal) -> None:
        self._world.principals[principal.client_id.casefold()] = principal

    def _application(self, one: Principal) -> JSON:
        return {
            "id": application_object_id(one),
            "appId": one.client_id,
            "displayName": one.name,
            "signInAudience": "AzureADMyOrg",
            "passwordCredentials": self._passwords(one),
            "keyCredentials": [_key_credential(found) for found in certificates_of(one)],
        }

    def _principal(self, one: Principal) -> JSON:
        return {
            "id": one.object_id,
            "appId": one.client_id,
            "displayName": one.name,
            "accountEnabled": True,
            "appOwnerOrganizationId": self._world.tenant,
            "servicePrincipalType": "ManagedIdentity" if one.managed else "Application",
            # Secrets are the application's, unless somebody gave the service principal its own.
            "passwordCredentials": [],
            "keyCredentials": [],
        }

    def _passwords(self, one: Principal) -> list[JSON]:
        if not one.secret:
            return []
        end = one.secret_expires if one.secret_expires is not None else self._made + _SECRET_LIFE
        return [
            {
                "displayName": "vnodectl",
                "keyId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{one.client_id}/password")),
                "hint": one.secret[:3],
                "startDateTime": iso(end - _SECRET_LIFE),
                "endDateTime": iso(end),
                "secretText": None,
                "customKeyIdentifier": None,
            }
        ]


def application_object_id(one: Principal) -> str:
    """An application object has an id of its own, neither the client id nor that of the service principal."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"application/{one.client_id}".casefold()))


class GraphError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class _Call:
    params: dict[str, str]
    query: dict[str, str]
    body: Any


def _key(text: str) -> str:
    return text.replace("'", "").casefold()


def _no_such(key: str) -> GraphError:
    return GraphError(
        404,
        "Request_ResourceNotFound",
        f"Resource '{key}' does not exist or one of its queried reference-property objects are not present.",
    )


def _credential(one: FederatedCredential) -> JSON:
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{one.issuer}/{one.subject}/{one.name}")),
        "name": one.name,
        "issuer": one.issuer,
        "subject": one.subject,
        "audiences": list(one.audiences),
        "description": None,
    }


def _key_credential(one: AppCertificate) -> JSON:
    thumbprint = min(one.thumbprints, key=len)  # SHA-1, as Graph has it
    return {
        "displayName": one.name,
        "keyId": str(uuid.uuid5(uuid.NAMESPACE_URL, thumbprint)),
        "customKeyIdentifier": thumbprint,
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "startDateTime": iso(one.begins),
        "endDateTime": iso(one.ends),
        "key": None,
    }


def _collection(call: _Call, name: str, items: Iterable[JSON]) -> JSON:
    """With `$filter` of one equality and `$select`. Raises GraphError for other filters."""
    found, expression = list(items), call.query.get("$filter", "")
    if expression:
        term = re.fullmatch(r"\s*(\w+) eq '([^']*)'\s*", expression)
        if term is None:
            raise GraphError(400, "BadRequest", f"Invalid filter clause: '{expression}' is not emulated.")
        found = [one for one in found if str(one.get(term[1], "")).casefold() == term[2].casefold()]
    return {
        "@odata.context": f"https://graph.microsoft.com/v1.0/$metadata#{name}",
        "value": [_selected(call, one) for one in found],
    }


def _selected(call: _Call, item: JSON) -> JSON:
    wanted = [name.strip() for name in call.query.get("$select", "").split(",") if name.strip()]
    return {name: item[name] for name in wanted if name in item} if wanted else item


def _response(status: int, body: Any) -> web.Response:
    from aiohttp import web

    headers = {"request-id": str(uuid.uuid4())}
    return (
        web.Response(status=status, headers=headers)
        if body is None
        else web.json_response(body, status=status, headers=headers)
    )


def _failure(status: int, code: str, message: str) -> web.Response:
    request = str(uuid.uuid4())
    inner = {"request-id": request, "client-request-id": request}
    return _response(status, {"error": {"code": code, "message": message, "innerError": inner}})


def _fault_answer(fault: FaultRule) -> web.Response:
    message = fault.message or f"The emulator was told to fail this request ({fault.id})."
    answer = _failure(fault.status or 500, fault.code or "serviceNotAvailable", message)
    answer.headers.update(fault.headers)
    return answer
