"""The calls to ARM that the provider makes, and nothing else.

Reads are plain JSON through the SDK's pipeline: a LIST of 1,000 groups into the SDK's models holds the
event loop for 0.77 s. What changes something goes through the vendor's client with `polling=False`, as its
pollers wait 30 s between two looks. Nothing is retried here: whoever asks knows its own pace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any, cast

from vnodectl.clouds.azure import AzureSession, azure_errors
from vnodectl.clouds.azure.errors import redact
from vnodectl.clouds.azure.session import CONTAINER_INSTANCE_API, path_of
from vnodectl.providers.aci.group import api_version
from vnodectl.runtime.provider import JSON

_KIND = "Microsoft.ContainerInstance/containerGroups"
_SECRET_KEYS = frozenset({"secureValue", "password", "storageAccountKey", "workspaceKey"})
_NO_RETRIES: dict[str, Any] = {"retry_total": 0, "retry_status": 0}


@dataclass(frozen=True, slots=True)
class Accepted:
    """`status` is 200, 201, 202 or 204; `operation` the URL that tells how it ends, or ""."""

    status: int
    operation: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """A WebSocket of the container. The password is the first message of an exec, and the Authorization
    header of an attach (Azure's descriptions of the two answers, API 2023-05-01)."""

    uri: str
    password: str = field(repr=False)
    in_header: bool = False


class Groups:
    """The container groups of one resource group. Every method raises `AzureError` or `CloudUnreachable`."""

    def __init__(self, session: AzureSession, resource_group: str) -> None:
        self.session = session
        self.resource_group = resource_group

    @property
    def remaining_reads(self) -> int:
        """What ARM last said of the subscription's reads; -1 while unknown."""
        return self.session.meter.remaining_reads

    async def list(self) -> list[JSON]:
        """Every group of the resource group, foreign ones too, without instanceView. All or an error."""
        return await self.session.pages(self._path(), CONTAINER_INSTANCE_API, retries=False)

    async def get(self, name: str) -> JSON:
        """One group with instanceView. Raises `AzureNotFound`."""
        answer = await self.session.request("GET", self._path(name), CONTAINER_INSTANCE_API, retries=False)
        return answer.body

    async def put(self, name: str, body: JSON) -> Accepted:
        """Create or update; returns when ARM has accepted it. Errors name none of the body's secrets."""
        if (version := api_version(body)) != CONTAINER_INSTANCE_API:
            answer = await self.session.request("PUT", self._path(name), version, body=body, retries=False)
            return Accepted(answer.status, _operation(answer.headers))
        secrets = tuple(_secrets(body))
        with azure_errors(lambda text: redact(self.session.redact(text), secrets)):
            poller = await self.session.container_instances().container_groups.begin_create_or_update(
                self.resource_group,
                name,
                # Bytes are sent as they are; the annotations know only files.
                cast(IO[bytes], json.dumps(body).encode()),
                content_type="application/json",
                polling=False,
                cls=_accepted,
                **_NO_RETRIES,
            )
            return cast(Accepted, await poller.result())

    async def delete(self, name: str) -> Accepted:
        """Status 204: there was no such group."""
        with azure_errors(self.session.redact):
            poller = await self.session.container_instances().container_groups.begin_delete(
                self.resource_group, name, polling=False, cls=_accepted, **_NO_RETRIES
            )
            return cast(Accepted, await poller.result())

    async def restart(self, name: str) -> None:
        """Start all containers of a running group anew, where they are."""
        await self._post(name, "restart")

    async def stop(self, name: str) -> None:
        """End all containers of a running group; it stays, and can still be read."""
        await self._post(name, "stop")

    async def _post(self, name: str, verb: str) -> None:
        path = f"{self._path(name)}/{verb}"
        await self.session.request("POST", path, CONTAINER_INSTANCE_API, retries=False)

    async def operation(self, url: str) -> JSON:
        """The body of an `Azure-AsyncOperation` URL: `status` and, when it failed, `error`."""
        return (await self.session.follow(url)).body

    async def logs(self, name: str, container: str, *, tail: int | None, timestamps: bool) -> str:
        """The container's log, at most 4 MB (ACI's limit), or its last `tail` lines."""
        with azure_errors(self.session.redact):
            found = await self.session.container_instances().containers.list_logs(
                self.resource_group, name, container, tail=tail, timestamps=timestamps, **_NO_RETRIES
            )
        return found.content or ""

    async def exec(self, name: str, container: str, command: str, columns: int, rows: int) -> Channel:
        """Start `command` (one word: ACI passes no arguments) on a terminal of that size."""
        from azure.mgmt.containerinstance.models import ContainerExecRequest, ContainerExecRequestTerminalSize

        request = ContainerExecRequest(
            command=command, terminal_size=ContainerExecRequestTerminalSize(rows=rows, cols=columns)
        )
        with azure_errors(self.session.redact):
            found = await self.session.container_instances().containers.execute_command(
                self.resource_group, name, container, request, **_NO_RETRIES
            )
        return Channel(found.web_socket_uri or "", found.password or "")

    async def attach(self, name: str, container: str) -> Channel:
        """The container's output from now on."""
        with azure_errors(self.session.redact):
            found = await self.session.container_instances().containers.attach(
                self.resource_group, name, container, **_NO_RETRIES
            )
        return Channel(found.web_socket_uri or "", found.password or "", in_header=True)

    def _path(self, name: str = "") -> str:
        return path_of(self.session.subscription, self.resource_group, _KIND, name)


def _accepted(response: Any, _model: Any, _headers: Any) -> Accepted:
    answer = response.http_response
    return Accepted(answer.status_code, _operation(answer.headers))


def _operation(headers: Mapping[str, str]) -> str:
    found = (value for name, value in headers.items() if name.lower() == "azure-asyncoperation")
    return next(found, "")


def _secrets(body: Any) -> list[str]:
    """Values in a group's body that no message may repeat."""
    found: list[str] = []
    if isinstance(body, dict):
        for key, value in body.items():
            if key in _SECRET_KEYS and isinstance(value, str):
                found.append(value)
            elif key in {"secret", "protectedSettings"} and isinstance(value, dict):
                found += [one for one in value.values() if isinstance(one, str)]
            else:
                found += _secrets(value)
    elif isinstance(body, list):
        for one in body:
            found += _secrets(one)
    return found
