"""What a region and a subscription have to offer to container groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vnodectl.clouds.azure.session import CONTAINER_INSTANCE_API
from vnodectl.errors import VnodectlError

if TYPE_CHECKING:
    from vnodectl.clouds.azure.session import AzureSession

STORAGE_API = "2023-05-01"


@dataclass(frozen=True, slots=True)
class Size:
    """The most that one container group may have: cores, GB, GPUs."""

    cpu: float
    memory: float
    gpu: int


class Offers:
    """Each list is read once. Raises AzureError and CloudUnreachable, the same error again for the same
    question."""

    def __init__(self, session: AzureSession) -> None:
        self._session = session
        self._lists: dict[str, list[dict[str, Any]] | VnodectlError] = {}

    async def largest(self, region: str, os: str, *, gpu: str, private: bool) -> Size | None:
        """The largest group of a region (capabilities API); `gpu` is a SKU or "", `os` in lower case."""
        provider = f"{self._session.subscription}/providers/Microsoft.ContainerInstance"
        path = f"{provider}/locations/{region}/capabilities"
        address = "Private" if private else "Public"
        for one in await self._list(path, CONTAINER_INSTANCE_API):
            if (
                str(one.get("osType") or "").lower() == os
                and str(one.get("ipAddressType") or address).lower() == address.lower()
                and str(one.get("gpu") or "None").lower() == (gpu or "None").lower()
            ):
                most: Mapping[str, Any] = one.get("capabilities") or {}
                return Size(
                    float(most.get("maxCpu") or 0),
                    float(most.get("maxMemoryInGB") or 0),
                    int(most.get("maxGpuCount") or 0),
                )
        return None

    async def storage_kind(self, account: str) -> str:
        """E.g. `Storage` (general-purpose v1) or `StorageV2`; "" for one of another subscription."""
        path = f"{self._session.subscription}/providers/Microsoft.Storage/storageAccounts"
        for one in await self._list(path, STORAGE_API):
            if str(one.get("name") or "").lower() == account.lower():
                return str(one.get("kind") or "")
        return ""

    async def _list(self, path: str, version: str) -> list[dict[str, Any]]:
        if path not in self._lists:
            try:
                self._lists[path] = await self._session.pages(path, version)
            except VnodectlError as error:
                self._lists[path] = error
        found = self._lists[path]
        if isinstance(found, VnodectlError):
            raise found
        return found
