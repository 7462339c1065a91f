"""What checks read through: a cluster, two clouds, Helm, an image registry. Protocols only.

Everything that a check learns from outside comes through one of these, so that a run can be recorded and
played again (`recording`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

JSON = dict[str, Any]
Params = Mapping[str, str | int | bool]


class KubeReader(Protocol):
    """The part of `kube.client.KubeClient` that checks use.

    `create` is for reviews and dry runs, which store nothing.
    """

    server: str
    context: str

    async def get(self, path: str, params: Params | None = None, *, timeout: float = 30) -> JSON: ...

    async def list(
        self, path: str, params: Params | None = None, *, page: int = 500, timeout: float = 60
    ) -> tuple[list[JSON], str]: ...

    async def create(
        self, path: str, body: JSON, params: Params | None = None, *, timeout: float = 30
    ) -> JSON: ...

    async def clock_skew(self) -> float | None:
        """Seconds that the server's clock is ahead of this machine's; None where it does not tell."""


class AzureReader(Protocol):
    """The part of `clouds.azure.AzureSession` that checks use."""

    @property
    def subscription(self) -> str:
        """`/subscriptions/<id>`."""

    async def arm(
        self,
        method: str,
        path: str,
        api_version: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: JSON | None = None,
    ) -> JSON: ...

    async def pages(
        self, path: str, api_version: str, *, params: Mapping[str, str | int] | None = None
    ) -> list[JSON]: ...

    async def graph(self, path: str, *, params: Mapping[str, str] | None = None) -> JSON:
        """GET of Microsoft Graph; `path` begins with `/v1.0/`."""

    async def clock_skew(self) -> float | None: ...


class AlibabaReader(Protocol):
    """The part of `clouds.alibaba.AlibabaSession` that checks use."""

    @property
    def region(self) -> str: ...

    async def call(
        self, product: str, action: str, version: str, params: Mapping[str, Any] | None = None
    ) -> JSON: ...

    async def roa(
        self,
        product: str,
        action: str,
        version: str,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
    ) -> JSON: ...

    async def clock_skew(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Signature:
    """What Helm says of a chart's provenance file. `problem` is "" for a signature that is good."""

    signer: str = ""
    problem: str = ""


class HelmReader(Protocol):
    """The helm program, and what it would make of the plan."""

    async def found(self) -> str:
        """Where the program is, "" where it is not."""

    async def version(self) -> str:
        """As it says itself, e.g. `v3.19.0`. Raises ToolMissing where it cannot be run."""

    async def manifests(self) -> list[JSON]:
        """What an installation would create, secrets masked; [] where the plan is not complete."""

    async def signature(self, chart: str) -> Signature | None:
        """Of a chart on this machine, by the user's own keyring; None for a directory, and for an archive
        that has no provenance file. UsageError where there is no such chart, ToolMissing without Helm."""


@dataclass(frozen=True, slots=True)
class ImageFound:
    """What a registry says of an image. `status` is its HTTP status: 200 where the image can be pulled.

    `detail` says what is wrong, without secrets.
    """

    status: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A pull secret, by name; whoever asks a registry reads it."""

    namespace: str
    name: str


class RegistryReader(Protocol):
    """Asks registries for manifests, without pulling anything."""

    async def manifest(self, reference: str, secrets: Sequence[SecretRef] = ()) -> ImageFound:
        """With the credentials of whichever secret fits. Raises Unreachable."""
