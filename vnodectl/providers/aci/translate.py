"""A resolved pod as the JSON body of an ACI container group (API versions: see `group.api_version`). Pure.

What ACI cannot do is rejected with the field that asks for it. Left out on purpose, because they ask
for no more isolation than every group has (each runs in a virtual machine of its own): the hardening
fields of securityContext (runAsNonRoot, seccomp, dropped capabilities, …), imagePullPolicy (ACI always
pulls), restrictive file modes and terminationMessagePath.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vnodectl.providers.aci import annotations as table
from vnodectl.providers.aci import group, probes, registries, resources
from vnodectl.providers.aci.annotations import Asked
from vnodectl.providers.aci.settings import AciSettings, KubeProxy, NodeIdentity
from vnodectl.providers.aci.volumes import Volumes
from vnodectl.providers.aci.wrap import Copy, Preparation, is_shell, secret_reference, wrapped
from vnodectl.providers.images import ImageConfig
from vnodectl.providers.restarts import check_restarts
from vnodectl.runtime.expansion import expand
from vnodectl.runtime.provider import JSON, EnvVar, Rejected, ResolvedPod

CONTAINERS_MAX = 60
"""Containers per group, init containers included."""

PUBLIC_PORTS_MAX = 5
"""Ports of a group's address."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a pod does not say itself: its images' configs, by image, as far as `images_needed` names them;
    and what a kube-proxy side-car needs, where this node's pods get one."""

    images: Mapping[str, ImageConfig] = field(default_factory=dict)
    kube_proxy: KubeProxy | None = None


def images_needed(pod: ResolvedPod, settings: AciSettings, node: NodeIdentity) -> dict[str, str]:
    """The images whose configs `translate` must know, each with the path in the pod that is the reason.

    ACI's command replaces an image's entrypoint, so that has to be known where only arguments are given, or
    where something has to be done before it. Raises Rejected as `translate` does.
    """
    found: dict[str, str] = {}
    _translate(pod, settings, node, Known(), found)
    return found


def translate(
    pod: ResolvedPod, settings: AciSettings, node: NodeIdentity, known: Known | None = None
) -> JSON:
    """The body to PUT. The same pod always gives the same body. Raises `Rejected` with the field at fault."""
    return _translate(pod, settings, node, known or Known(), None)


def _translate(
    pod: ResolvedPod,
    settings: AciSettings,
    node: NodeIdentity,
    known: Known,
    wanted: dict[str, str] | None,
) -> JSON:
    """With `wanted`, an image that is not known is noted there; without, it is rejected."""
    asked = table.of(pod.pod)
    asked.check()
    _check_pod(pod, node)
    standby = group.standby(asked)
    if standby:
        containers = group.standby_containers(pod.spec["containers"], pod)
        return {
            **group.top(pod, asked, settings, node),
            "properties": {**standby, "containers": containers},
        }
    return {
        **group.top(pod, asked, settings, node),
        "properties": _Translation(pod, settings, node, known, wanted, asked).properties(),
    }


class _Translation:
    """One pod's way into a group's properties."""

    def __init__(
        self,
        pod: ResolvedPod,
        settings: AciSettings,
        node: NodeIdentity,
        known: Known,
        wanted: dict[str, str] | None,
        asked: Asked,
    ) -> None:
        self._pod = pod
        self._settings = settings
        self._node = node
        self._known = known
        self._wanted = wanted
        self._asked = asked
        self._volumes = Volumes(pod, windows=node.windows)
        self._subnet = group.subnet(asked, settings, node)
        self._direct = bool(self._subnet) and settings.direct_probes

    def properties(self) -> JSON:
        pod, settings, asked = self._pod, self._settings, self._asked
        spec = pod.spec
        containers: list[JSON] = spec["containers"]
        init_containers: list[JSON] = spec.get("initContainers") or []
        sku = asked.text(table.GPU) or settings.gpu_sku
        needs = resources.resources(containers, sku)
        bodies: list[JSON] = []
        taken: set[tuple[str, int]] = set()
        for index, container in enumerate(containers):
            path = f"spec.containers[{index}]"
            body = self._common(container, path)
            if ports := _ports(container, taken, path):
                body["ports"] = ports
            body["resources"] = needs[index]
            body.update(probes.probes(container, path, direct=self._direct))
            bodies.append({"name": container["name"], "properties": body})
        properties: JSON = {
            "osType": self._node.os_type,
            "restartPolicy": spec.get("restartPolicy") or "Always",
            "containers": bodies,
        }
        if init_containers:
            properties["initContainers"] = [
                {"name": one["name"], "properties": self._common(one, f"spec.initContainers[{index}]")}
                for index, one in enumerate(init_containers)
            ]
        if volumes := self._volumes.bodies:
            properties["volumes"] = volumes
        images = [container["image"] for container in (*init_containers, *containers)]
        if credentials := registries.credentials(
            images, pod.registry_credentials, group.registry_identity(asked, settings)
        ):
            properties["imageRegistryCredentials"] = credentials
        pairs = sorted(taken, key=lambda one: one[::-1])
        ports = [{"port": port, "protocol": protocol} for protocol, port in pairs]
        terms = group.terms(
            asked,
            settings,
            self._node,
            in_subnet=bool(self._subnet),
            gpu=any("gpu" in one["requests"] for one in needs),
            kube_proxy=self._known.kube_proxy,
        )
        properties.update(
            _network(ports, asked, self._subnet, settings, spot=terms.get("priority") == "Spot")
        )
        properties.update(_dns(pod, asked, self._subnet, settings))
        properties.update(terms)
        return properties

    def _common(self, container: JSON, path: str) -> JSON:
        """What containers and init containers share. ACI runs init containers in the group's resources."""
        confidential = self._asked.text(table.SKU) == "Confidential" or self._asked.has(table.POLICY)
        _check_container(container, path, confidential=confidential, direct=self._direct)
        _check_user(container, self._pod.spec, path)
        check_restarts(container, self._pod.spec, path)
        env = self._pod.env.get(container["name"], ())
        mounted = self._volumes.mount(container, env, path)
        before = self._before(container, path, mounted.copies, mounted.at)
        body: JSON = {"image": container["image"]}
        if command := self._command(container, env, path, before):
            body["command"] = command
        if variables := _environment(env):
            body["environmentVariables"] = variables
        if mounted.mounts:
            body["volumeMounts"] = mounted.mounts
        if confidential and (context := _security_context(container, self._pod.spec)):
            body["securityContext"] = context
        return body

    def _before(self, container: JSON, path: str, copies: Sequence[Copy], copied_at: str) -> Preparation:
        spec = self._pod.spec
        hosts = tuple(
            f"{alias['ip']}\t{' '.join(alias.get('hostnames') or ())}"
            for alias in spec.get("hostAliases") or ()
        )
        at = {
            "spec.hostAliases": hosts,
            copied_at: copies,
            f"{path}.workingDir": container.get("workingDir"),
        }
        return Preparation(
            hosts,
            tuple(copies),
            container.get("workingDir") or "",
            tuple(name for name, there in at.items() if there),
        )

    def _command(self, container: JSON, env: Sequence[EnvVar], path: str, before: Preparation) -> list[str]:
        command, args = _words(container, env)
        if before and self._node.windows:
            raise Rejected(
                "UnsupportedField", "it needs a shell that Windows has not", field=before.fields[0]
            )
        if not before and (command or not args):
            shell = bool(command) and is_shell(command[0])
            if shell:
                command, args = _words(container, env, hide=True)
            return wrapped([*command, *args], before, references=shell)
        image = self._known.images.get(container["image"])
        at = before.fields[0] if before else f"{path}.args"
        if image is None and not command:
            if self._wanted is not None:
                self._wanted.setdefault(container["image"], at)
                return []
            # ACI's command replaces the image's entrypoint; alone, args would run as a program.
            raise Rejected(
                "EntrypointUnknown" if before else "ArgsWithoutCommand",
                "Azure Container Instances needs the whole command for this, and the image's own entrypoint "
                "is not known; give the container a command",
                field=at,
            )
        if before.hosts and image is not None and not image.root:
            raise Rejected(
                "UnsupportedField",
                f"only root can add lines to /etc/hosts, and the image runs as {image.user}; use DNS",
                field="spec.hostAliases",
            )
        if before:
            command, args = _words(container, env, hide=True)
        argv = image.argv(command, args) if image is not None else [*command, *args]
        if not argv:
            raise Rejected(
                "NoCommand", "neither the image nor the container says what to run", field=f"{path}.command"
            )
        return wrapped(argv, before, references=bool(before))


def _words(container: JSON, env: Sequence[EnvVar], *, hide: bool = False) -> tuple[list[str], list[str]]:
    """`command` and `args` with their `$(NAME)`s replaced. `hide`: those of Secrets become references that a
    shell in the container resolves, so that whoever can read the group cannot read the values."""
    values = {one.name: one.value for one in env}
    if hide:
        hidden = (one.name for one in env if one.secret)
        values = {name: value.replace("\0", "") for name, value in values.items()}
        values |= {name: secret_reference(name) for name in hidden if name.isidentifier() and name.isascii()}

    def words(kind: str) -> list[str]:
        given = (part.replace("\0", "") if hide else part for part in container.get(kind) or ())
        return [expand(part, values) for part in given]

    return words("command"), words("args")


def _check_pod(pod: ResolvedPod, node: NodeIdentity) -> None:
    spec = pod.spec
    for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(name):
            raise Rejected(
                "UnsupportedField", "a container group shares nothing with a host", field=f"spec.{name}"
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


def _check_container(container: JSON, path: str, *, confidential: bool, direct: bool) -> None:
    context = container.get("securityContext") or {}
    if context.get("privileged") and not confidential:
        raise Rejected(
            "UnsupportedField",
            "Azure Container Instances runs no privileged containers",
            field=f"{path}.securityContext.privileged",
        )
    lifecycle = container.get("lifecycle") or {}
    if lifecycle.get("postStart"):
        raise Rejected(
            "UnsupportedField",
            "Azure Container Instances has no postStart hooks",
            field=f"{path}.lifecycle.postStart",
        )
    hook = lifecycle.get("preStop") or {}
    if not direct and (kind := next((one for one in ("httpGet", "tcpSocket") if hook.get(one)), None)):
        raise Rejected(
            "UnsupportedField",
            "only a connector with a subnet reaches the pod for this hook; use exec",
            field=f"{path}.lifecycle.preStop.{kind}",
        )
    if path.startswith("spec.initContainers") and container.get("restartPolicy") == "Always":
        raise Rejected(
            "UnsupportedField",
            "Azure Container Instances has no side-car init containers; make it a container",
            field=f"{path}.restartPolicy",
        )


def _check_user(container: JSON, spec: JSON, path: str) -> None:
    """What a kubelet refuses too. Whom an image runs as is not asked: ACI runs it as it says."""
    own, whole = container.get("securityContext") or {}, spec.get("securityContext") or {}
    at = f"{path}.securityContext" if own.get("runAsUser") is not None else "spec.securityContext"
    if _effective("runAsNonRoot", own, whole) and _effective("runAsUser", own, whole) == 0:
        raise Rejected(
            "InvalidSecurityContext", "user 0 is root, whom runAsNonRoot forbids", field=f"{at}.runAsUser"
        )


def _effective(name: str, own: JSON, whole: JSON) -> Any:
    """A container's own word on it, else the pod's."""
    return whole.get(name) if own.get(name) is None else own[name]


def _security_context(container: JSON, spec: JSON) -> JSON:
    """What confidential groups enforce; the names are the same in both worlds. A pod has a user and a group
    for all of its containers."""
    context, whole = container.get("securityContext") or {}, spec.get("securityContext") or {}
    names = ("privileged", "allowPrivilegeEscalation", "runAsUser", "runAsGroup")
    effective = {name: _effective(name, context, whole) for name in names}
    body: JSON = {name: value for name, value in effective.items() if value is not None}
    capabilities = {
        kind: list(context["capabilities"][kind])
        for kind in ("add", "drop")
        if (context.get("capabilities") or {}).get(kind)
    }
    return {**body, "capabilities": capabilities} if capabilities else body


def _environment(env: Sequence[EnvVar]) -> list[JSON]:
    """The last of two variables of one name wins, as in Kubernetes."""
    bodies = {
        one.name: {"name": one.name, "secureValue" if one.secret else "value": one.value}
        for one in env
        if not one.late
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


def _network(ports: list[JSON], asked: Asked, subnet: str, settings: AciSettings, *, spot: bool) -> JSON:
    label = asked.text(table.DNS_LABEL)
    if subnet:
        network: JSON = {"subnetIds": [{"id": subnet}]}
        if ports:
            network["ipAddress"] = {"type": "Private", "ports": ports[:PUBLIC_PORTS_MAX]}
        return network
    if not ports or not settings.public_ip or spot:
        return {}
    if len(ports) > PUBLIC_PORTS_MAX:
        raise Rejected(
            "TooManyPorts",
            f"a public address has at most {PUBLIC_PORTS_MAX} ports; use a connector with a subnet",
            field="spec.containers[*].ports",
        )
    address: JSON = {"type": "Public", "ports": ports}
    if label:
        address["dnsNameLabel"] = label
        if scope := asked.text(table.DNS_LABEL_SCOPE):
            address["autoGeneratedDomainNameLabelScope"] = scope
    return {"ipAddress": address}


def _dns(pod: ResolvedPod, asked: Asked, subnet: str, settings: AciSettings) -> JSON:
    """`dnsConfig`, which ACI takes only in a subnet and only with name servers."""
    policy = pod.spec.get("dnsPolicy") or "ClusterFirst"
    own = pod.spec.get("dnsConfig") or {}
    servers: list[str] = list(own.get("nameservers") or ())
    searches: list[str] = list(own.get("searches") or ())
    options: list[str] = [_option(one) for one in own.get("options") or ()]
    if not subnet:
        if own or policy == "None":
            raise Rejected("UnsupportedDns", "DNS can be configured only in a subnet", field="spec.dnsConfig")
        return {}
    cluster = policy.startswith("ClusterFirst") and asked.yes(table.CLUSTER_DNS) is not False
    if cluster and settings.cluster_dns:
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
    config: JSON = {"nameServers": list(dict.fromkeys(servers))}
    if searches:
        config["searchDomains"] = " ".join(dict.fromkeys(searches))
    if options:
        config["options"] = " ".join(options)
    return {"dnsConfig": config}


def _option(option: JSON) -> str:
    return f"{option['name']}:{option['value']}" if option.get("value") else str(option["name"])
