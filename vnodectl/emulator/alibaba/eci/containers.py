"""Logs of containers, and commands in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from vnodectl.emulator.alibaba.calls import ECI, Call, Handler, Operation
from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.eci.lifecycle import Lifecycle
from vnodectl.emulator.alibaba.eci.metrics import moment
from vnodectl.emulator.alibaba.eci.select import group_of
from vnodectl.emulator.alibaba.eci.streams import PATH, Streams
from vnodectl.emulator.alibaba.errors import ApiError, incorrect_status, invalid_parameter, not_found
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.alibaba.world import World
from vnodectl.emulator.documents import JSON
from vnodectl.engines.api import EngineError, LogQuery, NoSuchGroup, Running

LINES, MOST_LINES = 500, 2000
MOST_BYTES = 1024 * 1024
_WORDS, _LONGEST = 20, 256


class Containers:
    def __init__(self, world: World, lifecycle: Lifecycle, streams: Streams) -> None:
        self._world = world
        self._lifecycle = lifecycle
        self._streams = streams

    def operations(self) -> list[Operation]:
        def operation(name: str, handler: Handler, limit: str, **more: Any) -> Operation:
            return Operation(ECI, name, handler, limit=limit, **more)

        return [
            operation("DescribeContainerLog", self.log, "describe_container_log"),
            operation("ExecContainerCommand", self.exec, "exec_container_command"),
        ]

    async def log(self, call: Call) -> JSON:
        params = call.params
        group, container = self._container(call)
        query, most = self._query(params), params.integer("LimitBytes", MOST_BYTES, least=1, most=MOST_BYTES)
        if not group.in_engine:
            raise _no_log(container)
        content = b""
        try:
            async with aclosing(group.engine.logs(group.id, container, query)) as chunks:
                async for chunk in chunks:
                    content += chunk
                    if len(content) >= most:
                        break
        except NoSuchGroup as error:
            raise _no_log(container) from error
        except EngineError as error:
            raise ApiError(500, "InternalError", f"The log cannot be read: {error}") from error
        return {"ContainerName": container, "Content": content[:most].decode(errors="replace")}

    async def exec(self, call: Call) -> JSON:
        params = call.params
        group, container = self._container(call)
        command = self._command(params)
        tty, stdin = params.flag("TTY"), params.flag("Stdin", True)
        if not _runs(group, container):
            raise incorrect_status(f"The container {container} is not running.")
        if params.flag("Sync"):
            if tty:
                raise invalid_parameter("TTY", "must be false where Sync is true")
            return {"SyncResponse": await self._at_once(group, container, command)}
        ticket = self._streams.issue(group, container, command, tty=tty, stdin=stdin)
        host = call.base_url.partition("://")[2]
        return {
            "WebSocketUri": f"wss://{host}{PATH}?s={quote(ticket)}",
            "HttpUrl": f"https://{host}{PATH}?s={quote(ticket)}",
        }

    def _container(self, call: Call) -> tuple[Group, str]:
        group = group_of(call, self._lifecycle, self._world.regions)
        container = call.params.required("ContainerName")
        if not group.has_container(container):
            raise not_found("ContainerName")
        return group, container

    def _query(self, params: Params) -> LogQuery:
        sinces = [moment(params, "StartTime")]
        if params.has("SinceSeconds"):
            sinces.append(self._world.clock.now() - params.integer("SinceSeconds", least=0))
        return LogQuery(
            previous=params.flag("LastTime"),
            timestamps=params.flag("Timestamps"),
            tail=params.integer("Tail", LINES, least=1, most=MOST_LINES),
            since=max((one for one in sinces if one is not None), default=None),
        )

    def _command(self, params: Params) -> list[str]:
        """A JSON array of words, or one word."""
        text, limits = params.required("Command"), self._world.limits
        if limits.command_length and len(text) > limits.command_length:
            raise ApiError(
                400,
                "InvalidParameter.ValueExceeded",
                f"Command is longer than {limits.command_length} characters.",
            )
        if not text.lstrip().startswith("["):
            return [text]
        words = self._words(text)
        if limits.strict_lengths and (len(words) > _WORDS or any(len(one) > _LONGEST for one in words)):
            raise ApiError(
                400,
                "InvalidParameter.ValueExceeded",
                f"Command has more than {_WORDS} words, or one of more than {_LONGEST} characters.",
            )
        return words

    def _words(self, text: str) -> list[str]:
        try:
            words = json.loads(text)
        except ValueError as error:
            raise invalid_parameter("Command", "must be a JSON array of strings") from error
        if not words or not isinstance(words, list) or not all(isinstance(one, str) for one in words):
            raise invalid_parameter("Command", "must be a JSON array of strings")
        return words

    async def _at_once(self, group: Group, container: str, command: list[str]) -> str:
        """What the command prints, until it ends or has had its time."""
        session = _Collected()
        try:
            async with asyncio.timeout(self._world.timings.exec_sync):
                await group.engine.exec(group.id, container, command, session)
        except TimeoutError:
            pass
        except EngineError as error:
            raise ApiError(500, "InternalError", f"The command cannot be run: {error}") from error
        return session.text.decode(errors="replace")


class _Collected:
    """A session without input; both outputs in the order in which they came."""

    tty = False
    wants_stdin = False

    def __init__(self) -> None:
        self.text = b""

    async def read_stdin(self) -> bytes:
        return b""

    async def write_stdout(self, data: bytes) -> None:
        self.text += data

    async def write_stderr(self, data: bytes) -> None:
        self.text += data

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        yield 80, 24


def _runs(group: Group, container: str) -> bool:
    every = (*group.seen.containers, *group.seen.init_containers) if group.seen else ()
    return any(one.name == container and isinstance(one.state, Running) for one in every)


def _no_log(container: str) -> ApiError:
    return incorrect_status(f"The container {container} has no such log yet.")
