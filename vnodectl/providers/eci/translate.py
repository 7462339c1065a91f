"""A resolved pod as the parameters of ECI's CreateContainerGroup (API version 2018-08-08). Pure.

What ECI cannot do is rejected with the field that asks for it. Left out on purpose, because they ask for no
more isolation than every group has (each runs in a virtual machine of its own): dropped capabilities,
seccomp, AppArmor and SELinux; and fsGroup, which ECI does not have (see `volumes` for what takes its place).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from vnodectl.clouds.alibaba import tags as tag
from vnodectl.providers.eci import annotations as notes
from vnodectl.providers.eci import containers, specs, volumes
from vnodectl.providers.eci.names import HOST_NAME_MAX, client_token, group_name, group_tags
from vnodectl.providers.eci.profile import Profile
from vnodectl.providers.eci.settings import EciSettings, NodeIdentity, split
from vnodectl.providers.registries import by_host
from vnodectl.runtime.provider import JSON, EnvVar, Rejected, ResolvedPod

CONTAINERS_MAX = 20
"""Containers of a group, and init containers of one."""

_LOG_CONFIG = re.compile(r"aliyun_logs_([a-z0-9-]+)")
"""A variable that asks for a log to be collected; others of its name with a suffix say how."""

_SAFE_SYSCTLS = frozenset({"net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where groups go, besides what the pod itself says."""

    settings: EciSettings
    node: NodeIdentity
    region: str
    profile: Profile = Profile()  # noqa: RUF009 — frozen


def translate(pod: ResolvedPod, place: Place, *, attempt: int = 1) -> JSON:
    """The parameters of the request, nested. The same pod always gives the same ones.

    `attempt` counts the groups that were made for this pod. Raises `Rejected` with the field at fault.
    """
    annotations = effective_annotations(pod, place.profile)
    pod = _with_machine_group(pod, place.profile.sls_machine_group)
    settings = place.profile.over(place.settings)
    _check_pod(pod)
    spec = pod.spec
    body: JSON = {
        "ContainerGroupName": group_name(pod.key),
        "ClientToken": client_token(pod.key, attempt),
        "RestartPolicy": spec.get("restartPolicy") or "Always",
        "HostName": (spec.get("hostname") or pod.key.name)[:HOST_NAME_MAX].rstrip("-."),
        "TerminationGracePeriodSeconds": _grace(spec),
        **_place(settings),
        **notes.parameters(annotations),
    }
    body.update(_size(pod, annotations, place.region))
    extra = specs.extra_storage(spec["containers"], spec.get("initContainers") or ())
    if extra and notes.EXTRA_STORAGE not in annotations:
        body["EphemeralStorage"] = extra
    body.update(_spot(annotations))
    _check_eip(annotations)
    body["Container"] = _containers(pod, "containers")
    if spec.get("initContainers"):
        body["InitContainer"] = _containers(pod, "initContainers")
    made = volumes.volumes(pod)
    if made:
        body["Volume"] = made
    if zone := volumes.zone(pod):
        body["ZoneId"] = zone
    if spec.get("activeDeadlineSeconds"):
        body["ActiveDeadlineSeconds"] = spec["activeDeadlineSeconds"]
    if spec.get("shareProcessNamespace"):
        body["ShareProcessNamespace"] = True
    body.update(_images(pod, annotations))
    body.update(_hosts(spec, annotations))
    body.update(_dns(pod, settings, annotations))
    body.update(_sysctls(spec, annotations))
    body["Tag"] = _tags(pod, place.node, annotations)
    return body


def effective_annotations(pod: ResolvedPod, profile: Profile) -> dict[str, str]:
    """The pod's own, and what the profile's selectors add to pods like it.

    Selectors by namespace labels take effect where those are known: in the admission webhook.
    """
    metadata = pod.pod["metadata"]
    added, _ = profile.effects(metadata.get("labels") or {}, None)
    own = notes.by_newer_names(metadata.get("annotations") or {})
    return {**notes.by_newer_names(added), **own}


def fails_fast(pod: ResolvedPod, profile: Profile) -> bool:
    """Whether the pod is to fail when its group cannot be made, instead of waiting until it can."""
    annotations = effective_annotations(pod, profile)
    if notes.FAIL_STRATEGY in annotations:
        return annotations[notes.FAIL_STRATEGY].strip().lower() == "fail-fast"
    return annotations.get(notes.FAIL_ON_CREATE_ERROR, "").strip().lower() == "true"


def secrets(pod: ResolvedPod, body: JSON) -> Iterator[str]:
    """Values in a request that no message may repeat."""
    for env in pod.env.values():
        yield from (one.value for one in env if one.secret)
    yield from (one["Password"] for one in body.get("ImageRegistryCredential") or ())
    yield from volumes.secrets(body.get("Volume") or [])


def _with_machine_group(pod: ResolvedPod, group: str) -> ResolvedPod:
    """Logs to be collected go through the profile's machine group, where the container names none."""
    if not group:
        return pod
    more = {}
    for name, env in pod.env.items():
        given = {one.name for one in env}
        wanted = [f"{one.name}_machinegroup" for one in env if _LOG_CONFIG.fullmatch(one.name)]
        more[name] = (*env, *(EnvVar(one, group) for one in wanted if one not in given))
    return replace(pod, env=more)


def _check_pod(pod: ResolvedPod) -> None:
    spec = pod.spec
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            raise Rejected(
                "UnsupportedField", "a container group shares nothing with a host", field=f"spec.{name}"
            )
    for kind in ("containers", "initContainers"):
        if len(spec.get(kind) or ()) > CONTAINERS_MAX:
            raise Rejected(
                "TooManyContainers",
                f"a container group has at most {CONTAINERS_MAX} of them",
                field=f"spec.{kind}",
            )
    if (spec.get("os") or {}).get("name") == "windows":
        raise Rejected("UnsupportedField", "this node runs Linux pods", field="spec.os.name")


def _grace(spec: JSON) -> int:
    given = spec.get("terminationGracePeriodSeconds")
    return 30 if given is None else int(given)


def _place(settings: EciSettings) -> JSON:
    body: JSON = {}
    if settings.vswitches:
        body["VSwitchId"] = ",".join(settings.vswitches)
    if settings.security_group:
        body["SecurityGroupId"] = settings.security_group
    if settings.resource_group:
        body["ResourceGroupId"] = settings.resource_group
    return body


def _size(pod: ResolvedPod, annotations: Mapping[str, str], region: str) -> JSON:
    """`InstanceType` where the pod names specifications, else `Cpu` and `Memory`."""
    spec = pod.spec
    wanted = specs.total(spec["containers"], spec.get("initContainers") or (), pod.env)
    if notes.USE_SPECS in annotations:
        return {"InstanceType": ",".join(specs.instance_types(annotations[notes.USE_SPECS]))}
    gpu = [one.gpu for one in specs.needs(spec["containers"], "spec.containers")]
    if any(gpu):
        index = next(index for index, number in enumerate(gpu) if number)
        raise Rejected(
            "GpuTypeUnknown",
            f"a GPU needs an instance type that has one: annotate the pod with {notes.USE_SPECS}",
            field=f"spec.containers[{index}].resources.limits",
        )
    preemptible = annotations.get(notes.SPOT_STRATEGY, "NoSpot").strip().lower() != "nospot"
    found = specs.size(wanted, region, preemptible=preemptible)
    return {"Cpu": f"{found.cpu.normalize():f}", "Memory": f"{found.memory.normalize():f}"}


def _spot(annotations: Mapping[str, str]) -> JSON:
    if notes.SPOT_STRATEGY not in annotations:
        return {}
    limited = annotations[notes.SPOT_STRATEGY].strip().lower() == "spotwithpricelimit"
    if limited and notes.SPOT_PRICE_LIMIT not in annotations:
        raise notes.rejected(notes.SPOT_PRICE_LIMIT, "SpotWithPriceLimit needs a price limit")
    return {"StrictSpot": annotations.get(notes.SPOT_FALLBACK, "false").strip().lower() != "true"}


def _check_eip(annotations: Mapping[str, str]) -> None:
    made = annotations.get(notes.WITH_EIP, "false").strip().lower() == "true"
    if made and notes.EIP_INSTANCE in annotations:
        raise notes.rejected(notes.WITH_EIP, "the pod names an EIP already, in eci-eip-instanceid")


def _containers(pod: ResolvedPod, kind: str) -> list[JSON]:
    entries = pod.spec[kind]
    needs = specs.needs(entries, f"spec.{kind}")
    make = containers.container if kind == "containers" else containers.init_container
    return [make(entry, pod, needs[index], f"spec.{kind}[{index}]") for index, entry in enumerate(entries)]


def _images(pod: ResolvedPod, annotations: Mapping[str, str]) -> JSON:
    body: JSON = {}
    everyone = (*(pod.spec.get("initContainers") or ()), *pod.spec["containers"])
    found = by_host((one["image"] for one in everyone), pod.registry_credentials)
    if found:
        body["ImageRegistryCredential"] = [
            {"Server": host, "UserName": one.username, "Password": one.password}
            for host, one in found.items()
        ]
    registries = split(annotations.get(notes.ACR_INSTANCES, ""))
    if registries:
        service = split(annotations.get(notes.ACR_SERVICE_ARNS, ""))
        user = split(annotations.get(notes.ACR_USER_ARNS, ""))
        body["AcrRegistryInfo"] = [
            _acr(one, _nth(service, index), _nth(user, index)) for index, one in enumerate(registries)
        ]
    return body


def _acr(registry: str, service: str, user: str) -> JSON:
    region, _, instance = registry.rpartition(":")
    body = {"InstanceId": instance, "RegionId": region, "ArnService": service, "ArnUser": user}
    return {key: value for key, value in body.items() if value}


def _nth(values: tuple[str, ...], index: int) -> str:
    """One for each, or one for all."""
    if len(values) == 1:
        return values[0]
    return values[index] if index < len(values) else ""


def _hosts(spec: JSON, annotations: Mapping[str, str]) -> JSON:
    bodies: list[JSON] = [
        {"Ip": one["ip"], "Hostname": list(one.get("hostnames") or ())}
        for one in spec.get("hostAliases") or ()
    ]
    bodies += [
        {"Ip": one["ip"], "Hostname": [one["host"]]}
        for one in notes.json_list(annotations, notes.CUSTOM_HOSTS, "host", "ip")
    ]
    return {"HostAliase": bodies} if bodies else {}


def _dns(pod: ResolvedPod, settings: EciSettings, annotations: Mapping[str, str]) -> JSON:
    policy = pod.spec.get("dnsPolicy") or "ClusterFirst"
    own = pod.spec.get("dnsConfig") or {}
    custom = notes.json_object(annotations, notes.CUSTOM_DNS)
    servers = [*split(custom.get("nameservers", "")), *(own.get("nameservers") or ())]
    searches = [*split(custom.get("searches", "")), *(own.get("searches") or ())]
    options: list[JSON] = [_text_option(one) for one in split(custom.get("options", ""))]
    options += [_option(one) for one in own.get("options") or ()]
    if policy.startswith("ClusterFirst") and settings.cluster_dns:
        domain = settings.cluster_domain
        servers = [settings.cluster_dns, *servers]
        searches = [f"{pod.key.namespace}.svc.{domain}", f"svc.{domain}", domain, *searches]
        if not any(option["Name"] == "ndots" for option in options):
            options = [{"Name": "ndots", "Value": "5"}, *options]
    if policy == "None" and not servers:
        raise Rejected("UnsupportedDns", "policy None needs name servers", field="spec.dnsConfig.nameservers")
    config = {"NameServer": servers, "Search": searches, "Option": options}
    given = {key: value for key, value in config.items() if value}
    if not given:
        return {}
    return {"DnsConfig": given, **({"DnsPolicy": "None"} if servers else {})}


def _option(option: JSON) -> JSON:
    value = option.get("value")
    return {"Name": option["name"], **({"Value": value} if value else {})}


def _text_option(text: str) -> JSON:
    name, _, value = text.partition(":")
    return {"Name": name, **({"Value": value} if value else {})}


def _sysctls(spec: JSON, annotations: Mapping[str, str]) -> JSON:
    """ECI takes safe and unsafe ones apart."""
    wanted = [
        {"Name": one["name"], "Value": str(one["value"])}
        for one in (spec.get("securityContext") or {}).get("sysctls") or ()
    ]
    wanted += [
        {"Name": one["name"], "Value": one["value"]}
        for one in notes.json_list(annotations, notes.HOST_SYSCTLS, "name", "value")
    ]
    safe = [one for one in wanted if one["Name"] in _SAFE_SYSCTLS]
    others = [one for one in wanted if one["Name"] not in _SAFE_SYSCTLS]
    body: JSON = {}
    if safe:
        body["SecurityContext"] = {"Sysctl": safe}
    if others:
        body["HostSecurityContext"] = {"Sysctl": others}
    return body


def _tags(pod: ResolvedPod, node: NodeIdentity, annotations: Mapping[str, str]) -> list[dict[str, str]]:
    created = pod.pod["metadata"].get("creationTimestamp") or ""
    ours = group_tags(pod.key, node.owner, created)
    custom: dict[str, str] = {}
    for part in split(annotations.get(notes.CUSTOM_TAGS, "")):
        key, colon, value = part.partition(":")
        if not colon or not key or key in ours:
            raise notes.rejected(notes.CUSTOM_TAGS, f"{part!r} is not key:value with a key of one's own")
        custom[key] = value
    if len(custom) > notes.CUSTOM_TAGS_MAX:
        raise notes.rejected(notes.CUSTOM_TAGS, f"at most {notes.CUSTOM_TAGS_MAX} tags can be given")
    return tag.as_list({**custom, **ours})
