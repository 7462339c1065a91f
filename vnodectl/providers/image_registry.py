"""An image's config from its registry: what a container runtime knows after a pull, for two small GETs.

Speaks the OCI distribution API (Docker's v2): manifests and indexes of OCI and of Docker's schema 2, bearer
tokens by challenge, basic authentication, and Azure Container Registry's exchange of a token of Entra ID.
Answers are cached: by digest for ever (within bounds), by tag for a minute, as tags move.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vnodectl.providers.images import ImageConfig
from vnodectl.providers.registries import DOCKER_HUB, registry_of
from vnodectl.providers.timing import Timer
from vnodectl.runtime.provider import JSON, RegistryCredential

if TYPE_CHECKING:
    import aiohttp

_INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
_MANIFESTS = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
_HUB_API = "registry-1.docker.io"
_TIMEOUT = 10.0
_FAILED_SECONDS, _DOWN_SECONDS = 10.0, 30.0
_BUSY_SECONDS = 1.0
_MOST_BYTES = 8 * 1024 * 1024
_TAG_SECONDS = 60.0
_CACHED = 1000
_PARAMETER = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Exchange = Callable[[], Awaitable[str]]
"""Gives a token of Entra ID that Azure Container Registry takes in exchange."""


class ImageUnknown(Exception):
    """The registry did not tell; the message says why, without secrets. `final`: it never will.

    `status` is the HTTP status of its refusal, 0 where it gave none; `retry_after` the seconds after which it
    makes sense to ask again, where that is known.
    """

    def __init__(
        self, message: str, *, final: bool = False, status: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.final = final
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is. `api` is the host to ask; `version` a tag, or a digest with its algorithm."""

    host: str
    api: str
    repository: str
    version: str

    @classmethod
    def of(cls, image: str) -> Reference:
        host, repository = registry_of(image)
        name, _, digest = image.partition("@")
        last = name.rpartition("/")[2]
        tag = last.partition(":")[2] if ":" in last else "latest"
        return cls(host, _HUB_API if host == DOCKER_HUB else host, repository, digest or tag)

    @property
    def pinned(self) -> bool:
        return ":" in self.version


@dataclass(frozen=True, slots=True)
class Platform:
    """As in an index: linux or windows, amd64 or arm64."""

    system: str
    architecture: str = "amd64"


_Key = tuple[str, Platform, str]
"""An image, a platform, and whose credential."""


@dataclass(slots=True)
class _Session:
    """The authorization that one look at a registry ended up with."""

    credential: RegistryCredential | None
    header: str = field(default="", repr=False)


class ImageRegistry:
    """`http` is the caller's. `exchange` is for registries that `takes_exchange` names, and gives "" where it
    has no token; `plain` are hosts that speak http.

    `hasty`: a registry that does not answer holds up one caller, and the others not at all. They are told so
    at once, as is who asks for what was refused a moment ago, and when to come back.
    """

    def __init__(
        self,
        http: Callable[[], aiohttp.ClientSession],
        timer: Timer,
        *,
        exchange: Exchange | None = None,
        takes_exchange: Callable[[str], bool] = lambda _: False,
        plain: frozenset[str] = frozenset(),
        hasty: bool = False,
    ) -> None:
        self._http = http
        self._timer = timer
        self._exchange = exchange
        self._takes_exchange = takes_exchange
        self._plain = plain
        self._by_tag: OrderedDict[_Key, tuple[float, ImageConfig]] = OrderedDict()
        self._by_digest: OrderedDict[str, ImageConfig] = OrderedDict()
        self._hasty = hasty
        self._looking: set[_Key] = set()
        self._failed: OrderedDict[_Key, tuple[float, ImageUnknown]] = OrderedDict()
        self._down: dict[str, tuple[float, str]] = {}

    async def config(
        self, image: str, platform: Platform, credential: RegistryCredential | None = None
    ) -> ImageConfig:
        """Raises ImageUnknown."""
        reference = Reference.of(image)
        # What one credential may see says nothing about what another may.
        key = (image, platform, _fingerprint(credential))
        known = self._by_tag.get(key)
        if known is not None and (reference.pinned or self._timer.now() - known[0] < _TAG_SECONDS):
            return known[1]
        if self._hasty:
            self._refuse(key, reference.api)
        self._looking.add(key)
        try:
            async with asyncio.timeout(_TIMEOUT):
                found = await self._look(reference, platform, _Session(credential))
        except TimeoutError:
            message = f"{reference.api} did not answer within {_TIMEOUT:.0f} s"
            self._down[reference.api] = (self._timer.now(), message)
            raise ImageUnknown(message, retry_after=_DOWN_SECONDS) from None
        except ImageUnknown as error:
            _remember(self._failed, key, (self._timer.now(), error))
            raise
        finally:
            self._looking.discard(key)
        _remember(self._by_tag, key, (self._timer.now(), found))
        return found

    def _refuse(self, key: _Key, host: str) -> None:
        """Raises what was said a moment ago, instead of asking again."""
        now = self._timer.now()
        if key in self._looking:
            raise ImageUnknown("it is being read for another pod", retry_after=_BUSY_SECONDS)
        at, error = self._failed.get(key, (float("-inf"), None))
        if error is not None and now - at < _FAILED_SECONDS:
            again = at + _FAILED_SECONDS - now
            raise ImageUnknown(str(error), final=error.final, status=error.status, retry_after=again)
        at, message = self._down.get(host, (float("-inf"), ""))
        if now - at < _DOWN_SECONDS:
            raise ImageUnknown(message, retry_after=at + _DOWN_SECONDS - now)
        self._down.pop(host, None)

    async def _look(self, reference: Reference, platform: Platform, session: _Session) -> ImageConfig:
        kind, manifest = await self._manifest(reference, reference.version, session)
        if kind in _INDEXES:
            digest = _chosen(manifest, platform, reference)
            kind, manifest = await self._manifest(reference, digest, session)
        if kind not in _MANIFESTS:
            raise ImageUnknown(f"{kind or 'what it answers'} is no manifest with a config", final=True)
        digest = str((manifest.get("config") or {}).get("digest") or "")
        if digest not in self._by_digest:
            body = await self._get(reference, f"blobs/{digest}", session)
            _verify(body[1], digest)
            _remember(self._by_digest, digest, ImageConfig.of(_parsed(body[1])))
        return self._by_digest[digest]

    async def _manifest(self, reference: Reference, version: str, session: _Session) -> tuple[str, JSON]:
        kind, body = await self._get(reference, f"manifests/{version}", session)
        if ":" in version:
            _verify(body, version)
        manifest = _parsed(body)
        return str(manifest.get("mediaType") or kind), manifest

    async def _get(self, reference: Reference, path: str, session: _Session) -> tuple[str, bytes]:
        """(media type, body). Authorizes itself on the first refusal."""
        url = f"{self._scheme(reference.api)}://{reference.api}/v2/{reference.repository}/{path}"
        status, headers, body = await self._ask("GET", url, session.header)
        if status == 401:
            session.header = await self._authorize(reference, headers.get("www-authenticate", ""), session)
            status, headers, body = await self._ask("GET", url, session.header)
        if status != 200:
            raise ImageUnknown(_refusal(reference, status, session), status=status)
        return headers.get("content-type", "").partition(";")[0].strip(), body

    # --- authorization ----------------------------------------------------------------------------

    async def _authorize(self, reference: Reference, challenge: str, session: _Session) -> str:
        """The Authorization header that the challenge asks for."""
        scheme, _, rest = challenge.partition(" ")
        credential = session.credential
        if scheme.lower() == "basic" and credential is not None:
            return _basic(credential)
        if scheme.lower() != "bearer":
            raise ImageUnknown(_refusal(reference, 401, session), status=401)
        asked = dict(_PARAMETER.findall(rest))
        realm, service = asked.get("realm", ""), asked.get("service", "")
        scope = asked.get("scope") or f"repository:{reference.repository}:pull"
        if credential is None and self._exchange is not None and self._takes_exchange(reference.host):
            token = await self._exchanged(reference, service or reference.host, scope)
            if token:
                return f"Bearer {token}"
        secure = urlsplit(realm).scheme == "https" or urlsplit(realm).netloc in self._plain
        if not secure:
            raise ImageUnknown(f"{reference.api} gives its tokens at no https address", final=True)
        status, _, body = await self._ask(
            "GET",
            realm,
            _basic(credential) if credential is not None else "",
            query={"service": service, "scope": scope},
        )
        if status != 200:
            raise ImageUnknown(_refusal(reference, status, session), status=status)
        return f"Bearer {_token(body)}"

    async def _exchanged(self, reference: Reference, service: str, scope: str) -> str:
        """A registry's token for one of Entra ID; "" where it does not take that."""
        entra = await self._exchange() if self._exchange is not None else ""
        if not entra:
            return ""
        base = f"{self._scheme(reference.api)}://{reference.api}/oauth2"
        form = {
            "grant_type": "access_token",
            "service": service,
            "access_token": entra,
        }
        status, _, body = await self._ask("POST", f"{base}/exchange", "", form=form)
        if status != 200:
            return ""
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "scope": scope,
            "refresh_token": str(_parsed(body).get("refresh_token") or ""),
        }
        status, _, body = await self._ask("POST", f"{base}/token", "", form=form)
        return _token(body) if status == 200 else ""

    # --- HTTP -------------------------------------------------------------------------------------

    def _scheme(self, host: str) -> str:
        return "http" if host in self._plain else "https"

    async def _ask(
        self,
        method: str,
        url: str,
        authorization: str,
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        import aiohttp

        headers = {
            "Accept": ", ".join(sorted(_MANIFESTS | _INDEXES)) + ", */*",
            "Accept-Encoding": "identity",
        }
        if authorization:
            headers["Authorization"] = authorization  # aiohttp drops it where a redirect leaves the host
        try:
            async with self._http().request(method, url, headers=headers, params=query, data=form) as answer:
                body = await answer.content.read(_MOST_BYTES + 1)
                while len(body) <= _MOST_BYTES and (more := await answer.content.read(_MOST_BYTES)):
                    body += more
                if len(body) > _MOST_BYTES:
                    raise ImageUnknown(f"{urlsplit(url).netloc} answers with too much", final=True)
                return answer.status, {key.lower(): value for key, value in answer.headers.items()}, body
        except (aiohttp.ClientError, OSError) as error:
            raise ImageUnknown(f"{urlsplit(url).netloc}: {type(error).__name__}") from error


def _chosen(index: JSON, platform: Platform, reference: Reference) -> str:
    for one in index.get("manifests") or ():
        there = one.get("platform") or {}
        if (there.get("os"), there.get("architecture")) == (platform.system, platform.architecture):
            return str(one.get("digest") or "")
    raise ImageUnknown(
        f"{reference.repository} has no image for {platform.system}/{platform.architecture}", final=True
    )


def _refusal(reference: Reference, status: int, session: _Session) -> str:
    name = f"{reference.host}/{reference.repository}"
    if status in {401, 403}:
        how = "the pull secret that fits it" if session.credential else "no pull secret"
        return f"{name} refuses to be read with {how} (HTTP {status})"
    if status == 404:
        return f"{name} has no {reference.version} (HTTP 404)"
    return f"{name} answers HTTP {status}"


def _verify(body: bytes, digest: str) -> None:
    """Raises ImageUnknown for content that is not what was asked for."""
    algorithm, _, value = digest.partition(":")
    if algorithm not in {"sha256", "sha512"} or hashlib.new(algorithm, body).hexdigest() != value:
        raise ImageUnknown(f"the content of {digest or 'the config'} is not what its digest says", final=True)


def _parsed(body: bytes) -> JSON:
    try:
        found: Any = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ImageUnknown("the registry answers with something that is no JSON object")
    return found


def _token(body: bytes) -> str:
    answer = _parsed(body)
    return str(answer.get("token") or answer.get("access_token") or "")


def _basic(credential: RegistryCredential) -> str:
    return "Basic " + base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()


def _fingerprint(credential: RegistryCredential | None) -> str:
    if credential is None:
        return ""
    return hashlib.sha256(f"{credential.username}\0{credential.password}".encode()).hexdigest()


def _remember(cache: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > _CACHED:
        cache.popitem(last=False)
