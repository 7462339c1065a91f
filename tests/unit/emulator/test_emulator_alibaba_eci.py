"""Pure parts of the emulated ECI: sizes, validation, volumes, translation, updates."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from vnodectl.emulator.alibaba.config import DEFAULT_TYPES, Limits
from vnodectl.emulator.alibaba.eci.specs import IGNORE, Size, rounded, sizes_of
from vnodectl.emulator.alibaba.eci.translate import translate
from vnodectl.emulator.alibaba.eci.update import merged, merged_tags
from vnodectl.emulator.alibaba.eci.validate import validate
from vnodectl.emulator.alibaba.errors import ApiError
from vnodectl.emulator.alibaba.params import Params, nested
from vnodectl.engines.api import Mount, RegistryAuth, RestartPolicy

SHARES = Path("/shares")


def group(**flat: str) -> Params:
    """Names with `__` for dots."""
    base = {"ContainerGroupName": "web", "Container.1.Name": "web", "Container.1.Image": "nginx"}
    return Params(nested(base | {name.replace("__", "."): value for name, value in flat.items()}))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# --- sizes ---


@pytest.mark.parametrize(
    ("asked", "finer", "sold"),
    [
        ((0.1, 0.1), True, (0.25, 0.5)),
        ((0.25, 1.5), True, (0.5, 2)),
        ((1, 3), True, (1, 4)),
        ((2, 5), True, (2, 6)),
        ((2, 5), False, (2, 8)),
        ((3, 3), True, (4, 4)),
        ((7, 13), True, (8, 14)),
        ((7, 13), False, (8, 16)),
        ((5, 20), True, (6, 20)),
        ((52, 300), True, (52, 384)),
        ((64, 512), True, (64, 512)),
    ],
)
def test_sizes_are_rounded_up(asked: tuple[float, float], finer: bool, sold: tuple[float, float]) -> None:
    assert rounded(*asked, finer=finer) == sold


def test_a_group_needs_what_its_containers_need_together_or_its_largest_init_container() -> None:
    params = {"Container__1__Cpu": "1", "Container__2__Cpu": "1", "InitContainer__1__Cpu": "4"}
    (size,) = sizes_of(group(**params, InitContainer__2__Memory="3"), "cn-hangzhou", {})
    assert (size.cpu, size.memory) == (4, 4)
    ignored = {
        "Container__2__Cpu": "8",
        "Container__2__EnvironmentVar__1__Key": IGNORE,
        "Container__2__EnvironmentVar__1__Value": "TRUE",
    }
    assert sizes_of(group(Container__1__Cpu="1", **ignored), "cn-hangzhou", {})[0].cpu == 1


@pytest.mark.parametrize(
    "flat",
    [
        {"Container__1__Cpu": "65"},
        {"Cpu": "1", "Container__1__Cpu": "2"},
        {"InstanceType": "ecs.c6.large", "Container__1__Cpu": "4"},
    ],
)
def test_what_nothing_that_is_sold_fits(flat: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        sizes_of(group(**flat), "cn-hangzhou", DEFAULT_TYPES)
    assert caught.value.code == "InvalidParameter.CPU.Memory"


def test_specifications_that_fit_in_the_order_they_are_named() -> None:
    params = group(InstanceType="ecs.c6.large, 8-16Gi,2-4Gi,3-3Gi,ecs.g6.xlarge", Container__1__Memory="10")
    assert sizes_of(params, "cn-hangzhou", DEFAULT_TYPES) == [Size(8, 16), Size(4, 16, "ecs.g6.xlarge")]


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ("3-3Gi", "InvalidInstanceTypeForEciBuy"),
        ("ecs.none", "InvalidInstanceTypeForEciBuy"),
        (",".join(["2-4Gi"] * 6), "InvalidParameter"),
    ],
)
def test_specifications_that_are_not_sold(named: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        sizes_of(group(InstanceType=named), "cn-hangzhou", DEFAULT_TYPES)
    assert caught.value.code == code


# --- validation ---

EVERYTHING = group(
    RestartPolicy="OnFailure",
    Tag__1__Key="a",
    Tag__1__Value="b",
    Container__1__Port__1__Port="80",
    Container__1__EnvironmentVar__1__Key="IP",
    Container__1__EnvironmentVar__1__FieldRef__FieldPath="status.podIP",
    Container__1__VolumeMount__1__Name="files",
    Container__1__VolumeMount__1__MountPath="/files",
    Container__1__LivenessProbe__HttpGet__Port="80",
    Container__1__ReadinessProbe__Exec__Command__1="true",
    Container__1__SecurityContext__Capability__Add__1="NET_ADMIN",
    Volume__1__Name="files",
    Volume__1__Type="ConfigFileVolume",
    Volume__1__ConfigFileVolume__ConfigFileToPath__1__Path="a",
    Volume__1__ConfigFileVolume__ConfigFileToPath__1__Content=encoded("x"),
    SecurityContext__Sysctl__1__Name="net.ipv4.ping_group_range",
    HostSecurityContext__Sysctl__1__Name="net.core.somaxconn",
)


def test_a_group_with_everything_is_valid() -> None:
    validate(EVERYTHING, Limits(strict_lengths=True))


@pytest.mark.parametrize(
    ("flat", "code"),
    [
        ({"ContainerGroupName": "x"}, "InvalidParameter"),
        ({"ContainerGroupName": "Web"}, "InvalidParameter"),
        ({"OsType": "Windows"}, "FeatureAccessRestricted"),
        ({"SpotStrategy": "SpotWithPriceLimit"}, "MissingParameter"),
        ({"EphemeralStorage": "5001"}, "InvalidParameter"),
        ({"Container__2__Name": "web", "Container__2__Image": "x"}, "InvalidParameter.DuplicatedName"),
        (
            {"InitContainer__1__Name": "web", "InitContainer__1__Image": "x"},
            "InvalidParameter.DuplicatedName",
        ),
        ({f"Container__{n}__Name": f"c{n}" for n in range(2, 22)}, "InvalidParameter.ValueExceeded"),
        ({"Container__1__Port__1__Port": "0"}, "InvalidParameter"),
        ({"Container__1__VolumeMount__1__Name": "none"}, "InvalidParameter"),
        ({"Container__1__LivenessProbe__PeriodSeconds": "5"}, "InvalidParameter"),
        ({"Container__1__SecurityContextPrivileged": "true"}, "FeatureAccessRestricted"),
        ({"Container__1__SecurityContext__Capability__Add__1": "SYS_ADMIN"}, "InvalidParameter"),
        ({"Container__1__EnvironmentVar__1__Key": "1A"}, "InvalidParameter"),
        ({"Volume__1__Name": "v", "Volume__1__Type": "Tape"}, "UnsupportedVolumeType"),
        ({"Volume__1__Name": "v", "Volume__1__Type": "HostPathVolume"}, "FeatureAccessRestricted"),
        ({"Volume__1__Name": "v", "Volume__1__Type": "NFSVolume"}, "MissingParameter"),
        (
            {
                "Volume__1__Name": "v",
                "Volume__1__Type": "EmptyDirVolume",
                "Volume__1__EmptyDirVolume__SizeLimit": "much",
            },
            "InvalidParameter",
        ),
        (
            {"Volume__1__Name": "v", "Volume__1__Type": "EmptyDirVolume", "Volume__2__Name": "v"},
            "InvalidParameter.DuplicatedVolumeName",
        ),
        ({"Tag__1__Key": "acs:x"}, "InvalidParameter"),
        ({"Tag__1__Key": "a", "Tag__2__Key": "a"}, "Duplicate.TagKey"),
        ({"SecurityContext__Sysctl__1__Name": "kernel.msgmax"}, "InvalidParameter"),
        ({"HostSecurityContext__Sysctl__1__Name": "net.ipv4.tcp_syncookies"}, "InvalidParameter"),
        ({"ImageRegistryCredential__1__UserName": "u"}, "MissingParameter"),
    ],
)
def test_groups_that_are_refused(flat: dict[str, str], code: str) -> None:
    with pytest.raises(ApiError) as caught:
        validate(group(**flat), Limits())
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("content", "path", "code"),
    [
        (encoded("x" * (32 * 1024 + 1)), "a", "InvalidParameter.LengthExceeded"),
        ("no base64!", "a", "InvalidParameter"),
        (encoded("x"), "../a", "InvalidParameter"),
    ],
)
def test_config_files_that_are_refused(content: str, path: str, code: str) -> None:
    file = "Volume__1__ConfigFileVolume__ConfigFileToPath__1__"
    params = group(
        Volume__1__Name="v",
        Volume__1__Type="ConfigFileVolume",
        **{file + "Content": content, file + "Path": path},
    )
    with pytest.raises(ApiError) as caught:
        validate(params, Limits())
    assert caught.value.code == code


# --- translation ---


def translated(**flat: str) -> Any:
    return translate("eci-1", group(**flat), shares=SHARES, labels={}, grace=5.0)


def test_a_container_as_an_engine_gets_it() -> None:
    spec = translated(
        RestartPolicy="Never",
        HostName="host",
        HostAliase__1__Ip="10.0.0.1",
        HostAliase__1__Hostname__1="a",
        HostAliase__1__Hostname__2="b",
        DnsConfig__NameServer__1="10.0.0.2",
        DnsConfig__Search__1="example",
        DnsConfig__Option__1__Name="ndots",
        DnsConfig__Option__1__Value="2",
        DnsConfig__Option__2__Name="rotate",
        ImageRegistryCredential__1__Server="registry.example",
        ImageRegistryCredential__1__UserName="u",
        ImageRegistryCredential__1__Password="p",
        Container__1__Command__1="sh",
        Container__1__Arg__1="-c",
        Container__1__Cpu="0.5",
        Container__1__Memory="1.5",
        Container__1__EnvironmentVar__1__Key="A",
        Container__1__EnvironmentVar__1__Value="b",
        Container__1__EnvironmentVar__2__Key="IP",
        Container__1__EnvironmentVar__2__FieldRef__FieldPath="status.podIP",
        Container__1__SecurityContext__RunAsUser="1000",
        Container__1__SecurityContextRunAsGroup="2000",
        Container__1__SecurityContext__ReadOnlyRootFilesystem="true",
        Container__1__ReadinessProbe__HttpGet__Port="8080",
        Container__1__ReadinessProbe__HttpGet__Scheme="HTTPS",
        Container__1__LivenessProbe__TcpSocket__Port="8080",
        Container__1__Port__1__Port="80",
        Container__1__Port__2__Port="53",
        Container__1__Port__2__Protocol="UDP",
    )
    (container,) = spec.containers
    assert (spec.restart_policy, spec.hostname, spec.ports) == (RestartPolicy.NEVER, "host", (80,))
    assert spec.hosts == (("10.0.0.1", "a"), ("10.0.0.1", "b"))
    assert (spec.dns_servers, spec.dns_search) == (("10.0.0.2",), ("example",))
    assert spec.dns_options == ("ndots:2", "rotate")
    assert spec.registry_auth == (RegistryAuth("registry.example", "u", "p"),)
    assert (container.command, container.args) == (("sh",), ("-c",))
    assert (container.cpu, container.memory) == (0.5, int(1.5 * 1024**3))
    assert (container.env, container.address_env) == ({"A": "b"}, ("IP",))
    assert (container.user, container.read_only_root) == ("1000:2000", True)
    readiness, liveness = container.readiness, container.liveness
    assert (readiness.http_path, readiness.http_scheme, readiness.port) == ("/", "https", 8080)
    assert (liveness.http_path, liveness.port, liveness.period) == (None, 8080, 10)


def test_volumes_are_directories() -> None:
    spec = translated(
        Volume__1__Name="memory",
        Volume__1__Type="EmptyDirVolume",
        Volume__1__EmptyDirVolume__Medium="Memory",
        Volume__1__EmptyDirVolume__SizeLimit="256Mi",
        Volume__2__Name="nas",
        Volume__2__Type="NFSVolume",
        Volume__2__NFSVolume__Server="nas.example",
        Volume__2__NFSVolume__Path="/a/../b",
        Volume__3__Name="oss",
        Volume__3__Type="FlexVolume",
        Volume__3__FlexVolume__Driver="alicloud/oss",
        Volume__3__FlexVolume__Options='{"bucket": "pail", "path": "/p"}',
        Volume__4__Name="disk",
        Volume__4__Type="DiskVolume",
        Volume__4__DiskVolume__DiskId="d-1",
        Container__1__VolumeMount__1__Name="nas",
        Container__1__VolumeMount__1__MountPath="/nas",
        Container__1__VolumeMount__1__ReadOnly="true",
        Container__1__VolumeMount__1__SubPath="/sub/",
    )
    volumes = spec.volumes
    assert (volumes["memory"].memory, volumes["memory"].size_limit) == (True, 256 * 1024**2)
    assert volumes["nas"].host_path == "/shares/nas/nas.example/a/b"
    assert volumes["oss"].host_path == "/shares/oss/pail/p"
    assert volumes["disk"].host_path == "/shares/disk/d-1"
    assert spec.containers[0].mounts == (Mount("nas", "/nas", read_only=True, sub_path="sub"),)


@pytest.mark.parametrize(
    ("mode", "means"),
    [
        ("", 0o644),
        ("0644", 0o644),
        ("420", 0o644),
        ("256", 0o400),
        ("644", 0o644),
        ("0400", 0o400),
        ("755", 0o755),
    ],
)
def test_modes_of_config_files(mode: str, means: int) -> None:
    file = "Volume__1__ConfigFileVolume__ConfigFileToPath__1__"
    spec = translated(
        Volume__1__Name="files",
        Volume__1__Type="ConfigFileVolume",
        **{file + "Path": "/a/b", file + "Content": encoded("x"), file + "Mode": mode},
    )
    (one,) = spec.volumes["files"].files
    assert (one.path, one.content, one.mode) == ("a/b", b"x", means)


# --- updates ---

BEFORE = {
    "RestartPolicy": "Always",
    "Container": [{"Name": "a", "Image": "one", "Cpu": "1"}, {"Name": "b", "Image": "two"}],
}


def test_an_incremental_update_lays_items_over() -> None:
    update = Params({"Container": [{"Name": "b", "Image": "new"}, {"Name": "c", "Image": "three"}]})
    after = merged(Params(BEFORE), update, incremental=True).tree
    assert after == BEFORE | {
        "Container": [
            {"Name": "a", "Image": "one", "Cpu": "1"},
            {"Name": "b", "Image": "new"},
            {"Name": "c", "Image": "three"},
        ]
    }


def test_a_full_update_replaces_what_it_names() -> None:
    update = Params({"Container": [{"Name": "b", "Image": "new"}], "RestartPolicy": "Never"})
    after = merged(Params(BEFORE), update, incremental=False).tree
    assert after == {"RestartPolicy": "Never", "Container": [{"Name": "b", "Image": "new"}]}
    assert merged(Params(BEFORE), Params({}), incremental=False).tree == BEFORE


def test_tags_of_an_update() -> None:
    update = Params({"Tag": [{"Key": "b", "Value": "2"}]})
    assert merged_tags({"a": "1"}, update, incremental=True) == {"a": "1", "b": "2"}
    assert merged_tags({"a": "1"}, update, incremental=False) == {"b": "2"}
    assert merged_tags({"a": "1"}, Params({}), incremental=False) == {"a": "1"}
