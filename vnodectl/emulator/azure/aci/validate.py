"""What Azure Container Instances accepts in a container group. Pure; raises ArmError for the first violation.

Sources: the service's published API description (2023-05-01, 2025-09-01), its page of limits (60 containers,
20 volumes, 5 ports an IP address, names of at most 63), and error messages quoted by its users. Where no
message of the service is known, the code is InvalidParameter with the property as target.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

from vnodectl.emulator.azure.aci.checks import choice, expect, items, number, one_of, optional_object, text
from vnodectl.emulator.azure.errors import ArmError, bad_request, invalid_content
from vnodectl.emulator.documents import JSON

MAX_CONTAINERS = 60
MAX_VOLUMES = 20
MAX_PORTS = 5

_LABEL_SCOPES = ("Unsecure", "TenantReuse", "SubscriptionReuse", "ResourceGroupReuse", "Noreuse")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SECRET_FILE = re.compile(r"[-._a-zA-Z0-9]+")
_RULE = (
    "must contain no more than 63 characters and must match the regex '[a-z0-9]([-a-z0-9]*[a-z0-9])?' "
    "(e.g. 'my-name')."
)


def validate(name: str, document: JSON) -> None:
    """Everything that can be said without looking at the rest of the cloud."""
    if not good_name(name):
        raise bad_request(
            "InvalidContainerGroupName",
            f"The container group name '{name}' is invalid. The container group name {_RULE}",
        )
    properties = optional_object(document, "properties")
    if not properties:
        raise invalid_content("'properties' is required.")
    system = properties.get("osType")
    if system not in ("Linux", "Windows"):
        raise bad_request(
            "InvalidOsType",
            f"The 'osType' for container group '{system or '<null>'}' is invalid. The value must be one of "
            "'Windows,Linux'.",
        )
    choice(properties, "restartPolicy", ("Always", "OnFailure", "Never"))
    choice(properties, "sku", ("Standard", "Dedicated", "Confidential", "NotSpecified"))
    containers, first = items(properties, "containers"), items(properties, "initContainers")
    expect(bool(containers), "properties.containers", f"container group '{name}' has no containers")
    expect(
        len(containers) + len(first) <= MAX_CONTAINERS,
        "properties.containers",
        f"container group '{name}' has {len(containers) + len(first)} containers; the limit is "
        f"{MAX_CONTAINERS}",
    )
    volumes = _volumes(name, properties)
    _names(name, [*containers, *first])
    for index, container in enumerate(containers):
        _container(name, container, volumes, f"properties.containers[{index}]")
    for index, container in enumerate(first):
        _init_container(name, container, volumes, f"properties.initContainers[{index}]")
    _resources(name, containers)
    _ports(name, properties, containers)
    _registries(properties)
    _dns(properties)
    if system == "Windows":
        _windows(properties, containers, first)


def good_name(name: str) -> bool:
    return len(name) <= 63 and _NAME.fullmatch(name) is not None


def _names(group: str, containers: Iterable[JSON]) -> None:
    seen: set[str] = set()
    for container in containers:
        name = container.get("name")
        if not isinstance(name, str) or not good_name(name):
            raise bad_request(
                "InvalidContainerName",
                f"The container name '{name}' in container group '{group}' is invalid. The container name "
                f"{_RULE}",
            )
        expect(
            name not in seen,
            "properties.containers",
            f"the container name '{name}' is used more than once in container group '{group}'",
        )
        seen.add(name)


def _container(group: str, container: JSON, volumes: dict[str, JSON], place: str) -> None:
    _init_container(group, container, volumes, place)
    properties, name = optional_object(container, "properties"), container["name"]
    for port in items(properties, "ports"):
        _port(port, name, group)
    for probe in ("livenessProbe", "readinessProbe"):
        if probe in properties and properties[probe] is not None:
            _probe(optional_object(properties, probe), f"{place}.properties.{probe}")


def _init_container(group: str, container: JSON, volumes: dict[str, JSON], place: str) -> None:
    properties = optional_object(container, "properties")
    image = text(properties, "image", f"{place}.properties")
    expect(
        bool(image) and not re.search(r"\s", image),
        f"{place}.properties.image",
        f"'{image}' is no image name",
    )
    command = properties.get("command")
    if command is not None and (
        not isinstance(command, list) or not all(isinstance(part, str) for part in command)
    ):
        raise invalid_content(f"'{place}.properties.command' must be a list of strings.")
    _environment(properties, place)
    mounted: set[str] = set()
    for mount in items(properties, "volumeMounts"):
        volume, path = text(mount, "name", place), text(mount, "mountPath", place)
        where = f"{place}.properties.volumeMounts"
        expect(
            volume in volumes,
            where,
            f"the volume '{volume}' mounted by container '{container['name']}' is not in container group "
            f"'{group}'",
        )
        expect(bool(path) and ":" not in path, where, f"the mount path '{path}' is empty or has a colon")
        expect(path not in mounted, where, f"the mount path '{path}' is used more than once")
        mounted.add(path)


def _environment(properties: JSON, place: str) -> None:
    seen: set[str] = set()
    where = f"{place}.properties.environmentVariables"
    for variable in items(properties, "environmentVariables"):
        name = text(variable, "name", where)
        expect(_ENVIRONMENT_NAME.fullmatch(name) is not None, where, f"'{name}' is no name of a variable")
        expect(name not in seen, where, f"the variable '{name}' is given more than once")
        seen.add(name)
        for field in ("value", "secureValue"):
            if variable.get(field) is not None and not isinstance(variable[field], str):
                raise invalid_content(f"'{where}' has a {field} that is not a string.")
        expect(
            variable.get("value") is None or variable.get("secureValue") is None,
            where,
            f"the variable '{name}' has both a value and a secureValue",
        )


def _probe(probe: JSON, place: str) -> None:
    kind = one_of(probe, ("exec", "httpGet"), place)
    if kind == "exec":
        command = optional_object(probe, "exec").get("command")
        expect(bool(command) and isinstance(command, list), place, "exec needs a command")
    else:
        check = optional_object(probe, "httpGet")
        port = number(check, "port", place)
        expect(port is not None and 1 <= port <= 65535, place, "httpGet needs a port between 1 and 65535")
        if str(check.get("scheme") or "http").casefold() not in ("http", "https"):
            raise bad_request("InvalidParameter", "The scheme of httpGet must be http or https.", place)
    limits = {"initialDelaySeconds": 0, "periodSeconds": 1, "failureThreshold": 1, "successThreshold": 1}
    for field, least in (limits | {"timeoutSeconds": 1}).items():
        value = number(probe, field, place)
        expect(value is None or value >= least, place, f"{field} must be at least {least}")


def _resources(group: str, containers: list[JSON]) -> None:
    requested = {"cpu": 0.0, "memoryInGB": 0.0}
    for container in containers:
        name = container["name"]
        resources = optional_object(optional_object(container, "properties"), "resources")
        requests = optional_object(resources, "requests")
        if not requests:
            raise bad_request(
                "ResourceRequestsNotSpecified",
                f"The resource requests are not specified in container '{name}' of contain group '{group}'. "
                "Both memory and CPU requests are required since API version '2017-07-01-preview'.",
            )
        for field, title in (("memoryInGB", "MemoryInGB"), ("cpu", "Cpu")):
            value = number(requests, field, name)
            if value is None:
                raise bad_request(
                    "ResourceSomeRequestsNotSpecified",
                    f"The '{title}' request is not specified in container '{name}' of contain group "
                    f"'{group}'. It is required since API version '2017-07-01-preview'.",
                )
            step = 0.1 if field == "memoryInGB" else 0.01
            expect(
                value > 0 and abs(value / step - round(value / step)) < 1e-6,
                f"properties.containers.{name}.resources.requests.{field}",
                f"the {field} request '{value:g}' of container '{name}' must be a positive multiple of "
                f"{step}",
            )
            requested[field] += value
    for container in containers:
        _limits(group, container, requested)


def _limits(group: str, container: JSON, requested: dict[str, float]) -> None:
    name = container["name"]
    resources = optional_object(optional_object(container, "properties"), "resources")
    requests, limits = optional_object(resources, "requests"), optional_object(resources, "limits")
    for field, title in (("cpu", "Cpu"), ("memoryInGB", "MemoryInGB")):
        limit = number(limits, field, name)
        if limit is None:
            continue
        if limit < requests[field]:
            raise bad_request(
                "ResourceLimitsLessThanRequests",
                f"The resource requirement in container '{name}' of contain group '{group}' is invalid. The "
                f"'{title}' limit value must be greater than or equal to the request value.",
            )
        if limit > requested[field] + 1e-9:
            raise bad_request(
                "ContainerLimitGreaterThanContainerGroupTotalRequest",
                f"The '{title}' limit '{limit:g}' in container '{name}' is greater than the total request "
                f"'{requested[field]:g}' of container group '{group}'.",
            )


def _port(port: JSON, container: str, group: str) -> None:
    value = number(port, "port", container)
    if value is None or not 1 <= value <= 65535 or value != int(value):
        raise bad_request(
            "InvalidContainerPorts",
            f"The ports '{port.get('port')}' are invalid for container '{container}' in container group "
            f"'{group}'. The port must be beteween 1 and 65535.",
        )
    choice(port, "protocol", ("TCP", "UDP"))


def _ports(group: str, properties: JSON, containers: list[JSON]) -> None:
    used: dict[tuple[int, str], str] = {}
    for container in containers:
        for port in items(optional_object(container, "properties"), "ports"):
            key = port_key(port)
            expect(
                key not in used,
                "properties.containers",
                f"the port {key[0]}/{key[1]} is used by the containers '{used.get(key)}' and "
                f"'{container['name']}' of container group '{group}', which share one network",
            )
            used[key] = container["name"]
    subnets = items(properties, "subnetIds")
    expect(len(subnets) <= 1, "properties.subnetIds", "a container group has at most one subnet")
    address = optional_object(properties, "ipAddress")
    if properties.get("ipAddress") is None:
        return
    kind = choice(address, "type", ("Public", "Private")) or "Public"
    ports = items(address, "ports")
    if not ports:
        raise bad_request(
            "MissingIpAddressPorts",
            f"The ports in the 'ipAddress' of container group '{group}' cannot be empty.",
        )
    for port in ports:
        _port(port, "ipAddress", group)
    expect(
        len(ports) <= MAX_PORTS,
        "properties.ipAddress.ports",
        f"the 'ipAddress' of container group '{group}' has {len(ports)} ports; the limit is {MAX_PORTS}",
    )
    if unused := [str(port["port"]) for port in ports if port_key(port) not in used]:
        raise bad_request(
            "UnreferencedIpAddressPorts",
            f"Following ports '{','.join(unused)}' in the 'ipAddress' are not used by any container in "
            f"container group '{group}'.",
        )
    if subnets and kind == "Public":
        raise bad_request(
            "InvalidIpAddressTypeForNetworkProfile",
            "IP Address type can't be public when network profile is set.",
        )
    if not subnets and kind == "Private":
        raise bad_request(
            "PrivateIPAddressNotSupported",
            f"IP Address type in container group '{group}' is invalid. Private IP address is only supported "
            "when network profile is defined.",
        )
    choice(address, "autoGeneratedDomainNameLabelScope", _LABEL_SCOPES)
    label = address.get("dnsNameLabel")
    if label is not None:
        expect(
            isinstance(label, str) and len(label) >= 5 and good_name(label),
            "properties.ipAddress.dnsNameLabel",
            f"'{label}' is no DNS name label of 5 to 63 letters, digits and hyphens",
        )


def port_key(port: JSON) -> tuple[int, str]:
    return int(port["port"]), str(port.get("protocol") or "TCP").upper()


def _volumes(group: str, properties: JSON) -> dict[str, JSON]:
    volumes = items(properties, "volumes")
    expect(
        len(volumes) <= MAX_VOLUMES,
        "properties.volumes",
        f"container group '{group}' has {len(volumes)} volumes; the limit is {MAX_VOLUMES}",
    )
    found: dict[str, JSON] = {}
    for index, volume in enumerate(volumes):
        place = f"properties.volumes[{index}]"
        name = text(volume, "name", place)
        expect(good_name(name), place, f"the volume name '{name}' {_RULE}")
        expect(name not in found, place, f"the volume name '{name}' is used more than once")
        kind = one_of(volume, ("azureFile", "emptyDir", "secret", "secretReference", "gitRepo"), place)
        source = optional_object(volume, kind)
        if kind == "azureFile":
            for field in ("shareName", "storageAccountName"):
                text(source, field, f"{place}.azureFile")
        elif kind == "gitRepo":
            text(source, "repository", f"{place}.gitRepo")
        elif kind == "secret":
            _secret(source, place)
        found[name] = volume
    return found


def _secret(files: JSON, place: str) -> None:
    for file, content in files.items():
        expect(_SECRET_FILE.fullmatch(file) is not None, place, f"'{file}' is no name of a secret's file")
        try:
            base64.b64decode(str(content), validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_request("InvalidParameter", f"The secret '{file}' is not base64.", place) from error


def _registries(properties: JSON) -> None:
    seen: set[str] = set()
    for index, credential in enumerate(items(properties, "imageRegistryCredentials")):
        place = f"properties.imageRegistryCredentials[{index}]"
        server = text(credential, "server", place)
        expect("://" not in server, place, f"the server '{server}' must be given without a protocol")
        expect(server not in seen, place, f"the server '{server}' is given more than once")
        seen.add(server)
        expect(
            bool(credential.get("username")) or bool(credential.get("identity")),
            place,
            f"the credential of '{server}' needs a username or an identity",
        )


def _dns(properties: JSON) -> None:
    if properties.get("dnsConfig") is not None:
        servers = optional_object(properties, "dnsConfig").get("nameServers")
        expect(
            isinstance(servers, list) and bool(servers), "properties.dnsConfig", "dnsConfig needs nameServers"
        )


def _windows(properties: JSON, containers: list[JSON], first: list[JSON]) -> None:
    place = "properties.osType"
    expect(len(containers) == 1, place, "a Windows container group has exactly one container")
    expect(not first, place, "init containers are not supported in a Windows container group")
    expect(
        not items(properties, "subnetIds"),
        place,
        "virtual networks are not supported for Windows container groups",
    )
    for volume in items(properties, "volumes"):
        expect(
            not volume.get("gitRepo"), place, "gitRepo volumes are not supported in a Windows container group"
        )
    resources = optional_object(optional_object(containers[0], "properties"), "resources")
    gpu = optional_object(resources, "requests").get("gpu")
    expect(not gpu, place, "GPU resources are not supported in a Windows container group")


def check_size(
    location: str, system: str, cpu: float, memory: float, largest: tuple[float, float], vnet: bool
) -> None:
    """Raises ArmError 409 ServiceUnavailable for what no region sells."""
    if cpu > largest[0] or memory > largest[1]:
        network = " virtual network" if vnet else ""
        raise ArmError(
            409,
            "ServiceUnavailable",
            f"The requested resource is not available in the location '{location}' at this moment. Please "
            f"retry with a different resource request or in another location. Resource requested: '{cpu:g}' "
            f"CPU '{memory:g}' GB memory '{system}' OS{network}",
        )


def totals(properties: JSON) -> tuple[float, float]:
    """Requested cores and GB of a validated group."""
    requests: list[Any] = [
        container["properties"]["resources"]["requests"] for container in properties["containers"]
    ]
    return sum(float(one["cpu"]) for one in requests), sum(float(one["memoryInGB"]) for one in requests)


def cores_by_quota(properties: JSON) -> dict[str, float]:
    """What a validated group takes of which quota of its region, apart from being a group."""
    gpus: dict[str, float] = {}
    for container in properties["containers"]:
        gpu = container["properties"]["resources"]["requests"].get("gpu")
        if gpu:
            name = f"Standard{gpu['sku']}Cores"
            gpus[name] = gpus.get(name, 0.0) + gpu["count"]
    kind = "StandardSpotCores" if properties.get("priority") == "Spot" else "StandardCores"
    return {kind: totals(properties)[0]} | gpus
