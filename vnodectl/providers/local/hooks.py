"""Hooks of a container. Pure."""

from __future__ import annotations

from vnodectl.engines.api import Hook
from vnodectl.providers.ports import port_number
from vnodectl.runtime.provider import JSON, Rejected


def hook(container: JSON, name: str, path: str) -> Hook | None:
    """`postStart` or `preStop` of the container's `lifecycle`. Raises Rejected."""
    source = (container.get("lifecycle") or {}).get(name)
    if source is None:
        return None
    where = f"{path}.lifecycle.{name}"
    if source.get("exec"):
        return Hook(command=tuple(source["exec"].get("command") or ()))
    if source.get("sleep"):
        return Hook(sleep=float(source["sleep"].get("seconds") or 0))
    if http := source.get("httpGet"):
        return Hook(
            http_path=http.get("path") or "/",
            http_scheme=str(http.get("scheme") or "HTTP").lower(),
            http_headers=tuple((one["name"], one.get("value", "")) for one in http.get("httpHeaders") or ()),
            port=port_number(http.get("port"), container, f"{where}.httpGet.port"),
            host=http.get("host") or "",
        )
    kind = next(iter(source), "empty ones")
    raise Rejected("UnsupportedHook", f"this node has exec, httpGet and sleep hooks, no {kind}", field=where)
