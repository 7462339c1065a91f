"""Azure's checks, on the emulator."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from support.check_cases.case import FAILED, PASSED, SKIPPED, WARNING, Case

from vnodectl.checks.target import IdentityRef, Target
from vnodectl.connector.names import Connector

ACI = "Microsoft.ContainerInstance"
SUBSCRIPTION = "00000000-0000-0000-0000-0000000000a1"
GROUP, LOCATION = "connectors", "eastus"
ADMIN, ADMIN_SECRET = "aaaaaaaa-0000-0000-0000-000000000001", "the-secret-of-the-administrator"
APP, APP_SECRET = "aaaaaaaa-0000-0000-0000-000000000002", "the-secret-of-the-application"
MANAGED = "aaaaaaaa-0000-0000-0000-000000000003"
NOBODY = "aaaaaaaa-0000-0000-0000-00000000dead"
ISSUER = "https://eastus.oic.example/tenant/cluster/"
SUBJECT = "system:serviceaccount:vnode-system:aci-connector-linux-eastus"
NETWORK = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Network"
VNET = f"{NETWORK}/virtualNetworks/vnet"
SUBNET = f"{VNET}/subnets/aci"
RESOURCE_GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
YEAR = 365 * 86400


def app(**changes: Any) -> dict[str, Any]:
    ends = int(time.time()) + YEAR
    return {"clientId": APP, "secret": APP_SECRET, "name": "app", "secretExpires": ends, **changes}


def trust(issuer: str = ISSUER) -> dict[str, Any]:
    return {"name": "k8s", "issuer": issuer, "subject": SUBJECT, "jwks": {"keys": []}}


def principals(admin: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    one = {
        "clientId": ADMIN,
        "secret": ADMIN_SECRET,
        "graphRoles": ["Application.Read.All"],
        "roles": [{"role": "Owner"}],
        **(admin or {}),
    }
    return {"servicePrincipals": [one, app(**changes)]}


def managed(**changes: Any) -> dict[str, Any]:
    """The connector's identity, by default with just the two roles that it needs."""
    return {
        "managedIdentities": [
            {
                "name": "vnode",
                "resourceGroup": GROUP,
                "clientId": MANAGED,
                "assigned": False,
                "roles": [
                    {"role": "Azure Container Instances Contributor Role", "scope": RESOURCE_GROUP},
                    {"role": "Network Contributor", "scope": SUBNET},
                ],
                "federatedCredentials": [trust()],
                **changes,
            }
        ]
    }


def cluster(**properties: Any) -> dict[str, Any]:
    base = {
        "networkProfile": {"networkPlugin": "azure"},
        "oidcIssuerProfile": {"enabled": True, "issuerURL": ISSUER},
        "agentPoolProfiles": [{"name": "pool", "count": 1, "vnetSubnetID": f"{VNET}/subnets/nodes"}],
    }
    body = {**base, **properties}
    return {"clusters": [{"name": "aks", "resourceGroup": GROUP, "location": LOCATION, "properties": body}]}


def network(vnet: dict[str, Any] | None = None, **subnet: Any) -> dict[str, Any]:
    nodes = {"name": "nodes", "addressPrefix": "10.1.0.0/16", "delegations": []}
    aci = {"name": "aci", "addressPrefix": "10.2.0.0/24", "delegations": [f"{ACI}/containerGroups"], **subnet}
    one = {"name": "vnet", "resourceGroup": GROUP, "location": LOCATION, "addressPrefixes": ["10.0.0.0/8"]}
    return {"virtualNetworks": [{**one, "subnets": [nodes, aci], **(vnet or {})}]}


def rule(name: str, priority: int, access: str, destination: str, port: str = "*") -> dict[str, Any]:
    return {
        "name": name,
        "properties": {
            "priority": priority,
            "direction": "Outbound",
            "access": access,
            "protocol": "*",
            "sourceAddressPrefix": "*",
            "sourcePortRange": "*",
            "destinationAddressPrefix": destination,
            "destinationPortRange": port,
        },
    }


def nsg(*rules: Any) -> dict[str, Any]:
    one = {"name": "nsg", "resourceGroup": GROUP, "properties": {"securityRules": list(rules)}}
    return {"networkSecurityGroups": [one], **network(networkSecurityGroup="nsg")}


def routed(hop: str, address: str = "") -> dict[str, Any]:
    body = {"addressPrefix": "0.0.0.0/0", "nextHopType": hop}
    route = {"name": "out", "properties": {**body, **({"nextHopIpAddress": address} if address else {})}}
    table = {"name": "rt", "resourceGroup": GROUP, "properties": {"routes": [route]}}
    return {"routeTables": [table], **network(routeTable="rt")}


def gateway(address: str) -> dict[str, Any]:
    public = {"name": "pip", "resourceGroup": GROUP, "properties": {"ipAddress": address}}
    body = {"publicIpAddresses": [{"id": f"{NETWORK}/publicIPAddresses/pip"}]}
    nat = {"name": "nat", "resourceGroup": GROUP, "properties": body}
    return {"publicIPAddresses": [public], "natGateways": [nat], **network(natGateway="nat")}


def ranges(*authorized: str, **more: Any) -> dict[str, Any]:
    return cluster(apiServerAccessProfile={"authorizedIPRanges": list(authorized), **more})


ALL_WELL: dict[str, Any] = {
    "subscription": SUBSCRIPTION,
    "resourceGroups": [{"name": GROUP, "location": LOCATION}],
    **principals(),
    **managed(),
    **cluster(),
    **network(),
}
TARGET = Target(
    connectors=(Connector("aci-connector", "Linux", "eastus"),),
    namespace="vnode-system",
    cluster_resource_group=GROUP,
    cluster="aks",
    resource_group=GROUP,
    region="eastus",
    subnet_id=SUBNET,
    identity=IdentityRef("workloadIdentity", MANAGED),
    caller=ADMIN,
)
WINDOWS = (Connector("aci-connector", "Windows", "eastus"),)
PRINCIPAL = IdentityRef("servicePrincipal", APP)
NO_SUBNET = {"subnet_id": ""}
CUSTOM = {
    "id": "bbbbbbbb-0000-0000-0000-000000000001",
    "name": "vnodectl connector",
    "actions": [
        f"{ACI}/containerGroups/*",
        "Microsoft.Resources/subscriptions/resourceGroups/read",
        "Microsoft.Network/virtualNetworks/subnets/*",
    ],
    "scopes": [f"/subscriptions/{SUBSCRIPTION}"],
}
PEERED = {"id": f"{NETWORK}/virtualNetworks/hub"}


def elsewhere(*peerings: Any) -> dict[str, Any]:
    """A cluster whose nodes are in another network."""
    pool = {"name": "pool", "count": 1, "vnetSubnetID": f"{PEERED['id']}/subnets/nodes"}
    vnet = {"properties": {"virtualNetworkPeerings": list(peerings)}}
    return {**cluster(agentPoolProfiles=[pool]), **network(vnet)}


CASES = (
    Case("VN-AZ-001", "it works", PASSED, evidence=SUBSCRIPTION),
    Case("VN-AZ-001", "disabled", cause="is Disabled", seed={"subscriptionState": "Disabled"}),
    Case("VN-AZ-001", "past due", WARNING, "is PastDue", seed={"subscriptionState": "PastDue"}),
    Case("VN-AZ-001", "another tenant", cause="in another tenant", target={"tenant": NOBODY}),
    Case("VN-AZ-001", "a wrong secret", options={"secret": "wrong-s3cr3t-marker"}),
    Case("VN-AZ-002", "registered", PASSED),
    Case(
        "VN-AZ-002", "not registered", cause="has not registered", seed={"providers": {ACI: "NotRegistered"}}
    ),
    Case(
        "VN-AZ-002",
        "being registered",
        cause="still being registered",
        seed={"providers": {ACI: "Registering"}, "timings": {"registration": 3600}},
    ),
    Case("VN-AZ-003", "it runs", PASSED, evidence="power Running"),
    Case("VN-AZ-003", "stopped", cause="stopped", seed=cluster(powerState={"code": "Stopped"})),
    Case("VN-AZ-003", "being made", cause="is Creating", seed=cluster(provisioningState="Creating")),
    Case("VN-AZ-003", "broken", WARNING, "last operation failed", seed=cluster(provisioningState="Failed")),
    Case("VN-AZ-003", "not there", cause="no AKS cluster other", target={"cluster": "other"}),
    Case("VN-AZ-003", "not named", SKIPPED, "no AKS cluster is named", target={"cluster": ""}),
    Case("VN-AZ-004", "Azure CNI", PASSED, evidence="azure"),
    Case("VN-AZ-004", "kubenet", cause="kubenet", seed=cluster(networkProfile={"networkPlugin": "kubenet"})),
    Case(
        "VN-AZ-004",
        "overlay",
        cause="overlay mode",
        seed=cluster(networkProfile={"networkPlugin": "azure", "networkPluginMode": "overlay"}),
    ),
    Case("VN-AZ-004", "its own", WARNING, "its own", seed=cluster(networkProfile={"networkPlugin": "none"})),
    Case("VN-AZ-005", "off", PASSED),
    Case(
        "VN-AZ-005",
        "on",
        cause="add-on is enabled",
        seed=cluster(addonProfiles={"aciConnectorLinux": {"enabled": True}}),
    ),
    Case("VN-AZ-006", "it is there", PASSED, evidence="connectors in eastus"),
    Case("VN-AZ-006", "it is not", cause="no resource group x", target={"resource_group": "x"}),
    Case("VN-AZ-007", "offered", PASSED),
    Case(
        "VN-AZ-007",
        "not offered",
        cause="eastus has no Azure Container Instances",
        seed={"regions": [{"name": "eastus", "containerInstances": False}, "westus"]},
    ),
    Case("VN-AZ-008", "registered", PASSED, evidence="Microsoft.Network"),
    Case(
        "VN-AZ-008",
        "one is not",
        cause="has not registered Microsoft.Network",
        seed={"providers": {"Microsoft.Network": "NotRegistered"}},
    ),
    Case("VN-AZ-009", "none", PASSED),
    Case(
        "VN-AZ-009",
        "calico",
        WARNING,
        "(calico)",
        seed=cluster(networkProfile={"networkPlugin": "azure", "networkPolicy": "calico"}),
    ),
    Case("VN-AZ-010", "the same network", PASSED, evidence="vnet"),
    Case("VN-AZ-010", "another network", cause="not joined", evidence="hub", seed=elsewhere()),
    Case(
        "VN-AZ-010",
        "a peered network",
        WARNING,
        "peered",
        seed=elsewhere(
            {"name": "p", "properties": {"peeringState": "Connected", "remoteVirtualNetwork": PEERED}}
        ),
    ),
    Case("VN-AZ-010", "no subnet", SKIPPED, "no subnet is named", target=NO_SUBNET),
    Case("VN-AZ-011", "public", PASSED, evidence="public address"),
    Case(
        "VN-AZ-011",
        "private, with a subnet",
        PASSED,
        evidence="in a subnet",
        seed=cluster(apiServerAccessProfile={"enablePrivateCluster": True}),
    ),
    Case(
        "VN-AZ-011",
        "private, without one",
        WARNING,
        "private",
        seed=cluster(apiServerAccessProfile={"enablePrivateCluster": True}),
        target=NO_SUBNET,
    ),
    Case("VN-AZ-012", "no ranges", PASSED),
    Case(
        "VN-AZ-012",
        "authorised",
        PASSED,
        evidence="203.0.113.9",
        seed=ranges("203.0.113.0/24") | gateway("203.0.113.9"),
    ),
    Case(
        "VN-AZ-012",
        "not authorised",
        WARNING,
        "egress address 203.0.113.9",
        seed=ranges("198.51.100.0/24") | gateway("203.0.113.9"),
    ),
    Case("VN-AZ-012", "no fixed address", WARNING, "no fixed address", seed=ranges("198.51.100.0/24")),
    Case(
        "VN-AZ-012",
        "no subnet",
        WARNING,
        "groups without a subnet",
        seed=ranges("198.51.100.0/24"),
        target=NO_SUBNET,
    ),
    Case(
        "VN-AZ-012",
        "through a firewall",
        WARNING,
        "through 10.1.0.4",
        seed=ranges("198.51.100.0/24") | routed("VirtualAppliance", "10.1.0.4"),
    ),
    Case("VN-AZ-013", "IPv4", PASSED),
    Case(
        "VN-AZ-013",
        "dual stack",
        WARNING,
        "no IPv6",
        seed=cluster(networkProfile={"networkPlugin": "azure", "ipFamilies": ["IPv4", "IPv6"]}),
    ),
    Case(
        "VN-AZ-013",
        "IPv6 alone",
        cause="IPv6 alone",
        seed=cluster(networkProfile={"networkPlugin": "azure", "ipFamilies": ["IPv6"]}),
    ),
    Case("VN-AZ-014", "it sells", PASSED, evidence="Linux: up to"),
    Case(
        "VN-AZ-014",
        "no Windows",
        cause="no Windows container groups",
        seed={"regions": [{"name": "eastus", "windows": False}]},
        target={"connectors": WINDOWS, **NO_SUBNET},
    ),
    Case("VN-AZ-014", "too large", cause="500 CPU", target={"cpu": 500.0, "memory": 4.0}),
    Case("VN-AZ-014", "no such GPU", cause="H900", target={"gpu": "H900"}),
    Case("VN-AZ-014", "no such zone", cause="no zone 9", target={"zone": "9"}),
    Case("VN-AZ-014", "a zone", PASSED, evidence="zones 1", target={"zone": "1"}),
    Case("VN-AZ-015", "left", PASSED, evidence="0 of 100"),
    Case(
        "VN-AZ-015",
        "none left",
        cause="no ContainerGroups are left",
        seed={"quotas": {"eastus": {"ContainerGroups": 0}}},
    ),
    Case("VN-AZ-016", "it is there", PASSED, evidence="10.2.0.0/24"),
    Case("VN-AZ-016", "not there", cause="no subnet x", target={"subnet_id": f"{VNET}/subnets/x"}),
    Case(
        "VN-AZ-016",
        "no such network",
        cause="no virtual network nowhere",
        target={"subnet_id": f"{NETWORK}/virtualNetworks/nowhere/subnets/x"},
    ),
    Case("VN-AZ-016", "no id at all", cause="not the resource ID", target={"subnet_id": "aci"}),
    Case(
        "VN-AZ-016",
        "no room for one",
        cause="has no room",
        seed=network({"addressPrefixes": ["10.1.0.0/16", "10.2.0.0/24"]}),
        target={"subnet_id": f"{VNET}/subnets/x"},
    ),
    Case("VN-AZ-017", "delegated", PASSED),
    Case("VN-AZ-017", "not delegated", cause="not delegated", seed=network(delegations=[])),
    Case(
        "VN-AZ-017",
        "delegated to another",
        cause="delegated to Microsoft.Web/serverFarms",
        seed=network(delegations=["Microsoft.Web/serverFarms"]),
    ),
    Case(
        "VN-AZ-017",
        "machines in it",
        cause="machines in it",
        seed=network(delegations=[], usedAddresses=3),
    ),
    Case("VN-AZ-018", "room", PASSED, evidence="251 of 251"),
    Case(
        "VN-AZ-018",
        "hardly any room",
        WARNING,
        "few free addresses",
        seed=network(usedAddresses=241),
    ),
    Case("VN-AZ-018", "no room", cause="no free address", seed=network(usedAddresses=251)),
    Case("VN-AZ-019", "no group", PASSED, evidence="no network security group"),
    Case("VN-AZ-019", "the default rules", PASSED, evidence="nsg lets out", seed=nsg()),
    Case(
        "VN-AZ-019",
        "the Internet denied",
        cause="keeps container groups from registries",
        evidence="rule no-internet",
        seed=nsg(rule("no-internet", 100, "Deny", "Internet")),
    ),
    Case(
        "VN-AZ-019",
        "a registry allowed",
        WARNING,
        "only some",
        evidence="mcr",
        seed=nsg(
            rule("mcr", 100, "Allow", "MicrosoftContainerRegistry", "443"),
            rule("no-internet", 200, "Deny", "Internet"),
        ),
    ),
    Case("VN-AZ-020", "no table", PASSED, evidence="no route table"),
    Case("VN-AZ-020", "the Internet", PASSED, evidence="rt sends", seed=routed("Internet")),
    Case("VN-AZ-020", "nowhere", cause="drops", seed=routed("None")),
    Case("VN-AZ-020", "a firewall", WARNING, "10.1.0.4", seed=routed("VirtualAppliance", "10.1.0.4")),
    Case("VN-AZ-021", "nobody else", PASSED),
    Case(
        "VN-AZ-021",
        "App Service",
        cause="Microsoft.Web/serverFarms",
        seed=network(
            serviceAssociationLinks=[{"name": "Web", "linkedResourceType": "Microsoft.Web/serverFarms"}]
        ),
    ),
    Case("VN-AZ-022", "a managed identity", PASSED, evidence="vnode"),
    Case("VN-AZ-022", "a service principal", PASSED, evidence="app", target={"identity": PRINCIPAL}),
    Case(
        "VN-AZ-022",
        "nobody",
        cause=f"client ID {NOBODY}",
        target={"identity": IdentityRef("workloadIdentity", NOBODY)},
    ),
    Case(
        "VN-AZ-022",
        "Graph may not be read",
        SKIPPED,
        "may not be looked up",
        seed=principals({"graphRoles": []}),
        target={"identity": PRINCIPAL},
    ),
    Case("VN-AZ-022", "nobody named", SKIPPED, "not named", target={"identity": IdentityRef()}),
    Case("VN-AZ-023", "built-in roles", PASSED, evidence="Network Contributor"),
    Case(
        "VN-AZ-023",
        "a custom role, inherited",
        PASSED,
        evidence="vnodectl connector allow all 9",
        seed={
            "roleDefinitions": [CUSTOM],
            **managed(roles=[{"role": "vnodectl connector", "scope": f"/subscriptions/{SUBSCRIPTION}"}]),
        },
    ),
    Case(
        "VN-AZ-023",
        "a reader",
        cause="may not do what it needs",
        evidence="has Reader",
        seed=managed(roles=[{"role": "Reader", "scope": f"/subscriptions/{SUBSCRIPTION}"}]),
    ),
    Case(
        "VN-AZ-023",
        "not on the subnet",
        evidence="lacks Microsoft.Network/virtualNetworks/subnets/read",
        seed=managed(roles=[{"role": "Azure Container Instances Contributor Role", "scope": RESOURCE_GROUP}]),
    ),
    Case("VN-AZ-023", "no role", evidence="has no role", seed=managed(roles=[])),
    Case(
        "VN-AZ-023",
        "the caller itself",
        PASSED,
        evidence="its roles",
        seed=principals({"graphRoles": []}),
        target={"identity": IdentityRef("servicePrincipal", ADMIN)},
    ),
    Case("VN-AZ-024", "trusted", PASSED, evidence=ISSUER),
    Case(
        "VN-AZ-024",
        "not trusted",
        cause=f"does not trust tokens of {SUBJECT}",
        evidence="0 federated credentials",
        seed=managed(federatedCredentials=[]),
    ),
    Case(
        "VN-AZ-024",
        "another cluster's issuer",
        evidence="of the issuer https://other.example/",
        seed=managed(federatedCredentials=[trust("https://other.example/")]),
    ),
    Case(
        "VN-AZ-024",
        "no issuer",
        cause="publishes no OIDC issuer",
        seed=cluster(oidcIssuerProfile={"enabled": False}),
    ),
    Case(
        "VN-AZ-024",
        "an application",
        PASSED,
        target={"identity": IdentityRef("workloadIdentity", APP)},
        seed=principals(federatedCredentials=[trust()]),
    ),
    Case("VN-AZ-024", "not a workload identity", SKIPPED, target={"identity": PRINCIPAL}),
    Case("VN-AZ-025", "a year left", PASSED, target={"identity": PRINCIPAL}),
    Case(
        "VN-AZ-025",
        "ten days left",
        WARNING,
        "expires in",
        seed=principals(secretExpires=int(time.time()) + 10 * 86400),
        target={"identity": PRINCIPAL},
    ),
    Case(
        "VN-AZ-025",
        "expired",
        FAILED,
        "has expired",
        seed=principals(secretExpires=int(time.time()) - 60),
        target={"identity": PRINCIPAL},
    ),
    Case(
        "VN-AZ-025",
        "a certificate that nobody has given it",
        FAILED,
        "has no client certificate",
        target={"identity": replace(PRINCIPAL, certificate=True)},
    ),
    Case("VN-AZ-026", "the same time", PASSED),
    Case("VN-AZ-026", "an hour ahead", WARNING, "behind", options={"date": 3600.0}),
)
