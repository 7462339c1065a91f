"""Image pull secrets: both formats of the API, as credentials per registry."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from vnodectl.runtime.facts import Facts, Notice
from vnodectl.runtime.provider import JSON, RegistryCredential
from vnodectl.runtime.volumes import secret_data

_FORMATS = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}


def credentials(pod: JSON, facts: Facts) -> tuple[tuple[RegistryCredential, ...], list[Notice]]:
    """The credentials of `imagePullSecrets` in order; the first for a registry wins.

    A secret that is missing or not readable is an event, not an error: as with a kubelet, the pull is
    tried without it.
    """
    found: dict[str, RegistryCredential] = {}
    notices: list[Notice] = []
    for reference in pod["spec"].get("imagePullSecrets") or ():
        name = reference.get("name") or ""
        secret = facts.secrets.get(name)
        if secret is None:
            notices.append(
                Notice(
                    "Warning",
                    "FailedToRetrieveImagePullSecret",
                    f"image pull secret {name!r} not found; skipped",
                )
            )
            continue
        try:
            for credential in parse(secret):
                found.setdefault(credential.server, credential)
        except ValueError as error:
            notices.append(
                Notice("Warning", "InvalidImagePullSecret", f"image pull secret {name!r}: {error}; skipped")
            )
    return tuple(found.values()), notices


def parse(secret: JSON) -> list[RegistryCredential]:
    """The registries of one pull secret. Raises ValueError with a cause that shows no content."""
    kind = secret.get("type") or ""
    key = _FORMATS.get(kind)
    if key is None:
        raise ValueError(f"type {kind!r} is not one of {', '.join(_FORMATS)}")
    try:
        document: Any = json.loads(secret_data(secret).get(key, b"{}"))
        entries = document.get("auths") or {} if key == ".dockerconfigjson" else document
        return [_credential(server, entry) for server, entry in entries.items()]
    except (json.JSONDecodeError, AttributeError, UnicodeDecodeError):
        raise ValueError(f"{key} is not the JSON of a Docker configuration") from None


def _credential(server: str, entry: JSON) -> RegistryCredential:
    username, password = entry.get("username"), entry.get("password")
    if (username is None or password is None) and entry.get("auth"):
        try:
            username, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise ValueError(f"auth of {server!r} is not base64 of user:password") from None
    if not username or password is None:
        raise ValueError(f"{server!r} has neither auth nor username and password")
    host = server.removeprefix("https://").removeprefix("http://").rstrip("/")
    return RegistryCredential(host, username, password)
