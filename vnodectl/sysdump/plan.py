"""What these settings would install: the plan, the values of each release, and the versions at work."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

from vnodectl import __version__
from vnodectl.connector.cluster import look_up
from vnodectl.connector.plan import make_plan
from vnodectl.connector.values import values
from vnodectl.errors import UsageError
from vnodectl.sysdump import allow
from vnodectl.sysdump.bundle import Files, Skipped

if TYPE_CHECKING:
    from vnodectl.checks.readers import HelmReader
    from vnodectl.connector.clouds import Account
    from vnodectl.connector.cluster import Cluster
    from vnodectl.connector.settings import Settings

Found = tuple[Files, Sequence[str]]

_PACKAGES = (
    "aiohttp",
    "alibabacloud-eci20180808",
    "azure-identity",
    "azure-mgmt-containerinstance",
    "kubernetes",
    "pyhelm3",
    "typer",
)


async def plan(settings: Settings, cluster: Cluster, account: Account | None) -> Found:
    """The plan and its values, without what is secret. Skipped where the settings do not say enough for one:
    what is installed can be looked at without."""
    facts = await look_up(settings, cluster, account)
    try:
        made = make_plan(settings, facts)
    except UsageError as error:
        raise Skipped(f"these settings make no plan: {error.message}") from error
    return {
        "plan.json": allow.masked(asdict(made)),
        **{f"values/{one.release}.json": allow.masked(values(made, one)) for one in made.connectors},
    }, ()


async def versions(helm: HelmReader) -> Found:
    """Of this program, its Python and libraries, the system, and Helm."""
    found: dict[str, Any] = {
        "vnodectl": __version__,
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "helm": "not found",
    }
    if await helm.found():
        found["helm"] = await helm.version()
    return {"versions.json": found}, ()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
