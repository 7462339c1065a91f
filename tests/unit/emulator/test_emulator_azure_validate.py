"""What the emulated ACI accepts and refuses, with its codes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from vnodectl.emulator.azure.aci.validate import check_size, totals, validate
from vnodectl.emulator.azure.errors import ArmError

JSON = dict[str, Any]


def container(name: str = "web", **properties: Any) -> JSON:
    return {
        "name": name,
        "properties": {
            "image": "nginx",
            "resources": {"requests": {"cpu": 1, "memoryInGB": 1.5}},
            **properties,
        },
    }


def group(**properties: Any) -> JSON:
    return {
        "location": "eastus",
        "properties": {"osType": "Linux", "containers": [container()], **properties},
    }


def limits(**values: float) -> JSON:
    return {"requests": {"cpu": 1, "memoryInGB": 1.5}, "limits": values}


def windows(*containers: JSON, **properties: Any) -> JSON:
    return group(osType="Windows", containers=list(containers) or [container()], **properties)


def public(*ports: int) -> JSON:
    return {"type": "Public", "ports": [{"port": port} for port in ports]}


GOOD = {
    "the least": group(),
    "everything": group(
        containers=[
            container(
                command=["sh", "-c", "true"],
                ports=[{"port": 80}, {"port": 53, "protocol": "UDP"}],
                environmentVariables=[{"name": "A_1", "value": "x"}, {"name": "b.c", "secureValue": "y"}],
                resources=limits(cpu=1, memoryInGB=1.5),
                volumeMounts=[{"name": "data", "mountPath": "/data"}],
                livenessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1},
                readinessProbe={"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}},
            ),
            container("side", ports=[{"port": 53}]),
        ],
        initContainers=[{"name": "first", "properties": {"image": "busybox"}}],
        restartPolicy="Never",
        ipAddress=public(80),
        volumes=[{"name": "data", "emptyDir": {}}, {"name": "files", "secret": {"a.txt": "aGk="}}],
        dnsConfig={"nameServers": ["10.0.0.10"]},
        imageRegistryCredentials=[{"server": "registry.example", "username": "u", "password": "p"}],
    ),
    "a subnet without an address": group(subnetIds=[{"id": "/subscriptions/s/…/subnets/aci"}]),
    "windows": windows(),
    "a shared limit": group(
        containers=[container(resources=limits(cpu=2)), container("b")],
    ),
    "nulls": group(volumes=None, ipAddress=None, initContainers=None, dnsConfig=None),
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_accepted(body: JSON) -> None:
    before = copy.deepcopy(body)
    validate("web-1", body)
    assert body == before


BAD: dict[str, tuple[JSON, str]] = {
    "no os": (group(osType=None), "InvalidOsType"),
    "no properties": ({"location": "eastus"}, "InvalidRequestContent"),
    "properties of a wrong type": ({"properties": []}, "InvalidRequestContent"),
    "no containers": (group(containers=[]), "InvalidParameter"),
    "containers of a wrong type": (group(containers="web"), "InvalidRequestContent"),
    "61 containers": (group(containers=[container(f"c-{index}") for index in range(61)]), "InvalidParameter"),
    "restart policy": (group(restartPolicy="Sometimes"), "InvalidParameter"),
    "container name": (group(containers=[container("Web_1")]), "InvalidContainerName"),
    "long container name": (group(containers=[container("x" * 64)]), "InvalidContainerName"),
    "twice the same container": (group(containers=[container(), container()]), "InvalidParameter"),
    "the name of an init container": (
        group(initContainers=[{"name": "web", "properties": {"image": "i"}}]),
        "InvalidParameter",
    ),
    "no image": (group(containers=[container(image=None)]), "InvalidParameter"),
    "image with a space": (group(containers=[container(image="a b")]), "InvalidParameter"),
    "command as a string": (group(containers=[container(command="sh")]), "InvalidRequestContent"),
    "no requests": (group(containers=[container(resources={})]), "ResourceRequestsNotSpecified"),
    "no memory": (
        group(containers=[container(resources={"requests": {"cpu": 1}})]),
        "ResourceSomeRequestsNotSpecified",
    ),
    "memory in too small steps": (
        group(containers=[container(resources={"requests": {"cpu": 1, "memoryInGB": 1.55}})]),
        "InvalidParameter",
    ),
    "no cores": (
        group(containers=[container(resources={"requests": {"cpu": 0, "memoryInGB": 1}})]),
        "InvalidParameter",
    ),
    "cores as text": (
        group(containers=[container(resources={"requests": {"cpu": "1", "memoryInGB": 1}})]),
        "InvalidRequestContent",
    ),
    "limit below request": (
        group(containers=[container(resources=limits(memoryInGB=1))]),
        "ResourceLimitsLessThanRequests",
    ),
    "limit above the group": (
        group(containers=[container(resources=limits(cpu=1.5))]),
        "ContainerLimitGreaterThanContainerGroupTotalRequest",
    ),
    "variable name": (
        group(containers=[container(environmentVariables=[{"name": "1x"}])]),
        "InvalidParameter",
    ),
    "variable with two values": (
        group(containers=[container(environmentVariables=[{"name": "A", "value": "x", "secureValue": "y"}])]),
        "InvalidParameter",
    ),
    "unknown volume": (
        group(containers=[container(volumeMounts=[{"name": "data", "mountPath": "/data"}])]),
        "InvalidParameter",
    ),
    "mount path with a colon": (
        group(
            containers=[container(volumeMounts=[{"name": "data", "mountPath": "/a:b"}])],
            volumes=[{"name": "data", "emptyDir": {}}],
        ),
        "InvalidParameter",
    ),
    "21 volumes": (
        group(volumes=[{"name": f"v-{i}", "emptyDir": {}} for i in range(21)]),
        "InvalidParameter",
    ),
    "volume of two kinds": (
        group(volumes=[{"name": "v", "emptyDir": {}, "secret": {"a": "aGk="}}]),
        "InvalidParameter",
    ),
    "secret that is not base64": (group(volumes=[{"name": "v", "secret": {"a": "?"}}]), "InvalidParameter"),
    "share without an account": (
        group(volumes=[{"name": "v", "azureFile": {"shareName": "s"}}]),
        "InvalidParameter",
    ),
    "port 0": (group(containers=[container(ports=[{"port": 0}])]), "InvalidContainerPorts"),
    "a port twice": (
        group(containers=[container(ports=[{"port": 80}]), container("b", ports=[{"port": 80}])]),
        "InvalidParameter",
    ),
    "address without ports": (group(ipAddress={"type": "Public", "ports": []}), "MissingIpAddressPorts"),
    "address with 6 ports": (
        group(
            containers=[container(ports=[{"port": port} for port in range(1, 7)])],
            ipAddress=public(1, 2, 3, 4, 5, 6),
        ),
        "InvalidParameter",
    ),
    "port that no container has": (group(ipAddress=public(80)), "UnreferencedIpAddressPorts"),
    "private without a subnet": (
        group(containers=[container(ports=[{"port": 80}])], ipAddress=public(80) | {"type": "Private"}),
        "PrivateIPAddressNotSupported",
    ),
    "public in a subnet": (
        group(containers=[container(ports=[{"port": 80}])], ipAddress=public(80), subnetIds=[{"id": "/s"}]),
        "InvalidIpAddressTypeForNetworkProfile",
    ),
    "two subnets": (group(subnetIds=[{"id": "/a"}, {"id": "/b"}]), "InvalidParameter"),
    "short DNS label": (
        group(
            containers=[container(ports=[{"port": 80}])],
            ipAddress=public(80) | {"dnsNameLabel": "abc"},
        ),
        "InvalidParameter",
    ),
    "probe of two kinds": (
        group(containers=[container(livenessProbe={"exec": {"command": ["a"]}, "httpGet": {"port": 80}})]),
        "InvalidParameter",
    ),
    "probe of no kind": (
        group(containers=[container(livenessProbe={"periodSeconds": 5})]),
        "InvalidParameter",
    ),
    "probe too often": (
        group(containers=[container(readinessProbe={"exec": {"command": ["a"]}, "periodSeconds": 0})]),
        "InvalidParameter",
    ),
    "registry with a protocol": (
        group(imageRegistryCredentials=[{"server": "https://r.example", "username": "u"}]),
        "InvalidParameter",
    ),
    "DNS without servers": (group(dnsConfig={"searchDomains": "a"}), "InvalidParameter"),
    "windows with two containers": (windows(container(), container("b")), "InvalidParameter"),
    "windows in a subnet": (windows(subnetIds=[{"id": "/s"}]), "InvalidParameter"),
    "windows with init containers": (
        windows(initContainers=[{"name": "a", "properties": {"image": "i"}}]),
        "InvalidParameter",
    ),
}


@pytest.mark.parametrize(("body", "code"), BAD.values(), ids=BAD)
def test_refused(body: JSON, code: str) -> None:
    with pytest.raises(ArmError) as caught:
        validate("web-1", body)
    assert (caught.value.status, caught.value.code) == (400, code)


@pytest.mark.parametrize("name", ["Web", "-web", "web-", "web_1", "x" * 64, ""])
def test_names_of_groups(name: str) -> None:
    with pytest.raises(ArmError, match="InvalidContainerGroupName"):
        validate(name, group())


def test_the_messages_of_the_service_are_quoted() -> None:
    body = group(containers=[container(resources=limits(cpu=1.5))])
    with pytest.raises(ArmError) as caught:
        validate("web-1", body)
    assert caught.value.body() == {
        "error": {
            "code": "ContainerLimitGreaterThanContainerGroupTotalRequest",
            "message": "The 'Cpu' limit '1.5' in container 'web' is greater than the total request '1' of "
            "container group 'web-1'.",
        }
    }


def test_sizes() -> None:
    check_size("eastus", "Linux", 4.0, 16.0, (4.0, 16.0), False)
    for cpu, memory in ((4.01, 1.0), (1.0, 16.1)):
        with pytest.raises(ArmError, match=r"ServiceUnavailable[\s\S]*'Linux' OS virtual network") as caught:
            check_size("eastus", "Linux", cpu, memory, (4.0, 16.0), True)
        assert caught.value.status == 409


def test_the_requests_of_all_containers_count() -> None:
    assert totals(group(containers=[container(), container("b")])["properties"]) == (2.0, 3.0)
