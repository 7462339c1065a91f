"""From settings to a credential of azure-identity, with secrets that may change on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vnodectl.clouds.azure.settings import AzureSettings
from vnodectl.clouds.azure.transport import CONNECT_ONCE
from vnodectl.clouds.secret_file import SecretFile
from vnodectl.errors import UsageError

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo
    from azure.core.credentials_async import AsyncTokenCredential

# The Azure CLI takes up to several seconds to start on a slow machine.
_CLI_TIMEOUT = 30


class RotatingSecretCredential:
    """A service principal whose secret or certificate is looked at before each token request.

    Cached tokens stay valid when a secret is rotated, but a new secret starts with a new credential, so
    that a revoked principal's old token is not used longer than needed.
    """

    def __init__(self, secret: Callable[[], str], make: Callable[[str], Any]) -> None:
        self._secret = secret
        self._make = make
        self.secret = ""
        """The secret in use, so that messages can be freed of it; empty before the first token."""
        self._inner: Any = None

    async def _credential(self) -> Any:
        secret = self._secret()
        if self._inner is None or secret != self.secret:
            retired, self._inner, self.secret = self._inner, self._make(secret), secret
            if retired is not None:
                await retired.close()
        return self._inner

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        token: AccessToken = await (await self._credential()).get_token(*scopes, **options)
        return token

    async def get_token_info(self, *scopes: str, **options: Any) -> AccessTokenInfo:
        token: AccessTokenInfo = await (await self._credential()).get_token_info(*scopes, **options)
        return token

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()
            self._inner = None

    async def __aenter__(self) -> RotatingSecretCredential:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def check(settings: AzureSettings) -> None:
    """Raises `UsageError` for half of a service principal."""
    given = {
        "a client secret": bool(settings.client_secret or settings.client_secret_file),
        "a client certificate": bool(settings.client_certificate_file),
        "a federated token": bool(settings.federated_token_file),
    }
    for what, present in given.items():
        if present and not (settings.tenant_id and settings.client_id):
            missing = [
                name
                for name, value in (
                    ("AZURE_TENANT_ID", settings.tenant_id),
                    ("AZURE_CLIENT_ID", settings.client_id),
                )
                if not value
            ]
            raise UsageError(
                f"{what} is given without {' and '.join(missing)}",
                hint="give all three of tenant, client id and secret, or none of them",
            )


def credential(settings: AzureSettings, transport: Callable[[], Any]) -> AsyncTokenCredential:
    """The credential that `settings` ask for; `transport` makes a transport of azure-core for it.

    Raises `UsageError` for half of a service principal. No request is sent yet.
    """
    from azure.identity import aio as identity

    check(settings)
    authority: dict[str, Any] = {
        "authority": settings.authority_host,
        # An authority that is not Microsoft's is unknown to Microsoft's discovery service.
        "disable_instance_discovery": not settings.known_authority,
        **CONNECT_ONCE,
    }
    if settings.client_secret or settings.client_secret_file:
        secret = (
            SecretFile(settings.client_secret_file).read
            if settings.client_secret_file
            else lambda: settings.client_secret
        )

        def make(value: str) -> Any:
            return identity.ClientSecretCredential(
                settings.tenant_id, settings.client_id, value, transport=transport(), **authority
            )

        return RotatingSecretCredential(secret, make)
    if settings.client_certificate_file:

        def certified(value: str) -> Any:
            try:
                return identity.CertificateCredential(
                    settings.tenant_id,
                    settings.client_id,
                    certificate_data=value.encode("latin-1"),
                    password=settings.client_certificate_password or None,
                    transport=transport(),
                    **authority,
                )
            except ValueError as error:  # its text may show a part of the key
                raise UsageError(
                    f"client certificate file {settings.client_certificate_file} is neither PEM nor PKCS #12 "
                    "with a private key, or its password is wrong"
                ) from error

        certificate = SecretFile(settings.client_certificate_file, "client certificate", binary=True)
        return RotatingSecretCredential(certificate.read, certified)
    if settings.federated_token_file:
        return identity.WorkloadIdentityCredential(
            tenant_id=settings.tenant_id,
            client_id=settings.client_id,
            token_file_path=settings.federated_token_file,
            transport=transport(),
            **authority,
        )
    if settings.client_id:
        return identity.ManagedIdentityCredential(client_id=settings.client_id, transport=transport())
    # The CLI first: on a laptop the default chain would wait for a metadata service that is not there.
    return identity.ChainedTokenCredential(
        identity.AzureCliCredential(
            tenant_id=settings.tenant_id,
            subscription=None if settings.tenant_id else settings.subscription_id or None,
            process_timeout=_CLI_TIMEOUT,
        ),
        identity.DefaultAzureCredential(
            exclude_cli_credential=True, authority=settings.authority_host, transport=transport()
        ),
    )
