"""Every setting of the agent. Flags, the reading of the environment and docs/settings.md are made from this.

The variables of providers and clouds stand here as well: what is said of them by flag or file reaches their
own `from_environment` under the variable's name.
"""

from __future__ import annotations

from vnodectl.agent_settings.model import Group, Kind, Setting
from vnodectl.settings import TAINT_KEY

NODE = Group(
    "The node",
    (
        Setting("node-name", "VNODECTL_NODE_NAME", "The node to be.", otherwise="required"),
        Setting(
            "provider",
            "VNODECTL_PROVIDER",
            "What runs the pods.",
            default="aci",
            choices=("aci", "eci", "local"),
        ),
        Setting(
            "nodes",
            "VNODECTL_NODES",
            "How many nodes: NAME, NAME-2, NAME-3 …",
            Kind.NUMBER,
            default="1",
            least=1,
            most=50,
        ),
        Setting(
            "os-type",
            "VNODECTL_OS_TYPE",
            "Operating system of the node's pods.",
            default="Linux",
            choices=("Linux", "Windows"),
        ),
        Setting(
            "node-cpu",
            "VNODECTL_NODE_CPU",
            "Capacity of each node: cores.",
            Kind.QUANTITY,
            default="800",
            formerly=("ACI_QUOTA_CPU",),
        ),
        Setting(
            "node-memory",
            "VNODECTL_NODE_MEMORY",
            "Capacity of each node: memory.",
            Kind.QUANTITY,
            default="4Ti",
            formerly=("ACI_QUOTA_MEMORY",),
        ),
        Setting(
            "node-ephemeral-storage",
            "VNODECTL_NODE_EPHEMERAL_STORAGE",
            "Capacity of each node: ephemeral storage. Without any, no pod that asks for some is scheduled.",
            Kind.QUANTITY,
            default="40Ti",
        ),
        Setting(
            "node-pods",
            "VNODECTL_NODE_PODS",
            "Capacity of each node: pods.",
            Kind.QUANTITY,
            default="800",
            formerly=("ACI_QUOTA_POD",),
        ),
        Setting(
            "taint",
            "VNODECTL_TAINT",
            "Keep pods away that do not tolerate the provider.",
            Kind.YES_NO,
            default="true",
        ),
        Setting(
            "taint-key",
            "VNODECTL_TAINT_KEY",
            "Key of that taint.",
            default=TAINT_KEY,
            formerly=("VKUBELET_TAINT_KEY",),
        ),
        Setting(
            "taint-value",
            "VNODECTL_TAINT_VALUE",
            "Value of that taint.",
            otherwise="the provider's: azure, alibabacloud or local",
            formerly=("VKUBELET_TAINT_VALUE",),
        ),
        Setting(
            "taint-effect",
            "VNODECTL_TAINT_EFFECT",
            "Effect of that taint.",
            default="NoSchedule",
            choices=("NoSchedule", "PreferNoSchedule", "NoExecute"),
            formerly=("VKUBELET_TAINT_EFFECT",),
        ),
    ),
)

REPLICAS = Group(
    "Replicas",
    (
        Setting(
            "lease-namespace",
            "VNODECTL_LEASE_NAMESPACE",
            "Share the nodes out over replicas by Leases in this namespace.",
            otherwise="this process is all the nodes by itself",
        ),
        Setting(
            "replica",
            "VNODECTL_REPLICA",
            "This replica's name: that of its pod.",
            otherwise="the host's name",
        ),
        Setting(
            "connector",
            "VNODECTL_CONNECTOR",
            "The connector's release; marks what it makes.",
            otherwise="the node's name",
        ),
        Setting(
            "cluster",
            "VNODECTL_CLUSTER",
            "What tells this cluster's container groups from those of others in the same place (aci, eci).",
            otherwise="releases and nodes must have names of their own there",
        ),
    ),
)

CLUSTER = Group(
    "The cluster",
    (
        Setting(
            "kubeconfig",
            "KUBECONFIG",
            "How to reach the API server.",
            otherwise="the pod's service account, else ~/.kube/config",
        ),
        Setting(
            "context",
            "VNODECTL_CONTEXT",
            "Context of the kubeconfig.",
            otherwise="the kubeconfig's current one",
        ),
        Setting(
            "api-server",
            "VNODECTL_API_SERVER",
            "URL at which this node's pods reach the API server.",
            otherwise="the one used here",
            formerly=("MASTER_URI",),
        ),
        Setting(
            "cluster-dns",
            "VNODECTL_CLUSTER_DNS",
            "Address of the cluster's DNS service, for pods in a network that reaches it.",
            otherwise="pods use the cloud's",
            formerly=("KUBE_DNS_IP",),
        ),
        Setting(
            "cluster-domain",
            "VNODECTL_CLUSTER_DOMAIN",
            "The cluster's DNS domain.",
            default="cluster.local",
        ),
    ),
)

WEBHOOK = Group(
    "The admission webhook",
    (
        Setting(
            "webhook-port",
            "VNODECTL_WEBHOOK_PORT",
            "TLS port of the webhook that sends pods to the nodes by labels; wants connector and "
            "lease-namespace, which name its objects.",
            Kind.NUMBER,
            otherwise="none is served",
        ),
    ),
)

KUBELET_API = Group(
    "The kubelet API",
    (
        Setting(
            "node-ip",
            "VNODECTL_NODE_IP",
            "Where the API server reaches this node.",
            otherwise="the address from which this machine reaches the API server",
            formerly=("VKUBELET_POD_IP",),
        ),
        Setting(
            "kubelet-port",
            "VNODECTL_KUBELET_PORT",
            "Port of the first node's kubelet API, further nodes count up; 0 takes free ones.",
            Kind.NUMBER,
            default="10250",
            formerly=("KUBELET_PORT",),
        ),
        Setting(
            "health-port",
            "VNODECTL_HEALTH_PORT",
            "Plain HTTP port of /livez and /readyz.",
            Kind.NUMBER,
            otherwise="none is opened",
        ),
        Setting(
            "serving-certificate",
            "VNODECTL_SERVING_CERTIFICATE",
            "The serving certificate: csr asks the cluster's kubelet-serving signer, and serves nothing "
            "until it has signed; auto asks as well, and serves with a self-signed one until it has.",
            default="auto",
            choices=("auto", "csr", "self-signed"),
        ),
        Setting(
            "serving-cert-file",
            "VNODECTL_SERVING_CERT_FILE",
            "Serve with the certificate (PEM, with its chain) in this file, read again when it changes.",
            otherwise="see serving-certificate",
            formerly=("APISERVER_CERT_LOCATION",),
        ),
        Setting(
            "serving-key-file",
            "VNODECTL_SERVING_KEY_FILE",
            "The private key of serving-cert-file.",
            formerly=("APISERVER_KEY_LOCATION",),
        ),
        Setting(
            "client-ca-file",
            "VNODECTL_CLIENT_CA_FILE",
            "CA of the API server's client certificates, read again when it changes.",
            otherwise="ConfigMap kube-system/extension-apiserver-authentication",
            formerly=("APISERVER_CA_CERT_LOCATION",),
        ),
        Setting(
            "anonymous-auth",
            "VNODECTL_ANONYMOUS_AUTH",
            "Take requests without credentials as system:anonymous. For test clusters only.",
            Kind.YES_NO,
            default="false",
        ),
        Setting(
            "authorization-mode",
            "VNODECTL_AUTHORIZATION_MODE",
            "Webhook asks the API server who may do what; AlwaysAllow is for test clusters only.",
            default="Webhook",
            choices=("Webhook", "AlwaysAllow"),
        ),
    ),
)

SIGNALS = Group(
    "Logs and traces",
    (
        Setting(
            "log-format",
            "VNODECTL_LOG_FORMAT",
            "Lines for people or for collectors.",
            default="text",
            choices=("text", "json"),
        ),
        Setting(
            "log-level",
            "VNODECTL_LOG_LEVEL",
            "How much is told.",
            default="info",
            choices=("debug", "info", "warning", "error"),
        ),
        Setting(
            "traces",
            "VNODECTL_TRACES",
            "Where OpenTelemetry traces go; otlp needs the extra vnodectl[otel] and reads OTEL_*.",
            default="off",
            choices=("off", "otlp"),
        ),
    ),
)

AZURE = Group(
    "Azure (provider aci)",
    (
        Setting(
            "subscription",
            "AZURE_SUBSCRIPTION_ID",
            "The subscription.",
            otherwise="the Azure CLI's default",
        ),
        Setting("tenant", "AZURE_TENANT_ID", "The tenant."),
        Setting(
            "client-id",
            "AZURE_CLIENT_ID",
            "The service principal, workload identity or user-assigned managed identity to be.",
            formerly=("VIRTUALNODE_USER_IDENTITY_CLIENTID",),
        ),
        Setting("client-secret", "AZURE_CLIENT_SECRET", "The service principal's secret.", Kind.SECRET),
        Setting(
            "client-secret-file",
            "VNODECTL_AZURE_CLIENT_SECRET_FILE",
            "A file with that secret, read again when it changes.",
        ),
        Setting(
            "client-certificate-file",
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "A service principal's certificate with its key, PEM or PKCS #12; read again when it changes.",
        ),
        Setting(
            "client-certificate-password",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
            "The password of that file.",
            Kind.SECRET,
        ),
        Setting(
            "federated-token-file",
            "AZURE_FEDERATED_TOKEN_FILE",
            "A workload identity's token, as its webhook mounts it.",
        ),
        Setting(
            "authority-host",
            "AZURE_AUTHORITY_HOST",
            "Where to sign in.",
            otherwise="that of the public cloud",
        ),
        Setting(
            "arm-endpoint", "VNODECTL_ARM_ENDPOINT", "Azure Resource Manager.", otherwise="the public cloud's"
        ),
        Setting(
            "metrics-endpoint",
            "VNODECTL_METRICS_ENDPOINT",
            "Azure Monitor's data plane, for the usage of many pods at once.",
            otherwise="the region's",
        ),
        Setting(
            "ca-bundle",
            "VNODECTL_CA_BUNDLE",
            "PEM certificates to trust for cloud calls besides the system's own.",
        ),
        Setting(
            "aci-resource-group",
            "VNODECTL_ACI_RESOURCE_GROUP",
            "Where container groups are made.",
            otherwise="required by aci",
            formerly=("ACI_RESOURCE_GROUP",),
        ),
        Setting(
            "aci-region",
            "VNODECTL_ACI_REGION",
            "Region of container groups.",
            otherwise="required by aci",
            formerly=("ACI_REGION",),
        ),
        Setting(
            "aci-subnet-id",
            "VNODECTL_ACI_SUBNET_ID",
            "Resource ID of a subnet that is delegated to container groups.",
            otherwise="pods are in no virtual network",
        ),
        Setting(
            "aci-public-ip",
            "VNODECTL_ACI_PUBLIC_IP",
            "Without a subnet, whether a pod that names a port gets a public address.",
            Kind.YES_NO,
            default="true",
        ),
        Setting(
            "aci-gpu-sku",
            "VNODECTL_ACI_GPU_SKU",
            "The GPU model of pods that ask for one, e.g. V100.",
            otherwise="none is offered",
        ),
        Setting(
            "aci-gpus",
            "VNODECTL_ACI_GPUS",
            "Capacity of each node: GPUs, where aci-gpu-sku names their model.",
            Kind.NUMBER,
            default="100",
            least=1,
            formerly=("ACI_QUOTA_GPU",),
        ),
        Setting("aci-zone", "VNODECTL_ACI_ZONE", "Availability zone of pods that do not name one."),
        Setting("aci-tags", "VNODECTL_ACI_TAGS", "Tags of every container group: key=value;key=value."),
        Setting(
            "aci-identities",
            "VNODECTL_ACI_IDENTITIES",
            "Managed identities of pods that do not name any: resource IDs, and system.",
        ),
        Setting(
            "aci-registry-identity",
            "VNODECTL_ACI_REGISTRY_IDENTITY",
            "Resource ID of the identity that pulls from Azure Container Registry where no pull secret fits.",
        ),
        Setting(
            "aci-direct-probes",
            "VNODECTL_ACI_DIRECT_PROBES",
            "Probe pods in a subnet from here, as a kubelet does.",
            Kind.YES_NO,
            default="true",
        ),
        Setting(
            "aci-kube-proxy-cidr",
            "VNODECTL_ACI_KUBE_PROXY_CIDR",
            "The cluster's pod network: pods in a subnet get a kube-proxy side-car. Needs api-server.",
            otherwise="no side-car",
            formerly=("CLUSTER_CIDR",),
        ),
        Setting(
            "aci-kube-proxy-account",
            "VNODECTL_ACI_KUBE_PROXY_ACCOUNT",
            "A directory with the token and ca.crt of the side-cars' service account, read for each group.",
            otherwise="required by aci-kube-proxy-cidr",
        ),
        Setting(
            "aci-creates-per-hour",
            "VNODECTL_ACI_CREATES_PER_HOUR",
            "Container groups that the subscription may create in an hour; a third of it in five minutes.",
            Kind.NUMBER,
            default="300",
            least=1,
            most=1_000_000,
        ),
        Setting(
            "aci-deletes-per-hour",
            "VNODECTL_ACI_DELETES_PER_HOUR",
            "Container groups that the subscription may delete in an hour; a third of it in five minutes.",
            Kind.NUMBER,
            default="300",
            least=1,
            most=1_000_000,
        ),
        Setting(
            "aci-log-analytics-id",
            "VNODECTL_ACI_LOG_ANALYTICS_ID",
            "Log Analytics workspace that containers' output and events go to.",
            otherwise="none",
            formerly=("LOG_ANALYTICS_ID",),
        ),
        Setting(
            "aci-log-analytics-key",
            "VNODECTL_ACI_LOG_ANALYTICS_KEY",
            "Key of that workspace.",
            Kind.SECRET,
            formerly=("LOG_ANALYTICS_KEY",),
        ),
        Setting(
            "insecure-registries",
            "VNODECTL_INSECURE_REGISTRIES",
            "Registry hosts that are asked about images by plain HTTP.",
            otherwise="none",
        ),
    ),
)

ALIBABA = Group(
    "Alibaba Cloud (provider eci)",
    (
        Setting(
            "alibaba-region",
            "ALIBABA_CLOUD_REGION_ID",
            "The region.",
            otherwise="the CLI profile's",
            formerly=("ECI_REGION",),
        ),
        Setting(
            "alibaba-access-key-id",
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
            "The access key to use.",
            otherwise="a role, or the CLI's profile",
            formerly=("ECI_ACCESS_KEY",),
        ),
        Setting(
            "alibaba-access-key-secret",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            "The access key's secret.",
            Kind.SECRET,
            formerly=("ECI_SECRET_KEY",),
        ),
        Setting(
            "alibaba-secret-file",
            "VNODECTL_ALIBABA_SECRET_FILE",
            "A file with that secret, read again when it changes.",
        ),
        Setting(
            "alibaba-security-token",
            "ALIBABA_CLOUD_SECURITY_TOKEN",
            "The token of a temporary access key.",
            Kind.SECRET,
        ),
        Setting("alibaba-role-arn", "ALIBABA_CLOUD_ROLE_ARN", "RRSA: the RAM role to be."),
        Setting(
            "alibaba-oidc-provider-arn",
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "RRSA: the cluster's identity provider.",
        ),
        Setting(
            "alibaba-oidc-token-file", "ALIBABA_CLOUD_OIDC_TOKEN_FILE", "RRSA: the service account's token."
        ),
        Setting(
            "alibaba-role-session-name",
            "ALIBABA_CLOUD_ROLE_SESSION_NAME",
            "RRSA: the session's name in audit logs.",
            default="vnodectl",
        ),
        Setting(
            "alibaba-ecs-role", "ALIBABA_CLOUD_ECS_METADATA", "The RAM role of the ECS instance this runs on."
        ),
        Setting(
            "alibaba-profile",
            "ALIBABA_CLOUD_PROFILE",
            "The profile of the Alibaba Cloud CLI to use.",
            otherwise="its current one",
        ),
        Setting(
            "alibaba-endpoint",
            "VNODECTL_ALIBABA_ENDPOINT",
            "One host[:port] for all products, over https.",
            otherwise="each product's own",
        ),
        Setting(
            "alibaba-vpc-endpoints",
            "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED",
            "Use the products' endpoints inside a VPC.",
            Kind.YES_NO,
            default="false",
        ),
        Setting("eci-vswitch", "ECI_VSWITCH", "vSwitches to place pods in, separated by commas."),
        Setting("eci-security-group", "ECI_SECURITY_GROUP", "The pods' security group."),
        Setting("eci-vpc", "ECI_VPC", "The VPC of both."),
        Setting(
            "eci-resource-group-id",
            "ECI_RESOURCE_GROUP_ID",
            "The account's resource group for container groups.",
            otherwise="the default one",
        ),
    ),
)

LOCAL = Group(
    "This machine (provider local)",
    (
        Setting(
            "local-engine",
            "VNODECTL_LOCAL_ENGINE",
            "What runs containers.",
            default="podman",
            choices=("podman", "docker", "process", "simulated"),
        ),
        Setting(
            "local-scope",
            "VNODECTL_LOCAL_SCOPE",
            "Keeps apart what several nodes of one machine run.",
            otherwise="the node's name",
        ),
        Setting(
            "local-state-dir",
            "VNODECTL_LOCAL_STATE_DIR",
            "Where the engine keeps what must survive a restart.",
            otherwise="below the cache directory",
        ),
        Setting(
            "local-network",
            "VNODECTL_LOCAL_NETWORK",
            'The bridge that pods get addresses from, or "host".',
            otherwise="the engine's own",
        ),
    ),
)

GROUPS = (NODE, REPLICAS, CLUSTER, WEBHOOK, KUBELET_API, SIGNALS, AZURE, ALIBABA, LOCAL)
SETTINGS = tuple(setting for group in GROUPS for setting in group.settings)
CONFIG_VARIABLE = "VNODECTL_CONFIG"
"""Names the settings file where `--config` does not."""
