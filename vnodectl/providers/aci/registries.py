"""Pull credentials in the form ACI takes: one per registry host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vnodectl.providers.registries import by_host, registry_of
from vnodectl.runtime.provider import JSON, RegistryCredential

ACR_SUFFIXES = (".azurecr.io", ".azurecr.cn", ".azurecr.us")
"""Host names of Azure Container Registry in the public, China and US Government clouds."""


def is_acr(host: str) -> bool:
    return host.endswith(ACR_SUFFIXES)


def credentials(images: Iterable[str], given: Sequence[RegistryCredential], identity: str = "") -> list[JSON]:
    """`imageRegistryCredentials`: for each registry of the images, the credential that fits best.

    `identity`, where there is one, pulls from Azure Container Registry what no credential fits.
    """
    images = list(images)
    found = by_host(images, given)
    bodies: list[JSON] = [
        {"server": host, "username": one.username, "password": one.password} for host, one in found.items()
    ]
    if identity:
        hosts = dict.fromkeys(registry_of(image)[0] for image in images)
        bodies += [
            {"server": host, "identity": identity} for host in hosts if is_acr(host) and host not in found
        ]
    return bodies
