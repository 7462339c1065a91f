"""`vnodectl show-connector`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import typer

from vnodectl.cli import options
from vnodectl.cli.inputs import gather, open_account
from vnodectl.cli.output import Format, note, progress, warn, write_json, write_table
from vnodectl.cli.run import log_to_stderr, run
from vnodectl.errors import EXIT_FAILED

if TYPE_CHECKING:
    from vnodectl.connector.inventory import Choice, Installation, NodeView
    from vnodectl.connector.settings import Settings

JSON = dict[str, Any]


def show_connector(
    resource_group: options.ResourceGroup = None,
    cluster_name: options.ClusterName = None,
    cluster_id: options.ClusterId = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    namespace: options.AnyNamespace = None,
    connector_name: options.AnyConnectorName = None,
    os_type: options.AnyOsType = None,
    cloud: options.AnyCloud = None,
    release_name: options.AnyReleaseName = None,
    location: options.FoundLocation = None,
    subscription: options.Subscription = None,
    tenant: options.Tenant = None,
    config: options.Config = None,
    output: options.Output = Format.TABLE,
    verbose: options.Verbose = 0,
) -> None:
    """Show the connectors of a cluster as they really are: releases, pods, nodes.

    A node counts as ready only while its Lease is fresh: what the API server last
    heard may be old. The exit code is 0 whatever their state is, and 1 where one
    that is named does not exist.

    \b
    Examples:
      vnodectl show-connector
      vnodectl show-connector -g my-group -n my-aks --os-type Linux -o json
    """
    log_to_stderr(verbose)
    settings = gather(
        {
            "cloud": cloud,
            "cluster_id": cluster_id,
            "subscription": subscription,
            "tenant": tenant,
            "resource_group": resource_group,
            "cluster_name": cluster_name,
            "kubeconfig": kubeconfig,
            "context": context,
            "namespace": namespace,
            "connector_name": connector_name,
            "release_name": release_name,
            "os_type": os_type,
            "location": location,
        },
        config,
    )
    choice = choose(settings)
    found = run(_look(settings, choice))
    _print(found, output)
    if (choice.name or choice.release) and not found:
        raise typer.Exit(EXIT_FAILED)


def choose(settings: Settings) -> Choice:
    """Which connectors are meant; UsageError for names that can be nobody's."""
    from vnodectl.connector import names
    from vnodectl.connector.inventory import Choice

    location = settings.location or settings.region
    return Choice(
        name=names.connector_name(settings.connector_name) if settings.connector_name else "",
        release=names.label(settings.release_name, "--release-name") if settings.release_name else "",
        cloud=(settings.cloud or "").lower(),
        os_types=names.os_types(settings.os_type) if settings.os_type else (),
        region=location.replace(" ", "").lower() if location else "",
        namespace=names.namespace_name(settings.namespace) if settings.namespace else "",
    )


async def _look(settings: Settings, choice: Choice) -> list[Installation]:
    from vnodectl.connector.cluster import open_cluster
    from vnodectl.connector.helm import Helm
    from vnodectl.connector.inventory import installations
    from vnodectl.connector.redact import redactor

    with progress() as shown:
        async with AsyncExitStack() as stack:
            shown.say("", "looking at the connectors")
            named = settings.cluster_name or settings.cluster_id
            account = await stack.enter_async_context(open_account(settings)) if named else None
            cluster = await stack.enter_async_context(open_cluster(settings, account))
            helm = await Helm.open(
                kubeconfig=cluster.kubeconfig, context=cluster.context, redact=redactor(settings.secrets)
            )
            return await installations(cluster.kube, helm, choice)


def _print(found: list[Installation], output: Format) -> None:
    for one in found:
        for line in one.problems:
            if line.startswith(" "):
                note(f"  {line}")
            else:
                warn(f"{one.release}: {line}")
    if output is Format.JSON:
        write_json("ConnectorList", {"connectors": [_document(one) for one in found]})
    elif found:
        write_table(
            ("OS", "NODE", "RELEASE", "NAMESPACE", "VERSION", "STATUS", "LEASE", "PODS"),
            [row for one in found for row in _rows(one)],
        )
    else:
        note("no such connector is installed here")


def _rows(one: Installation) -> list[tuple[str, ...]]:
    """A row per node; one without nodes where there are none."""
    os_type = one.connector.os_type if one.connector else "-"
    what = (one.release, one.namespace or "-", one.version or "-")
    if not one.nodes:
        return [(os_type, "-", *what, one.release_status or "lost", "-", "-")]
    return [
        (os_type, view.state.name, *what, _status(one, view), _age(view), str(view.pods))
        for view in one.nodes
    ]


def _age(view: NodeView) -> str:
    return "-" if view.state.lease_age is None else f"{view.state.lease_age:.0f}s"


def _status(one: Installation, view: NodeView) -> str:
    """The node's own, unless its release has something worse to say."""
    if one.release_status != "deployed":
        return one.release_status or "lost"
    if not view.state.exists:
        return "missing"
    if not view.state.ready:
        return "not-ready"
    if not view.state.fresh:
        return "stale"
    return "cordoned" if view.state.cordoned else "ready"


def _document(one: Installation) -> JSON:
    made = one.connector
    return {
        "release": one.release,
        "namespace": one.namespace,
        "name": made.name if made else "",
        "cloud": made.cloud if made else "",
        "os": made.os_type if made else "",
        "region": made.region if made else "",
        "releaseStatus": one.release_status,
        "version": one.version,
        "image": one.image,
        "replicas": one.replicas,
        "availableReplicas": one.available,
        "ready": one.well,
        "nodes": [
            {
                "name": view.state.name,
                "status": _status(one, view),
                "reason": view.state.reason,
                "message": view.state.message,
                "leaseAgeSeconds": None if view.state.lease_age is None else round(view.state.lease_age, 1),
                "pods": view.pods,
                "holder": view.holder,
            }
            for view in one.nodes
        ],
        "problems": list(one.problems),
    }
