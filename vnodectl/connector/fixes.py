"""Changes that mend what a check found. Checks name them as data; this is where they are carried out.

Each may be carried out again: what is there already is left as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vnodectl.connector import registration
from vnodectl.errors import TimedOut, VnodectlError

if TYPE_CHECKING:
    from vnodectl.clouds.azure import AzureSession

JSON = dict[str, Any]
Say = Callable[[str], None]
Apply = Callable[["AzureSession", Mapping[str, str], "Patience"], Awaitable[None]]

DELEGATION = "Microsoft.ContainerInstance/containerGroups"
AUDIENCE = "api://AzureADTokenExchange"
POLL_SECONDS = 2.0

_NETWORK_API = "2024-05-01"
_AUTHORIZATION_API = "2022-04-01"
_IDENTITY_API = "2023-01-31"
_NAMES = uuid.UUID("5f3d3d0e-7c1c-4c58-9d0c-0c6a4f6b8f1e")
"""So that the same assignment always has the same name, and making it twice makes one."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in `seconds`, and who is told meanwhile."""

    seconds: float
    say: Say


async def apply(
    azure: AzureSession, kind: str, parameters: Mapping[str, str], *, timeout: float, say: Say
) -> None:
    """Carry out one change and wait until the cloud has; `timeout` in seconds. Raises TimedOut."""
    known = fixes().get(kind)
    if known is None:
        raise VnodectlError(f"this version cannot carry out {kind!r}")
    await known(azure, parameters, Patience(timeout, say))


def fixes() -> Mapping[str, Apply]:
    """By the kind that a check names."""
    return {
        "register-provider": _register,
        "delegate-subnet": _delegate,
        "assign-role": _assign,
        "create-federated-credential": _federate,
    }


async def _register(azure: AzureSession, parameters: Mapping[str, str], patience: Patience) -> None:
    await registration.register(azure, parameters["namespace"], timeout=patience.seconds, say=patience.say)


async def _delegate(azure: AzureSession, parameters: Mapping[str, str], patience: Patience) -> None:
    """Delegate the subnet, or make it, delegated, where it is not there.

    A PUT replaces a subnet whole, so all that it has is sent along.
    """
    from vnodectl.clouds.azure import AzureNotFound

    path = parameters["subnetId"]
    try:
        body = await azure.arm("GET", path, _NETWORK_API)
        properties = dict(body.get("properties") or {})
    except AzureNotFound:
        if not parameters.get("addressPrefix"):
            raise
        properties = {"addressPrefix": parameters["addressPrefix"]}
    delegations = list(properties.get("delegations") or ())
    if not any(_service(one) == DELEGATION.lower() for one in delegations):
        delegations.append({"name": "vnodectl", "properties": {"serviceName": DELEGATION}})
        await azure.arm(
            "PUT", path, _NETWORK_API, body={"properties": {**properties, "delegations": delegations}}
        )
    deadline = asyncio.get_running_loop().time() + patience.seconds
    while True:
        properties = (await azure.arm("GET", path, _NETWORK_API)).get("properties") or {}
        state = str(properties.get("provisioningState") or "Succeeded")
        if state == "Succeeded":
            return
        if state == "Failed":
            raise VnodectlError("Azure could not change the subnet", hint=f"az resource show --ids {path}")
        patience.say(f"subnet {path.rpartition('/')[2]}: {state}")
        if asyncio.get_running_loop().time() + POLL_SECONDS > deadline:
            raise TimedOut(f"after {patience.seconds:.0f} s the subnet is still {state}")
        await asyncio.sleep(POLL_SECONDS)


def _service(delegation: JSON) -> str:
    return str((delegation.get("properties") or {}).get("serviceName") or "").lower()


async def _assign(azure: AzureSession, parameters: Mapping[str, str], patience: Patience) -> None:
    from vnodectl.clouds.azure import AzureConflict

    principal = parameters["principalId"]
    for wanted in json.loads(parameters["assignments"]):
        scope, role = wanted["scope"], wanted["role"]
        name = uuid.uuid5(_NAMES, "|".join((scope.lower(), role, principal.lower())))
        definition = f"{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        patience.say(f"assigning a role at {scope}")
        try:
            await azure.arm(
                "PUT",
                f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}",
                _AUTHORIZATION_API,
                body={
                    "properties": {
                        "roleDefinitionId": definition,
                        "principalId": principal,
                        "principalType": "ServicePrincipal",
                    }
                },
            )
        except AzureConflict as error:
            if error.code != "RoleAssignmentExists":
                raise


async def _federate(azure: AzureSession, parameters: Mapping[str, str], patience: Patience) -> None:
    """A credential of its own for each issuer: those of other clusters are never replaced."""
    issuer = parameters["issuer"]
    name = f"{parameters['name']}-{hashlib.sha256(issuer.encode()).hexdigest()[:8]}"
    patience.say(f"creating the federated credential {name}")
    await azure.arm(
        "PUT",
        f"{parameters['identityId']}/federatedIdentityCredentials/{name}",
        _IDENTITY_API,
        body={
            "properties": {"issuer": issuer, "subject": parameters["subject"], "audiences": [AUDIENCE]},
        },
    )
