"""Whether the parameters of a container group are what ECI's reference allows. Pure; raises ApiError."""

from __future__ import annotations

import re

from vnodectl.emulator.alibaba.config import Limits
from vnodectl.emulator.alibaba.eci.volumes import check_volumes
from vnodectl.emulator.alibaba.errors import ApiError, invalid_parameter, missing_parameter
from vnodectl.emulator.alibaba.params import Params

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,126}[a-z0-9]")
CONTAINER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
SPOT = ("NoSpot", "SpotWithPriceLimit", "SpotAsPriceGo")
CAPABILITIES = ("NET_ADMIN", "NET_RAW")
MOST_CONTAINERS = 20
MOST_TAGS = 20
MOST_VARIABLES = 240
MOST_CREDENTIALS = 10
_SAFE_SYSCTLS = re.compile(r"net\.ipv4\.(ping_group_range|ip_unprivileged_port_start)")
_OTHER_SYSCTLS = re.compile(
    r"kernel\.(shm(?!_rmid_forced).*|msg.*|sem)|fs\.mqueue\..*"
    r"|net\.(?!ipv4\.(tcp_syncookies|ping_group_range|ip_unprivileged_port_start)$).*"
)
_LONGEST = 256
_WORDS = 20
_ARGUMENTS = 10


def validate(params: Params, limits: Limits) -> None:
    """A whole group, as CreateContainerGroup gets it."""
    if not NAME.fullmatch(params.required("ContainerGroupName")):
        raise invalid_parameter(
            "ContainerGroupName",
            "must have 2 to 128 lower-case letters, digits and hyphens, and not begin or end with a hyphen",
        )
    params.choice("RestartPolicy", RESTART_POLICIES, "Always")
    params.choice("DnsPolicy", ("Default", "None"), "Default")
    params.choice("CpuArchitecture", ("AMD64", "ARM64"), "AMD64")
    params.choice("ScheduleStrategy", ("VSwitchOrdered", "VSwitchRandom"), "VSwitchRandom")
    if params.choice("OsType", ("Linux", "Windows"), "Linux") == "Windows":
        raise _restricted("Windows")
    if params.choice("SpotStrategy", SPOT, "NoSpot") == "SpotWithPriceLimit":
        params.required("SpotPriceLimit")
    for name in ("ActiveDeadlineSeconds", "TerminationGracePeriodSeconds", "SpotDuration"):
        params.integer(name, least=0)
    params.integer("EphemeralStorage", least=0, most=5000)
    for name in ("AutoCreateEip", "AutoMatchImageCache", "DryRun", "ShareProcessNamespace"):
        params.flag(name)
    check_tags(params)
    check_sysctls(params)
    check_parts(params, limits)


def check_parts(params: Params, limits: Limits) -> None:
    """The parts that an update may replace: containers, volumes, registry credentials, DNS."""
    containers, inits = params.items("Container"), params.items("InitContainer")
    if not containers:
        raise missing_parameter("Container.1.Name")
    if max(len(containers), len(inits)) > MOST_CONTAINERS:
        raise _exceeded(f"A group has at most {MOST_CONTAINERS} containers")
    volumes = check_volumes(params, limits)
    names = [container.required("Name") for container in (*containers, *inits)]
    if len(set(names)) < len(names):
        raise ApiError(
            400,
            "InvalidParameter.DuplicatedName",
            "The container group include containers with duplicate names.",
        )
    for container in (*containers, *inits):
        _check_container(container, volumes, limits)
    credentials = params.items("ImageRegistryCredential")
    if len(credentials) > MOST_CREDENTIALS:
        raise _exceeded(f"A group has at most {MOST_CREDENTIALS} registry credentials")
    for credential in credentials:
        credential.required("Server")
    for alias in params.items("HostAliase"):
        alias.required("Ip")
        alias.texts("Hostname")


def check_tags(params: Params) -> None:
    tags = params.items("Tag")
    keys = [tag.required("Key") for tag in tags]
    if len(tags) > MOST_TAGS:
        raise ApiError(400, "NumberExceed.Tags", f"The length of tags exceeded limit: {MOST_TAGS}.")
    if len(set(keys)) < len(keys):
        raise ApiError(400, "Duplicate.TagKey", "The Tag.N.Key contain duplicate key.")
    for tag in tags:
        key, value = tag.text("Key"), tag.text("Value")
        banned = any("http://" in one or "https://" in one for one in (key, value))
        if len(key) > 128 or key.startswith(("aliyun", "acs:")) or banned:
            raise invalid_parameter(tag.at("Key"))
        if len(value) > 128 or value.startswith("acs:"):
            raise invalid_parameter(tag.at("Value"))


def check_sysctls(params: Params) -> None:
    """Safe ones are set for the containers, others only for the whole instance."""
    for name, allowed in (("SecurityContext", _SAFE_SYSCTLS), ("HostSecurityContext", _OTHER_SYSCTLS)):
        for sysctl in params.child(name).items("Sysctl"):
            if not allowed.fullmatch(sysctl.required("Name")):
                raise invalid_parameter(sysctl.at("Name"), "is not a parameter that may be set here")


def _check_container(container: Params, volumes: set[str], limits: Limits) -> None:
    if not CONTAINER_NAME.fullmatch(container.required("Name")):
        raise invalid_parameter(container.at("Name"))
    container.required("Image")
    container.choice("ImagePullPolicy", PULL_POLICIES, "IfNotPresent")
    for name in ("Tty", "Stdin", "StdinOnce", "EnvironmentVarHide", "SecurityContextRunAsNonRoot"):
        container.flag(name)
    for port in container.items("Port"):
        port.integer("Port", least=1, most=65535)
        port.choice("Protocol", ("TCP", "UDP"), "TCP")
    _check_words(container, limits)
    _check_variables(container, limits)
    for mount in container.items("VolumeMount"):
        if mount.required("Name") not in volumes:
            raise invalid_parameter(mount.at("Name"), "names a volume that does not exist")
        if not mount.required("MountPath").startswith("/"):
            raise invalid_parameter(mount.at("MountPath"), "must be absolute")
        mount.flag("ReadOnly")
    for name in ("LivenessProbe", "ReadinessProbe"):
        _check_probe(container.child(name), liveness=name == "LivenessProbe")
    _check_security(container)


def _check_words(container: Params, limits: Limits) -> None:
    command, arguments = container.texts("Command"), container.texts("Arg")
    if not limits.strict_lengths:
        return
    if len(command) > _WORDS or len(arguments) > _ARGUMENTS:
        raise _exceeded(f"{container.at('Command')} has too many words")
    if any(len(word) > _LONGEST for word in command):
        raise _too_long(f"A word of {container.at('Command')} is longer than {_LONGEST} characters")


def _check_variables(container: Params, limits: Limits) -> None:
    variables = container.items("EnvironmentVar")
    if len(variables) > MOST_VARIABLES:
        raise _exceeded(f"{container.at('EnvironmentVar')} has more than {MOST_VARIABLES} entries")
    for variable in variables:
        if not VARIABLE.fullmatch(variable.required("Key")):
            raise invalid_parameter(variable.at("Key"))
        path = variable.text("FieldRef.FieldPath")
        if path not in ("", "status.podIP"):
            raise invalid_parameter(variable.at("FieldRef.FieldPath"), "can only be status.podIP")
        if limits.strict_lengths and len(variable.text("Value")) > _LONGEST:
            raise _too_long(f"{variable.at('Value')} is longer than {_LONGEST} characters")


def _check_probe(probe: Params, *, liveness: bool) -> None:
    if not probe.tree:
        return
    kinds = [kind for kind in ("Exec.Command.1", "HttpGet.Port", "TcpSocket.Port") if _given(probe, kind)]
    if len(kinds) != 1:
        raise invalid_parameter(probe.at("Exec"), "must be the only one of Exec, HttpGet and TcpSocket")
    for name in ("HttpGet.Port", "TcpSocket.Port"):
        probe.integer(name, least=1, most=65535)
    probe.choice("HttpGet.Scheme", ("HTTP", "HTTPS"), "HTTP")
    for name in ("PeriodSeconds", "TimeoutSeconds", "FailureThreshold"):
        probe.integer(name, least=1)
    probe.integer("InitialDelaySeconds", least=0)
    probe.integer("SuccessThreshold", least=1, most=1 if liveness else None)


def _given(probe: Params, kind: str) -> bool:
    return bool(probe.texts("Exec.Command")) if kind.startswith("Exec") else probe.has(kind)


def _check_security(container: Params) -> None:
    for name in container.texts("SecurityContext.Capability.Add"):
        if name not in CAPABILITIES:
            raise invalid_parameter(
                container.at("SecurityContext.Capability.Add"), f"can only be {' or '.join(CAPABILITIES)}"
            )
    for name in ("SecurityContext.RunAsUser", "SecurityContextRunAsGroup"):
        container.integer(name, least=0)
    if container.flag("SecurityContextPrivileged"):
        raise _restricted("Privileged")


def _restricted(feature: str) -> ApiError:
    return ApiError(
        403,
        "FeatureAccessRestricted",
        f"Access to this feature:[{feature}] is restricted. Please contact Alibaba Cloud ECI support to "
        "request access.",
    )


def _exceeded(message: str) -> ApiError:
    return ApiError(400, "InvalidParameter.ValueExceeded", f"{message}.")


def _too_long(message: str) -> ApiError:
    return ApiError(400, "InvalidParameter.LengthExceeded", f"{message}.")
