"""Masking secrets in text that others wrote: logs, events, messages, error texts.

Two layers over the allow-list of `allow`: values that are known to be secret, in every form in which they may
be written, and what looks like a credential whoever wrote it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from vnodectl.connector.redact import MASK, Redactor, redactor

JSON = dict[str, Any]

_LEAST = 6
"""Shorter values (`true`, `admin`) are words: to mask them would make a log unreadable and hide nothing."""

_WHOLE = (
    re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),  # JSON Web Tokens
    re.compile(r"(?i)(?<=bearer )[\w.~+/-]{8,}=*"),
    re.compile(r"(?i)(?<=basic )[\w+/]{8,}=*"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    re.compile(r"(?i)(?<=://)[^/@\s:\"']+:[^/@\s\"']+(?=@)"),  # user:password of a URL
)
_AFTER_ITS_NAME = (
    re.compile(
        r"(?i)(\b(?:AccountKey|SharedAccessKey|sig|client_secret|SecurityToken|Signature)=)[^&;\s\"']+"
    ),
    re.compile(
        r"(?i)((?<![\w-])(?:password|passwd|secret|token|api[_-]?key|access[_-]?key)\"?\s*[=:]\s*\"?)"
        r"(?!\*{3})[^\s\"',;}]{6,}"
    ),
)


def cleaner(secrets: Iterable[str]) -> Redactor:
    """A function that masks every known secret, and whatever looks like one."""
    known = redactor(part for secret in secrets for part in _parts(secret))

    def clean(text: str) -> str:
        text = known(text)
        for look in _WHOLE:
            text = look.sub(MASK, text)
        for look in _AFTER_ITS_NAME:
            text = look.sub(rf"\1{MASK}", text)
        return text

    return clean


def _parts(secret: str) -> list[str]:
    """A secret, and each line of one that has several (a key in PEM is logged line by line)."""
    lines = [line.strip() for line in secret.splitlines()]
    found = [secret, *(line for line in lines if len(line) >= 2 * _LEAST and not line.startswith("-----"))]
    return [one for one in found if len(one) >= _LEAST]


def of_secret(secret: JSON) -> list[str]:
    """The values of a Secret (API object), and the credentials within pull secrets."""
    found: list[str] = []
    for key, value in (secret.get("data") or {}).items():
        try:
            text = base64.b64decode(str(value)).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            found.append(str(value))  # binary: its Base64 is the form that texts have
            continue
        found.append(text)
        if key in {".dockerconfigjson", ".dockercfg"}:
            found += _logins(text)
    return found


def _logins(text: str) -> list[str]:
    try:
        document = json.loads(text)
    except ValueError:
        return []
    entries = document.get("auths", document) if isinstance(document, dict) else {}
    found: list[str] = []
    for entry in entries.values() if isinstance(entries, Mapping) else ():
        if isinstance(entry, Mapping):
            found += [str(entry[key]) for key in ("password", "auth", "identitytoken") if entry.get(key)]
            try:
                _, _, password = base64.b64decode(str(entry.get("auth") or "")).decode().partition(":")
                found.append(password)
            except (binascii.Error, UnicodeDecodeError, ValueError):
                continue
    return found


def of_kubeconfig(configuration: Any) -> list[str]:
    """The credentials of a `kubernetes` client configuration."""
    found = [str(value).removeprefix("Bearer ") for value in (configuration.api_key or {}).values() if value]
    if configuration.password:
        found.append(str(configuration.password))
    return found


_SECRET_FIELD = re.compile(r"secret|token|password|key", re.IGNORECASE)
_NOT_SECRET = re.compile(r"_file$|_id$|access_key$")


def of_settings(settings: Any) -> list[str]:
    """Whatever of the user's own settings is a secret: the fields that a repr leaves out."""
    return [str(value) for one in fields(settings) if not one.repr and (value := getattr(settings, one.name))]


def of_environment(environ: Mapping[str, str]) -> list[str]:
    """The values of this process's own variables whose names say that they are secret."""
    return [
        value
        for name, value in environ.items()
        if name.startswith(("AZURE_", "ALIBABA_", "ECI_", "VNODECTL_"))
        and _SECRET_FIELD.search(name)
        and not _NOT_SECRET.search(name.lower())
    ]
