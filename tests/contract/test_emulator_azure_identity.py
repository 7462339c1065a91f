"""azure-identity against the emulated Entra ID, and what ARM says to bad tokens."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential as MsalCredential
from azure.identity import CredentialUnavailableError
from azure.identity.aio import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support.azure_clients import (
    CLIENT,
    GROUP,
    READER,
    SECRET,
    Clients,
    clients,
    container_group,
    identity_options,
    options,
    seed,
)
from support.scripted_engine import ScriptedEngine

from vnodectl.emulator import jose
from vnodectl.emulator.azure.config import FEDERATION_AUDIENCE, AzureConfig
from vnodectl.emulator.azure.service import AzureEmulator

ARM = "https://management.azure.com/.default"
ISSUER = "https://issuer.example"
SUBJECT = "system:serviceaccount:kube-system:aci-connector"


@asynccontextmanager
async def emulated(**changes: Any) -> AsyncIterator[AzureEmulator]:
    config = AzureConfig.from_json(seed(**changes))
    async with AzureEmulator(config, engine=ScriptedEngine()) as emulator:
        yield emulator


@asynccontextmanager
async def secret_credential(
    emulator: AzureEmulator, secret: str = SECRET, *, tenant: str = "", client: str = CLIENT
) -> AsyncIterator[ClientSecretCredential]:
    credential = ClientSecretCredential(
        tenant or emulator.world.tenant, client, secret, **identity_options(emulator)
    )
    async with credential:
        yield credential


async def test_a_client_secret_gives_a_signed_token_for_arm() -> None:
    async with emulated() as emulator, secret_credential(emulator) as credential:
        token = await credential.get_token(ARM)
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"{emulator.authority_host}/{emulator.world.tenant}/v2.0/.well-known/openid-configuration",
                ssl=_trust(emulator),
            ) as configuration,
        ):
            keys_url = (await configuration.json())["jwks_uri"]
            async with session.get(keys_url, ssl=_trust(emulator)) as keys:
                jwks = await keys.json()
        parsed = jose.parse(token.token)
        jose.verify(parsed, jose.keys_of_jwks(jwks)[parsed.header["kid"]])
        assert parsed.claims["aud"] == "https://management.azure.com"
        assert parsed.claims["appid"] == CLIENT
        assert parsed.claims["iss"] == f"https://sts.windows.net/{emulator.world.tenant}/"


async def test_the_synchronous_library_finds_its_way_by_discovery() -> None:
    async with emulated() as emulator:
        options = identity_options(emulator)
        with MsalCredential(emulator.world.tenant, CLIENT, SECRET, **options) as credential:
            token = await asyncio.to_thread(credential.get_token, ARM)
        assert jose.parse(token.token).claims["appid"] == CLIENT
        assert emulator.gateway.recorder.count("GET", "openid-configuration", 200) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"secret": "wrong"}, "AADSTS7000215"),
        ({"tenant": "99999999-0000-0000-0000-000000000000"}, "AADSTS90002"),
        ({"client": "99999999-0000-0000-0000-000000000000"}, "AADSTS700016"),
    ],
)
async def test_who_is_not_known_gets_no_token(arguments: dict[str, str], code: str) -> None:
    async with emulated() as emulator, secret_credential(emulator, **arguments) as credential:
        with pytest.raises(ClientAuthenticationError, match=code):
            await credential.get_token(ARM)
        assert [call.code for call in emulator.gateway.recorder.calls()] == [code]


async def test_an_expired_secret_and_an_unknown_resource() -> None:
    principals = [{"clientId": CLIENT, "secret": SECRET, "secretExpires": 1}]
    async with emulated(servicePrincipals=principals) as emulator, secret_credential(emulator) as credential:
        with pytest.raises(ClientAuthenticationError, match="AADSTS7000222"):
            await credential.get_token(ARM)
        with pytest.raises(ClientAuthenticationError, match="AADSTS500011"):
            await credential.get_token("https://nobody.example/.default")


def app_certificate(directory: Path, name: str, days: int = 30) -> tuple[Path, Path]:
    """A certificate, and a file with it and its key as the SDKs want it."""
    key, now = rsa.generate_private_key(public_exponent=65537, key_size=2048), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public, both = directory / f"{name}.pem", directory / f"{name}-key.pem"
    public.write_bytes(pem)
    both.write_bytes(private + pem)
    return public, both


async def test_a_certificate_of_the_application_gives_a_token(tmp_path: Path) -> None:
    known, own = app_certificate(tmp_path, "app")
    _, stranger = app_certificate(tmp_path, "stranger")
    expired, old = app_certificate(tmp_path, "old", days=-1)
    principals = [{"clientId": CLIENT, "certificateFiles": [str(known), str(expired)]}]
    async with emulated(servicePrincipals=principals) as emulator:

        async def token(file: Path) -> str:
            credential = CertificateCredential(
                emulator.world.tenant, CLIENT, certificate_path=str(file), **identity_options(emulator)
            )
            async with credential:
                return (await credential.get_token(ARM)).token

        assert jose.parse(await token(own)).claims["appid"] == CLIENT
        with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
            await token(stranger)
        with pytest.raises(ClientAuthenticationError, match="AADSTS1000502"):
            await token(old)
        # A secret that is not there is no way in, and neither is another application's certificate.
        async with secret_credential(emulator) as credential:
            with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
                await credential.get_token(ARM)
        emulator.seed({"servicePrincipals": [{"clientId": CLIENT}]})
        with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
            await token(own)


async def test_scopes_of_users_that_a_program_asks_for_as_well_are_ignored() -> None:
    """As MSAL for Go does with each of its requests."""
    async with emulated() as emulator, aiohttp.ClientSession() as session:
        url = f"{emulator.authority_host}/{emulator.world.tenant}/oauth2/v2.0/token"
        form = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}
        for scope, status in (
            ("https://management.core.windows.net//.default openid offline_access profile", 200),
            ("openid offline_access profile", 400),
            ("https://management.azure.com/.default https://graph.microsoft.com/.default", 400),
        ):
            async with session.post(url, data=form | {"scope": scope}, ssl=_trust(emulator)) as answer:
                assert answer.status == status, scope


async def test_a_federated_token_is_accepted_from_its_issuer_only(tmp_path: Path) -> None:
    key = jose.SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    stranger = jose.SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    public = tmp_path / "sa.pub"
    public.write_bytes(
        key.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    trust = {"issuer": ISSUER, "subject": SUBJECT, "publicKeyFile": str(public)}
    principals = [{"clientId": CLIENT, "federatedCredentials": [trust]}]
    claims = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": [FEDERATION_AUDIENCE],
        "exp": int(time.time()) + 600,
        "nbf": int(time.time()) - 5,
    }
    file = tmp_path / "token"
    async with emulated(servicePrincipals=principals) as emulator:

        async def present(signer: jose.SigningKey, **changes: Any) -> str:
            file.write_text(signer.sign(claims | changes))
            credential = WorkloadIdentityCredential(
                tenant_id=emulator.world.tenant,
                client_id=CLIENT,
                token_file_path=str(file),
                **identity_options(emulator),
            )
            async with credential:
                return (await credential.get_token(ARM)).token

        assert jose.parse(await present(key)).claims["appid"] == CLIENT
        for changes, code in (
            ({"iss": "https://other.example"}, "AADSTS700211"),
            ({"sub": "system:serviceaccount:default:default"}, "AADSTS700213"),
            ({"aud": ["https://kubernetes.default.svc"]}, "AADSTS700212"),
            ({"exp": int(time.time()) - 1}, "AADSTS700024"),
        ):
            with pytest.raises(ClientAuthenticationError, match=code):
                await present(key, **changes)
        with pytest.raises(ClientAuthenticationError, match="AADSTS5000811"):
            await present(stranger)


async def test_a_federated_token_by_key_set(tmp_path: Path) -> None:
    key = jose.SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    jwks = tmp_path / "keys.json"
    jwks.write_text(json.dumps({"keys": [key.jwk()]}))
    trust = {"issuer": ISSUER, "subject": SUBJECT, "jwksFile": str(jwks)}
    (tmp_path / "token").write_text(
        key.sign({"iss": ISSUER, "sub": SUBJECT, "aud": FEDERATION_AUDIENCE, "exp": int(time.time()) + 60})
    )
    async with emulated(
        servicePrincipals=[{"clientId": CLIENT, "federatedCredentials": [trust]}]
    ) as emulator:
        credential = WorkloadIdentityCredential(
            tenant_id=emulator.world.tenant,
            client_id=CLIENT,
            token_file_path=str(tmp_path / "token"),
            **identity_options(emulator),
        )
        async with credential:
            assert await credential.get_token(ARM)


async def test_a_managed_identity_gets_its_token_from_the_metadata_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity = {"name": "node", "resourceGroup": GROUP, "clientId": READER}
    async with emulated(servicePrincipals=[], managedIdentities=[identity]) as emulator:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", emulator.imds_endpoint)
        async with ManagedIdentityCredential(client_id=READER) as credential:
            sdk = Clients(credential, emulator.world.subscription, options(emulator))
            try:
                assert [group async for group in sdk.aci.container_groups.list()] == []
            finally:
                await sdk.close()
        async with ManagedIdentityCredential() as credential:
            assert jose.parse((await credential.get_token(ARM)).token).claims["appid"] == READER
        async with ManagedIdentityCredential(client_id=CLIENT) as credential:
            with pytest.raises(CredentialUnavailableError, match="Identity not found"):
                await credential.get_token(ARM)


async def test_the_metadata_endpoint_insists_on_its_header() -> None:
    identity = {"name": "node", "resourceGroup": GROUP, "clientId": READER}
    async with emulated(managedIdentities=[identity]) as emulator, aiohttp.ClientSession() as session:
        url = f"{emulator.imds_endpoint}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={ARM}"
        async with session.get(url) as answer:
            assert answer.status == 400
            assert (await answer.json())["error_description"] == "Required metadata header not specified"


async def test_an_expired_token_is_refused_in_arms_words() -> None:
    async with emulated() as emulator, clients(emulator) as sdk:
        assert [group async for group in sdk.aci.container_groups.list()] == []
        emulator.clock.advance(3600)
        with pytest.raises(ClientAuthenticationError, match="ExpiredAuthenticationToken"):
            [group async for group in sdk.aci.container_groups.list()]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, "AuthenticationFailed"),
        ({"Authorization": "Basic abc"}, "AuthenticationFailedInvalidHeader"),
        ({"Authorization": "Bearer abc"}, "InvalidAuthenticationToken"),
    ],
)
async def test_no_token_or_a_broken_one(header: dict[str, str], code: str) -> None:
    async with emulated() as emulator:
        status, body, headers = await _get(emulator, "/subscriptions?api-version=2022-12-01", header)
        assert (status, body["error"]["code"]) == (401, code)
        assert headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")


async def test_a_token_of_a_stranger_or_for_another_audience_is_refused() -> None:
    async with emulated() as emulator, secret_credential(emulator) as credential:
        graph = await credential.get_token("https://graph.microsoft.com/.default")
        stranger = jose.SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))
        forged = stranger.sign(jose.parse(graph.token).claims | {"aud": "https://management.azure.com"})
        for token, code in (
            (graph.token, "InvalidAuthenticationTokenAudience"),
            (forged, "InvalidAuthenticationToken"),
        ):
            header = {"Authorization": f"Bearer {token}"}
            status, body, _ = await _get(emulator, "/subscriptions?api-version=2022-12-01", header)
            assert (status, body["error"]["code"]) == (401, code)


async def test_a_reader_may_not_write_and_a_scope_ends_at_its_group() -> None:
    narrow = {
        "clientId": "33333333-0000-0000-0000-000000000000",
        "secret": SECRET,
        "roles": [
            {
                "role": "Contributor",
                "scope": f"/subscriptions/{AzureConfig().subscription}/resourceGroups/{GROUP}",
            }
        ],
    }
    more = [*seed()["servicePrincipals"], narrow]
    async with emulated(servicePrincipals=more) as emulator:
        async with clients(emulator, READER) as sdk:
            assert [group async for group in sdk.aci.container_groups.list()] == []
            with pytest.raises(HttpResponseError, match=r"AuthorizationFailed[\s\S]*containerGroups/write"):
                await sdk.aci.container_groups.begin_create_or_update(GROUP, "web", container_group())
        async with clients(emulator, str(narrow["clientId"])) as sdk:
            poller = await sdk.aci.container_groups.begin_create_or_update(GROUP, "web", container_group())
            assert (await poller.result()).name == "web"
            with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
                [group async for group in sdk.aci.container_groups.list()]


def _trust(emulator: AzureEmulator) -> Any:
    import ssl

    return ssl.create_default_context(cafile=str(emulator.ca_file))


async def _get(emulator: AzureEmulator, path: str, headers: dict[str, str]) -> tuple[int, Any, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(emulator.arm_endpoint + path, headers=headers, ssl=_trust(emulator)) as answer,
    ):
        return answer.status, await answer.json(), answer.headers
