"""httpGet, by the kubelet's rules (pkg/probe/http): redirects, headers, TLS, what counts as success."""

from __future__ import annotations

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from vnodectl import __version__
from vnodectl.runtime.probing.outcome import SUCCESS, Outcome, Verdict, failure
from vnodectl.runtime.probing.spec import HttpGet

_REDIRECTS = 10
_REDIRECT_CODES = frozenset({301, 302, 303, 307, 308})
_BODY_LIMIT = 10 * 1024  # bytes that are read of an answer
_USER_AGENT = "kube-probe/" + ".".join(__version__.split(".")[:2])


class HttpProber:
    """One session, a new connection for each request: a pooled one would hide that nobody listens."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def get(self, action: HttpGet, host: str, timeout: float) -> Outcome:
        """Success is 2xx or 3xx. A redirect on the same host is followed, one to another host is not: that
        is a success with a warning. Certificates are not verified, proxies not used."""
        path = action.path if action.path.startswith(("/", "?")) else f"/{action.path}"
        authority = f"[{host}]" if ":" in host else host
        url = first = URL(f"{action.scheme}://{authority}:{action.port}{path}")
        limit = aiohttp.ClientTimeout(total=timeout)
        headers, skipped = _headers(action)
        try:
            for _ in range(_REDIRECTS + 1):
                async with self._open().get(
                    url,
                    headers=headers,
                    skip_auto_headers=skipped,
                    allow_redirects=False,
                    timeout=limit,
                ) as response:
                    location = response.headers.get("Location")
                    if response.status not in _REDIRECT_CODES or not location:
                        await _drain(response)
                        return _judged(response.status)
                    target = url.join(URL(location))
                    if target.host != first.host:
                        return Outcome(
                            Verdict.WARNING, f"Probe terminated redirects, Response code: {response.status}"
                        )
                    url = target
        except TimeoutError:
            return failure(f'Get "{first}": no answer within {timeout:g} s')
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return failure(f'Get "{url}": {_cause(error)}')
        return failure(f'Get "{first}": stopped after {_REDIRECTS} redirects')

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=False, force_close=True, limit=0, use_dns_cache=False)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def _headers(action: HttpGet) -> tuple[CIMultiDict[str], frozenset[str]]:
    """The headers of the probe, with the kubelet's own where it names none. `Accept:` without a value
    means that none is sent."""
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in action.headers:
        headers.add(name, value)
    skipped = {"Accept-Encoding"}
    if not headers.get("Accept", "*/*"):
        del headers["Accept"]
        skipped.add("Accept")
    headers.setdefault("User-Agent", _USER_AGENT)
    return headers, frozenset(skipped)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read the answer, up to a limit: one that breaks off is not an answer."""
    left = _BODY_LIMIT
    while left > 0 and (chunk := await response.content.read(left)):
        left -= len(chunk)


def _judged(status: int) -> Outcome:
    return SUCCESS if 200 <= status < 400 else failure(f"HTTP probe failed with statuscode: {status}")


def _cause(error: BaseException) -> str:
    inner = getattr(error, "os_error", None)
    return str(inner or error) or type(error).__name__
