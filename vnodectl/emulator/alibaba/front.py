"""The front: everything between the socket and an operation's handler, as the OpenAPI gateway does it.

In its order: which operation, signature, limits, permission. What is not emulated is answered in the
gateway's own error shape and logged loudly.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from vnodectl.emulator.alibaba.access import Access, forbidden
from vnodectl.emulator.alibaba.calls import CS, Call, Catalogue, Operation
from vnodectl.emulator.alibaba.errors import ApiError, gateway_error
from vnodectl.emulator.alibaba.identities import Identity
from vnodectl.emulator.alibaba.params import Params, nested
from vnodectl.emulator.alibaba.signatures import PROTOCOL, Message, read
from vnodectl.emulator.alibaba.throttle import Throttle
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.emulator.faults import FaultRule
from vnodectl.emulator.gateway import Gateway, Trace
from vnodectl.emulator.router import Route, Router

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

_TELLING = (
    "RegionId",
    "ContainerGroupId",
    "ContainerGroupName",
    "ContainerGroupIds",
    "ContainerName",
    "ImageCacheId",
    "SinceSecond",
    "VSwitchId",
    "SecurityGroupId",
    "RoleArn",
)
"""Parameters that the recorder shows: they say what a call is about, and hold no secret."""


class Front:
    def __init__(self, world: World, gateway: Gateway, catalogue: Catalogue) -> None:
        self.access = Access(world)
        self.throttle = Throttle(world)
        self._world = world
        self._gateway = gateway
        self._catalogue = catalogue
        self._paths = Router(
            [
                Route(method, one.path, one.name, one, (one.product.version,))
                for one in catalogue.operations
                if one.product.style == "ROA"
                for method in one.methods
            ]
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        message = await _message(request)
        operation, path = self._operation(message)
        trace = Trace(operation.action if operation else "", _subject(message, operation))
        product = operation.product.name if operation else _product(message)

        async def work(found: Trace) -> web.StreamResponse:
            return await self._respond(request, message, operation, path, found, product)

        def broken(fault: FaultRule) -> web.Response:
            return fault_answer(fault, request.host, product)

        return await self._gateway.run(request, trace, work, broken)

    def _operation(self, message: Message) -> tuple[Operation | None, dict[str, str]]:
        if _is_rpc(message):
            return self._catalogue.find(_action(message), _version(message)), {}
        match = self._paths.match(message.method, message.path)
        return (match.route.handler, match.params) if match else (None, {})

    async def _respond(
        self,
        request: web.Request,
        message: Message,
        operation: Operation | None,
        path: dict[str, str],
        trace: Trace,
        product: str,
    ) -> web.Response:
        request_id = _new_id()
        headers = {"x-acs-request-id": request_id, "x-acs-trace-id": uuid.uuid4().hex}
        try:
            body = await self._serve(request, message, operation, path, trace, request_id)
            if operation is None or operation.product.style == "RPC":
                body = {"RequestId": request_id} | body
            return _json(200, body, headers)
        except ApiError as error:
            trace.code = error.code
            shown = error.body(request_id=request_id, host=request.host, product=product)
            return _json(error.status, shown, headers | error.headers)
        except Exception:
            log.exception("%s failed inside the emulator", trace.template or request.path)
            trace.code = "InternalError"
            text = "The request processing has failed due to some unknown error of the emulator."
            failure = gateway_error(500, trace.code, text)
            return _json(
                500, failure.body(request_id=request_id, host=request.host, product=product), headers
            )

    async def _serve(
        self,
        request: web.Request,
        message: Message,
        operation: Operation | None,
        path: dict[str, str],
        trace: Trace,
        request_id: str,
    ) -> JSON:
        if operation is None:
            raise self._unknown(message)
        if message.method not in operation.methods:
            raise gateway_error(400, "UnsupportedHTTPMethod", "This http method is not supported.")
        if message.parameters.get("Format", "json").casefold() != "json":
            raise gateway_error(400, "InvalidParameter.Format", "Only JSON answers are emulated.")
        if operation.product is CS and message.headers.get("x-acs-version", CS.version) != CS.version:
            raise gateway_error(400, "InvalidVersion", "Specified parameter Version is not valid.")
        identity = Identity(self._world.account)
        if not operation.anonymous:
            identity = self.access.authenticate(read(message))
        trace.principal = identity.principal
        self.throttle.take(operation)
        if not (operation.anonymous or operation.open or identity.may(operation.action)):
            if operation.denied is None:
                raise forbidden()
            return operation.denied()
        flat = {name: value for name, value in message.parameters.items() if name not in PROTOCOL}
        call = Call(
            operation=operation,
            params=Params(nested(flat)),
            flat=flat,
            identity=identity,
            base_url=f"{request.scheme}://{request.host}",
            request_id=request_id,
            path=path,
        )
        return await operation.handler(call)

    def _unknown(self, message: Message) -> ApiError:
        if not _is_rpc(message):
            log.error("not emulated: %s %s", message.method, message.path)
            if self._paths.methods(message.path):
                return gateway_error(400, "UnsupportedHTTPMethod", "This http method is not supported.")
            return _no_such_api()
        action, version = _action(message), _version(message)
        log.error("not emulated: %s of version %s", action or "no action", version or "none")
        if not action:
            return gateway_error(400, "MissingParameter", 'The parameter "Action" is mandatory.')
        if not self._catalogue.known_version(version):
            return gateway_error(400, "InvalidVersion", "Specified parameter Version is not valid.")
        return _no_such_api()


def fault_answer(fault: FaultRule, host: str, product: str) -> web.Response:
    """A fault in the gateway's error shape."""
    status = fault.status or 500
    code = fault.code or {400: "Throttling.User", 503: "ServiceUnavailable"}.get(status, "InternalError")
    message = fault.message or f"The emulator was told to fail this request ({fault.id})."
    error = ApiError(status, code, message, gateway=True)
    request_id = _new_id()
    headers = {"x-acs-request-id": request_id} | dict(fault.headers)
    return _json(status, error.body(request_id=request_id, host=host, product=product), headers)


def _json(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    from aiohttp import web

    return web.json_response(body, status=status, headers=headers)


async def _message(request: web.Request) -> Message:
    body = await request.read()
    query = dict(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))
    parameters = dict(query)
    if request.content_type == "application/x-www-form-urlencoded":
        parameters |= dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Message(request.method, request.rel_url.raw_path, query, parameters, headers, body)


def _is_rpc(message: Message) -> bool:
    return message.path in ("", "/")


def _action(message: Message) -> str:
    return message.parameters.get("Action") or message.headers.get("x-acs-action", "")


def _version(message: Message) -> str:
    return message.parameters.get("Version") or message.headers.get("x-acs-version", "")


def _product(message: Message) -> str:
    return "" if _is_rpc(message) else CS.name


def _subject(message: Message, operation: Operation | None) -> str:
    """What faults match and the recorder keeps in place of the path, which in the RPC style is always "/"."""
    if not _is_rpc(message):
        return message.path
    telling = [f"{name}={message.parameters[name]}" for name in _TELLING if name in message.parameters]
    name = operation.action if operation else _action(message)
    return f"/{name}?{'&'.join(telling)}" if telling else f"/{name}"


def _no_such_api() -> ApiError:
    return gateway_error(
        404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method."
    )


def _new_id() -> str:
    return str(uuid.uuid4()).upper()
