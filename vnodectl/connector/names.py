"""Names of a connector's parts, and what is allowed in them.

Install, status and removal compute names here and nowhere else, so they can never disagree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vnodectl.errors import UsageError
from vnodectl.settings import NODE_PREFIX

OS_TYPES = ("Linux", "Windows")

RELEASE_MAX = 53
"""Helm's limit for a release name."""

NODE_MAX = 63
"""A node's name is also the value of its label kubernetes.io/hostname, and labels end at 63."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_AZURE_REGION = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Connector:
    """One connector: one Helm release, one Deployment, one virtual node. `os_type` is Linux or Windows."""

    name: str
    os_type: str
    region: str

    @property
    def release(self) -> str:
        return f"{self.name}-{self.os_type.lower()}-{self.region}"

    @property
    def node(self) -> str:
        return NODE_PREFIX + self.release

    @property
    def secret(self) -> str:
        """The Secret with the service principal's secret. Helm never sees it."""
        return f"{self.release}-azure"


def connector(name: str, os_type: str, region: str) -> Connector:
    """A connector whose names fit Helm and Kubernetes, else UsageError."""
    made = Connector(name, os_type, region)
    hint = "choose a shorter --connector-name"
    if len(made.release) > RELEASE_MAX:
        raise UsageError(
            f"release name {made.release!r} has {len(made.release)} characters; Helm allows {RELEASE_MAX}",
            hint=hint,
        )
    if len(made.node) > NODE_MAX:
        raise UsageError(
            f"node name {made.node!r} has {len(made.node)} characters; Kubernetes allows {NODE_MAX}",
            hint=hint,
        )
    return made


def connector_name(text: str) -> str:
    """A connector's name, lower-case as in the release's name, else UsageError."""
    name = text.lower()
    if not _DNS_LABEL.fullmatch(name):
        raise UsageError(
            f"bad connector name {text!r}",
            hint="use letters a-z, digits and '-', with a letter or digit first and last",
        )
    return name


def namespace_name(text: str) -> str:
    """A namespace's name (a DNS-1123 label), else UsageError."""
    if len(text) > 63 or not _DNS_LABEL.fullmatch(text):
        raise UsageError(f"bad namespace {text!r}", hint="use lower-case letters, digits and '-', at most 63")
    return text


def os_types(text: str) -> tuple[str, ...]:
    """`Linux`, `Windows` or `Both`, in any case, as the OS types to work on."""
    wanted = text.lower()
    if wanted == "both":
        return OS_TYPES
    for known in OS_TYPES:
        if wanted == known.lower():
            return (known,)
    raise UsageError(f"bad OS type {text!r}", hint="use Linux, Windows or Both")


def azure_region(text: str) -> str:
    """`East US` and `eastus` are the same region: `eastus`. UsageError for what can be no region."""
    region = text.replace(" ", "").lower()
    if not _AZURE_REGION.fullmatch(region):
        raise UsageError(
            f"bad region {text!r}", hint="list regions: az account list-locations --query [].name"
        )
    return region


def region_in_release(release: str, name: str, os_type: str) -> str | None:
    """The region in a release's name if `release` is one of connector `name` for that OS, else None.

    Azure's region names have no '-', so a connector `a` never claims the releases of a connector `a-linux`.
    """
    prefix = f"{name}-{os_type.lower()}-"
    region = release.removeprefix(prefix)
    return region if release.startswith(prefix) and _AZURE_REGION.fullmatch(region) else None
