"""Which of a pod's pull secrets its images need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vnodectl.runtime.provider import RegistryCredential

DOCKER_HUB = "index.docker.io"
_DOCKER_HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}


def registry_of(image: str) -> tuple[str, str]:
    """(host, repository) of an image reference; `nginx` is (`index.docker.io`, `library/nginx`)."""
    name = image.partition("@")[0]
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = DOCKER_HUB, name if slash else f"library/{name}"
    repository = rest.rsplit(":", 1)[0] if ":" in rest.rpartition("/")[2] else rest
    return _host(first), repository


def by_host(images: Iterable[str], given: Sequence[RegistryCredential]) -> dict[str, RegistryCredential]:
    """For each registry host of the images, in their order, the most specific credential that fits.

    A pull secret may name a path (`example.com/team`); the clouds know hosts only, so the longest match wins.
    """
    found: dict[str, RegistryCredential] = {}
    best: dict[str, int] = {}
    for image in images:
        host, repository = registry_of(image)
        for one in given:
            server, _, path = (
                one.server.partition("://")[2].partition("/")
                if "://" in one.server
                else (one.server.partition("/"))
            )
            path = path.strip("/")
            if path in {"v1", "v2"}:
                path = ""
            if _host(server) != host or (path and not f"{repository}/".startswith(f"{path}/")):
                continue
            if len(path) > best.get(host, -1):
                best[host] = len(path)
                found[host] = one
    return found


def _host(server: str) -> str:
    return DOCKER_HUB if server.lower() in _DOCKER_HUB_NAMES else server.lower()
