"""A container's ports by name."""

from __future__ import annotations

from vnodectl.runtime.provider import JSON, Rejected


def port_number(port: object, container: JSON, path: str) -> int:
    """A number, or the number of the container's port of that name. Raises Rejected at `path`."""
    if isinstance(port, int):
        return port
    for one in container.get("ports") or ():
        if one.get("name") == port:
            return int(one["containerPort"])
    if isinstance(port, str) and port.isdigit():
        return int(port)
    raise Rejected("UnknownPort", f"the container has no port named {port!r}", field=path)
