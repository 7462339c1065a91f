"""Reading a seed: what an emulated Azure contains at its start.

A seed is one JSON object; every field is optional:

    {
      "subscription": "<guid>", "subscriptionName": "…", "subscriptionState": "Enabled", "tenant": "<guid>",
      "regions": ["eastus", {"name": "westeurope", "displayName": "West Europe", "zones": ["1", "2"],
                  "containerInstances": true, "windows": true, "groupZones": ["1"], "gpus": ["V100"],
                  "spot": true, "confidential": true, "sizes": {"Linux": {"cpu": 31, "memoryInGB": 240}}}],
      "resourceGroups": [{"name": "rg", "location": "eastus", "tags": {}}],
      "servicePrincipals": [{"clientId": "<guid>", "secret": "…", "objectId": "<guid>", "name": "…",
                  "secretExpires": 1893456000, "certificateFiles": ["app.pem"],
                  "graphRoles": ["Application.Read.All"],
                  "roles": [{"role": "Contributor", "scope": "/subscriptions/…"}],
                  "federatedCredentials": [{"name": "…", "issuer": "https://…",
                      "subject": "system:serviceaccount:ns:name",
                      "audiences": ["api://AzureADTokenExchange"],
                      "jwks": {"keys": […]} or "jwksFile": "…" or "publicKeyFile": "sa.pub"}]}],
      "managedIdentities": [{"name": "id", "resourceGroup": "rg", "location": "eastus", "clientId": "<guid>",
                  "principalId": "<guid>", "assigned": true, "roles": […], "federatedCredentials": […]}],
      "roleDefinitions": [{"id": "<guid>", "name": "…", "actions": ["…"], "notActions": [],
                  "scopes": ["/…"]}],
      "issuers": {"https://…": {"jwks": … or "jwksFile": … or "publicKeyFile": …}},
      "clusters": [{"name": "aks", "resourceGroup": "rg", "location": "eastus", "kubeconfig": "path",
                  "adminKubeconfig": "path", "tags": {}, "properties": {…}, "identity": {…}, "sku": {…}}],
      "virtualNetworks": [{"name": "vnet", "resourceGroup": "rg", "location": "eastus", "tags": {},
                  "addressPrefixes": ["10.0.0.0/8"], "properties": {…},
                  "subnets": [{"name": "aci", "addressPrefix": "10.240.0.0/16" or "addressPrefixes": […],
                      "delegations": ["Microsoft.ContainerInstance/containerGroups"], "usedAddresses": 0,
                      "networkSecurityGroup": "name or id", "routeTable": "…", "natGateway": "…",
                      "serviceAssociationLinks": [{"name": "AppServiceLink",
                          "linkedResourceType": "Microsoft.Web/serverFarms", "link": "…"}],
                      "properties": {…}}]}],
      "networkSecurityGroups": [{"name": "nsg", "resourceGroup": "rg", "location": "eastus", "tags": {},
                  "properties": {"securityRules": [{"name": "…", "properties": {…}}]}}],
      "routeTables", "natGateways", "publicIPAddresses", "storageAccounts" (also "kind", "sku"),
      "registries" (also "sku"), "workspaces": [the same shape],
      "providers": {"Microsoft.ContainerInstance": "NotRegistered"},
      "quotas": {"eastus": {"ContainerGroups": 100, "StandardCores": 100}},
      "sizes": {"Linux": {"cpu": 4, "memoryInGB": 16}, "Windows": {"cpu": 4, "memoryInGB": 16}},
      "cachedImages": {"Linux": ["…"]},  "inaccessibleImages": ["^private\\.example/"],
      "timings": {…see Timings…},        "limits": {…see Limits…}
    }

An identity with `assigned` is one that the emulated metadata endpoint (IMDS) hands out tokens for.
Without `roles` a principal is Contributor of the subscription. A cluster's `properties` are laid over
defaults, as are those of the other resources; its kubeconfig files are read at each request. Without
`virtualNetworks` any subnet is accepted. `issuers` gives the keys of federated credentials that are created
later: the emulator reaches no network.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vnodectl.emulator.azure.config import (
    CONTAINER_GROUPS,
    DEFAULT_CACHED_IMAGES,
    DEFAULT_REGIONS,
    FEDERATION_AUDIENCE,
    PROVIDER_STATES,
    AzureConfig,
    FederatedCredential,
    Keys,
    Limits,
    Principal,
    Region,
    Role,
    RoleDefinition,
    SeededCluster,
    SeededGroup,
    Size,
    Stored,
    Subnet,
    Timings,
    VirtualNetwork,
    normal_location,
)
from vnodectl.emulator.azure.kinds import KINDS, Kind
from vnodectl.emulator.azure.roles import BUILT_IN, find
from vnodectl.emulator.documents import JSON, Reader, numbers, read_seed
from vnodectl.errors import UsageError

GRAPH_ROLES = ("Application.Read.All", "Application.ReadWrite.All")


def config_of(document: Any) -> AzureConfig:
    """Raises UsageError with the place of what is wrong."""
    seed = Reader(document, "")
    base = AzureConfig()
    subscription = seed.text("subscription", base.subscription)
    regions = seed.raw("regions")
    definitions = tuple(_definition(entry, subscription) for entry in seed.objects("roleDefinitions"))
    rights = _Rights(subscription, definitions)
    config = AzureConfig(
        subscription=subscription,
        subscription_name=seed.text("subscriptionName", base.subscription_name),
        subscription_state=seed.text("subscriptionState", base.subscription_state),
        tenant=seed.text("tenant", base.tenant),
        regions=base.regions if regions is None else parse_regions(regions),
        resource_groups=tuple(_resource_group(entry) for entry in seed.objects("resourceGroups")),
        principals=(
            *(_service_principal(entry, rights) for entry in seed.objects("servicePrincipals")),
            *(_managed_identity(entry, rights) for entry in seed.objects("managedIdentities")),
        ),
        role_definitions=definitions,
        issuers=_issuers(seed.nested("issuers"), seed.mapping("issuers")),
        clusters=tuple(_cluster(entry) for entry in seed.objects("clusters")),
        networks=tuple(_network(entry, subscription) for entry in seed.objects("virtualNetworks")),
        stored=tuple(_stored(kind, entry) for kind in KINDS for entry in seed.objects(kind.collection)),
        providers=parse_providers(seed.mapping("providers")),
        quotas=parse_quotas(seed.mapping("quotas")),
        sizes=_sizes(seed.nested("sizes")),
        cached_images=_cached_images(seed.nested("cachedImages")),
        inaccessible_images=seed.texts("inaccessibleImages"),
        timings=numbers(Timings(), seed.nested("timings")),
        limits=numbers(Limits(), seed.nested("limits")),
    )
    seed.done()
    return config


def config_of_file(path: Path) -> AzureConfig:
    """Raises UsageError where the file is missing or not a seed."""
    return config_of(read_seed(path))


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
    """Limits by region and name (ContainerGroups, StandardCores, …). Raises UsageError."""
    parsed = {}
    for region, limits in value.items():
        reader = Reader(limits, f"quotas.{region}")
        parsed[normal_location(region)] = {name: reader.integer(name, 0) for name in limits}
    return parsed


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
        group_zones=reader.texts("groupZones") if reader.has("groupZones") else None,
        gpus=reader.texts("gpus"),
        spot=reader.flag("spot", True),
        confidential=reader.flag("confidential", True),
        sizes=_sizes(reader.nested("sizes")),
    )
    reader.done()
    return region


def _resource_group(reader: Reader) -> SeededGroup:
    group = SeededGroup(reader.text("name"), reader.text("location", "eastus"), reader.mapping("tags"))
    reader.done()
    return group


# --- who may do what ---


class _Rights:
    """Reads `roles`, which may name the seed's own definitions."""

    def __init__(self, subscription: str, definitions: tuple[RoleDefinition, ...]) -> None:
        self._whole = f"/subscriptions/{subscription}"
        self._known = (*BUILT_IN, *definitions)

    def roles(self, reader: Reader) -> tuple[Role, ...]:
        if not reader.has("roles"):
            return (Role("Contributor", self._whole),)
        roles = []
        for entry in reader.objects("roles"):
            role = Role(entry.text("role"), entry.text("scope", self._whole))
            if find(self._known, role.role) is None:
                raise UsageError(f"a role is one of {', '.join(one.name for one in self._known)}")
            entry.done()
            roles.append(role)
        return tuple(roles)


def _definition(reader: Reader, subscription: str) -> RoleDefinition:
    name = reader.text("name")
    definition = RoleDefinition(
        guid=reader.text("id", str(uuid.uuid5(uuid.NAMESPACE_URL, name))),
        name=name,
        description=reader.text("description", ""),
        actions=reader.texts("actions"),
        not_actions=reader.texts("notActions"),
        data_actions=reader.texts("dataActions"),
        custom=True,
        scopes=reader.texts("scopes", (f"/subscriptions/{subscription}",)),
    )
    reader.done()
    return definition


def _keys(reader: Reader) -> Keys | None:
    keys = Keys(
        jwks=reader.raw("jwks"),
        jwks_file=reader.text("jwksFile", ""),
        public_key_file=reader.text("publicKeyFile", ""),
    )
    return None if keys == Keys() else keys


def _issuers(reader: Reader, given: Mapping[str, Any]) -> dict[str, Keys]:
    issuers = {}
    for issuer in given:
        entry = reader.nested(issuer)
        issuers[issuer.rstrip("/")] = _keys(entry) or Keys()
        entry.done()
    return issuers


def _federated(reader: Reader) -> tuple[FederatedCredential, ...]:
    credentials = []
    for index, entry in enumerate(reader.objects("federatedCredentials"), 1):
        credential = FederatedCredential(
            issuer=entry.text("issuer"),
            subject=entry.text("subject"),
            audiences=entry.texts("audiences", (FEDERATION_AUDIENCE,)),
            name=entry.text("name", f"federated-{index}"),
            keys=_keys(entry),
        )
        entry.done()
        credentials.append(credential)
    return tuple(credentials)


def _service_principal(reader: Reader, rights: _Rights) -> Principal:
    client_id = reader.text("clientId")
    principal = Principal(
        client_id=client_id,
        object_id=reader.text("objectId", client_id),
        name=reader.text("name", client_id),
        secret=reader.text("secret", ""),
        secret_expires=reader.number("secretExpires", 0) or None,
        roles=rights.roles(reader),
        federated=_federated(reader),
        certificate_files=reader.texts("certificateFiles"),
        graph_roles=reader.texts("graphRoles", GRAPH_ROLES),
    )
    reader.done()
    return principal


def _managed_identity(reader: Reader, rights: _Rights) -> Principal:
    client_id = reader.text("clientId")
    principal = Principal(
        client_id=client_id,
        object_id=reader.text("principalId", client_id),
        name=reader.text("name"),
        roles=rights.roles(reader),
        federated=_federated(reader),
        graph_roles=reader.texts("graphRoles", GRAPH_ROLES),
        resource_group=reader.text("resourceGroup"),
        location=reader.text("location", "eastus"),
        assigned=reader.flag("assigned", True),
        tags=reader.mapping("tags"),
    )
    reader.done()
    return principal


# --- resources ---


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
        identity=reader.mapping("identity"),
        sku=reader.mapping("sku"),
    )
    reader.done()
    return cluster


def _stored(kind: Kind, reader: Reader) -> Stored:
    stored = Stored(
        type=kind.type,
        name=reader.text("name"),
        resource_group=reader.text("resourceGroup"),
        location=normal_location(reader.text("location", "eastus")),
        tags=reader.mapping("tags"),
        properties=reader.mapping("properties"),
        top={name: value for name in kind.top if (value := reader.raw(name)) is not None},
    )
    reader.done()
    return stored


_REFERENCES = {
    "networkSecurityGroup": "networkSecurityGroups",
    "routeTable": "routeTables",
    "natGateway": "natGateways",
}
"""Fields of a subnet that point to another resource, and its type."""


def _network(reader: Reader, subscription: str) -> VirtualNetwork:
    name, group = reader.text("name"), reader.text("resourceGroup")
    base = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network"
    network = VirtualNetwork(
        name=name,
        resource_group=group,
        location=normal_location(reader.text("location", "eastus")),
        address_prefixes=reader.texts("addressPrefixes", ("10.0.0.0/8",)),
        subnets=tuple(_subnet(entry, base) for entry in reader.objects("subnets")),
        tags=reader.mapping("tags"),
        properties=reader.mapping("properties"),
    )
    reader.done()
    return network


def _subnet(reader: Reader, base: str) -> Subnet:
    name, properties = reader.text("name"), dict(reader.mapping("properties"))
    prefix = reader.text("addressPrefix", "10.240.0.0/16")
    for field, kind in _REFERENCES.items():
        if target := reader.text(field, ""):
            properties[field] = {"id": target if target.startswith("/") else f"{base}/{kind}/{target}"}
    used = reader.integer("usedAddresses", 0)
    machine = f"{base}/networkInterfaces/{name}-nic-{{}}/ipConfigurations/ipconfig1"
    subnet = Subnet(
        name=name,
        address_prefixes=reader.texts("addressPrefixes", (prefix,)),
        delegations=reader.texts("delegations", (CONTAINER_GROUPS,)),
        properties=properties,
        occupants=tuple(machine.format(number) for number in range(1, used + 1)),
        links=tuple(_link(entry) for entry in reader.objects("serviceAssociationLinks")),
    )
    reader.done()
    return subnet


def _link(reader: Reader) -> JSON:
    link = {
        "name": reader.text("name"),
        "linkedResourceType": reader.text("linkedResourceType"),
        "link": reader.text("link", ""),
        "allowDelete": reader.flag("allowDelete", False),
    }
    reader.done()
    return link


def _sizes(reader: Reader) -> dict[str, Size]:
    sizes = {}
    for system in ("Linux", "Windows"):
        if reader.has(system):
            entry = reader.nested(system)
            sizes[system] = Size(entry.number("cpu", Size().cpu), entry.number("memoryInGB", Size().memory))
            entry.done()
    reader.done()
    return sizes


def _cached_images(reader: Reader) -> dict[str, tuple[str, ...]]:
    images = {system: reader.texts(system, images) for system, images in DEFAULT_CACHED_IMAGES.items()}
    reader.done()
    return images
