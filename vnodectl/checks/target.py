"""What is to be installed, as far as checks care. Plain data, so that a recording can hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from vnodectl.connector.identity import (
    InstanceRole,
    ManagedIdentity,
    RamRole,
    ServicePrincipal,
    WorkloadIdentity,
)
from vnodectl.connector.names import Connector

if TYPE_CHECKING:
    from vnodectl.connector.identity import Identity
    from vnodectl.connector.plan import Plan

SERVICE_PRINCIPAL = "servicePrincipal"
WORKLOAD_IDENTITY = "workloadIdentity"
MANAGED_IDENTITY = "managedIdentity"


@dataclass(frozen=True, slots=True)
class IdentityRef:
    """Who the connector is in Azure, without its secret. An empty `kind` means that nobody said.

    `certificate` says that a service principal has one instead of a secret.
    """

    kind: str = ""
    client_id: str = ""
    certificate: bool = False

    @classmethod
    def of(cls, identity: Identity | None) -> IdentityRef:
        if identity is None:
            return cls()
        if isinstance(identity, ServicePrincipal):
            return cls(SERVICE_PRINCIPAL, identity.client_id, bool(identity.certificate))
        if isinstance(identity, ManagedIdentity):
            return cls(MANAGED_IDENTITY, identity.client_id)
        if isinstance(identity, WorkloadIdentity):
            return cls(WORKLOAD_IDENTITY, identity.client_id)
        return cls()  # of another cloud


@dataclass(frozen=True, slots=True)
class AlibabaTarget:
    """Where container groups go in Alibaba Cloud. `cluster` is the id of an ACK cluster."""

    region: str = ""
    vswitches: tuple[str, ...] = ()
    security_group: str = ""
    cluster: str = ""
    role: str = ""
    """Name of the RAM role that the connector assumes; "" where it has the caller's own keys."""

    @classmethod
    def of(cls, plan: Plan) -> AlibabaTarget:
        place = plan.alibaba
        if place is None:
            return cls()
        return cls(
            place.region,
            place.vswitches,
            place.security_group,
            place.cluster_id,
            role=cls.role_of(plan.identity),
        )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> AlibabaTarget:
        """Of the chart's values of this cloud."""
        identity: Mapping[str, Any] = values.get("identity") or {}
        role = identity.get("roleArn") or identity.get("roleName") or ""
        return cls(
            str(values.get("region") or ""),
            tuple(values.get("vswitches") or ()),
            str(values.get("securityGroup") or ""),
            str(values.get("clusterId") or ""),
            role=str(role).rpartition("/")[2],
        )

    @staticmethod
    def role_of(identity: Identity) -> str:
        """The name of the role, "" for a key."""
        if isinstance(identity, RamRole):
            return identity.role_arn.rpartition("/")[2]
        return identity.name if isinstance(identity, InstanceRole) else ""


@dataclass(frozen=True, slots=True)
class Target:
    """Empty strings mean "not given".

    `cluster_resource_group` and `cluster` name an AKS cluster; `resource_group`, `region` and `subnet_id`
    say where container groups go; `tenant` is the connector's. `caller` is the client id that the session
    itself signs in with, where it is known; `chart` is a reference as the user gave it, "" for the chart that
    is built in; `webhook` whether labels send pods to the nodes. `gpu` (e.g. V100), `zone`, `cpu` (cores) and
    `memory` (GB) are of the largest pod that is to run.
    """

    connectors: tuple[Connector, ...] = ()
    namespace: str = ""
    cluster_resource_group: str = ""
    cluster: str = ""
    resource_group: str = ""
    region: str = ""
    cloud: str = "azure"
    subnet_id: str = ""
    tenant: str = ""
    identity: IdentityRef = field(default_factory=IdentityRef)
    caller: str = ""
    chart: str = ""
    webhook: bool = False
    gpu: str = ""
    zone: str = ""
    cpu: float = 0.0
    memory: float = 0.0
    alibaba: AlibabaTarget = field(default_factory=AlibabaTarget)

    @classmethod
    def from_plan(cls, plan: Plan, *, caller: str = "") -> Target:
        return cls(
            connectors=plan.connectors,
            namespace=plan.namespace,
            cluster_resource_group=plan.cluster.resource_group if plan.cluster else "",
            cluster=plan.cluster.name if plan.cluster else "",
            resource_group=plan.azure.resource_group if plan.azure else "",
            region=plan.target.region,
            cloud=plan.cloud,
            subnet_id=plan.azure.subnet_id if plan.azure else "",
            tenant=plan.azure.tenant_id if plan.azure else "",
            identity=IdentityRef.of(plan.identity),
            caller=caller,
            chart=plan.chart,
            webhook=plan.webhook,
            alibaba=AlibabaTarget.of(plan),
        )

    @classmethod
    def from_values(
        cls, connectors: Sequence[Connector], namespace: str, values: Mapping[str, Any], *, chart: str = ""
    ) -> Target:
        """Of releases that exist, by the chart's values that one has; `chart` is what they will get."""
        azure: Mapping[str, Any] = values.get("azure") or {}
        identity: Mapping[str, Any] = azure.get("identity") or {}
        return cls(
            connectors=tuple(connectors),
            namespace=namespace,
            resource_group=str(azure.get("resourceGroup") or ""),
            region=connectors[0].region if connectors else "",
            cloud=str(values.get("cloud") or "azure"),
            subnet_id=str(azure.get("subnetId") or ""),
            tenant=str(azure.get("tenantId") or ""),
            chart=chart,
            webhook=bool((values.get("webhook") or {}).get("enabled")),
            identity=IdentityRef(
                str(identity.get("type") or ""),
                str(identity.get("clientId") or ""),
                identity.get("credential") == "certificate",
            ),
            alibaba=AlibabaTarget.from_values(values.get("alibaba") or {}),
        )

    @property
    def os_types(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(connector.os_type for connector in self.connectors))

    def document(self) -> dict[str, Any]:
        """As JSON, for `from_document`."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Target:
        """Raises TypeError or KeyError for what `document` did not make."""
        plain = dict(document)
        alibaba = dict(plain.pop("alibaba"))
        alibaba["vswitches"] = tuple(alibaba["vswitches"])
        return cls(
            connectors=tuple(Connector(**one) for one in plain.pop("connectors")),
            identity=IdentityRef(**plain.pop("identity")),
            alibaba=AlibabaTarget(**alibaba),
            **plain,
        )
