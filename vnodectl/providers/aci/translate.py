"""A resolved pod as the JSON body of an ACI container group (API version 2023-05-01). Pure.

What ACI cannot do is rejected with the field that asks for it. Left out on purpose, because they ask
for no more isolation than every group has (each runs in a virtual machine of its own): the hardening
fields of securityContext (runAsNonRoot, seccomp, dropped capabilities, …), imagePullPolicy (ACI always
pulls), restrictive file modes and terminationMessagePath.
"""

from __future__ import annotations

from collections.abc import Sequence

from vnodectl.providers.aci import probes, registries, resources
from vnodectl.providers.aci.names import group_tags
from vnodectl.providers.aci.settings import AciSettings, NodeIdentity
from vnodectl.providers.aci.volumes import Volumes, mounts, volumes
from vnodectl.runtime.expansion import expand
from vnodectl.runtime.provider import JSON, EnvVar, Rejected, ResolvedPod

CONTAINERS_MAX = 60
"""Containers per group, init containers included."""

PUBLIC_PORTS_MAX = 5
"""Ports of a group's address."""

DNS_LABEL_ANNOTATION = "virtualkubelet.io/dnsnamelabel"


def translate(pod: ResolvedPod, settings: AciSettings, node: NodeIdentity) -> JSON:
    """The body to PUT. The same pod always gives the same body. Raises `Rejected` with the field at fault."""
    _check_pod(pod, node)
    spec, metadata = pod.spec, pod.pod["metadata"]
    annotations = metadata.get("annotations") or {}
    containers: list[JSON] = spec["containers"]
    init_containers: list[JSON] = spec.get("initContainers") or []
    made = volumes(pod, windows=node.windows)
    needs = resources.resources(containers, annotations.get(resources.GPU_ANNOTATION) or settings.gpu_sku)

    bodies: list[JSON] = []
    taken: set[tuple[str, int]] = set()
    for index, container in enumerate(containers):
        path = f"spec.containers[{index}]"
        body = _common(container, pod, made, path)
        ports = _ports(container, taken, path)
        if ports:
            body["ports"] = ports
        body["resources"] = needs[index]
        body.update(probes.probes(container, path))
        bodies.append({"name": container["name"], "properties": body})

    properties: JSON = {
        "osType": node.os_type,
        "restartPolicy": spec.get("restartPolicy") or "Always",
        "containers": bodies,
    }
    if init_containers:
        properties["initContainers"] = [
            {"name": one["name"], "properties": _common(one, pod, made, f"spec.initContainers[{index}]")}
            for index, one in enumerate(init_containers)
        ]
    if made.bodies:
        properties["volumes"] = made.bodies
    images = [container["image"] for container in (*init_containers, *containers)]
    credentials = registries.credentials(images, pod.registry_credentials)
    if credentials:
        properties["imageRegistryCredentials"] = credentials
    ports = [
        {"port": port, "protocol": protocol} for protocol, port in sorted(taken, key=lambda one: one[::-1])
    ]
    properties.update(_network(ports, annotations, settings))
    properties.update(_dns(pod, settings))
    return {
        "location": settings.region,
        "tags": group_tags(pod.key, node.owner, metadata.get("creationTimestamp") or ""),
        "properties": properties,
    }


def _check_pod(pod: ResolvedPod, node: NodeIdentity) -> None:
    spec = pod.spec
    for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(name):
            raise Rejected(
                "UnsupportedField", "a container group shares nothing with a host", field=f"spec.{name}"
            )
    if spec.get("hostAliases"):
        raise Rejected(
            "UnsupportedField",
            "Azure Container Instances cannot add lines to /etc/hosts; use DNS",
            field="spec.hostAliases",
        )
    if (spec.get("securityContext") or {}).get("sysctls"):
        raise Rejected("UnsupportedField", "kernel settings are fixed", field="spec.securityContext.sysctls")
    containers, init_containers = spec["containers"], spec.get("initContainers") or ()
    if len(containers) + len(init_containers) > CONTAINERS_MAX:
        raise Rejected(
            "TooManyContainers",
            f"a container group has at most {CONTAINERS_MAX} containers",
            field="spec.containers",
        )
    if node.windows and len(containers) > 1:
        raise Rejected("WindowsLimit", "a Windows container group has one container", field="spec.containers")
    if node.windows and init_containers:
        raise Rejected(
            "WindowsLimit", "a Windows container group has no init containers", field="spec.initContainers"
        )


def _common(container: JSON, pod: ResolvedPod, made: Volumes, path: str) -> JSON:
    """What containers and init containers share. ACI runs init containers in the group's resources."""
    _check_container(container, path)
    env = pod.env.get(container["name"], ())
    body: JSON = {"image": container["image"]}
    command = _command(container, env, path)
    if command:
        body["command"] = command
    variables = _environment(env)
    if variables:
        body["environmentVariables"] = variables
    mounted = mounts(container, made, path)
    if mounted:
        body["volumeMounts"] = mounted
    return body


def _check_container(container: JSON, path: str) -> None:
    context = container.get("securityContext") or {}
    if context.get("privileged"):
        raise Rejected(
            "UnsupportedField",
            "Azure Container Instances runs no privileged containers",
            field=f"{path}.securityContext.privileged",
        )
    if container.get("workingDir"):
        raise Rejected(
            "UnsupportedField",
            "Azure Container Instances uses the image's working directory; change it in the command",
            field=f"{path}.workingDir",
        )
    if container.get("lifecycle"):
        raise Rejected(
            "UnsupportedField", "Azure Container Instances has no lifecycle hooks", field=f"{path}.lifecycle"
        )
    if container.get("restartPolicy") == "Always":
        raise Rejected(
            "UnsupportedField",
            "Azure Container Instances has no side-car init containers; make it a container",
            field=f"{path}.restartPolicy",
        )


def _command(container: JSON, env: Sequence[EnvVar], path: str) -> list[str]:
    command, args = container.get("command") or [], container.get("args") or []
    if args and not command:
        # ACI's command replaces the image's entrypoint; alone, args would run as a program.
        raise Rejected(
            "ArgsWithoutCommand",
            "Azure Container Instances cannot give arguments to an image's own entrypoint; "
            "give the command too",
            field=f"{path}.args",
        )
    values = {one.name: one.value for one in env}
    return [expand(part, values) for part in (*command, *args)]


def _environment(env: Sequence[EnvVar]) -> list[JSON]:
    """The last of two variables of one name wins, as in Kubernetes."""
    bodies = {
        one.name: {"name": one.name, "secureValue" if one.secret else "value": one.value} for one in env
    }
    return list(bodies.values())


def _ports(container: JSON, taken: set[tuple[str, int]], path: str) -> list[JSON]:
    """The container's ports; one that another container of the group has already is left to that one."""
    bodies: list[JSON] = []
    for index, port in enumerate(container.get("ports") or ()):
        where = f"{path}.ports[{index}]"
        protocol = port.get("protocol") or "TCP"
        if protocol not in {"TCP", "UDP"}:
            raise Rejected(
                "UnsupportedPort", f"Azure Container Instances has no {protocol}", field=f"{where}.protocol"
            )
        if port.get("hostPort"):
            raise Rejected("UnsupportedPort", "there is no host to open a port on", field=f"{where}.hostPort")
        number = int(port["containerPort"])
        if (protocol, number) not in taken:
            taken.add((protocol, number))
            bodies.append({"port": number, "protocol": protocol})
    return bodies


def _network(ports: list[JSON], annotations: JSON, settings: AciSettings) -> JSON:
    if settings.subnet_id:
        network: JSON = {"subnetIds": [{"id": settings.subnet_id}]}
        if ports:
            network["ipAddress"] = {"type": "Private", "ports": ports[:PUBLIC_PORTS_MAX]}
        return network
    if not ports or not settings.public_ip:
        return {}
    if len(ports) > PUBLIC_PORTS_MAX:
        raise Rejected(
            "TooManyPorts",
            f"a public address has at most {PUBLIC_PORTS_MAX} ports; use a connector with a subnet",
            field="spec.containers[*].ports",
        )
    address: JSON = {"type": "Public", "ports": ports}
    if annotations.get(DNS_LABEL_ANNOTATION):
        address["dnsNameLabel"] = annotations[DNS_LABEL_ANNOTATION]
    return {"ipAddress": address}


def _dns(pod: ResolvedPod, settings: AciSettings) -> JSON:
    """`dnsConfig`, which ACI takes only in a subnet and only with name servers."""
    policy = pod.spec.get("dnsPolicy") or "ClusterFirst"
    own = pod.spec.get("dnsConfig") or {}
    servers: list[str] = list(own.get("nameservers") or ())
    searches: list[str] = list(own.get("searches") or ())
    options: list[str] = [_option(one) for one in own.get("options") or ()]
    if not settings.subnet_id:
        if own or policy == "None":
            raise Rejected("UnsupportedDns", "DNS can be configured only in a subnet", field="spec.dnsConfig")
        return {}
    if policy.startswith("ClusterFirst") and settings.cluster_dns:
        domain = settings.cluster_domain
        servers = [settings.cluster_dns, *servers]
        searches = [f"{pod.key.namespace}.svc.{domain}", f"svc.{domain}", domain, *searches]
        if not any(option.startswith("ndots:") for option in options):
            options = ["ndots:5", *options]
    if not servers:
        if searches or options:
            raise Rejected(
                "UnsupportedDns",
                "Azure Container Instances takes DNS settings only together with name servers",
                field="spec.dnsConfig.nameservers",
            )
        return {}
    config: JSON = {"nameServers": servers}
    if searches:
        config["searchDomains"] = " ".join(searches)
    if options:
        config["options"] = " ".join(options)
    return {"dnsConfig": config}


def _option(option: JSON) -> str:
    return f"{option['name']}:{option['value']}" if option.get("value") else str(option["name"])
