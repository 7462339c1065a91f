"""Who a connector is in its cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vnodectl.connector.settings import SECRET_HINT, SECRET_KEY_HINT, Settings
from vnodectl.errors import UsageError

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """With a secret or, instead, a `certificate`: PEM text with the private key."""

    client_id: str
    client_secret: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)

    @property
    def secrets(self) -> Mapping[str, str]:
        """What the connector's Secret holds: values that are never shown, by their keys there."""
        if self.certificate:
            return {"clientCertificate": self.certificate}
        return {"clientSecret": self.client_secret}


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    client_id: str

    @property
    def secrets(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """`client_id` is empty for the system-assigned identity."""

    client_id: str = ""

    @property
    def secrets(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Of a RAM user or, with a `security_token`, a temporary one of STS, which ends within hours."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)

    @property
    def secrets(self) -> Mapping[str, str]:
        token = {"securityToken": self.security_token} if self.security_token else {}
        return {"accessKeySecret": self.access_key_secret, **token}


@dataclass(frozen=True, slots=True)
class RamRole:
    """A RAM role that the connector's service account may assume (RRSA); both are ARNs."""

    role_arn: str
    oidc_provider_arn: str

    @property
    def secrets(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True, slots=True)
class InstanceRole:
    """The RAM role of the ECS instances that the connector's pod runs on, by its name."""

    name: str

    @property
    def secrets(self) -> Mapping[str, str]:
        return {}


AzureIdentity = ServicePrincipal | WorkloadIdentity | ManagedIdentity
AlibabaIdentity = AccessKey | RamRole | InstanceRole
Identity = AzureIdentity | AlibabaIdentity


def identity(settings: Settings) -> AzureIdentity:
    """Who the connector is in Azure.

    A service principal is taken whole from one place: an id from a flag is never paired with the secret
    of another id in the environment. UsageError for half of one, or for two identities.
    """
    _one_of(
        {
            "--service-principal": settings.service_principal,
            "--workload-identity": settings.workload_identity,
            "--managed-identity": settings.managed_identity,
        }
    )
    for what, given in (("secret", settings.client_secret), ("certificate", settings.client_certificate)):
        if given and not settings.service_principal:
            raise UsageError(f"a client {what} without --service-principal", hint="give both, or neither")
    if settings.workload_identity:
        return WorkloadIdentity(settings.workload_identity)
    if settings.managed_identity:
        system = settings.managed_identity.lower() == "system"
        return ManagedIdentity("" if system else settings.managed_identity)
    if settings.service_principal and settings.client_certificate:
        return ServicePrincipal(settings.service_principal, certificate=_certificate_of(settings))
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


def _one_of(said: Mapping[str, str | None]) -> None:
    named = [flag for flag, value in said.items() if value]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other", hint="give the connector one identity")


def _secret_of(settings: Settings) -> str:
    if settings.client_secret:
        return settings.client_secret
    if settings.environment_secret and settings.environment_client_id in (None, settings.service_principal):
        return settings.environment_secret
    raise UsageError("--service-principal without its secret", hint=SECRET_HINT)


def _certificate_of(settings: Settings) -> str:
    if settings.client_secret:
        raise UsageError(
            "a client secret and a client certificate exclude each other", hint="give one of them"
        )
    text = settings.client_certificate or ""
    for part in ("CERTIFICATE-----", "PRIVATE KEY-----"):
        if part not in text:
            raise UsageError(
                f"--client-certificate-file has no {part.rstrip('-').lower()}",
                hint="give a PEM file with both, e.g. of: openssl pkcs12 -in app.pfx -out app.pem -nodes",
            )
    return text


def alibaba_identity(settings: Settings, *, oidc_provider: str = "") -> AlibabaIdentity:
    """Who the connector is in Alibaba Cloud; `oidc_provider` is the ACK cluster's own, where it is known.

    Said outright (flags, file), else the environment's access key, else its role. As with Azure, an access
    key is taken whole from one place. UsageError for half of one, or for two identities.
    """
    _one_of(
        {
            "--access-key": settings.access_key,
            "--ram-role": settings.ram_role,
            "--ecs-role": settings.ecs_role,
        }
    )
    if settings.secret_key and not settings.access_key:
        raise UsageError("a secret key without --access-key", hint="give both, or neither")
    if settings.security_token and not settings.access_key:
        raise UsageError("a security token without --access-key", hint="give all of the temporary key")
    if settings.access_key:
        return AccessKey(settings.access_key, *_key_of(settings, settings.access_key))
    if settings.ecs_role:
        return InstanceRole(settings.ecs_role)
    if settings.ram_role:
        return _role(settings.ram_role, settings.oidc_provider or oidc_provider)
    key, secret = settings.environment_access_key, settings.environment_secret_key
    if key and secret:
        return AccessKey(key, secret, settings.environment_security_token or "")
    if key or secret:
        missing = "ALIBABA_CLOUD_ACCESS_KEY_SECRET" if key else "ALIBABA_CLOUD_ACCESS_KEY_ID"
        raise UsageError(
            f"half of an access key in the environment: {missing} is missing",
            hint="set both, or use --access-key, --ram-role or --ecs-role",
        )
    if settings.environment_ram_role:
        return _role(settings.environment_ram_role, settings.oidc_provider or oidc_provider)
    raise UsageError(
        "the connector has no Alibaba Cloud identity",
        hint="use --ram-role, --ecs-role, or --access-key with --secret-key-file",
    )


def _key_of(settings: Settings, access_key: str) -> tuple[str, str]:
    """(secret, security token) of an access key that was named."""
    if settings.secret_key:
        return settings.secret_key, settings.security_token or ""
    if settings.environment_secret_key and settings.environment_access_key in (None, access_key):
        return settings.environment_secret_key, settings.environment_security_token or ""
    raise UsageError("--access-key without its secret", hint=SECRET_KEY_HINT)


def _role(role: str, provider: str) -> RamRole:
    for flag, arn in (("--ram-role", role), ("--oidc-provider", provider)):
        if arn and not arn.startswith("acs:ram::"):
            raise UsageError(f"bad {flag} {arn!r}", hint="give its ARN, as in acs:ram::1234567890:role/name")
    return RamRole(role, provider)
