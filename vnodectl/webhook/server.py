"""The webhook's port: TLS, one path, and no more said than the API server needs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vnodectl.errors import VnodectlError
from vnodectl.runtime.http.serving import KeyPair, ServingTls
from vnodectl.webhook.keeper import Keeper, Place
from vnodectl.webhook.patch import Rule
from vnodectl.webhook.review import BadReview, answer

if TYPE_CHECKING:
    from aiohttp import web

    from vnodectl.kube.client import KubeClient

log = logging.getLogger(__name__)

PATH = "/mutate"
_MAX_BODY = 4 * 1024 * 1024
"""The API server's own limit for a request is 3 MiB."""

_FIRST_RETRY = 2.0


def application(rule: Rule) -> web.Application:
    from aiohttp import web

    async def mutate(request: web.Request) -> web.Response:
        try:
            body = answer(json.loads(await request.read()), rule)
        except (BadReview, ValueError):
            return web.Response(status=400, text="not an AdmissionReview\n")
        return web.json_response(body)

    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_post(PATH, mutate)
    return app


@asynccontextmanager
async def serving(
    client: KubeClient, place: Place, rule: Rule, address: str, port: int, *, keeper: Keeper | None = None
) -> AsyncIterator[asyncio.Event]:
    """Serve as long as the block runs, beside it: pods of the cluster are scheduled without us as well, so
    nothing that goes wrong here may stop a node. What does is logged and tried again.

    Gives an event that is set once it answers.
    """
    answering = asyncio.Event()
    keeper = keeper or Keeper(client, place)
    task = asyncio.create_task(_serve(keeper, rule, address, port, answering), name="webhook")
    try:
        yield answering
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _serve(keeper: Keeper, rule: Rule, address: str, port: int, answering: asyncio.Event) -> None:
    from aiohttp import web

    while keeper.current is None:
        try:
            await keeper.refresh()
        except VnodectlError as error:
            log.warning("the webhook has no certificate yet: %s", error)
            await asyncio.sleep(_FIRST_RETRY)
    runner = web.AppRunner(application(rule), access_log=None, shutdown_timeout=1)
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
