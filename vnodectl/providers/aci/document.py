"""docs/aci.md, made from the tables: `python -m vnodectl.providers.aci.document > docs/aci.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from vnodectl.providers.aci.annotations import PREFIX, REFUSED, TABLE, Annotation
from vnodectl.providers.aci.group import SDK_API, STANDBY_API

_HEAD = f"""# Pods on Azure Container Instances

This page is generated from `vnodectl/providers/aci` by `make docs`.

## API versions

Container groups are written, read and listed with {SDK_API}, which is what the vendor's SDK
(azure-mgmt-containerinstance 10.1) speaks. A group from a standby pool is written with {STANDBY_API},
through the same pipeline of the SDK, as its models do not know them.

## Annotations

What only ACI has is asked for by annotations on the pod. Names of the azure-aci virtual kubelet and of
Microsoft's virtual nodes on ACI are understood where they mean the same. Two names of one thing with
different values, a value that cannot be, and a name that begins with `{PREFIX}` and does not exist are
rejected: the pod is Failed, with the annotation in its message.

"""

_REFUSED = """
What is understood and refused:

"""

_FIELDS = """
## What a pod's fields become

| Field | Becomes |
|---|---|
| `command`, `args` | ACI's command. Arguments alone: the image's entrypoint is read from its registry \
(v2 API, OCI and Docker schema 2, indexes by platform) with the pod's pull secrets, or for Azure \
Container Registry with the connector's identity |
| `workingDir`, `hostAliases`, a `subPath` that is a file, files of volumes with an executable mode | \
done by a `/bin/sh` of the image before it becomes the container's program; host aliases need an image \
that runs as root. What cannot be prepared is said in the log, and the container ends with 126 |
| `env` from Secrets | secure values, which ACI never shows. `$(NAME)` of one in a command is resolved by a \
shell in the container where it runs one anyway; in other commands it is replaced before ACI sees it, and \
whoever can read the group can read it |
| `env` with `status.podIP` | left out: ACI does not say a group's address before its containers start |
| `resources.requests` | rounded up to 0.01 cores and 0.1 GB; a group has at least 1 core and 1 GB, so \
the first container gets what is missing |
| `resources.limits` | at least the request, at most what the group has in all, as ACI refuses more |
| `livenessProbe` | exec and httpGet: ACI's. tcpSocket, grpc and a foreign host: the connector's, in a \
subnet; a failure restarts the whole group, as ACI restarts no single container on demand |
| `readinessProbe`, `startupProbe` | httpGet, tcpSocket and grpc: the connector's, in a subnet. Else \
exec and httpGet: ACI's, which does not say whether they pass; a startup probe then becomes the initial \
delay of the liveness probe |
| `lifecycle.preStop` | exec and sleep anywhere, httpGet in a subnet, before the group is deleted |
| volumes of files | secret volumes; a directory in them is a volume of its own. They keep what they \
were made with: ACI changes no volume of a running group. The API server takes a pod's own token for a \
year; ask for a long `expirationSeconds` for other audiences, or give the pod a managed identity |
| `emptyDir` | emptyDir; sub-paths of it are volumes of their own |
| `azureFile`, `persistentVolumeClaim` of file.csi.azure.com | azureFile (SMB; ACI mounts no NFS) |
| `gitRepo` | gitRepo |
| `imagePullSecrets` | the credential that fits each registry best |
| `securityContext` | of confidential groups: privileged, capabilities, user and group. Of others it is \
left out: each group is a virtual machine of its own, and ACI runs images as they say. `runAsNonRoot` keeps \
no image from running as root; only with `runAsUser: 0` it is rejected, because they contradict each other |
| `hostname`, `subdomain`, `setHostnameAsFQDN` | no effect in the container: ACI names it itself. What \
the cluster's DNS says of `hostname` and `subdomain` comes from Kubernetes, and is there |
| `imagePullPolicy` | no effect: ACI pulls each image for each group, also with `Never` |
| `terminationGracePeriodSeconds` | not ACI's to give: a deleted group's containers get TERM, and the \
time that ACI gives them |

Rejected, with the field: host namespaces, privileged containers, sysctls, postStart, side-car init
containers, restart policies of single containers, SCTP, host ports, block devices, mount propagation to a
host, sub-paths of file shares, and on Windows volumes, init containers, several containers and subnets.

## exec, attach, logs, port-forward

`exec` starts the image's `/bin/sh`, which runs the command with its arguments, exit code, stdout and
stderr apart and bytes as they are; for that the image needs `base64`, `dd`, `cat`, `tr` and `stty`
(busybox and coreutils have them). Without them stdout and stderr arrive together and input is text;
without a shell only a single word can be run, and its exit code is not known. A terminal follows the size
of kubectl's. Windows: `cmd.exe`, one stream, no exit code. ACI keeps no log of a container's previous
instance.

`port-forward` goes straight from the connector to the group's address. So it needs a subnet (and a network
security group that lets the connector in); outside of one only ports that are public anyway are reached.

## Images whose entrypoint is needed

Registries are asked over HTTPS by the connector, anonymously, with the pod's pull secrets, or for Azure
Container Registry with the connector's identity (role AcrPull). Answers are kept by digest, and for a
minute by tag. A registry that cannot be read keeps the pod Pending with reason ErrImagePull and says so;
an image without a config (Docker schema 1) is rejected. A container with a `command` and none of the
fields above needs no look at its image.

## Networking

In a subnet the cluster's DNS service is the resolver of pods with dnsPolicy ClusterFirst. Cluster
addresses of services need ACI's kube-proxy side-car: set `azure.kubeProxyCidr` and `apiServer` in the
chart, which makes a service account that may read services and endpoints. Its token lasts as long as the
account, because a running group cannot be given another; it is read anew for each group, so that a
renewed one is used from then on. The side-car is the service's own (`kubeVersion` v1.9.10, the only one
that azure-aci is known to ask for): its body is tested here, its work can only be seen on Azure.

## What observation costs

ARM's LIST has no states of containers, a GET of each group has. So each node lists every 30 s (every 5 s
while more than 20 groups start or go), and spends GETs where a change is likely: groups that start or go,
that just changed, whose probe by the connector just failed, or that somebody watches; then, 2 a second in
all, on pods that run to completion before pods that run for ever. What ARM says is left of the
subscription's reads slows both down. A minute of 100 quiet pods costs 100 GETs and 2 LISTs, of 1,000 or
5,000 pods 120 GETs and 2 LISTs of as many pages as there are. Creates and deletes are spread to 300 an
hour and 100 in five minutes each (`azure.createsPerHour`, `azure.deletesPerHour`); nodes of one connector
process share all of it. `/metrics` has `vnodectl_azure_*`.

Usage comes from Azure Monitor, a minute old: 50 groups a request at its regional endpoint, for which the
connector's identity needs Monitoring Reader on the subscription; else one by one through ARM, one a
second.
"""


def text() -> str:
    """The whole page."""
    rows = [_row(one) for one in TABLE]
    refused = "".join(f"- `{name}`: {why}.\n" for name, why in REFUSED.items())
    header = ("Annotation", "Meaning", "Sets", "Also understood")
    return "".join((_HEAD, _table(header, rows), _REFUSED, refused, _FIELDS))


def _row(one: Annotation) -> tuple[str, ...]:
    meaning = one.meaning
    if one.choices:
        meaning += f" One of {', '.join(f'`{choice}`' for choice in one.choices)}."
    else:
        meaning += f" Example: `{one.example}`."
    if one.api:
        meaning += f" (API {one.api})"
    also = " ".join(f"`{name}`" for name in one.also)
    return f"`{PREFIX}{one.name}`", meaning, f"`{one.parameter}`", also


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(text())
