"""From a resolved pod to a group of this machine. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vnodectl.engines.api import (
    ContainerSpec,
    GroupSpec,
    PullPolicy,
    RegistryAuth,
    RestartPolicy,
)
from vnodectl.providers.local import volumes
from vnodectl.providers.local.hooks import hook
from vnodectl.providers.local.names import group_labels, group_name
from vnodectl.providers.local.probes import probe
from vnodectl.providers.restarts import check_restarts
from vnodectl.runtime import quantity
from vnodectl.runtime.expansion import expand
from vnodectl.runtime.provider import JSON, EnvVar, Rejected, ResolvedPod

GRACE = 30  # terminationGracePeriodSeconds' default
HOSTNAME_MAX = 63
LAST_WORDS = "/dev/termination-log"  # terminationMessagePath's default

_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
_PLAIN_RESOURCES = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class Options:
    """What the node allows and offers; `cluster_dns` are the resolvers for dnsPolicy ClusterFirst, if any."""

    host_paths: bool = False
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"


def translate(pod: ResolvedPod, node: str, options: Options) -> GroupSpec:
    """Raises Rejected, with the field, for what cannot run here."""
    spec = pod.spec
    for name in _HOST_NAMESPACES:
        if spec.get(name):
            raise Rejected(
                "UnsupportedNamespace", "pods of this node share nothing with it", field=f"spec.{name}"
            )
    context: JSON = spec.get("securityContext") or {}
    if context.get("sysctls"):
        raise Rejected("UnsupportedSysctl", "sysctls are not set here", field="spec.securityContext.sysctls")
    group = context.get("fsGroup")
    servers, search, dns_options = _dns(spec, pod.key.namespace, options)
    return GroupSpec(
        name=group_name(pod.key),
        containers=tuple(_containers(pod, "containers", context)),
        init_containers=tuple(_containers(pod, "initContainers", context)),
        restart_policy=RestartPolicy(spec.get("restartPolicy") or "Always"),
        labels=group_labels(pod.key, node),
        volumes=volumes.volumes(pod, group=group, host_paths=options.host_paths),
        registry_auth=tuple(
            RegistryAuth(one.server, one.username, one.password) for one in pod.registry_credentials
        ),
        hostname=(spec.get("hostname") or pod.key.name)[:HOSTNAME_MAX].strip("-."),
        hosts=tuple(
            (alias["ip"], name)
            for alias in spec.get("hostAliases") or ()
            for name in alias.get("hostnames") or ()
        ),
        dns_servers=servers,
        dns_search=search,
        dns_options=dns_options,
        ports=tuple(port["containerPort"] for one in spec["containers"] for port in one.get("ports") or ()),
        termination_grace=float(spec.get("terminationGracePeriodSeconds", GRACE)),
    )


def _containers(pod: ResolvedPod, kind: str, context: JSON) -> Iterable[ContainerSpec]:
    for index, container in enumerate(pod.spec.get(kind) or ()):
        path = f"spec.{kind}[{index}]"
        sidecar = kind == "initContainers" and container.get("restartPolicy") == "Always"
        check_restarts(container, pod.spec, path, sidecar=sidecar)
        yield _container(pod, container, context, path, sidecar=sidecar)


def _container(
    pod: ResolvedPod, container: JSON, context: JSON, path: str, *, sidecar: bool
) -> ContainerSpec:
    _refuse(container, path)
    env = pod.env.get(container["name"], ())
    values = {one.name: one.value for one in env if not one.late}
    security: JSON = container.get("securityContext") or {}
    capabilities: JSON = security.get("capabilities") or {}
    dropped = tuple(capabilities.get("drop") or ())
    limits: JSON = (container.get("resources") or {}).get("limits") or {}
    return ContainerSpec(
        name=container["name"],
        image=container["image"],
        command=_words(container.get("command"), values),
        args=_words(container.get("args"), values),
        env={one.name: one.value for one in env},
        address_env=_late(env),
        working_dir=container.get("workingDir") or None,
        user=_user(context, security),
        groups=_groups(context),
        require_non_root=bool(_or(security.get("runAsNonRoot"), context.get("runAsNonRoot"))),
        mounts=volumes.mounts(pod, container, values, path),
        cpu=float(quantity.parse(limits["cpu"])) if "cpu" in limits else None,
        memory=int(quantity.parse(limits["memory"])) if "memory" in limits else None,
        tty=bool(container.get("tty")),
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        read_only_root=bool(security.get("readOnlyRootFilesystem")),
        drop_all_capabilities="ALL" in dropped,
        drop_capabilities=tuple(name for name in dropped if name != "ALL"),
        add_capabilities=tuple(capabilities.get("add") or ()),
        no_new_privileges=security.get("allowPrivilegeEscalation") is False,
        pull_policy=_pull_policy(container),
        liveness=probe(container, "livenessProbe", path),
        readiness=probe(container, "readinessProbe", path),
        startup=probe(container, "startupProbe", path),
        sidecar=sidecar,
        last_words=container.get("terminationMessagePath") or LAST_WORDS,
        log_speaks=container.get("terminationMessagePolicy") == "FallbackToLogsOnError",
        post_start=hook(container, "postStart", path),
        pre_stop=hook(container, "preStop", path),
    )


def _refuse(container: JSON, path: str) -> None:
    security: JSON = container.get("securityContext") or {}
    if security.get("privileged"):
        raise Rejected(
            "Unsupported", "privileged containers do not run here", field=f"{path}.securityContext.privileged"
        )
    if (container.get("lifecycle") or {}).get("stopSignal"):
        raise Rejected(
            "UnsupportedHook", "the image's stop signal is used", field=f"{path}.lifecycle.stopSignal"
        )
    if container.get("volumeDevices"):
        raise Rejected("UnsupportedVolume", "there are no block devices here", field=f"{path}.volumeDevices")
    for index, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort"):
            raise Rejected(
                "UnsupportedPort",
                "ports of the node are not given out; use the pod's IP",
                field=f"{path}.ports[{index}].hostPort",
            )
    for name in (container.get("resources") or {}).get("limits") or {}:
        if name not in _PLAIN_RESOURCES:
            raise Rejected(
                "UnsupportedResource", "this node does not have it", field=f"{path}.resources.limits[{name}]"
            )


def _words(words: list[str] | None, values: dict[str, str]) -> tuple[str, ...] | None:
    """An empty list means the image's own, as in Kubernetes."""
    return tuple(expand(word, values) for word in words) if words else None


def _late(env: Iterable[EnvVar]) -> tuple[str, ...]:
    """The group has one address, so `status.podIP` and `status.podIPs` are the same."""
    return tuple(one.name for one in env if one.late)


def _user(context: JSON, security: JSON) -> str | None:
    user = _or(security.get("runAsUser"), context.get("runAsUser"))
    group = _or(security.get("runAsGroup"), context.get("runAsGroup"))
    if user is None and group is None:
        return None
    if group is None:
        return str(user)
    # Docker's API has no group without a user; Kubernetes asks for a user here too.
    return f"{_or(user, 0)}:{group}"


def _groups(context: JSON) -> tuple[int, ...]:
    groups = list(context.get("supplementalGroups") or ())
    if context.get("fsGroup") is not None:
        groups.append(context["fsGroup"])
    return tuple(dict.fromkeys(int(group) for group in groups))


def _pull_policy(container: JSON) -> PullPolicy:
    named = container.get("imagePullPolicy")
    if named:
        return PullPolicy(named)
    tag = container["image"].rpartition("/")[2].partition("@")
    latest = not tag[1] and (":" not in tag[0] or tag[0].endswith(":latest"))
    return PullPolicy.ALWAYS if latest else PullPolicy.IF_NOT_PRESENT


def _dns(
    spec: JSON, namespace: str, options: Options
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Servers, search domains, options; empty ones leave the machine's own."""
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    config: JSON = spec.get("dnsConfig") or {}
    servers: list[str] = []
    search: list[str] = []
    wanted: list[str] = []
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet") and options.cluster_dns:
        domain = options.cluster_domain
        servers += options.cluster_dns
        search += [f"{namespace}.svc.{domain}", f"svc.{domain}", domain]
        wanted.append("ndots:5")
    servers += config.get("nameservers") or ()
    search += config.get("searches") or ()
    for option in config.get("options") or ():
        value = option.get("value")
        wanted.append(f"{option['name']}:{value}" if value else option["name"])
    return _unique(servers), _unique(search), _unique(wanted)


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _or(value: object, default: object) -> object:
    return default if value is None else value
