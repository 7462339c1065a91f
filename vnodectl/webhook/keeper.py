"""The certificate that all replicas share, in a Secret, and the CA that the API server is told of.

Any replica may renew: whoever replaces the Secret first wins, by its resourceVersion, and the others take
over what they find. The order is always Secret, then API server, then serving, so nobody serves what is not
trusted.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vnodectl.errors import VnodectlError
from vnodectl.kube.client import JSON_PATCH
from vnodectl.kube.errors import ApiError, Conflict, NotFound
from vnodectl.kube.resources import SECRETS, Resource
from vnodectl.webhook import certificates
from vnodectl.webhook.certificates import Bundle

if TYPE_CHECKING:
    from vnodectl.kube.client import KubeClient

log = logging.getLogger(__name__)

JSON = dict[str, Any]
WEBHOOKS = Resource(
    "/apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", namespaced=False
)

LOOK_SECONDS = 60.0
_RETRY_SECONDS = 2.0
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a release's webhook is, by the names that the chart gives its parts."""

    namespace: str
    release: str

    @property
    def service(self) -> str:
        return f"{self.release}-webhook"

    @property
    def secret(self) -> str:
        return SECRETS.path(self.namespace, f"{self.release}-webhook")

    @property
    def configuration(self) -> str:
        return WEBHOOKS.path(name=self.release)

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names by which the API server calls it: the first is the one it verifies."""
        return (f"{self.service}.{self.namespace}.svc", f"{self.service}.{self.namespace}.svc.cluster.local")


def _utcnow() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Keeper:
    """Keeps the certificate: `refresh` once, then `run` as a task."""

    def __init__(
        self,
        client: KubeClient,
        place: Place,
        *,
        now: Callable[[], datetime.datetime] = _utcnow,
        interval: float = LOOK_SECONDS,
    ) -> None:
        self._client = client
        self._place = place
        self._now = now
        self._interval = interval
        self.current: Bundle | None = None
        """What to serve with; None until the first refresh."""

    async def run(self) -> None:
        """Look again and again, until cancelled. What fails is logged and tried again soon."""
        while True:
            delay = self._interval
            try:
                await self.refresh()
            except VnodectlError as error:
                log.warning("the webhook's certificate: %s", error)
                delay = min(_RETRY_SECONDS, self._interval)
            await asyncio.sleep(delay)

    async def refresh(self) -> None:
        """Read the Secret, renew it where that is due, and see that the API server trusts it."""
        bundle = await self._shared()
        await self._announce(bundle.ca)
        if bundle != self.current:
            log.info("serving the webhook %s with a new certificate", self._place.service)
            self.current = bundle

    async def _shared(self) -> Bundle:
        """The bundle that all replicas agree on. Raises an ApiError: NotFound where there is no Secret."""
        for _ in range(_ROUNDS):
            secret = await self._client.get(self._place.secret)
            kept = certificates.of_data(secret.get("data"))
            now = self._now()
            good = await asyncio.to_thread(certificates.usable, kept, self._place.names, now)
            if good is not None:
                return good
            made = await asyncio.to_thread(certificates.make, self._place.names, now, kept)
            # With the resourceVersion that was read: of two replicas one is refused, and reads again.
            try:
                await self._client.replace(self._place.secret, {**secret, "data": made.data()})
            except Conflict:
                continue
            return made
        raise ApiError(409, "Conflict", f"{self._place.secret} is changed all the time")

    async def _announce(self, ca: bytes) -> None:
        """Have the API server trust `ca`. The configuration may be gone: then nobody calls us."""
        wanted = base64.b64encode(ca).decode()
        try:
            found = await self._client.get(self._place.configuration)
        except NotFound:
            return
        changes: list[JSON] = []
        for number, webhook in enumerate(found.get("webhooks") or ()):
            if (webhook.get("clientConfig") or {}).get("caBundle") == wanted:
                continue
            path = f"/webhooks/{number}"
            changes += [
                # The list may have changed meanwhile, by an upgrade: then this is refused, and tried again.
                {"op": "test", "path": f"{path}/name", "value": webhook["name"]},
                {"op": "add", "path": f"{path}/clientConfig/caBundle", "value": wanted},
            ]
        if changes:
            await self._client.patch(self._place.configuration, changes, content_type=JSON_PATCH)
