"""/containerLogs: what `kubectl logs` asks a kubelet for."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final

from aiohttp import web

from vnodectl.runtime.http.pods import PodSource, container_status, find_pod, has_container
from vnodectl.runtime.http.upgrade import abort
from vnodectl.runtime.metrics import NodeMetrics, Operation
from vnodectl.runtime.provider import LogOptions, Provider, ProviderError
from vnodectl.runtime.streams.session import end_tasks

_log = logging.getLogger(__name__)

JSON = dict[str, Any]

_FIRST_CHUNK: Final = 1.0
"""Seconds for which a follower's headers wait for the first output, so that an error still has a status."""


async def container_logs(
    request: web.Request, pods: PodSource, provider: Provider, calls: NodeMetrics
) -> web.StreamResponse:
    """GET /containerLogs/{namespace}/{pod}/{container}; texts and codes of errors as a kubelet's.

    The API server shows the text of a 400 to the user, and of other codes little.
    """
    options = parse_options(request.query)
    name, container = request.match_info["pod"], request.match_info["container"]
    key, pod = find_pod(pods, request, f'pod "{name}" does not exist')
    if not has_container(pod, container):
        raise web.HTTPNotFound(text=f'container "{container}" not found in pod "{name}"')
    if problem := unavailable(pod, container, previous=options.previous):
        raise web.HTTPBadRequest(text=problem)
    chunks = limited(_counted(provider.logs(key, container, options), calls), options.limit_bytes)
    try:
        return await _stream(request, chunks, f"the log of {key}, container {container}", options)
    finally:
        await chunks.aclose()


async def _stream(
    request: web.Request, chunks: AsyncIterator[bytes], name: str, options: LogOptions
) -> web.StreamResponse:
    first: asyncio.Task[bytes] = asyncio.create_task(_next(chunks), name=f"{name}: first output")
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    try:
        await asyncio.wait({first}, timeout=_FIRST_CHUNK if options.follow else None)
        if first.done() and (error := first.exception()) is not None:
            raise web.HTTPBadRequest(text=error.message) if isinstance(error, ProviderError) else error
        await response.prepare(request)
        if chunk := await first:
            await response.write(chunk)
            async for chunk in chunks:
                await response.write(chunk)
        await response.write_eof()
    except ProviderError as error:
        # Too late for a status. A clean end would say that this was all, so the connection is cut.
        _log.warning("%s broke off: %s", name, error.message)
        if request.transport is not None:
            abort(request.transport)
    except ConnectionError:
        _log.debug("%s: the reader is gone", name)
    finally:
        await end_tasks(first)
    return response


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    """The first chunk; b"" where there is none."""
    async for chunk in chunks:
        if chunk:
            return chunk
    return b""


async def _counted(chunks: AsyncIterator[bytes], calls: NodeMetrics) -> AsyncGenerator[bytes, None]:
    """The chunks. Closing it closes the provider's iterator."""
    with calls.call(Operation.LOGS):
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()


async def limited(chunks: AsyncIterator[bytes], limit: int | None) -> AsyncGenerator[bytes, None]:
    """The chunks up to `limit` bytes. Closing it closes the provider's iterator."""
    left = limit
    try:
        async for chunk in chunks:
            if left is None:
                yield chunk
                continue
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def parse_options(query: Mapping[str, str]) -> LogOptions:
    """v1.PodLogOptions from a query. Raises 400 or 422 with a kubelet's texts."""
    try:
        options = LogOptions(
            follow=_flag(query.get("follow")),
            previous=_flag(query.get("previous")),
            timestamps=_flag(query.get("timestamps")),
            tail=_integer(query.get("tailLines")),
            limit_bytes=_integer(query.get("limitBytes")),
            since=_integer(query.get("sinceSeconds")),
            since_time=_time(query.get("sinceTime")),
        )
    except ValueError as error:
        raise web.HTTPBadRequest(text='{"message": "Unable to decode query."}') from error
    stream = query.get("stream", "All")
    if (
        (options.tail is not None and options.tail < 0)
        or (options.limit_bytes is not None and options.limit_bytes < 1)
        or (options.since is not None and (options.since < 1 or options.since_time is not None))
        or stream not in ("All", "Stdout", "Stderr")
    ):
        raise web.HTTPUnprocessableEntity(text='{"message": "Invalid request."}')
    if stream != "All":
        raise web.HTTPBadRequest(text=f'unable to return the given log stream: "{stream}"')
    return options


def _flag(text: str | None) -> bool:
    # As the API machinery reads booleans: `?follow` alone is true.
    return text is not None and text.lower() not in ("0", "false")


def _integer(text: str | None) -> int | None:
    return int(text) if text else None


def _time(text: str | None) -> str | None:
    """RFC 3339, unchanged."""
    if not text:
        return None
    if datetime.datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without its zone")
    return text


def unavailable(pod: JSON, container: str, *, previous: bool) -> str:
    """Why there is no log, as a kubelet tells it from the pod's status; "" where there should be one."""
    this = f'container "{container}" in pod "{pod["metadata"]["name"]}"'
    status = container_status(pod, container)
    if status is None:
        return f"{this} is not available"
    ended_before = "terminated" in (status.get("lastState") or {})
    if previous:
        return "" if ended_before else f"previous terminated {this} not found"
    state: JSON = status.get("state") or {}
    if "running" in state or "terminated" in state or ended_before:
        return ""
    if "waiting" not in state:
        return f"{this} is waiting to start - no logs yet"
    reason = state["waiting"].get("reason", "")
    why = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
    return f"{this} is waiting to start: {why.get(reason, reason)}"
