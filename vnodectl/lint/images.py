"""What registries say of the images of pods: whether they can be pulled, and what they run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from vnodectl.errors import CloudUnreachable, VnodectlError
from vnodectl.lint.engine import Judged
from vnodectl.lint.workloads import containers
from vnodectl.providers.registries import by_host
from vnodectl.runtime.provider import RegistryCredential

if TYPE_CHECKING:
    from vnodectl.providers.image_registry import ImageRegistry
    from vnodectl.providers.images import ImageConfig

_AT_ONCE = 8


class Images:
    """A `online.Registry`, which keeps what it has learnt. `system` is linux or windows."""

    def __init__(self, registry: ImageRegistry, system: str) -> None:
        self._registry = registry
        self._system = system
        self._configs: dict[str, ImageConfig] = {}
        self._said: dict[tuple[str, RegistryCredential | None], str | CloudUnreachable] = {}

    @property
    def configs(self) -> Mapping[str, ImageConfig]:
        """What the images that could be read say of themselves."""
        return self._configs

    async def look(self, judged: Sequence[Judged]) -> None:
        """Read the config of every image of these workloads, where it can be had."""
        wanted = {
            (str(container.get("image") or ""), one.found.pod.registry_credentials)
            for one in judged
            if one.found.pod is not None
            for _, container in containers(one.work.spec)
        }
        slots = asyncio.Semaphore(_AT_ONCE)

        async def look_at(image: str, credentials: Sequence[RegistryCredential]) -> None:
            async with slots:
                with suppress(VnodectlError):  # told when it is asked for
                    await self.refusal(image, credentials)

        async with asyncio.TaskGroup() as group:
            for image, credentials in sorted(wanted, key=lambda one: one[0]):
                if image:
                    group.create_task(look_at(image, credentials), name=f"lint image {image}")
        # Who did not answer is asked once more.
        self._said = {key: said for key, said in self._said.items() if isinstance(said, str)}

    async def refusal(self, image: str, credentials: Sequence[RegistryCredential]) -> str:
        """Why it cannot be pulled, or "". Raises CloudUnreachable where its registry does not answer.

        The same for every pod with that image and credential: a thousand of them are one question.
        """
        key = (image, next(iter(by_host([image], credentials).values()), None))
        if key not in self._said:
            self._said[key] = await self._ask(*key)
        said = self._said[key]
        if isinstance(said, CloudUnreachable):
            raise CloudUnreachable(said.message)
        return said

    async def _ask(self, image: str, credential: RegistryCredential | None) -> str | CloudUnreachable:
        from vnodectl.providers.image_registry import ImageUnknown, Platform

        try:
            self._configs[image] = await self._registry.config(image, Platform(self._system), credential)
        except ImageUnknown as error:
            busy = error.status == 429 or error.status >= 500
            if busy or not (error.status or error.final):
                return CloudUnreachable(f"{image}: {error}")
            return str(error)
        return ""
