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
LOCK = "-install"
"""After a release's name, that of the Lease by which one run at a time works on it."""

"""Helm's limit for a release name."""

NODE_MAX = 63
"""A node's name is also the value of its label kubernetes.io/hostname, and labels end at 63."""

NODES_MAX = 50
"""How many nodes one connector may be: the agent's own limit."""

REPLICAS_MAX = 10

_FURTHER_NODE = re.compile(r"-([2-9]|[1-9][0-9])\Z")
"""What the names of a connector's further nodes end with; no region of Azure does."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_AZURE_REGION = re.compile(r"[a-z0-9]+")
_ALIBABA_REGION = re.compile(r"(?:cn|ap|us|eu|me|na|rus)(?:-[a-z0-9]+)+")
"""`cn-hangzhou`, `ap-southeast-1`, `cn-shanghai-finance-1`: they begin with one of a few areas."""


@dataclass(frozen=True, slots=True)
class Connector:
    """One connector: one Helm release, one Deployment, one or more virtual nodes.

    `os_type` is Linux or Windows; `nodes` how many nodes it is meant to be. `release_name` and `node_name`
    are those that were asked for instead of the usual ones.
    """

    name: str
    os_type: str
    region: str
    nodes: int = 1
    cloud: str = "azure"
    release_name: str = ""
    node_name: str = ""

    @property
    def release(self) -> str:
        return self.release_name or f"{self.name}-{self.os_type.lower()}-{self.region}"

    @property
    def node(self) -> str:
        """Its first node."""
        return self.node_name or NODE_PREFIX + self.release

    @property
    def node_names(self) -> tuple[str, ...]:
        """All that it is meant to be: NODE, NODE-2, NODE-3 …"""
        return (self.node, *(f"{self.node}-{number}" for number in range(2, self.nodes + 1)))

    def owns(self, node: str) -> bool:
        """Whether a node of this name is this connector's, whatever the number that it is meant to be."""
        further = node.removeprefix(self.node)
        return node == self.node or bool(_FURTHER_NODE.fullmatch(further))

    @property
    def secret(self) -> str:
        """The Secret with its credentials in the cloud. Helm never sees it."""
        return f"{self.release}-{self.cloud}"


def fitting(made: Connector) -> Connector:
    """The connector, if its names fit Helm and Kubernetes, else UsageError."""
    hint = "choose a shorter --connector-name"
    if len(made.release) > RELEASE_MAX:
        raise UsageError(
            f"release name {made.release!r} has {len(made.release)} characters; Helm allows {RELEASE_MAX}",
            hint=hint if not made.release_name else "choose a shorter --release-name",
        )
    longest = made.node_names[-1]
    if len(longest) > NODE_MAX:
        raise UsageError(
            f"node name {longest!r} has {len(longest)} characters; Kubernetes allows {NODE_MAX}",
            hint=hint if not made.node_name else "choose a shorter --node-name",
        )
    return made


def connector(name: str, os_type: str, region: str, nodes: int = 1) -> Connector:
    """A connector of the usual names on Azure; UsageError where they do not fit Helm and Kubernetes."""
    return fitting(Connector(name, os_type, region, nodes))


def count(text: str | None, flag: str, most: int) -> int:
    """A number from 1 to `most`, 1 for None; UsageError naming `flag` otherwise."""
    if text is None:
        return 1
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise UsageError(f"bad {flag} {text!r}", hint=f"use a number from 1 to {most}")
    return int(text)


def connector_name(text: str) -> str:
    """A connector's name, lower-case as in the release's name, else UsageError."""
    name = text.lower()
    if not _DNS_LABEL.fullmatch(name):
        raise UsageError(
            f"bad connector name {text!r}",
            hint="use letters a-z, digits and '-', with a letter or digit first and last",
        )
    return name


def label(text: str, flag: str) -> str:
    """A name that is given as it is, of a release or a node (a DNS-1123 label), else UsageError."""
    if not _DNS_LABEL.fullmatch(text):
        raise UsageError(f"bad {flag} {text!r}", hint="use lower-case letters, digits and '-'")
    return text


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


def alibaba_region(text: str) -> str:
    """A region's id such as `cn-hangzhou`. UsageError for what can be none."""
    region = text.strip().lower()
    if not _ALIBABA_REGION.fullmatch(region):
        raise UsageError(
            f"bad region {text!r}", hint="name it by its id, as in cn-hangzhou: aliyun eci DescribeRegions"
        )
    return region


def region_in_release(release: str, name: str, os_type: str) -> str | None:
    """The region in a release's name if `release` is one of connector `name` for that OS, else None.

    Azure's regions have no '-' and Alibaba Cloud's begin with an area, so a connector `a` never claims the
    releases of a connector `a-linux`.
    """
    prefix = f"{name}-{os_type.lower()}-"
    region = release.removeprefix(prefix)
    known = _AZURE_REGION.fullmatch(region) or _ALIBABA_REGION.fullmatch(region)
    return region if release.startswith(prefix) and known else None


def release_of(node: str) -> str:
    """The release of which a node of this name is one, or "" where the name is of another kind."""
    if not node.startswith(NODE_PREFIX):
        return ""
    return _FURTHER_NODE.sub("", node.removeprefix(NODE_PREFIX))


def node_order(node: str) -> tuple[str, int]:
    """A sort key: the nodes of a release together, by their numbers."""
    further = _FURTHER_NODE.search(node)
    return (node[: further.start()], int(further[1])) if further else (node, 1)
