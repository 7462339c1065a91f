"""Programs that an installation runs."""

from __future__ import annotations

import re

from vnodectl.checks.context import Context
from vnodectl.checks.helm import INSTALL_HELM
from vnodectl.checks.model import Answer, Check, Resource, failed, passed

HELM_OLDEST = (3, 16, 0)
"""The first Helm built against Kubernetes 1.31 (Helm's version support policy). An older one, asked to render
without a cluster, takes itself for one of an older Kubernetes, which the chart refuses."""

# https://semver.org: what Helm's own clients, and the library that drives it here, can parse.
_SEMVER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")


async def helm_found(context: Context) -> Answer:
    path = await context.helm.found()
    if not path:
        return failed("helm is not on PATH", fix=INSTALL_HELM)
    return passed(path)


async def helm_version(context: Context) -> Answer:
    text = await context.helm.version()
    match = _SEMVER.fullmatch(text)
    if match is None:
        return failed(
            "its version is not a semantic version: a build without version information",
            evidence=text[:80] or "(no output)",
            fix=INSTALL_HELM,
        )
    version = tuple(map(int, match.groups()))
    if version < HELM_OLDEST:
        return failed(f"Helm is older than {_text(HELM_OLDEST)}", evidence=text, fix=INSTALL_HELM)
    return passed(text)


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


CHECKS = (
    Check(
        "VN-TOOL-001",
        "tools",
        "Is helm installed?",
        helm_found,
        resources=frozenset({Resource.HELM}),
        why="Connectors are installed, upgraded and removed by Helm.",
    ),
    Check(
        "VN-TOOL-002",
        "tools",
        "Is helm new enough?",
        helm_version,
        needs=("VN-TOOL-001",),
        resources=frozenset({Resource.HELM}),
        why="Helm before 3.16 does not know Kubernetes 1.31, which the chart asks for; a build without a"
        " version cannot be driven at all.",
    ),
)
