"""The seed of an emulated Alibaba Cloud: one JSON object, every field optional.

    {
      "account": "1000000000000001",
      "regions": ["cn-hangzhou", {"id": "cn-shanghai", "name": "…",
                  "zones": ["cn-shanghai-b", {"id": "cn-shanghai-m", "stock": 8, "onSale": true,
                                              "schedulable": true}]}],
      "accessKeys": [{"id": "LTAI…", "secret": "…", "active": true}],          the account's own: may do all
      "users": [{"name": "alice", "policies": ["AliyunECIFullAccess", {"name": "mine", "actions": ["eci:*"]}],
                  "accessKeys": [{"id": "LTAI…", "secret": "…"}]}],
      "roles": [{"name": "vnode", "policies": […], "maxSessionDuration": 3600,
                  "trust": {"accounts": ["1000000000000001"], "services": ["ecs.aliyuncs.com"],
                      "oidc": [{"provider": "ack-rrsa", "subject": "system:serviceaccount:ns:name",
                                "audience": "sts.aliyuncs.com"}]}}],
      "oidcProviders": [{"name": "ack-rrsa", "issuer": "https://…", "clientIds": ["sts.aliyuncs.com"],
                  "jwks": {"keys": […]} or "jwksFile": "…" or "publicKeyFile": "sa.pub"}],
      "vpcs": [{"id": "vpc-1", "region": "cn-hangzhou", "name": "…", "cidr": "…", "default": false,
                  "status": "Available"}],
      "vswitches": [{"id": "vsw-1", "vpc": "vpc-1", "zone": "cn-hangzhou-h", "cidr": "…",
                  "freeAddresses": 252, "default": false, "status": "Available"}],
      "securityGroups": [{"id": "sg-1", "vpc": "vpc-1", "name": "…", "type": "normal",
                  "rules": [{"Direction": "ingress", …}]}],
      "natGateways": [{"id": "ngw-1", "vpc": "vpc-1", "eips": ["eip-1"], "snatTable": "stb-1",
                  "snatEntries": [{"id": "snat-1", "eips": ["eip-1"], "vswitch": "vsw-1" or "cidr": "…",
                                   "status": "Available"}],
                  "status": "Available"}],
      "eips": [{"id": "eip-1", "region": "cn-hangzhou", "address": "198.51.100.7", "bandwidth": "5",
                  "instance": "ngw-1", "instanceType": "Nat"}],
      "clusters": [{"id": "c1", "name": "ack", "region": "cn-hangzhou", "vpc": "vpc-1",
                  "vswitches": ["vsw-1"], "securityGroup": "sg-1", "kubeconfig": "path",
                  "version": "1.36.3-aliyun.1", "state": "running", "network": "flannel",
                  "addons": {"ack-virtual-node": "v2.13.0" or {"version": "…", "state": "active",
                             "config": "{}"}},
                  "rrsaProvider": "ack-rrsa",
                  "properties": {…}}],
      "quotas": {"cn-hangzhou": {"vcpu": 1000, "imageCaches": 500}},
      "instanceTypes": {"ecs.c6.large": {"cpu": 2, "memory": 4}},
      "inaccessibleImages": ["^private\\.example/"],        images that can never be pulled
      "streamProtocols": ["v4.channel.k8s.io", "channel.k8s.io"],   "v5.channel.k8s.io" is known too
      "streamFraming": "channel" or "raw",                          see `eci.streams`
      "timings": {…see config.Timings…},        "limits": {…see config.Limits…}
    }

A policy is the name of one of `config.SYSTEM_POLICIES`, or a name with its actions. A role without `trust`
may be assumed by its own account. A call that names no vSwitch or no security group gets the default ones of
its region, which are made when they are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vnodectl.emulator.alibaba.config import (
    DEFAULT_REGIONS,
    SYSTEM_POLICIES,
    AccessKey,
    Addon,
    AlibabaConfig,
    Cluster,
    Eip,
    InstanceType,
    Limits,
    NatGateway,
    OidcProvider,
    OidcTrust,
    Policy,
    Region,
    Role,
    SecurityGroup,
    SnatEntry,
    Timings,
    User,
    Vpc,
    VSwitch,
    Zone,
)
from vnodectl.emulator.documents import Reader, numbers, read_seed
from vnodectl.errors import UsageError

FRAMINGS = ("channel", "raw")


def config_of(document: Any) -> AlibabaConfig:
    """Raises UsageError with the place of what is wrong."""
    seed = Reader(document, "")
    base = AlibabaConfig()
    account = seed.text("account", base.account)
    users = [_user(entry) for entry in seed.objects("users")]
    config = AlibabaConfig(
        account=account,
        regions=regions_of(seed.raw("regions")) if seed.has("regions") else base.regions,
        access_keys=(
            *(_access_key(entry, "") for entry in seed.objects("accessKeys")),
            *(key for _, keys in users for key in keys),
        ),
        users=tuple(user for user, _ in users),
        roles=tuple(_role(entry, account) for entry in seed.objects("roles")),
        oidc_providers=tuple(_provider(entry) for entry in seed.objects("oidcProviders")),
        vpcs=tuple(_vpc(entry) for entry in seed.objects("vpcs")),
        vswitches=tuple(_vswitch(entry) for entry in seed.objects("vswitches")),
        security_groups=tuple(_security_group(entry) for entry in seed.objects("securityGroups")),
        nat_gateways=tuple(_nat_gateway(entry) for entry in seed.objects("natGateways")),
        eips=tuple(_eip(entry) for entry in seed.objects("eips")),
        clusters=tuple(_cluster(entry) for entry in seed.objects("clusters")),
        quotas=quotas_of(seed.mapping("quotas")),
        instance_types=_instance_types(seed.mapping("instanceTypes")) or base.instance_types,
        inaccessible_images=seed.texts("inaccessibleImages"),
        stream_protocols=(
            seed.texts("streamProtocols") if seed.has("streamProtocols") else base.stream_protocols
        ),
        stream_framing=seed.text("streamFraming", base.stream_framing),
        timings=numbers(Timings(), seed.nested("timings")),
        limits=numbers(Limits(), seed.nested("limits")),
    )
    if config.stream_framing not in FRAMINGS:
        raise UsageError(f"streamFraming must be one of {', '.join(FRAMINGS)}")
    seed.done()
    return config


def config_of_file(path: Path) -> AlibabaConfig:
    """Raises UsageError where the file is missing or not a seed."""
    return config_of(read_seed(path))


def regions_of(value: Any) -> tuple[Region, ...]:
    """From a list of names or objects. Raises UsageError."""
    if not isinstance(value, list) or not value:
        raise UsageError("regions must be a list with at least one region")
    return tuple(_region(entry, f"regions[{index}]") for index, entry in enumerate(value))


def quotas_of(value: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Limits by region and name (vcpu, imageCaches). Raises UsageError."""
    parsed = {}
    for region, limits in value.items():
        reader = Reader(limits, f"quotas.{region}")
        parsed[region] = {
            name: reader.number(name, 0) for name in ("vcpu", "imageCaches") if reader.has(name)
        }
        reader.done()
    return parsed


def stock_of(value: Mapping[str, Any]) -> dict[str, float | None]:
    """vCPUs by zone, None for one that is never sold out. Raises UsageError."""
    for zone, stock in value.items():
        number = isinstance(stock, (int, float)) and not isinstance(stock, bool) and stock >= 0
        if stock is not None and not number:
            raise UsageError(f"stock.{zone} must be a number of at least 0, or null")
    return dict(value)


def _region(entry: Any, place: str) -> Region:
    known = {region.id: region for region in DEFAULT_REGIONS}
    if isinstance(entry, str):
        return known.get(entry, Region(entry, entry, (Zone(f"{entry}-a"), Zone(f"{entry}-b"))))
    reader = Reader(entry, place)
    name = reader.text("id")
    base = known.get(name, Region(name, name, ()))
    given = reader.raw("zones") if reader.has("zones") else None
    if given is not None and not isinstance(given, list):
        raise UsageError(f"{place}.zones must be a list")
    region = replace(
        base,
        name=reader.text("name", base.name),
        zones=base.zones if given is None else tuple(_zone(one, f"{place}.zones") for one in given),
    )
    reader.done()
    if not region.zones:
        raise UsageError(f"{place}.zones is missing")
    return region


def _zone(entry: Any, place: str) -> Zone:
    if isinstance(entry, str):
        return Zone(entry)
    reader = Reader(entry, place)
    zone = Zone(
        id=reader.text("id"),
        stock=reader.number("stock", 0) if reader.has("stock") else None,
        on_sale=reader.flag("onSale", True),
        schedulable=reader.flag("schedulable", True),
    )
    reader.done()
    return zone


def _access_key(reader: Reader, user: str) -> AccessKey:
    key = AccessKey(reader.text("id"), reader.text("secret"), user, reader.flag("active", True))
    reader.done()
    return key


def _policies(reader: Reader) -> tuple[Policy, ...]:
    given = reader.raw("policies") if reader.has("policies") else []
    if not isinstance(given, list):
        raise UsageError("policies must be a list")
    policies = []
    for entry in given:
        if isinstance(entry, str):
            if entry not in SYSTEM_POLICIES:
                raise UsageError(
                    f"there is no system policy {entry!r} here",
                    hint=f"there are {', '.join(SYSTEM_POLICIES)}; give another one its actions",
                )
            policies.append(Policy(entry, SYSTEM_POLICIES[entry]))
            continue
        own = Reader(entry, "policies")
        policies.append(Policy(own.text("name"), own.texts("actions")))
        own.done()
    return tuple(policies)


def _user(reader: Reader) -> tuple[User, list[AccessKey]]:
    name = reader.text("name")
    user = User(name, _policies(reader))
    keys = [_access_key(entry, name) for entry in reader.objects("accessKeys")]
    reader.done()
    return user, keys


def _role(reader: Reader, account: str) -> Role:
    trusting = reader.has("trust")
    trust = reader.nested("trust")
    oidc = []
    for entry in trust.objects("oidc"):
        oidc.append(OidcTrust(entry.text("provider"), entry.text("subject"), entry.text("audience", "")))
        entry.done()
    role = Role(
        name=reader.text("name"),
        policies=_policies(reader),
        accounts=trust.texts("accounts", () if trusting else (account,)),
        services=trust.texts("services"),
        oidc=tuple(oidc),
        max_session=reader.number("maxSessionDuration", Role("").max_session),
    )
    trust.done()
    reader.done()
    return role


def _provider(reader: Reader) -> OidcProvider:
    provider = OidcProvider(
        name=reader.text("name"),
        issuer=reader.text("issuer"),
        client_ids=reader.texts("clientIds", ("sts.aliyuncs.com",)),
        jwks=reader.raw("jwks"),
        jwks_file=reader.text("jwksFile", ""),
        public_key_file=reader.text("publicKeyFile", ""),
    )
    reader.done()
    return provider


def _vpc(reader: Reader) -> Vpc:
    vpc = Vpc(
        id=reader.text("id"),
        region=reader.text("region", DEFAULT_REGIONS[0].id),
        name=reader.text("name", ""),
        cidr=reader.text("cidr", "172.16.0.0/12"),
        default=reader.flag("default", False),
        status=reader.text("status", "Available"),
    )
    reader.done()
    return vpc


def _vswitch(reader: Reader) -> VSwitch:
    vswitch = VSwitch(
        id=reader.text("id"),
        vpc=reader.text("vpc"),
        zone=reader.text("zone"),
        name=reader.text("name", ""),
        cidr=reader.text("cidr", "172.16.0.0/24"),
        free=reader.integer("freeAddresses", 252),
        default=reader.flag("default", False),
        status=reader.text("status", "Available"),
    )
    reader.done()
    return vswitch


def _security_group(reader: Reader) -> SecurityGroup:
    rules = reader.raw("rules") if reader.has("rules") else []
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise UsageError("rules must be a list of objects")
    group = SecurityGroup(
        id=reader.text("id"),
        vpc=reader.text("vpc"),
        name=reader.text("name", ""),
        rules=tuple(rules),
        default=reader.flag("default", False),
        type=reader.text("type", "normal"),
    )
    reader.done()
    return group


def _nat_gateway(reader: Reader) -> NatGateway:
    gateway = NatGateway(
        id=reader.text("id"),
        vpc=reader.text("vpc"),
        eips=reader.texts("eips"),
        snat_table=reader.text("snatTable", ""),
        snat_entries=tuple(_snat_entry(entry) for entry in reader.objects("snatEntries")),
        status=reader.text("status", "Available"),
    )
    reader.done()
    return gateway


def _snat_entry(reader: Reader) -> SnatEntry:
    entry = SnatEntry(
        id=reader.text("id"),
        eips=reader.texts("eips"),
        vswitch=reader.text("vswitch", ""),
        cidr=reader.text("cidr", ""),
        status=reader.text("status", "Available"),
    )
    reader.done()
    return entry


def _eip(reader: Reader) -> Eip:
    eip = Eip(
        id=reader.text("id"),
        region=reader.text("region", DEFAULT_REGIONS[0].id),
        address=reader.text("address"),
        bandwidth=reader.text("bandwidth", "5"),
        instance=reader.text("instance", ""),
        instance_type=reader.text("instanceType", ""),
    )
    reader.done()
    return eip


def _cluster(reader: Reader) -> Cluster:
    identity = reader.text("id")
    cluster = Cluster(
        id=identity,
        name=reader.text("name", identity),
        region=reader.text("region", DEFAULT_REGIONS[0].id),
        vpc=reader.text("vpc", ""),
        vswitches=reader.texts("vswitches"),
        security_group=reader.text("securityGroup", ""),
        kubeconfig=reader.text("kubeconfig", ""),
        version=reader.text("version", Cluster("", "", "").version),
        state=reader.text("state", "running"),
        network=reader.text("network", "flannel"),
        addons={name: _addon(one, f"addons.{name}") for name, one in reader.mapping("addons").items()},
        rrsa_provider=reader.text("rrsaProvider", ""),
        properties=reader.mapping("properties"),
    )
    reader.done()
    return cluster


def _addon(value: Any, place: str) -> Addon:
    """A version, or an object."""
    if isinstance(value, str):
        return Addon(value)
    reader = Reader(value, place)
    addon = Addon(reader.text("version"), reader.text("state", "active"), reader.text("config", "{}"))
    reader.done()
    return addon


def _instance_types(value: Mapping[str, Any]) -> dict[str, InstanceType]:
    types = {}
    for name, size in value.items():
        reader = Reader(size, f"instanceTypes.{name}")
        types[name] = InstanceType(reader.number("cpu", 2), reader.number("memory", 4))
        reader.done()
    return types
