"""A Kubernetes API without a socket, for virtual time: what the runtime asks of a server, with its manners.

Pods are deleted gracefully and held by finalizers, patches merge as the API documents, watches resume, end
and expire. `trouble` makes calls fail before or after they had their effect.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import re
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

from support import virtual_time

from vnodectl.errors import ClusterUnreachable
from vnodectl.kube.errors import AlreadyExists, ApiError, Conflict, Expired, NotFound, Throttled

JSON = dict[str, Any]
Key = tuple[str, str, str]

_PATH = re.compile(
    r"(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<subresource>.+))?"
)
_MERGED_BY = {
    "conditions": "type",
    "addresses": "type",
    "podIPs": "ip",
    "hostIPs": "ip",
    "ownerReferences": "uid",
}


class MemoryApi:
    """The server. `client()` is one connection to it; `down` makes every call fail."""

    def __init__(self) -> None:
        self.objects: dict[Key, JSON] = {}
        self.requests: list[tuple[str, str]] = []
        self.down = False
        self.trouble: Callable[[str, str], tuple[str, Exception] | None] = lambda *_: None
        """("before" | "after", error) for a call that is to fail."""
        self.releasing: Callable[[JSON], None] = lambda _: None
        """Told of a pod that a client, not a person, lets go for good."""
        self.history: list[tuple[int, str, str, JSON]] = []
        self._oldest = 0
        self._version = 0
        self._uids = itertools.count(1)
        self._news = asyncio.Event()
        self._cut = asyncio.Event()

    def client(self) -> MemoryClient:
        return MemoryClient(self)

    # --- the world's side -------------------------------------------------------------------------

    def put(self, plural: str, body: JSON, namespace: str = "") -> JSON:
        """Create or replace, as somebody else would."""
        body = copy.deepcopy(body)
        meta = body.setdefault("metadata", {})
        if namespace:
            meta["namespace"] = namespace
        meta.setdefault("uid", f"uid-{next(self._uids)}")
        meta.setdefault("creationTimestamp", _now())
        key = (plural, meta.get("namespace", ""), meta["name"])
        return self._store("MODIFIED" if key in self.objects else "ADDED", key, body)

    def find(self, plural: str, name: str, namespace: str = "") -> JSON | None:
        return self.objects.get((plural, namespace, name))

    def all(self, plural: str) -> list[JSON]:
        return [body for (kind, _, _), body in self.objects.items() if kind == plural]

    def remove(self, key: Key) -> None:
        body = self.objects.pop(key)
        self._version += 1
        body = copy.deepcopy(body)
        body["metadata"]["resourceVersion"] = str(self._version)
        self.history.append((self._version, "DELETED", key[0], body))
        self._tell()

    def cut_watches(self) -> None:
        self._cut.set()
        self._cut = asyncio.Event()

    def compact(self) -> None:
        """Forget the past: a watch from an old version has expired."""
        self._oldest = self._version
        self.history.clear()

    # --- what a client asks -----------------------------------------------------------------------

    def read(self, path: str) -> JSON:
        key, _ = _split(path)
        found = self.objects.get(key)
        if found is None:
            raise NotFound(404, "NotFound", f"{key[0]} {key[2]} not found")
        return copy.deepcopy(found)

    def items(self, path: str, params: JSON) -> tuple[list[JSON], str]:
        (plural, namespace, _), _ = _split(path)
        wants = _selector(plural, namespace, params)
        return [copy.deepcopy(one) for (kind, _, _), one in self.objects.items() if wants(kind, one)], str(
            self._version
        )

    def create(self, path: str, body: JSON) -> JSON:
        (plural, namespace, _), subresource = _split(path)
        if subresource == "token":
            return {"spec": body["spec"], "status": {"token": f"token-{next(self._uids)}"}}
        meta = body["metadata"]
        if "name" not in meta:
            body = {**body, "metadata": {**meta, "name": f"{meta['generateName']}{next(self._uids)}"}}
        key = (plural, namespace, body["metadata"]["name"])
        if key in self.objects:
            raise AlreadyExists(409, "AlreadyExists", f"{plural} {key[2]} exists")
        return copy.deepcopy(self.put(plural, body, namespace))

    def patch(self, path: str, body: JSON) -> JSON:
        key, subresource = _split(path)
        found = self.objects.get(key)
        if found is None:
            raise NotFound(404, "NotFound", f"{key[0]} {key[2]} not found")
        meta = body.get("metadata") or {}
        for field in ("uid", "resourceVersion"):
            if meta.get(field) not in (None, found["metadata"][field]):
                raise Conflict(409, "Conflict", f"{field} is {found['metadata'][field]}")
        made = copy.deepcopy(found)
        if subresource == "status":
            made["status"] = _merged(made.get("status") or {}, body.get("status") or {})
        else:
            made = _merged(made, {name: value for name, value in body.items() if name != "status"})
        if made == found:
            return made
        if not made["metadata"].get("finalizers") and made["metadata"].get("deletionGracePeriodSeconds") == 0:
            self.objects[key] = made
            self.remove(key)
            return made
        return copy.deepcopy(self._store("MODIFIED", key, made))

    def delete(self, path: str, uid: str | None, grace: int | None) -> JSON:
        key, _ = _split(path)
        found = self.objects.get(key)
        if found is None:
            raise NotFound(404, "NotFound", f"{key[0]} {key[2]} not found")
        meta = found["metadata"]
        if uid not in (None, meta["uid"]):
            raise Conflict(409, "Conflict", f"uid is {meta['uid']}")
        if key[0] == "pods":
            if (found.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                grace = 0
            elif grace is None:
                grace = found["spec"].get("terminationGracePeriodSeconds", 30)
            if meta.get("deletionTimestamp"):
                grace = min(grace, meta["deletionGracePeriodSeconds"])
            if grace > 0 or meta.get("finalizers"):
                if meta.get("deletionGracePeriodSeconds") == grace:
                    return copy.deepcopy(found)
                made = copy.deepcopy(found)
                made["metadata"] |= {"deletionTimestamp": _now(), "deletionGracePeriodSeconds": grace}
                return copy.deepcopy(self._store("MODIFIED", key, made))
        self.remove(key)
        return copy.deepcopy(found)

    async def watch(self, path: str, params: JSON) -> AsyncGenerator[JSON, None]:
        (plural, namespace, _), _ = _split(path)
        wants = _selector(plural, namespace, params)
        version = int(params["resourceVersion"])
        cut = self._cut
        end = asyncio.get_running_loop().time() + float(params.get("timeoutSeconds") or 300)
        while True:
            if version < self._oldest:
                raise Expired(410, "Expired", "too old resource version")
            for at, kind, what, body in [one for one in self.history if one[0] > version]:
                version = at
                if wants(what, body):
                    yield {"type": kind, "object": copy.deepcopy(body)}
            if cut.is_set() or asyncio.get_running_loop().time() >= end:
                return
            news = self._news
            waits = [asyncio.ensure_future(one.wait()) for one in (news, cut)]
            try:
                left = max(0.0, end - asyncio.get_running_loop().time())
                await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waits:
                    one.cancel()
                await asyncio.gather(*waits, return_exceptions=True)

    def _store(self, kind: str, key: Key, body: JSON) -> JSON:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self.objects[key] = body
        self.history.append((self._version, kind, key[0], copy.deepcopy(body)))
        self._tell()
        return body

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class MemoryClient:
    """Stands in for `KubeClient`. `cut`: the network of this one is gone."""

    server = "https://api.memory:6443"

    def __init__(self, api: MemoryApi) -> None:
        self.api = api
        self.cut = False

    async def get(self, path: str, params: Any = None, *, timeout: float = 30) -> JSON:
        return await self._call("GET", path, lambda: self.api.read(path))

    async def list(self, path: str, params: Any = None, *, page: int = 500, timeout: float = 60) -> Any:
        return await self._call("LIST", path, lambda: self.api.items(path, dict(params or {})))

    async def create(self, path: str, body: JSON, params: Any = None, *, timeout: float = 30) -> JSON:
        return await self._call("POST", path, lambda: self.api.create(path, body))

    async def patch(
        self, path: str, body: JSON, params: Any = None, *, content_type: str = "", timeout: float = 30
    ) -> JSON:
        return await self._call("PATCH", path, lambda: self.api.patch(path, body))

    async def patch_only(self, path: str, body: JSON, *, content_type: str = "", timeout: float = 30) -> None:
        await self.patch(path, body, content_type=content_type, timeout=timeout)

    async def delete(
        self,
        path: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str | None = None,
        timeout: float = 30,
    ) -> None:
        def work() -> JSON:
            gone = self.api.delete(path, uid, grace_seconds)
            if grace_seconds == 0:
                self.api.releasing(gone)
            return gone

        await self._call("DELETE", path, work)

    async def watch(self, path: str, params: Any = None) -> AsyncGenerator[JSON, None]:
        await self._call("WATCH", path, lambda: None)
        async for event in self.api.watch(path, dict(params or {})):
            if self.api.down:
                raise ClusterUnreachable("the connection broke")
            yield event

    async def _call(self, verb: str, path: str, work: Callable[[], Any]) -> Any:
        self.api.requests.append((verb, path))
        await asyncio.sleep(0.001)
        if self.api.down or self.cut:
            raise ClusterUnreachable("connection refused")
        trouble = self.api.trouble(verb, path)
        if trouble is not None and trouble[0] == "before":
            raise trouble[1]
        result = work()
        if trouble is not None:
            raise trouble[1]
        return result


def broken() -> list[Exception]:
    """What calls fail with."""
    return [
        ClusterUnreachable("no answer in time"),
        ApiError(500, "InternalError", "etcd leader changed"),
        Throttled(429, "TooManyRequests", "slow down", retry_after=2.0),
    ]


def _split(path: str) -> tuple[Key, str]:
    match = _PATH.fullmatch(path)
    assert match is not None, path
    return (match["plural"], match["namespace"] or "", match["name"] or ""), match["subresource"] or ""


def _now() -> str:
    return datetime.fromtimestamp(int(virtual_time.clock()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _selector(plural: str, namespace: str, params: JSON) -> Callable[[str, JSON], bool]:
    fields = dict(part.split("=", 1) for part in params.get("fieldSelector", "").split(",") if part)
    labels = dict(part.split("=", 1) for part in params.get("labelSelector", "").split(",") if part)

    def wants(kind: str, body: JSON) -> bool:
        if kind != plural or (namespace and body["metadata"].get("namespace", "") != namespace):
            return False
        if not labels.items() <= (body["metadata"].get("labels") or {}).items():
            return False
        return all(_field(body, path) == value for path, value in fields.items())

    return wants


def _field(body: JSON, path: str) -> Any:
    value: Any = body
    for part in path.split("."):
        value = (value or {}).get(part)
    return value


def _merged(old: Any, new: Any, name: str = "") -> Any:
    """A strategic merge: maps by key, None deletes, some lists by a key of their entries."""
    if isinstance(old, dict) and isinstance(new, dict):
        made = dict(old)
        for key, value in new.items():
            if value is None:
                made.pop(key, None)
            else:
                made[key] = _merged(old.get(key), value, key)
        return made
    if isinstance(new, dict):
        return {key: _merged(None, value, key) for key, value in new.items() if value is not None}
    if isinstance(new, list) and name in _MERGED_BY:
        by = _MERGED_BY[name]
        entries = [one for one in new if "$patch" not in one]
        if len(entries) != len(new):
            return [_merged(None, one) for one in entries]
        known = {one[by]: one for one in old or ()}
        for one in entries:
            known[one[by]] = _merged(known.get(one[by]), one)
        return list(known.values())
    return copy.deepcopy(new)
