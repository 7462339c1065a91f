"""What the emulated Azure of a sandbox contains at its start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vnodectl.sandbox.plan import DEMO_ACI_GROUP, DEMO_CLUSTER, DEMO_CLUSTER_GROUP, DEMO_REGION, Identity


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
