"""`vnodectl agent`: the process that the chart deploys."""

from __future__ import annotations

from typing import Annotated

import typer

from vnodectl.logs import LogFormat


def agent(
    node_name: Annotated[
        str, typer.Option(envvar="VNODECTL_NODE_NAME", help="The node to be.", show_default=False)
    ],
    provider: Annotated[
        str, typer.Option(envvar="VNODECTL_PROVIDER", help="aci, eci or local.", metavar="NAME")
    ] = "aci",
    nodes: Annotated[
        int,
        typer.Option(envvar="VNODECTL_NODES", min=1, max=50, help="How many nodes: NAME, NAME-2, NAME-3 …"),
    ] = 1,
    lease_namespace: Annotated[
        str,
        typer.Option(
            envvar="VNODECTL_LEASE_NAMESPACE",
            help="Share the nodes out over replicas by Leases in this namespace.",
        ),
    ] = "",
    replica: Annotated[
        str, typer.Option(envvar="VNODECTL_REPLICA", help="This replica's name: that of its pod.")
    ] = "",
    connector: Annotated[
        str, typer.Option(envvar="VNODECTL_CONNECTOR", help="The connector's release; marks what it makes.")
    ] = "",
    os_type: Annotated[
        str, typer.Option(envvar="VNODECTL_OS_TYPE", help="Linux or Windows.", metavar="OS")
    ] = "Linux",
    node_ip: Annotated[
        str,
        typer.Option(
            envvar="VNODECTL_NODE_IP", help="Where the API server reaches this node. Default: found out."
        ),
    ] = "",
    kubelet_port: Annotated[
        int, typer.Option(envvar="VNODECTL_KUBELET_PORT", help="Port of the kubelet API; 0 takes a free one.")
    ] = 10250,
    health_port: Annotated[
        int | None,
        typer.Option(envvar="VNODECTL_HEALTH_PORT", help="Plain HTTP port of /livez and /readyz."),
    ] = None,
    node_cpu: Annotated[str, typer.Option(envvar="VNODECTL_NODE_CPU", help="Capacity: cores.")] = "800",
    node_memory: Annotated[
        str, typer.Option(envvar="VNODECTL_NODE_MEMORY", help="Capacity: memory.")
    ] = "4Ti",
    node_pods: Annotated[str, typer.Option(envvar="VNODECTL_NODE_PODS", help="Capacity: pods.")] = "800",
    api_server: Annotated[
        str,
        typer.Option(
            envvar="VNODECTL_API_SERVER",
            help="URL at which this node's pods reach the API server. Default: the one used here.",
        ),
    ] = "",
    taint: Annotated[
        bool, typer.Option(envvar="VNODECTL_TAINT", help="Keep pods away that do not tolerate the provider.")
    ] = True,
    kubeconfig: Annotated[
        str | None, typer.Option(envvar="KUBECONFIG", help="Default: the pod's service account.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    log_format: Annotated[
        LogFormat, typer.Option(envvar="VNODECTL_LOG_FORMAT", help="Lines for people or for collectors.")
    ] = LogFormat.TEXT,
    log_level: Annotated[
        str,
        typer.Option(envvar="VNODECTL_LOG_LEVEL", help="debug, info, warning or error.", metavar="LEVEL"),
    ] = "info",
) -> None:
    """Be one virtual node, until SIGTERM. This is what the chart runs.

    The provider reads its own settings from the environment: AZURE_* and VNODECTL_ACI_* for aci,
    ALIBABA_CLOUD_* and ECI_* for eci, VNODECTL_LOCAL_* for local.
    """
    import asyncio
    import socket

    from vnodectl import logs
    from vnodectl.agent import AgentSettings, ProviderName, run
    from vnodectl.runtime.quantity import parse

    capacity = {"cpu": node_cpu, "memory": node_memory, "pods": node_pods}
    for name, value in capacity.items():
        try:
            parse(value)
        except ValueError as error:
            raise typer.BadParameter(f"{error}", param_hint=f"--node-{name}") from None
    if provider not in list(ProviderName):
        known = ", ".join(ProviderName)
        raise typer.BadParameter(f"{provider!r} is not one of {known}", param_hint="--provider")
    if os_type not in ("Linux", "Windows"):
        raise typer.BadParameter(f"{os_type!r} is not Linux or Windows", param_hint="--os-type")
    if log_level not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter(f"{log_level!r} is not a level", param_hint="--log-level")
    logs.set_up(log_format, log_level)
    settings = AgentSettings(
        provider=ProviderName(provider),
        node_name=node_name,
        nodes=nodes,
        lease_namespace=lease_namespace,
        replica=replica or socket.gethostname(),
        connector=connector,
        os_type=os_type,
        node_ip=node_ip,
        kubelet_port=kubelet_port,
        health_port=health_port,
        capacity=capacity,
        api_server=api_server,
        taint=taint,
        kubeconfig=kubeconfig,
        context=context,
    )
    asyncio.run(run(settings))
