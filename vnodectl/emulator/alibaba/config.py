"""What an emulated Alibaba Cloud contains at its start. `seed` documents the JSON it is read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vnodectl.emulator.documents import JSON

SYSTEM_POLICIES: Mapping[str, tuple[str, ...]] = {
    "AdministratorAccess": ("*",),
    "ReadOnlyAccess": ("*:Describe*", "*:Get*", "*:List*"),
    "AliyunECIFullAccess": (
        "eci:*",
        "ecs:DescribeSecurityGroups",
        "vpc:DescribeEipAddresses",
        "vpc:DescribeVSwitches",
        "vpc:DescribeVpcs",
    ),
    "AliyunECIReadOnlyAccess": ("eci:Describe*", "eci:List*"),
    "AliyunVPCReadOnlyAccess": ("vpc:Describe*", "vpc:Get*", "vpc:List*"),
    "AliyunECSReadOnlyAccess": ("ecs:Describe*", "ecs:List*"),
    "AliyunCSFullAccess": ("cs:*",),
    "AliyunCSReadOnlyAccess": (
        "cs:DescribeClusterAddons*",
        "cs:DescribeClusterDetail",
        "cs:DescribeClusters*",
        "cs:Get*",
        "cs:List*",
    ),
    "AliyunSTSAssumeRoleAccess": ("sts:AssumeRole",),
    "AliyunRAMReadOnlyAccess": ("ram:Get*", "ram:List*"),
}
"""Actions by policy, as far as this emulator has them; `*` stands for any characters."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`actions` like "eci:CreateContainerGroup" or "eci:Describe*"; there are no resources or conditions."""

    name: str
    actions: tuple[str, ...]

    @property
    def system(self) -> bool:
        return self.name in SYSTEM_POLICIES


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Of the RAM user `user`, or of the account itself for ""."""

    id: str
    secret: str = field(repr=False)
    user: str = ""
    active: bool = True


@dataclass(frozen=True, slots=True)
class User:
    name: str
    policies: tuple[Policy, ...] = ()


@dataclass(frozen=True, slots=True)
class OidcTrust:
    """Who may assume a role with a token. An empty `audience` stands for any that the provider accepts."""

    provider: str
    subject: str
    audience: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """`accounts` may assume it with keys, `services` are named in its document, `oidc` with tokens."""

    name: str
    policies: tuple[Policy, ...] = ()
    accounts: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    oidc: tuple[OidcTrust, ...] = ()
    max_session: float = 3600.0


@dataclass(frozen=True, slots=True)
class OidcProvider:
    """The keys are read when a token is presented."""

    name: str
    issuer: str
    client_ids: tuple[str, ...] = ("sts.aliyuncs.com",)
    jwks: JSON | None = None
    jwks_file: str = ""
    public_key_file: str = ""


@dataclass(frozen=True, slots=True)
class Zone:
    """`stock` in vCPUs (None: never sold out). `on_sale` False refuses groups, `schedulable` False lets them
    be accepted and then fail to be scheduled for want of stock."""

    id: str
    stock: float | None = None
    on_sale: bool = True
    schedulable: bool = True


@dataclass(frozen=True, slots=True)
class Region:
    id: str
    name: str
    zones: tuple[Zone, ...]


@dataclass(frozen=True, slots=True)
class Vpc:
    id: str
    region: str
    name: str = ""
    cidr: str = "172.16.0.0/12"
    default: bool = False
    status: str = "Available"


@dataclass(frozen=True, slots=True)
class VSwitch:
    """`free` addresses, less those of the container groups in it. `status` Available or Pending."""

    id: str
    vpc: str
    zone: str
    name: str = ""
    cidr: str = "172.16.0.0/24"
    free: int = 252
    default: bool = False
    status: str = "Available"


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """`rules` are permissions as DescribeSecurityGroupAttribute shows them; `type` normal or enterprise."""

    id: str
    vpc: str
    name: str = ""
    rules: tuple[JSON, ...] = ()
    default: bool = False
    type: str = "normal"


@dataclass(frozen=True, slots=True)
class SnatEntry:
    """Lets a vSwitch, or the addresses of `cidr`, out through the addresses of EIPs (their ids)."""

    id: str
    eips: tuple[str, ...]
    vswitch: str = ""
    cidr: str = ""
    status: str = "Available"


@dataclass(frozen=True, slots=True)
class NatGateway:
    id: str
    vpc: str
    eips: tuple[str, ...] = ()
    snat_table: str = ""
    snat_entries: tuple[SnatEntry, ...] = ()
    status: str = "Available"


@dataclass(frozen=True, slots=True)
class Eip:
    """`instance`: what it is bound to, "" for none."""

    id: str
    region: str
    address: str
    bandwidth: str = "5"
    instance: str = ""
    instance_type: str = ""


@dataclass(frozen=True, slots=True)
class Addon:
    """Of a cluster. `state` active, updating, uninstalling, install_failed …; `config` is JSON as text."""

    version: str
    state: str = "active"
    config: str = "{}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Of ACK. `kubeconfig` is a file, read at each request. `properties` are laid over what is shown.

    `state` initial, running, updating, unavailable, failed …; `network` the network plug-in: flannel,
    terway-eniip …
    """

    id: str
    name: str
    region: str
    vpc: str = ""
    vswitches: tuple[str, ...] = ()
    security_group: str = ""
    kubeconfig: str = ""
    version: str = "1.36.3-aliyun.1"
    state: str = "running"
    network: str = "flannel"
    addons: Mapping[str, Addon] = field(default_factory=dict)
    rrsa_provider: str = ""
    properties: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InstanceType:
    """In vCPUs and GiB."""

    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of the emulated clock.

    A group is Scheduling for `scheduling`, then Pending until its containers run, Restarting or Updating for
    `changing` and Terminating for `deleting` at least. An ended group is kept for `retention`, then only
    among the last `Limits.ended_groups`; one that failed to be scheduled for `failed_retention`. Spot groups
    expire after `spot_life` (0: never). A client token is remembered for `client_token`. `termination_grace`
    (a group's own wins) is real time between TERM and KILL, `exec_sync` and `hook` the real time that a
    command and a lifecycle hook may take. ECI documents one hour and 24 hours of retention, and 30 seconds
    for the address of an exec.
    """

    scheduling: float = 1.0
    changing: float = 0.5
    deleting: float = 0.5
    image_cache: float = 60.0
    retention: float = 3600.0
    failed_retention: float = 86400.0
    spot_life: float = 0.0
    client_token: float = 86400.0
    exec_ticket: float = 30.0
    exec_sync: float = 10.0
    hook: float = 10.0
    termination_grace: float = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """0 means no limit.

    ECI's documented calls a minute of an account; sizes that its API reference gives: 32 KB for a config
    file, 2,048 characters for an executed command. `strict_lengths` also holds requests to what the reference
    says of commands and variables (256 characters each, 20 words of command, 10 arguments).
    """

    create_container_group: int = 1000
    delete_container_group: int = 1000
    update_container_group: int = 500
    restart_container_group: int = 500
    describe_container_groups: int = 2000
    describe_container_group_status: int = 10_000
    describe_container_group_events: int = 10_000
    describe_container_log: int = 500
    exec_container_command: int = 500
    describe_container_group_metric: int = 2000
    describe_multi_container_group_metric: int = 500
    describe_regions: int = 10_000
    create_image_cache: int = 200
    tag_resources: int = 1000
    untag_resources: int = 1000
    list_tag_resources: int = 1000
    resize_container_group_volume: int = 6000
    config_file_bytes: int = 32 * 1024
    command_length: int = 2048
    ended_groups: int = 100
    strict_lengths: bool = False


def zones(region: str, letters: str) -> tuple[Zone, ...]:
    return tuple(Zone(f"{region}-{letter}") for letter in letters)


DEFAULT_REGIONS = (
    Region("cn-hangzhou", "China (Hangzhou)", zones("cn-hangzhou", "hijk")),
    Region("cn-shanghai", "China (Shanghai)", zones("cn-shanghai", "blm")),
    Region("cn-beijing", "China (Beijing)", zones("cn-beijing", "ghij")),
    Region("ap-southeast-1", "Singapore", tuple(Zone(f"ap-southeast-1{letter}") for letter in "abc")),
)
DEFAULT_TYPES: Mapping[str, InstanceType] = {
    "ecs.c6.large": InstanceType(2, 4),
    "ecs.c6.xlarge": InstanceType(4, 8),
    "ecs.c6.2xlarge": InstanceType(8, 16),
    "ecs.g6.large": InstanceType(2, 8),
    "ecs.g6.xlarge": InstanceType(4, 16),
    "ecs.gn6i-c4g1.xlarge": InstanceType(4, 15),
}


@dataclass(frozen=True, slots=True)
class AlibabaConfig:
    """`stream_protocols` and `stream_framing` are those of `eci.streams`."""

    account: str = "1000000000000001"
    regions: tuple[Region, ...] = DEFAULT_REGIONS
    access_keys: tuple[AccessKey, ...] = ()
    users: tuple[User, ...] = ()
    roles: tuple[Role, ...] = ()
    oidc_providers: tuple[OidcProvider, ...] = ()
    vpcs: tuple[Vpc, ...] = ()
    vswitches: tuple[VSwitch, ...] = ()
    security_groups: tuple[SecurityGroup, ...] = ()
    nat_gateways: tuple[NatGateway, ...] = ()
    eips: tuple[Eip, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    quotas: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    instance_types: Mapping[str, InstanceType] = field(default_factory=lambda: dict(DEFAULT_TYPES))
    inaccessible_images: tuple[str, ...] = ()
    stream_protocols: tuple[str, ...] = ("v4.channel.k8s.io", "channel.k8s.io")
    stream_framing: str = "channel"
    timings: Timings = Timings()
    limits: Limits = Limits()
