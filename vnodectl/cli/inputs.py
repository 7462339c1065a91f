"""From a command line to settings: the files and streams that flags name are read here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vnodectl.errors import UsageError

if TYPE_CHECKING:
    from vnodectl.clouds.azure import AzureSettings
    from vnodectl.connector.settings import Settings


def gather(flags: Mapping[str, Any], config: str | None) -> Settings:
    """Settings of flags, environment and the file named by --config or VNODECTL_CONFIG."""
    from dataclasses import replace

    from vnodectl.connector.settings import layered

    path = config or os.environ.get("VNODECTL_CONFIG")
    settings = layered(flags, os.environ, read_config(path) if path else {})
    if settings.client_secret_file and not settings.client_secret:
        settings = replace(
            settings, client_secret=read_secret(settings.client_secret_file, "--client-secret-file")
        )
    secret = os.environ.get("AZURE_CLIENT_SECRET")
    path = os.environ.get("VNODECTL_AZURE_CLIENT_SECRET_FILE")
    if path and not secret:
        secret = read_secret(path, "VNODECTL_AZURE_CLIENT_SECRET_FILE")
    return replace(
        settings,
        environment_client_id=os.environ.get("AZURE_CLIENT_ID") or None,
        environment_secret=secret or None,
    )


def read_config(path: str) -> Mapping[str, Any]:
    """A settings file: one YAML mapping. UsageError otherwise."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"settings file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"settings file {path} is not YAML") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"settings file {path} must be a mapping of options", hint="connector-name: my-aci")
    return content


def read_secret(path: str, flag: str) -> str:
    """The secret in a file, without the newline at its end. UsageError for no file or an empty one."""
    try:
        secret = Path(path).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"{flag} {path}: {cause}") from error
    if not secret:
        raise UsageError(f"{flag} {path}: the file is empty")
    return secret


def secret_from_stdin() -> str:
    """The secret on standard input; asked for without echo on a terminal."""
    if sys.stdin.isatty():
        from getpass import getpass

        secret = getpass("client secret: ")
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise UsageError("--client-secret-stdin: standard input is empty")
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
    return found if found.subscription_id and (found.client_id or _signed_in()) else None


def _given(**entries: str | None) -> dict[str, str]:
    return {key: value for key, value in entries.items() if value}


def _signed_in() -> bool:
    """Whether the Azure CLI was ever logged in here."""
    home = os.environ.get("AZURE_CONFIG_DIR") or str(Path("~/.azure").expanduser())
    return Path(home, "azureProfile.json").is_file()
