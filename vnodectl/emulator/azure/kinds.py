"""Resource types that are stored as they are sent: what they are called, and what they look like new."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vnodectl.emulator.azure.config import Stored
from vnodectl.emulator.documents import JSON

Action = Callable[[Stored], JSON]


@dataclass(frozen=True, slots=True)
class Kind:
    """`collection` names the list in a seed, `operations` the group of operations in Microsoft's description.

    `defaults` are laid under the properties, `top` are further fields of the resource with their defaults;
    `actions` are POSTs by name.
    """

    type: str
    collection: str
    operations: str
    parameter: str
    versions: tuple[str, ...]
    defaults: JSON = field(default_factory=dict)
    top: JSON = field(default_factory=dict)
    actions: Mapping[str, Action] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.type.partition("/")[0]


NETWORK_VERSIONS = tuple(
    f"{year}-{month:02}-01"
    for year in range(2026, 2017, -1)
    for month in (12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
)
"""Microsoft.Network publishes a stable version every few months; all of these shapes are accepted."""
STORAGE_VERSIONS = (
    "2025-06-01",
    "2025-01-01",
    "2024-01-01",
    "2023-05-01",
    "2023-01-01",
    "2022-09-01",
    "2021-09-01",
)
REGISTRY_VERSIONS = ("2025-11-01", "2025-04-01", "2023-07-01", "2022-12-01", "2021-09-01", "2019-05-01")
WORKSPACE_VERSIONS = ("2025-02-01", "2023-09-01", "2022-10-01", "2020-08-01")


def _rule(name: str, priority: int, direction: str, access: str, source: str, destination: str) -> JSON:
    return {
        "name": name,
        "properties": {
            "provisioningState": "Succeeded",
            "protocol": "*",
            "sourcePortRange": "*",
            "destinationPortRange": "*",
            "sourceAddressPrefix": source,
            "destinationAddressPrefix": destination,
            "access": access,
            "priority": priority,
            "direction": direction,
        },
    }


# The six rules that every network security group has.
_DEFAULT_RULES = [
    _rule("AllowVnetInBound", 65000, "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
    _rule("AllowAzureLoadBalancerInBound", 65001, "Inbound", "Allow", "AzureLoadBalancer", "*"),
    _rule("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*"),
    _rule("AllowVnetOutBound", 65000, "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
    _rule("AllowInternetOutBound", 65001, "Outbound", "Allow", "*", "Internet"),
    _rule("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*"),
]


def fake_key(resource: Stored, name: str) -> str:
    """A key that looks like one, is the same at each call, and opens nothing."""
    digest = hashlib.sha512(f"{resource.type}/{resource.resource_group}/{resource.name}/{name}".encode())
    return base64.b64encode(digest.digest()).decode()


def _storage_keys(resource: Stored) -> JSON:
    names = ("key1", "key2")
    return {
        "keys": [
            {"keyName": name, "value": fake_key(resource, name), "permissions": "FULL"} for name in names
        ]
    }


def _registry_credentials(resource: Stored) -> JSON:
    names = ("password", "password2")
    return {
        "username": resource.name,
        "passwords": [{"name": name, "value": fake_key(resource, name)} for name in names],
    }


def _workspace_keys(resource: Stored) -> JSON:
    return {f"{name}SharedKey": fake_key(resource, name) for name in ("primary", "secondary")}


KINDS = (
    Kind(
        "Microsoft.Network/networkSecurityGroups",
        "networkSecurityGroups",
        "NetworkSecurityGroups",
        "networkSecurityGroupName",
        NETWORK_VERSIONS,
        {"securityRules": [], "defaultSecurityRules": _DEFAULT_RULES},
    ),
    Kind(
        "Microsoft.Network/routeTables",
        "routeTables",
        "RouteTables",
        "routeTableName",
        NETWORK_VERSIONS,
        {"disableBgpRoutePropagation": False, "routes": []},
    ),
    Kind(
        "Microsoft.Network/natGateways",
        "natGateways",
        "NatGateways",
        "natGatewayName",
        NETWORK_VERSIONS,
        {"idleTimeoutInMinutes": 4, "publicIpAddresses": []},
        {"sku": {"name": "Standard"}},
    ),
    Kind(
        "Microsoft.Network/publicIPAddresses",
        "publicIPAddresses",
        "PublicIPAddresses",
        "publicIpAddressName",
        NETWORK_VERSIONS,
        {"publicIPAddressVersion": "IPv4", "publicIPAllocationMethod": "Static", "idleTimeoutInMinutes": 4},
        {"sku": {"name": "Standard", "tier": "Regional"}},
    ),
    Kind(
        "Microsoft.Storage/storageAccounts",
        "storageAccounts",
        "StorageAccounts",
        "accountName",
        STORAGE_VERSIONS,
        {
            "supportsHttpsTrafficOnly": True,
            "minimumTlsVersion": "TLS1_2",
            "allowSharedKeyAccess": True,
            "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow"},
        },
        {"kind": "StorageV2", "sku": {"name": "Standard_LRS", "tier": "Standard"}},
        {"listKeys": _storage_keys},
    ),
    Kind(
        "Microsoft.ContainerRegistry/registries",
        "registries",
        "Registries",
        "registryName",
        REGISTRY_VERSIONS,
        {"adminUserEnabled": False, "publicNetworkAccess": "Enabled", "anonymousPullEnabled": False},
        {"sku": {"name": "Standard", "tier": "Standard"}},
        {"listCredentials": _registry_credentials},
    ),
    Kind(
        "Microsoft.OperationalInsights/workspaces",
        "workspaces",
        "Workspaces",
        "workspaceName",
        WORKSPACE_VERSIONS,
        {"retentionInDays": 30, "sku": {"name": "PerGB2018"}},
        {},
        {"sharedKeys": _workspace_keys},
    ),
)


def kind_of(resource_type: str) -> Kind | None:
    return next((kind for kind in KINDS if kind.type.casefold() == resource_type.casefold()), None)
