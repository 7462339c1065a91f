"""Microsoft Entra ID: token endpoint, discovery documents and keys.

Served on the same socket as ARM. Grants: client credentials with a client secret, with an assertion that a
certificate of the application signs, or with a token of a federated issuer. Errors have OAuth's fields with
the AADSTS numbers of the service.
"""

from __future__ import annotations

import hmac
import logging
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vnodectl.emulator.azure.appcertificates import check_own_assertion
from vnodectl.emulator.azure.config import Principal
from vnodectl.emulator.azure.errors import EntraError
from vnodectl.emulator.azure.federation import check_assertion, parse_assertion
from vnodectl.emulator.azure.tokens import PUBLIC_ARM, Tokens
from vnodectl.emulator.azure.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.faults import FaultRule
from vnodectl.emulator.gateway import Gateway, Trace

if TYPE_CHECKING:
    from aiohttp import web

    Work = Callable[[web.Request, Trace], Awaitable[JSON]]

log = logging.getLogger(__name__)

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
RESOURCES = (
    *PUBLIC_ARM,
    "https://graph.microsoft.com",
    "https://metrics.monitor.azure.com",
    "https://vault.azure.net",
    "https://storage.azure.com",
    "6dae42f8-4368-4678-94ff-3960e28e3630",  # the AKS server application, the same in every tenant
)

_USER_SCOPES = ("openid", "offline_access", "profile", "email")

TOKEN = "/{tenant}/oauth2/v2.0/token"  # noqa: S105 - a path
TOKEN_V1 = "/{tenant}/oauth2/token"  # noqa: S105
CONFIGURATION = "/{tenant}/v2.0/.well-known/openid-configuration"
CONFIGURATION_V1 = "/{tenant}/.well-known/openid-configuration"
KEYS = "/{tenant}/discovery/v2.0/keys"
INSTANCE = "/common/discovery/instance"
ROUTES = (
    ("POST", TOKEN, "Tokens for a secret, a certificate or a federated token (client credentials)"),
    ("POST", TOKEN_V1, "The same, with `resource` instead of `scope`"),
    ("GET", CONFIGURATION, "OpenID configuration"),
    ("GET", CONFIGURATION_V1, "OpenID configuration"),
    ("GET", KEYS, "The keys that tokens are signed with"),
    ("GET", INSTANCE, "Instance discovery: this authority knows itself"),
)


class Entra:
    def __init__(
        self, world: World, tokens: Tokens, gateway: Gateway, own_audiences: Callable[[], set[str]]
    ) -> None:
        self._world = world
        self._tokens = tokens
        self._gateway = gateway
        self._own_audiences = own_audiences

    def add_routes(self, app: web.Application) -> None:
        work = {
            TOKEN: self._token,
            TOKEN_V1: self._token,
            CONFIGURATION: self._configuration,
            CONFIGURATION_V1: self._configuration,
            KEYS: self._keys,
            INSTANCE: self._instance,
        }
        for method, template, _ in ROUTES:
            app.router.add_route(method, template, self._recorded(template, work[template]))

    def _recorded(self, template: str, work: Work) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._gateway.run(
                request, Trace(template), lambda trace: self._run(request, work, trace), self._fault_answer
            )

        return handle

    async def _run(self, request: web.Request, work: Work, trace: Trace) -> web.StreamResponse:
        from aiohttp import web

        headers = {
            "Cache-Control": "no-store, no-cache",
            "x-ms-request-id": str(uuid.uuid4()),
        }
        try:
            return web.json_response(await work(request, trace), headers=headers)
        except EntraError as error:
            trace.code = f"AADSTS{error.number}"
            log.info("token request refused: AADSTS%s", error.number)
            return web.json_response(self._error_body(error, headers), status=error.status, headers=headers)

    def _fault_answer(self, fault: FaultRule) -> web.Response:
        from aiohttp import web

        message = fault.message or "The emulator was told to fail this request."
        error = EntraError(fault.status or 500, fault.code or "temporarily_unavailable", 90033, message)
        body = self._error_body(error, {"x-ms-request-id": str(uuid.uuid4())})
        return web.json_response(body, status=error.status, headers=dict(fault.headers))

    async def _token(self, request: web.Request, trace: Trace) -> JSON:
        self._check_tenant(request.match_info["tenant"])
        form = {name: str(value) for name, value in (await request.post()).items()}
        for name in ("grant_type", "client_id"):
            if not form.get(name):
                raise _missing(name)
        if form["grant_type"] != "client_credentials":
            raise EntraError(
                400,
                "unsupported_grant_type",
                70003,
                f"The app requested an unsupported grant type '{form['grant_type']}'.",
            )
        audience = self._audience(form)
        principal = self._world.principals.get(form["client_id"].casefold())
        if principal is None:
            raise EntraError(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{form['client_id']}' was not found in the directory "
                f"'{self._world.tenant}'. This can happen if the application has not been installed by the "
                "administrator of the tenant or consented to by any user in the tenant. You may have sent "
                "your authentication request to the wrong tenant.",
            )
        trace.principal = principal.client_id
        self._authenticate(principal, form, f"{request.scheme}://{request.host}{request.path}")
        issued = self._tokens.issue(principal, audience)
        lifetime = int(issued.expires - self._world.clock.now())
        return {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": issued.token,
        }

    def _authenticate(self, principal: Principal, form: dict[str, str], endpoint: str) -> None:
        if assertion := form.get("client_assertion"):
            if form.get("client_assertion_type") != JWT_BEARER:
                raise _missing("client_assertion_type")
            now = self._world.clock.wall()
            token = parse_assertion(assertion)
            if str(token.claims.get("iss", "")).casefold() == principal.client_id.casefold():
                check_own_assertion(principal, token, now, (endpoint, endpoint.replace("/v2.0/", "/")))
            else:
                check_assertion(principal, token, now, self._world.issuers)
            return
        secret = form.get("client_secret", "")
        if not secret:
            raise EntraError(
                401,
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or "
                "'client_secret'.",
            )
        if not principal.secret or not hmac.compare_digest(secret.encode(), principal.secret.encode()):
            raise EntraError(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client "
                f"secret value, not the client secret ID, for a secret added to app '{principal.client_id}'.",
            )
        if principal.secret_expires is not None and principal.secret_expires <= self._world.clock.now():
            raise EntraError(
                401,
                "invalid_client",
                7000222,
                f"The provided client secret keys for app '{principal.client_id}' are expired. Visit the "
                "Azure portal to create new keys for your app.",
            )

    def _audience(self, form: dict[str, str]) -> str:
        # MSAL for Go asks for the scopes of users as well; the service ignores them here.
        scope = " ".join(one for one in form.get("scope", "").split() if one not in _USER_SCOPES)
        if not scope and not form.get("resource"):
            raise _missing("scope")
        if scope and not scope.endswith("/.default"):
            raise EntraError(
                400,
                "invalid_scope",
                1002012,
                f"The provided value for scope {scope} is not valid. Client credential flows must have a "
                "scope value with /.default suffixed to the resource identifier (application ID URI).",
            )
        audience = scope.removesuffix("/.default") if scope else form["resource"]
        if not self.knows(audience):
            raise EntraError(
                400,
                "invalid_resource",
                500011,
                f"The resource principal named {audience} was not found in the tenant named "
                f"{self._world.tenant}. This can happen if the application has not been installed by the "
                "administrator of the tenant.",
            )
        return audience

    def knows(self, resource: str) -> bool:
        """Whether tokens are issued for `resource`."""
        known = {one.rstrip("/") for one in (*RESOURCES, *self._own_audiences())}
        return resource.rstrip("/") in known

    async def _configuration(self, request: web.Request, _trace: Trace) -> JSON:
        tenant = request.match_info["tenant"]
        self._check_tenant(tenant)
        base = f"{request.scheme}://{request.host}"
        return {
            "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
            "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys",
            "issuer": self._tokens.issuer,
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "tenant_region_scope": "NA",
            "cloud_instance_name": urlsplit(base).netloc,
        }

    async def _keys(self, _request: web.Request, _trace: Trace) -> JSON:
        return {"keys": [self._tokens.key.jwk()]}

    async def _instance(self, request: web.Request, _trace: Trace) -> JSON:
        host = request.host
        return {
            "tenant_discovery_endpoint": (
                f"{request.scheme}://{host}/{self._world.tenant}/v2.0/.well-known/openid-configuration"
            ),
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }

    def _check_tenant(self, tenant: str) -> None:
        if tenant.casefold() not in (self._world.tenant.casefold(), "organizations", "common"):
            raise EntraError(
                400,
                "invalid_request",
                90002,
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are "
                "signing into the correct cloud. Check with your subscription administrator, this may "
                "happen if there are no active subscriptions for the tenant.",
            )

    def _error_body(self, error: EntraError, headers: dict[str, str]) -> JSON:
        trace, correlation = headers["x-ms-request-id"], str(uuid.uuid4())
        stamp = datetime.fromtimestamp(self._world.clock.now(), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return {
            "error": error.error,
            "error_description": (
                f"AADSTS{error.number}: {error.message} Trace ID: {trace} Correlation ID: {correlation} "
                f"Timestamp: {stamp}"
            ),
            "error_codes": [error.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={error.number}",
        }


def _missing(name: str) -> EntraError:
    return EntraError(
        400, "invalid_request", 900144, f"The request body must contain the following parameter: '{name}'."
    )
