"""Rules that speak for the providers' translators: what those reject, for a reason at a place, has this
code."""

from __future__ import annotations

from vnodectl.lint.model import Severity
from vnodectl.lint.rule import ALIBABA, AZURE, Rule

_CONTAINER = r"spec\.(init)?[cC]ontainers"
_UNSUPPORTED = "UnsupportedField"

HOST = Rule(
    "VN-L-020",
    "host-namespaces",
    "hostNetwork, hostPID or hostIPC",
    "A container group runs in a virtual machine of its own and shares nothing with a host.",
    "Remove the field; reach other pods through Services.",
    rejects=((_UNSUPPORTED, r"spec\.host(Network|PID|IPC)"),),
    removable=True,
)
SHARED_PROCESSES = Rule(
    "VN-L-021",
    "shared-processes",
    "shareProcessNamespace",
    "Containers of an ACI group have process namespaces of their own.",
    "Remove the field; let the containers talk over localhost or an emptyDir.",
    clouds=(AZURE,),
    rejects=((_UNSUPPORTED, r"spec\.shareProcessNamespace"),),
    removable=True,
)
HOST_ALIASES = Rule(
    "VN-L-022",
    "host-aliases",
    "hostAliases",
    "ACI cannot add lines to /etc/hosts. A shell in the container does it before the command, which "
    "takes a shell and an image that runs as root.",
    "Use DNS: a private zone, or an ExternalName Service.",
    clouds=(AZURE,),
    rejects=((_UNSUPPORTED, r"spec\.hostAliases"),),
    removable=True,
)
HOST_PORT = Rule(
    "VN-L-023",
    "host-port",
    "hostPort",
    "There is no host to open a port on.",
    "Remove hostPort; expose the pod by a Service of type LoadBalancer.",
    rejects=(("UnsupportedPort", rf"{_CONTAINER}\.ports\.hostPort"),),
    removable=True,
)
PRIVILEGED = Rule(
    "VN-L-024",
    "privileged",
    "privileged containers",
    "ACI runs none at all.",
    "Remove securityContext.privileged.",
    clouds=(AZURE,),
    rejects=((_UNSUPPORTED, rf"{_CONTAINER}\.securityContext\.privileged"),),
    removable=True,
)
ROOT = Rule(
    "VN-L-014",
    "forbidden-root",
    "runAsUser 0 with runAsNonRoot",
    "The one asks for root and the other forbids it: no node runs such a container.",
    "Remove one of the two.",
    clouds=(AZURE,),
    rejects=(("InvalidSecurityContext", r"spec(\.(init)?[cC]ontainers)?\.securityContext\.runAsUser"),),
)
SYSCTLS = Rule(
    "VN-L-027",
    "sysctls",
    "sysctls",
    "The kernel of an ACI group cannot be configured.",
    "Remove securityContext.sysctls.",
    clouds=(AZURE,),
    rejects=((_UNSUPPORTED, r"spec\.securityContext\.sysctls"),),
    removable=True,
)
WORKING_DIR = Rule(
    "VN-L-028",
    "working-dir",
    "workingDir on Windows",
    "ACI starts containers in the image's own working directory. On Linux a shell changes it.",
    "Change the directory in the command.",
    clouds=(AZURE,),
    rejects=((_UNSUPPORTED, rf"{_CONTAINER}\.workingDir"),),
)
ARGS = Rule(
    "VN-L-029",
    "args-without-command",
    "a command that has to be read from the image",
    "ACI's command replaces the image's entrypoint. Where a container has args without a command, or a "
    "working directory, hostAliases or files that a shell puts in place, the connector reads the "
    "entrypoint from the image's registry; where it cannot, the pod is rejected.",
    "Give the command too: docker inspect -f '{{.Config.Entrypoint}}' IMAGE.",
    Severity.WARNING,
    (AZURE,),
    rejects=(("ArgsWithoutCommand", r"spec\..+"), ("EntrypointUnknown", r"spec\..+")),
)
HOOKS = Rule(
    "VN-L-030",
    "lifecycle-hooks",
    "lifecycle hooks",
    "ACI has no postStart, and preStop by httpGet and tcpSocket only in a subnet; ECI has hooks by exec, "
    "httpGet and tcpSocket, and takes the stop signal from the image.",
    "Start and stop in the program itself, which gets TERM; or use a preStop hook by exec.",
    rejects=((_UNSUPPORTED, rf"{_CONTAINER}\.lifecycle.*"),),
    removable=True,
)
PROBE = Rule(
    "VN-L-031",
    "probe",
    "a probe that the cloud does not have",
    "ACI has exec and httpGet, ECI tcpSocket besides; neither asks another host, and ECI sends no "
    "headers. What they lack the connector probes itself: on Azure in a subnet, on Alibaba Cloud for "
    "pods that restart.",
    "Use exec or httpGet against the container itself.",
    rejects=(("UnsupportedProbe", rf"{_CONTAINER}\.((liveness|readiness)Probe(\..+)?|startupProbe\..+)"),),
)
STARTUP_PROBE = Rule(
    "VN-L-032",
    "startup-probe",
    "a startupProbe without a livenessProbe",
    "Neither cloud has startup probes: their time becomes the delay of the liveness probe, or the "
    "connector probes itself where it can.",
    "Add a livenessProbe.",
    rejects=(("UnsupportedProbe", rf"{_CONTAINER}\.startupProbe"),),
)
SIDECAR = Rule(
    "VN-L-033",
    "sidecar",
    "init containers that keep running",
    "restartPolicy Always makes an init container a side-car, which neither cloud has.",
    "Make it a container.",
    rejects=((_UNSUPPORTED, rf"{_CONTAINER}\.restartPolicy"),),
    removable=True,
)
INIT_PROBES = Rule(
    "VN-L-034",
    "init-container",
    "probes and hooks of init containers",
    "An init container of ECI runs to its end, and is not looked at meanwhile.",
    "Remove them from the init container.",
    clouds=(ALIBABA,),
    rejects=((_UNSUPPORTED, r"spec\.initContainers\.(lifecycle|(liveness|readiness|startup)Probe)"),),
    removable=True,
)
PROTOCOL = Rule(
    "VN-L-035",
    "port-protocol",
    "ports that are neither TCP nor UDP",
    "Container groups have no SCTP.",
    "Use TCP or UDP.",
    rejects=(("UnsupportedPort", rf"{_CONTAINER}\.ports\.protocol"),),
)
PORT_NAME = Rule(
    "VN-L-036",
    "port-name",
    "a probe or hook names a port that the container does not have",
    "Only the container's own ports have names.",
    "Use the number, or name the port in the container's ports.",
    rejects=(("UnknownPort", rf"{_CONTAINER}\..+"),),
)
MANY_CONTAINERS = Rule(
    "VN-L-037",
    "many-containers",
    "more containers than a group can have",
    "ACI takes 60 in a group, ECI 20, and 20 init containers.",
    "Split the pod.",
    rejects=(("TooManyContainers", r"spec\.(initC|c)ontainers"),),
)
MANY_PORTS = Rule(
    "VN-L-038",
    "many-ports",
    "more public ports than a group can have",
    "A public address of ACI has five ports.",
    "Use a connector with a subnet, or fewer ports.",
    clouds=(AZURE,),
    rejects=(("TooManyPorts", r"spec\.containers\.ports"),),
)
HOST_PATH = Rule(
    "VN-L-040",
    "host-path",
    "hostPath volumes",
    "There is no host whose files could be mounted.",
    "Use emptyDir, configMap or secret; Azure Files, NAS or OSS for files that stay.",
    rejects=(("UnsupportedVolume", r"spec\.volumes\.hostPath"),),
)
CLAIM = Rule(
    "VN-L-041",
    "volume-claim",
    "a PersistentVolumeClaim that the cloud cannot mount",
    "A container group mounts what its cloud's API has; other drivers need a machine.",
    "Mount Azure Files inline, or NAS, OSS and disks of Alibaba Cloud.",
    rejects=(("UnsupportedVolume", r"spec\.volumes\.(persistentVolumeClaim|ephemeral)(\..+)?"),),
)
VOLUME = Rule(
    "VN-L-042",
    "volume-kind",
    "a kind of volume, driver or medium that the cloud does not have",
    "A container group mounts what its cloud's API has.",
    "Use emptyDir, configMap, secret, projected or downwardAPI, or the cloud's own file shares.",
    rejects=(("UnsupportedVolume", r"spec\.volumes\.(?!hostPath$|persistentVolumeClaim|ephemeral).+"),),
)
MOUNT = Rule(
    "VN-L-043",
    "volume-mount",
    "a subPath that cannot be had, or a mount that propagates",
    "ACI mounts whole volumes: a part of one of files, or of an emptyDir that nobody mounts around it, "
    "becomes a volume of its own. Nothing propagates to a host.",
    "Mount the whole volume in a directory of its own.",
    clouds=(AZURE,),
    rejects=(("UnsupportedMount", rf"{_CONTAINER}\.volumeMounts\.\w+"),),
)
DEVICE = Rule(
    "VN-L-044",
    "block-device",
    "volumeDevices",
    "There are no block devices in a container group.",
    "Use a volume with a file system.",
    rejects=(("UnsupportedVolume", rf"{_CONTAINER}\.volumeDevices"),),
    removable=True,
)
MANY_VOLUMES = Rule(
    "VN-L-045",
    "many-volumes",
    "more volumes than a group can have",
    "A group has 20; the service account's token is one of them.",
    "Project several sources into one volume; set automountServiceAccountToken: false.",
    rejects=(("TooManyVolumes", r"spec\.volumes"),),
)
WINDOWS_VOLUMES = Rule(
    "VN-L-046",
    "windows-volumes",
    "volumes of Windows pods",
    "Windows container groups mount nothing.",
    "Take configuration from the environment, and files from a share that the program opens itself.",
    clouds=(AZURE,),
    rejects=(("UnsupportedVolume", r"spec\.volumes"),),
    os="windows",
)
FILES = Rule(
    "VN-L-047",
    "volume-files",
    "files of a volume that cannot be as they are written",
    "ACI takes letters, digits, '-', '_' and '.' in the names of files; ECI 32 KiB a file and 60 KiB in all.",
    "Rename the files; keep large ones in the image or on a share.",
    rejects=(("UnsupportedVolume", r"spec\.volumes"),),
)
INCOMPLETE = Rule(
    "VN-L-048",
    "volume-incomplete",
    "a share without what is needed to mount it",
    "Azure Files wants a share and a Secret with azurestorageaccountname and azurestorageaccountkey; "
    "disks, NAS and OSS want their id, server or bucket.",
    "Add what is missing.",
    rejects=(("InvalidVolume", r"spec\.volumes\..+"),),
)
RESOURCE = Rule(
    "VN-L-050",
    "resource",
    "a resource that the cloud does not have",
    "Container groups have CPU, memory and GPUs; device plug-ins run on machines only.",
    "Remove it.",
    rejects=(("UnsupportedResource", rf"{_CONTAINER}\.resources\.\w+"),),
    removable=True,
)
QUANTITY = Rule(
    "VN-L-051",
    "quantity",
    "a quantity that is none",
    "Amounts are written as 500m, 1.5 or 2Gi.",
    "Correct it.",
    rejects=(("InvalidQuantity", r"spec\..+"),),
)
GPU = Rule(
    "VN-L-052",
    "gpu",
    "a GPU without its kind",
    "GPUs are had with a SKU (ACI) or an instance type (ECI); retired SKUs are refused by the cloud.",
    "Annotate the pod: virtual-kubelet.io/gpu-type on Azure, k8s.aliyun.com/eci-use-specs on Alibaba Cloud.",
    rejects=(
        ("GpuSkuUnknown", rf"{_CONTAINER}\.resources\.\w+"),
        ("GpuTypeUnknown", rf"{_CONTAINER}\.resources\.\w+"),
    ),
)
SIZE = Rule(
    "VN-L-054",
    "size",
    "more than the cloud sells in one group",
    "ECI sells pairs of vCPU and memory up to 64 and 512 GiB.",
    "Ask for less, or split the pod.",
    clouds=(ALIBABA,),
    rejects=(("TooLarge", r"spec\.containers\.resources"),),
)
DNS = Rule(
    "VN-L-061",
    "dns",
    "DNS settings that the cloud cannot have",
    "ACI has DNS settings in a subnet and with name servers only; policy None needs name servers on both.",
    "Name dnsConfig.nameservers, and use a connector with a subnet.",
    rejects=(("UnsupportedDns", r"spec\.dnsConfig(\.nameservers)?"),),
)
WINDOWS_CONTAINERS = Rule(
    "VN-L-080",
    "windows-containers",
    "several containers or init containers on Windows",
    "A Windows container group has one container, and no init containers.",
    "Keep one container.",
    clouds=(AZURE,),
    rejects=(("WindowsLimit", r"spec\.(initC|c)ontainers"),),
)
ANNOTATION = Rule(
    "VN-L-092",
    "annotation",
    "an annotation that cannot be honoured",
    "Its value is wrong, or the cloud's public API has nothing for it.",
    "Correct or remove it.",
    rejects=tuple(
        (reason, r"metadata\.annotations")
        for reason in (
            *("InvalidAnnotation", "UnsupportedAnnotation", "TooManyTags", "SpotLimit", "NoKubeProxy"),
            "WindowsLimit",
        )
    ),
)
STANDBY = Rule(
    "VN-L-093",
    "standby-secret",
    "a Secret in the environment of a standby group",
    "A group from a standby pool takes its environment from a config map that everybody can read who may "
    "read the group.",
    "Mount the Secret, or take the group from no pool.",
    clouds=(AZURE,),
    rejects=((_UNSUPPORTED, r"spec\.containers\.env"),),
)
NO_COMMAND = Rule(
    "VN-L-094",
    "no-command",
    "a container without anything to run",
    "Neither the image nor the container has a command.",
    "Give the container a command.",
    clouds=(AZURE,),
    rejects=(("NoCommand", rf"{_CONTAINER}\.command"),),
)
CONTAINER_RESTARTS = Rule(
    "VN-L-095",
    "container-restarts",
    "restart policies of single containers",
    "Container groups have one restart policy, the pod's; no container has another, or rules by exit code.",
    "Remove restartPolicy and restartPolicyRules from the container, or give the pod that policy.",
    rejects=(("UnsupportedRestartPolicy", rf"{_CONTAINER}\.restartPolicy(Rules.*)?"),),
    removable=True,
)

RULES: tuple[Rule, ...] = (
    HOST,
    SHARED_PROCESSES,
    HOST_ALIASES,
    HOST_PORT,
    PRIVILEGED,
    ROOT,
    SYSCTLS,
    WORKING_DIR,
    ARGS,
    HOOKS,
    PROBE,
    STARTUP_PROBE,
    SIDECAR,
    INIT_PROBES,
    PROTOCOL,
    PORT_NAME,
    MANY_CONTAINERS,
    MANY_PORTS,
    HOST_PATH,
    CLAIM,
    VOLUME,
    MOUNT,
    DEVICE,
    MANY_VOLUMES,
    WINDOWS_VOLUMES,
    FILES,
    INCOMPLETE,
    RESOURCE,
    QUANTITY,
    GPU,
    SIZE,
    DNS,
    WINDOWS_CONTAINERS,
    ANNOTATION,
    STANDBY,
    NO_COMMAND,
    CONTAINER_RESTARTS,
)
