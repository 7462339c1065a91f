"""Reads what pods refer to, when they need it: no informers, no reading of what nobody named.

Reads of the same object within a second share one request, so a thousand pods that mount the same
ConfigMap cost one GET a second and still see a change at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vnodectl.kube.client import JSON, KubeClient
from vnodectl.kube.errors import NotFound
from vnodectl.kube.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from vnodectl.runtime.facts import Claimed, Facts, Needs, NodeFacts, TokenRequest, needs
from vnodectl.runtime.provider import PodKey

T = TypeVar("T")

_SHARED_SECONDS = 1.0
_SWEEP_SIZE = 4096
_TOKEN_SHARE = 0.8
_TOKEN_AGE = 24 * 3600.0
"""A token is renewed after 80 % of its life, and after a day at the latest, as kubelets do."""
_TOKEN_JITTER = 10.0


@dataclass(frozen=True, slots=True)
class _Token:
    """Times in the event loop's."""

    text: str = field(repr=False)
    made_at: float
    renew_at: float


@dataclass(slots=True)
class _Entry(Generic[T]):
    read_at: float
    answer: asyncio.Task[T]


class _Shared(Generic[T]):
    """Answers of reads, shared by everyone who asks within a second of the read's start."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry[T]] = {}

    async def get(self, name: str, read: Callable[[], Awaitable[T]]) -> T:
        now = asyncio.get_running_loop().time()
        entry = self._entries.get(name)
        if entry is None or now - entry.read_at > _SHARED_SECONDS:
            if len(self._entries) >= _SWEEP_SIZE:
                self._sweep(now)

            async def call() -> T:
                return await read()

            entry = _Entry(now, asyncio.create_task(call(), name=f"lookup {name}"))
            self._entries[name] = entry
        # Shielded: the caller that gives up must not take the answer from the others.
        return await asyncio.shield(entry.answer)

    def _sweep(self, now: float) -> None:
        self._entries = {
            name: entry for name, entry in self._entries.items() if now - entry.read_at <= _SHARED_SECONDS
        }

    async def aclose(self) -> None:
        tasks = [entry.answer for entry in self._entries.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._entries.clear()


VolumeSecrets = Callable[[JSON, str], Sequence[tuple[str, str]]]
"""(namespace, name) of the Secrets that a provider needs for a PersistentVolume claimed from a namespace."""


class Lookups:
    """Collects the `Facts` of a pod from the API server. Raises ApiError or ClusterUnreachable.

    `volume_secrets` is the provider's, where it mounts PersistentVolumes; else claims are not read.
    """

    def __init__(
        self,
        client: KubeClient,
        node: Callable[[], NodeFacts],
        volume_secrets: VolumeSecrets | None = None,
    ) -> None:
        self._client = client
        self._node = node
        self._volume_secrets = volume_secrets
        self._objects: _Shared[JSON | None] = _Shared()
        self._lists: _Shared[list[JSON]] = _Shared()
        self._tokens: dict[PodKey, dict[TokenRequest, _Token]] = {}

    async def facts(self, key: PodKey, pod: JSON, *, token_age: float = float("inf")) -> Facts:
        """Everything `pod` refers to; absent objects are None. Tokens are at most `token_age` seconds old."""
        try:
            return await self._facts(key, pod, needs(pod), token_age)
        except ExceptionGroup as group:
            # Several reads may fail together; for the pod the first is as good a cause as all of them.
            raise group.exceptions[0] from None

    async def _facts(self, key: PodKey, pod: JSON, wanted: Needs, token_age: float) -> Facts:
        async with asyncio.TaskGroup() as group:

            def start(resource: Resource, name: str) -> asyncio.Task[JSON | None]:
                return group.create_task(self.object(resource, key.namespace, name))

            config_maps = {name: start(CONFIG_MAPS, name) for name in wanted.config_maps}
            secrets = {name: start(SECRETS, name) for name in wanted.secrets}
            tokens = {
                request: group.create_task(self.token(key, pod, request, max_age=token_age))
                for request in wanted.tokens
            }
            services = group.create_task(self._services(key.namespace)) if wanted.services else None
            claims = {
                name: group.create_task(self._claimed(key.namespace, name, self._volume_secrets))
                for name in (wanted.claims if self._volume_secrets else ())
            }
        return Facts(
            node=self._node(),
            config_maps={name: task.result() for name, task in config_maps.items()},
            secrets={name: task.result() for name, task in secrets.items()},
            tokens={request: task.result() for request, task in tokens.items()},
            services=tuple(services.result()) if services else (),
            claims={name: task.result() for name, task in claims.items()},
        )

    async def _claimed(self, namespace: str, name: str, secrets_of: VolumeSecrets | None) -> Claimed:
        claim = await self.object(PERSISTENT_VOLUME_CLAIMS, namespace, name)
        bound = ((claim or {}).get("spec") or {}).get("volumeName")
        if not bound or secrets_of is None:
            return Claimed(claim)
        volume = await self.object(PERSISTENT_VOLUMES, "", bound)
        if volume is None or not _binds(volume, claim or {}):
            return Claimed(claim)
        found = {
            f"{where}/{which}": await self.object(SECRETS, where, which)
            for where, which in secrets_of(volume, namespace)
        }
        return Claimed(claim, volume, found)

    async def token(
        self, key: PodKey, pod: JSON, request: TokenRequest, *, max_age: float = float("inf")
    ) -> str:
        """A service-account token bound to the pod: it dies with it. One that is young enough is given again,
        so that a pod which is tried often does not cost a token each time."""
        known = self._tokens.get(key, {}).get(request)
        now = asyncio.get_running_loop().time()
        if known is not None and now < known.renew_at and now - known.made_at <= max_age:
            return known.text
        spec: JSON = {
            "expirationSeconds": request.expiration,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": key.name, "uid": key.uid},
        }
        if request.audience:
            spec["audiences"] = [request.audience]
        account = pod["spec"].get("serviceAccountName") or "default"
        answer = await self._client.create(
            SERVICE_ACCOUNTS.path(key.namespace, account, "token"),
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        # The server says how long it lives: it may grant less, or more, than was asked for.
        granted = float((answer.get("spec") or {}).get("expirationSeconds") or request.expiration)
        age = min(_TOKEN_SHARE * granted, _TOKEN_AGE) - random.uniform(0, _TOKEN_JITTER)  # noqa: S311
        token = _Token(str(answer["status"]["token"]), now, now + max(1.0, age))
        self._tokens.setdefault(key, {})[request] = token
        return token.text

    def tokens_due(self, key: PodKey) -> float:
        """When the first of the pod's tokens has to be renewed, in loop time; infinite where it has none."""
        return min((one.renew_at for one in self._tokens.get(key, {}).values()), default=float("inf"))

    def forget(self, key: PodKey) -> None:
        """The pod is no more."""
        self._tokens.pop(key, None)

    async def aclose(self) -> None:
        await self._objects.aclose()
        await self._lists.aclose()

    async def object(self, resource: Resource, namespace: str, name: str) -> JSON | None:
        """The object, None where it does not exist."""
        path = resource.path(namespace, name)

        async def read() -> JSON | None:
            try:
                return await self._client.get(path)
            except NotFound:
                return None

        return await self._objects.get(path, read)

    async def _services(self, namespace: str) -> list[JSON]:
        path = SERVICES.path(namespace)

        async def read() -> list[JSON]:
            items, _ = await self._client.list(path)
            return items

        return await self._lists.get(path, read)


def _binds(volume: JSON, claim: JSON) -> bool:
    """Whether the volume says the same of the binding: a claim alone could name anybody's volume."""
    reference = (volume.get("spec") or {}).get("claimRef") or {}
    metadata = claim["metadata"]
    return all(reference.get(field) == metadata.get(field) for field in ("namespace", "name", "uid"))
