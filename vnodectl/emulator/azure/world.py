"""What exists in the emulated Azure, except container groups: those live with their service."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vnodectl.emulator.azure.config import (
    AzureConfig,
    Keys,
    Limits,
    Principal,
    Region,
    RoleDefinition,
    SeededCluster,
    Size,
    Stored,
    Timings,
    VirtualNetwork,
    normal_location,
)
from vnodectl.emulator.azure.errors import ArmError, bad_request, resource_group_not_found
from vnodectl.emulator.azure.roles import BUILT_IN, find
from vnodectl.emulator.clock import Clock

NAMESPACES = (
    "Microsoft.Authorization",
    "Microsoft.ContainerInstance",
    "Microsoft.ContainerRegistry",
    "Microsoft.ContainerService",
    "Microsoft.Insights",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.Resources",
    "Microsoft.StandbyPool",
    "Microsoft.Storage",
)
ALWAYS_REGISTERED = ("Microsoft.Authorization", "Microsoft.Resources")
DEFAULT_QUOTA = {
    "ContainerGroups": 100,
    "StandardCores": 100,
    "StandardSpotCores": 100,
    "StandardK80Cores": 0,
    "StandardP100Cores": 0,
    "StandardV100Cores": 0,
}
"""ACI's defaults for new subscriptions: 100 groups and 100 cores in a region, and no GPU."""


@dataclass(slots=True)
class ResourceGroup:
    name: str
    location: str
    tags: dict[str, str]
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class RoleAssignment:
    """`name` is a GUID; in force from `since` (seconds of the clock)."""

    name: str
    scope: str
    role: RoleDefinition
    principal_id: str
    principal_type: str
    since: float
    description: str = ""

    @property
    def id(self) -> str:
        return f"{self.scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{self.name}"


@dataclass(frozen=True, slots=True)
class Registration:
    """`state` until `until` (seconds of the clock; None: for good), then `then`."""

    state: str
    until: float | None = None
    then: str = ""


class World:
    """State that changes only by calls; what time changes is computed from the clock when it is read."""

    def __init__(self, config: AzureConfig, clock: Clock) -> None:
        self.clock = clock
        self.seeded = config
        self.reset(config)

    def reset(self, config: AzureConfig) -> None:
        """Back to what `config` says, which becomes the seed."""
        self.seeded = config
        self.timings: Timings = config.timings
        self.limits: Limits = config.limits
        self.sizes: dict[str, Size] = dict(config.sizes)
        self.regions: dict[str, Region] = {region.name: region for region in config.regions}
        self.inaccessible_images = config.inaccessible_images
        self.quotas = {region: dict(limits) for region, limits in config.quotas.items()}
        self.subscription_state = config.subscription_state
        self.cached_images = dict(config.cached_images)
        self.principals: dict[str, Principal] = {}
        self.roles: dict[str, RoleDefinition] = {role.guid: role for role in BUILT_IN}
        self.assignments: dict[str, RoleAssignment] = {}
        self.issuers: dict[str, Keys] = {}
        self.resource_groups: dict[str, ResourceGroup] = {}
        self.clusters: dict[tuple[str, str], SeededCluster] = {}
        self.networks: dict[tuple[str, str], VirtualNetwork] = {}
        self.stored: dict[tuple[str, str, str], Stored] = {}
        self.group_links: set[str] = set()
        """Ids, in lower case, of subnets that have ACI's service association link."""
        self._registrations: dict[str, Registration] = {}
        self.add(config)

    def add(self, config: AzureConfig) -> None:
        """Add or replace the named things of `config`; settings of the whole cloud stay as they are."""
        for role in config.role_definitions:
            self.roles[role.guid.casefold()] = role
        for principal in config.principals:
            self._add_principal(principal)
        self.issuers.update(config.issuers)
        for group in config.resource_groups:
            self.ensure_group(group.name, group.location, dict(group.tags))
        for cluster in config.clusters:
            self.ensure_group(cluster.resource_group, cluster.location)
            self.ensure_group(cluster.node_resource_group, cluster.location)
            self.clusters[cluster.resource_group.casefold(), cluster.name.casefold()] = cluster
        for network in config.networks:
            self.ensure_group(network.resource_group, network.location)
            self.networks[network.resource_group.casefold(), network.name.casefold()] = network
        for stored in config.stored:
            self.ensure_group(stored.resource_group, stored.location)
            key = (stored.type, stored.resource_group, stored.name)
            self.stored[key[0].casefold(), key[1].casefold(), key[2].casefold()] = stored
        for namespace, state in config.providers.items():
            self.set_registration(namespace, state)
        for region, limits in config.quotas.items():
            self.quotas.setdefault(region, {}).update(limits)

    def _add_principal(self, principal: Principal) -> None:
        """Its roles replace those that it had."""
        if principal.managed:
            self.ensure_group(principal.resource_group, principal.location)
        self.principals[principal.client_id.casefold()] = principal
        for key in [key for key, one in self.assignments.items() if one.principal_id == principal.object_id]:
            del self.assignments[key]
        for given in principal.roles:
            role = find(self.roles.values(), given.role)
            if role is None:  # Defined by an earlier seed that has been replaced since.
                continue
            name = str(
                uuid.uuid5(uuid.NAMESPACE_URL, f"{given.scope}/{role.guid}/{principal.object_id}".casefold())
            )
            self.assign(
                RoleAssignment(name, given.scope, role, principal.object_id, "ServicePrincipal", since=0.0)
            )

    def assign(self, assignment: RoleAssignment) -> None:
        self.assignments[assignment.id.casefold()] = assignment

    def assigned(self, principal: Principal) -> list[RoleAssignment]:
        """What is in force for `principal` now."""
        now = self.clock.now()
        return [
            one
            for one in self.assignments.values()
            if one.principal_id.casefold() == principal.object_id.casefold() and one.since <= now
        ]

    def principal_of(self, object_id: str) -> Principal | None:
        wanted = object_id.casefold()
        return next((one for one in self.principals.values() if one.object_id.casefold() == wanted), None)

    def ensure_group(self, name: str, location: str, tags: dict[str, str] | None = None) -> None:
        if name.casefold() not in self.resource_groups:
            self.resource_groups[name.casefold()] = ResourceGroup(name, normal_location(location), tags or {})

    @property
    def subscription(self) -> str:
        return self.seeded.subscription

    @property
    def tenant(self) -> str:
        return self.seeded.tenant

    def resource_group(self, name: str) -> ResourceGroup:
        """Raises ArmError 404."""
        group = self.resource_groups.get(name.casefold())
        if group is None:
            raise resource_group_not_found(name)
        return group

    def group_for_writing(self, name: str) -> ResourceGroup:
        """Raises ArmError where it is missing or going away."""
        group = self.resource_group(name)
        if group.deleting:
            raise ArmError(
                409,
                "ResourceGroupBeingDeleted",
                f"The resource group '{name}' is in deprovisioning state and cannot perform this operation.",
            )
        return group

    def region(self, location: str, kind: str) -> Region:
        """Where a resource of type `kind` may go. Raises ArmError 400."""
        region = self.regions.get(normal_location(location))
        container_group = kind.casefold().startswith("microsoft.containerinstance/")
        if region is None or (container_group and not region.container_instances):
            offered = [
                one.name for one in self.regions.values() if one.container_instances or not container_group
            ]
            raise bad_request(
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available for resource type '{kind}'. "
                f"List of available regions for the resource type is '{','.join(sorted(offered))}'.",
            )
        return region

    def quota(self, region: str, name: str) -> int:
        return self.quotas.get(region, {}).get(name, DEFAULT_QUOTA[name])

    def size(self, system: str, region: Region) -> Size:
        """The largest group of the region, else of the cloud."""
        return region.sizes.get(system) or self.sizes.get(system, Size())

    # --- resource providers ---

    def namespaces(self) -> Iterator[str]:
        known = {name.casefold(): name for name in (*NAMESPACES, *self.seeded.providers)}
        return iter(sorted(known.values(), key=str.casefold))

    def namespace(self, name: str) -> str | None:
        """As Azure spells it; None for one that does not exist."""
        return next((known for known in self.namespaces() if known.casefold() == name.casefold()), None)

    def registration(self, namespace: str) -> str:
        """Registered, Registering, NotRegistered or Unregistering, now."""
        entry = self._registrations.get(namespace.casefold(), Registration("Registered"))
        if entry.until is not None and self.clock.now() >= entry.until:
            return entry.then
        return entry.state

    def set_registration(self, namespace: str, state: str) -> None:
        """At once; for `Registering` and `Unregistering` the time until the end begins now."""
        final = {"Registering": "Registered", "Unregistering": "NotRegistered"}.get(state)
        until = self.clock.now() + self.timings.registration if final else None
        self._registrations[namespace.casefold()] = Registration(state, until, final or "")

    def with_settings(self, config: AzureConfig, given: set[str]) -> None:
        """Take over those settings of `config` that the seed named (`given`: its fields)."""
        if "regions" in given:
            self.regions = {region.name: region for region in config.regions}
        if "sizes" in given:
            self.sizes = dict(config.sizes)
        if "subscriptionState" in given:
            self.subscription_state = config.subscription_state
        if "cachedImages" in given:
            self.cached_images = dict(config.cached_images)
        if "inaccessibleImages" in given:
            self.inaccessible_images = config.inaccessible_images
        if "timings" in given:
            self.timings = config.timings
        if "limits" in given:
            self.limits = config.limits
        self.seeded = replace(self.seeded, providers={**self.seeded.providers, **config.providers})
