"""Which of a pod's pull secrets its images need, in the form ACI takes: one per registry host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vnodectl.runtime.provider import JSON, RegistryCredential

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


def credentials(images: Iterable[str], given: Sequence[RegistryCredential]) -> list[JSON]:
    """`imageRegistryCredentials`: for each registry of the images, the most specific credential that fits.

    A pull secret may name a path (`example.com/team`); ACI knows hosts only, so the longest match wins.
    """
    bodies: dict[str, JSON] = {}
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
                bodies[host] = {"server": host, "username": one.username, "password": one.password}
    return list(bodies.values())


def _host(server: str) -> str:
    return DOCKER_HUB if server.lower() in _DOCKER_HUB_NAMES else server.lower()
