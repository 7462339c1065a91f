"""Real Azure SDK clients that talk to an emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from azure.identity.aio import ClientSecretCredential
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient
from azure.mgmt.containerservice.aio import ContainerServiceClient
from azure.mgmt.resource.resources.aio import ResourceManagementClient

from vnodectl.emulator.azure.service import AzureEmulator

CLIENT = "11111111-2222-3333-4444-555555555555"
SECRET = "the-secret-of-the-service-principal"
READER = "11111111-2222-3333-4444-666666666666"
OWNER = "11111111-2222-3333-4444-777777777777"
GROUP = "connectors"
LOCATION = "eastus"
QUICK = {
    "registration": 0,
    "resource": 0,
    "standbyRefill": 0,
    "standbyStart": 0,
    "groupPending": 0,
    "groupStart": 0,
    "groupDelete": 0,
    "resourceGroupDelete": 0,
    "retryAfter": 0,
}


def seed(**changes: Any) -> dict[str, Any]:
    """One service principal, one reader, one resource group; nothing takes time."""
    return {
        "resourceGroups": [{"name": GROUP, "location": LOCATION}],
        "servicePrincipals": [
            {"clientId": CLIENT, "secret": SECRET},
            {"clientId": READER, "secret": SECRET, "roles": [{"role": "Reader"}]},
            {"clientId": OWNER, "secret": SECRET, "roles": [{"role": "Owner"}]},
        ],
        "timings": QUICK,
        **changes,
    }


class Clients:
    """The SDK's clients with one credential."""

    def __init__(self, credential: Any, subscription: str, options: dict[str, Any]) -> None:
        self._options = options
        self._made: list[Any] = []
        self._arguments = (credential, subscription)
        self.aci = ContainerInstanceManagementClient(*self._arguments, **self._options)
        self.aks = ContainerServiceClient(*self._arguments, **self._options)
        self.resources = ResourceManagementClient(*self._arguments, **self._options)

    @cached_property
    def network(self) -> Any:
        from azure.mgmt.network.aio import NetworkManagementClient

        return self._also(NetworkManagementClient)

    @cached_property
    def authorization(self) -> Any:
        from azure.mgmt.authorization.aio import AuthorizationManagementClient

        return self._also(AuthorizationManagementClient)

    @cached_property
    def identities(self) -> Any:
        from azure.mgmt.msi.aio import ManagedServiceIdentityClient

        return self._also(ManagedServiceIdentityClient)

    @cached_property
    def monitor(self) -> Any:
        from azure.mgmt.monitor.aio import MonitorManagementClient

        return self._also(MonitorManagementClient)

    def _also(self, kind: Any) -> Any:
        """A client whose import costs something: only where a test asks for it."""
        client = kind(*self._arguments, **self._options)
        self._made.append(client)
        return client

    async def close(self) -> None:
        for client in (self.aci, self.aks, self.resources, *self._made):
            await client.close()


@asynccontextmanager
async def clients(
    emulator: AzureEmulator, client_id: str = CLIENT, secret: str = SECRET
) -> AsyncIterator[Clients]:
    credential = ClientSecretCredential(
        emulator.world.tenant, client_id, secret, **identity_options(emulator)
    )
    made = Clients(credential, emulator.world.subscription, options(emulator))
    try:
        yield made
    finally:
        await made.close()
        await credential.close()


def options(emulator: AzureEmulator) -> dict[str, Any]:
    """Of a client: calls are not retried, and pollers do not wait."""
    return {
        "base_url": emulator.arm_endpoint,
        "credential_scopes": ["https://management.azure.com/.default"],
        "connection_verify": str(emulator.ca_file),
        "retry_total": 0,
        "polling_interval": 0.01,
    }


def identity_options(emulator: AzureEmulator) -> dict[str, Any]:
    return {
        "authority": emulator.authority_host,
        "connection_verify": str(emulator.ca_file),
        "disable_instance_discovery": True,
        "retry_total": 0,
    }


def container_group(**properties: Any) -> dict[str, Any]:
    """The body of a PUT: one nginx container with a public port."""
    return {
        "location": LOCATION,
        "properties": {
            "osType": "Linux",
            "containers": [container()],
            "ipAddress": {"type": "Public", "ports": [{"port": 80, "protocol": "TCP"}]},
            **properties,
        },
    }


def container(name: str = "web", **properties: Any) -> dict[str, Any]:
    return {
        "name": name,
        "properties": {
            "image": "nginx",
            "ports": [{"port": 80}],
            "resources": {"requests": {"cpu": 1, "memoryInGB": 1.5}},
            **properties,
        },
    }
