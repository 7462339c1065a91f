"""Alibaba Cloud's part of a plan: where container groups are made, and what the chart is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vnodectl.connector import names
from vnodectl.connector.clouds.azure import filled, known_region
from vnodectl.connector.clouds.facts import Facts, owner
from vnodectl.connector.identity import AccessKey, Identity, RamRole, alibaba_identity
from vnodectl.connector.names import Connector
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError

JSON = dict[str, Any]

VSWITCHES_MAX = 10
"""vSwitches of one CreateContainerGroup (ECI's API reference)."""

NODE = "virtual-kubelet"
"""What users of the add-on ack-virtual-node call the node by."""


@dataclass(frozen=True, slots=True)
class AlibabaTarget:
    """Where container groups are made. All `vswitches` are of one VPC, in one zone or in several.

    `resource_group` is an id, "" the account's default; `owner` tells this cluster's groups from those of
    other clusters in the region. `ca_bundle` is PEM text trusted besides the system's roots.
    """

    region: str
    vswitches: tuple[str, ...]
    security_group: str
    resource_group: str = ""
    cluster_id: str = ""
    owner: str = ""
    endpoint: str = ""
    vpc_endpoints: bool = False
    ca_bundle: str = ""

    def values(self, who: Identity, connector: Connector, secret_revision: str) -> JSON:
        """The cloud's own values of the chart."""
        return {
            "alibaba": filled(
                region=self.region,
                vswitches=list(self.vswitches),
                securityGroup=self.security_group,
                resourceGroupId=self.resource_group,
                clusterId=self.cluster_id,
                owner=self.owner,
                endpoint=self.endpoint,
                vpcEndpoints=self.vpc_endpoints,
                identity=_identity(who, connector, secret_revision),
            )
        }

    def document(self) -> JSON:
        """What a report of an installation says of it."""
        return {"vSwitches": list(self.vswitches), "securityGroup": self.security_group}


def _identity(who: Identity, connector: Connector, secret_revision: str) -> JSON:
    if isinstance(who, AccessKey):
        return filled(
            type="accessKey",
            accessKeyId=who.access_key_id,
            existingSecret=connector.secret,
            temporary=bool(who.security_token),
            secretRevision=secret_revision,
        )
    if isinstance(who, RamRole):
        return {"type": "ramRole", "roleArn": who.role_arn, "oidcProviderArn": who.oidc_provider_arn}
    return {"type": "ecsRole", "roleName": getattr(who, "name", "")}


@dataclass(frozen=True, slots=True)
class _Alibaba:
    name: str = "alibaba"
    title: str = "Alibaba Cloud"
    connector_name: str = "eci-connector"
    namespace: str = "kube-system"
    """Where users of the add-on look for it."""
    webhook: bool = True
    """The add-on has one."""

    def os_types(self, text: str) -> tuple[str, ...]:
        wanted = names.os_types(text)
        if wanted != ("Linux",):
            raise UsageError(
                f"--os-type {text}: Elastic Container Instance runs no Windows containers for Kubernetes",
                hint="use --os-type Linux here, and --cloud azure for Windows pods",
            )
        return wanted

    def region(self, settings: Settings) -> str | None:
        found = settings.region or settings.environment_region
        return names.alibaba_region(found) if found else None

    def named_region(self, settings: Settings) -> str | None:
        return names.alibaba_region(settings.region) if settings.region else None

    def names_cluster(self, settings: Settings) -> bool:
        return bool(settings.cluster_id)

    def connector(self, settings: Settings, os_type: str, region: str, nodes: int) -> Connector:
        made = Connector(
            names.connector_name(settings.connector_name or self.connector_name),
            os_type,
            region,
            nodes,
            cloud=self.name,
            release_name=(
                names.label(settings.release_name, "--release-name") if settings.release_name else ""
            ),
            node_name=names.label(settings.node_name, "--node-name") if settings.node_name else NODE,
        )
        return names.fitting(made)

    def identity(self, settings: Settings, facts: Facts) -> Identity:
        who = alibaba_identity(settings, oidc_provider=facts.oidc_provider)
        if isinstance(who, RamRole) and not who.oidc_provider_arn:
            raise UsageError(
                "--ram-role without the cluster's OIDC provider",
                hint="enable RRSA in the cluster and name it with --cluster-id, or give --oidc-provider ARN",
            )
        return who

    def precheck(self, settings: Settings) -> None:
        alibaba_identity(settings)
        vswitches(settings.vswitch)
        if settings.resource_group or settings.cluster_name:
            raise UsageError(
                "-g and -n name an AKS cluster", hint="name an ACK cluster by its id with --cluster-id"
            )

    def target(self, settings: Settings, facts: Facts, who: Identity) -> AlibabaTarget:
        region = self.region(settings) or facts.cluster_region
        if not region:
            raise UsageError(
                "no region is given", hint="give --region, or ALIBABA_CLOUD_REGION_ID, as in cn-hangzhou"
            )
        known_region(region, region, facts.regions, "list them: aliyun eci DescribeRegions")
        switches = vswitches(settings.vswitch) or facts.vswitches[:VSWITCHES_MAX]
        if not switches:
            raise UsageError(
                "no vSwitch for the container groups",
                hint="give --vswitch (once for each zone), ECI_VSWITCH, or the ACK cluster by --cluster-id",
            )
        security_group = settings.security_group or facts.security_group
        if not security_group:
            raise UsageError(
                "no security group for the container groups",
                hint="give --security-group, ECI_SECURITY_GROUP, or the ACK cluster by --cluster-id",
            )
        return AlibabaTarget(
            region=region,
            vswitches=switches,
            security_group=security_group,
            resource_group=settings.resource_group_id or "",
            cluster_id=settings.cluster_id or "",
            owner=owner(facts.cluster_uid),
            endpoint=settings.alibaba_endpoint or "",
            vpc_endpoints=(settings.vpc_endpoints or "").lower() == "true",
            ca_bundle=facts.ca_bundle or "",
        )


def vswitches(text: str | None) -> tuple[str, ...]:
    """`vsw-1,vsw-2`, as the add-on writes it. UsageError for more than ECI takes, or one twice."""
    found = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    if len(found) > VSWITCHES_MAX:
        raise UsageError(f"{len(found)} vSwitches; ECI takes {VSWITCHES_MAX}", hint="leave some out")
    twice = sorted({one for one in found if found.count(one) > 1})
    if twice:
        raise UsageError(f"vSwitch {twice[0]} is named twice", hint="name each once")
    return found


ALIBABA = _Alibaba()
