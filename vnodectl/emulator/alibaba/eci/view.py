"""How DescribeContainerGroups shows a container group. Pure."""

from __future__ import annotations

from typing import Any

from vnodectl.emulator.alibaba.calls import tag_list
from vnodectl.emulator.alibaba.eci.events import events_of, short, stamp
from vnodectl.emulator.alibaba.eci.group import Group
from vnodectl.emulator.alibaba.params import Params
from vnodectl.emulator.documents import JSON
from vnodectl.engines.api import ContainerState, ContainerStatus, Running, Terminated

DEFAULT_STORAGE = 30
"""GiB of ephemeral storage that every size has."""


def render(group: Group, *, with_events: bool = True) -> JSON:
    """Without passwords, contents of config files, and variables that were to be hidden."""
    params = group.params
    told = (*group.seen.containers, *group.seen.init_containers) if group.seen else ()
    seen = {one.name: one for one in told}
    body: JSON = {
        "ContainerGroupId": group.id,
        "ContainerGroupName": group.name,
        "Status": group.status,
        "RegionId": group.region,
        "ZoneId": group.zone,
        "VpcId": group.vswitch.vpc,
        "VSwitchId": group.vswitch.id,
        "SecurityGroupId": group.security_group.id,
        "ResourceGroupId": params.text("ResourceGroupId"),
        "EniInstanceId": group.id.replace("eci-", "eni-", 1),
        "IntranetIp": group.ip,
        "InternetIp": group.internet_ip,
        "Cpu": group.size.cpu,
        "Memory": group.size.memory,
        "InstanceType": group.size.type,
        "EphemeralStorage": DEFAULT_STORAGE + params.integer("EphemeralStorage"),
        "RestartPolicy": params.text("RestartPolicy") or "Always",
        "RamRoleName": params.text("RamRoleName"),
        "SpotStrategy": params.text("SpotStrategy") or "NoSpot",
        "ComputeCategory": next(iter(params.texts("ComputeCategory")), "general"),
        "CreationTime": stamp(group.created),
        "SucceededTime": _ended(group, "Succeeded"),
        "FailedTime": _ended(group, "Failed"),
        "ExpiredTime": _ended(group, "Expired"),
        "Tags": tag_list(group.tags),
        "Containers": [
            _container(one, seen.get(one.text("Name")), first=False) for one in group.containers()
        ],
        "InitContainers": [
            _container(one, seen.get(one.text("Name")), first=True) for one in params.items("InitContainer")
        ],
        "Volumes": [_volume(one) for one in params.items("Volume")],
        "DnsConfig": _dns(params.child("DnsConfig")),
        "EciSecurityContext": {
            "Sysctls": [_named(one) for one in params.child("SecurityContext").items("Sysctl")]
        },
        "HostAliases": [
            {"Ip": one.text("Ip"), "Hostnames": one.texts("Hostname")} for one in params.items("HostAliase")
        ],
        "Events": short(events_of(group), group) if with_events else [],
    }
    if params.has("SpotPriceLimit"):
        body["SpotPriceLimit"] = params.number("SpotPriceLimit")
    return body


def _ended(group: Group, status: str) -> str:
    return stamp(group.ended) if group.ended is not None and group.status == status else ""


def _container(container: Params, seen: ContainerStatus | None, *, first: bool) -> JSON:
    """An init container (`first`) has fewer fields, and `Command` where others have `Commands`."""
    hidden = container.flag("EnvironmentVarHide")
    body: JSON = {
        "Name": container.text("Name"),
        "Image": container.text("Image"),
        "ImagePullPolicy": container.text("ImagePullPolicy") or "IfNotPresent",
        "Command" if first else "Commands": container.texts("Command"),
        "Args": container.texts("Arg"),
        "WorkingDir": container.text("WorkingDir"),
        "Cpu": container.number("Cpu"),
        "Memory": container.number("Memory"),
        "Gpu": container.integer("Gpu"),
        "Ports": [
            {"Port": port.integer("Port"), "Protocol": port.text("Protocol") or "TCP"}
            for port in container.items("Port")
        ],
        "EnvironmentVars": [] if hidden else [_variable(one) for one in container.items("EnvironmentVar")],
        "VolumeMounts": [_mount(one) for one in container.items("VolumeMount")],
        "SecurityContext": _security(container),
        "Ready": bool(seen and seen.ready),
        "RestartCount": seen.restarts if seen else 0,
        "CurrentState": _state(seen.state) if seen else {"State": "Waiting", "Reason": "ContainerCreating"},
        "PreviousState": _state(seen.previous) if seen and seen.previous else _NO_STATE,
    }
    if first:
        return body
    return body | {
        "Tty": container.flag("Tty"),
        "Stdin": container.flag("Stdin"),
        "StdinOnce": container.flag("StdinOnce"),
        "LivenessProbe": _probe(container.child("LivenessProbe")),
        "ReadinessProbe": _probe(container.child("ReadinessProbe")),
    }


_NO_STATE: JSON = {"State": "", "StartTime": "", "FinishTime": ""}


def _state(state: ContainerState) -> JSON:
    if isinstance(state, Running):
        return {"State": "Running", "StartTime": stamp(state.started_at), "FinishTime": ""}
    if isinstance(state, Terminated):
        return {
            "State": "Terminated",
            "StartTime": stamp(state.started_at),
            "FinishTime": stamp(state.finished_at),
            "ExitCode": state.exit_code,
            "Signal": state.signal,
            "Reason": state.reason,
            "DetailStatus": state.reason,
            "Message": state.message,
        }
    return {
        "State": "Waiting",
        "StartTime": "",
        "FinishTime": "",
        "Reason": state.reason,
        "DetailStatus": state.reason,
        "Message": state.message,
    }


def _variable(variable: Params) -> JSON:
    path = variable.text("FieldRef.FieldPath")
    reference: JSON = {"FieldRef": {"FieldPath": path} if path else {}}
    return {"Key": variable.text("Key"), "Value": variable.text("Value"), "ValueFrom": reference}


def _mount(mount: Params) -> JSON:
    return {
        "Name": mount.text("Name"),
        "MountPath": mount.text("MountPath"),
        "ReadOnly": mount.flag("ReadOnly"),
        "SubPath": mount.text("SubPath"),
        "MountPropagation": mount.text("MountPropagation") or "None",
    }


def _security(container: Params) -> JSON:
    security = container.child("SecurityContext")
    body: JSON = {"Capability": {"Adds": security.texts("Capability.Add")}}
    if security.has("RunAsUser"):
        body["RunAsUser"] = security.integer("RunAsUser")
    if security.has("ReadOnlyRootFilesystem"):
        body["ReadOnlyRootFilesystem"] = security.flag("ReadOnlyRootFilesystem")
    return body


def _probe(probe: Params) -> JSON:
    if not probe.tree:
        return {}
    body: JSON = {
        "Execs": probe.texts("Exec.Command"),
        "InitialDelaySeconds": probe.integer("InitialDelaySeconds"),
        "PeriodSeconds": probe.integer("PeriodSeconds") or 10,
        "TimeoutSeconds": probe.integer("TimeoutSeconds") or 1,
        "FailureThreshold": probe.integer("FailureThreshold") or 3,
        "SuccessThreshold": probe.integer("SuccessThreshold") or 1,
        "HttpGet": {},
        "TcpSocket": {},
    }
    if probe.has("HttpGet.Port"):
        body["HttpGet"] = {
            "Path": probe.text("HttpGet.Path") or "/",
            "Port": probe.integer("HttpGet.Port"),
            "Scheme": probe.text("HttpGet.Scheme") or "HTTP",
        }
    if probe.has("TcpSocket.Port"):
        body["TcpSocket"] = {"Host": "", "Port": probe.integer("TcpSocket.Port")}
    return body


def _volume(volume: Params) -> JSON:
    body: JSON = {"Name": volume.text("Name"), "Type": volume.text("Type")}
    for shown, name in (
        ("EmptyDirVolumeMedium", "EmptyDirVolume.Medium"),
        ("EmptyDirVolumeSizeLimit", "EmptyDirVolume.SizeLimit"),
        ("NFSVolumeServer", "NFSVolume.Server"),
        ("NFSVolumePath", "NFSVolume.Path"),
        ("FlexVolumeDriver", "FlexVolume.Driver"),
        ("FlexVolumeFsType", "FlexVolume.FsType"),
        ("FlexVolumeOptions", "FlexVolume.Options"),
        ("DiskVolumeDiskId", "DiskVolume.DiskId"),
        ("DiskVolumeFsType", "DiskVolume.FsType"),
    ):
        if volume.has(name):
            body[shown] = volume.text(name)
    if volume.text("Type") == "NFSVolume":
        body["NFSVolumeReadOnly"] = volume.flag("NFSVolume.ReadOnly")
    files = volume.items("ConfigFileVolume.ConfigFileToPath")
    return body | {"ConfigFileVolumeConfigFileToPaths": [{"Path": file.text("Path")} for file in files]}


def _dns(dns: Params) -> JSON:
    if not dns.tree:
        return {}
    return {
        "NameServers": dns.texts("NameServer"),
        "Searches": dns.texts("Search"),
        "Options": [_named(one) for one in dns.items("Option")],
    }


def _named(pair: Params) -> dict[str, Any]:
    return {"Name": pair.text("Name"), "Value": pair.text("Value")}
