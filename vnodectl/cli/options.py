"""Options that several commands share, by the names that users of `az aks install-connector` know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from vnodectl.cli import complete
from vnodectl.cli.output import Format

CLUSTER = "Which cluster"
CONNECTOR = "Which connector"
AZURE = "Azure"
IDENTITY = "The connector's identity in Azure"
ALIBABA = "Alibaba Cloud"
ALIBABA_IDENTITY = "The connector's identity in Alibaba Cloud"
PACKAGE = "Chart and image"
RUN = "This run"


def option(
    panel: str,
    *names: str,
    help: str,  # noqa: A002 - typer's own word
    metavar: str = "",
    count: bool = False,
    offers: Callable[..., complete.Offers] | None = None,
) -> Any:
    """A typer option in a panel of the help text. `offers` is what shells complete its values with.

    A flag has no `metavar`: typer would call it `<bool>`, as if a value belonged there.
    """
    return typer.Option(
        *names,
        help=help,
        metavar=metavar,
        count=count,
        rich_help_panel=panel,
        show_default=False,
        autocompletion=offers,
    )


ResourceGroup = Annotated[
    str | None,
    option(
        CLUSTER,
        "-g",
        "--resource-group",
        metavar="GROUP",
        help="Resource group of the AKS cluster. (env: VNODECTL_RESOURCE_GROUP)",
    ),
]
ClusterName = Annotated[
    str | None,
    option(
        CLUSTER,
        "-n",
        "--name",
        metavar="CLUSTER",
        help="The AKS cluster. (default: the current context; env: VNODECTL_CLUSTER_NAME)",
    ),
]
Kubeconfig = Annotated[
    str | None,
    option(
        CLUSTER,
        "--kubeconfig",
        metavar="FILE",
        help="A kubeconfig instead of KUBECONFIG, ~/.kube/config or AKS.",
    ),
]
Context = Annotated[
    str | None,
    option(
        CLUSTER,
        "--context",
        metavar="NAME",
        help="A context of the kubeconfig instead of its current one.",
        offers=complete.contexts,
    ),
]
Namespace = Annotated[
    str | None,
    option(
        CLUSTER,
        "--namespace",
        metavar="NAME",
        help=(
            "Where the connector lives. "
            "(default: vnode-system; Alibaba Cloud: kube-system; env: VNODECTL_NAMESPACE)"
        ),
    ),
]
ConnectorName = Annotated[
    str | None,
    option(
        CONNECTOR,
        "--connector-name",
        metavar="NAME",
        help="Its name. (default: aci-connector; Alibaba Cloud: eci-connector; env: VNODECTL_CONNECTOR_NAME)",
        offers=complete.connector_names,
    ),
]
Cloud = Annotated[
    str | None,
    option(
        CONNECTOR,
        "--cloud",
        metavar="CLOUD",
        help="What runs the pods: azure or alibaba. (default: azure; env: VNODECTL_CLOUD)",
        offers=complete.clouds,
    ),
]
ReleaseName = Annotated[
    str | None,
    option(
        CONNECTOR,
        "--release-name",
        metavar="NAME",
        help="Its Helm release, e.g. ack-virtual-node. (default: NAME-OS-REGION; env: VNODECTL_RELEASE_NAME)",
        offers=complete.release_names,
    ),
]
ClusterId = Annotated[
    str | None,
    option(
        CLUSTER,
        "--cluster-id",
        metavar="ID",
        help="The ACK cluster. (default: the current context; env: VNODECTL_CLUSTER_ID)",
    ),
]
AnyReleaseName = Annotated[
    str | None,
    option(
        CONNECTOR,
        "--release-name",
        metavar="NAME",
        help="Only that of this Helm release. (default: all; env: VNODECTL_RELEASE_NAME)",
        offers=complete.release_names,
    ),
]
OsType = Annotated[
    str | None,
    option(
        CONNECTOR,
        "--os-type",
        metavar="OS",
        help="Linux, Windows or Both. (default: Linux)",
        offers=complete.os_types,
    ),
]
Subscription = Annotated[
    str | None,
    option(
        AZURE,
        "--subscription",
        metavar="ID",
        help="Subscription ID. (env: AZURE_SUBSCRIPTION_ID, else az's default)",
    ),
]
Tenant = Annotated[
    str | None,
    option(
        AZURE, "--tenant", metavar="ID", help="Tenant ID. (env: AZURE_TENANT_ID, else the subscription's)"
    ),
]
AciResourceGroup = Annotated[
    str | None,
    option(
        AZURE,
        "--aci-resource-group",
        metavar="GROUP",
        help=(
            "Where container groups are made. "
            "(default: the AKS cluster's node resource group; env: VNODECTL_ACI_RESOURCE_GROUP)"
        ),
    ),
]
Location = Annotated[
    str | None,
    option(
        CONNECTOR,
        "-l",
        "--location",
        "--region",
        metavar="REGION",
        help=(
            "Region of the container groups. "
            "(default: that of their resource group or cluster; env: VNODECTL_ACI_REGION; "
            "Alibaba Cloud: ALIBABA_CLOUD_REGION_ID)"
        ),
    ),
]
AnyNamespace = Annotated[
    str | None,
    option(
        CLUSTER,
        "--namespace",
        metavar="NAME",
        help="Only those in this namespace. (default: all; env: VNODECTL_NAMESPACE)",
    ),
]
AnyConnectorName = Annotated[
    str | None,
    option(
        CONNECTOR,
        "--connector-name",
        metavar="NAME",
        help="Only those of this name. (default: all; env: VNODECTL_CONNECTOR_NAME)",
        offers=complete.connector_names,
    ),
]
AnyOsType = Annotated[
    str | None,
    option(
        CONNECTOR,
        "--os-type",
        metavar="OS",
        help="Only Linux or only Windows. (default: both)",
        offers=complete.os_types,
    ),
]
AnyCloud = Annotated[
    str | None,
    option(
        CONNECTOR,
        "--cloud",
        metavar="CLOUD",
        help="Only those of azure or alibaba. (default: both; env: VNODECTL_CLOUD)",
        offers=complete.clouds,
    ),
]
FoundLocation = Annotated[
    str | None,
    option(
        CONNECTOR,
        "-l",
        "--location",
        "--region",
        metavar="REGION",
        help="Its region. (default: wherever it is found; env: VNODECTL_ACI_REGION)",
    ),
]
ChartUrl = Annotated[
    str | None,
    option(
        PACKAGE,
        "--chart-url",
        metavar="URL",
        help="https or oci URL, directory or .tgz. (default: the built-in chart; env: VNODECTL_CHART_URL)",
    ),
]
Skip = Annotated[
    list[str] | None,
    option(
        RUN,
        "--skip",
        metavar="CHECK",
        help="Leave out this check, glob or category; may be repeated.",
        offers=complete.checks,
    ),
]
SubnetId = Annotated[
    str | None,
    option(
        AZURE,
        "--subnet-id",
        metavar="ID",
        help="Resource ID of a subnet delegated to container groups. (env: VNODECTL_ACI_SUBNET_ID)",
    ),
]
ServicePrincipal = Annotated[
    str | None,
    option(
        IDENTITY,
        "--service-principal",
        metavar="ID",
        help="Its application (client) ID; wants a secret. (env: AZURE_CLIENT_ID)",
    ),
]
WorkloadIdentity = Annotated[
    str | None,
    option(
        IDENTITY,
        "--workload-identity",
        metavar="ID",
        help="Client ID of a federated identity: no secret at all.",
    ),
]
ManagedIdentity = Annotated[
    str | None,
    option(
        IDENTITY,
        "--managed-identity",
        metavar="ID",
        help="Client ID of the nodes' identity, or `system`.",
    ),
]
VSwitch = Annotated[
    list[str] | None,
    option(
        ALIBABA,
        "--vswitch",
        metavar="ID",
        help="Where pods get their addresses; once for each zone. (env: ECI_VSWITCH, with commas)",
    ),
]
SecurityGroup = Annotated[
    str | None,
    option(
        ALIBABA,
        "--security-group",
        metavar="ID",
        help="The pods' security group. (default: the cluster's; env: ECI_SECURITY_GROUP)",
    ),
]
RamRole = Annotated[
    str | None,
    option(
        ALIBABA_IDENTITY,
        "--ram-role",
        metavar="ARN",
        help="A role its service account may assume: no key at all. (env: ALIBABA_CLOUD_ROLE_ARN)",
    ),
]
ImageRepository = Annotated[
    str | None,
    option(
        PACKAGE,
        "--image-repository",
        metavar="REPOSITORY",
        help="Where the connector's image is. (env: VNODECTL_IMAGE_REPOSITORY)",
    ),
]
ImageTag = Annotated[
    str | None,
    option(
        PACKAGE,
        "--image-tag",
        metavar="TAG",
        help=(
            "Its tag. "
            "(default: the chart's version; env: VNODECTL_IMAGE_TAG, or VNODECTL_IMAGE, a full reference)"
        ),
    ),
]
Config = Annotated[
    str | None,
    option(
        RUN,
        "--config",
        metavar="FILE",
        help="A YAML file of options (connector-name: …); flags and environment win. (env: VNODECTL_CONFIG)",
    ),
]
Timeout = Annotated[
    str | None,
    option(RUN, "--timeout", metavar="TIME", help="How long to wait: 300, 300s or 5m. (default: 5m)"),
]
Output = Annotated[
    Format,
    option(
        RUN,
        "-o",
        "--output",
        metavar="FORMAT",
        help="How to print the result: table or json. (default: table)",
    ),
]
Verbose = Annotated[
    int,
    option(RUN, "-v", "--verbose", count=True, help="Say what is done; twice for details."),
]
