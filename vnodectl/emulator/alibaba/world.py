"""What exists in the emulated Alibaba Cloud, except container groups and image caches: those are ECI's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vnodectl.emulator.alibaba.config import (
    AccessKey,
    AlibabaConfig,
    Cluster,
    Eip,
    InstanceType,
    Limits,
    NatGateway,
    OidcProvider,
    Region,
    Role,
    SecurityGroup,
    Timings,
    User,
    Vpc,
    VSwitch,
    Zone,
)
from vnodectl.emulator.alibaba.errors import ApiError
from vnodectl.emulator.clock import Clock

DEFAULT_QUOTA = {"vcpu": 1000.0, "imageCaches": 500.0}
"""As ListUsage shows them in ECI's reference; new accounts may have less."""


@dataclass(frozen=True, slots=True)
class Session:
    """Temporary credentials of STS. `expires` in seconds since the epoch, of the emulated clock."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    role: str
    name: str
    expires: float


class World:
    """State that changes only by calls."""

    def __init__(self, config: AlibabaConfig, clock: Clock) -> None:
        self.clock = clock
        self.reset(config)

    def reset(self, config: AlibabaConfig) -> None:
        """Back to what `config` says, which becomes the seed."""
        self.seeded = config
        self.timings: Timings = config.timings
        self.limits: Limits = config.limits
        self.instance_types: dict[str, InstanceType] = dict(config.instance_types)
        self.inaccessible_images = config.inaccessible_images
        self.stream_protocols = config.stream_protocols
        self.stream_framing = config.stream_framing
        self.quotas: dict[str, dict[str, float]] = {}
        self.regions: dict[str, Region] = {}
        self.stock: dict[str, float | None] = {}
        self.access_keys: dict[str, AccessKey] = {}
        self.sessions: dict[str, Session] = {}
        self.users: dict[str, User] = {}
        self.roles: dict[str, Role] = {}
        self.oidc_providers: dict[str, OidcProvider] = {}
        self.vpcs: dict[str, Vpc] = {}
        self.vswitches: dict[str, VSwitch] = {}
        self.security_groups: dict[str, SecurityGroup] = {}
        self.nat_gateways: dict[str, NatGateway] = {}
        self.eips: dict[str, Eip] = {}
        self.clusters: dict[str, Cluster] = {}
        self.set_regions(config.regions)
        self.add(config)

    def add(self, config: AlibabaConfig) -> None:
        """Add or replace the named things of `config`; settings of the whole cloud stay as they are."""
        self.access_keys |= {key.id: key for key in config.access_keys}
        self.users |= {user.name: user for user in config.users}
        self.roles |= {role.name: role for role in config.roles}
        self.oidc_providers |= {one.name: one for one in config.oidc_providers}
        self.vpcs |= {vpc.id: vpc for vpc in config.vpcs}
        self.vswitches |= {vswitch.id: vswitch for vswitch in config.vswitches}
        self.security_groups |= {group.id: group for group in config.security_groups}
        self.nat_gateways |= {gateway.id: gateway for gateway in config.nat_gateways}
        self.eips |= {eip.id: eip for eip in config.eips}
        self.clusters |= {cluster.id: cluster for cluster in config.clusters}
        for region, limits in config.quotas.items():
            self.quotas.setdefault(region, {}).update(limits)

    def with_settings(self, config: AlibabaConfig, given: set[str]) -> None:
        """Take over those settings of `config` that the seed named (`given`: its fields)."""
        if "regions" in given:
            self.set_regions(config.regions)
        if "instanceTypes" in given:
            self.instance_types = dict(config.instance_types)
        if "inaccessibleImages" in given:
            self.inaccessible_images = config.inaccessible_images
        if "streamProtocols" in given:
            self.stream_protocols = config.stream_protocols
        if "streamFraming" in given:
            self.stream_framing = config.stream_framing
        if "timings" in given:
            self.timings = config.timings
        if "limits" in given:
            self.limits = config.limits

    def set_regions(self, regions: tuple[Region, ...]) -> None:
        self.regions = {region.id: region for region in regions}
        self.stock = {zone.id: zone.stock for region in regions for zone in region.zones}

    @property
    def account(self) -> str:
        return self.seeded.account

    def quota(self, region: str, name: str) -> float:
        return self.quotas.get(region, {}).get(name, DEFAULT_QUOTA[name])

    # --- places ---

    def zone(self, identity: str) -> Zone | None:
        return next(
            (zone for region in self.regions.values() for zone in region.zones if zone.id == identity), None
        )

    def vpc_region(self, vpc: str) -> str:
        known = self.vpcs.get(vpc)
        return known.region if known else ""

    def vswitch(self, identity: str, region: str) -> VSwitch:
        """Raises ApiError 404 where it is not in the region."""
        vswitch = self.vswitches.get(identity)
        if vswitch is None or self.vpc_region(vswitch.vpc) != region:
            raise ApiError(404, "InvalidVSwitchId.NotFound", "The specified VSwitchId does not exist.")
        return vswitch

    def security_group(self, identity: str, region: str) -> SecurityGroup:
        """Raises ApiError 404 where it is not in the region."""
        group = self.security_groups.get(identity)
        if group is None or self.vpc_region(group.vpc) != region:
            raise ApiError(
                404, "InvalidSecurityGroupId.NotFound", "The specified SecurityGroupId does not exist."
            )
        return group

    def eip(self, identity: str, region: str) -> Eip:
        """Raises ApiError 404 where it is not in the region."""
        eip = self.eips.get(identity)
        if eip is None or eip.region != region:
            raise ApiError(404, "InvalidAllocationId.NotFound", "Specified allocation ID does not exist.")
        return eip

    def bind_eip(self, identity: str, instance: str) -> None:
        """To a container group; "" frees it."""
        kind = "EciInstance" if instance else ""
        self.eips[identity] = replace(self.eips[identity], instance=instance, instance_type=kind)

    def default_vswitch(self, region: str, zone: str = "") -> VSwitch:
        """The region's default one (in `zone`), made when there is none, as ECI does."""
        for vswitch in self.vswitches.values():
            if vswitch.default and self.vpc_region(vswitch.vpc) == region and zone in ("", vswitch.zone):
                return vswitch
        zone = zone or self.regions[region].zones[0].id
        vpc = self._default_vpc(region)
        made = VSwitch(f"vsw-default-{zone}", vpc.id, zone, "default", default=True)
        self.vswitches[made.id] = made
        return made

    def default_security_group(self, vpc: str) -> SecurityGroup:
        """The network's default one, made when there is none."""
        for group in self.security_groups.values():
            if group.default and group.vpc == vpc:
                return group
        made = SecurityGroup(f"sg-default-{vpc}", vpc, "default", default=True)
        self.security_groups[made.id] = made
        return made

    def _default_vpc(self, region: str) -> Vpc:
        for vpc in self.vpcs.values():
            if vpc.default and vpc.region == region:
                return vpc
        made = Vpc(f"vpc-default-{region}", region, "default", default=True)
        self.vpcs[made.id] = made
        return made
