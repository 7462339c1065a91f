"""Pull credentials in the form ACI takes: one per registry host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vnodectl.providers.registries import by_host
from vnodectl.runtime.provider import JSON, RegistryCredential


def credentials(images: Iterable[str], given: Sequence[RegistryCredential]) -> list[JSON]:
    """`imageRegistryCredentials`: for each registry of the images, the credential that fits best."""
    return [
        {"server": host, "username": one.username, "password": one.password}
        for host, one in by_host(images, given).items()
    ]
