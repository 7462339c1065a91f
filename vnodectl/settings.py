"""Where things are kept, and names that several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_CONNECTOR_NAME = "aci-connector"
TAINT_KEY = "virtual-kubelet.io/provider"
TAINT_VALUES = {"azure": "azure", "alibaba": "alibabacloud"}
"""Value of that taint by cloud, as the add-ons of both have it."""
NODE_PREFIX = "virtual-kubelet-"
RELEASE_LABEL = "vnodectl.io/release"
"""On a connector's nodes: the release that they belong to, whatever they are called."""


def expanded(path: str) -> Path:
    """The path with its `~` resolved, and as it is where nobody of that name is known."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def cache_home() -> Path:
    """`$XDG_CACHE_HOME/vnodectl`, else `~/.cache/vnodectl`."""
    base = os.environ.get("XDG_CACHE_HOME") or expanded("~/.cache")
    return Path(base) / "vnodectl"


def sandbox_home() -> Path:
    """Where sandboxes live: `VNODECTL_SANDBOX_HOME`, else `<cache home>/sandbox`."""
    named = os.environ.get("VNODECTL_SANDBOX_HOME")
    return Path(named) if named else cache_home() / "sandbox"
