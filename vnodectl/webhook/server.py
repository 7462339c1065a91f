"""The webhook's port: TLS, one path, and no more said than the API server needs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vnodectl.errors import VnodectlError
from vnodectl.runtime.http.serving import KeyPair, ServingTls
from vnodectl.webhook.keeper import Keeper, Place
from vnodectl.webhook.patch import JSON, Rule, Wish
from vnodectl.webhook.review import BadReview, answer, created_pod

if TYPE_CHECKING:
    from aiohttp import web

    from vnodectl.kube.client import KubeClient

log = logging.getLogger(__name__)

PATH = "/mutate"
SELECT_PATH = "/select"
"""For pods that the API server did not choose by labels: the cluster's settings choose."""

_MAX_BODY = 4 * 1024 * 1024
"""The API server's own limit for a request is 3 MiB."""

_FIRST_RETRY = 2.0


Wishes = Callable[[JSON, str], Awaitable[Wish]]
"""What the cluster's settings say of a pod in a namespace."""


def application(rule: Rule, wishes: Wishes | None = None) -> web.Application:
    from aiohttp import web

    async def review(request: web.Request, wishes: Wishes | None) -> web.Response:
        try:
            asked = json.loads(await request.read())
            created = created_pod(asked)
            wish = await wishes(*created) if wishes is not None and created is not None else None
            return web.json_response(answer(asked, rule, wish))
        except (BadReview, ValueError):
            return web.Response(status=400, text="not an AdmissionReview\n")

    async def mutate(request: web.Request) -> web.Response:
        return await review(request, None)

    async def select(request: web.Request) -> web.Response:
        return await review(request, wishes)

    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_post(PATH, mutate)
    if wishes is not None:
        app.router.add_post(SELECT_PATH, select)
    return app


@asynccontextmanager
async def serving(
    client: KubeClient,
    place: Place,
    rule: Rule,
    address: str,
    port: int,
    *,
    keeper: Keeper | None = None,
    wishes: Wishes | None = None,
) -> AsyncIterator[asyncio.Event]:
    """Serve as long as the block runs, beside it: pods of the cluster are scheduled without us as well, so
    nothing that goes wrong here may stop a node. What does is logged and tried again.

    Gives an event that is set once it answers.
    """
    answering = asyncio.Event()
    keeper = keeper or Keeper(client, place)
    app = application(rule, wishes)
    task = asyncio.create_task(_serve(keeper, app, address, port, answering), name="webhook")
    try:
        yield answering
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _serve(
    keeper: Keeper, app: web.Application, address: str, port: int, answering: asyncio.Event
) -> None:
    from aiohttp import web

    while keeper.current is None:
        try:
            await keeper.refresh()
        except VnodectlError as error:
            log.warning("the webhook has no certificate yet: %s", error)
            await asyncio.sleep(_FIRST_RETRY)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        tls = ServingTls(lambda: _pair(keeper))
        await web.TCPSite(runner, address, port, ssl_context=tls.listener).start()
        log.info("the webhook answers on port %d", port)
        answering.set()
        await keeper.run()
    except OSError as error:
        log.error("the webhook's port %d cannot be opened: %s", port, error)  # noqa: TRY400
    finally:
        await runner.cleanup()


def _pair(keeper: Keeper) -> KeyPair:
    bundle = keeper.current
    if bundle is None:
        raise ValueError("no certificate yet")
    return KeyPair(bundle.certificate, bundle.key)
