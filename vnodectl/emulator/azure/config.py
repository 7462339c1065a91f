"""What an emulated Azure contains at its start, as data. `seed` reads it from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vnodectl.emulator.documents import JSON

CONTAINER_GROUPS = "Microsoft.ContainerInstance/containerGroups"
FEDERATION_AUDIENCE = "api://AzureADTokenExchange"
PROVIDER_STATES = ("NotRegistered", "Registering", "Registered", "Unregistering")


@dataclass(frozen=True, slots=True)
class Size:
    """The largest container group that a region sells, in cores and GB."""

    cpu: float = 4.0
    memory: float = 16.0


@dataclass(frozen=True, slots=True)
class Region:
    """`container_instances` and `windows`: whether ACI, and Windows groups in it, are offered there.

    `zones` are the region's, `group_zones` those that take container groups (None: all of them). `gpus` are
    SKUs such as V100. `sizes` by operating system replace those of the whole cloud.
    """

    name: str
    display_name: str
    zones: tuple[str, ...] = ()
    container_instances: bool = True
    windows: bool = True
    group_zones: tuple[str, ...] | None = None
    gpus: tuple[str, ...] = ()
    spot: bool = True
    confidential: bool = True
    sizes: Mapping[str, Size] = field(default_factory=dict)

    def zones_of(self, kind: str) -> tuple[str, ...]:
        """Where resources of type `kind` may be pinned to."""
        if kind.casefold() == CONTAINER_GROUPS.casefold() and self.group_zones is not None:
            return self.group_zones
        return self.zones


@dataclass(frozen=True, slots=True)
class Role:
    """A role by its name or the GUID of its definition, at a scope."""

    role: str
    scope: str


@dataclass(frozen=True, slots=True)
class RoleDefinition:
    """`guid` is the last part of its id. Actions may have wildcards, e.g. Microsoft.Network/*/read."""

    guid: str
    name: str
    description: str = ""
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    custom: bool = False
    scopes: tuple[str, ...] = ("/",)


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the public keys of a token issuer are; files are read when a token is presented."""

    jwks: JSON | None = None
    jwks_file: str = ""
    public_key_file: str = ""


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """Trust in tokens of another issuer. Without `keys` they are those that the seed names for the issuer."""

    issuer: str
    subject: str
    audiences: tuple[str, ...] = (FEDERATION_AUDIENCE,)
    name: str = "federated"
    keys: Keys | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """A service principal with its application, or a managed identity (then with `resource_group`).

    `certificate_files` are PEM files of the application; `graph_roles` are its rights at Microsoft Graph.
    """

    client_id: str
    object_id: str
    name: str
    secret: str = field(default="", repr=False)
    secret_expires: float | None = None
    roles: tuple[Role, ...] = ()
    federated: tuple[FederatedCredential, ...] = ()
    certificate_files: tuple[str, ...] = ()
    graph_roles: tuple[str, ...] = ()
    resource_group: str = ""
    location: str = ""
    assigned: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def managed(self) -> bool:
        return bool(self.resource_group)


@dataclass(frozen=True, slots=True)
class SeededGroup:
    name: str
    location: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeededCluster:
    name: str
    resource_group: str
    location: str
    kubeconfig: str
    admin_kubeconfig: str
    tags: Mapping[str, str]
    properties: JSON
    identity: JSON
    sku: JSON

    @property
    def node_resource_group(self) -> str:
        """Where AKS keeps the cluster's machines: a group of its own that it creates."""
        named = self.properties.get("nodeResourceGroup")
        return str(named or f"MC_{self.resource_group}_{self.name}_{self.location}")


@dataclass(frozen=True, slots=True)
class Subnet:
    """`properties` are the others as they were sent, e.g. networkSecurityGroup.

    `occupants` are the ids of ip configurations of machines and the like; `links` are service association
    links of other services. Until `ready_at` (seconds of the clock) it is Updating.
    """

    name: str
    address_prefixes: tuple[str, ...]
    delegations: tuple[str, ...] = ()
    properties: JSON = field(default_factory=dict)
    occupants: tuple[str, ...] = ()
    links: tuple[JSON, ...] = ()
    ready_at: float = 0.0


@dataclass(frozen=True, slots=True)
class VirtualNetwork:
    name: str
    resource_group: str
    location: str
    address_prefixes: tuple[str, ...]
    subnets: tuple[Subnet, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: JSON = field(default_factory=dict)
    ready_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A resource that the emulator keeps and gives back. `top` are its fields besides the usual ones.

    Until `ready_at` (seconds of the clock) its provisioningState is Updating.
    """

    type: str
    name: str
    resource_group: str
    location: str
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: JSON = field(default_factory=dict)
    top: JSON = field(default_factory=dict)
    ready_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of the emulated clock.

    A group is Pending for `group_pending`, then Creating for `group_start` until its containers are
    started; it Fails when they have not started `create_timeout` after that (ACI: 30 minutes). A group
    from a standby pool takes `standby_start` instead of both; the pool replaces it after `standby_refill`.
    `resource` is what any other change takes. A new role assignment is in force after `role_assignment`.
    `retry_after` 0 leaves the header away. `termination_grace` is real time between TERM and KILL.
    """

    registration: float = 5.0
    group_pending: float = 0.5
    group_start: float = 0.5
    group_delete: float = 0.5
    standby_start: float = 0.1
    standby_refill: float = 1.0
    resource_group_delete: float = 1.0
    resource: float = 0.5
    role_assignment: float = 0.0
    create_timeout: float = 1800.0
    retry_after: float = 1.0
    token_lifetime: float = 3599.0
    exec_ticket: float = 300.0
    termination_grace: float = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """ARM's token buckets per principal and subscription, and ACI's own creates and deletes.

    0 means no limit. The defaults are the documented ones: ARM 250 reads + 25/s, 200 writes and 200
    deletes + 10/s each; ACI 300 creates and 300 deletes an hour, 100 of each in 5 minutes.
    """

    reads: int = 250
    reads_per_second: float = 25.0
    writes: int = 200
    writes_per_second: float = 10.0
    deletes: int = 200
    deletes_per_second: float = 10.0
    group_creates_per_hour: int = 300
    group_creates_per_5_minutes: int = 100
    group_deletes_per_hour: int = 300
    group_deletes_per_5_minutes: int = 100
    page_size: int = 500


DEFAULT_REGIONS = (
    Region("eastus", "East US", ("1", "2", "3")),
    Region("westus", "West US"),
    Region("westeurope", "West Europe", ("1", "2", "3")),
)
DEFAULT_CACHED_IMAGES = {
    "Linux": ("ubuntu:22.04", "alpine:3.20"),
    "Windows": ("windows/nanoserver:ltsc2022", "windows/servercore:ltsc2022"),
}


@dataclass(frozen=True, slots=True)
class AzureConfig:
    subscription: str = "00000000-0000-0000-0000-0000000000a1"
    subscription_name: str = "Emulated subscription"
    subscription_state: str = "Enabled"
    tenant: str = "00000000-0000-0000-0000-0000000000b1"
    regions: tuple[Region, ...] = DEFAULT_REGIONS
    resource_groups: tuple[SeededGroup, ...] = ()
    principals: tuple[Principal, ...] = ()
    role_definitions: tuple[RoleDefinition, ...] = ()
    issuers: Mapping[str, Keys] = field(default_factory=dict)
    clusters: tuple[SeededCluster, ...] = ()
    networks: tuple[VirtualNetwork, ...] = ()
    stored: tuple[Stored, ...] = ()
    providers: Mapping[str, str] = field(default_factory=dict)
    quotas: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    sizes: Mapping[str, Size] = field(default_factory=dict)
    cached_images: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: DEFAULT_CACHED_IMAGES)
    inaccessible_images: tuple[str, ...] = ()
    timings: Timings = Timings()
    limits: Limits = Limits()

    @classmethod
    def from_json(cls, document: Any) -> AzureConfig:
        """Raises UsageError with the place of what is wrong."""
        from vnodectl.emulator.azure.seed import config_of

        return config_of(document)

    @classmethod
    def from_file(cls, path: Path) -> AzureConfig:
        """Raises UsageError where the file is missing or not a seed."""
        from vnodectl.emulator.azure.seed import config_of_file

        return config_of_file(path)


def normal_location(name: str) -> str:
    """As ARM compares them: "East US" and "eastus" are the same."""
    return name.replace(" ", "").casefold()
