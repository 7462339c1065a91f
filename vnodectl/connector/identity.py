"""Who a connector is in Azure."""

from __future__ import annotations

from dataclasses import dataclass, field

from vnodectl.connector.settings import SECRET_HINT, Settings
from vnodectl.errors import UsageError


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    client_id: str


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """`client_id` is empty for the system-assigned identity."""

    client_id: str = ""


Identity = ServicePrincipal | WorkloadIdentity | ManagedIdentity


def identity(settings: Settings) -> Identity:
    """Who the connector is in Azure.

    A service principal is taken whole from one place: an id from a flag is never paired with the secret
    of another id in the environment. UsageError for half of one, or for two identities.
    """
    named = [
        flag
        for flag, value in (
            ("--service-principal", settings.service_principal),
            ("--workload-identity", settings.workload_identity),
            ("--managed-identity", settings.managed_identity),
        )
        if value
    ]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other", hint="give the connector one identity")
    if settings.client_secret and not settings.service_principal:
        raise UsageError("a client secret without --service-principal", hint="give both, or neither")
    if settings.workload_identity:
        return WorkloadIdentity(settings.workload_identity)
    if settings.managed_identity:
        system = settings.managed_identity.lower() == "system"
        return ManagedIdentity("" if system else settings.managed_identity)
    if settings.service_principal:
        return ServicePrincipal(settings.service_principal, _secret_of(settings))
    client_id, secret = settings.environment_client_id, settings.environment_secret
    if client_id and secret:
        return ServicePrincipal(client_id, secret)
    if client_id or secret:
        missing = "AZURE_CLIENT_SECRET" if client_id else "AZURE_CLIENT_ID"
        raise UsageError(
            f"half of a service principal in the environment: {missing} is missing",
            hint="set both, or use --service-principal, --workload-identity or --managed-identity",
        )
    raise UsageError(
        "the connector has no Azure identity",
        hint="use --service-principal with its secret, --workload-identity or --managed-identity",
    )


def _secret_of(settings: Settings) -> str:
    if settings.client_secret:
        return settings.client_secret
    if settings.environment_secret and settings.environment_client_id in (None, settings.service_principal):
        return settings.environment_secret
    raise UsageError("--service-principal without its secret", hint=SECRET_HINT)
