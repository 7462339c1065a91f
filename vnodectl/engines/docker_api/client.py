"""A connection to the API: aiodocker, with errors in our own terms."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from vnodectl.engines.api import EngineError

if TYPE_CHECKING:
    from aiodocker import Docker
    from aiohttp import ClientResponse

NO_CONNECTION = 900  # aiodocker's own code
JSON = dict[str, Any]


class ApiError(EngineError):
    """The engine answered with an error. `status` is the HTTP code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message.strip() or f"HTTP {status}")
        self.status = status


class NoAnswer(EngineError):
    """The engine does not answer."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Errors of aiodocker and aiohttp inside become EngineErrors."""
    import aiohttp
    from aiodocker import DockerError

    try:
        yield
    except DockerError as error:
        if error.status == NO_CONNECTION:
            raise NoAnswer(str(error.message)) from error
        raise ApiError(int(error.status), str(error.message)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise NoAnswer(f"the container engine does not answer: {error}") from error


def connect(url: str) -> Docker:
    """A client for a `unix://` URL. Must be called in a running event loop."""
    import aiohttp
    from aiodocker import Docker

    connector = aiohttp.UnixConnector(url.removeprefix("unix://"), limit=0)
    session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout())
    # With a connector of our own (aiodocker's allows 100 streams at once) the URL needs a host name.
    return Docker("unix://localhost", connector=connector, session=session)


@contextlib.asynccontextmanager
async def get(docker: Docker, path: str, **parameters: str) -> AsyncIterator[ClientResponse]:
    """A streamed GET: aiodocker turns logs into text and stops events for good, both too early for us."""
    with translated():
        if docker.api_version == "auto":
            await docker.version()
        url = f"{docker.docker_host}/{docker.api_version}/{path}"
        async with docker.session.get(url, params=parameters) as response:
            if response.status >= 400:
                raise ApiError(response.status, await _message(response))
            yield response


async def _message(response: ClientResponse) -> str:
    body = await response.text()
    if response.content_type == "application/json":
        data = await response.json()
        return str(data.get("message") or body)
    return body
