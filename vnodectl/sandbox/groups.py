"""`python -m vnodectl.sandbox.groups RESOURCE_GROUP`: container groups as Azure's own SDK lists them.

A program that knows nothing of vnodectl but the environment that `vnodectl sandbox env` prints.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    from azure.identity import ClientSecretCredential
    from azure.mgmt.containerinstance import ContainerInstanceManagementClient

    arm = os.environ["VNODECTL_ARM_ENDPOINT"]
    credential = ClientSecretCredential(
        os.environ["AZURE_TENANT_ID"],
        os.environ["AZURE_CLIENT_ID"],
        os.environ["AZURE_CLIENT_SECRET"],
        authority=os.environ["AZURE_AUTHORITY_HOST"],
        disable_instance_discovery=True,
    )
    with ContainerInstanceManagementClient(
        credential,
        os.environ["AZURE_SUBSCRIPTION_ID"],
        base_url=arm,
        credential_scopes=[f"{arm.rstrip('/')}/.default"],
    ) as client:
        for group in client.container_groups.list_by_resource_group(sys.argv[1]):
            sys.stdout.write(f"{group.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
