from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from vnodectl.clouds.azure import AzureSettings
from vnodectl.clouds.azure.credentials import RotatingSecretCredential, SecretFile, credential
from vnodectl.errors import UsageError


def _transport() -> Any:
    from azure.core.pipeline.transport import AioHttpTransport

    return AioHttpTransport()


def test_a_secret_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("first\n")
    file = SecretFile(str(path))
    assert file.read() == "first"
    # Kubernetes replaces the file: another inode, perhaps with the same size and time.
    other = tmp_path / "other"
    other.write_text("other\n")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert file.read() == "other"


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_missing_or_empty_secret_file_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=str(path)):
        SecretFile(str(path)).read()


class _Inner:
    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.closed = False

    async def get_token(self, *scopes: str, **_: Any) -> str:
        return f"{self.secret} {scopes[0]}"

    get_token_info = get_token

    async def close(self) -> None:
        self.closed = True


async def test_a_new_secret_starts_a_new_credential_and_closes_the_old() -> None:
    secrets = ["one", "one", "two"]
    made: list[_Inner] = []

    def make(secret: str) -> _Inner:
        made.append(_Inner(secret))
        return made[-1]

    async with RotatingSecretCredential(lambda: secrets.pop(0), make) as rotating:
        assert await rotating.get_token("scope") == "one scope"  # type: ignore[comparison-overlap]
        assert await rotating.get_token_info("scope") == "one scope"  # type: ignore[comparison-overlap]
        assert await rotating.get_token_info("scope") == "two scope"  # type: ignore[comparison-overlap]
        assert [one.closed for one in made] == [True, False]
    assert made[-1].closed


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (AzureSettings(tenant_id="t", client_id="c", client_secret="s"), "RotatingSecretCredential"),
        (AzureSettings(tenant_id="t", client_id="c", client_secret_file="/f"), "RotatingSecretCredential"),
        (
            AzureSettings(tenant_id="t", client_id="c", federated_token_file="/f"),
            "WorkloadIdentityCredential",
        ),
        (AzureSettings(tenant_id="t", client_id="c"), "ManagedIdentityCredential"),
        (AzureSettings(), "ChainedTokenCredential"),
    ],
)
async def test_settings_choose_the_credential(settings: AzureSettings, kind: str) -> None:
    made = credential(settings, _transport)
    assert type(made).__name__ == kind
    await made.close()


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (AzureSettings(client_secret="planted"), "AZURE_TENANT_ID and AZURE_CLIENT_ID"),
        (AzureSettings(client_secret_file="/f", client_id="c"), "AZURE_TENANT_ID"),
        (AzureSettings(federated_token_file="/f", tenant_id="t"), "AZURE_CLIENT_ID"),
    ],
)
def test_half_of_a_service_principal_is_refused(settings: AzureSettings, missing: str) -> None:
    with pytest.raises(UsageError, match=missing) as refused:
        credential(settings, _transport)
    assert "planted" not in refused.value.message
