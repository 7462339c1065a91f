"""From a validated container group to what an engine runs. Pure."""

from __future__ import annotations

from pathlib import Path

from vnodectl.emulator.alibaba.eci.volumes import GIB, volume_specs
from vnodectl.emulator.alibaba.params import Params
from vnodectl.engines.api import (
    ContainerSpec,
    GroupSpec,
    Mount,
    Probe,
    PullPolicy,
    RegistryAuth,
    RestartPolicy,
)


def translate(name: str, params: Params, *, shares: Path, labels: dict[str, str], grace: float) -> GroupSpec:
    """`shares` is the directory that stands for NAS, OSS and disks; `grace` in seconds."""
    dns = params.child("DnsConfig")
    containers = params.items("Container")
    return GroupSpec(
        name=name,
        containers=tuple(_container(one) for one in containers),
        init_containers=tuple(_container(one) for one in params.items("InitContainer")),
        restart_policy=RestartPolicy(params.text("RestartPolicy") or "Always"),
        labels=labels,
        volumes=volume_specs(params, shares),
        registry_auth=tuple(
            RegistryAuth(one.text("Server"), one.text("UserName"), one.text("Password"))
            for one in params.items("ImageRegistryCredential")
            if one.has("UserName")
        ),
        hostname=(params.text("HostName") or params.text("ContainerGroupName"))[:63].rstrip("-"),
        hosts=tuple(
            (alias.text("Ip"), host)
            for alias in params.items("HostAliase")
            for host in alias.texts("Hostname")
        ),
        dns_servers=tuple(dns.texts("NameServer")),
        dns_search=tuple(dns.texts("Search")),
        dns_options=tuple(
            ":".join(part for part in (one.text("Name"), one.text("Value")) if part)
            for one in dns.items("Option")
        ),
        ports=tuple(
            port.integer("Port")
            for one in containers
            for port in one.items("Port")
            if port.text("Protocol") in ("", "TCP")
        ),
        termination_grace=grace,
    )


def _container(container: Params) -> ContainerSpec:
    command, arguments = container.texts("Command"), container.texts("Arg")
    variables = container.items("EnvironmentVar")
    cpu, memory = container.number("Cpu"), container.number("Memory")
    return ContainerSpec(
        name=container.text("Name"),
        image=container.text("Image"),
        command=tuple(command) or None,
        args=tuple(arguments) or None,
        env={one.text("Key"): one.text("Value") for one in variables if not one.has("FieldRef.FieldPath")},
        address_env=tuple(one.text("Key") for one in variables if one.has("FieldRef.FieldPath")),
        working_dir=container.text("WorkingDir") or None,
        user=_user(container),
        require_non_root=container.flag("SecurityContextRunAsNonRoot"),
        mounts=tuple(
            Mount(
                one.text("Name"),
                one.text("MountPath"),
                read_only=one.flag("ReadOnly"),
                sub_path=one.text("SubPath").strip("/"),
            )
            for one in container.items("VolumeMount")
        ),
        cpu=cpu or None,
        memory=int(memory * GIB) or None,
        tty=container.flag("Tty"),
        stdin=container.flag("Stdin"),
        stdin_once=container.flag("StdinOnce"),
        read_only_root=container.flag("SecurityContext.ReadOnlyRootFilesystem"),
        add_capabilities=tuple(container.texts("SecurityContext.Capability.Add")),
        pull_policy=PullPolicy(container.text("ImagePullPolicy") or "IfNotPresent"),
        liveness=_probe(container.child("LivenessProbe")),
        readiness=_probe(container.child("ReadinessProbe")),
        last_words=container.text("TerminationMessagePath"),
        log_speaks=container.text("TerminationMessagePolicy") == "FallbackToLogsOnError",
    )


def _user(container: Params) -> str | None:
    user, group = container.text("SecurityContext.RunAsUser"), container.text("SecurityContextRunAsGroup")
    if not user:
        return f"0:{group}" if group else None
    return f"{user}:{group}" if group else user


def _probe(probe: Params) -> Probe | None:
    """ECI's defaults are those of Kubernetes."""
    if not probe.tree:
        return None
    http = probe.has("HttpGet.Port")
    port = probe.integer("HttpGet.Port") if http else probe.integer("TcpSocket.Port")
    return Probe(
        command=tuple(probe.texts("Exec.Command")),
        http_path=(probe.text("HttpGet.Path") or "/") if http else None,
        http_scheme=(probe.text("HttpGet.Scheme") or "HTTP").casefold(),
        port=port or None,
        initial_delay=probe.integer("InitialDelaySeconds"),
        period=probe.integer("PeriodSeconds") or 10,
        timeout=probe.integer("TimeoutSeconds") or 1,
        failure_threshold=probe.integer("FailureThreshold") or 3,
        success_threshold=probe.integer("SuccessThreshold") or 1,
    )
