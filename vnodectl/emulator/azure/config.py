"""What an emulated Azure contains at its start: the seed.

A seed is one JSON object; every field is optional:

    {
      "subscription": "<guid>",          "subscriptionName": "…",      "tenant": "<guid>",
      "regions": ["eastus", {"name": "westeurope", "displayName": "West Europe", "zones": ["1", "2"],
                  "containerInstances": true, "windows": true}],
      "resourceGroups": [{"name": "rg", "location": "eastus", "tags": {}}],
      "servicePrincipals": [{"clientId": "<guid>", "secret": "…", "objectId": "<guid>", "name": "…",
                  "secretExpires": 1893456000,
                  "roles": [{"role": "Contributor", "scope": "/subscriptions/…"}],
                  "federatedCredentials": [{"issuer": "https://…", "subject": "system:serviceaccount:ns:name",
                      "audiences": ["api://AzureADTokenExchange"],
                      "jwks": {"keys": […]} or "jwksFile": "…" or "publicKeyFile": "sa.pub"}]}],
      "managedIdentities": [{"name": "id", "resourceGroup": "rg", "location": "eastus", "clientId": "<guid>",
                  "principalId": "<guid>", "assigned": true, "roles": […], "federatedCredentials": […]}],
      "clusters": [{"name": "aks", "resourceGroup": "rg", "location": "eastus", "kubeconfig": "path",
                  "adminKubeconfig": "path", "tags": {}, "properties": {…}}],
      "virtualNetworks": [{"name": "vnet", "resourceGroup": "rg", "location": "eastus",
                  "addressPrefixes": ["10.0.0.0/8"],
                  "subnets": [{"name": "aci", "addressPrefix": "10.240.0.0/16",
                      "delegations": ["Microsoft.ContainerInstance/containerGroups"]}]}],
      "providers": {"Microsoft.ContainerInstance": "NotRegistered"},
      "quotas": {"eastus": {"ContainerGroups": 100, "StandardCores": 100}},
      "sizes": {"Linux": {"cpu": 4, "memoryInGB": 16}, "Windows": {"cpu": 4, "memoryInGB": 16}},
      "inaccessibleImages": ["^private\\.example/"],
      "timings": {…see Timings…},        "limits": {…see Limits…}
    }

An identity with `assigned` is one that the emulated metadata endpoint (IMDS) hands out tokens for.
Without `roles` a principal is Contributor of the subscription. A cluster's `properties` are laid over
defaults; its kubeconfig files are read at each request. Without `virtualNetworks` any subnet is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vnodectl.emulator.documents import JSON, Reader, numbers
from vnodectl.errors import UsageError

CONTAINER_GROUPS = "Microsoft.ContainerInstance/containerGroups"
FEDERATION_AUDIENCE = "api://AzureADTokenExchange"
ROLES = ("Owner", "Contributor", "Reader")
PROVIDER_STATES = ("NotRegistered", "Registering", "Registered", "Unregistering")


@dataclass(frozen=True, slots=True)
class Region:
    """`container_instances` and `windows`: whether ACI, and Windows groups in it, are offered there."""

    name: str
    display_name: str
    zones: tuple[str, ...] = ()
    container_instances: bool = True
    windows: bool = True


@dataclass(frozen=True, slots=True)
class Role:
    role: str
    scope: str


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """Trust in tokens of another issuer. The keys are read when a token is presented."""

    issuer: str
    subject: str
    audiences: tuple[str, ...] = (FEDERATION_AUDIENCE,)
    jwks: JSON | None = None
    jwks_file: str = ""
    public_key_file: str = ""


@dataclass(frozen=True, slots=True)
class Principal:
    """A service principal, or a managed identity (then with `resource_group`)."""

    client_id: str
    object_id: str
    name: str
    secret: str = field(default="", repr=False)
    secret_expires: float | None = None
    roles: tuple[Role, ...] = ()
    federated: tuple[FederatedCredential, ...] = ()
    resource_group: str = ""
    location: str = ""
    assigned: bool = False

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

    @property
    def node_resource_group(self) -> str:
        """Where AKS keeps the cluster's machines: a group of its own that it creates."""
        named = self.properties.get("nodeResourceGroup")
        return str(named or f"MC_{self.resource_group}_{self.name}_{self.location}")


@dataclass(frozen=True, slots=True)
class Subnet:
    name: str
    address_prefix: str
    delegations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VirtualNetwork:
    name: str
    resource_group: str
    location: str
    address_prefixes: tuple[str, ...]
    subnets: tuple[Subnet, ...]


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of the emulated clock.

    A group is Pending for `group_pending`, then Creating for `group_start` until its containers are
    started; it Fails when they have not started `create_timeout` after that (ACI: 30 minutes).
    `retry_after` 0 leaves the header away. `termination_grace` is real time between TERM and KILL.
    """

    registration: float = 5.0
    group_pending: float = 0.5
    group_start: float = 0.5
    group_delete: float = 0.5
    resource_group_delete: float = 1.0
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


@dataclass(frozen=True, slots=True)
class Size:
    """The largest container group that a region sells, in cores and GB."""

    cpu: float = 4.0
    memory: float = 16.0


DEFAULT_REGIONS = (
    Region("eastus", "East US", ("1", "2", "3")),
    Region("westus", "West US"),
    Region("westeurope", "West Europe", ("1", "2", "3")),
)


@dataclass(frozen=True, slots=True)
class AzureConfig:
    subscription: str = "00000000-0000-0000-0000-0000000000a1"
    subscription_name: str = "Emulated subscription"
    tenant: str = "00000000-0000-0000-0000-0000000000b1"
    regions: tuple[Region, ...] = DEFAULT_REGIONS
    resource_groups: tuple[SeededGroup, ...] = ()
    principals: tuple[Principal, ...] = ()
    clusters: tuple[SeededCluster, ...] = ()
    networks: tuple[VirtualNetwork, ...] = ()
    providers: Mapping[str, str] = field(default_factory=dict)
    quotas: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    sizes: Mapping[str, Size] = field(default_factory=dict)
    inaccessible_images: tuple[str, ...] = ()
    timings: Timings = Timings()
    limits: Limits = Limits()

    @classmethod
    def from_json(cls, document: Any) -> AzureConfig:
        """Raises UsageError with the place of what is wrong."""
        seed = Reader(document, "")
        base = cls()
        subscription = seed.text("subscription", base.subscription)
        regions = seed.raw("regions")
        config = cls(
            subscription=subscription,
            subscription_name=seed.text("subscriptionName", base.subscription_name),
            tenant=seed.text("tenant", base.tenant),
            regions=base.regions if regions is None else parse_regions(regions),
            resource_groups=tuple(_resource_group(entry) for entry in seed.objects("resourceGroups")),
            principals=(
                *(_service_principal(entry, subscription) for entry in seed.objects("servicePrincipals")),
                *(_managed_identity(entry, subscription) for entry in seed.objects("managedIdentities")),
            ),
            clusters=tuple(_cluster(entry) for entry in seed.objects("clusters")),
            networks=tuple(_network(entry) for entry in seed.objects("virtualNetworks")),
            providers=parse_providers(seed.mapping("providers")),
            quotas=parse_quotas(seed.mapping("quotas")),
            sizes=_sizes(seed.nested("sizes")),
            inaccessible_images=seed.texts("inaccessibleImages"),
            timings=numbers(Timings(), seed.nested("timings")),
            limits=numbers(Limits(), seed.nested("limits")),
        )
        seed.done()
        return config

    @classmethod
    def from_file(cls, path: Path) -> AzureConfig:
        """Raises UsageError where the file is missing or not a seed."""
        try:
            document = json.loads(path.read_text())
        except OSError as error:
            raise UsageError(f"the seed {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"the seed {path} is not JSON: {error}") from error
        return cls.from_json(document)


def parse_regions(value: Any) -> tuple[Region, ...]:
    """From a list of names or objects. Raises UsageError."""
    if not isinstance(value, list) or not value:
        raise UsageError("regions must be a list with at least one region")
    return tuple(_region(entry, f"regions[{index}]") for index, entry in enumerate(value))


def parse_providers(value: Mapping[str, Any]) -> dict[str, str]:
    """Registration states by namespace. Raises UsageError."""
    for namespace, state in value.items():
        if state not in PROVIDER_STATES:
            raise UsageError(f"providers.{namespace} must be one of {', '.join(PROVIDER_STATES)}")
    return dict(value)


def parse_quotas(value: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Limits by region and name (ContainerGroups, StandardCores). Raises UsageError."""
    parsed = {}
    for region, limits in value.items():
        reader = Reader(limits, f"quotas.{region}")
        parsed[normal_location(region)] = {name: reader.integer(name, 0) for name in limits}
    return parsed


def normal_location(name: str) -> str:
    """As ARM compares them: "East US" and "eastus" are the same."""
    return name.replace(" ", "").casefold()


def _region(entry: Any, place: str) -> Region:
    if isinstance(entry, str):
        known = {region.name: region for region in DEFAULT_REGIONS}
        name = normal_location(entry)
        return known.get(name, Region(name, entry))
    reader = Reader(entry, place)
    name = reader.text("name")
    region = Region(
        name=normal_location(name),
        display_name=reader.text("displayName", name),
        zones=reader.texts("zones"),
        container_instances=reader.flag("containerInstances", True),
        windows=reader.flag("windows", True),
    )
    reader.done()
    return region


def _resource_group(reader: Reader) -> SeededGroup:
    group = SeededGroup(reader.text("name"), reader.text("location", "eastus"), reader.mapping("tags"))
    reader.done()
    return group


def _roles(reader: Reader, subscription: str) -> tuple[Role, ...]:
    whole = f"/subscriptions/{subscription}"
    if not reader.has("roles"):
        return (Role("Contributor", whole),)
    roles = []
    for entry in reader.objects("roles"):
        role = Role(entry.text("role"), entry.text("scope", whole))
        if role.role not in ROLES:
            raise UsageError(f"a role is one of {', '.join(ROLES)}")
        entry.done()
        roles.append(role)
    return tuple(roles)


def _federated(reader: Reader) -> tuple[FederatedCredential, ...]:
    credentials = []
    for entry in reader.objects("federatedCredentials"):
        credential = FederatedCredential(
            issuer=entry.text("issuer"),
            subject=entry.text("subject"),
            audiences=entry.texts("audiences", (FEDERATION_AUDIENCE,)),
            jwks=entry.raw("jwks"),
            jwks_file=entry.text("jwksFile", ""),
            public_key_file=entry.text("publicKeyFile", ""),
        )
        entry.done()
        credentials.append(credential)
    return tuple(credentials)


def _service_principal(reader: Reader, subscription: str) -> Principal:
    client_id = reader.text("clientId")
    principal = Principal(
        client_id=client_id,
        object_id=reader.text("objectId", client_id),
        name=reader.text("name", client_id),
        secret=reader.text("secret", ""),
        secret_expires=reader.number("secretExpires", 0) or None,
        roles=_roles(reader, subscription),
        federated=_federated(reader),
    )
    reader.done()
    return principal


def _managed_identity(reader: Reader, subscription: str) -> Principal:
    client_id = reader.text("clientId")
    principal = Principal(
        client_id=client_id,
        object_id=reader.text("principalId", client_id),
        name=reader.text("name"),
        roles=_roles(reader, subscription),
        federated=_federated(reader),
        resource_group=reader.text("resourceGroup"),
        location=reader.text("location", "eastus"),
        assigned=reader.flag("assigned", True),
    )
    reader.done()
    return principal


def _cluster(reader: Reader) -> SeededCluster:
    kubeconfig = reader.text("kubeconfig", "")
    cluster = SeededCluster(
        name=reader.text("name"),
        resource_group=reader.text("resourceGroup"),
        location=reader.text("location", "eastus"),
        kubeconfig=kubeconfig,
        admin_kubeconfig=reader.text("adminKubeconfig", kubeconfig),
        tags=reader.mapping("tags"),
        properties=reader.mapping("properties"),
    )
    reader.done()
    return cluster


def _network(reader: Reader) -> VirtualNetwork:
    subnets = []
    for entry in reader.objects("subnets"):
        prefix = entry.text("addressPrefix", "10.240.0.0/16")
        subnets.append(Subnet(entry.text("name"), prefix, entry.texts("delegations", (CONTAINER_GROUPS,))))
        entry.done()
    network = VirtualNetwork(
        name=reader.text("name"),
        resource_group=reader.text("resourceGroup"),
        location=reader.text("location", "eastus"),
        address_prefixes=reader.texts("addressPrefixes", ("10.0.0.0/8",)),
        subnets=tuple(subnets),
    )
    reader.done()
    return network


def _sizes(reader: Reader) -> dict[str, Size]:
    sizes = {}
    for system in ("Linux", "Windows"):
        if reader.has(system):
            entry = reader.nested(system)
            sizes[system] = Size(entry.number("cpu", Size().cpu), entry.number("memoryInGB", Size().memory))
            entry.done()
    reader.done()
    return sizes
