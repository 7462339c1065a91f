"""Rules that lint asks itself, because no translator knows them. They are data: `engine`, `beyond` and
`online` say when they are broken."""

from __future__ import annotations

from vnodectl.lint.model import Severity
from vnodectl.lint.rule import ALIBABA, AZURE, Rule

_CONTAINER = r"spec\.(init)?[cC]ontainers"
_UNSUPPORTED = "UnsupportedField"

UNREADABLE = Rule(
    "VN-L-001",
    "unreadable",
    "A document is not YAML or JSON, or is no object of Kubernetes",
    "Such a document cannot be judged; the others of its file are.",
    "Mend it at the line that is named; of a Helm chart lint the output of helm template.",
)
INVALID = Rule(
    "VN-L-002",
    "invalid-pod",
    "The API server would refuse the pod",
    "A part that every pod must have is missing or of the wrong type, so nothing can run it.",
    "kubectl apply --dry-run=server -f FILE says what is wrong.",
)
UNKNOWN_IGNORE = Rule(
    "VN-L-003",
    "unknown-ignore",
    "lint-ignore names no rule",
    "A misspelt code suppresses nothing, or the rule is gone.",
    "Use a code or a name of this page.",
    Severity.WARNING,
)
NO_TOLERATION = Rule(
    "VN-L-010",
    "missing-toleration",
    "It selects virtual nodes but does not tolerate their taint",
    "Virtual nodes carry the taint virtual-kubelet.io/provider, so the pod stays Pending.",
    "Add the toleration {key: virtual-kubelet.io/provider, operator: Exists, effect: NoSchedule}.",
)
NO_SELECTOR = Rule(
    "VN-L-011",
    "missing-selector",
    "It tolerates the taint of virtual nodes but does not select them",
    "A toleration allows, it does not attract: the pod may land on any node.",
    "Add the nodeSelector {type: virtual-kubelet}, or take the toleration away.",
    Severity.WARNING,
)
DAEMON_SET = Rule(
    "VN-L-012",
    "daemon-set",
    "The DaemonSet would put a pod on every virtual node",
    "There is no machine behind a virtual node: what belongs on every machine is a container group of "
    "its own there, which costs money and usually fails.",
    "Keep it off by affinity: type NotIn [virtual-kubelet]. What each pod needs goes into the pod as a "
    "container.",
    Severity.WARNING,
)
WRONG_OS = Rule(
    "VN-L-013",
    "wrong-os",
    "The pod is for another operating system than the node",
    "spec.os says what the containers are; a node of another kind cannot run them.",
    "Select a node of that system with kubernetes.io/os.",
    rejects=((_UNSUPPORTED, r"spec\.os\.name"),),
)
PRIVILEGED_ON_REQUEST = Rule(
    "VN-L-025",
    "privileged-on-request",
    "privileged containers need Alibaba's consent",
    "ECI runs them only for accounts that have asked for it; for others the group is refused.",
    "Add the capabilities that are needed instead, or ask Alibaba Cloud for it.",
    Severity.WARNING,
    (ALIBABA,),
)
CAPABILITIES = Rule(
    "VN-L-026",
    "capabilities",
    "added capabilities",
    "ACI gives a container the same capabilities always: what is added is not there.",
    "Remove capabilities.add, or run the pod on a node that has a kernel of its own.",
    Severity.WARNING,
    (AZURE,),
    rejects=((_UNSUPPORTED, rf"{_CONTAINER}\.securityContext\.capabilities.*"),),
    removable=True,
)
USER = Rule(
    "VN-L-015",
    "user",
    "runAsNonRoot, runAsUser and runAsGroup",
    "Outside confidential groups ACI has no security context: a container runs as whomever its image names, "
    "be that root.",
    "Set USER in the image. With --check-images, images that do are known.",
    Severity.WARNING,
    (AZURE,),
)
TERMINAL = Rule(
    "VN-L-039",
    "exec",
    "stdin and tty of containers, and what kubectl exec can do",
    "ACI gives a container no standard input. kubectl exec starts a shell there, so that an image "
    "without one takes a single word; stderr arrives on stdout, and piped input is text.",
    "Do not wait for standard input; keep a shell in images that people exec into.",
    Severity.WARNING,
    (AZURE,),
    removable=True,
)
STORAGE_ACCOUNT = Rule(
    "VN-L-049",
    "storage-account",
    "Azure Files in a general-purpose v1 account",
    "Shares of such accounts are not dependable on virtual nodes, and Azure is retiring the kind.",
    "az storage account update -n ACCOUNT --set kind=StorageV2 --access-tier Hot",
    Severity.WARNING,
    (AZURE,),
    online=True,
)
LIMITS = Rule(
    "VN-L-053",
    "limits",
    "limits above what the group has",
    "A group has what its containers request in all; ACI refuses a higher limit, so it is lowered.",
    "Request what the container needs at its peak.",
    Severity.WARNING,
    (AZURE,),
)
REGION_SIZE = Rule(
    "VN-L-055",
    "region-size",
    "more than the region offers",
    "What one group may have differs from region to region; Azure says it when asked.",
    "Ask for less, or choose another region: az container list-capabilities",
    clouds=(AZURE,),
    online=True,
)
IGNORED_RESOURCE = Rule(
    "VN-L-056",
    "ignored-resource",
    "resources that make no difference",
    "Huge pages, and on Azure ephemeral storage, are neither reserved nor limited in a container group.",
    "Remove them.",
    Severity.INFO,
    removable=True,
)
CLAIM_UNREAD = Rule(
    "VN-L-057",
    "claim-unread",
    "a PersistentVolumeClaim whose volume is not known here",
    "ACI mounts claims of SMB shares of Azure Files, ECI those of disks, NAS and OSS; a claim does not "
    "say what it is bound to.",
    "Lint in the cluster, or give the PersistentVolume too. On AKS: storageClassName: azurefile-csi.",
    Severity.WARNING,
)
NETWORK_POLICY = Rule(
    "VN-L-060",
    "network-policy",
    "a NetworkPolicy that selects pods of a virtual node",
    "Policies are enforced on machines; nothing enforces them for a container group.",
    "Filter by the subnet's network security group, or by the pod's security group on Alibaba Cloud.",
    Severity.WARNING,
)
IPV6 = Rule(
    "VN-L-062",
    "ipv6",
    "IPv6",
    "Groups of ACI have IPv4 addresses only; those of ECI get an IPv6 address when annotated.",
    "Use IPv4 (ipFamilyPolicy: SingleStack), or k8s.aliyun.com/eci-enable-ipv6 on Alibaba Cloud.",
    Severity.WARNING,
)
SERVICE_LINKS = Rule(
    "VN-L-063",
    "service-links",
    "more variables than a container can have",
    "Each Service of the namespace adds at least seven variables; ECI takes 240 for a container, and "
    "long environments keep programs from starting everywhere.",
    "Set enableServiceLinks: false.",
    Severity.WARNING,
)
NODE_PORT = Rule(
    "VN-L-064",
    "node-port",
    "a Service of type NodePort",
    "No port is opened on a virtual node; one on another node reaches the pod only where that node can.",
    "Use a Service of type LoadBalancer or ClusterIP.",
    Severity.INFO,
)
HOST_NAME = Rule(
    "VN-L-065",
    "host-name",
    "hostname and setHostnameAsFQDN",
    "ACI names its containers itself, and neither cloud calls them by their name in the cluster's DNS. The "
    "records that hostname and subdomain make there are unaffected.",
    "Give the program its name by a variable: fieldRef metadata.name.",
    Severity.WARNING,
    removable=True,
)
PULL_POLICY = Rule(
    "VN-L-071",
    "pull-policy",
    "imagePullPolicy Never",
    "There is no machine on which an image could be already: ACI pulls all the same.",
    "Remove it.",
    Severity.WARNING,
    (AZURE,),
    removable=True,
)
PULL = Rule(
    "VN-L-070",
    "image-pull",
    "an image that cannot be pulled",
    "The cloud pulls with the pod's pull secrets or the group's identity; what machines are signed in to "
    "does not count.",
    "Name an imagePullSecret that can read the repository, or correct the image.",
    online=True,
)
LATE = Rule(
    "VN-L-090",
    "late-field",
    "fields that are known only once the group runs",
    "The pod's address exists after the group was made: in ACI the variable is left out, in ECI it is "
    "filled in, but not within commands, arguments and other variables.",
    "Ask for the address in the program: hostname -i.",
    Severity.WARNING,
)
UNKNOWN_FIELD = Rule(
    "VN-L-091",
    "unknown-field",
    "a downward API field, or a source of a variable or projection, that is not known",
    "The runtime rejects the pod.",
    "Use the fields of the Kubernetes documentation.",
)
OTHER = Rule(
    "VN-L-099",
    "rejected",
    "anything else that the provider rejects",
    "The provider's translator refuses the pod at this place.",
    "See the message.",
)

RULES: tuple[Rule, ...] = (
    UNREADABLE,
    INVALID,
    UNKNOWN_IGNORE,
    NO_TOLERATION,
    NO_SELECTOR,
    DAEMON_SET,
    WRONG_OS,
    PRIVILEGED_ON_REQUEST,
    CAPABILITIES,
    USER,
    TERMINAL,
    STORAGE_ACCOUNT,
    LIMITS,
    REGION_SIZE,
    IGNORED_RESOURCE,
    CLAIM_UNREAD,
    NETWORK_POLICY,
    IPV6,
    SERVICE_LINKS,
    NODE_PORT,
    HOST_NAME,
    PULL_POLICY,
    PULL,
    LATE,
    UNKNOWN_FIELD,
    OTHER,
)
