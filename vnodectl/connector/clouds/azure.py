"""Azure's part of a plan: where container groups are made, and what the chart is told of it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from vnodectl.connector import names
from vnodectl.connector.clouds.facts import Facts, owner
from vnodectl.connector.identity import Identity, ManagedIdentity, ServicePrincipal, identity
from vnodectl.connector.names import Connector
from vnodectl.connector.settings import Settings
from vnodectl.errors import UsageError
from vnodectl.settings import DEFAULT_CONNECTOR_NAME

JSON = dict[str, Any]

_SUBNET_ID = re.compile(
    r"/subscriptions/([^/\s]+)/resourceGroups/([^/\s]+)"
    r"/providers/Microsoft\.Network/virtualNetworks/([^/\s]+)/subnets/([^/\s]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class AzureTarget:
    """Where container groups are made. `owner` tells this cluster's groups from those of other clusters in
    the resource group. `ca_bundle` is PEM text trusted besides the system's roots.
    """

    subscription_id: str
    tenant_id: str
    resource_group: str
    region: str
    subnet_id: str = ""
    owner: str = ""
    arm_endpoint: str = ""
    authority_host: str = ""
    ca_bundle: str = ""

    def values(self, who: Identity, connector: Connector, secret_revision: str) -> JSON:
        """The cloud's own values of the chart."""
        return {
            "azure": filled(
                subscriptionId=self.subscription_id,
                tenantId=self.tenant_id,
                resourceGroup=self.resource_group,
                region=self.region,
                subnetId=self.subnet_id,
                owner=self.owner,
                armEndpoint=self.arm_endpoint,
                authorityHost=self.authority_host,
                identity=_identity(who, connector, secret_revision),
            )
        }

    def document(self) -> JSON:
        """What a report of an installation says of it."""
        return {"resourceGroup": self.resource_group}


def _identity(who: Identity, connector: Connector, secret_revision: str) -> JSON:
    if isinstance(who, ServicePrincipal):
        return filled(
            type="servicePrincipal",
            credential="certificate" if who.certificate else "",
            clientId=who.client_id,
            existingSecret=connector.secret,
            secretRevision=secret_revision,
        )
    kind = "managedIdentity" if isinstance(who, ManagedIdentity) else "workloadIdentity"
    return filled(type=kind, clientId=getattr(who, "client_id", ""))


def filled(**entries: Any) -> JSON:
    """What is said, without what is empty."""
    return {key: value for key, value in entries.items() if value}


@dataclass(frozen=True, slots=True)
class AksCluster:
    """An AKS cluster by name."""

    resource_group: str
    name: str


def aks_cluster(settings: Settings) -> AksCluster | None:
    """The AKS cluster of -g and -n; None where neither is given. UsageError for one without the other."""
    group, name = settings.resource_group, settings.cluster_name
    if group and name:
        return AksCluster(group, name)
    if group or name:
        given, missing = ("-g", "-n") if group else ("-n", "-g")
        raise UsageError(
            f"{given} without {missing}",
            hint="give both to install into that AKS cluster, or neither to use the current context",
        )
    return None


@dataclass(frozen=True, slots=True)
class _Azure:
    name: str = "azure"
    title: str = "Azure"
    connector_name: str = DEFAULT_CONNECTOR_NAME
    namespace: str = "vnode-system"
    """One of its own: install creates it with restricted pod security, removal deletes it again."""
    webhook: bool = False

    def os_types(self, text: str) -> tuple[str, ...]:
        return names.os_types(text)

    def region(self, settings: Settings) -> str | None:
        return names.azure_region(settings.location) if settings.location else None

    def named_region(self, settings: Settings) -> str | None:
        return self.region(settings)

    def names_cluster(self, settings: Settings) -> bool:
        return aks_cluster(settings) is not None

    def connector(self, settings: Settings, os_type: str, region: str, nodes: int) -> Connector:
        name = names.connector_name(settings.connector_name or self.connector_name)
        return names.fitting(Connector(name, os_type, region, nodes, **_asked(settings)))

    def identity(self, settings: Settings, facts: Facts) -> Identity:
        return identity(settings)

    def precheck(self, settings: Settings) -> None:
        identity(settings)
        aks_cluster(settings)
        subnet_id(settings)

    def target(self, settings: Settings, facts: Facts, who: Identity) -> AzureTarget:
        resource_group = settings.aci_resource_group or facts.node_resource_group
        if not resource_group:
            raise UsageError(
                "no resource group for the container groups",
                hint="name it with --aci-resource-group, or the AKS cluster with -g and -n",
            )
        region = _region(settings, facts)
        subscription = settings.subscription or facts.subscription
        tenant = settings.tenant or facts.tenant
        if not subscription:
            raise UsageError(
                "no Azure subscription", hint="give --subscription or AZURE_SUBSCRIPTION_ID (az account show)"
            )
        if not tenant and not isinstance(who, ManagedIdentity):
            raise UsageError("no Azure tenant", hint="give --tenant or AZURE_TENANT_ID (az account show)")
        return AzureTarget(
            subscription_id=subscription,
            tenant_id=tenant or "",
            resource_group=resource_group,
            region=region,
            subnet_id=subnet_id(settings),
            owner=owner(facts.cluster_uid),
            arm_endpoint=settings.arm_endpoint or "",
            authority_host=settings.authority_host or "",
            ca_bundle=facts.ca_bundle or "",
        )


def subnet_id(settings: Settings) -> str:
    """The subnet's resource ID as ARM writes it, "" where none is named. UsageError for what can be none.

    ARM takes an ID in any case, and gives some back in another; the chart's schema does not.
    """
    said = settings.subnet_id or ""
    found = _SUBNET_ID.fullmatch(said)
    if not said:
        return ""
    if not found:
        raise UsageError(
            f"bad --subnet-id {said!r}: not the resource ID of a subnet",
            hint="az network vnet subnet show -g GROUP --vnet-name NETWORK -n SUBNET --query id -o tsv",
        )
    subscription, group, network, subnet = found.groups()
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}"
        f"/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}"
    )


def _asked(settings: Settings) -> dict[str, str]:
    """The names that were asked for outright. Two releases cannot share one."""
    asked = {
        "release_name": names.label(settings.release_name, "--release-name") if settings.release_name else "",
        "node_name": names.label(settings.node_name, "--node-name") if settings.node_name else "",
    }
    if any(asked.values()) and len(names.os_types(settings.os_type or "Linux")) > 1:
        raise UsageError(
            "--release-name and --node-name name one connector, and --os-type Both makes two",
            hint="install them one by one, or leave the names out",
        )
    return asked


def _region(settings: Settings, facts: Facts) -> str:
    found = settings.location or facts.resource_group_location
    if not found:
        raise UsageError(
            "no region: the location of the resource group is not known here",
            hint="name it with -l/--location, or give Azure credentials so that it can be looked up",
        )
    region = names.azure_region(found)
    hint = "list them: az account list-locations --query [].name"
    known_region(region, found, facts.regions, hint)
    return region


def known_region(region: str, said: str, regions: frozenset[str] | None, hint: str) -> None:
    """UsageError where the cloud has no such region, with what may have been meant."""
    if regions is not None and region not in regions:
        close = difflib.get_close_matches(region, regions, n=1)
        guess = f"did you mean {close[0]}? " if close else ""
        raise UsageError(f"unknown region {said!r}", hint=f"{guess}{hint}")


AZURE = _Azure()
