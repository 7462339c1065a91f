"""Running a command in a container, as `kubectl exec` does, over a WebSocket.

Protocol: every message begins with a channel number (1 stdout, 2 stderr, 3 the command's end as a
`Status` object). v5.channel.k8s.io (Kubernetes 1.30, KEP-4006) adds closing of single channels, v4 is
what older servers and proxies speak; without stdin they are the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vnodectl.errors import ClusterUnreachable, TimedOut
from vnodectl.kube.client import KubeClient
from vnodectl.kube.errors import ApiError, from_status
from vnodectl.kube.resources import PODS

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")

_STDOUT, _STDERR, _ERROR = 1, 2, 3


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended and what it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


async def run(
    client: KubeClient,
    namespace: str,
    pod: str,
    command: Sequence[str],
    *,
    container: str | None = None,
    timeout: float = 60,
) -> ExecResult:
    """Run `command` without stdin and wait for its end; `timeout` in seconds for all of it.

    An exit code other than 0 is a result, not an error. Raises TimedOut; ClusterUnreachable where the
    connection ends before the command; else the ApiError that says why it could not be run.
    """
    params = [("command", part) for part in command]
    params += [("stdout", "true"), ("stderr", "true")]
    if container is not None:
        params.append(("container", container))
    path = PODS.path(namespace, pod, "exec")
    try:
        async with (
            asyncio.timeout(timeout),
            client.websocket(path, params, protocols=PROTOCOLS) as connection,
        ):
            return await _collect(connection, f"exec in pod {namespace}/{pod}")
    except TimeoutError as error:
        raise TimedOut(f"exec in pod {namespace}/{pod} did not end within {timeout:g} s") from error


async def _collect(connection: Any, what: str) -> ExecResult:
    import aiohttp

    if connection.protocol not in PROTOCOLS:
        raise ApiError(0, "UnsupportedProtocol", f"{what}: the server speaks none of {', '.join(PROTOCOLS)}")
    written: dict[int, list[bytes]] = {_STDOUT: [], _STDERR: [], _ERROR: []}
    async for message in connection:
        if message.type is aiohttp.WSMsgType.ERROR:
            break
        data = message.data if isinstance(message.data, bytes) else message.data.encode()
        if data[:1] and data[0] in written:
            written[data[0]].append(data[1:])
            if data[0] == _ERROR and len(data) > 1:  # servers open each channel with an empty message
                code = _exit_code(data[1:], what)
                return ExecResult(code, b"".join(written[_STDOUT]), b"".join(written[_STDERR]))
    raise ClusterUnreachable(f"{what}: the connection ended before the command did", hint="try again")


def _exit_code(text: bytes, what: str) -> int:
    """The exit code of the `Status` that ends every command. Raises where it could not be run."""
    try:
        status = json.loads(text)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        raise ApiError(0, "BadStatus", f"{what}: the server's last word was no Status object")
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode" and str(cause.get("message")).isdigit():
            return int(cause["message"])
    raise from_status(int(status.get("code") or 500), status, 1.0)
