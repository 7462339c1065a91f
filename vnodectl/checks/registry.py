"""Asking a registry for an image, as a node would before it pulls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vnodectl.checks.readers import ImageFound, KubeReader, SecretRef
from vnodectl.errors import Unreachable
from vnodectl.kube.errors import Forbidden, NotFound
from vnodectl.kube.resources import SECRETS

if TYPE_CHECKING:
    from vnodectl.providers.image_registry import ImageRegistry
    from vnodectl.runtime.provider import RegistryCredential


class Registries:
    """A RegistryReader. Pull secrets are read from the cluster, and go nowhere but to their registry."""

    def __init__(self, registry: ImageRegistry, kube: KubeReader | None) -> None:
        self._registry = registry
        self._kube = kube

    async def manifest(self, reference: str, secrets: Sequence[SecretRef] = ()) -> ImageFound:
        from vnodectl.providers.image_registry import ImageUnknown, Platform
        from vnodectl.providers.registries import by_host

        given = [credential for one in secrets for credential in await self._credentials(one)]
        credential = next(iter(by_host([reference], given).values()), None)
        try:
            await self._registry.config(reference, Platform("linux"), credential)
        except ImageUnknown as error:
            if not error.status and not error.final:
                raise Unreachable(str(error)) from error
            return ImageFound(error.status, str(error))
        return ImageFound(200)

    async def _credentials(self, secret: SecretRef) -> Sequence[RegistryCredential]:
        """Those of a pull secret; none where it is not there, as a kubelet pulls without it."""
        from vnodectl.runtime.registry import parse

        if self._kube is None:
            return ()
        try:
            return parse(await self._kube.get(SECRETS.path(secret.namespace, secret.name)))
        except (NotFound, Forbidden, ValueError):
            return ()


@asynccontextmanager
async def open_registries(
    kube: KubeReader | None, *, ca_bundle: str = "", plain: frozenset[str] = frozenset()
) -> AsyncIterator[Registries]:
    """`ca_bundle` is a PEM file trusted besides the system's roots; `plain` are hosts that speak http."""
    from vnodectl.clouds.http import http_session, tls_context
    from vnodectl.providers.image_registry import ImageRegistry
    from vnodectl.providers.timing import LoopTimer

    async with http_session(tls_context(ca_bundle)) as http:
        yield Registries(ImageRegistry(lambda: http, LoopTimer(), plain=plain), kube)
