"""Whether a container registry gives an image out (OCI distribution specification 1.1)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from vnodectl.clouds.http import http_session, tls_context
from vnodectl.errors import CloudUnreachable

if TYPE_CHECKING:
    import aiohttp

_DOCKER_HUB = "registry-1.docker.io"
_DOCKER_HUB_NAMES = frozenset({"docker.io", "index.docker.io", _DOCKER_HUB})
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_SECONDS = 15.0


class Login(Protocol):
    """A registry credential. `server` is a host, with a port or path where given."""

    @property
    def server(self) -> str: ...

    @property
    def username(self) -> str: ...

    @property
    def password(self) -> str: ...


def parts(image: str) -> tuple[str, str, str]:
    """(host, repository, tag or digest) of an image reference."""
    name, at, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = _DOCKER_HUB, name if slash else f"library/{name}"
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = rest, "latest"
    host = _DOCKER_HUB if first.lower() in _DOCKER_HUB_NAMES else first.lower()
    return host, repository, digest if at else tag


class Registry:
    """Asks for manifests' heads; nothing is downloaded."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def refusal(self, image: str, logins: Sequence[Login]) -> str:
        """Why the image cannot be pulled, or "". Raises CloudUnreachable where nobody answers."""
        import aiohttp

        host, repository, reference = parts(image)
        url = f"https://{host}/v2/{repository}/manifests/{reference}"
        login = _best(host, repository, logins)
        try:
            status, challenge = await self._head(url, {})
            if status == 401:
                headers = await self._authorization(challenge, host, repository, login)
                if headers is None:
                    return f"{host} does not accept the pod's pull secret" if login else _nameless(host)
                status, _ = await self._head(url, headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CloudUnreachable(f"registry {host} does not answer: {type(error).__name__}") from None
        if status < 300:
            return ""
        if status in {401, 403}:
            return f"the pod's pull secret may not read {repository}" if login else _nameless(host)
        if status == 404:
            return f"{host} has no {repository}:{reference}"
        raise CloudUnreachable(f"registry {host} answers HTTP {status}")

    async def _head(self, url: str, headers: Mapping[str, str]) -> tuple[int, str]:
        async with self._http.head(
            url, headers={"Accept": _ACCEPT, **headers}, timeout=_timeout(), allow_redirects=True
        ) as answer:
            return answer.status, answer.headers.get("WWW-Authenticate", "")

    async def _authorization(
        self, challenge: str, host: str, repository: str, login: Login | None
    ) -> dict[str, str] | None:
        """The header that the challenge asks for; None where there is nobody to be, or nobody is believed."""
        import aiohttp

        basic = aiohttp.BasicAuth(login.username, login.password) if login else None
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return {"Authorization": basic.encode()} if basic else None
        given = dict(_PARAMETER.findall(rest))
        realm = given.get("realm", "")
        if scheme.lower() != "bearer" or not realm.startswith("https://"):
            raise CloudUnreachable(f"registry {host} asks for an unknown kind of login")
        query = {"scope": f"repository:{repository}:pull"}
        if given.get("service"):
            query["service"] = given["service"]
        async with self._http.get(realm, params=query, auth=basic, timeout=_timeout()) as answer:
            if answer.status in {401, 403}:
                return None
            if answer.status >= 400:
                raise CloudUnreachable(f"the token server of {host} answers HTTP {answer.status}")
            body = await answer.json(content_type=None)
        token = body.get("token") or body.get("access_token") if isinstance(body, dict) else None
        return {"Authorization": f"Bearer {token}"} if token else None


def _timeout() -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(total=_SECONDS)


def _nameless(host: str) -> str:
    return f"{host} wants a login, and the pod names no pull secret for it"


def _best(host: str, repository: str, logins: Sequence[Login]) -> Login | None:
    """The login of that host whose path fits the repository best."""
    best: tuple[int, Login] | None = None
    for one in logins:
        server, _, path = one.server.rpartition("://")[2].partition("/")
        server = _DOCKER_HUB if server.lower() in _DOCKER_HUB_NAMES else server.lower()
        path = "" if path.strip("/") in {"v1", "v2"} else path.strip("/")
        fits = server == host and (not path or f"{repository}/".startswith(f"{path}/"))
        if fits and (best is None or len(path) > best[0]):
            best = (len(path), one)
    return best[1] if best else None


@asynccontextmanager
async def open_registry(ca_bundle: str = "") -> AsyncIterator[Registry]:
    """`ca_bundle` is a PEM file trusted besides the system's roots. Raises UsageError for an unusable one."""
    async with http_session(tls_context(ca_bundle)) as http:
        yield Registry(http)
