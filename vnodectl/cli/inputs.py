"""From a command line to settings: the files and streams that flags name are read here."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vnodectl.errors import UsageError
from vnodectl.settings import expanded

if TYPE_CHECKING:
    from vnodectl.checks.runner import Selection
    from vnodectl.clouds.alibaba import AlibabaSettings
    from vnodectl.clouds.azure import AzureSettings
    from vnodectl.connector.clouds import Account
    from vnodectl.connector.settings import Settings


_FLAGS = {
    "azure": {
        "resource_group": "-g",
        "cluster_name": "-n",
        "aci_resource_group": "--aci-resource-group",
        "subnet_id": "--subnet-id",
        "subscription": "--subscription",
        "tenant": "--tenant",
        "service_principal": "--service-principal",
        "client_secret": "--client-secret",
        "client_secret_file": "--client-secret-file",
        "client_certificate_file": "--client-certificate-file",
        "workload_identity": "--workload-identity",
        "managed_identity": "--managed-identity",
    },
    "alibaba": {
        "cluster_id": "--cluster-id",
        "vswitch": "--vswitch",
        "security_group": "--security-group",
        "resource_group_id": "--resource-group-id",
        "access_key": "--access-key",
        "secret_key": "--secret-key-stdin",
        "secret_key_file": "--secret-key-file",
        "security_token_file": "--security-token-file",
        "ram_role": "--ram-role",
        "oidc_provider": "--oidc-provider",
        "ecs_role": "--ecs-role",
        "vpc_endpoints": "--vpc-endpoints",
    },
}
"""What belongs to one cloud alone, and how it is given."""


def gather(flags: Mapping[str, Any], config: str | None) -> Settings:
    """Settings of flags, environment and the file named by --config or VNODECTL_CONFIG.

    UsageError for a flag of another cloud than the one that is meant.
    """
    from dataclasses import replace

    from vnodectl.connector.settings import layered

    file = _file(config or os.environ.get("VNODECTL_CONFIG"))
    cloud = (layered({"cloud": flags.get("cloud")}, os.environ, file).cloud or "azure").lower()
    _refuse_foreign(flags, cloud)
    settings = layered(_placed(flags, cloud), os.environ, _placed(file, cloud))
    read = {
        name: read_secret(str(getattr(settings, f"{name}_file")), f"--{name.replace('_', '-')}-file")
        for name in ("client_secret", "client_certificate", "secret_key", "security_token")
        if getattr(settings, f"{name}_file") and not getattr(settings, name)
    }
    return replace(
        settings,
        **read,
        environment_secret=_from_environment(("AZURE_CLIENT_SECRET",), "VNODECTL_AZURE_CLIENT_SECRET_FILE"),
        environment_secret_key=_from_environment(
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ECI_SECRET_KEY"), "VNODECTL_ALIBABA_SECRET_FILE"
        ),
        environment_security_token=os.environ.get("ALIBABA_CLOUD_SECURITY_TOKEN") or None,
    )


def patterns(said: Sequence[str] | None) -> tuple[str, ...]:
    """Checks or rules as --only, --skip and --ignore name them: several times, with commas, or both."""
    return tuple(part.strip() for one in said or () for part in one.split(",") if part.strip())


def selection(
    settings: Settings, *, only: tuple[str, ...] = (), skip: tuple[str, ...] = (), offline: bool = False
) -> Selection:
    """Which checks are meant. UsageError for a pattern that matches none, before anything is opened."""
    from vnodectl.checks.catalog import checks_for
    from vnodectl.checks.runner import Selection
    from vnodectl.connector.clouds import cloud_of

    chosen = Selection(only, skip, offline)
    chosen.reasons(checks_for(cloud_of(settings).name))
    return chosen


def _file(path: str | None) -> Mapping[str, Any]:
    if not path:
        return {}
    from vnodectl.cli.settings_file import read_config

    return read_config(path)


def _placed(said: Mapping[str, Any], cloud: str) -> dict[str, Any]:
    """-l, --location and --region are one flag; what it sets depends on the cloud.

    A file may have one for each cloud.
    """
    ours, other = ("region", "location") if cloud == "alibaba" else ("location", "region")
    placed = dict(said)
    elsewhere = placed.pop(other, None)
    return placed if placed.get(ours) else {**placed, ours: elsewhere}


def _refuse_foreign(flags: Mapping[str, Any], cloud: str) -> None:
    for other, foreign in _FLAGS.items():
        given = [flag for name, flag in foreign.items() if flags.get(name)]
        if cloud in _FLAGS and other != cloud and given:
            raise UsageError(f"{given[0]} is for the cloud {other} only", hint=f"use --cloud {other}")


def _from_environment(variables: tuple[str, ...], file_variable: str) -> str | None:
    """A secret from a variable, else from the file that another one names."""
    found = next((os.environ[name] for name in variables if os.environ.get(name)), None)
    path = os.environ.get(file_variable)
    return read_secret(path, file_variable) if path and not found else found


def read_secret(path: str, flag: str) -> str:
    """The secret in a file, without the newline at its end. UsageError for no file or an empty one."""
    try:
        secret = expanded(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"{flag} {path}: {cause}") from error
    if not secret:
        raise UsageError(f"{flag} {path}: the file is empty")
    return secret


def secret_from_stdin(flag: str = "--client-secret-stdin", what: str = "client secret") -> str:
    """The secret on standard input; asked for without echo on a terminal."""
    if sys.stdin.isatty():
        from getpass import getpass

        secret = getpass(f"{what}: ")
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise UsageError(f"{flag}: standard input is empty")
    return secret


def azure_settings(settings: Settings) -> AzureSettings | None:
    """Whom this command is in Azure: the environment's credentials, else the Azure CLI's login, else the
    service principal that the connector gets. None where there is none of them.
    """
    from dataclasses import replace

    from vnodectl.clouds.azure import AzureSettings

    found = AzureSettings.from_environment(
        {
            **os.environ,
            **_given(
                AZURE_SUBSCRIPTION_ID=settings.subscription,
                AZURE_TENANT_ID=settings.tenant,
                AZURE_AUTHORITY_HOST=settings.authority_host,
                VNODECTL_ARM_ENDPOINT=settings.arm_endpoint,
                VNODECTL_CA_BUNDLE=settings.ca_bundle,
            ),
        }
    )
    if not found.client_id and not _signed_in() and settings.service_principal and settings.client_secret:
        found = replace(found, client_id=settings.service_principal, client_secret=settings.client_secret)
    certified = settings.service_principal and settings.client_certificate_file
    if not found.client_id and not _signed_in() and certified:
        found = replace(
            found,
            client_id=settings.service_principal or "",
            client_certificate_file=settings.client_certificate_file or "",
        )
    return found if found.subscription_id and (found.client_id or _signed_in()) else None


def alibaba_settings(settings: Settings) -> AlibabaSettings | None:
    """Whom this command is in Alibaba Cloud: the environment's credentials, else the profile of the Alibaba
    Cloud CLI, else the access key that the connector gets. None where there is none of them.
    """
    from dataclasses import replace

    from vnodectl.clouds.alibaba import AlibabaSettings

    found = AlibabaSettings.from_environment(
        {
            **os.environ,
            **_given(
                ALIBABA_CLOUD_REGION_ID=settings.region,
                VNODECTL_ALIBABA_ENDPOINT=settings.alibaba_endpoint,
                VNODECTL_CA_BUNDLE=settings.ca_bundle,
            ),
        }
    )
    if not found.has_identity and settings.access_key and settings.secret_key:
        found = replace(
            found,
            access_key_id=settings.access_key,
            access_key_secret=settings.secret_key,
            security_token=settings.security_token or "",
        )
    return found if found.has_identity else None


@asynccontextmanager
async def open_account(settings: Settings) -> AsyncIterator[Account | None]:
    """Whoever this command is in the cloud that it is about; None where nobody is signed in."""
    from vnodectl.connector.clouds import cloud_of

    if cloud_of(settings).name == "alibaba":
        from vnodectl.connector.clouds.alibaba_account import AlibabaAccount

        somebody = alibaba_settings(settings)
        if somebody is None:
            yield None
            return
        async with AlibabaAccount(somebody) as there:
            yield there
        return
    from vnodectl.clouds.azure import AzureSession
    from vnodectl.connector.clouds.azure_account import AzureAccount

    whom = azure_settings(settings)
    if whom is None:
        yield None
        return
    async with AzureSession(whom) as session:
        yield AzureAccount(session)


def _given(**entries: str | None) -> dict[str, str]:
    return {key: value for key, value in entries.items() if value}


def _signed_in() -> bool:
    """Whether the Azure CLI was ever logged in here."""
    home = os.environ.get("AZURE_CONFIG_DIR") or expanded("~/.azure")
    return Path(home, "azureProfile.json").is_file()
