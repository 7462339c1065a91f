"""The pods of this node, as the HTTP API needs them, and the paths /pods and /runningpods/."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from aiohttp import web

from vnodectl.logs import now_about
from vnodectl.runtime.http.pieces import json_list, write_pieces
from vnodectl.runtime.provider import PodKey

JSON = dict[str, Any]


class PodSource(Protocol):
    """What the runtime knows of its node's pods. Objects are full API objects and are not changed."""

    def get(self, namespace: str, name: str) -> tuple[PodKey, JSON] | None: ...

    def list(self) -> list[JSON]: ...


def find_pod(pods: PodSource, request: web.Request, missing: str) -> tuple[PodKey, JSON]:
    """The pod of a path with {namespace}, {pod} and perhaps {uid}. Raises 404 with the text `missing`.

    What is logged from here on, until the request is answered, is about that pod.
    """
    found = pods.get(request.match_info["namespace"], request.match_info["pod"])
    if found is None:
        raise web.HTTPNotFound(text=missing)
    uid = request.match_info.get("uid")
    if uid is not None and uid != found[0].uid:
        raise web.HTTPNotFound(text="pod not found")
    now_about(found[0])
    return found


def has_container(pod: JSON, name: str) -> bool:
    """Whether the pod has such a container, init containers included."""
    spec: JSON = pod.get("spec") or {}
    kinds = ("containers", "initContainers", "ephemeralContainers")
    return any(container["name"] == name for kind in kinds for container in spec.get(kind) or ())


def container_status(pod: JSON, name: str) -> JSON | None:
    """Its ContainerStatus, where there is one yet."""
    status: JSON = pod.get("status") or {}
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    found: Iterable[JSON] = (one for kind in kinds for one in status.get(kind) or () if one["name"] == name)
    return next(iter(found), None)


def running_part(pod: JSON) -> JSON | None:
    """A pod as /runningpods/ shows it: names and images of what runs; None where nothing does."""
    status: JSON = pod.get("status") or {}
    metadata: JSON = pod["metadata"]
    running = [
        {"name": one["name"], "image": one.get("image", ""), "resources": {}}
        for kind in ("initContainerStatuses", "containerStatuses")
        for one in status.get(kind) or ()
        if "running" in (one.get("state") or {})
    ]
    if not running:
        return None
    kept = {key: metadata[key] for key in ("name", "namespace", "uid") if key in metadata}
    return {"metadata": kept, "spec": {"containers": running}, "status": {}}


async def write_pod_list(request: web.Request, pods: Iterable[JSON]) -> web.StreamResponse:
    """A PodList."""
    head = '{"kind":"PodList","apiVersion":"v1","metadata":{},"items":['
    return await write_pieces(request, "application/json", json_list(head, pods, "]}\n"))
