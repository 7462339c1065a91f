"""The CA that signs the API server's client certificates, as the cluster publishes it."""

from __future__ import annotations

import asyncio
import logging

from vnodectl.errors import VnodectlError
from vnodectl.kube.client import KubeClient
from vnodectl.kube.resources import CONFIG_MAPS

log = logging.getLogger(__name__)

_REREAD_SECONDS = 300.0


class ClusterClientCa:
    """PEM of ConfigMap kube-system/extension-apiserver-authentication, key `client-ca-file`.

    Callable as `runtime.http.serving.PemSource`: gives what was read last, b"" before that; clients then
    have to show tokens.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._pem = b""

    def __call__(self) -> bytes:
        return self._pem

    async def read(self) -> None:
        """Read it now; a failure is logged and the last answer kept."""
        try:
            published = await self._client.get(
                CONFIG_MAPS.path("kube-system", "extension-apiserver-authentication")
            )
        except VnodectlError as error:
            log.warning("the cluster's client CA cannot be read, only tokens are accepted: %s", error)
            return
        self._pem = str((published.get("data") or {}).get("client-ca-file") or "").encode()

    async def run(self) -> None:
        """Read it again from time to time, until cancelled."""
        while True:
            await asyncio.sleep(_REREAD_SECONDS)
            await self.read()
