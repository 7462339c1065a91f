"""What the emulated clouds of a sandbox contain at their start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vnodectl.sandbox.plan import (
    DEMO_ACI_GROUP,
    DEMO_ALIBABA_REGION,
    DEMO_CLUSTER,
    DEMO_CLUSTER_GROUP,
    DEMO_CLUSTER_ID,
    DEMO_REGION,
    DEMO_ROLE,
    DEMO_SECURITY_GROUP,
    DEMO_VSWITCHES,
    AccessKey,
    Identity,
)

_VPC = "vpc-demo"
_OIDC = "ack-rrsa-demo"
_CONNECTOR = f"system:serviceaccount:kube-system:eci-connector-linux-{DEMO_ALIBABA_REGION}"
_ISSUER = "https://kubernetes.default.svc.cluster.local"


def azure_seed(identity: Identity, kubeconfig: Path) -> dict[str, Any]:
    """A subscription with one principal, two resource groups, and this cluster as an AKS cluster.

    The shape is the one that `vnodectl emulator serve --seed` reads.
    """
    return {
        "subscription": identity.subscription,
        "subscriptionName": "vnodectl sandbox",
        "tenant": identity.tenant,
        "resourceGroups": [
            {"name": name, "location": DEMO_REGION} for name in (DEMO_CLUSTER_GROUP, DEMO_ACI_GROUP)
        ],
        "servicePrincipals": [
            {
                "clientId": identity.client,
                "secret": identity.secret,
                "name": "vnodectl-sandbox",
                # An Owner, so that roles can be assigned as an installer's user would.
                "roles": [{"role": "Owner"}],
            }
        ],
        "clusters": [
            {
                "name": DEMO_CLUSTER,
                "resourceGroup": DEMO_CLUSTER_GROUP,
                "location": DEMO_REGION,
                "kubeconfig": str(kubeconfig),
                "properties": {"networkProfile": {"networkPlugin": "azure"}},
            }
        ],
        "providers": {"Microsoft.ContainerInstance": "Registered"},
    }


def alibaba_seed(key: AccessKey, kubeconfig: Path, service_account_keys: Path | None) -> dict[str, Any]:
    """An account with one RAM user, a VPC with vSwitches in two zones, and this cluster as an ACK cluster.

    With `service_account_keys` (PEM, what the cluster signs its tokens with) the cluster has RRSA, and the
    connector's service account may assume a role. The shape is the one that
    `vnodectl emulator serve --cloud alibaba --seed` reads.
    """
    rrsa = service_account_keys is not None
    provider = {
        "name": _OIDC,
        "issuer": _ISSUER,
        "publicKeyFile": str(service_account_keys),
    }
    role = {
        "name": DEMO_ROLE,
        "policies": ["AliyunECIFullAccess"],
        "trust": {"oidc": [{"provider": _OIDC, "subject": _CONNECTOR, "audience": "sts.aliyuncs.com"}]},
    }
    zones = [f"{DEMO_ALIBABA_REGION}-{switch[-1]}" for switch in DEMO_VSWITCHES]
    return {
        "users": [
            {
                "name": "vnodectl-sandbox",
                "policies": ["AdministratorAccess"],
                "accessKeys": [{"id": key.id, "secret": key.secret}],
            }
        ],
        "oidcProviders": [provider] if rrsa else [],
        "roles": [role] if rrsa else [],
        "vpcs": [{"id": _VPC, "region": DEMO_ALIBABA_REGION, "cidr": "172.16.0.0/12"}],
        "vswitches": [
            {"id": switch, "vpc": _VPC, "zone": zone, "cidr": f"172.16.{number}.0/24"}
            for number, (switch, zone) in enumerate(zip(DEMO_VSWITCHES, zones, strict=True))
        ],
        "securityGroups": [{"id": DEMO_SECURITY_GROUP, "vpc": _VPC}],
        "natGateways": [
            {
                "id": "ngw-demo",
                "vpc": _VPC,
                "eips": ["eip-demo"],
                "snatTable": "stb-demo",
                "snatEntries": [{"id": "snat-demo", "eips": ["eip-demo"], "cidr": "172.16.0.0/12"}],
            }
        ],
        "eips": [
            {
                "id": "eip-demo",
                "region": DEMO_ALIBABA_REGION,
                "address": "198.51.100.7",
                "instance": "ngw-demo",
                "instanceType": "Nat",
            }
        ],
        "clusters": [
            {
                "id": DEMO_CLUSTER_ID,
                "name": "demo",
                "region": DEMO_ALIBABA_REGION,
                "vpc": _VPC,
                "vswitches": list(DEMO_VSWITCHES),
                "securityGroup": DEMO_SECURITY_GROUP,
                "kubeconfig": str(kubeconfig),
                **({"rrsaProvider": _OIDC} if rrsa else {}),
            }
        ],
    }
