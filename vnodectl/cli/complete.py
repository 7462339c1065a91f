"""What a shell offers as the values of options. Nothing here raises, prints or takes long: somebody types.

Values that a shell would have to quote are left out: scripts of shells insert what they get as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

import typer

from vnodectl.settings import expanded

Offers = list[tuple[str, str]]
"""Values, and what they are."""

PATIENCE = 3.0
"""Seconds that a cluster gets to answer."""

_PLAIN = re.compile(r"[\w.@:/+-]+")


def clouds(incomplete: str) -> Offers:
    return _starting(
        incomplete, (("azure", "Container Instances"), ("alibaba", "Elastic Container Instance"))
    )


def os_types(incomplete: str) -> Offers:
    known = (("Linux", ""), ("Windows", ""), ("Both", "two connectors"))
    return _starting(incomplete, known, any_case=True)


def contexts(ctx: typer.Context, incomplete: str) -> Offers:
    """Those of the kubeconfig(s) at hand, read without a Kubernetes client."""
    import yaml

    said = ctx.params.get("kubeconfig") or os.environ.get("KUBECONFIG") or "~/.kube/config"
    found: dict[str, str] = {}
    for path in str(said).split(os.pathsep):
        try:
            content = yaml.safe_load(expanded(path).read_text(encoding="utf-8"))
            for entry in content["contexts"]:
                found.setdefault(str(entry["name"]), f"cluster {entry['context']['cluster']}")
        except (OSError, ValueError, TypeError, LookupError, yaml.YAMLError):
            continue
    return _starting(incomplete, found.items())


def connector_names(ctx: typer.Context, incomplete: str) -> Offers:
    """Those of the connectors in the cluster."""
    from vnodectl.connector.discovery import CONNECTOR_LABEL

    found = {labels.get(CONNECTOR_LABEL, ""): "a connector here" for _, labels in _installed(ctx)}
    return _starting(incomplete, found.items())


def release_names(ctx: typer.Context, incomplete: str) -> Offers:
    from vnodectl.connector.discovery import CONNECTOR_LABEL

    found = {name: f"of connector {labels.get(CONNECTOR_LABEL, '?')}" for name, labels in _installed(ctx)}
    return _starting(incomplete, found.items())


def checks(incomplete: str) -> Offers:
    """Ids and categories; of a list with commas, the part after the last one."""
    from vnodectl.checks.catalog import all_checks

    every = all_checks()
    before, comma, last = incomplete.rpartition(",")
    offers = [(one.id, one.title) for one in every]
    offers += [(category, "a category") for category in dict.fromkeys(one.category for one in every)]
    return [(before + comma + value, told) for value, told in _starting(last, offers)]


def _installed(ctx: typer.Context) -> list[tuple[str, dict[str, str]]]:
    """(name, labels) of the connectors' Deployments. Nothing where another cluster than the kubeconfig's is
    named: that would have to be looked up in a cloud first."""
    import asyncio

    from vnodectl.connector import discovery
    from vnodectl.kube.config import connect

    said = ctx.params

    async def ask() -> list[Any]:
        async with (
            asyncio.timeout(PATIENCE),
            await connect(said.get("kubeconfig"), said.get("context")) as kube,
        ):
            return await discovery.deployments(kube)

    if said.get("resource_group") or said.get("cluster_name") or said.get("cluster_id"):
        return []
    import kubernetes.aio.config  # noqa: F401 - to load it is not the cluster's time

    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # credential plug-ins write into the line that is edited
        found = asyncio.run(ask())
    except Exception:  # a cluster that cannot be asked offers nothing
        return []
    return [(one["metadata"]["name"], one["metadata"].get("labels") or {}) for one in found]


def _starting(incomplete: str, offers: Iterable[tuple[str, str]], *, any_case: bool = False) -> Offers:
    """Those that begin as what is typed. In `any_case` what is typed stays as it is: shells insist on it."""
    if any_case:
        offers = [
            (incomplete + value[len(incomplete) :], told)
            for value, told in offers
            if value.lower().startswith(incomplete.lower())
        ]
    return [
        (value, told) for value, told in offers if value.startswith(incomplete) and _PLAIN.fullmatch(value)
    ]
