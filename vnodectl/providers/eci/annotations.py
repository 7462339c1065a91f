"""The pod annotations of Elastic Container Instance, in one table.

Names and meanings are those of "Annotations for Elastic Container Instance-based pods". `parameter` is what
CreateContainerGroup (2018-08-08) has for it. An annotation without one cannot be honoured by anybody who
uses the public API: where the pod would silently run otherwise than it says, it is rejected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vnodectl.providers.eci import annotation_values as values
from vnodectl.providers.eci.annotation_values import Parse
from vnodectl.providers.eci.settings import SECURITY_GROUPS_MAX, VSWITCHES_MAX
from vnodectl.runtime.provider import JSON, Rejected

PREFIX = "k8s.aliyun.com/"

VSWITCH = f"{PREFIX}eci-vswitch"
SECURITY_GROUP = f"{PREFIX}eci-security-group"
SCHEDULE_STRATEGY = f"{PREFIX}eci-schedule-strategy"
USE_SPECS = f"{PREFIX}eci-use-specs"
SPOT_STRATEGY = f"{PREFIX}eci-spot-strategy"
SPOT_PRICE_LIMIT = f"{PREFIX}eci-spot-price-limit"
SPOT_FALLBACK = f"{PREFIX}eci-spot-fallback"
FAIL_STRATEGY = f"{PREFIX}eci-fail-strategy"
FAIL_ON_CREATE_ERROR = f"{PREFIX}pod-fail-on-create-err"
AUTO_IMAGE_CACHE = f"{PREFIX}eci-auto-imc"
IMAGE_CACHE = f"{PREFIX}eci-imc-id"
CUSTOM_HOSTS = f"{PREFIX}eci-custom-hosts"
CUSTOM_TAGS = f"{PREFIX}eci-custom-tags"
CUSTOM_DNS = f"{PREFIX}eci-custom-dnsconfig"
HOST_SYSCTLS = f"{PREFIX}eci-host-sysctls"
WITH_EIP = f"{PREFIX}eci-with-eip"
EIP_INSTANCE = f"{PREFIX}eci-eip-instanceid"
ENABLE_IPV6 = f"{PREFIX}eci-enable-ipv6"
EXTRA_STORAGE = f"{PREFIX}eci-extra-ephemeral-storage"
FIXED_IP = f"{PREFIX}eci-fixed-ip"
ACR_INSTANCES = f"{PREFIX}acr-instance-ids"
ACR_SERVICE_ARNS = f"{PREFIX}acr-service-arns"
ACR_USER_ARNS = f"{PREFIX}acr-user-arns"
CUSTOM_TAGS_MAX = 3


class Effect(StrEnum):
    SET = "set"
    """It becomes the parameter."""
    IGNORED = "ignored"
    """It makes no difference here; `why` says why."""
    REJECTED = "rejected"
    """A pod with it cannot run as it says; `why` says why."""
    OLDER = "older"
    """An older name, which the documents still have, of the annotation `why`."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """`parse` turns the value into the parameter's; None: it takes part in something larger."""

    name: str
    example: str
    meaning: str
    parameter: str = ""
    effect: Effect = Effect.SET
    why: str = ""
    parse: Parse | None = None


def rejected(name: str, message: str) -> Rejected:
    return Rejected("InvalidAnnotation", message, field=field(name))


def field(name: str) -> str:
    return f"metadata.annotations[{name}]"


# --- the table ------------------------------------------------------------------------------------


def _no_parameter(what: str) -> str:
    return f"the public API has no parameter for {what}"


TABLE: tuple[Annotation, ...] = (
    # Instances
    Annotation(
        VSWITCH,
        "vsw-1,vsw-2",
        f"vSwitches to place the pod in, at most {VSWITCHES_MAX}, instead of the connector's.",
        "VSwitchId",
        parse=values.names(VSWITCHES_MAX),
    ),
    Annotation(
        SCHEDULE_STRATEGY,
        "VSwitchOrdered",
        "How one of several vSwitches is chosen: VSwitchOrdered or VSwitchRandom (best stock).",
        "ScheduleStrategy",
        parse=values.one_of("VSwitchOrdered", "VSwitchRandom"),
    ),
    Annotation(
        USE_SPECS,
        "2-4Gi,4-8Gi,ecs.c6.xlarge",
        "Up to five specifications to try in order, instead of what the containers ask for.",
        "InstanceType",
    ),
    Annotation(
        f"{PREFIX}eci-gpu-driver-version",
        "tesla=535",
        "Version of the GPU driver.",
        "GpuDriverVersion",
        parse=values.text,
    ),
    Annotation(
        f"{PREFIX}eci-compute-category",
        "economy,general",
        "Compute categories to try in order.",
        "ComputeCategory",
        parse=values.several,
    ),
    Annotation(
        SPOT_STRATEGY,
        "SpotAsPriceGo",
        "A preemptible instance: SpotAsPriceGo or SpotWithPriceLimit.",
        "SpotStrategy",
        parse=values.one_of("SpotAsPriceGo", "SpotWithPriceLimit", "NoSpot"),
    ),
    Annotation(
        SPOT_PRICE_LIMIT,
        "0.5",
        "Highest price per hour, with SpotWithPriceLimit.",
        "SpotPriceLimit",
        parse=values.price,
    ),
    Annotation(
        f"{PREFIX}eci-spot-duration",
        "1",
        "Hours for which a preemptible instance is protected; 0 for none.",
        "SpotDuration",
        parse=values.whole(0, 6),
    ),
    Annotation(
        SPOT_FALLBACK, "true", "Pay as you go where no preemptible instance is in stock.", "StrictSpot"
    ),
    Annotation(
        FAIL_STRATEGY,
        "fail-back",
        "fail-back and fail-over: create again until it works; fail-fast: the pod fails at once.",
        effect=Effect.SET,
        parse=values.one_of("fail-back", "fail-over", "fail-fast"),
    ),
    Annotation(
        FAIL_ON_CREATE_ERROR,
        "true",
        "The same as eci-fail-strategy fail-fast.",
        parse=values.flag,
    ),
    Annotation(
        f"{PREFIX}eci-cpu-option-core",
        "2",
        "Physical cores.",
        "CpuOptionsCore",
        parse=values.whole(1),
    ),
    Annotation(
        f"{PREFIX}eci-cpu-option-ht",
        "1",
        "Threads of each core: 1 turns hyper-threading off.",
        "CpuOptionsThreadsPerCore",
        parse=values.whole(1, 2),
    ),
    Annotation(
        f"{PREFIX}eci-max-pending-minute",
        "30",
        "Minutes after which an instance that does not start is given up, 10 to 1440.",
        "MaxPendingMinute",
        parse=values.whole(10, 1440),
    ),
    Annotation(
        CUSTOM_HOSTS,
        '[{"host":"example.com","ip":"100.100.0.1"}]',
        "Lines of /etc/hosts, besides the pod's hostAliases.",
        "HostAliase",
    ),
    Annotation(CUSTOM_TAGS, "env:test,name:alice", f"Up to {CUSTOM_TAGS_MAX} tags on the instance.", "Tag"),
    Annotation(
        f"{PREFIX}eci-ram-role-name",
        "AliyunECIContainerGroupRole",
        "RAM role that the pod may assume.",
        "RamRoleName",
        parse=values.text,
    ),
    Annotation(
        f"{PREFIX}eci-resource-group-id",
        "rg-1",
        "Resource group, instead of the connector's.",
        "ResourceGroupId",
        parse=values.text,
    ),
    # Images
    Annotation(
        AUTO_IMAGE_CACHE,
        "true",
        "Use an image cache that fits.",
        "AutoMatchImageCache",
        parse=values.flag,
    ),
    Annotation(IMAGE_CACHE, "imc-1", "The image cache to use.", "ImageSnapshotId", parse=values.text),
    Annotation(
        ACR_INSTANCES,
        "cri-1,cn-beijing:cri-2",
        "Container Registry Enterprise Edition instances to pull from without a secret.",
        "AcrRegistryInfo",
    ),
    Annotation(
        ACR_SERVICE_ARNS,
        "acs:ram::1609982529:role/role-assume",
        "RAM roles of the instance's account for it, one per registry or one for all.",
        "AcrRegistryInfo",
    ),
    Annotation(
        ACR_USER_ARNS,
        "acs:ram::1298452580:role/role-acr",
        "RAM roles of the registry's account for it.",
        "AcrRegistryInfo",
    ),
    Annotation(
        f"{PREFIX}plain-http-registry",
        "harbor.example.com,192.168.0.1:5000",
        "Registries that are reached over plain HTTP.",
        "PlainHttpRegistry",
        parse=values.text,
    ),
    Annotation(
        f"{PREFIX}insecure-registry",
        "harbor.example.com,192.168.0.1:5000",
        "Registries whose certificate is not checked.",
        "InsecureRegistry",
        parse=values.text,
    ),
    # Data caches
    Annotation(
        f"{PREFIX}eci-data-cache-bucket",
        "default",
        "Bucket of the data cache to use.",
        "DataCacheBucket",
        parse=values.text,
    ),
    Annotation(
        f"{PREFIX}eci-data-cache-pl",
        "PL1",
        "Performance level of the data cache's disk.",
        "DataCachePL",
        parse=values.text,
    ),
    Annotation(
        f"{PREFIX}eci-data-cache-provisionedIops",
        "40000",
        "Provisioned IOPS of the data cache's disk.",
        "DataCacheProvisionedIops",
        parse=values.whole(0),
    ),
    Annotation(
        f"{PREFIX}eci-data-cache-burstingEnabled",
        "true",
        "Bursts of the data cache's disk.",
        "DataCacheBurstingEnabled",
        parse=values.flag,
    ),
    # Network
    Annotation(
        SECURITY_GROUP,
        "sg-1",
        f"Security groups, at most {SECURITY_GROUPS_MAX}, instead of the connector's.",
        "SecurityGroupId",
        parse=values.names(SECURITY_GROUPS_MAX),
    ),
    Annotation(EIP_INSTANCE, "eip-1", "An existing EIP for the pod.", "EipInstanceId", parse=values.text),
    Annotation(WITH_EIP, "true", "Make an EIP for the pod.", "AutoCreateEip", parse=values.flag),
    Annotation(
        f"{PREFIX}eip-bandwidth",
        "5",
        "The new EIP's bandwidth in Mbit/s.",
        "EipBandwidth",
        parse=values.whole(1, 1_000_000),
    ),
    Annotation(
        f"{PREFIX}eip-common-bandwidth-package-id",
        "cbwp-1",
        "The new EIP's bandwidth plan.",
        "EipCommonBandwidthPackage",
        parse=values.text,
    ),
    Annotation(
        f"{PREFIX}eip-isp",
        "BGP",
        "The new EIP's line: BGP or BGP_PRO.",
        "EipISP",
        parse=values.one_of("BGP", "BGP_PRO"),
    ),
    Annotation(ENABLE_IPV6, "true", "Give the pod an IPv6 address.", "Ipv6AddressCount", parse=values.ipv6),
    Annotation(
        f"{PREFIX}eci-ipv6-bandwidth-enable",
        "true",
        "Reach the Internet over IPv6.",
        "Ipv6GatewayBandwidthEnable",
        parse=values.flag,
    ),
    Annotation(
        f"{PREFIX}eci-ipv6-bandwidth",
        "100M",
        "Highest bandwidth of the IPv6 address.",
        "Ipv6GatewayBandwidth",
        parse=values.text,
    ),
    Annotation(
        f"{PREFIX}eci-private-ip-address",
        "172.16.0.1",
        "The pod's private IPv4 address; it must be idle.",
        "PrivateIpAddress",
        parse=values.text,
    ),
    Annotation(FIXED_IP, "true", "Keep the pod's address for its successor.", "FixedIp", parse=values.flag),
    Annotation(
        f"{PREFIX}eci-fixed-ip-retain-hour",
        "24",
        "Hours for which an idle fixed address is kept.",
        "FixedIpRetainHour",
        parse=values.whole(1),
    ),
    Annotation(
        "kubernetes.io/ingress-bandwidth",
        "40M",
        "Bandwidth into the pod, in bytes a second.",
        "IngressBandwidth",
        parse=values.bits_per_second,
    ),
    Annotation(
        "kubernetes.io/egress-bandwidth",
        "20M",
        "Bandwidth out of the pod, in bytes a second.",
        "EgressBandwidth",
        parse=values.bits_per_second,
    ),
    Annotation(
        CUSTOM_DNS,
        '{"nameservers":"20.1.0.1","searches":"example.com","options":"ndots:2,edns0"}',
        "DNS servers that come before the pod's own.",
        "DnsConfig",
    ),
    # Storage, kernel, containers
    Annotation(
        EXTRA_STORAGE,
        "50Gi",
        "Temporary storage besides the free 30 GiB, instead of what the containers ask for.",
        "EphemeralStorage",
        parse=values.gib,
    ),
    Annotation(
        HOST_SYSCTLS,
        '[{"name":"net.core.somaxconn","value":"1024"}]',
        "Kernel parameters, besides those of the pod's securityContext.",
        "HostSecurityContext",
    ),
    Annotation(f"{PREFIX}eci-ntp-server", "100.100.5.1", "NTP servers.", "NtpServer", parse=values.several),
    Annotation(
        f"{PREFIX}eci-core-pattern",
        "/pod/data/dump/core",
        "Where core dumps are put.",
        "CorePattern",
        parse=values.text,
    ),
    # What only the vendor's own add-on can do
    Annotation(
        f"{PREFIX}eci-instance-family",
        "ecs.c6,ecs.g6",
        "ECS instance families to use or to leave out.",
        effect=Effect.REJECTED,
        why=_no_parameter("it; name instance types in eci-use-specs"),
    ),
    Annotation(
        f"{PREFIX}eci-instance-generation",
        "6,5",
        "Generations of ECS instance families to use or to leave out.",
        effect=Effect.REJECTED,
        why=_no_parameter("it; name instance types in eci-use-specs"),
    ),
    Annotation(
        f"{PREFIX}eci-privatepool-matchcriteria",
        "Open",
        "How private pools are matched.",
        effect=Effect.REJECTED,
        why=_no_parameter("private pools"),
    ),
    Annotation(
        f"{PREFIX}eci-privatepool-id",
        "eap-1",
        "The private pool to use.",
        effect=Effect.REJECTED,
        why=_no_parameter("private pools"),
    ),
    Annotation(
        f"{PREFIX}eip-internet-charge-type",
        "PayByTraffic",
        "How the new EIP is charged.",
        effect=Effect.REJECTED,
        why=_no_parameter("it; make the EIP beforehand and name it in eci-eip-instanceid"),
    ),
    Annotation(
        f"{PREFIX}eip-public-ip-address-pool-id",
        "pippool-1",
        "The address pool of the new EIP.",
        effect=Effect.REJECTED,
        why=_no_parameter("it; make the EIP beforehand and name it in eci-eip-instanceid"),
    ),
    Annotation(
        f"{PREFIX}eci-ephemeral-storage-options",
        '{"encrypted":"true"}',
        "Encryption of the temporary storage.",
        effect=Effect.REJECTED,
        why=_no_parameter("encryption of the temporary storage"),
    ),
    Annotation(
        f"{PREFIX}imc-perfect-match",
        "true",
        "Whether every image must be in the matched image cache.",
        effect=Effect.IGNORED,
        why="images that are not in the cache are pulled",
    ),
    Annotation(
        f"{PREFIX}imc-match-count-request",
        "2",
        "How many images must be in the matched image cache.",
        effect=Effect.IGNORED,
        why="images that are not in the cache are pulled",
    ),
    Annotation(
        f"{PREFIX}eci-sls-enable",
        "false",
        "Whether custom resources of the log service apply to the pod.",
        effect=Effect.IGNORED,
        why="logs are collected by the containers' aliyun_logs_* variables alone",
    ),
    Annotation(
        f"{PREFIX}eci-eviction-enable",
        "true",
        "Whether the pod is evicted when its temporary storage is full.",
        effect=Effect.IGNORED,
        why="ECI itself decides it for groups made through the public API",
    ),
    Annotation(
        f"{PREFIX}eci-reschedule-enable",
        "true",
        "Superseded by eci-fail-strategy.",
        effect=Effect.IGNORED,
        why="pods whose group cannot be made are tried again unless eci-fail-strategy is fail-fast",
    ),
    Annotation(
        f"{PREFIX}eci-wait-clusterip-ready",
        "true",
        "Whether containers wait for the node's service rules.",
        effect=Effect.IGNORED,
        why="an instance has no service rules of its own",
    ),
    *(
        Annotation(f"{PREFIX}{older}", "", "", effect=Effect.OLDER, why=newer)
        for older, newer in (
            ("acr-instance-id", ACR_INSTANCES),
            ("eci-image-cache", AUTO_IMAGE_CACHE),
            ("eci-image-snapshot-id", IMAGE_CACHE),
            ("eci-instance-type", USE_SPECS),
        )
    ),
)


def by_newer_names(annotations: Mapping[str, str]) -> dict[str, str]:
    """With what older names say under the newer ones, where those are not given themselves."""
    found = dict(annotations)
    for one in TABLE:
        if one.effect is Effect.OLDER and one.name in annotations:
            found.setdefault(one.why, annotations[one.name])
    return found


def parameters(annotations: Mapping[str, str]) -> JSON:
    """The parameters of all annotations that stand for one by themselves. Raises Rejected by name."""
    found: JSON = {}
    for one in TABLE:
        if one.name not in annotations:
            continue
        if one.effect is Effect.REJECTED:
            raise rejected(one.name, one.why)
        if one.parse is None or one.effect is not Effect.SET:
            continue
        try:
            value = one.parse(str(annotations[one.name]))
        except ValueError as error:
            raise rejected(one.name, str(error)) from None
        if one.parameter and value is not None:
            found[one.parameter] = value
    return found


def json_list(annotations: Mapping[str, str], name: str, *keys: str) -> list[dict[str, str]]:
    """The JSON list of objects that an annotation holds, each with `keys`; [] where it is not given.

    Raises Rejected for anything else.
    """
    if name not in annotations:
        return []
    entries = _json(annotations[name])
    if not isinstance(entries, list) or not all(
        isinstance(one, dict) and all(isinstance(one.get(key), (str, int)) for key in keys) for one in entries
    ):
        raise rejected(name, f"must be a JSON list of objects with {' and '.join(keys)}")
    return [{key: str(one[key]) for key in keys} for one in entries]


def json_object(annotations: Mapping[str, str], name: str) -> dict[str, str]:
    """The JSON object of texts that an annotation holds; {} where it is not given. Raises Rejected."""
    if name not in annotations:
        return {}
    found = _json(annotations[name])
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise rejected(name, "must be a JSON object of texts")
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
